//! The file store: whole or not there, for its owner alone, whatever fails and whenever it is killed.

#![cfg(all(feature = "client", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails must stop")]
#![allow(clippy::print_stderr, reason = "a test that cannot run here says so")]

use std::collections::BTreeSet;
use std::error::Error as _;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use portal_backup::{BackupShares, FileSlot, Outcome, StoreError};
use tempfile::TempDir;

const TEXT: &str = include_str!("data/generate.json");

fn shares() -> BackupShares {
    BackupShares::parse(TEXT).unwrap()
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("portal-backup-store").tempdir().unwrap()
}

/// What is in a folder.
fn names(folder: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

fn is_hidden(name: &OsString) -> bool {
    let name = name.to_str().unwrap();
    name.starts_with('.') && name.ends_with(".tmp")
}

/// The name of a hidden file, which every version has to make in the same way.
fn hidden_name(target: &str, process: u32, time: u64) -> String {
    let hash = target
        .bytes()
        .fold(0xcbf29ce484222325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100000001b3));
    format!(".portal-backup-{hash:016x}-{process:x}-{time:x}-0.tmp")
}

#[track_caller]
fn assert_private(path: &Path) {
    let found = fs::symlink_metadata(path).unwrap();
    assert!(found.is_file(), "{path:?}");
    assert_eq!(found.mode() & 0o7777, 0o600, "{path:?}");
}

#[track_caller]
fn assert_whole(path: &Path) {
    assert_eq!(fs::read_to_string(path).unwrap(), TEXT);
    assert_private(path);
}

#[track_caller]
fn assert_not_sent(result: Result<FileSlot, StoreError>, path: &Path) -> String {
    let e = result.expect_err("it should have been refused at once");
    assert_eq!(e.outcome(), Outcome::NotSent, "{e}");
    let text = e.to_string();
    assert_eq!(e.path(), path);
    assert!(text.ends_with("; nothing was sent; choose another path or fix the folder"), "{text}");
    text
}

#[track_caller]
fn assert_not_stored(result: Result<portal_backup::StoredShares, StoreError>) -> String {
    let e = result.expect_err("it should have failed");
    assert_eq!(e.outcome(), Outcome::Unknown, "{e}");
    assert!(e.source().is_some(), "the operating system's reason");
    let text = e.to_string();
    assert!(
        text.ends_with("the shares are not stored there; store them elsewhere, or run the backup again"),
        "{text}"
    );
    text
}

// What it does

#[test]
fn the_bytes_are_stored_as_they_came_and_for_their_owner_alone() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let slot = FileSlot::reserve(&path).unwrap();
    let hidden = names(folder.path());
    assert!(hidden.len() == 1 && is_hidden(&hidden[0]), "{hidden:?}");
    assert_private(&folder.path().join(&hidden[0]));

    let shares = shares();
    let stored = slot.store(&shares).unwrap();
    assert_eq!(stored.share_pair_ids(), shares.share_pair_ids());
    assert_eq!(names(folder.path()), ["backup.json"]);
    assert_whole(&path);
    assert_eq!(fs::metadata(&path).unwrap().nlink(), 1);
    let loaded = BackupShares::parse(fs::read(&path).unwrap()).unwrap();
    assert_eq!(loaded.expose_json(), TEXT);
}

#[test]
fn any_bytes_can_be_kept() {
    let folder = folder();
    for len in [1, 16_383, 16_384, 16_385, 32_768, 100_000] {
        let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        let path = folder.path().join(format!("{len} é\u{1f}"));
        FileSlot::reserve(&path).unwrap().store_bytes(&bytes).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_private(&path);
    }
}

#[test]
fn nothing_is_kept_in_an_empty_file() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let e = FileSlot::reserve(&path).unwrap().store_bytes(b"").unwrap_err();
    assert!(e.to_string().contains("there is nothing to keep"), "{e}");
    assert_eq!(e.outcome(), Outcome::Unknown);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_wide_open_umask_opens_nothing() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let mut child = Process::start_in_shell("umask 000", &path);
    child.go();
    child.wait_until_reserved();
    for name in names(folder.path()) {
        assert_private(&folder.path().join(name));
    }
    assert_eq!(child.finish().code(), Some(STORED));
    assert_whole(&path);
}

#[test]
fn a_path_without_a_folder_is_in_the_current_one() {
    let folder = folder();
    let mut command = this_test_binary(Path::new("backup.json"));
    command.current_dir(folder.path());
    let mut child = Process::start(command);
    child.go();
    assert_eq!(child.finish().code(), Some(STORED));
    assert_eq!(names(folder.path()), ["backup.json"]);
    assert_whole(&folder.path().join("backup.json"));
}

#[test]
fn dropping_a_slot_leaves_nothing() {
    let folder = folder();
    drop(FileSlot::reserve(folder.path().join("backup.json")).unwrap());
    assert!(names(folder.path()).is_empty());
}

