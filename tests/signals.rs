//! A run that is ended by a signal: its files are in order at every step, and no response is lost on its way to the disk.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used, clippy::panic)]

mod util;

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use portal_backup::BackupShares;
use tempfile::TempDir;
use util::faults::response_of;
use util::secrets;
use util::server::{Connection, Server};

const GENERATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/generate.json");
const SIGNALS: [(&str, i32); 3] = [("INT", 2), ("TERM", 15), ("HUP", 1)];
const CONFIRMED: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// How far a service goes before it says nothing more.
#[derive(Clone, Copy, PartialEq)]
enum Until {
    Request,
    HalfAResponse,
    Confirmation,
    TheEnd,
}

/// A service that comes to that point, says so, and goes on when it is told to.
struct Service {
    server: Server,
    reached: Receiver<()>,
    go_on: Sender<()>,
}

impl Service {
    fn start(until: Until) -> Self {
        let (reach, reached) = channel();
        let (go_on, told) = channel();
        let told = Arc::new(Mutex::new(told));
        let server = Server::start(None, move |c| {
            let wait = |c: &mut Connection| {
                reach.send(()).unwrap();
                // Told to go on, or left alone: a client that is gone ends the silence.
                match told.lock().unwrap().recv_timeout(Duration::from_secs(20)) {
                    Ok(()) => Ok(()),
                    Err(_) => c.silence(),
                }
            };
            if c.request()?.starts_with(b"PATCH ") {
                if until == Until::Confirmation {
                    wait(c)?;
                }
                return c.send(CONFIRMED);
            }
            let response = response_of(200, &secrets::backup_response(0));
            let (first, second) = response.split_at(response.len() / 2);
            if until == Until::Request {
                wait(c)?;
            }
            c.send(first)?;
            if until == Until::HalfAResponse {
                wait(c)?;
            }
            c.send(second)
        });
        Self { server, reached, go_on }
    }

    fn wait_until_reached(&self) {
        self.reached.recv_timeout(Duration::from_secs(20)).unwrap();
    }

    fn go_on(&self) {
        self.go_on.send(()).unwrap();
    }

