//! What is said and printed: to people, to programs, and to nobody at all.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod scene;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use portal_backup::Fault;
use scene::{GENERATE, Ran, Scene, mode, program};

/// What nobody will ever read.
fn closed() -> Stdio {
    OwnedFd::from(UnixStream::pair().unwrap().0).into()
}

fn full_disk() -> Stdio {
    fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

// Nobody reads

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
    run(&["-q"], piped(), piped()).exits(0).says("\n  portal-backup confirm ");
    assert_eq!(run(&["-q", "--json"], piped(), piped()).exits(0).stderr, "");

    // What is confirmed is done, whoever listens.
    let mut command = scene.command(&["-o", "y.json", GENERATE, "--json", "--base-url", scene.sandbox.url()]);
    assert_eq!(command.stdout(closed()).stderr(closed()).status().unwrap().code(), Some(0));
    let mut command = scene.command(&["-o", "done.json", GENERATE, "--json", "--base-url", scene.sandbox.url()]);
    Ran::new(command.stdout(full_disk()).output().unwrap()).exits(0).says("--json prints cannot be written");
}

// Programs read

#[test]
fn each_way_to_end_has_its_line_of_json() {
    type Json = serde_json::Value;
    let scene = Scene::new();
    let parse = |ran: &Ran, code: i32, members: &str| {
        let json: Json = serde_json::from_str(&ran.stdout).unwrap();
        // In this order, and no other.
        let mut text = ran.stdout.as_str();
        for member in members.split(' ') {
            let at = text.find(&format!("\"{member}\":")).unwrap_or_else(|| panic!("{member}: {}", ran.stdout));
            text = &text[at..];
        }
        assert_eq!(json.as_object().unwrap().len(), members.split(' ').count(), "{}", ran.stdout);
        assert_eq!((json["exit"].as_i64(), ran.stdout.lines().count()), (Some(code.into()), 1));
        if code != 0 {
            let error = json["error"].as_str().unwrap();
            assert!(ran.stderr.contains(&format!("portal-backup: {error}")), "{} {}", ran.stderr, ran.stdout);
        }
        if let Some(next) = json["next"].as_str() {
            assert_eq!(ran.stderr.lines().last().unwrap(), format!("  {next}"));
        }
        json
    };
    let run = |arguments: &[&str], code: i32, members: &str| {
        let ran = scene.back_up(&[&["--json"], arguments].concat()).exits(code);
        parse(&ran, code, members)
    };
    let to = |other: &[&str]| {
        let mut command = program();
        command.current_dir(scene.folder.path()).env("PORTAL_CLIENT_API_KEY", scene.sandbox.api_key());
        Ran::new(command.args(other).arg("--json").output().unwrap())
    };
    run(&["-o", "x.json"], 2, "exit outcome error");
    run(&["-o", "missing/x.json", GENERATE], 2, "exit outcome error");
    run(&["-o", "x.json", "missing.json"], 2, "exit outcome error");
    scene.sandbox.fail_next(Fault::Status(400));
    let refused = run(&["-o", "x.json", GENERATE], 4, "exit outcome error call status id message");
    assert_eq!((&refused["outcome"], &refused["call"]), (&"refused".into(), &"backup".into()));
    scene.sandbox.fail_next(Fault::StatusRetryAfter(429, Duration::from_secs(1)));
    let members = "exit outcome error call status id message retryAfter";
    let limited = run(&["-o", "x.json", GENERATE, "--timeout", "0.5"], 4, members);
    assert_eq!((&limited["status"], &limited["retryAfter"]), (&429.into(), &1.into()));
    scene.sandbox.fail_next(Fault::Status(503));
    run(&["-o", "x.json", GENERATE], 5, "exit outcome error call status id message");
    scene.sandbox.fail_next(Fault::CloseBeforeResponse);
    run(&["-o", "x.json", GENERATE], 5, "exit outcome error call");
    scene.sandbox.fail_next(Fault::Body(b"{}".to_vec()));
    let unreadable = run(&["-o", "x.json", GENERATE], 5, "exit outcome error call status kept");
    assert_eq!(unreadable["kept"], "x.json.unreadable");
    run(&["--store-with", "exit 1", GENERATE], 6, "exit outcome error sharePairIds confirmed");
    run(&["--store-with", "cat", GENERATE], 6, "exit outcome error sharePairIds confirmed next");
    let stored = run(&["-o", "n.json", GENERATE, "--no-confirm"], 0, "exit sharePairIds file confirmed next");
    assert_eq!((&stored["confirmed"], &stored["file"]), (&false.into(), &"n.json".into()));
    run(&["-o", "n.json", GENERATE], 2, "exit outcome error next");

    let nowhere = "http://127.0.0.1:1";
    let unreached = to(&["-o", "x.json", GENERATE, "--base-url", nowhere]).exits(3);
    parse(&unreached, 3, "exit outcome error call");
    let url = scene.sandbox.url();
    let unconfirmed = to(&["-o", "x.json", GENERATE, "--base-url", url, "--client-api-url", nowhere]).exits(7);
    let json = parse(&unconfirmed, 7, "exit outcome error call sharePairIds file confirmed next");
    assert_eq!(json["sharePairIds"], serde_json::json!(scene.stored("x.json").share_pair_ids()));
    assert_eq!((&json["call"], &json["outcome"]), (&"confirm".into(), &"notSent".into()));
    let refused = to(&["confirm", "unknown-1", "unknown-2", "--client-api-url", url]).exits(4);
    parse(&refused, 4, "exit outcome error call sharePairIds confirmed status");

    let whole = to(&["verify", "x.json"]).exits(0);
    assert_eq!(parse(&whole, 0, "exit sharePairIds file")["file"], "x.json");
    let missing = to(&["verify", "missing"]).exits(2);
    assert_eq!(parse(&missing, 2, "exit error file")["file"], "missing");
}