#[test]
fn debug_tells_the_path_and_no_more() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let slot = FileSlot::reserve(&path).unwrap();
    assert_eq!(format!("{slot:?}"), format!("FileSlot {{ target: {path:?}, .. }}"));
}

// What is refused before anything is sent

#[test]
fn reserve_refuses_a_name_that_is_taken() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("file"), "theirs").unwrap();
    fs::write(path("empty"), "").unwrap();
    fs::create_dir(path("folder")).unwrap();
    symlink(path("file"), path("link")).unwrap();
    symlink(path("nowhere"), path("dangling link")).unwrap();
    symlink(path("looping link"), path("looping link")).unwrap();
    let before = names(folder.path());
    for name in ["file", "empty", "folder", "link", "dangling link", "looping link"] {
        let text = assert_not_sent(FileSlot::reserve(path(name)), &path(name));
        assert!(text.contains("exists already"), "{text}");
    }
    assert_eq!(names(folder.path()), before);
    assert_eq!(fs::read(path("file")).unwrap(), b"theirs");
}

#[test]
fn reserve_refuses_what_names_no_file() {
    let folder = folder();
    let paths = ["", ".", "..", "/", "new/", "new/.", "new//", "new/./", "new/.."];
    for name in paths {
        let path = if name.starts_with('n') { folder.path().join(name) } else { PathBuf::from(name) };
        let text = assert_not_sent(FileSlot::reserve(&path), &path);
        assert!(text.contains("names no file"), "{text}");
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn reserve_refuses_a_folder_that_is_none() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "theirs").unwrap();
    symlink("nowhere", folder.path().join("link")).unwrap();
    for path in ["missing/backup.json", "missing/a/b/backup.json", "file/backup.json", "link/backup.json"] {
        let path = folder.path().join(path);
        assert_not_sent(FileSlot::reserve(&path), &path);
    }
    assert_eq!(names(folder.path()), ["file", "link"]);
    assert_eq!(fs::read(&file).unwrap(), b"theirs");
}

