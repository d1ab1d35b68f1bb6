//! What is typed and what is read: understood as it was meant, or refused with the way to put it right, before anything
//! is sent.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod scene;

use std::fs;
use std::process::{Command, Stdio};

use scene::{GENERATE, Ran, Scene, program};

const BOM: &str = "\u{feff}";

fn generate() -> String {
    fs::read_to_string(GENERATE).unwrap()
}

// What is read

#[test]
fn a_byte_order_mark_is_left_out_of_the_input_and_of_the_key() {
    let scene = Scene::new();
    fs::write(scene.path("g.json"), format!("{BOM}{}", generate())).unwrap();
    for (i, (mark, end)) in [(BOM, "\r\n"), ("", "\n")].iter().enumerate() {
        fs::write(scene.path("key"), format!("{mark}{}{end}", scene.sandbox.api_key())).unwrap();
        scene.back_up(&["-o", &format!("{i}.json"), "--api-key-file", "key", "g.json"]).exits(0);
    }
    let sent: serde_json::Value = serde_json::from_slice(&scene.sandbox.requests()[0].body).unwrap();
    assert_eq!(sent["generateResponse"].as_str().unwrap(), generate());
}

/// As some editors and shells save it.
#[test]
fn utf_16_is_refused_by_its_name() {
    let scene = Scene::new();
    for to_bytes in [u16::to_le_bytes, u16::to_be_bytes] {
        for (mark, text) in [(BOM, generate()), ("", generate()), (BOM, "key\n".into())] {
            let bytes: Vec<u8> = format!("{mark}{text}").encode_utf16().flat_map(to_bytes).collect();
            fs::write(scene.path("file"), bytes).unwrap();
            let arguments = match text.len() {
                4 => ["-o", "x.json", "--api-key-file=file", GENERATE],
                _ => ["-o", "x.json", "-q", "file"],
            };
            scene.back_up(&arguments).exits(2).says("UTF-16").says("save it as UTF-8").says("nothing was sent");
            let verified = program().arg("verify").arg(scene.path("file")).output().unwrap();
            Ran::new(verified).exits(2).says("UTF-16");
        }
    }
    assert_eq!(scene.sandbox.requests(), []);
}

#[test]
fn a_key_with_something_around_it_is_refused_and_not_shown() {
    let scene = Scene::new();
    let keys = [
        "Bearer MARKER-KEY",
        "export PORTAL_CLIENT_API_KEY=MARKER-KEY",
        " MARKER-KEY",
        "'MARKER-KEY'",
        "\"MARKER-KEY\"",
    ];
    for key in keys {
        for ending in ["", "\n", "\r\n"] {
            fs::write(scene.path("key"), format!("{key}{ending}")).unwrap();
            let ran = scene.back_up(&["-o", "x.json", "--api-key-file", "key", GENERATE]).exits(2);
            assert!(ran.stderr.contains("key") && !ran.stderr.contains("MARKER"), "{}", ran.stderr);
        }
    }
    assert_eq!(scene.sandbox.requests(), []);
}

#[test]
fn two_equal_ids_are_refused_before_anything_is_sent() {
    let scene = Scene::new();
    let stored = r#"{"SECP256K1":{"share":"a","id":"same"},"ED25519":{"share":"b","id":"same"}}"#;
    fs::write(scene.path("same.json"), stored).unwrap();
    let confirm = |arguments: &[&str]| Ran::new(scene.command(arguments).output().unwrap());
    confirm(&["confirm", "one", "one"]).exits(2).says("the same");
    confirm(&["confirm", "same.json"]).exits(2).says("the same");
    confirm(&["confirm", "", "one"]).exits(2).says("empty");
    Ran::new(program().arg("verify").arg(scene.path("same.json")).output().unwrap()).exits(2).says("the same");
    assert_eq!(scene.sandbox.requests(), []);
}

