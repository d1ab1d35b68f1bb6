//! What differs on Windows: names, permissions, the shell, long paths, ends that nobody asked for.

#![cfg(all(feature = "cli", windows))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails must stop")]

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::windows::fs::OpenOptionsExt as _;
use std::os::windows::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{fs, thread};

use portal_backup::{BackupShares, FileSlot, Outcome};
use tempfile::TempDir;

const TEXT: &str = include_str!("data/generate.json");

fn shares() -> BackupShares {
    BackupShares::parse(TEXT).unwrap()
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("portal-backup é ").tempdir().unwrap()
}

fn names(folder: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[track_caller]
fn assert_stored(path: &Path) {
    FileSlot::reserve(path).unwrap().store(&shares()).unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), TEXT);
}

/// The command line in a folder with a generate response, without what this process's environment says.
fn program(folder: &Path) -> Command {
    fs::write(folder.join("generate.json"), TEXT).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portal-backup"));
    command.current_dir(folder).env_remove("PORTAL_CLIENT_API_KEY").stdin(Stdio::null());
    command
}

/// What the run left behind beside the input.
fn left(folder: &Path) -> Vec<OsString> {
    names(folder).into_iter().filter(|name| name != "generate.json").collect()
}

fn sandboxed(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).arg("--sandbox").args(arguments).arg("generate.json").output().unwrap()
}

/// Exit code and standard error.
fn ended(output: &Output) -> (Option<i32>, String) {
    // `cmd` writes in the console's code page.
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

// The file

#[test]
fn shares_are_stored_once_and_nothing_is_replaced() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let slot = FileSlot::reserve(&path).unwrap();
    let hidden = names(folder.path());
    assert!(hidden.len() == 1 && hidden[0].to_str().unwrap().starts_with("."), "{hidden:?}");
    slot.store(&shares()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), TEXT);
    assert_eq!(names(folder.path()), ["backup.json"]);

    for name in ["backup.json", "BACKUP.JSON", r".\backup.json", "./backup.json"] {
        let e = FileSlot::reserve(folder.path().join(name)).expect_err(name);
        assert_eq!(e.outcome(), Outcome::NotSent);
        assert!(e.to_string().contains("exists already"), "{e}");
    }
    assert_eq!(names(folder.path()), ["backup.json"]);
}

#[test]
fn a_name_taken_meanwhile_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let slot = FileSlot::reserve(&path).unwrap();
    fs::write(&path, "theirs").unwrap();
    assert_eq!(slot.store(&shares()).unwrap_err().outcome(), Outcome::Unknown);
    assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
    assert_eq!(names(folder.path()), ["backup.json"]);
}

#[test]
fn of_many_threads_exactly_one_gets_the_name() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let slots: Vec<_> = (0..8).map(|_| FileSlot::reserve(&path).unwrap()).collect();
    let threads: Vec<_> = slots.into_iter().map(|s| thread::spawn(move || s.store(&shares()).is_ok())).collect();
    assert_eq!(threads.into_iter().map(|t| t.join().unwrap()).filter(|ok| *ok).count(), 1);
    assert_eq!(fs::read_to_string(&path).unwrap(), TEXT);
    assert_eq!(names(folder.path()), ["backup.json"]);
}

#[test]
fn a_file_that_somebody_has_open_can_still_be_stored() {
    // A virus scanner or an indexer looks at each new file, and shares it with everybody.
    let folder = folder();
    let path = folder.path().join("backup.json");
    let slot = FileSlot::reserve(&path).unwrap();
    let hidden = folder.path().join(&names(folder.path())[0]);
    let _scanner = fs::OpenOptions::new().read(true).share_mode(7).open(hidden).unwrap();
    slot.store(&shares()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), TEXT);
}

#[test]
fn what_windows_takes_for_something_else_is_refused_at_once() {
    let folder = folder();
    let names_of_none = "NUL;nul.json;CON;COM1.txt;COM¹;LPT1 .x;PRN.;AUX;CONIN$;ab:c;backup.json:;x.;x ;a<b;a>b;a|b;\
                         a\"b;a?b;a*b;a\tb";
    for name in names_of_none.split(';') {
        let path = folder.path().join(name);
        let e = FileSlot::reserve(&path).expect_err(name);
        assert_eq!(e.outcome(), Outcome::NotSent);
        assert!(e.to_string().ends_with("nothing was sent; choose another path or fix the folder"), "{e}");
        let (code, text) = ended(&sandboxed(folder.path(), &["-o", name]));
        assert_eq!(code, Some(2), "{name}: {text}");
        assert!(left(folder.path()).is_empty(), "{name}: {:?}", names(folder.path()));
    }
    for path in [r"\\.\NUL", r"\\.\pipe\backup", r"C:\", "C:", r"C:\missing folder\backup.json", r"new\", r"new/."] {
        assert_eq!(FileSlot::reserve(path).expect_err(path).outcome(), Outcome::NotSent);
    }
}