#[test]
fn reserve_refuses_a_folder_that_cannot_be_written() {
    if cfg!(target_os = "linux") {
        let path = Path::new("/proc/portal-backup.json");
        assert_not_sent(FileSlot::reserve(path), path);
    }

    let shut = folder();
    fs::set_permissions(shut.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let path = shut.path().join("backup.json");
    if fs::write(shut.path().join("probe"), "").is_ok() {
        eprintln!("skipped: a folder without write permission does not stop this user");
    } else {
        assert_not_sent(FileSlot::reserve(&path), &path);
    }

    if let Some(read_only) = Mounted::tmpfs("ro") {
        let path = read_only.path().join("backup.json");
        let text = assert_not_sent(FileSlot::reserve(&path), &path);
        assert!(text.contains("no file can be created next to it"), "{text}");
    }
}

#[test]
fn reserve_refuses_a_name_that_is_too_long() {
    let folder = folder();
    for len in [256, 5000] {
        let path = folder.path().join("n".repeat(len));
        let text = assert_not_sent(FileSlot::reserve(&path), &path);
        assert!(text.len() < 5300, "{text}");
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_path_does_not_reach_the_terminal_as_it_is() {
    let path = Path::new("\u{1b}[2J\r\n\u{202e}/missing\0/backup.json");
    let text = assert_not_sent(FileSlot::reserve(path), path);
    assert!(!text.contains(char::is_control) && !text.contains('\u{202e}'), "{text:?}");
}

#[test]
fn every_name_that_the_file_system_takes_will_do() {
    let folder = folder();
    for len in [1, 143, 200, 230, 254, 255] {
        let path = folder.path().join("n".repeat(len));
        let slot = FileSlot::reserve(&path).unwrap();
        // Some file systems take 143 bytes and no more.
        let hidden = slot.hidden_path().file_name().unwrap().len() + ".d".len();
        assert!(hidden <= 143 && slot.hidden_path().exists(), "{hidden} {:?}", slot.hidden_path());
        let _ = slot.store(&shares()).unwrap();
        assert_whole(&path);
    }
    let deep = folder.path().join("d".repeat(255));
    fs::create_dir(&deep).unwrap();
    let _ = FileSlot::reserve(deep.join("é".repeat(127))).unwrap().store(&shares()).unwrap();
}

#[test]
fn a_name_that_the_file_system_does_not_take_is_refused_at_once() {
    let folder = folder();
    let path = folder.path().join("backup 12:30.json");
    let Some(run) = Spoilt::run(&path, &["linkat:error=EINVAL", "openat:error=EINVAL:when=6"]) else {
        return;
    };
    // The folder, its listing, the hidden file, reading that back, and the file that is to get the name.
    assert!(run.log.contains("backup 12:30.json\", O_WRONLY|O_CREAT|O_EXCL"), "{}", run.log);
    assert_eq!(run.status.code(), Some(NOT_RESERVED), "{}", run.log);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_disk_without_room_is_found_at_once() {
    let Some(small) = Mounted::tmpfs("size=96k") else { return };
    fill(small.path());
    let path = small.path().join("backup.json");
    let text = assert_not_sent(FileSlot::reserve(&path), &path);
    assert!(text.contains("it cannot be written (No space left on device"), "{text}");
    assert_eq!(names(small.path()), ["theirs"]);

    // No room for a second name.
    let Some(small) = Mounted::tmpfs("nr_inodes=2") else { return };
    let path = small.path().join("backup.json");
    assert_not_sent(FileSlot::reserve(&path), &path);
    assert!(names(small.path()).is_empty());
}

// What earlier runs left behind

/// A process that is gone.
fn ended() -> u32 {
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    ended.id()
}

#[test]
fn what_holds_nothing_is_removed_and_what_holds_something_is_named() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let process = ended();
    let hidden = |time| folder.path().join(hidden_name("backup.json", process, time));
    let of_another = folder.path().join(hidden_name("other.json", process, 1));
    let running = folder.path().join(hidden_name("backup.json", process::id(), u64::MAX));
    for empty in [&hidden(1), &of_another, &running] {
        fs::write(empty, "").unwrap();
    }
    fs::write(hidden(2), TEXT).unwrap();
    fs::write(hidden(3), [0; 70_000]).unwrap();
    let rehearsal = hidden(4).with_extension("tmp.d");
    fs::create_dir(&rehearsal).unwrap();
    fs::write(rehearsal.join("backup.json"), "").unwrap();
    let slot = FileSlot::reserve(&path).unwrap();
    assert_eq!(FileSlot::left_behind(&path), [hidden(2)]);
    let mut expected = [&of_another, &running, &hidden(2), slot.hidden_path()].map(|path| path.to_path_buf());
    expected.sort();
    let found: Vec<_> = names(folder.path()).into_iter().map(|name| folder.path().join(name)).collect();
    assert_eq!(found, expected);
    let _ = slot.store(&shares()).unwrap();
    assert_eq!(fs::read_to_string(hidden(2)).unwrap(), TEXT);
}

#[test]
fn a_hidden_file_that_somebody_removed_is_made_again() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let slot = FileSlot::reserve(&path).unwrap();
    fs::remove_file(slot.hidden_path()).unwrap();
    let _ = slot.store(&shares()).unwrap();
    assert_whole(&path);
    assert_eq!(names(folder.path()), ["backup.json"]);
}

#[test]
fn no_copy_stays_in_a_folder_that_was_moved_away_or_shut() {
    let parent = folder();
    let [folder, moved] = ["folder", "moved"].map(|name| parent.path().join(name));
    fs::create_dir(&folder).unwrap();
    let slot = FileSlot::reserve(folder.join("backup.json")).unwrap();
    fs::rename(&folder, &moved).unwrap();
    let text = assert_not_stored(slot.store(&shares()));
    assert!(text.contains("it cannot be found again"), "{text}");
    assert!(names(&moved).is_empty());

    let set = |flag: &str| {
        let set = Command::new("chattr").arg(flag).arg(&moved).output();
        set.is_ok_and(|output| output.status.success())
    };
    let slot = FileSlot::reserve(moved.join("backup.json")).unwrap();
    let hidden = slot.hidden_path().to_path_buf();
    if !set("+i") {
        eprintln!("skipped: no folder can be shut here");
        return;
    }
    let stored = slot.store(&shares());
    assert!(set("-i"));
    assert_not_stored(stored);
    assert_eq!(fs::read(hidden).unwrap(), b"", "what cannot be removed is emptied");
}

#[test]
fn a_copy_that_can_be_neither_removed_nor_emptied_is_named() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    // The first two are the rehearsal's.
    let spoil = ["linkat:error=EPERM:when=2+", "rename:error=EIO", "unlink:error=EIO:when=2+"];
    let Some(run) = Spoilt::run(&path, &[&spoil[..], &["ftruncate:error=EIO:when=2+"]].concat()) else {
        return;
    };
    assert_eq!(run.status.code(), Some(NOT_STORED), "{}", run.log);
    let hidden = names(folder.path()).into_iter().find(is_hidden).unwrap();
    assert!(
        run.said.contains(&format!("{} holds the shares", folder.path().join(hidden).display())),
        "{}",
        run.said
    );
}

// Taking up again

#[test]
fn what_was_stored_is_taken_up_again_and_synchronized_with_its_folder() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let stored = FileSlot::reserve(&path).unwrap().store(&shares()).unwrap();
    symlink("backup.json", folder.path().join("link")).unwrap();
    for path in [path, folder.path().join("link")] {
        let (shares, loaded) = FileSlot::load(&path).unwrap();
        assert_eq!((shares.expose_json(), &loaded), (TEXT, &stored));
    }
}

