//! Every fault of the table ends the command line with the exit code that is promised.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used, clippy::panic)]

mod util;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use util::faults::{self, Fault, Kept, Promise};
use util::server::Server;
use util::{GRACE, certificates, expect, secrets};

/// What became of one run.
struct Seen {
    name: String,
    promise: Promise,
    output: Output,
    timeout: Duration,
    took: Duration,
    connections: Option<usize>,
    confirmations: usize,
    folder: TempDir,
}

impl Seen {
    fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    fn file(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.path().join(name)).ok()
    }
}

fn portal_backup(folder: &Path, base_url: &str, client_api_url: &str) -> Command {
    let pem = folder.join("roots.pem");
    fs::write(&pem, certificates::root_pem()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portal-backup"));
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"] {
        command.env_remove(name);
    }
    command.env("PORTAL_CLIENT_API_KEY", secrets::KEY).current_dir(folder);
    command.args(["--base-url", base_url, "--client-api-url", client_api_url, "--ca-cert"]).arg(pem);
    command
}

/// A service that takes every confirmation, or makes every backup.
fn agreeable_server() -> Server {
    Server::start(None, |c| {
        let request = c.request()?;
        let is_confirmation = request.starts_with(b"PATCH ");
        c.send(if is_confirmation {
            "HTTP/1.1 204 No Content\r\n\r\n".into()
        } else {
            faults::response_of(200, &secrets::backup_response(0))
        })
    })
}

fn run(fault: Fault, confirms_there: bool) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("generate.json"), fault.generate_response()).unwrap();
    let stage = fault.stage();
    let other = agreeable_server();
    let mut command = match confirms_there {
        false => portal_backup(folder.path(), &stage.url, &other.url()),
        true => portal_backup(folder.path(), &other.url(), &stage.url),
    };
    let timeout = fault.timeout();
    command.arg("--timeout").arg(timeout.as_secs().to_string());
    let start = Instant::now();
    let output = command.args(["-o", "backup.json", "generate.json"]).output().unwrap();
    let took = start.elapsed();
    let connections = stage.server.as_ref().map(Server::connections);
    let confirmations = other.requests().iter().filter(|request| request.starts_with(b"PATCH ")).count();
    Seen { name: fault.name, promise: fault.promise, output, timeout, took, connections, confirmations, folder }
}

fn backups() -> &'static [Seen] {
    static SEEN: OnceLock<Vec<Seen>> = OnceLock::new();
    SEEN.get_or_init(|| util::run_table(faults::all(), |fault| run(fault, false)))
}

/// The backup passes, and the fault meets the confirmation.
fn confirmations() -> &'static [Seen] {
    static SEEN: OnceLock<Vec<Seen>> = OnceLock::new();
    backups();
    SEEN.get_or_init(|| {
        let small = faults::all().into_iter().filter(|fault| !fault.is_large);
        util::run_table(small.collect(), |fault| run(fault, true))
    })
}

#[track_caller]
fn for_each_row(seen: &[Seen], check: impl Fn(&Seen) -> Result<(), String>) {
    let show = |row: &Seen| format!("{}\n    {:?}\n    {}", row.name, row.output.status, row.stderr());
    util::for_each_row(seen, show, check);
}

#[test]
fn each_fault_of_a_backup_has_the_exit_code_that_is_promised() {
    for_each_row(backups(), |row| expect("the exit code", row.output.status.code(), Some(row.promise.exit)));
}

#[test]
fn each_fault_of_a_confirmation_ends_with_7_and_the_shares_stored() {
    for_each_row(confirmations(), |row| {
        let passes = row.promise.confirm_outcome.is_none();
        expect("the exit code", row.output.status.code(), Some(if passes { 0 } else { 7 }))?;
        expect("the file", row.file("backup.json"), Some(secrets::backup_response(0).into_bytes()))?;
        let command = row.stderr().lines().any(|line| line.trim().starts_with("portal-backup confirm "));
        expect("the command to confirm later", command, !passes)
    });
}

#[test]
fn a_backup_that_may_have_arrived_is_never_sent_again() {
    for_each_row(backups(), |row| match row.connections {
        Some(connections) => expect("the number of tries", connections, row.promise.connections),
        None => Ok(()),
    });
}

#[test]
fn only_whole_shares_get_the_name_and_are_confirmed() {
    for_each_row(backups(), |row| {
        let is_success = row.promise.outcome.is_none();
        expect("the number of confirmations", row.confirmations, usize::from(is_success))?;
        let text = row.file("backup.json").map(|text| String::from_utf8(text).unwrap());
        let promised = is_success.then(|| secrets::backup_response(0));
        expect("the file", text.as_deref().map(str::trim), promised.as_deref())
    });
}

#[test]
fn a_response_that_is_not_understood_is_kept_for_its_owner_alone() {
    for_each_row(backups(), |row| {
        let kept = row.file("backup.json.unreadable");
        let Some(Kept { of, least, .. }) = &row.promise.kept else {
            return expect("a kept response", kept, None);
        };
        let kept = match kept {
            None if *least == 0 => return Ok(()),
            kept => kept.ok_or("nothing was kept")?,
        };
        expect("an empty file", kept.is_empty(), false)?;
        expect("the beginning", of.starts_with(&kept), true)?;
        expect("that enough was kept", kept.len() >= *least, true)?;
        let path = row.folder.path().join("backup.json.unreadable");
        expect("the mode", fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600)
    });
}

#[test]
fn nothing_else_is_left_in_the_folder() {
    let expected = ["backup.json", "backup.json.unreadable", "generate.json", "roots.pem"];
    for_each_row(backups(), |row| {
        let names = fs::read_dir(row.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let others: Vec<_> = names.filter(|name| !expected.contains(&name.to_str().unwrap())).collect();
        expect("what is left", others, Vec::new())
    });
}

#[test]
fn no_run_outlasts_its_deadline() {
    // Starting a program takes time, too.
    for_each_row(backups(), |row| expect("being late", row.took > row.timeout + 2 * GRACE, false));
}

#[test]
fn no_run_shows_a_secret_or_a_control_character() {
    for row in backups().iter().chain(confirmations()) {
        let stdout = String::from_utf8(row.output.stdout.clone()).unwrap();
        assert_eq!(stdout, "", "{}", row.name);
        let stderr = row.stderr();
        secrets::assert_none_in(&row.name, &stderr);
        let controls: Vec<_> = stderr.chars().filter(|c| c.is_control() && *c != '\n').collect();
        assert!(controls.is_empty(), "{}: {stderr:?}", row.name);
    }
}
