//! The examples that are one file each, as programs: against the sandbox, with faults, killed and run again.
//!
//! `cargo test` builds them, and so does `examples/run`.
#![cfg(all(feature = "sandbox", feature = "ring"))]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use portal_backup::{BackupShares, Fault, FileSlot, Sandbox};

const BACKUP: &str = "/v1/backup";

fn example(name: &str, sandbox: &Sandbox) -> Command {
    let this = env::current_exe().unwrap();
    let folder = this.parent().and_then(Path::parent).unwrap().join("examples");
    let path = folder.join(name).with_extension(env::consts::EXE_EXTENSION);
    assert!(path.exists(), "first: cargo build --examples --all-features");
    let mut command = Command::new(path);
    command.env("PORTAL_SANDBOX_URL", sandbox.url()).env("PORTAL_CLIENT_API_KEY", sandbox.api_key());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn backups(sandbox: &Sandbox) -> usize {
    sandbox.requests().iter().filter(|request| request.path == BACKUP).count()
}

#[track_caller]
fn assert_success(output: &Output) {
    assert!(output.status.success(), "{}", said(output));
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

/// One wallet, and the folder that it is backed up in.
struct One {
    sandbox: Sandbox,
    folder: tempfile::TempDir,
}

impl One {
    fn new() -> Self {
        let (sandbox, folder) = (Sandbox::start().unwrap(), tempfile::tempdir().unwrap());
        fs::write(folder.path().join("generate.json"), sandbox.generate_response()).unwrap();
        Self { sandbox, folder }
    }

    fn command(&self) -> Command {
        let mut command = example("backup", &self.sandbox);
        command.current_dir(self.folder.path());
        command
    }

    fn run(&self) -> Output {
        self.command().output().unwrap()
    }

    /// Fails with these lines and leaves nothing but what was there, and these files.
    #[track_caller]
    fn fails(&self, output: &Output, lines: &[&str], more: &[&str]) {
        let text = said(output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("Error: ") && !text.contains(['{', '"', '\\']), "{text}");
        assert!(lines.iter().all(|line| text.contains(line)), "{lines:?} in {text}");
        let names = names(self.folder.path());
        let is_expected = |name: &&String| more.iter().any(|more| name.starts_with(more));
        assert_eq!(names.iter().filter(is_expected).count(), more.len(), "{names:?}");
        assert_eq!(names.len(), 1 + more.len(), "{names:?}");
    }

    #[track_caller]
    fn is_confirmed(&self) {
        let text = fs::read_to_string(self.folder.path().join("backup.json")).unwrap();
        assert_eq!(self.sandbox.confirmed(), BackupShares::parse(text).unwrap().share_pair_ids());
    }
}

#[test]
fn backup_makes_shares_once_and_confirms_them_each_time() {
    let one = One::new();
    for confirmations in 1..3 {
        assert_success(&one.run());
        one.is_confirmed();
        assert_eq!((backups(&one.sandbox), one.sandbox.requests().len()), (1, 1 + confirmations));
    }
}

#[test]
fn backup_says_what_failed_and_what_to_do() {
    let one = One::new();
    for (name, value, lines) in [
        ("PORTAL_SANDBOX_URL", "http://127.0.0.1:9", &["the request was not sent"][..]),
        ("PORTAL_CLIENT_API_KEY", "wrong", &["status 401", "No shares were made"]),
    ] {
        one.fails(&one.command().env(name, value).output().unwrap(), lines, &[]);
    }
    one.fails(&one.command().env_remove("PORTAL_CLIENT_API_KEY").output().unwrap(), &["PORTAL_CLIENT_API_KEY"], &[]);

    // What may have acted is tried three times, with pauses.
    (0..3).for_each(|_| one.sandbox.fail_next(Fault::Status(503)));
    let output = one.run();
    one.fails(&output, &["Once more in 1 s", "Once more in 2 s", "it may have acted"], &[]);

    let text = one.sandbox.generate_response().replace("SECP256K1", "SECP");
    fs::write(one.folder.path().join("generate.json"), text).unwrap();
    one.fails(&one.run(), &["generate response", "SECP256K1"], &[]);
    assert!(one.sandbox.confirmed().is_empty());
    fs::remove_file(one.folder.path().join("generate.json")).unwrap();
    fs::create_dir(one.folder.path().join("other")).unwrap();
    one.fails(&one.run(), &["generate.json: "], &[]);
}

#[test]
fn backup_keeps_what_it_cannot_read_and_then_backs_up() {
    let one = One::new();
    ["no shares", "nor here"].into_iter().for_each(|body| one.sandbox.fail_next(Fault::Body(body.into())));
    assert_success(&one.run());
    one.is_confirmed();
    assert_eq!(backups(&one.sandbox), 3);
    let kept = names(one.folder.path()).into_iter().filter(|name| name.starts_with("backup.json.unreadable-"));
    let kept: BTreeSet<_> = kept.map(|name| fs::read_to_string(one.folder.path().join(name)).unwrap()).collect();
    assert_eq!(kept, ["no shares", "nor here"].map(String::from).into());
}

#[test]
fn backup_that_could_not_confirm_does_so_the_next_time() {
    let one = One::new();
    one.sandbox.fail_next(Fault::StatusRetryAfter(429, Duration::from_secs(1))); // which the client waits for
    assert_success(&one.run());
    (0..3).for_each(|_| one.sandbox.fail_next(Fault::Status(503)));
    let output = one.run();
    one.fails(&output, &["status 503", "backup.json is stored, but not confirmed"], &["backup.json"]);
    assert!(one.run().status.success());
    assert_eq!(backups(&one.sandbox), 2, "the one that was put off, and the one that was made");
}

/// A folder of wallets, and one for their backups.
struct Many {
    sandbox: Sandbox,
    folder: tempfile::TempDir,
    count: usize,
}

impl Many {
    fn new(count: usize) -> Self {
        let (sandbox, folder) = (Sandbox::start().unwrap(), tempfile::tempdir().unwrap());
        let many = Self { sandbox, folder, count };
        for name in ["wallets", "backups"] {
            fs::create_dir(many.folder.path().join(name)).unwrap();
        }
        for number in 0..count {
            // Of its own, so that the service can tell whose backup it makes.
            let mark = format!(r#""id":"{}"#, Self::mark(number));
            let text = many.sandbox.generate_response().replace(r#""id":""#, &mark);
            fs::write(many.path("wallets", number, "json"), text).unwrap();
            fs::write(many.path("wallets", number, "key"), format!("{}\n", many.sandbox.api_key())).unwrap();
        }
        many
    }

    fn mark(number: usize) -> String {
        format!("wallet-{number}-")
    }

    fn path(&self, folder: &str, number: usize, extension: &str) -> PathBuf {
        self.folder.path().join(folder).join(format!("user.{number}.{extension}"))
    }

    fn command(&self, numbers: &[&str]) -> Command {
        let mut command = example("many_wallets", &self.sandbox);
        command.env_remove("PORTAL_CLIENT_API_KEY").current_dir(self.folder.path());
        command.args(["wallets", "backups"]).args(numbers);
        command
    }

    /// The exit status, and the last lines. One thread, so that each fault meets the wallet that it is for.
    fn run(&self) -> (i32, String) {
        let output = self.command(&["60000", "1"]).output().unwrap();
        let text = said(&output);
        (output.status.code().unwrap(), text[text.find("Done: ").unwrap_or(0)..].into())
    }

    /// How many backups were made for each.
    fn made(&self) -> Vec<usize> {
        let requests = self.sandbox.requests();
        let for_it = |mark: String| {
            let of_it = |body: &[u8]| body.windows(mark.len()).any(|window| window == mark.as_bytes());
            requests.iter().filter(|r| r.path == BACKUP && r.status == 200 && of_it(&r.body)).count()
        };
        (0..self.count).map(|number| for_it(Self::mark(number))).collect()
    }

    fn stored(&self) -> Vec<bool> {
        (0..self.count).map(|number| self.path("backups", number, "backup").exists()).collect()
    }

    /// All that is stored is confirmed, and nothing else; another run sends nothing.
    #[track_caller]
    fn all_is_done(&self) {
        let mut stored = BTreeSet::new();
        for number in 0..self.count {
            let (shares, _) = FileSlot::load(self.path("backups", number, "backup")).unwrap();
            stored.extend(shares.share_pair_ids().map(String::from));
        }
        assert_eq!(self.sandbox.confirmed().into_iter().collect::<BTreeSet<_>>(), stored);
        let before = self.sandbox.requests().len();
        assert_eq!(self.run(), (0, format!("Done: {0} of {0}.\n", self.count)));
        assert_eq!(self.sandbox.requests().len(), before);
    }
}

#[test]
fn many_wallets_killed_after_any_request_are_backed_up_once_unless_the_response_was_lost() {
    const COUNT: usize = 4;
    let mut lost = 0;
    for requests in 1..2 * COUNT {
        let many = Many::new(COUNT);
        let mut run = many.command(&["60000", "1"]).stderr(Stdio::null()).spawn().unwrap();
        while many.sandbox.requests().len() < requests {
            assert_eq!(run.try_wait().unwrap(), None, "it ended by itself");
            thread::yield_now();
        }
        run.kill().unwrap();
        run.wait().unwrap();

        let (made, stored) = (many.made(), many.stored());
        assert_eq!(many.run().0, 0);
        let expected: Vec<_> = made.iter().zip(&stored).map(|(made, stored)| made + usize::from(!stored)).collect();
        assert_eq!(many.made(), expected, "killed after {requests} requests, with {stored:?} stored");
        assert!(expected.iter().all(|&made| made <= 2), "{expected:?}");
        lost += expected.iter().filter(|&&made| made == 2).count();
        many.all_is_done();
    }
    assert!(lost < 2 * COUNT, "{lost}");
}

#[test]
fn many_wallets_leave_what_fails_to_the_next_run() {
    for (fault, says, is_made_again) in [
        (Fault::Status(503), "it may have acted", false),
        (Fault::Status(400), "read its message", false),
        (Fault::CloseBeforeResponse, "the service may have acted", true),
        (Fault::CutBody, "could not be read", true),
        (Fault::Body(b"no shares".to_vec()), "could not be read", true),
    ] {
        let many = Many::new(3);
        let is_unreadable = says == "could not be read";
        many.sandbox.fail_next(fault);
        let (status, text) = many.run();
        assert_eq!(status, 1);
        assert!(text.starts_with("Done: 2 of 3.\nLeft to do:\n  user.0: "), "{text}");
        assert!(text.contains(says) && text.lines().count() == 3, "{text}");
        assert_eq!(many.stored(), [false, true, true]);
        assert_eq!(many.run().0, 0);
        assert_eq!(many.made(), [1 + usize::from(is_made_again), 1, 1]);
        let kept =
            names(&many.folder.path().join("backups")).into_iter().filter(|it| it.starts_with("user.0.unreadable-"));
        assert_eq!(kept.count(), usize::from(is_unreadable));
        many.all_is_done();
    }
}

#[test]
fn many_wallets_confirm_what_is_stored_and_look_after_what_is_not_there() {
    let many = Many::new(2);
    assert_eq!(many.run().0, 0);
    fs::remove_file(many.path("backups", 1, "confirmed")).unwrap();
    (0..3).for_each(|_| many.sandbox.fail_next(Fault::Status(503)));
    let (status, text) = many.run();
    assert!(status == 1 && text.contains("user.1: stored, but not confirmed: "), "{text}");
    assert_eq!(many.run().0, 0);
    assert_eq!(many.made(), [1, 1]);
    many.all_is_done();

    fs::remove_file(many.path("backups", 0, "backup")).unwrap();
    fs::remove_file(many.path("backups", 1, "confirmed")).unwrap();
    fs::remove_file(many.path("wallets", 1, "key")).unwrap();
    let before = many.sandbox.requests().len();
    let (status, text) = many.run();
    assert_eq!(status, 1);
    assert!(text.contains("user.0.backup was confirmed, but is gone"), "{text}");
    assert!(text.contains("user.1.key: "), "{text}");
    assert_eq!(many.sandbox.requests().len(), before);
}

#[test]
fn many_wallets_keep_the_pace_and_wait_as_long_as_the_service_asks() {
    let many = Many::new(4);
    let start = Instant::now();
    assert_success(&many.command(&["300", "1"]).output().unwrap());
    assert!(start.elapsed() >= Duration::from_millis(600), "{:?}", start.elapsed());

    // Put off three times, the client gives up, and the next wallet waits for the third second.
    let many = Many::new(2);
    (0..3).for_each(|_| many.sandbox.fail_next(Fault::StatusRetryAfter(429, Duration::from_secs(1))));
    let start = Instant::now();
    assert_eq!(many.run().0, 1);
    assert!(start.elapsed() >= Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(many.run().0, 0);
    assert_eq!(many.made(), [1, 1]);
    many.all_is_done();
}

#[test]
fn many_wallets_are_backed_up_by_many_threads_and_what_was_left_behind_is_reported() {
    let many = Many::new(20);
    let hidden = FileSlot::reserve(many.path("backups", 3, "backup")).unwrap().hidden_path().to_path_buf();
    fs::write(&hidden, "of a run that was killed").unwrap();
    let output = many.command(&["60000", "8"]).output().unwrap();
    assert_success(&output);
    let text = said(&output);
    assert_eq!(text.matches("backed up and confirmed").count(), 20, "{text}");
    assert!(text.contains(hidden.file_name().unwrap().to_str().unwrap()), "{text}");
    many.all_is_done();
}

#[test]
fn many_wallets_show_a_line_for_each_and_refuse_wrong_arguments() {
    let many = Many::new(2);
    let output = many.command(&["60000", "1"]).output().unwrap();
    assert_success(&output);
    let lines = ["user.0: backed up and confirmed", "user.1: backed up and confirmed", "Done: 2 of 2.", ""];
    assert_eq!(said(&output), lines.join("\n"));

    for arguments in [&["wallets"][..], &["nowhere", "backups"], &["backups", "backups"], &["wallets", "nowhere"]] {
        let mut command = example("many_wallets", &many.sandbox);
        let output = command.current_dir(many.folder.path()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
    }
    assert_eq!(many.command(&["fast", "1"]).output().unwrap().status.code(), Some(2));
}