#[test]
fn what_is_taken_up_outlives_a_power_cut_or_is_not_taken_up() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let _ = FileSlot::reserve(&path).unwrap().store(&shares()).unwrap();
    let load = |spoil: &[&str]| {
        let mut command = this_test_binary(&path);
        command.env("STORE_LOADS", "1");
        Some(Spoilt::attach(Process::start(command), spoil)?.finish())
    };
    let Some(run) = load(&[]) else { return };
    assert_eq!(run.log.lines().filter(|line| line.starts_with("fsync(")).count(), 2, "{}", run.log);
    // The file and the folder; a file system that cannot be written to has nothing to synchronize.
    for (spoil, code) in [
        ("fsync:error=EIO:when=1", NOT_STORED),
        ("fsync:error=EIO:when=2", NOT_STORED),
        ("fsync:error=EROFS", STORED),
    ] {
        assert_eq!(load(&[spoil]).unwrap().status.code(), Some(code), "{spoil}");
    }
    assert_whole(&path);
}

#[test]
fn what_is_not_whole_is_not_taken_up() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let same = r#"{"SECP256K1":{"share":"SECRET","id":"a"},"ED25519":{"share":"SECRET","id":"a"}}"#;
    for text in ["", "{", &TEXT[..TEXT.len() - 1], &format!("{TEXT}x"), same, "SECRET", "\u{feff}{}"] {
        fs::write(&path, text).unwrap();
        let e = FileSlot::load(&path).unwrap_err();
        assert_eq!(e.outcome(), Outcome::NotSent);
        assert!(!e.already_exists() && e.source().is_some());
        let said = format!("{e} {e:?}");
        assert!(said.contains("backup.json: ") && said.contains("nothing was sent"), "{said}");
        assert!(!said.contains("SECRET"), "{said}");
    }
    fs::write(&path, b"\xff").unwrap();
    assert!(FileSlot::load(&path).unwrap_err().to_string().contains("UTF-8"));
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(FileSlot::load(&path).unwrap_err().to_string().contains("longer than 4 MiB"));
    for path in ["missing", ".", "backup.json/x"] {
        assert_eq!(FileSlot::load(folder.path().join(path)).unwrap_err().outcome(), Outcome::NotSent);
    }
}

// What goes wrong when the shares exist already

#[test]
fn a_name_taken_meanwhile_is_left_alone() {
    type Take = fn(&Path);
    let takes: &[(&str, Take)] = &[
        ("a file", |path| fs::write(path, "theirs").unwrap()),
        ("an empty file", |path| fs::write(path, "").unwrap()),
        ("a folder", |path| fs::create_dir(path).unwrap()),
        ("a dangling link", |path| symlink("nowhere", path).unwrap()),
        ("a link to a file", |path| {
            fs::write(path.with_file_name("other"), "theirs").unwrap();
            symlink("other", path).unwrap();
        }),
    ];
    for (what, take) in takes {
        let folder = folder();
        let path = folder.path().join("backup.json");
        let slot = FileSlot::reserve(&path).unwrap();
        take(&path);
        let look = |path: &Path| (fs::symlink_metadata(path).unwrap().ino(), fs::read(path).ok());
        let before = look(&path);
        assert_not_stored(slot.store(&shares()));
        assert_eq!(look(&path), before, "{what}");
        assert!(!names(folder.path()).iter().any(is_hidden), "{what}");
        assert!(!folder.path().join("nowhere").exists(), "{what}");
    }
}

#[test]
fn a_folder_removed_meanwhile_is_an_error_and_stays_removed() {
    let parent = folder();
    let folder = parent.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let slot = FileSlot::reserve(folder.join("backup.json")).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert_not_stored(slot.store(&shares()));
    assert!(names(parent.path()).is_empty());
}

#[test]
fn a_folder_exchanged_meanwhile_is_an_error_and_stays_empty() {
    let parent = folder();
    let [folder, moved] = ["folder", "moved"].map(|name| parent.path().join(name));
    fs::create_dir(&folder).unwrap();
    let slot = FileSlot::reserve(folder.join("backup.json")).unwrap();
    fs::rename(&folder, &moved).unwrap();
    fs::create_dir(&folder).unwrap();
    assert_not_stored(slot.store(&shares()));
    assert!(names(&folder).is_empty());
    assert!(!moved.join("backup.json").exists());
}

#[test]
fn the_hidden_file_exchanged_meanwhile_is_noticed() {
    for text in ["", "theirs", &TEXT[..TEXT.len() - 1], &format!("{TEXT} "), &TEXT.replace("u", "v")] {
        let folder = folder();
        let path = folder.path().join("backup.json");
        let slot = FileSlot::reserve(&path).unwrap();
        let hidden = folder.path().join(&names(folder.path())[0]);
        fs::remove_file(&hidden).unwrap();
        fs::write(&hidden, text).unwrap();
        assert!(assert_not_stored(slot.store(&shares())).contains("it cannot be read back"));
        assert!(!path.exists());
    }
}

