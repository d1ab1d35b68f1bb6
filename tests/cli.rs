//! The command line, as a user meets it: exit codes, files, what is printed and what never is.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used, clippy::panic)]

mod scene;

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portal_backup::{BackupShares, Fault};
use scene::{GENERATE, Ran, Scene, mode, program};

#[test]
fn whole_job_stores_what_the_service_sent_and_confirms_it() {
    let scene = Scene::new();
    let ran = scene.back_up(&["-o", "backup.json", GENERATE]).exits(0).says("confirmed");
    let shares = scene.stored("backup.json");
    assert_eq!(mode(&scene.path("backup.json")), 0o600);
    assert_eq!(scene.sandbox.confirmed(), shares.share_pair_ids());
    assert_eq!(scene.names(), ["backup.json"]);
    assert_eq!(ran.stdout, "");
    let sent = &scene.sandbox.requests()[0].body;
    let sent: serde_json::Value = serde_json::from_slice(sent).unwrap();
    assert_eq!(sent["generateResponse"].as_str().unwrap(), fs::read_to_string(GENERATE).unwrap());
    for id in shares.share_pair_ids() {
        assert!(ran.stderr.contains(id));
    }
}

#[test]
fn embedded_sandbox_needs_neither_key_nor_network() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("x.json");
    let ran = program().args(["--sandbox", "--json", GENERATE, "-o"]).arg(&output).output().unwrap();
    let ran = Ran::new(ran).exits(0);
    let shares = BackupShares::parse(fs::read(&output).unwrap()).unwrap();
    let ids = shares.share_pair_ids();
    let file = output.to_str().unwrap();
    assert_eq!(
        ran.stdout,
        format!("{{\"exit\":0,\"sharePairIds\":{ids:?},\"file\":{file:?},\"confirmed\":true}}\n").replace(", ", ",")
    );
}

#[test]
fn confirmation_leaves_only_when_the_file_is_whole() {
    let scene = Scene::new();
    let (file, (seen, sees)) = (scene.path("backup.json"), std::sync::mpsc::channel());
    let url = scene.at_a_request(move || seen.send(fs::read(file).unwrap_or_default()).unwrap());
    let mut command = program();
    command.current_dir(scene.folder.path()).env("PORTAL_CLIENT_API_KEY", scene.sandbox.api_key());
    command.args(["-o", "backup.json", GENERATE, "--base-url", scene.sandbox.url(), "--client-api-url", &url]);
    Ran::new(command.output().unwrap()).exits(0);
    let seen = sees.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(seen, fs::read(scene.path("backup.json")).unwrap(), "as it was when the confirmation came");
    assert!(BackupShares::parse(seen).is_ok());
}