// Shares that cannot be stored where they should be

#[test]
fn shares_that_cannot_be_stored_are_kept_elsewhere_for_their_owner_alone() {
    type Spoil = fn(&Path);
    let spoils: &[(&str, Spoil, &str)] = &[
        ("the name is taken", |folder| fs::write(folder.join("x.json"), "theirs").unwrap(), "out/x.json.unconfirmed"),
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
        let url = scene.at_a_request(move || spoil(&folder));
        let mut command = scene.command(&["-o", "out/x.json", "--json", GENERATE, "--base-url", &url]);
        let ran = Ran::new(command.output().unwrap()).exits(6).says(&format!("are kept in {kept}"));
        assert_eq!(mode(&scene.path(kept)), 0o600, "{what}");
        let theirs = fs::read(scene.path("out/x.json"));
        assert!(theirs.is_err() || theirs.is_ok_and(|text| text == b"theirs"), "{what}");
        assert!(ran.stdout.contains(&format!(",\"confirmed\":false,\"kept\":\"{kept}\",\"next\":")), "{}", ran.stdout);
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
        "exit 3",
        "cat > /dev/null; exit 1",
        "exec 0<&-; exit 0",
        "kill -9 $$",
        "no-such-command-here",
    ];
    for command in failing {
        scene.back_up(&["--store-with", command, GENERATE]).exits(6).says("nothing was confirmed");
    }
    assert_eq!(scene.sandbox.confirmed(), [""; 0]);
    assert_eq!(scene.names(), [""; 0], "no shares on a disk that the command was to encrypt");
    for command in ["tee x | wc -c >&2", "cat > y; echo done >&2", "if false; then :; fi; cat > z"] {
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
    let set = |flag: &str| Command::new("chattr").arg(flag).arg(&folder).output().is_ok_and(|o| o.status.success());
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
fn what_a_run_that_was_killed_has_left_is_named_and_stays() {
    let scene = Scene::new();
    // The hidden file of a run that ends while it waits for the response.
    scene.sandbox.fail_next(Fault::Delay(Duration::MAX));
    let mut command = scene.command(&["-o", "x.json", GENERATE, "--base-url", scene.sandbox.url()]);
    let requests = scene.sandbox.watch();
    let mut killed = command.stderr(Stdio::null()).spawn().unwrap();
    let _request = requests.recv_timeout(Duration::from_secs(20)).unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    let [hidden] = &scene.names()[..] else { panic!("{:?}", scene.names()) };
    fs::write(scene.path(hidden), "perhaps shares").unwrap();
    scene.back_up(&["-o", "x.json", GENERATE]).exits(0).says(&format!("left over   {hidden}: "));
    // Also when the output is there, and the run ends at once.
    scene.back_up(&["-o", "x.json", GENERATE]).exits(2).says(hidden);
    assert_eq!(fs::read_to_string(scene.path(hidden)).unwrap(), "perhaps shares");
    assert_eq!(scene.names().len(), 2, "{:?}", scene.names());
}

// On a terminal

#[test]
fn seconds_tick_on_a_terminal_that_can_show_them() {
    for (term, shows) in [("xterm", true), ("dumb", false)] {
        let scene = Scene::new();
        scene.sandbox.fail_next(Fault::Delay(Duration::from_millis(1500)));
        let arguments = format!("-o x.json {GENERATE}");
        let output = scene.on_a_terminal(&arguments, term, Stdio::null());
        let Some(output) = output else { return eprintln!("skipped: there is no script") };
        let shown = String::from_utf8(output.stdout).unwrap();
        assert_eq!(shown.contains("\rbacking up … 1 s"), shows, "{shown:?}");
        assert!(shown.contains("confirmed   the wallet") && !shown.contains('\u{1b}'), "{shown:?}");
    }
}