#[test]
fn a_full_disk_leaves_nothing_partial() {
    let Some(small) = Mounted::tmpfs("size=96k") else { return };
    let path = small.path().join("backup.json");
    let slot = FileSlot::reserve(&path).unwrap();
    fill(small.path());
    let shares = shares();
    let text = assert_not_stored(slot.store(&shares));
    assert!(text.contains("it cannot be written (No space left on device"), "{text}");
    assert_eq!(names(small.path()), ["theirs"]);

    let elsewhere = folder();
    let path = elsewhere.path().join("backup.json");
    FileSlot::reserve(&path).unwrap().store(&shares).unwrap();
    assert_whole(&path);
}

/// Takes what room there is left.
fn fill(folder: &Path) {
    let mut theirs = fs::File::create(folder.join("theirs")).unwrap();
    while theirs.write(&[b'.'; 4096]).is_ok_and(|len| len > 0) {}
}

#[test]
fn a_limit_on_the_size_of_files_leaves_nothing_partial() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let mut child = Process::start_in_shell("trap '' XFSZ", &path);
    child.go();
    child.wait_until_reserved();
    // About half of the text.
    let process = child.child.id().to_string();
    let limited = Command::new("prlimit").args(["--pid", &process, "--fsize=8192"]).status().unwrap();
    assert!(limited.success());
    assert_eq!(child.finish().code(), Some(NOT_STORED));
    assert!(names(folder.path()).is_empty());
}

