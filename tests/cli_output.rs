//! What is said and printed: to people, to programs, and to nobody at all.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod scene;

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portal_backup::{Fault, Sandbox};
use scene::{GENERATE, Ran, Scene, mode, program};

/// A pipe that is full, and whoever should read from it.
fn full() -> (Stdio, UnixStream) {
    let (mut writer, reader) = UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    while writer.write(&[b'.'; 4096]).is_ok() {}
    writer.set_nonblocking(false).unwrap();
    (OwnedFd::from(writer).into(), reader)
}

/// What nobody will ever read.
fn closed() -> Stdio {
    OwnedFd::from(UnixStream::pair().unwrap().0).into()
}

fn full_disk() -> Stdio {
    fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// A service that does something when a request arrives, and then hands all on to the sandbox.
fn before_answering(sandbox: &Sandbox, what: impl FnOnce() + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let behind = sandbox.url().trim_start_matches("http://").to_string();
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        what();
        let service = TcpStream::connect(behind).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), service.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let (mut from, mut to) = (service, client);
        let _ = std::io::copy(&mut from, &mut to);
    });
    url
}

// Nobody reads

#[test]
fn a_run_does_not_wait_for_anybody_to_read_what_it_says() {
    for with_json in [false, true] {
        let scene = Scene::new();
        let mut command = scene.command(&["-o", "x.json", GENERATE, "--base-url", scene.sandbox.url()]);
        let (stderr, _stderr) = full();
        let (stdout, _stdout) = full();
        if with_json {
            command.arg("--json").stdout(stdout);
        }
        let start = Instant::now();
        let status = command.stderr(stderr).status().unwrap();
        assert_eq!(status.code(), Some(0));
        assert_eq!(scene.sandbox.confirmed(), scene.stored("x.json").share_pair_ids());
        // A second for each at the end, and some for a busy machine.
        assert!(start.elapsed() < Duration::from_secs(2 + 6), "{:?}", start.elapsed());
    }
}

#[test]
fn a_failure_ends_in_time_though_nobody_reads_why() {
    let scene = Scene::new();
    scene.sandbox.fail_next(Fault::Status(400));
    let (stderr, _reader) = full();
    let mut command = scene.command(&["-o", "x.json", GENERATE, "--base-url", scene.sandbox.url()]);
    let start = Instant::now();
    assert_eq!(command.stderr(stderr).status().unwrap().code(), Some(4));
    assert!(start.elapsed() < Duration::from_secs(1 + 6), "{:?}", start.elapsed());
    assert_eq!(scene.names(), [""; 0]);
}

#[test]
fn what_a_run_was_for_is_not_lost_in_silence() {
    let scene = Scene::new();
    let mut number = 0;
    let mut run = |arguments: &[&str], stdout: Stdio, stderr: Stdio| {
        number += 1;
        let output = format!("x{number}.json");
        let mut command = scene.command(&["-o", &output, GENERATE, "--no-confirm"]);
        command.args(arguments).args(["--base-url", scene.sandbox.url()]);
        let output = command.stdout(stdout).stderr(stderr).output().unwrap();
        Ran::new(output)
    };
    let piped = Stdio::piped;
    for out in [closed, full_disk] {
        run(&["--json"], out(), piped()).exits(7).says("\n  portal-backup confirm ");
        run(&["--json", "-q"], out(), piped()).exits(7).says("\n  portal-backup confirm ");
        run(&["--json", "-q"], out(), out()).exits(7);
        run(&[], piped(), out()).exits(7);
        run(&["-q"], piped(), out()).exits(7);
        let ran = run(&["--json"], piped(), out()).exits(0);
        assert!(ran.stdout.contains("\"confirmed\":false"));
    }
    let (stdout, _reader) = full();
    run(&["--json"], stdout, piped()).exits(7).says("\n  portal-backup confirm ");
    let (stderr, _reader) = full();
    run(&[], piped(), stderr).exits(7);
    run(&["-q"], piped(), piped()).exits(0).says("\n  portal-backup confirm ");
    assert_eq!(run(&["-q", "--json"], piped(), piped()).exits(0).stderr, "");

    // What is confirmed is done.
    let mut command =
        scene.command(&["-o", "done.json", GENERATE, "--json", "--base-url", scene.sandbox.url()]);
    Ran::new(command.stdout(full_disk()).output().unwrap()).exits(0).says("--json prints cannot be written");
}

