//! Shares that go through a command: encrypted into a file, or stored by the command itself.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod scene;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portal_backup::{BackupShares, Fault};
use scene::{GENERATE, Ran, Scene, mode, program};

fn sh(scene: &Scene, line: &str) -> Vec<u8> {
    let mut shell = Command::new("sh");
    let shell = shell.args(["-ec", line]).current_dir(scene.folder.path());
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn an_encryption_that_fails_stores_nothing() {
    let scene = Scene::new();
    let failing = [
        ("cat; exit 1", "failed"),
        ("cat | cat; false | true", "failed"),
        ("cat > /dev/null", "wrote nothing"),
        ("head -c 100", "did not read all"),
        ("echo; exec <&-; sleep 0.2", "did not read all"),
        ("cat > /dev/null; head -c 16777217 /dev/zero", "more than 16 MiB"),
        ("yes & cat > /dev/null; wait", "more than 16 MiB"),
        ("kill -9 $$", "failed"),
    ];
    for (command, why) in failing {
        let ran = scene.back_up(&["-o", "x.enc", "--encrypt-with", command, GENERATE]).exits(6);
        assert!(ran.stderr.contains("nothing was confirmed") && ran.stderr.contains(why), "{command}: {}", ran.stderr);
    }
    assert_eq!(scene.names(), [""; 0]);
    assert_eq!(scene.sandbox.confirmed(), [""; 0]);
    scene.back_up(&["-o", "x.enc", "--encrypt-with", "head -c 16777216 /dev/zero; cat >&2", GENERATE]).exits(0);
}

#[test]
fn an_encrypted_file_is_reserved_before_a_pair_is_made() {
    let scene = Scene::new();
    fs::write(scene.path("x.enc"), "there").unwrap();
    let encrypt = ["-o", "x.enc", "--encrypt-with", "tr a-z n-za-m", GENERATE];
    scene.back_up(&encrypt).exits(2).says("exists already");
    assert_eq!((scene.sandbox.requests().len(), scene.names().len()), (0, 1));
    fs::remove_file(scene.path("x.enc")).unwrap();
    // What is encrypted is confirmed by its ids: a file that cannot be read is no proof.
    let ran = scene.back_up(&[&["--no-confirm"], &encrypt[..]].concat()).exits(0);
    let line = ran.stderr.lines().last().unwrap();
    assert!(line.starts_with("  portal-backup confirm ") && !line.contains("x.enc"), "{line}");
    scene.run_in("sh", line.trim()).exits(0).says("confirmed");
}

#[test]
fn a_command_that_does_not_encrypt_is_warned_about() {
    let scene = Scene::new();
    for (i, command) in ["cat", "fold -w 76", "base64 -w 0 | base64 -d"].iter().enumerate() {
        let name = format!("x{i}");
        let ran = scene.back_up(&["-q", "-o", &name, "--encrypt-with", command, GENERATE]).exits(0);
        assert!(ran.stderr.starts_with("warning ") && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    }
}

#[test]
fn what_is_encrypted_and_gets_no_name_is_kept_beside_it() {
    let scene = Scene::new();
    let encrypt = "tr a-zA-Z n-za-mN-ZA-M; echo theirs > x.enc";
    let ran = scene.back_up(&["-o", "x.enc", "--encrypt-with", encrypt, GENERATE]).exits(6);
    assert_eq!(scene.names(), ["x.enc", "x.enc.unconfirmed"]);
    assert_eq!(fs::read_to_string(scene.path("x.enc")).unwrap(), "theirs\n");
    assert_eq!(mode(&scene.path("x.enc.unconfirmed")), 0o600);
    let decrypted = sh(&scene, "tr a-zA-Z n-za-mN-ZA-M < x.enc.unconfirmed");
    let shares = BackupShares::parse(decrypted).unwrap();
    scene.run_in("sh", ran.stderr.lines().last().unwrap().trim()).exits(0);
    assert_eq!(scene.sandbox.confirmed(), shares.share_pair_ids());
}

#[test]
fn with_a_command_an_unreadable_success_is_not_written_in_plain_text() {
    let scene = Scene::new();
    let run = |to: &[&str]| {
        scene.sandbox.fail_next(Fault::Body(b"perhaps shares".to_vec()));
        scene.back_up(&[to, &[GENERATE]].concat()).exits(5).says("nothing was confirmed")
    };
    run(&["-o", "x.enc", "--encrypt-with", "tr a-z A-Z"]).says("is kept in x.enc.unreadable");
    assert_eq!(fs::read(scene.path("x.enc.unreadable")).unwrap(), b"PERHAPS SHARES");
    run(&["-o", "y.enc", "--encrypt-with", "cat; exit 1"]).says("The response is lost");
    run(&["--store-with", "cat"]).says("--encrypt-with");
    run(&["--store-with", "cat > got"]).says("The command was given the response");
    assert_eq!(scene.names(), ["got", "x.enc.unreadable"]);
}

#[test]
fn a_byte_on_the_output_of_a_command_that_stores_means_that_nothing_is_stored() {
    let scene = Scene::new();
    for command in
        ["tee x1", "cat > x2; echo", "cat > x3; head -c 300000 /dev/zero", "(sleep 0.1; echo) & cat > x4; wait"]
    {
        let ran = scene.back_up(&["--store-with", command, GENERATE]).exits(6).says(">/dev/null");
        let ran = ran.says("--encrypt-with").says("nothing was confirmed");
        assert_eq!(ran.stdout, "");
        assert_eq!(scene.sandbox.confirmed(), [""; 0], "{command}");
    }
    // Who knows better can go on.
    let ran = scene.back_up(&["--store-with", "tee kept", GENERATE]).exits(6);
    scene.run_in("sh", ran.stderr.lines().last().unwrap().trim()).exits(0);
    assert_eq!(scene.sandbox.confirmed(), scene.stored("kept").share_pair_ids());
    scene.back_up(&["--store-with", "tee x5 >/dev/null", GENERATE]).exits(0);
}

#[test]
fn a_command_is_judged_when_it_exits_whatever_its_children_hold_open() {
    let scene = Scene::new();
    let start = Instant::now();
    for (to, command) in [("-o", "sleep 60 2>&- & cat"), ("", "sleep 60 2>&- & cat > y")] {
        let with = if to.is_empty() { &["--store-with", command][..] } else { &["-o", "x", "--encrypt-with", command] };
        scene.back_up(&[with, &[GENERATE]].concat()).exits(0);
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(scene.stored("x").expose_json().len(), scene.stored("y").expose_json().len());
}

#[test]
fn commands_work_whatever_is_inherited() {
    let scene = Scene::new();
    let encrypt = "cat; test -z \"$PORTAL_CLIENT_API_KEY\"";
    let inner = scene.command(&["-o", "x", "--encrypt-with", encrypt, "--base-url", scene.sandbox.url(), GENERATE]);
    // Not every shell can have SIGCHLD ignored.
    let [ignored, all_ignored, all_blocked] =
        ["ignore-signal=CHLD", "ignore-signal", "block-signal"].map(|option| format!("with='env --{option}'"));
    for (i, state) in [&*ignored, &all_ignored, &all_blocked, "exec <&-", "umask 0177"].iter().enumerate() {
        let mut command = Command::new("sh");
        command.args(["-c", &format!(r#"{state}; exec $with "$0" "$@""#)]);
        command.arg(inner.get_program()).args(inner.get_args()).current_dir(scene.folder.path());
        command.env("PORTAL_CLIENT_API_KEY", scene.sandbox.api_key());
        Ran::new(command.output().unwrap()).exits(0);
        fs::rename(scene.path("x"), scene.path(&format!("x{i}"))).unwrap();
    }
}

/// Confirms a backup that is there, and makes none.
#[test]
fn resume_confirms_what_is_there_and_makes_what_is_not() {
    let scene = Scene::new();
    let resume = ["--resume", "-o", "x.json", GENERATE];
    scene.back_up(&[&["--no-confirm"], &resume[..]].concat()).exits(0).says("stored");
    let ids = scene.stored("x.json").share_pair_ids().map(String::from);
    let ran = scene.back_up(&[&["--no-confirm"], &resume[..]].concat()).exits(0).says("found");
    assert_eq!(scene.sandbox.requests().len(), 1, "{}", ran.stderr);
    scene.sandbox.fail_next(Fault::Status(400));
    scene.back_up(&resume).exits(7).says("\n  portal-backup confirm ");
    for _ in 0..2 {
        scene.back_up(&resume).exits(0).says("confirmed");
    }
    assert_eq!(scene.sandbox.confirmed()[..2], ids);
    let requests = scene.sandbox.requests();
    assert_eq!(requests.iter().filter(|request| request.method == "POST").count(), 1);
    assert_eq!(scene.names(), ["x.json"]);
}

#[test]
fn resume_takes_nothing_but_a_whole_backup() {
    let scene = Scene::new();
    scene.back_up(&["--no-confirm", "-o", "x.json", GENERATE]).exits(0);
    let whole = fs::read_to_string(scene.path("x.json")).unwrap();
    let generate = fs::read_to_string(GENERATE).unwrap();
    let share = scene.stored("x.json").secp256k1().expose_share().to_string();
    let damaged = [
        generate.clone(),
        format!("\n{generate}\n"),
        generate.replace(':', ": "),
        String::new(),
        "not a backup".into(),
        whole[..whole.len() - 1].into(),
        whole.replace(&share, &share[..share.len() / 2]),
        whole.replace(&share, &format!("{}????", &share[..share.len() - 4])),
    ];
    for (i, text) in damaged.iter().enumerate() {
        fs::write(scene.path("y.json"), text).unwrap();
        let ran = scene.back_up(&["--resume", "-o", "y.json", GENERATE]).exits(2);
        assert!(ran.stderr.contains("y.json") && !ran.stderr.contains("portal-backup confirm"), "{i}: {}", ran.stderr);
        assert_eq!(fs::read_to_string(scene.path("y.json")).unwrap(), *text);
        if i > 2 {
            let text = "does not hold two whole shares";
            Ran::new(scene.command(&["confirm", "y.json"]).output().unwrap()).exits(2).says(text);
            let verified = program().arg("verify").arg(scene.path("y.json")).output().unwrap();
            Ran::new(verified).exits(2).says("damaged or no backup: /");
        }
    }
    assert_eq!(scene.sandbox.requests().len(), 1);
}

#[test]
fn nothing_under_the_sandbox_speaks_of_a_real_wallet() {
    let scene = Scene::new();
    let run = |arguments: &[&str], code| {
        let mut command = program();
        command.current_dir(scene.folder.path()).args(["--sandbox"]).args(arguments).arg(GENERATE);
        let ran = Ran::new(command.output().unwrap()).exits(code);
        for text in ["portal-backup confirm", "can be recovered", "\"next\""] {
            assert!(!ran.stderr.contains(text) && !ran.stdout.contains(text), "{} {}", ran.stderr, ran.stdout);
        }
    };
    run(&["-o", "x.json"], 0);
    run(&["-o", "y.json", "--no-confirm", "--json"], 0);
    run(&["-o", "y.json", "--json"], 2);
    run(&["-o", "z.json", "--encrypt-with", "cat; echo > z.json"], 6);
    run(&["--store-with", "cat", "--json"], 6);
    run(&["-o", "x.json", "--resume", "--json"], 7);
}

#[test]
fn the_sandbox_says_what_it_does_and_ends_as_process_1() {
    use std::io::{BufRead as _, BufReader};
    let own = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let can = Command::new("unshare").args(own).arg("true").output().is_ok_and(|o| o.status.success());
    for signal in ["INT", "TERM"] {
        for namespace in [false, true] {
            if namespace && !can {
                eprintln!("skipped: no namespaces of processes here");
                continue;
            }
            // Neither ignored nor blocked, whoever runs the tests.
            let mut command = Command::new("env");
            command.arg("--default-signal=INT,TERM").stderr(Stdio::null()).stdout(Stdio::piped());
            if namespace {
                command.arg("unshare").args(own);
            }
            let mut child = command.args([env!("CARGO_BIN_EXE_portal-backup"), "sandbox"]).spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
            let url = lines.next().unwrap().strip_prefix("PORTAL_SANDBOX_URL=").unwrap().to_string();
            let key = lines.next().unwrap().strip_prefix("PORTAL_CLIENT_API_KEY=").unwrap().to_string();
            let folder = tempfile::tempdir().unwrap();
            let mut run = program();
            run.env("PORTAL_CLIENT_API_KEY", key).current_dir(folder.path()).args(["-o", "x.json", GENERATE]);
            let run = run.args(["--base-url", &url, "--client-api-url", &url]).output().unwrap();
            Ran::new(run).exits(0);
            assert_eq!(lines.next().unwrap(), "POST /v1/backup 200");
            assert_eq!(lines.next().unwrap(), "PATCH /api/v3/clients/me/backup-share-pairs 204");
            let parent = child.id().to_string();
            let target = match namespace {
                true => fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap(),
                false => parent,
            };
            assert!(Command::new("kill").args([&format!("-{signal}"), target.trim()]).status().unwrap().success());
            let start = Instant::now();
            while child.try_wait().unwrap().is_none() {
                if start.elapsed() > Duration::from_secs(10) {
                    child.kill().unwrap();
                    panic!("SIG{signal} did not end it (namespace: {namespace})");
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

#[test]
fn the_command_for_later_names_nothing_that_is_gone_by_then() {
    let scene = Scene::new();
    fs::write(scene.path("größe key"), scene.sandbox.api_key()).unwrap();
    let url = scene.sandbox.url();
    let line = |name: &str, key: &str| {
        let rest = format!("--no-confirm {GENERATE} --base-url {url} --client-api-url {url}");
        format!("unset PORTAL_CLIENT_API_KEY; portal-backup -o '{name}' --api-key-file {key} {rest}")
    };
    let kept = scene.run_in("bash", &line("größe.json", "'größe key'")).exits(0);
    let printed = kept.stderr.lines().last().unwrap();
    let command = format!("  portal-backup confirm --api-key-file 'größe key' --client-api-url {url} 'größe.json'");
    assert_eq!(printed, command);
    scene.run_in("sh", &format!("unset PORTAL_CLIENT_API_KEY; {printed}")).exits(0);
    for (i, key) in ["<(cat gr*key)", "/dev/stdin < gr*key", "/proc/self/fd/5 5< gr*key"].iter().enumerate() {
        let ran = scene.run_in("bash", &line(&format!("./-{i}\n.json"), key)).exits(0);
        let ran = ran.says("To confirm (add --api-key-file: ");
        let printed = ran.stderr.lines().last().unwrap().to_string();
        assert!(!printed.contains("/dev") && !printed.contains("/proc"), "{printed}");
        scene.run_in("sh", &printed).exits(0).says("confirmed");
    }
}

#[test]
fn what_is_wrong_with_a_key_file_is_told_and_no_key_is_shown() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::new();
    let run = |file: &str, output: &str| scene.back_up(&["-o", output, "--api-key-file", file, GENERATE]);
    run("missing.txt", "x").exits(2).says("--api-key-file missing.txt: No such file").says("nothing was sent");
    let key = "0d7a11c8-2f6e-4b1c-9a55-8e1f0c3d7b21";
    assert!(!run(key, "x").exits(2).stderr.contains("0d7a"));
    fs::write(scene.path("key"), "'quoted'\n").unwrap();
    run("key", "x").exits(2).says("--api-key-file key: the client API key is in quotes");
    fs::write(scene.path("key"), scene.sandbox.api_key()).unwrap();
    for (mode, warns) in [(0o600, false), (0o640, true), (0o604, true), (0o400, false)] {
        fs::set_permissions(scene.path("key"), fs::Permissions::from_mode(mode)).unwrap();
        let ran = run("key", &format!("x{mode}")).exits(0);
        assert_eq!(ran.stderr.contains("warning     others can read key: chmod 600"), warns, "{}", ran.stderr);
    }
}

#[test]
fn verbose_shows_what_the_library_logs_and_nothing_is_shown_without() {
    let scene = Scene::new();
    scene.sandbox.fail_next(Fault::StatusRetryAfter(429, Duration::from_secs(1)));
    let ran = scene.back_up(&["-v", "-o", "x.json", GENERATE]).exits(0);
    assert!(!ran.stderr.contains(scene.sandbox.api_key()), "{}", ran.stderr);
    for text in ["connected to 127.0.0.1", "waiting 1 s: the service said 429", "status 200"] {
        assert!(ran.stderr.contains(text), "{text}: {}", ran.stderr);
    }
    scene.sandbox.fail_next(Fault::StatusRetryAfter(429, Duration::from_secs(1)));
    let ran = scene.back_up(&["-o", "y.json", GENERATE]).exits(0);
    assert_eq!(ran.stderr.lines().count(), 3, "{}", ran.stderr);
}

#[test]
fn standard_input_that_does_not_block_is_read_to_its_end() {
    let scene = Scene::new();
    let (reader, mut writer) = std::os::unix::net::UnixStream::pair().unwrap();
    reader.set_nonblocking(true).unwrap();
    let mut command = scene.command(&["-o", "x.json", "-", "--base-url", scene.sandbox.url()]);
    let child =
        command.stdin(std::os::fd::OwnedFd::from(reader)).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
    drop(command);
    for part in fs::read(GENERATE).unwrap().chunks(4000) {
        std::io::Write::write_all(&mut writer, part).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(writer);
    Ran::new(child.wait_with_output().unwrap()).exits(0);
}

/// With too little address space, a run ends before the service can have acted, or not at all.
#[cfg(target_os = "linux")]
#[test]
fn with_little_memory_a_run_ends_before_it_sends_or_not_at_all() {
    let scene = Scene::new();
    for (i, kilobytes) in (4 << 10..14 << 10).step_by(128).chain((14 << 10..160 << 10).step_by(4 << 10)).enumerate() {
        let before = scene.sandbox.requests().len();
        // So long that its memory is missed.
        let pad = "x".repeat(300_000);
        let shares = r#""SECP256K1":{"share":"c2hhcmU","id":"a"},"ED25519":{"share":"c2hhcmU","id":"b"}"#;
        scene.sandbox.fail_next_backup(Fault::Body(format!(r#"{{"pad":"{pad}",{shares}}}"#).into()));
        scene.sandbox.fail_next_confirm(Fault::Status(204));
        let to = format!("x{i}");
        let arguments = ["-v", "-o", &to, GENERATE, "--base-url", scene.sandbox.url(), "--encrypt-with", "cat"];
        let inner = scene.command(if i % 2 == 0 { &arguments } else { &arguments[..6] });
        let mut command = Command::new("prlimit");
        command.arg(format!("--as={}", kilobytes << 10)).arg(inner.get_program()).args(inner.get_args());
        command.current_dir(scene.folder.path()).env("PORTAL_CLIENT_API_KEY", scene.sandbox.api_key());
        let output = command.stdin(Stdio::null()).output().unwrap();
        let sent = scene.sandbox.requests().len() - before;
        let is_done = output.status.success() && sent == 2;
        assert!(
            is_done || sent == 0,
            "{kilobytes} KiB: {:?}, {sent} requests: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