#[test]
fn of_all_who_want_one_name_exactly_one_gets_it() {
    const MANY: usize = 16;
    for round in 0..20 {
        let folder = folder();
        let path = folder.path().join("backup.json");
        let texts: Vec<_> = (0..MANY).map(|i| TEXT.replace("clu32l", &format!("r{round}t{i}"))).collect();
        let all_reserved = Barrier::new(MANY);
        let results: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = texts
                .iter()
                .map(|text| {
                    scope.spawn(|| {
                        let shares = BackupShares::parse(text.as_str()).unwrap();
                        let slot = FileSlot::reserve(&path).unwrap();
                        all_reserved.wait();
                        slot.store(&shares)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let won: Vec<_> = (0..MANY).filter(|i| results[*i].is_ok()).collect();
        assert_eq!(won.len(), 1, "{results:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), texts[won[0]]);
        assert_eq!(names(folder.path()), ["backup.json"]);
        for result in results.into_iter().filter(Result::is_err) {
            assert_not_stored(result);
        }
    }
}

// Each system call spoilt, by strace

/// Without this, a file system has hard links.
const NO_HARD_LINKS: &str = "linkat:error=EPERM";

#[test]
fn the_file_and_then_its_name_outlive_a_power_cut() {
    let folder = folder();
    let Some(run) = Spoilt::run(&folder.path().join("backup.json"), &[]) else { return };
    let calls = ["write", "fsync", "read", "ftruncate", "mkdir", "linkat", "unlink", "rmdir"];
    let names = run.log.lines().filter_map(|line| Some(line.split_once('(')?.0));
    let mut steps: Vec<_> = names.skip_while(|name| *name != "write").collect();
    steps.retain(|name| calls.contains(name));
    steps.dedup();
    let (rehearsed, stored) = steps.split_at(steps.iter().rposition(|name| *name == "write").unwrap());
    assert_eq!(
        rehearsed,
        ["write", "fsync", "read", "ftruncate", "mkdir", "linkat", "unlink", "rmdir", "fsync"],
        "{}",
        run.log
    );
    assert_eq!(stored, ["write", "fsync", "read", "linkat", "fsync", "read", "unlink"], "{}", run.log);
}

#[test]
fn a_file_system_without_hard_links_will_do() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let Some(run) = Spoilt::run(&path, &[NO_HARD_LINKS]) else { return };
    assert_eq!(run.status.code(), Some(STORED), "{}", run.log);
    assert!(run.log.contains("EPERM (Operation not permitted) (INJECTED)"), "{}", run.log);
    assert_eq!(names(folder.path()), ["backup.json"]);
    assert_whole(&path);
}

#[test]
fn without_hard_links_a_name_taken_meanwhile_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let Some(mut spoilt) = Spoilt::start(&path, &[NO_HARD_LINKS]) else { return };
    spoilt.process.wait_until_reserved();
    fs::write(&path, "theirs").unwrap();
    let run = spoilt.finish();
    assert_eq!(run.status.code(), Some(NOT_STORED), "{}", run.log);
    assert_eq!(names(folder.path()), ["backup.json"]);
    assert_eq!(fs::read(&path).unwrap(), b"theirs");
}

#[test]
fn without_hard_links_exactly_one_of_many_gets_the_name() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let mut all = Vec::new();
    for _ in 0..6 {
        let Some(mut spoilt) = Spoilt::start(&path, &[NO_HARD_LINKS]) else { return };
        spoilt.process.wait_until_reserved();
        all.push(spoilt);
    }
    all.iter_mut().for_each(|spoilt| spoilt.process.go());
    let codes: Vec<_> = all.into_iter().map(|spoilt| spoilt.finish().status.code()).collect();
    assert_eq!(codes.iter().filter(|code| **code == Some(STORED)).count(), 1, "{codes:?}");
    assert_eq!(names(folder.path()), ["backup.json"]);
    assert_whole(&path);
}

#[test]
#[cfg(target_os = "linux")]
fn without_hard_links_the_empty_file_of_a_process_that_runs_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let hidden_of = |process: u32| folder.path().join(hidden_name("backup.json", process, 0x18c));
    // A process of that number ran long ago; the other one has reserved after this one began to.
    let running = folder.path().join(hidden_name("backup.json", process::id(), u64::MAX));
    let of_longer_name = folder.path().join(hidden_name("backup.json.old", ended.id(), 0x18c));
    fs::write(&path, "").unwrap();
    fs::write(&of_longer_name, "half").unwrap();
    assert_not_sent(FileSlot::reserve(&path), &path);
    fs::write(&running, "half").unwrap();
    fs::write(hidden_of(ended.id()), "half").unwrap();
    assert_not_sent(FileSlot::reserve(&path), &path);
    assert!(path.exists());

    fs::remove_file(running).unwrap();
    fs::write(hidden_of(process::id()), "half").unwrap();
    FileSlot::reserve(&path).unwrap().store(&shares()).unwrap();
    assert_whole(&path);
    fs::remove_file(hidden_of(process::id())).unwrap();
    // What is not empty is never that file, nor is what is no file.
    assert_not_sent(FileSlot::reserve(&path), &path);
    assert_whole(&path);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_not_sent(FileSlot::reserve(&path), &path);
    fs::remove_dir(&path).unwrap();
    // An empty hidden file is of somebody who has not stored anything.
    fs::write(&path, "").unwrap();
    fs::write(hidden_of(ended.id()), "").unwrap();
    assert_not_sent(FileSlot::reserve(&path), &path);
}

#[test]
fn a_disk_that_lies_is_found_out_by_reading_back() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    // Says that all was written, and writes nothing.
    let spoil = format!("write:retval={}:when=2", TEXT.len());
    let Some(run) = Spoilt::run(&path, &[&spoil]) else { return };
    assert_eq!(run.status.code(), Some(NOT_STORED), "{}", run.log);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_kill_at_any_system_call_leaves_the_whole_file_or_none_and_blocks_nothing() {
    kill_at_each_call(&[]);
}

#[test]
fn without_hard_links_a_kill_loses_and_blocks_nothing_either() {
    kill_at_each_call(&[NO_HARD_LINKS]);
}

fn kill_at_each_call(spoil: &[&str]) {
    let Some(calls) = system_calls(spoil) else { return };
    let mut kills = 0;
    let mut whole = 0;
    for call in calls.iter().filter(|call| !spoil.iter().any(|spoil| spoil.starts_with(*call))) {
        for nth in 1.. {
            let folder = folder();
            let path = folder.path().join("backup.json");
            let kill = format!("{call}:signal=KILL:when={nth}");
            let run = Spoilt::run(&path, &[spoil, &[&kill]].concat()).unwrap();
            if run.status.code() == Some(STORED) {
                break;
            }
            assert_eq!(run.status.signal(), Some(9), "{call} {nth}: {}", run.log);
            kills += 1;
            check_after_kill(&path, &run.log);
            whole += usize::from(path.exists());

            // The next run, by a program that is not spoilt.
            let next = FileSlot::reserve(&path);
            if fs::read(&path).is_ok_and(|found| !found.is_empty()) {
                assert!(assert_not_sent(next, &path).contains("exists already"));
            } else {
                next.unwrap_or_else(|e| panic!("{e}, after {}", run.log)).store(&shares()).unwrap();
            }
            assert_whole(&path);
        }
    }
    assert!(kills >= 10 && whole >= 2, "{kills} kills, of which {whole} left the file: was anything tried?");
}

/// The name is free, or leads to the whole file; nothing is readable by others.
fn check_after_kill(path: &Path, log: &str) {
    let folder = path.parent().unwrap();
    let hidden: Vec<_> = names(folder).into_iter().filter(is_hidden).map(|name| folder.join(name)).collect();
    hidden.iter().for_each(|hidden| assert_private(hidden));
    match fs::read_to_string(path) {
        Err(e) => assert_eq!(e.kind(), io::ErrorKind::NotFound),
        // Where there are no hard links, an empty file takes the name for a moment; the shares are beside it.
        Ok(text) if text.is_empty() && log.contains(NO_HARD_LINKS_SEEN) => {
            assert!(hidden.iter().any(|hidden| fs::read_to_string(hidden).unwrap() == TEXT), "{log}");
        }
        Ok(text) => assert_eq!(text, TEXT, "{log}"),
    }
}

const NO_HARD_LINKS_SEEN: &str = "EPERM (Operation not permitted) (INJECTED)";

#[test]
fn an_error_of_any_system_call_leaves_the_whole_file_or_none_and_blocks_nothing() {
    fail_at_each_call(&[]);
}

#[test]
fn without_hard_links_an_error_loses_and_blocks_nothing_either() {
    fail_at_each_call(&[NO_HARD_LINKS]);
}

fn fail_at_each_call(spoil: &[&str]) {
    let Some(calls) = system_calls(spoil) else { return };
    let mut failures = BTreeSet::new();
    for call in calls.iter().filter(|call| is_about_files(call)) {
        if spoil.iter().any(|spoil| spoil.starts_with(call)) {
            continue;
        }
        for nth in 1.. {
            let folder = folder();
            let path = folder.path().join("backup.json");
            let fail = format!("{call}:error=EIO:when={nth}");
            let run = Spoilt::run(&path, &[spoil, &[&fail]].concat()).unwrap();
            let log = &run.log;
            if !log.contains("EIO (Input/output error) (INJECTED)") {
                assert_eq!(run.status.code(), Some(STORED), "{log}");
                break;
            }
            match run.status.code() {
                Some(STORED) => assert_whole(&path),
                Some(NOT_RESERVED | NOT_STORED) => {
                    assert!(!path.exists(), "{call} {nth}: {log}");
                    failures.insert(call);
                }
                // The standard library panics when a folder that it has read cannot be closed.
                Some(101) if call == "close" => assert!(!path.exists(), "{call} {nth}: {log}"),
                other => panic!("{other:?} {log}"),
            }
            let left = names(folder.path());
            assert!(
                call.starts_with("unlink") || !left.iter().any(is_hidden),
                "{call} {nth}: {left:?} {log}"
            );
            if !path.exists() {
                FileSlot::reserve(&path).unwrap().store(&shares()).unwrap();
                assert_whole(&path);
            }
        }
    }
    assert!(failures.len() >= 4, "only {failures:?} mattered: was anything tried?");
}

#[test]
fn a_folder_that_cannot_be_synchronized_is_an_error_unless_it_knows_of_no_such_thing() {
    for (error, code) in [("EIO", NOT_STORED), ("EINVAL", STORED), ("ENOTSUP", STORED)] {
        let folder = folder();
        let path = folder.path().join("backup.json");
        // File and folder when the place is reserved, then the file once more.
        let Some(run) = Spoilt::run(&path, &[&format!("fsync:error={error}:when=4")]) else { return };
        assert_eq!(run.status.code(), Some(code), "{}", run.log);
        assert_eq!(path.exists(), code == STORED, "{}", run.log);
    }
}

#[test]
fn a_hidden_name_that_is_taken_is_no_reason_to_fail() {
    let folder = folder();
    let path = folder.path().join("backup.json");
    let Some(run) = Spoilt::run(&path, &[]) else { return };
    let opened: Vec<_> = run.log.lines().filter(|line| line.starts_with("openat(")).collect();
    let nth = 1 + opened.iter().position(|line| line.contains("O_EXCL")).unwrap();
    fs::remove_file(&path).unwrap();
    let run = Spoilt::run(&path, &[&format!("openat:error=EEXIST:when={nth}")]).unwrap();
    assert!(run.log.contains("EEXIST (File exists) (INJECTED)"), "{}", run.log);
    assert_eq!(run.status.code(), Some(STORED), "{}", run.log);
}

#[test]
fn interrupted_system_calls_are_repeated() {
    let Some(calls) = system_calls(&[]) else { return };
    for call in ["openat", "open", "write", "fsync", "fdatasync", "read", "linkat"] {
        for nth in 1..=4 {
            if calls.contains(call) {
                let folder = folder();
                let path = folder.path().join("backup.json");
                let run = Spoilt::run(&path, &[&format!("{call}:error=EINTR:when={nth}")]).unwrap();
                assert_eq!(run.status.code(), Some(STORED), "{}", run.log);
                assert_whole(&path);
            }
        }
    }
}

fn is_about_files(call: &str) -> bool {
    let parts = [
        "open", "write", "sync", "read", "link", "stat", "rename", "close", "seek", "getdents", "chmod",
        "trunc",
    ];
    parts.iter().any(|part| call.contains(part))
}

/// Every kind of system call between the order to store and the end.
fn system_calls(spoil: &[&str]) -> Option<BTreeSet<String>> {
    let folder = folder();
    let run = Spoilt::run(&folder.path().join("backup.json"), spoil)?;
    assert_eq!(run.status.code(), Some(STORED), "{}", run.log);
    let name = |line: &str| Some(line.split_once('(')?.0.to_string());
    let calls: BTreeSet<_> = run.log.lines().filter_map(name).filter(|name| !name.contains(' ')).collect();
    assert!(["write", "linkat"].iter().all(|call| calls.contains(*call)), "{}", run.log);
    Some(calls)
}

const STORED: i32 = 0;
const NOT_RESERVED: i32 = 103;
const NOT_STORED: i32 = 104;

#[test]
#[ignore = "run by the other tests, in a process that they spoil"]
fn store_once() {
    let Some(path) = env::var_os("STORE_AT") else { return };
    let stdin = io::stdin();
    // This may be the call that is spoilt.
    let wait = || _ = stdin.lock().read_line(&mut String::new());
    let thread = fs::read_link("/proc/thread-self").unwrap_or_default();
    let say = |what: &str| writeln!(io::stderr(), "{what}").unwrap();
    say(thread.file_name().unwrap_or_default().to_str().unwrap());
    let shares = shares();
    wait();
    if env::var_os("STORE_LOADS").is_some() {
        process::exit(if FileSlot::load(path).is_ok() { STORED } else { NOT_STORED });
    }
    let Ok(slot) = FileSlot::reserve(path) else { process::exit(NOT_RESERVED) };
    if env::var_os("STORE_WAITS").is_some() {
        say("reserved");
        wait();
    }
    process::exit(match slot.store(&shares) {
        Ok(_) => STORED,
        Err(e) => {
            say(&format!("\n{e}"));
            NOT_STORED
        }
    });
}

fn this_test_binary(path: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "store_once", "--nocapture"])
        .env("STORE_AT", path)
        .env("RUST_BACKTRACE", "0");
    command
}