#[test]
fn every_other_name_is_kept_as_it_is() {
    let folder = folder();
    let mut all = vec!["COM10", "NULL.json", "x.NUL", " a", "~$backup.json", "100%.json", "ä€😀.json", ".json"]
        .into_iter()
        .map(OsString::from)
        .collect::<Vec<_>>();
    all.sort();
    for name in &all {
        assert_stored(&folder.path().join(name));
    }
    assert_eq!(names(folder.path()), all);
}

#[test]
fn paths_may_be_longer_than_260_characters() {
    let folder = folder();
    let deep: PathBuf =
        [folder.path(), "n".repeat(120).as_ref(), "m".repeat(120).as_ref(), "o".repeat(120).as_ref()].iter().collect();
    fs::create_dir_all(&deep).unwrap();
    assert!(deep.as_os_str().len() > 360);
    assert_stored(&deep.join("plain.json"));
    let verbatim = format!(r"\\?\{}\verbatim.json", deep.to_str().unwrap());
    assert_stored(Path::new(&verbatim));

    // As it is written on a command line, seen from a folder above.
    let relative = deep.strip_prefix(folder.path()).unwrap().join("relative.json");
    let output = sandboxed(folder.path(), &["-o", relative.to_str().unwrap()]);
    assert_eq!(ended(&output).0, Some(0), "{}", ended(&output).1);
    let verified = program(folder.path()).arg("verify").arg(&relative).output().unwrap();
    assert_eq!(ended(&verified).0, Some(0), "{}", ended(&verified).1);
    assert_eq!(names(&deep), ["plain.json", "relative.json", "verbatim.json"]);
}

#[test]
fn ended_by_force_it_leaves_nothing_that_blocks_the_next_run() {
    let folder = folder();
    // Takes the connection and says nothing.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut child = program(folder.path())
        .args(["--base-url", &url, "--client-api-url", &url, "-o", "backup.json", "generate.json"])
        .env("PORTAL_CLIENT_API_KEY", "key")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut connection, _) = silent.accept().unwrap();
    connection.read_exact(&mut [0; 100]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.path().join("backup.json").exists());

    let (code, text) = ended(&sandboxed(folder.path(), &["-o", "backup.json"]));
    assert_eq!(code, Some(0), "{text}");
    let _ = BackupShares::parse(fs::read(folder.path().join("backup.json")).unwrap()).unwrap();
}

// The whole job

#[test]
fn it_backs_up_refuses_a_second_time_and_verifies() {
    let folder = folder();
    let (code, text) = ended(&sandboxed(folder.path(), &["-o", "backup.json"]));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("confirmed "), "{text}");
    let before = fs::read(folder.path().join("backup.json")).unwrap();
    let (code, text) = ended(&sandboxed(folder.path(), &["-o", "backup.json"]));
    assert_eq!(code, Some(2), "{text}");
    assert_eq!(fs::read(folder.path().join("backup.json")).unwrap(), before);
    assert_eq!(left(folder.path()), ["backup.json"]);
    let verified = program(folder.path()).args(["verify", "backup.json"]).output().unwrap();
    assert_eq!(ended(&verified).0, Some(0), "{}", ended(&verified).1);
}

// The shell

/// Copies its standard input into a file, which no command of `cmd` itself does byte for byte.
#[test]
#[ignore = "a program for the tests below"]
fn copy_standard_input() {
    let mut all = Vec::new();
    std::io::stdin().read_to_end(&mut all).unwrap();
    fs::write(std::env::var_os("COPY_TO").unwrap(), all).unwrap();
}