    fn confirmations(&self) -> usize {
        self.server.requests().iter().filter(|request| request.starts_with(b"PATCH ")).count()
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn program(folder: &Path, service: &Service, arguments: &[&str]) -> Command {
    let url = service.server.url();
    // Whoever runs the tests may have these ignored, and so would everything that they start.
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP,INT,TERM", "setsid", env!("CARGO_BIN_EXE_portal-backup")]);
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"] {
        command.env_remove(name);
    }
    command
        .current_dir(folder)
        .env("PORTAL_CLIENT_API_KEY", secrets::KEY)
        .args(arguments)
        .args(["--client-api-url", &url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if arguments[0] != "confirm" {
        command.args(["--base-url", &url]);
    }
    command
}

/// Sends a signal to a process, or with a minus before its number to its group.
fn kill(signal: &str, process: &str) {
    let status = Command::new("kill").args([&format!("-{signal}"), "--", process]).status().unwrap();
    assert!(status.success());
}

fn end(child: Child, signal: &str) -> Output {
    kill(signal, &child.id().to_string());
    child.wait_with_output().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[track_caller]
fn assert_ended(output: &Output, code: i32, says: &[&str]) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for says in says {
        assert!(stderr.contains(says), "it does not say {says:?}: {stderr}");
    }
    secrets::assert_none_in("stderr", &stderr);
    stderr
}

fn whole(path: &Path) -> BackupShares {
    BackupShares::parse(fs::read(path).unwrap()).unwrap()
}

#[test]
fn until_the_response_is_there_nothing_is_left_and_the_run_says_what_the_service_can_have_done() {
    for until in [Until::Request, Until::HalfAResponse] {
        for (signal, number) in SIGNALS {
            let (folder, service) = (folder(), Service::start(until));
            let child = program(folder.path(), &service, &["-o", "x.json", "--json", GENERATE]).spawn().unwrap();
            service.wait_until_reached();
            let reserved = names(folder.path());
            assert!(reserved.len() == 1 && reserved[0].starts_with(".portal-backup-"), "{reserved:?}");
            let output = end(child, signal);
            let name = format!("SIG{signal}");
            assert_ended(&output, 128 + number, &[&name, "the service may have acted", "run again"]);
            assert_eq!(names(folder.path()), [""; 0]);
            let json = String::from_utf8(output.stdout).unwrap();
            let begin = format!("{{\"exit\":{},\"outcome\":\"unknown\",\"error\":\"ended by", 128 + number);
            assert!(json.starts_with(&begin) && json.ends_with(",\"call\":\"backup\"}\n"), "{json}");
            service.go_on();
        }
    }
}

#[test]
fn before_there_is_a_call_nothing_was_sent() {
    for (signal, number) in SIGNALS {
        let (folder, service) = (folder(), Service::start(Until::TheEnd));
        let mut command = program(folder.path(), &service, &["-o", "x.json", "-"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        // It has begun to read when it has taken more than a pipe holds.
        let mut input = child.stdin.take().unwrap();
        input.write_all(&[b' '; 256 << 10]).unwrap();
        assert_ended(&end(child, signal), 128 + number, &["nothing was sent"]);
        assert_eq!(names(folder.path()), [""; 0]);
        assert_eq!(service.server.connections(), 0);
    }
}

/// A terminal and service managers send signals to the whole process group, also to the command that stores.
#[test]
fn from_the_response_on_the_shares_are_stored_first_and_nothing_is_said() {
    // The run learns of the signal while the command sleeps. Programs in Go do not leave SIGTERM ignored.
    let wait = "until test -e go; do sleep 0.05; done; sleep 0.3";
    let stores: [(&[&str], &str); 3] = [
        (&["--store-with", "cat > kept.json; echo > started; . ./wait"], ""),
        (&["--store-with", "kill 0; echo > started; . ./wait; cat > kept.json"], "-"),
        (&["-o", "kept.json", "--encrypt-with", "echo > started; env --default-signal sh ./wait; cat"], "-"),
    ];
    for ((signal, _), (store, group)) in SIGNALS.iter().flat_map(|s| stores.iter().map(move |to| (s, to))) {
        let (folder, service) = (folder(), Service::start(Until::TheEnd));
        fs::write(folder.path().join("wait"), wait).unwrap();
        let mut command = program(folder.path(), &service, &[*store, &["--json", GENERATE]].concat());
        let child = command.spawn().unwrap();
        let start = Instant::now();
        while !folder.path().join("started").exists() {
            assert!(start.elapsed() < Duration::from_secs(20), "the command does not start");
            thread::sleep(Duration::from_millis(10));
        }
        kill(signal, &format!("{group}{}", child.id()));
        fs::write(folder.path().join("go"), "\n").unwrap();
        let output = child.wait_with_output().unwrap();
        let ended = format!("ended by SIG{signal}; the service was not told");
        let stderr = assert_ended(&output, 7, &[&ended, "not confirmed"]);
        let first_line = stderr.lines().next().unwrap();
        assert!(first_line.starts_with("backed up ") || first_line.starts_with("warning "), "{stderr}");
        let shares = whole(&folder.path().join("kept.json"));
        let [first, second] = shares.share_pair_ids();
        assert_eq!(service.confirmations(), 0);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&json["exit"], &json["outcome"]), (&7.into(), &"notSent".into()));
        assert_eq!((&json["confirmed"], &json["sharePairIds"][0]), (&false.into(), &first.into()));
        let url = service.server.url();
        let next = format!("portal-backup confirm --client-api-url {url} {first} {second}");
        assert_eq!(json["next"], next);
        assert!(stderr.ends_with(&format!("\n  {next}\n")), "{stderr}");
    }
}

#[test]
fn a_signal_that_comes_with_the_response_finds_nothing_or_the_whole_file() {
    for round in 0..12 {
        let (folder, service) = (folder(), Service::start(Until::HalfAResponse));
        let child = program(folder.path(), &service, &["-o", "x.json", GENERATE]).spawn().unwrap();
        service.wait_until_reached();
        let process = child.id().to_string();
        if round % 2 == 0 {
            service.go_on();
            kill("TERM", &process);
        } else {
            kill("TERM", &process);
            service.go_on();
        }
        let output = child.wait_with_output().unwrap();
        match output.status.code() {
            Some(143) => assert_eq!(names(folder.path()), [""; 0]),
            Some(0 | 7) => {
                assert_eq!(names(folder.path()), ["x.json"]);
                let _ = whole(&folder.path().join("x.json"));
            }
            other => panic!("{other:?}: {}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}

#[test]
fn during_the_confirmation_the_run_ends_with_the_command_that_confirms() {
    for (signal, _) in SIGNALS {
        let (folder, service) = (folder(), Service::start(Until::Confirmation));
        let child = program(folder.path(), &service, &["-o", "x.json", "--json", GENERATE]).spawn().unwrap();
        service.wait_until_reached();
        let output = end(child, signal);
        let says =
            "whether the service was told.\nThe shares are stored, but not confirmed for certain. To confirm:\n  ";
        let stderr = assert_ended(&output, 7, &[says]);
        assert!(stderr.trim_end().ends_with(" x.json"), "{stderr}");
        assert_eq!(names(folder.path()), ["x.json"]);
        let ids = whole(&folder.path().join("x.json")).share_pair_ids().map(String::from);
        let json = String::from_utf8(output.stdout).unwrap();
        let facts = format!("\"call\":\"confirm\",\"sharePairIds\":{ids:?},\"file\":\"x.json\",\"confirmed\":false");
        assert!(json.contains(&facts.replace(", ", ",")), "{json}");
        service.go_on();
    }
}

#[test]
fn a_confirmation_by_itself_ends_with_the_signal_and_may_be_run_again() {
    for (signal, number) in SIGNALS {
        let (folder, service) = (folder(), Service::start(Until::Confirmation));
        let child = program(folder.path(), &service, &["confirm", "one", "two"]).spawn().unwrap();
        service.wait_until_reached();
        assert_ended(
            &end(child, signal),
            128 + number,
            &["the shares may be confirmed or not", "run this command again"],
        );
        service.go_on();
    }
}

#[test]
fn a_signal_that_is_ignored_from_the_start_ends_nothing() {
    let (folder, service) = (folder(), Service::start(Until::Request));
    let inner = program(folder.path(), &service, &["-o", "x.json", GENERATE]);
    let mut command = Command::new("sh");
    // Without `env`, which would undo that.
    command.args(["-c", r#"trap '' HUP; exec "$@""#]).args(inner.get_args());
    command.current_dir(folder.path()).env("PORTAL_CLIENT_API_KEY", secrets::KEY);
    let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    service.wait_until_reached();
    kill("HUP", &child.id().to_string());
    service.go_on();
    assert_ended(&child.wait_with_output().unwrap(), 0, &["confirmed"]);
    let _ = whole(&folder.path().join("x.json"));
}

#[test]
fn a_signal_ends_the_run_also_when_nobody_reads_what_it_says() {
    for (until, code, left) in [(Until::Request, 143, vec![]), (Until::TheEnd, 7, vec!["x.json"])] {
        let (folder, service) = (folder(), Service::start(until));
        let (stderr, _reader) = UnixStream::pair().unwrap();
        let mut writer = stderr.try_clone().unwrap();
        writer.set_nonblocking(true).unwrap();
        while writer.write(&[b'.'; 4096]).is_ok() {}
        let mut command = program(folder.path(), &service, &["-o", "x.json", GENERATE]);
        let mut child = command.stderr(OwnedFd::from(stderr)).spawn().unwrap();
        let start = Instant::now();
        match until {
            Until::Request => service.wait_until_reached(),
            _ => while names(folder.path()) != left && start.elapsed() < Duration::from_secs(20) {},
        }
        kill("TERM", &child.id().to_string());
        while child.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(10));
        }
        child.kill().unwrap();
        service.go_on();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_eq!(names(folder.path()), left);
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_no_death() {
    let (folder, service) = (folder(), Service::start(Until::HalfAResponse));
    let child = program(folder.path(), &service, &["-o", "x.json", GENERATE]).spawn().unwrap();
    service.wait_until_reached();
    let process = child.id().to_string();
    let limited = Command::new("prlimit").args(["--pid", &process, "--fsize=4096"]).status().unwrap();
    assert!(limited.success());
    service.go_on();
    let output = child.wait_with_output().unwrap();
    assert_ended(&output, 6, &["File too large", "nothing was confirmed"]);
    assert_eq!(names(folder.path()), [""; 0]);
}