/// A process that runs `store_once`.
struct Process {
    child: Child,
    stderr: BufReader<process::ChildStderr>,
    thread: String,
}

impl Process {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut process = Self { child, stderr, thread: String::new() };
        process.thread = process.line();
        process
    }

    fn start_in_shell(first: &str, path: &Path) -> Self {
        let inner = this_test_binary(path);
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!(r#"{first}; exec "$0" "$@""#)])
            .arg(inner.get_program())
            .args(inner.get_args());
        command.env("STORE_AT", path).env("STORE_WAITS", "1");
        Self::start(command)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line.trim().into()
    }

    fn go(&mut self) {
        // A process that is gone already is what some of the tests want.
        let _ = self.child.stdin.as_ref().unwrap().write_all(b"go\n");
    }

    fn wait_until_reserved(&mut self) {
        assert_eq!(self.line(), "reserved");
    }

    fn finish(mut self) -> ExitStatus {
        self.go();
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process whose storing thread strace watches, and spoils as told, from the order to store on.
struct Spoilt {
    process: Process,
    strace: Child,
    log: tempfile::NamedTempFile,
}

struct Run {
    status: ExitStatus,
    said: String,
    log: String,
}

impl Spoilt {
    /// Stores in one go; `None`, with the reason printed, where there is no strace that may do this.
    fn run(path: &Path, spoil: &[&str]) -> Option<Run> {
        let spoilt = Self::attach(Process::start(this_test_binary(path)), spoil)?;
        Some(spoilt.finish())
    }

    /// Goes on to where the place is reserved.
    fn start(path: &Path, spoil: &[&str]) -> Option<Self> {
        let mut command = this_test_binary(path);
        command.env("STORE_WAITS", "1");
        let mut spoilt = Self::attach(Process::start(command), spoil)?;
        spoilt.process.go();
        Some(spoilt)
    }

    fn attach(process: Process, spoil: &[&str]) -> Option<Self> {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-s", "0", "-e", "trace=all", "-p", &process.thread, "-o"]).arg(log.path());
        for spoil in spoil {
            strace.args(["-e", &format!("inject={spoil}")]);
        }
        let Ok(mut strace) = strace.stderr(Stdio::null()).spawn() else {
            eprintln!("skipped: there is no strace here");
            return None;
        };
        let status = format!("/proc/{}/task/{}/status", process.child.id(), process.thread);
        // No status any more: what it was waiting in was the call to be killed at.
        let is_attached = || {
            fs::read_to_string(&status).map_or(true, |status| {
                let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
                tracer.is_some_and(|pid| pid.trim() != "0")
            })
        };
        let start = Instant::now();
        while !is_attached() {
            if strace.try_wait().unwrap().is_some() {
                eprintln!("skipped: strace may not watch other processes here");
                return None;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "strace does not get on");
            thread::sleep(Duration::from_millis(1));
        }
        Some(Self { process, strace, log })
    }

    fn finish(mut self) -> Run {
        self.process.go();
        self.process.go();
        let mut said = String::new();
        self.process.stderr.read_to_string(&mut said).unwrap();
        let status = self.process.child.wait().unwrap();
        // It ends with what it watches.
        self.strace.wait().unwrap();
        Run { status, said, log: fs::read_to_string(self.log.path()).unwrap() }
    }
}

/// A file system of its own, until it is dropped.
struct Mounted(TempDir);

impl Mounted {
    /// `None`, with the reason printed, where this is not allowed.
    fn tmpfs(options: &str) -> Option<Self> {
        let folder = folder();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).output();
        match mount {
            Ok(done) if done.status.success() => Some(Self(folder)),
            _ => {
                eprintln!("skipped: mounting is not allowed here");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}
