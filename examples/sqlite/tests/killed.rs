//! The program killed wherever it can be, and run again, against the stand-in for Portal. Needs `strace`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;

use portal_backup::{BackupShares, Fault, Sandbox};
use rusqlite::{Connection, OptionalExtension as _};

/// Every system call by which it does something to a file or to the network, and the one that ends it.
const STEPS: [&str; 11] = [
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "ftruncate",
    "unlink",
    "connect",
    "sendto",
    "recvfrom",
    "exit_group",
];

struct Scene {
    sandbox: Sandbox,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { sandbox: Sandbox::start().unwrap(), folder: tempfile::tempdir().unwrap() };
        fs::write(scene.path("generate.json"), scene.sandbox.generate_response()).unwrap();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: &[&str]) -> Command {
        let program = [program, &[env!("CARGO_BIN_EXE_backup-into-sqlite")]].concat();
        let mut command = Command::new(program[0]);
        command
            .args(&program[1..])
            .args([self.path("wallets.sqlite"), "wallet".into(), self.path("generate.json")])
            .env("PORTAL_CLIENT_API_KEY", self.sandbox.api_key())
            .env("PORTAL_SANDBOX_URL", self.sandbox.url());
        command
    }

    fn run(&self) -> Output {
        self.command(&[]).output().unwrap()
    }

    /// Runs it until that call of that name; whether it was killed, or got by with fewer calls.
    fn run_until(&self, call: &str, number: usize) -> bool {
        let kill = format!("inject={call}:signal=KILL:when={number}");
        let mut strace = self.command(&["strace", "-qq", "-o", "/dev/null", "-e", &kill]);
        let status = strace.status().expect("strace is needed");
        assert!(status.success() || status.signal() == Some(9), "{call} {number}: {status}");
        !status.success()
    }

    /// The writes to files, their synchronizations and the requests of a whole run, in order.
    fn trace(&self) -> String {
        let file = self.path("trace");
        let calls = "trace=pwrite64,fsync,fdatasync,sendto";
        let mut strace = self.command(&["strace", "-qq", "-y", "-s", "5", "-e", calls, "-o", file.to_str().unwrap()]);
        assert!(strace.status().expect("strace is needed").success());
        fs::read_to_string(file).unwrap()
    }

    /// What another program finds in the database, if there is one. It looks at a copy, since opening would clean up.
    fn stored<T: rusqlite::types::FromSql>(&self, column: &str) -> Option<T> {
        let copy = tempfile::tempdir().unwrap();
        for name in ["wallets.sqlite", "wallets.sqlite-wal", "wallets.sqlite-journal"] {
            if self.path(name).exists() {
                fs::copy(self.path(name), copy.path().join(name)).unwrap();
            }
        }
        let connection = Connection::open(copy.path().join("wallets.sqlite")).unwrap();
        let query = format!("SELECT {column} FROM backup WHERE {column} IS NOT NULL");
        connection.query_row(&query, [], |row| row.get(0)).optional().ok()?
    }

    fn backups(&self) -> usize {
        self.sandbox.requests().iter().filter(|request| request.path == "/v1/backup").count()
    }

    #[track_caller]
    fn assert_the_stored_shares_are_the_confirmed_ones(&self) {
        let shares = BackupShares::parse(self.stored::<String>("shares").unwrap()).unwrap();
        assert_eq!(self.sandbox.confirmed(), shares.share_pair_ids());
        assert_eq!(self.stored("confirmed"), Some(true));
    }

    #[track_caller]
    fn assert_only_the_owner_may_read(&self) {
        for entry in fs::read_dir(self.folder.path()).unwrap().map(Result::unwrap) {
            let (name, mode) = (entry.file_name(), entry.metadata().unwrap().permissions().mode());
            assert!(name == "generate.json" || mode & 0o077 == 0, "{name:?} has mode {mode:o}");
        }
    }
}

#[test]
fn killed_at_any_step_it_goes_on_without_a_second_backup_once_the_shares_are_stored() {
    let kill_at_every = |call: &'static str| {
        let mut backups = Vec::new();
        for number in 1.. {
            let scene = Scene::new();
            if !scene.run_until(call, number) {
                break;
            }
            scene.assert_only_the_owner_may_read();
            let was_stored = scene.stored::<String>("shares").is_some();
            let again = scene.run();
            assert!(again.status.success(), "after {call} {number}: {again:?}");
            scene.assert_the_stored_shares_are_the_confirmed_ones();
            backups.push((was_stored, scene.backups()));
        }
        backups
    };
    let runs: Vec<_> = thread::scope(|scope| {
        let threads = STEPS.map(|call| scope.spawn(move || kill_at_every(call)));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });

    let count = |was_stored, backups| runs.iter().filter(|&&run| run == (was_stored, backups)).count();
    let (before, lost, after) = (count(false, 1), count(false, 2), count(true, 1));
    println!(
        "killed {} times: {before} before the request, {lost} with it, {after} with the shares stored",
        runs.len()
    );
    assert_eq!(before + lost + after, runs.len(), "one backup, or two if the first was never stored: {runs:?}");
    assert!(before > 10 && lost > 1 && after > 10, "each part of the run must be among them");
}

/// In a whole run, and in one that finds the shares of a run that was killed before it confirmed them.
#[test]
fn the_shares_are_on_the_disk_before_they_are_confirmed() {
    for is_resumed in [false, true] {
        let scene = Scene::new();
        if is_resumed {
            assert!(scene.run_until("sendto", 2));
            assert!(scene.stored::<String>("shares").is_some() && scene.sandbox.confirmed().is_empty());
        }
        let trace = scene.trace();
        let before: Vec<_> = trace.lines().take_while(|line| !line.contains("\"PATCH")).collect();
        // Its index beside it is made anew after a crash.
        let last = before.iter().rfind(|line| !line.contains(".sqlite-shm>")).unwrap();
        let written = before.iter().rfind(|line| line.contains(".sqlite-wal>")).unwrap();
        assert!(last.contains("sync(") && written.contains("sync("), "{before:#?}");
        assert!(before.len() < trace.lines().count());
    }
}

#[test]
fn after_a_whole_run_nothing_is_sent() {
    let scene = Scene::new();
    for _ in 0..2 {
        let output = scene.run();
        assert!(output.status.success(), "{output:?}");
        scene.assert_the_stored_shares_are_the_confirmed_ones();
        assert_eq!(scene.sandbox.requests().len(), 2);
    }
}

#[test]
fn of_two_runs_at_once_the_stored_shares_are_confirmed_and_no_others() {
    for _ in 0..5 {
        let scene = Scene::new();
        // Of two that make the database, SQLite turns one or both away, before anything is sent.
        Connection::open(scene.path("wallets.sqlite")).unwrap().pragma_update(None, "journal_mode", "WAL").unwrap();
        let runs = [scene.command(&[]).spawn().unwrap(), scene.command(&[]).spawn().unwrap()];
        let succeeded = runs.map(|mut run| run.wait().unwrap().success());
        assert!(succeeded.contains(&true));
        scene.assert_the_stored_shares_are_the_confirmed_ones();
    }
}

#[test]
fn a_response_that_cannot_be_read_is_kept() {
    let scene = Scene::new();
    scene.sandbox.fail_next(Fault::Body(b"no shares".to_vec()));
    assert!(!scene.run().status.success());
    assert_eq!(scene.stored::<Vec<u8>>("unreadable"), Some(b"no shares".to_vec()));
    assert!(scene.sandbox.confirmed().is_empty());
    assert!(scene.run().status.success());
    scene.assert_the_stored_shares_are_the_confirmed_ones();
}