#[test]
fn a_stored_file_is_confirmed_once_it_is_seen_to_be_whole() {
    let scene = Scene::new();
    scene.back_up(&["-o", "x.json", GENERATE, "--no-confirm"]).exits(0);
    let ids = scene.stored("x.json").share_pair_ids().map(String::from);
    let whole = fs::read(scene.path("x.json")).unwrap();
    assert!(Command::new("mkfifo").arg(scene.path("fifo")).status().unwrap().success());
    fs::write(scene.path("cut.json"), &whole[..whole.len() - 1]).unwrap();
    fs::write(scene.path("empty.json"), "").unwrap();
    fs::write(scene.path("large.json"), " ".repeat((4 << 20) + 1)).unwrap();
    for name in ["cut.json", "empty.json", "large.json", "missing.json", "fifo", "."] {
        Ran::new(scene.command(&["confirm", name]).output().unwrap()).exits(2).says("nothing was sent");
    }
    assert_eq!(scene.sandbox.confirmed(), [""; 0]);

    let ran = Ran::new(scene.command(&["confirm", "--json", "x.json"]).output().unwrap()).exits(0);
    let json = format!("{{\"exit\":0,\"sharePairIds\":{ids:?},\"file\":\"x.json\",\"confirmed\":true}}\n");
    assert_eq!(ran.stdout, json.replace(", ", ","));
    assert_eq!(scene.sandbox.confirmed(), ids);
    // Again, and through a link.
    std::os::unix::fs::symlink("x.json", scene.path("link")).unwrap();
    Ran::new(scene.command(&["confirm", "link"]).output().unwrap()).exits(0);
}

#[test]
fn verify_reads_standard_input() {
    let input = || Stdio::from(fs::File::open(GENERATE).unwrap());
    let ran = Ran::new(program().args(["verify", "-"]).stdin(input()).output().unwrap());
    ran.exits(0).says("whole");
    Ran::new(program().args(["verify", "-"]).output().unwrap()).exits(2).says("damaged or no backup");
}

// What is typed