#[test]
fn bad_input_exits_2_with_one_line_and_no_connection() {
    let scene = Scene::new();
    let file = |name: &str, content: &[u8]| {
        fs::write(scene.path(name), content).unwrap();
        name.to_string()
    };
    let curve_missing = file("curve.json", br#"{"SECP256K1":{"share":"s","id":"i"}}"#);
    let not_utf8 = file("latin1.json", b"{\"SECP256K1\":\"\xe9\"}");
    let brackets = file("brackets.json", "[".repeat(300_000).as_bytes());
    let nested = file("nested.json", format!("{{\"x\":{}", "[".repeat(300_000)).as_bytes());
    let spaces = scene.path("spaces.json");
    fs::File::create(&spaces).unwrap().set_len(200 << 20).unwrap(); // 200 MB of NUL, none of them stored
    let bad_key = file("key.txt", b"two words\n");
    let cases: &[&[&str]] = &[
        &[],
        &["-o", "x.json"],
        &[GENERATE],
        &[GENERATE, "-o", "x.json", "--store-with", "cat"],
        &[GENERATE, GENERATE, "-o", "x.json"],
        &["no-such-file.json", "-o", "x.json"],
        &["-o", "x.json", &curve_missing],
        &["-o", "x.json", &not_utf8],
        &["-o", "x.json", &brackets],
        &["-o", "x.json", &nested],
        &["-o", "x.json", spaces.to_str().unwrap()],
        &["-o", "x.json", "-"],
        &["-o", "missing/x.json", GENERATE],
        &["-o", "x.json", GENERATE, "--api-key-file", &bad_key],
        &["-o", "x.json", GENERATE, "--api-key-file", "no-such-file"],
        &["-o", "x.json", GENERATE, "--timeout", "-1"],
        &["-o", "x.json", GENERATE, "--timeout", "0"],
        &["-o", "x.json", GENERATE, "--timeout", "1e300"],
        &["-o", "x.json", GENERATE, "--ca-cert", GENERATE],
        &["-o", "x.json", GENERATE, "--api-key", "secret"],
        &["-o", "x.json", GENERATE, "--port", "1"],
        &["--sandbox", "confirm", "one", "two"],
        &["-o", "x.json", "verify", GENERATE],
        &["verify", "-q", GENERATE],
        &["confirm", "one"],
        &["confirm", "one", "two", "three"],
        &["verify"],
        &["verify", "no-such-file"],
        &["verify", &curve_missing],
        &["sandbox", "--port", "70000"],
    ];
    for case in cases {
        let mut command = program();
        command.current_dir(scene.folder.path()).env("PORTAL_CLIENT_API_KEY", scene.sandbox.api_key()).args(*case);
        if !case.iter().any(|word| matches!(*word, "verify" | "sandbox" | "confirm")) {
            command.args(["--base-url", scene.sandbox.url()]);
        }
        let ran = Ran::new(command.output().unwrap()).exits(2);
        assert_eq!(ran.stderr.lines().count(), 1, "{case:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{case:?}");
        assert!(!scene.path("x.json").exists(), "{case:?}");
    }
    assert_eq!(scene.sandbox.requests(), []);
}

#[test]
fn key_that_cannot_be_a_header_exits_2_and_is_not_shown() {
    let scene = Scene::new();
    for key in ["", "with space-MARKER", "line\nbreak-MARKER", "ünicode-MARKER"] {
        let mut command = scene.command(&["-o", "x.json", GENERATE, "--base-url", scene.sandbox.url()]);
        let ran = Ran::new(command.env("PORTAL_CLIENT_API_KEY", key).output().unwrap()).exits(2);
        assert!(!ran.stderr.contains("MARKER"));
    }
    let mut command = scene.command(&["-o", "x.json", GENERATE, "--base-url", scene.sandbox.url()]);
    Ran::new(command.env_remove("PORTAL_CLIENT_API_KEY").output().unwrap()).exits(2).says("PORTAL_CLIENT_API_KEY");
    assert_eq!(scene.sandbox.requests(), []);
}

#[test]
fn unreadable_success_is_kept_beside_the_output() {
    let scene = Scene::new();
    for (i, body) in [&b"not what is documented"[..], b"\xff\xfe"].into_iter().enumerate() {
        scene.sandbox.fail_next(Fault::Body(body.to_vec()));
        scene.back_up(&["-o", "x.json", GENERATE]).exits(5).says("kept in");
        let kept = if i == 0 { "x.json.unreadable".to_string() } else { format!("x.json.unreadable.{}", i + 1) };
        assert_eq!(fs::read(scene.path(&kept)).unwrap(), body);
        assert_eq!(mode(&scene.path(&kept)), 0o600);
    }
    assert!(scene.sandbox.confirmed().is_empty());
    assert!(!scene.path("x.json").exists());
}

#[test]
fn nothing_is_kept_in_an_empty_file_or_given_to_the_command() {
    let scene = Scene::new();
    for to in [["-o", "x.json"], ["--store-with", "cat > got"]] {
        scene.sandbox.fail_next(Fault::Body(Vec::new()));
        let ran = scene.back_up(&[&to[..], &["--json", GENERATE]].concat()).exits(5);
        assert!(ran.stderr.contains("Nothing of it arrived") && !ran.stderr.contains("kept in"), "{}", ran.stderr);
        assert!(ran.stdout.ends_with(",\"call\":\"backup\",\"status\":200}\n"), "{}", ran.stdout);
        assert_eq!(scene.names(), [""; 0]);
    }
}

#[test]
fn unreadable_success_is_kept_elsewhere_if_it_must_be() {
    let scene = Scene::new();
    // So long that the file can be made, and one with a longer name cannot.
    let output = "n".repeat(250);
    scene.sandbox.fail_next(Fault::Body(b"not what is documented".to_vec()));
    let ran = scene.back_up(&["-o", &output, GENERATE]).exits(5).says("kept in");
    assert!(!ran.stderr.contains("nothing was sent"), "{}", ran.stderr);
    assert_eq!(fs::read(scene.path("portal-backup.unreadable")).unwrap(), b"not what is documented");
}

#[test]
fn a_command_gets_the_shares_and_not_the_key() {
    let scene = Scene::new();
    let ran = scene.back_up(&["--store-with", "cat > kept.json; env >&2", GENERATE]).exits(0).says("PATH=");
    assert!(!ran.stderr.contains(scene.sandbox.api_key()), "the command is given the key");
    assert_eq!(scene.sandbox.confirmed(), scene.stored("kept.json").share_pair_ids());
}

#[test]
fn stored_but_unconfirmed_exits_7_with_a_command_that_works() {
    let scene = Scene::new();
    let mut command = program();
    command
        .current_dir(scene.folder.path())
        .env("PORTAL_CLIENT_API_KEY", scene.sandbox.api_key())
        .args(["-o", "x.json", GENERATE, "--base-url", scene.sandbox.url()])
        .args(["--client-api-url", "http://127.0.0.1:1"]);
    let ran = Ran::new(command.output().unwrap()).exits(7);
    let ids = scene.stored("x.json").share_pair_ids().map(String::from);
    let printed = ran.stderr.lines().last().unwrap().trim().to_string();
    assert_eq!(printed, "portal-backup confirm --client-api-url http://127.0.0.1:1 x.json");

    let mended = printed.replace("http://127.0.0.1:1", scene.sandbox.url());
    // Nothing of it goes through a proxy.
    scene.run_in("sh", &format!("ALL_PROXY=socks5://h {mended}")).exits(0).says("confirmed");
    assert_eq!(scene.sandbox.confirmed(), ids);
}

#[test]
fn the_command_for_later_works_and_is_harmless_whatever_the_key_file_is_called() {
    for name in ["it's a key.txt", "it's\u{1b}[31m a\\\nkey ü\u{202e}.txt"] {
        let scene = Scene::new();
        fs::write(scene.path(name), scene.sandbox.api_key()).unwrap();
        let ran = scene.back_up(&["-o", "x.json", GENERATE, "--no-confirm", "--api-key-file", name]).exits(0);
        assert!(!ran.stderr.contains(['\u{1b}', '\u{202e}']), "{:?}", ran.stderr);
        assert_eq!(ran.stderr.contains("is gone then or unprintable"), name.contains('\n'));
        scene.run_in("bash", ran.stderr.lines().last().unwrap().trim()).exits(0).says("confirmed");
        assert_eq!(scene.sandbox.confirmed(), scene.stored("x.json").share_pair_ids());
    }
}

#[test]
fn a_backup_that_is_there_already_is_left_alone_and_can_be_confirmed() {
    let scene = Scene::new();
    scene.back_up(&["-o", "x.json", GENERATE, "--no-confirm"]).exits(0);
    let stored = scene.stored("x.json");
    let ran = scene.back_up(&["-o", "x.json", GENERATE]).exits(2).says("It holds a backup");
    assert_eq!(scene.stored("x.json").expose_json(), stored.expose_json());
    assert_eq!(scene.sandbox.requests().len(), 1, "a second pair was made");
    scene.run_in("sh", ran.stderr.lines().last().unwrap().trim()).exits(0);
    assert_eq!(scene.sandbox.confirmed(), stored.share_pair_ids());
}

#[test]
fn what_is_there_and_is_no_backup_is_not_called_one() {
    let scene = Scene::new();
    fs::copy(GENERATE, scene.path("g.json")).unwrap();
    assert!(Command::new("mkfifo").arg(scene.path("fifo")).status().unwrap().success());
    for (output, input) in [("g.json", "g.json"), ("fifo", GENERATE), (".", GENERATE)] {
        let ran = scene.back_up(&["-o", output, input]).exits(2);
        assert!(!ran.stderr.contains("backup."), "{}", ran.stderr);
    }
    assert_eq!(scene.sandbox.requests(), []);
}

#[test]
fn shares_reach_the_disk_though_stderr_takes_nothing() {
    let scene = Scene::new();
    let (mut stderr, _reader) = UnixStream::pair().unwrap();
    stderr.set_nonblocking(true).unwrap();
    while stderr.write(&[b'.'; 4096]).is_ok() {}
    stderr.set_nonblocking(false).unwrap();
    let mut child = scene
        .command(&["-o", "x.json", GENERATE, "--base-url", scene.sandbox.url()])
        .stderr(OwnedFd::from(stderr))
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !scene.path("x.json").exists() {
        assert!(start.elapsed() < Duration::from_secs(10), "nothing is stored: {:?}", scene.names());
        assert_eq!(child.try_wait().unwrap(), None, "it ended");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(scene.stored("x.json").expose_json().len() > 15_000);
}

#[test]
fn quiet_prints_nothing_but_errors() {
    let scene = Scene::new();
    let ran = scene.back_up(&["-q", "-o", "x.json", GENERATE]).exits(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    scene.back_up(&["-q", "-o", "x.json", GENERATE]).exits(2).says("exists already");
}

#[test]
fn verify_tells_whole_from_damaged_and_warns_of_a_loose_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::new();
    scene.back_up(&["-o", "x.json", GENERATE]).exits(0);
    let verify = |name: &str| Ran::new(program().arg("verify").arg(scene.path(name)).output().unwrap());
    let ran = verify("x.json").exits(0).says("whole");
    assert!(!ran.stderr.contains("warning"));
    fs::set_permissions(scene.path("x.json"), fs::Permissions::from_mode(0o644)).unwrap();
    verify("x.json").exits(0).says("warning");
    let whole = fs::read(scene.path("x.json")).unwrap();
    for len in [0, 1, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(scene.path("cut.json"), &whole[..len]).unwrap();
        verify("cut.json").exits(2);
    }
}

#[test]
fn help_fits_a_screen_and_every_line_a_terminal() {
    let ran = Ran::new(program().arg("--help").output().unwrap()).exits(0);
    assert!(ran.stdout.contains("example:"));
    for command in [&["--help"][..], &["confirm", "-h"], &["verify", "--help"], &["sandbox", "--help"]] {
        let help = Ran::new(program().args(command).output().unwrap()).exits(0).stdout;
        assert!(help.lines().count() <= 32, "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        let usage = format!("usage: portal-backup {}", command[0].trim_start_matches("--help"));
        assert!(help.contains(&usage), "{help}");
    }
    let version = Ran::new(program().arg("--version").output().unwrap()).exits(0);
    assert_eq!(version.stdout, concat!("portal-backup ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// While the confirmation waits for its response, the shares are stored and have no business in memory.
#[cfg(target_os = "linux")]
#[test]
fn no_share_and_no_generate_response_is_left_in_memory() {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let scene = Scene::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = program()
        .current_dir(scene.folder.path())
        .env("PORTAL_CLIENT_API_KEY", scene.sandbox.api_key())
        .args(["-o", "x.json", GENERATE, "--base-url", scene.sandbox.url()])
        .args(["--client-api-url", &format!("http://{}", listener.local_addr().unwrap())])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (accepted, accepts) = std::sync::mpsc::channel();
    std::thread::spawn(move || accepted.send(listener.accept().unwrap()));
    let (mut confirming, _) = accepts.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(confirming.read(&mut [0; 1]).unwrap() > 0);

    let received = fs::read(scene.path("x.json")).unwrap();
    let sent = fs::read(GENERATE).unwrap();
    let key = scene.sandbox.api_key().as_bytes().to_vec();
    let maps = fs::read_to_string(format!("/proc/{}/maps", child.id())).unwrap();
    let mut memory = fs::File::open(format!("/proc/{}/mem", child.id())).unwrap();
    let (mut found_key, mut searched) = (false, 0);
    for map in maps.lines().filter(|map| map.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw"))) {
        let (start, end) = map.split(' ').next().unwrap().split_once('-').unwrap();
        let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut bytes = Vec::new();
        memory.seek(SeekFrom::Start(start)).unwrap();
        if (&mut memory).take(end - start).read_to_end(&mut bytes).is_err() {
            continue;
        }
        searched += bytes.len();
        found_key |= memchr_in(&bytes, &key);
        for (what, text) in [("received", &received), ("sent", &sent)] {
            // Pieces from all over each share; ids and names of members are no secret.
            for at in (200..text.len() - 200).step_by(311) {
                let piece = &text[at..at + 24];
                if !piece.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')) {
                    continue;
                }
                assert!(!memchr_in(&bytes, piece), "a piece of what was {what} is in memory: {map}");
            }
        }
    }
    assert!(found_key, "the key is needed until the end, so the search must find it ({searched} bytes)");
    confirming.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn memchr_in(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