// Programs read

#[test]
fn each_way_to_end_has_its_line_of_json() {
    let scene = Scene::new();
    let mut lines = Vec::new();
    let mut run = |arguments: &[&str], code: i32| {
        let ran = scene.back_up(&[&["--json"], arguments].concat()).exits(code);
        assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
        lines.push(ran.stdout.trim_end().to_string());
    };
    run(&["-o", "x.json"], 2);
    run(&["-o", "missing/x.json", GENERATE], 2);
    run(&["-o", "x.json", "missing.json"], 2);
    scene.sandbox.fail_next(Fault::Status(400));
    run(&["-o", "x.json", GENERATE], 4);
    scene.sandbox.fail_next(Fault::StatusRetryAfter(429, Duration::from_secs(1)));
    run(&["-o", "x.json", GENERATE, "--timeout", "0.5"], 4);
    scene.sandbox.fail_next(Fault::Status(503));
    run(&["-o", "x.json", GENERATE], 5);
    scene.sandbox.fail_next(Fault::CloseBeforeResponse);
    run(&["-o", "x.json", GENERATE], 5);
    scene.sandbox.fail_next(Fault::Body(b"{}".to_vec()));
    run(&["-o", "x.json", GENERATE], 5);
    run(&["--store-with", "exit 1", GENERATE], 6);
    let message = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        (line["id"].as_str().unwrap().to_string(), line["message"].as_str().unwrap().to_string())
    };
    let (id, told) = message(&lines[3]);
    assert_eq!(lines[..3], [r#"{"exit":2,"outcome":"notSent"}"#; 3]);
    assert_eq!(
        lines[3],
        format!(r#"{{"exit":4,"outcome":"refused","status":400,"id":"{id}","message":"{told}"}}"#)
    );
    assert!(lines[4].starts_with(r#"{"exit":4,"outcome":"refused","status":429,"id":""#), "{}", lines[4]);
    assert!(lines[4].ends_with(r#","retryAfter":1}"#), "{}", lines[4]);
    assert!(lines[5].starts_with(r#"{"exit":5,"outcome":"unknown","status":503,"id":""#), "{}", lines[5]);
    assert_eq!(lines[6], r#"{"exit":5,"outcome":"unknown"}"#);
    assert_eq!(lines[7], r#"{"exit":5,"outcome":"unknown","status":200,"kept":"x.json.unreadable"}"#);
    assert!(lines[8].starts_with(r#"{"exit":6,"outcome":"unknown","sharePairIds":[""#), "{}", lines[8]);
    assert!(lines[8].ends_with(r#""],"confirmed":false}"#), "{}", lines[8]);

    let mut command =
        scene.command(&["-o", "x.json", "--json", GENERATE, "--base-url", "http://127.0.0.1:1"]);
    assert_eq!(Ran::new(command.output().unwrap()).exits(3).stdout, "{\"exit\":3,\"outcome\":\"notSent\"}\n");
    let mut command = program();
    command.current_dir(scene.folder.path()).env("PORTAL_CLIENT_API_KEY", scene.sandbox.api_key());
    command.args(["-o", "x.json", "--json", GENERATE, "--base-url", scene.sandbox.url()]);
    let ran = Ran::new(command.args(["--client-api-url", "http://127.0.0.1:1"]).output().unwrap()).exits(7);
    let [first, second] = scene.stored("x.json").share_pair_ids().map(String::from);
    let ids = format!("[\"{first}\",\"{second}\"]");
    assert_eq!(
        ran.stdout,
        format!(
            "{{\"exit\":7,\"outcome\":\"notSent\",\"sharePairIds\":{ids},\"file\":\"x.json\",\"confirmed\":false}}\n"
        )
    );
    let mut command = scene.command(&["confirm", "--json", "unknown-1", "unknown-2"]);
    let ran = Ran::new(command.output().unwrap()).exits(4);
    assert_eq!(ran.stdout, "{\"exit\":4,\"outcome\":\"refused\",\"status\":400}\n");
}

// Shares that cannot be stored where they should be

#[test]
fn shares_that_cannot_be_stored_are_kept_elsewhere_for_their_owner_alone() {
    type Spoil = fn(&Path);
    let spoils: &[(&str, Spoil, &str)] = &[
        (
            "the name is taken",
            |folder| fs::write(folder.join("x.json"), "theirs").unwrap(),
            "out/x.json.unconfirmed",
        ),
        (
            "so is the next",
            |folder| {
                fs::write(folder.join("x.json"), "theirs").unwrap();
                fs::write(folder.join("x.json.unconfirmed"), "theirs").unwrap();
            },
            "out/x.json.unconfirmed.2",
        ),
        ("the folder is gone", |folder| fs::remove_dir_all(folder).unwrap(), "portal-backup.unconfirmed"),
        (
            "the folder has another name",
            |folder| fs::rename(folder, folder.with_file_name("moved")).unwrap(),
            "portal-backup.unconfirmed",
        ),
        (
            "another folder has the name",
            |folder| {
                fs::rename(folder, folder.with_file_name("moved")).unwrap();
                fs::create_dir(folder).unwrap();
            },
            "out/x.json.unconfirmed",
        ),
    ];
    for (what, spoil, kept) in spoils {
        let scene = Scene::new();
        let folder = scene.path("out");
        fs::create_dir(&folder).unwrap();
        let url = before_answering(&scene.sandbox, move || spoil(&folder));
        let mut command = scene.command(&["-o", "out/x.json", "--json", GENERATE, "--base-url", &url]);
        let ran = Ran::new(command.output().unwrap()).exits(6).says(&format!("are kept in {kept}"));
        assert_eq!(mode(&scene.path(kept)), 0o600, "{what}");
        assert!(
            ran.stdout.ends_with(&format!(",\"confirmed\":false,\"kept\":\"{kept}\"}}\n")),
            "{}",
            ran.stdout
        );
        assert_eq!(scene.sandbox.confirmed(), [""; 0], "{what}");
        if scene.path("moved").exists() {
            let mut left = fs::read_dir(scene.path("moved")).unwrap().map(|entry| entry.unwrap().metadata());
            assert!(left.all(|found| found.unwrap().len() == 0), "{what}: a copy stayed");
        }
        // The way to go on that is said.
        scene.run_in("sh", ran.stderr.lines().last().unwrap().trim()).exits(0);
        assert_eq!(scene.sandbox.confirmed(), scene.stored(kept).share_pair_ids(), "{what}");
    }
}

#[test]
fn a_failure_inside_of_the_command_counts() {
    let scene = Scene::new();
    let failing = [
        "tee /dev/full | wc -c",
        "cat > /dev/full; echo done",
        "cat >/dev/full\necho done",
        "false; cat > x",
        "cat | cat > /dev/full | cat",
        "( cat > /dev/full; true ); true",
    ];
    for command in failing {
        let ran = scene.back_up(&["--store-with", command, GENERATE]);
        assert_eq!(ran.code, Some(6), "{command}: {}", ran.stderr);
    }
    assert_eq!(scene.sandbox.confirmed(), [""; 0]);
    for command in ["tee x | wc -c", "cat > y; echo done", "if false; then :; fi; cat > z"] {
        let ran = scene.back_up(&["--store-with", command, GENERATE]);
        assert_eq!(ran.code, Some(0), "{command}: {}", ran.stderr);
    }
    for name in ["x", "y", "z"] {
        let _whole = scene.stored(name);
    }
}

#[test]
fn a_folder_from_which_nothing_can_be_removed_is_refused_at_once() {
    let scene = Scene::new();
    let folder = scene.path("kept for ever");
    fs::create_dir(&folder).unwrap();
    let set =
        |flag: &str| Command::new("chattr").arg(flag).arg(&folder).output().is_ok_and(|o| o.status.success());
    if !set("+a") {
        eprintln!("skipped: there are no append-only folders here");
        return;
    }
    let ran = scene.back_up(&["-o", "kept for ever/x.json", GENERATE]);
    assert!(set("-a"));
    ran.exits(2).says("nothing can be removed from its folder").says("nothing was sent");
    assert!(scene.sandbox.requests().is_empty());
}

#[test]
fn shares_of_a_run_that_was_killed_are_named_with_their_ids_and_stay() {
    let scene = Scene::new();
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    // FNV-1a of the target's name.
    let hash = "x.json"
        .bytes()
        .fold(0xcbf29ce484222325, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x100000001b3));
    let hidden = |time: u32| format!(".portal-backup-{hash:016x}-{:x}-{time:x}-0.tmp", ended.id());
    let text = r#"{"SECP256K1":{"share":"YQ","id":"first-id"},"ED25519":{"share":"Yg","id":"second-id"}}"#;
    fs::write(scene.path(&hidden(1)), text).unwrap();
    fs::write(scene.path(&hidden(2)), &text[..20]).unwrap();
    fs::write(scene.path(&hidden(3)), "").unwrap();
    let ran = scene
        .back_up(&["-o", "x.json", GENERATE])
        .exits(0)
        .says(&format!("{}: shares first-id and second-id of an earlier run", hidden(1)))
        .says(&format!("{}: part of an answer", hidden(2)))
        .says("delete it once a later backup is confirmed");
    assert!(!ran.stderr.contains(&hidden(3)));
    // Also when the output is there, and the run ends at once.
    scene.back_up(&["-o", "x.json", GENERATE]).exits(2).says(&hidden(1)).says("second-id of an earlier run");
    assert_eq!(fs::read_to_string(scene.path(&hidden(1))).unwrap(), text);
    assert_eq!(scene.names().len(), 4, "{:?}", scene.names());
}

// On a terminal

/// Runs it on a terminal of its own, on which this is typed; returns what is shown, if there is a program for that.
fn on_a_terminal(scene: &Scene, term: &str, arguments: &str, typed: &str) -> Option<String> {
    let program = env!("CARGO_BIN_EXE_portal-backup");
    let url = scene.sandbox.url();
    let line = format!("{program} {arguments} --base-url {url} --client-api-url {url}");
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env("TERM", term);
    command.current_dir(scene.folder.path()).env("PORTAL_CLIENT_API_KEY", scene.sandbox.api_key());
    let Ok(mut child) = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
        eprintln!("skipped: there is no script");
        return None;
    };
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    Some(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap())
}

#[test]
fn seconds_tick_on_a_terminal_that_can_show_them() {
    for (term, ticks) in [("xterm", true), ("dumb", false)] {
        let scene = Scene::new();
        let Some(shown) = on_a_terminal(&scene, term, &format!("-o x.json {GENERATE}"), "") else { return };
        assert_eq!(shown.contains("backing up … 0 s"), ticks, "{shown:?}");
        assert!(shown.contains("confirmed   the wallet") && !shown.contains('\u{1b}'), "{shown:?}");
    }
}

#[test]
fn on_a_terminal_it_says_that_it_reads_from_there() {
    let scene = Scene::new();
    // Control-D ends the input.
    let Some(shown) = on_a_terminal(&scene, "xterm", "-o x.json -", "{}\n\u{4}") else { return };
    assert!(shown.contains("reading the generate response from standard input"), "{shown:?}");
    assert!(shown.contains("SECP256K1 is missing"), "{shown:?}");
}