#[test]
fn what_cannot_be_meant_is_refused_with_the_way_to_say_it() {
    let scene = Scene::new();
    let no_value = "needs a value; one that begins with - is written ./-";
    let stdout = "shares are not written to stdout; for a file called - use ./-";
    let cases: &[(&[&str], &str)] = &[
        (&["-o", "-", GENERATE], stdout),
        (&["-o-", GENERATE], stdout),
        (&["--output=-", GENERATE], stdout),
        (&["-o", "--json", GENERATE], no_value),
        (&["-o", "--", GENERATE], no_value),
        (&["-o", "x.json", GENERATE, "--timeout"], no_value),
        (&["-o", "x.json", "--api-key-file", "-q", GENERATE], "--api-key-file needs a value"),
        (&["--store-with", "", GENERATE], "--store-with needs a command"),
        (&["--store-with", " \t\n", GENERATE], "--store-with needs a command"),
        (&["--json=yes", "-o", "x.json", GENERATE], "an option has a value that it does not take"),
        (&["-o", "x.json", "verify"], "verify is no command and no file; a command comes first"),
        (&["-q", "confirm", "x.json"], "confirm is no command and no file; a command comes first"),
        (&["verfy", "x.json"], "verfy is no command and no file"),
        (&["-o", "x.json", "--resume", "--encrypt-with", "cat", GENERATE], "--resume needs -o FILE without"),
        (&["--resume", "--store-with", "cat > x", GENERATE], "--resume needs -o FILE without"),
        (&["--encrypt-with", "cat", GENERATE], "--encrypt-with needs -o FILE"),
        (&["--encrypt-with", "cat", "--store-with", "cat > x", GENERATE], "--encrypt-with needs -o FILE"),
        (&["confirm", "--resume", "a", "b"], "--resume is not an option here"),
        (&["-o", "x.json", "--ca-cert", "x.pem", "--system-certs", GENERATE], "--ca-cert excludes --system-certs"),
        (&["--sandbox", "--base-url", "https://x", "-o", "x.json", GENERATE], "--sandbox takes no URL"),
        (&["-o", "x.json", "--ca-cert", GENERATE, GENERATE], "generate.json: root_certs_pem (--ca-cert) holds no root"),
        (&["-o", "x.json", "/dev/null"], "/dev/null: generate response: it ends too early"),
        (&["confirm", "--client-api-url", "http://x", "a", "b"], "client_api_url must be https"),
        (&["confirm"], "confirm needs a stored file or two share pair ids"),
        (&["confirm", "a", "b", "c"], "too many arguments"),
        (&["-o", "x.json", "missing.json"], "generate response missing.json: No such file"),
        (&["verify", "no/such"], "stored backup no/such: No such file"),
        (&["confirm", "missing"], "missing: it cannot be read"),
        (&["verify"], "verify needs a file, or - for stdin"),
    ];
    for (case, says) in cases {
        let mut command = program();
        command.current_dir(scene.folder.path()).env("PORTAL_CLIENT_API_KEY", scene.sandbox.api_key());
        let ran = Ran::new(command.args(*case).output().unwrap()).exits(2).says(says);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
    assert_eq!(scene.names(), [""; 0]);
}

#[test]
fn what_follows_two_dashes_is_no_subcommand() {
    let scene = Scene::new();
    for name in ["confirm", "verify", "sandbox", "-o", "--json"] {
        fs::copy(GENERATE, scene.path(name)).unwrap();
        let output = format!("{name}.json");
        let mut command = program();
        command.current_dir(scene.folder.path()).args(["--sandbox", &format!("-o./{output}"), "--", name]);
        Ran::new(command.output().unwrap()).exits(0);
        let _whole = scene.stored(&output);
    }
    let mut command = program();
    command.current_dir(scene.folder.path()).args(["--sandbox", "-o", "./-", "--", "./confirm"]);
    Ran::new(command.output().unwrap()).exits(0);
    let _whole = scene.stored("-");
}

#[test]
fn a_path_is_shown_as_it_was_typed_and_nothing_in_it_acts_on_a_terminal() {
    let scene = Scene::new();
    let hash = "3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855a";
    for name in [hash, "it's a \\ \"file\".json", "ü.json", &"n".repeat(255)] {
        scene.back_up(&["-o", name, GENERATE]).exits(0).says(&format!("stored      {name}\n"));
        scene.back_up(&["-o", name, GENERATE]).exits(2).says(&format!("{name}: exists already"));
    }
    let ran = scene.back_up(&["-o", "a\u{1b}[31m\n\u{202e}b", GENERATE]).exits(0);
    assert!(ran.stderr.contains("stored      a\\u{1b}[31m\\n\\u{202e}b\n"), "{}", ran.stderr);
}

// What can be known before

#[test]
fn a_command_that_cannot_be_run_is_found_before_anything_is_sent() {
    let scene = Scene::new();
    for command in ["if", "(cat", "cat > \"x", "cat ||"] {
        scene.back_up(&["--store-with", command, GENERATE]).exits(2).says("nothing was sent");
    }
    let mut command = scene.command(&["--base-url", scene.sandbox.url(), "--store-with", "cat > x", GENERATE]);
    let ran = Ran::new(command.env("PATH", scene.path("no such folder")).output().unwrap());
    ran.exits(2).says("--store-with needs sh");
    assert_eq!(scene.sandbox.requests(), []);
    assert_eq!(scene.names(), [""; 0], "nothing of the command is run");
}

#[test]
fn confirm_takes_no_file_for_an_id() {
    let scene = Scene::new();
    fs::write(scene.path("here"), "x").unwrap();
    for [first, second] in [["a.json", "b.json"], ["here", "c"], ["c", "here"], ["c", "{}"], [GENERATE; 2]] {
        Ran::new(scene.command(&["confirm", first, second]).output().unwrap()).exits(2).says("which are no files");
    }
    assert!(scene.sandbox.requests().is_empty());
}

#[test]
fn a_line_that_a_terminal_has_cut_is_told_to_come_from_a_file_or_a_pipe() {
    let scene = Scene::new();
    let typed = generate().replace('\n', " ") + "\n\u{4}\u{4}";
    assert!(typed.len() > 4096);
    fs::write(scene.path("typed"), typed).unwrap();
    let output = scene.on_a_terminal("-o x.json -", "xterm", fs::File::open(scene.path("typed")).unwrap().into());
    let Some(output) = output else { return eprintln!("skipped: there is no script") };
    let shown = String::from_utf8_lossy(&output.stdout);
    for said in ["generate response from standard input", "4,095 bytes: use a file or a pipe; nothing was sent"] {
        assert!(shown.contains(said), "{}", shown.lines().last().unwrap_or_default());
    }
    assert_eq!((output.status.code(), scene.sandbox.requests().len()), (Some(2), 0));
}

#[test]
fn without_a_thread_for_signals_nothing_is_sent() {
    let scene = Scene::new();
    let mut command = scene.command(&["--base-url", scene.sandbox.url(), "-o", "x.json", GENERATE]);
    // No address space holds such a stack.
    let ran = Ran::new(command.env("RUST_MIN_STACK", (1_u64 << 60).to_string()).output().unwrap());
    ran.exits(2).says("signals cannot be watched").says("nothing was sent");
    assert_eq!((scene.sandbox.requests().len(), scene.names()), (0, vec![]));
}