/// A command that stores in this file; the path of the program is quoted, and has spaces in it.
fn copying(folder: &Path) -> String {
    let copier = folder.join("a copy & more.exe");
    fs::copy(std::env::current_exe().unwrap(), &copier).unwrap();
    format!(r#""{}" --ignored --exact copy_standard_input >NUL"#, copier.to_str().unwrap())
}

fn store_with(folder: &Path, command: impl AsRef<OsStr>) -> (Option<i32>, String) {
    let mut program = program(folder);
    program.env("COPY_TO", "stored & more.json").args(["--sandbox", "--store-with"]).arg(command);
    ended(&program.arg("generate.json").output().unwrap())
}

#[test]
fn a_command_gets_the_shares_and_its_quotes_arrive() {
    let folder = folder();
    let copying = copying(folder.path());
    for command in [copying.clone(), format!(r#"{copying} && echo "a b" > "written & more.txt""#)] {
        let (code, text) = store_with(folder.path(), command);
        assert_eq!(code, Some(0), "{text}");
        let stored = folder.path().join("stored & more.json");
        let _ = BackupShares::parse(fs::read(&stored).unwrap()).unwrap();
        fs::remove_file(stored).unwrap();
    }
    assert_eq!(fs::read_to_string(folder.path().join("written & more.txt")).unwrap().trim(), r#""a b""#);
}

#[test]
fn a_command_that_reads_nothing_has_stored_nothing() {
    let folder = folder();
    for command in ["exit 0", "rem", "echo done", "cd .", "start /b cmd /c exit 0", "cmd /c exit 0 & exit 0"] {
        let (code, text) = store_with(folder.path(), command);
        assert_eq!(code, Some(6), "{command}: {text}");
        assert!(text.contains("did not read all of its input"), "{command}: {text}");
        assert!(!text.contains("confirmed   "), "{command}: {text}");
    }
}

#[test]
fn a_command_that_fails_has_stored_nothing() {
    let folder = folder();
    let copying = copying(folder.path());
    for command in ["exit 3", "no-such-command", &format!("{copying} & exit 3")] {
        let (code, text) = store_with(folder.path(), command);
        assert_eq!(code, Some(6), "{command}: {text}");
        assert!(text.contains("the command failed"), "{command}: {text}");
    }
}

#[test]
fn what_cannot_be_a_command_is_refused_before_anything_is_sent() {
    let folder = folder();
    for command in ["", " ", "echo a\necho b", "echo a\r\n"] {
        let (code, text) = store_with(folder.path(), command);
        assert_eq!(code, Some(2), "{command:?}: {text}");
        assert!(text.contains("nothing was sent"), "{command:?}: {text}");
    }
    let mut no_shell = program(folder.path());
    no_shell.env("ComSpec", r"C:\missing\cmd.exe").args(["--sandbox", "--store-with", "exit", "generate.json"]);
    let (code, text) = ended(&no_shell.output().unwrap());
    assert_eq!(code, Some(2), "{text}");
    assert!(left(folder.path()).is_empty());
}

#[test]
fn the_shell_is_not_looked_for_beside_the_program() {
    let folder = folder();
    let program = folder.path().join("portal-backup.exe");
    fs::copy(env!("CARGO_BIN_EXE_portal-backup"), &program).unwrap();
    fs::write(folder.path().join("cmd.exe"), "not a program").unwrap();
    fs::write(folder.path().join("generate.json"), TEXT).unwrap();
    let output = Command::new(program)
        .current_dir(folder.path())
        .env("PATH", folder.path())
        .args(["--sandbox", "--store-with", "exit 5", "generate.json"])
        .output()
        .unwrap();
    let (code, text) = ended(&output);
    assert_eq!(code, Some(6), "{text}");
    assert!(text.contains("exit code: 5"), "{text}");
}

#[test]
fn the_command_for_later_works_in_cmd_whatever_the_key_file_is_called() {
    let folder = folder();
    let service = portal_backup::Sandbox::start().unwrap();
    for name in ["key.txt", "a key & more.txt", "it's (100%) ^ ä.txt"] {
        let key = folder.path().join(name);
        fs::write(&key, service.api_key()).unwrap();
        let output = program(folder.path())
            .args(["--base-url", service.url(), "--client-api-url", service.url(), "--no-confirm", "-o", "backup.json"])
            .arg("--api-key-file")
            .args([key.as_os_str(), "generate.json".as_ref()])
            .output()
            .unwrap();
        let (code, text) = ended(&output);
        assert_eq!(code, Some(0), "{text}");
        let line = text.lines().map(str::trim).find(|line| line.starts_with("portal-backup confirm")).unwrap();
        let mut shell = Command::new("cmd.exe");
        shell.raw_arg(format!(r#"/D /S /C "{line}""#)).current_dir(folder.path());
        shell.env("PATH", Path::new(env!("CARGO_BIN_EXE_portal-backup")).parent().unwrap());
        let (code, text) = ended(&shell.output().unwrap());
        assert_eq!(code, Some(0), "{line}: {text}");
        fs::remove_file(folder.path().join("backup.json")).unwrap();
    }
}
