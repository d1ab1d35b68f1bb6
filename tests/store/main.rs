//! The file store: whole or not there, for its owner alone, whatever fails and whenever it is killed; nothing of
//! anybody else is touched.

#![cfg(all(feature = "client", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails must stop")]
#![allow(clippy::print_stderr, reason = "a test that cannot run here says so")]

#[cfg(target_os = "linux")]
mod power_cut;
mod spoilt;

use std::collections::BTreeSet;
use std::error::Error as _;
use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Barrier, mpsc};
use std::time::Duration;
use std::{fs, thread};

use portal_backup::{BackupShares, FileSlot, Outcome, StoreError, StoredShares};
use spoilt::{
    Mounted, NO_HARD_LINKS, NOT_RESERVED, NOT_STORED, Process, STORED, Spoilt, as_another_user, this_test_binary,
};
use tempfile::TempDir;

const TEXT: &str = include_str!("../data/generate.json");

fn shares() -> BackupShares {
    BackupShares::parse(TEXT).unwrap()
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("portal-backup-store").tempdir().unwrap()
}

/// A folder, and a path in it.
fn place() -> (TempDir, PathBuf) {
    let folder = folder();
    let path = folder.path().join("backup.json");
    (folder, path)
}

/// A folder in which everybody may make files.
fn folder_for_all() -> TempDir {
    let folder = folder();
    set_mode(folder.path(), 0o777);
    folder
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
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

/// What the hidden files of a target begin with, which every version has to make in the same way.
fn hidden_prefix(target: &str) -> String {
    let hash =
        target.bytes().fold(0xcbf29ce484222325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100000001b3));
    format!(".portal-backup-{hash:016x}-")
}

/// What there is under a name, without opening it: the file, its length, its kind and rights.
fn look(path: &Path) -> (u64, u64, u32) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.ino(), found.len(), found.mode())
}

/// All that there is in a folder.
fn look_at_all(folder: &Path) -> Vec<(OsString, (u64, u64, u32))> {
    names(folder).into_iter().map(|name| (name.clone(), look(&folder.join(name)))).collect()
}

/// Does it in a thread, as it may hang.
#[track_caller]
fn in_time<A: Send + 'static, T: Send + 'static>(on: A, what: fn(A) -> T) -> T {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || done.send(what(on)));
    wait.recv_timeout(Duration::from_secs(20)).expect("it hangs")
}

/// Stores, which succeeds.
#[track_caller]
fn store(path: &Path) -> StoredShares {
    let stored = FileSlot::reserve(path).unwrap().store(&shares()).unwrap();
    assert_whole(path);
    stored
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
fn assert_not_stored(result: Result<StoredShares, StoreError>) -> String {
    let e = result.expect_err("it should have failed");
    assert_eq!(e.outcome(), Outcome::Unknown, "{e}");
    assert!(e.source().is_some(), "the operating system's reason");
    let text = e.to_string();
    assert!(text.ends_with("the shares are not stored there; store them elsewhere, or run the backup again"), "{text}");
    text
}

// What it does

#[test]
fn the_bytes_are_stored_as_they_came_and_for_their_owner_alone() {
    let (folder, path) = place();
    let slot = FileSlot::reserve(&path).unwrap();
    assert_eq!(format!("{slot:?}"), format!("FileSlot {{ target: {path:?}, .. }}"));
    assert_eq!(names(folder.path()), [slot.hidden_path().file_name().unwrap()]);
    assert_private(slot.hidden_path());
    assert_eq!(look(slot.hidden_path()).1, 0);

    let shares = shares();
    let stored = slot.store(&shares).unwrap();
    assert_eq!(stored.share_pair_ids(), shares.share_pair_ids());
    assert_eq!(names(folder.path()), ["backup.json"]);
    assert_whole(&path);
    assert_eq!(fs::metadata(&path).unwrap().nlink(), 1);
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
fn nothing_stays_of_a_slot_that_is_dropped_or_given_nothing() {
    let (folder, path) = place();
    drop(FileSlot::reserve(&path).unwrap());
    assert!(names(folder.path()).is_empty());
    let e = FileSlot::reserve(&path).unwrap().store_bytes(b"").unwrap_err();
    assert!(e.to_string().contains("there is nothing to keep"), "{e}");
    assert_eq!(e.outcome(), Outcome::Unknown);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn whatever_the_umask_is_the_file_is_for_its_owner_alone() {
    for umask in ["000", "077", "177", "277", "377", "777"] {
        let folder = folder_for_all();
        let path = folder.path().join("backup.json");
        let process = Process::start_and_reserve(as_another_user(&format!("umask {umask}"), &path));
        for name in names(folder.path()).iter().filter(|name| is_hidden(name)) {
            assert_private(&folder.path().join(name));
        }
        let (status, said) = process.finish();
        assert_eq!(status.code(), Some(STORED), "umask {umask}: {said}");
        assert_whole(&path);
    }
}

#[test]
fn a_path_without_a_folder_is_in_the_current_one() {
    let (folder, path) = place();
    let mut command = this_test_binary(Path::new("backup.json"));
    command.current_dir(folder.path());
    let (status, said) = Process::start_and_reserve(command).finish();
    assert_eq!(status.code(), Some(STORED), "{said}");
    assert_whole(&path);
}

// What is refused before anything is sent

#[test]
fn reserve_refuses_a_name_that_is_taken_and_says_how_to_go_on() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("file"), "theirs").unwrap();
    fs::write(path("empty"), "").unwrap();
    fs::create_dir(path("folder")).unwrap();
    make_pipe(&path("pipe"));
    symlink(path("file"), path("link")).unwrap();
    symlink(path("nowhere"), path("dangling link")).unwrap();
    symlink(path("looping link"), path("looping link")).unwrap();
    let before = look_at_all(folder.path());
    for (name, _) in &before {
        let path = path(name.to_str().unwrap());
        let e = FileSlot::reserve(&path).unwrap_err();
        assert!(e.already_exists());
        let text = assert_not_sent(Err(e), &path);
        assert!(text.contains("exists already") && text.contains("FileSlot::load"), "{text}");
    }
    assert_eq!(look_at_all(folder.path()), before);
}

#[test]
fn reserve_refuses_what_names_no_file() {
    let folder = folder();
    let new = ["new/", "new/.", "new//", "new/./", "new/.."].map(|name| folder.path().join(name));
    for path in ["", ".", "..", "/"].map(PathBuf::from).into_iter().chain(new) {
        let e = FileSlot::reserve(&path).unwrap_err();
        assert!(!e.already_exists());
        assert!(assert_not_sent(Err(e), &path).contains("names no file"));
        assert!(FileSlot::left_behind(&path).is_empty());
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn reserve_refuses_a_folder_that_is_none() {
    let folder = folder();
    fs::write(folder.path().join("file"), "theirs").unwrap();
    symlink("nowhere", folder.path().join("link")).unwrap();
    make_pipe(&folder.path().join("pipe"));
    let before = look_at_all(folder.path());
    for path in ["missing/backup.json", "missing/a/backup.json", "file/backup.json", "link/x", "pipe/x"] {
        let path = folder.path().join(path);
        assert_not_sent(in_time(path.clone(), FileSlot::reserve), &path);
    }
    assert_eq!(look_at_all(folder.path()), before);
}

#[test]
fn reserve_refuses_a_folder_that_cannot_be_written_or_synchronized() {
    if cfg!(target_os = "linux") {
        let path = Path::new("/proc/portal-backup.json");
        assert_not_sent(FileSlot::reserve(path), path);
    }
    if let Some(read_only) = Mounted::tmpfs("ro") {
        let path = read_only.path().join("backup.json");
        let text = assert_not_sent(FileSlot::reserve(&path), &path);
        assert!(text.contains("no file can be created next to it"), "{text}");
    }
    for (mode, why) in [
        (0o555, "no file can be created next to it"),
        (0o666, "its folder cannot be opened"),
        // Files can be made there, but no name would be sure to outlive a power cut.
        (0o333, "its folder cannot be opened"),
    ] {
        let (status, said, left) = run_in_folder_of(mode, false);
        assert_eq!(status, Some(NOT_RESERVED), "{mode:o} {said}");
        assert!(said.contains(why) && said.contains("folder/backup.json: "), "{mode:o} {said}");
        assert!(left.is_empty());
    }
}

/// Stores in a folder with these rights, or loads what is there, as somebody else; then looks what is in it.
fn run_in_folder_of(mode: u32, is_load: bool) -> (Option<i32>, String, Vec<OsString>) {
    let shared = folder_for_all();
    let folder = shared.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("backup.json");
    let mut command = as_another_user("", &shared.path().join("backup.json"));
    command.env("STORE_AT", &path);
    if is_load {
        fs::write(&path, TEXT).unwrap();
        set_mode(&path, 0o444);
        command.env("STORE_LOADS", "1");
    }
    set_mode(&folder, mode);
    let (status, said) = Process::start(command).finish();
    set_mode(&folder, 0o777);
    (status.code(), said, names(&folder))
}

#[test]
fn reserve_refuses_a_name_that_is_too_long_and_shows_none_as_it_is() {
    let folder = folder();
    for name in ["n".repeat(256), "n".repeat(5000), "\u{1b}[2J\r\n\u{202e}/missing\0/backup.json".into()] {
        let path = folder.path().join(name);
        let text = assert_not_sent(FileSlot::reserve(&path), &path);
        assert!(text.len() < 5300 && !text.contains(char::is_control) && !text.contains('\u{202e}'), "{text:?}");
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn every_name_that_the_file_system_takes_will_do() {
    let folder = folder();
    let names = [1, 143, 200, 230, 254, 255].map(|len| "n".repeat(len));
    for name in names.into_iter().chain(["\u{1}:?*".repeat(63), "é".repeat(127), "😀".repeat(63)]) {
        let path = folder.path().join(&name);
        let slot = FileSlot::reserve(&path).unwrap();
        // Some file systems take 143 bytes and no more.
        let hidden = slot.hidden_path().file_name().unwrap().len();
        assert!(hidden <= 143 && slot.hidden_path().exists(), "{hidden} {:?}", slot.hidden_path());
        let _ = slot.store(&shares()).unwrap();
        assert_whole(&path);
    }
    let path = folder.path().join(OsString::from_vec(b"not \xff UTF-8".to_vec()));
    let _ = store(&path);
}

#[test]
fn a_name_that_the_file_system_does_not_take_is_refused_at_once() {
    // FAT takes no colon: then it does not take the name of the hidden file either.
    for (name, unusual) in [("12:30.json", ":"), ("\"a-b_c.d\"é?", "\"\"é?"), ("backup-1_x.json", "")] {
        let slot = FileSlot::reserve(folder().path().join(name)).unwrap();
        let (random, end) = slot.hidden_path().to_str().unwrap().rsplit_once('-').unwrap().1.split_at(16);
        assert!(random.bytes().all(|b| b.is_ascii_hexdigit()), "{random}");
        assert_eq!(end, format!("{unusual}.tmp"));
    }
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
    let text = assert_not_sent(FileSlot::reserve(&path), &path);
    assert!(text.contains("it cannot be given its name (No space left on device"), "{text}");
    assert!(names(small.path()).is_empty());
}

// What others have made

#[test]
fn nothing_that_earlier_runs_left_is_touched_by_any_means() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let hidden = |number: usize| path(&format!("{}1234-18c-{number}.tmp", hidden_prefix("backup.json")));
    fs::write(hidden(0), "").unwrap();
    fs::write(hidden(1), TEXT).unwrap();
    fs::write(hidden(2), [0; 70_000]).unwrap();
    symlink(hidden(1), hidden(3)).unwrap();
    make_pipe(&hidden(4));
    fs::create_dir(hidden(5)).unwrap();
    let look_at = || (look_at_all(folder.path()), fs::read_to_string(hidden(1)).unwrap());

    let (before, target) = (look_at(), path("backup.json"));
    in_time(target.clone(), |path| drop(FileSlot::reserve(path).unwrap()));
    let _ = FileSlot::left_behind(&target);
    assert_eq!(look_at(), before);
    let _ = store(&target);
    // A second name of what is stored; and an empty file, which may belong to a run that stores just now.
    fs::hard_link(&target, hidden(6)).unwrap();
    for is_whole in [true, false] {
        if !is_whole {
            fs::remove_file(&target).unwrap();
            fs::write(&target, "").unwrap();
        }
        let before = look_at();
        assert_eq!(FileSlot::load(&target).is_ok(), is_whole);
        let _ = FileSlot::left_behind(&target);
        assert!(FileSlot::reserve(&target).is_err_and(|e| e.already_exists()));
        assert_eq!(look_at(), before);
    }
}

#[test]
fn what_is_left_behind_is_named_without_a_look_inside() {
    let folder = folder();
    let prefix = hidden_prefix("backup.json");
    let path = |name: &str| folder.path().join(name);
    let left = ["1.tmp", "2-3-4.tmp", "5"].map(|rest| path(&format!("{prefix}{rest}")));
    left.iter().for_each(|path| fs::write(path, "x").unwrap());
    set_mode(&left[0], 0);
    for other in [".portal-backup-", "backup.json", &hidden_prefix("other.json"), &prefix[1..]] {
        fs::write(path(&format!("{other}1.tmp")), "x").unwrap();
    }
    fs::write(path(&format!("{prefix}empty.tmp")), "").unwrap();
    fs::create_dir(path(&format!("{prefix}folder.tmp"))).unwrap();
    symlink(&left[1], path(&format!("{prefix}link.tmp"))).unwrap();
    make_pipe(&path(&format!("{prefix}pipe.tmp")));
    let target = path("backup.json");
    assert_eq!(in_time(target, FileSlot::left_behind), left);
    assert!(FileSlot::left_behind(path("missing/backup.json")).is_empty());

    // What runs just now is among them, and names the same.
    let target = path("other");
    let slot = FileSlot::reserve(&target).unwrap();
    assert!(FileSlot::left_behind(&target).is_empty());
    fs::write(slot.hidden_path(), "x").unwrap();
    assert_eq!(FileSlot::left_behind(&target), [slot.hidden_path()]);
}

// Taking up again

#[test]
fn what_is_taken_up_outlives_a_power_cut_as_far_as_that_can_be_had() {
    let ((folder, path), other) = (place(), folder());
    let stored = store(&path);
    let link = other.path().join("link");
    symlink(&path, &link).unwrap();
    for path in [&path, &link] {
        let (shares, loaded) = FileSlot::load(path).unwrap();
        assert_eq!((shares.expose_json(), &loaded), (TEXT, &stored));
    }
    let Some(run) = Spoilt::load(&link, &[]) else { return };
    let syncs: Vec<_> = run.log.lines().filter(|line| line.starts_with("fsync(")).collect();
    assert_eq!(syncs.len(), 2, "{}", run.log);
    // The folder of the file, not that of the link.
    assert_eq!(run.number_of("openat", &[&format!("{}/.\"", folder.path().display())]), 2, "{}", run.log);

    for error in ["EINVAL", "EOPNOTSUPP", "EROFS", "EIO", "ENOSPC", "EDQUOT", "EPERM", "EACCES", "EBADF"] {
        let is_forgiven = ["EINVAL", "EOPNOTSUPP", "EROFS"].contains(&error);
        for when in ["1", "2", "1+"] {
            let run = Spoilt::load(&path, &[&format!("fsync:error={error}:when={when}")]).unwrap();
            let code = if is_forgiven { STORED } else { NOT_STORED };
            assert_eq!(run.status.code(), Some(code), "{error} {when}: {}", run.log);
        }
    }
    // Opening the folder, and finding out where it is.
    for (spoil, code) in [
        ("openat:error=EIO:when=2", NOT_STORED),
        ("?readlink,readlinkat:error=EIO", NOT_STORED),
        ("?readlink,readlinkat:error=EACCES", STORED),
    ] {
        let run = Spoilt::load(&path, &[spoil]).unwrap();
        assert_eq!(run.status.code(), Some(code), "{spoil}: {}", run.log);
    }
}

#[test]
fn what_lies_in_a_folder_that_may_not_be_listed_is_taken_up() {
    for mode in [0o333, 0o111, 0o555] {
        let (status, said, _) = run_in_folder_of(mode, true);
        assert_eq!(status, Some(STORED), "{mode:o}: {said}");
    }
}

#[test]
fn what_is_not_whole_is_not_taken_up() {
    let (_folder, path) = place();
    let same = r#"{"SECP256K1":{"share":"SECRET","id":"a"},"ED25519":{"share":"SECRET","id":"a"}}"#;
    let broken = TEXT.replacen("eyJ", "eyJ????", 1);
    for text in ["", "{", &TEXT[..TEXT.len() - 1], &format!("{TEXT}x"), same, "SECRET", &broken, "\u{feff}{}"] {
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
    // The longest that is read, and one byte more.
    for (len, why) in [(4 << 20, "two whole shares"), ((4 << 20) + 1, "longer than"), (1 << 40, "longer than")] {
        fs::File::create(&path).unwrap().set_len(len).unwrap();
        let e = FileSlot::load(&path).unwrap_err();
        assert!(e.to_string().contains(why), "{e}");
    }
}

#[test]
fn what_is_no_file_is_not_taken_up_and_not_waited_for() {
    let folder = folder();
    make_pipe(&folder.path().join("pipe"));
    symlink("pipe", folder.path().join("link")).unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    for path in ["pipe", "link", "missing", ".", "file/x", "/dev/zero", "/dev/tty"] {
        let path = folder.path().join(path);
        let e = in_time(path.clone(), FileSlot::load).unwrap_err();
        assert_eq!((e.outcome(), e.path()), (Outcome::NotSent, &*path));
        assert!(e.to_string().contains("it cannot be read ("), "{e}");
    }
}

// What goes wrong when the shares exist already

/// Puts something else where nothing must be.
type Take = fn(&Path);

const TAKES: [(&str, Take); 7] = [
    ("a file", |path| fs::write(path, "theirs").unwrap()),
    ("an empty file", |path| fs::write(path, "").unwrap()),
    ("a file of the same length", |path| fs::write(path, TEXT.replace('u', "v")).unwrap()),
    ("a folder", |path| fs::create_dir(path).unwrap()),
    ("a dangling link", |path| symlink("nowhere", path).unwrap()),
    ("a link to a file", |path| {
        fs::write(path.with_file_name("other"), "theirs").unwrap();
        symlink("other", path).unwrap();
    }),
    ("a pipe", make_pipe),
];

#[test]
fn a_name_taken_meanwhile_is_left_alone() {
    for (what, take) in TAKES {
        let (folder, path) = place();
        let slot = FileSlot::reserve(&path).unwrap();
        take(&path);
        let before = (look(&path), names(folder.path()).len());
        assert_not_stored(in_time(slot, |slot| slot.store(&shares())));
        assert_eq!((look(&path), names(folder.path()).len() + 1), before, "{what}");
        assert!(!names(folder.path()).iter().any(is_hidden), "{what}");
    }
    let (folder, path) = place();
    let Some(spoilt) = Spoilt::start(&path, &[NO_HARD_LINKS]) else { return };
    fs::write(&path, "theirs").unwrap();
    let run = spoilt.finish();
    assert_eq!(run.status.code(), Some(NOT_STORED), "{}", run.log);
    assert_eq!((names(folder.path()), fs::read(&path).unwrap()), (vec!["backup.json".into()], b"theirs".into()));
}

#[test]
fn a_hidden_file_removed_or_replaced_meanwhile_is_an_error_and_what_replaced_it_stays() {
    for (what, take) in [("nothing", (|_| ()) as Take)].into_iter().chain(TAKES) {
        for is_stored in [true, false] {
            let (folder, path) = place();
            let slot = FileSlot::reserve(&path).unwrap();
            let hidden = slot.hidden_path().to_path_buf();
            fs::remove_file(&hidden).unwrap();
            take(&hidden);
            let before = look_at_all(folder.path());
            if is_stored {
                assert_not_stored(in_time(slot, |slot| slot.store(&shares())));
            } else {
                in_time(slot, drop);
            }
            assert_eq!(look_at_all(folder.path()), before, "{what}");
        }
    }
}

#[test]
fn a_target_replaced_after_it_was_published_is_an_error_and_what_replaced_it_stays() {
    for (spoil, call) in
        [(&[][..], ("linkat", &["/backup.json"][..])), (&[NO_HARD_LINKS], ("openat", &["/backup.json", "O_EXCL"]))]
    {
        // Another run's file, of the same length; and what would have to be waited for.
        for (what, take) in [TAKES[2], TAKES[6]] {
            let (folder, path) = place();
            let mut theirs = None;
            let replace = || {
                fs::remove_file(&path).unwrap();
                take(&path);
                theirs = Some(look(&path));
            };
            let Some(run) = Spoilt::stop_at(&path, spoil, call, replace) else { return };
            assert_eq!(run.status.code(), Some(NOT_STORED), "{what}: {}", run.log);
            assert!(run.said.contains("it cannot be found again (something else has its name)"), "{}", run.said);
            assert_eq!(names(folder.path()), ["backup.json"], "{what}");
            assert_eq!(Some(look(&path)), theirs, "{what}");
        }
    }
}

#[test]
fn where_each_name_has_a_number_of_its_own_the_content_decides() {
    let (folder, path) = place();
    let replace = || {
        let hidden = folder.path().join(&names(folder.path())[0]);
        let copy = folder.path().join("copy");
        fs::copy(&hidden, &copy).unwrap();
        fs::rename(copy, hidden).unwrap();
    };
    let Some(run) = Spoilt::stop_at(&path, &[], ("write", &["SECP256K1"]), replace) else { return };
    assert_eq!(run.status.code(), Some(STORED), "{}", run.log);
    assert_eq!(names(folder.path()), ["backup.json"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), TEXT);
}

#[test]
fn a_link_whose_response_was_lost_is_one() {
    let (folder, path) = place();
    let slot = FileSlot::reserve(&path).unwrap();
    fs::hard_link(slot.hidden_path(), &path).unwrap();
    let _ = slot.store(&shares()).unwrap();
    assert_whole(&path);
    assert_eq!(names(folder.path()), ["backup.json"]);
}

#[test]
fn a_folder_moved_or_removed_or_exchanged_meanwhile_is_an_error_and_keeps_no_copy() {
    for (is_removed, is_made_again) in [(true, false), (true, true), (false, false), (false, true)] {
        for spoil in [&[][..], &[NO_HARD_LINKS]] {
            let parent = folder();
            let [folder, moved] = ["folder", "moved"].map(|name| parent.path().join(name));
            fs::create_dir(&folder).unwrap();
            let Some(spoilt) = Spoilt::start(&folder.join("backup.json"), spoil) else { return };
            fs::rename(&folder, &moved).unwrap();
            if is_removed {
                fs::remove_dir_all(&moved).unwrap();
            }
            if is_made_again {
                fs::create_dir(&folder).unwrap();
            }
            let run = spoilt.finish();
            assert_eq!(run.status.code(), Some(NOT_STORED), "{}", run.log);
            for folder in [folder, moved].iter().filter(|folder| folder.exists()) {
                assert!(names(folder).iter().all(|name| look(&folder.join(name)).1 == 0));
            }
        }
    }
}

#[test]
fn no_copy_stays_in_a_folder_that_was_shut() {
    let folder = folder();
    let set = |flag| Command::new("chattr").arg(flag).arg(folder.path()).output().is_ok_and(|it| it.status.success());
    let slot = FileSlot::reserve(folder.path().join("backup.json")).unwrap();
    let hidden = slot.hidden_path().to_path_buf();
    if !set("+i") {
        eprintln!("skipped: no folder can be shut here");
        return;
    }
    let stored = slot.store(&shares());
    assert!(set("-i"));
    let text = assert_not_stored(stored);
    assert!(!text.contains("holds them"), "{text}");
    assert_eq!(fs::read(hidden).unwrap(), b"", "what cannot be removed is emptied");
}

#[test]
fn a_copy_that_can_be_neither_removed_nor_emptied_is_named() {
    let (folder, path) = place();
    let spoil = ["fsync:error=EIO:when=4", "unlink:error=EIO:when=3+", "ftruncate:error=EIO"];
    let Some(run) = Spoilt::run(&path, &spoil) else { return };
    assert_eq!(run.status.code(), Some(NOT_STORED), "{}", run.log);
    let hidden = names(folder.path()).into_iter().find(is_hidden).unwrap();
    let text = format!("{} holds them and can neither be", folder.path().join(hidden).display());
    assert!(run.said.contains(&text), "{}", run.said);
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

    let (_folder, path) = place();
    let _ = FileSlot::reserve(&path).unwrap().store(&shares).unwrap();
    assert_whole(&path);
}

/// Takes what room there is left.
fn fill(folder: &Path) {
    let mut theirs = fs::File::create(folder.join("theirs")).unwrap();
    while theirs.write(&[b'.'; 4096]).is_ok_and(|len| len > 0) {}
}

#[test]
fn of_all_who_want_one_name_exactly_one_gets_it() {
    const MANY: usize = 16;
    for round in 0..20 {
        let (folder, path) = place();
        // Of the same length, and every other one is the same.
        let texts: Vec<_> = (0..MANY).map(|i| TEXT.replace("clu32l", &format!("r{round}t{}", i % 8))).collect();
        let all_reserved = Barrier::new(MANY);
        let store = |text: &String| {
            let shares = BackupShares::parse(text.as_str()).unwrap();
            let slot = FileSlot::reserve(&path).unwrap();
            all_reserved.wait();
            slot.store(&shares)
        };
        let results: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = texts.iter().map(|text| scope.spawn(|| store(text))).collect();
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

// Each system call spoilt

/// What is asked of the file system in a store that succeeds, with the names in short.
fn steps(spoil: &[&str]) -> Option<Vec<String>> {
    let folder = folder();
    let run = Spoilt::run(&folder.path().join("backup.json"), spoil)?;
    assert_eq!(run.status.code(), Some(STORED), "{}", run.log);
    let calls = ["fchmod", "write", "fsync", "read", "ftruncate", "linkat", "unlink", "rename"];
    let mut steps = Vec::new();
    for line in run.log.lines() {
        let call = line.split('(').next().unwrap();
        let target = if line.contains("/backup.json\"") { " backup.json" } else { "" };
        if line.contains("O_EXCL") {
            steps.push(format!("create{target}"));
        } else if calls.contains(&call) {
            steps.push(format!("{call}{target}"));
        }
    }
    // The order to store is read, too.
    Some(steps.split_off(steps.iter().position(|step| step == "create").unwrap()))
}

#[test]
fn the_file_and_then_its_name_outlive_a_power_cut() {
    let to_its_link = "create fchmod write fsync read linkat unlink";
    for (spoil, rest) in [
        (&[][..], "unlink create fchmod fsync write fsync read linkat backup.json fsync unlink"),
        // Without hard links the target itself is made and written.
        (&[NO_HARD_LINKS], "create fchmod fsync create backup.json fchmod unlink write fsync read fsync"),
    ] {
        let Some(steps) = steps(spoil) else { return };
        assert_eq!(steps.join(" "), format!("{to_its_link} {rest}"));
    }
}

#[test]
fn no_synchronization_that_fails_is_taken_for_one_that_was_done() {
    // File and folder when the place is reserved, then once more.
    for spoil in [&[][..], &[NO_HARD_LINKS]] {
        for error in ["EIO", "ENOSPC", "EDQUOT", "EROFS", "EPERM", "EACCES", "EBADF", "EINVAL", "EOPNOTSUPP"] {
            // A folder that cannot be synchronized is no error if that cannot be done there at all.
            let folder_may = ["EINVAL", "EOPNOTSUPP"].contains(&error);
            let in_folder = |code| if folder_may { STORED } else { code };
            let codes = [NOT_RESERVED, in_folder(NOT_RESERVED), NOT_STORED, in_folder(NOT_STORED)];
            for (number, code) in codes.iter().enumerate() {
                let (folder, path) = place();
                let fail = format!("fsync:error={error}:when={}", number + 1);
                let Some(run) = Spoilt::run(&path, &[spoil, &[&fail]].concat()) else { return };
                assert_eq!(run.status.code(), Some(*code), "{fail}: {}", run.log);
                assert_eq!(path.exists(), *code == STORED, "{fail}: {}", run.log);
                assert!(!names(folder.path()).iter().any(is_hidden), "{fail}: {}", run.log);
            }
        }
    }
}

#[test]
fn only_what_says_that_there_are_no_hard_links_means_that() {
    let may_be_missing = ["EPERM", "EACCES", "ENOSYS", "EOPNOTSUPP"];
    for error in ["EIO", "ENOSPC", "EDQUOT", "EEXIST", "EMLINK"].into_iter().chain(may_be_missing) {
        for (call, when) in [("linkat", "1"), ("linkat", "2"), ("fchmod", "1")] {
            let (folder, path) = place();
            let fail = format!("{call}:error={error}:when={when}");
            let Some(run) = Spoilt::run(&path, &[&fail]) else { return };
            // What was there when the place was reserved must not be missing later.
            let code = match when {
                "2" => NOT_STORED,
                _ if may_be_missing.contains(&error) => STORED,
                _ => NOT_RESERVED,
            };
            assert_eq!(run.status.code(), Some(code), "{fail}: {}", run.log);
            assert_eq!(names(folder.path()).len(), usize::from(code == STORED), "{fail}: {}", run.log);
        }
    }
}

#[test]
fn without_hard_links_exactly_one_of_many_gets_the_name() {
    let (folder, path) = place();
    let mut all = Vec::new();
    for _ in 0..6 {
        let Some(spoilt) = Spoilt::start(&path, &[NO_HARD_LINKS]) else { return };
        all.push(spoilt);
    }
    all.iter_mut().for_each(|spoilt| spoilt.process.go());
    let codes: Vec<_> = all.into_iter().map(|spoilt| spoilt.finish().status.code()).collect();
    assert_eq!(codes.iter().filter(|code| **code == Some(STORED)).count(), 1, "{codes:?}");
    assert_eq!(names(folder.path()), ["backup.json"]);
    assert_whole(&path);
}

#[test]
fn a_disk_that_lies_is_found_out_by_reading_back() {
    // Says that all was written, and writes nothing; gives zeroes back.
    for spoil in [&*format!("write:retval={}:when=2", TEXT.len()), "read:retval=32:when=2+"] {
        let (folder, path) = place();
        let Some(run) = Spoilt::run(&path, &[spoil]) else { return };
        assert_eq!(run.status.code(), Some(NOT_STORED), "{}", run.log);
        assert!(names(folder.path()).is_empty());
    }
}

#[test]
fn a_kill_at_any_system_call_leaves_the_whole_file_or_none_and_blocks_nothing() {
    [&[][..], &[NO_HARD_LINKS]].into_iter().for_each(kill_at_each_call);
}

/// Without hard links, a kill may leave a part of the file, which nobody replaces.
fn kill_at_each_call(spoil: &[&str]) {
    let Some(calls) = system_calls(spoil) else { return };
    let (mut kills, mut whole) = (0, 0);
    for call in calls.iter().filter(|call| !spoil.iter().any(|spoil| spoil.starts_with(*call))) {
        for nth in 1.. {
            let (folder, path) = place();
            let kill = format!("{call}:signal=KILL:when={nth}");
            let run = Spoilt::run(&path, &[spoil, &[&kill]].concat()).unwrap();
            if run.status.code() == Some(STORED) {
                break;
            }
            assert_eq!(run.status.signal(), Some(9), "{call} {nth}: {}", run.log);
            kills += 1;
            let left = names(folder.path());
            left.iter().for_each(|name| assert_private(&folder.path().join(name)));
            let found = fs::read_to_string(&path).ok();
            whole += usize::from(found.as_deref() == Some(TEXT));
            match found {
                None => assert!(left.iter().all(is_hidden)),
                Some(text) if spoil.is_empty() => assert_eq!(text, TEXT, "{}", run.log),
                Some(text) => assert!(TEXT.starts_with(&text), "{}", run.log),
            }
            // The next run, by a program that is not spoilt.
            let before = look_at_all(folder.path());
            match FileSlot::reserve(&path) {
                Err(e) => assert!(e.already_exists() && path.exists(), "{e}"),
                Ok(slot) => drop(slot.store(&shares()).unwrap()),
            }
            let after = look_at_all(folder.path());
            assert!(before.iter().all(|found| after.contains(found)), "{before:?} {after:?}");
        }
    }
    assert!(kills >= 10 && whole >= 2, "{kills} kills, of which {whole} left the file: was anything tried?");
}

#[test]
fn an_error_of_any_system_call_leaves_the_whole_file_or_none_and_blocks_nothing() {
    [&[][..], &[NO_HARD_LINKS]].into_iter().for_each(fail_at_each_call);
}

fn fail_at_each_call(spoil: &[&str]) {
    let Some(calls) = system_calls(spoil) else { return };
    let mut failures = BTreeSet::new();
    let is_spoilt = |call: &str| spoil.iter().any(|spoil| spoil.starts_with(call));
    for call in calls.iter().filter(|call| is_about_files(call) && !is_spoilt(call)) {
        for nth in 1.. {
            let (folder, path) = place();
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
                other => panic!("{other:?} {log}"),
            }
            // What cannot be seen to be ours, or cannot be removed, stays: a second name of what is stored, or empty.
            let left: Vec<_> = names(folder.path()).into_iter().filter(is_hidden).collect();
            let may_stay = call.starts_with("unlink") || call.contains("stat");
            assert!(left.len() <= usize::from(may_stay), "{call} {nth}: {left:?} {log}");
            for hidden in left.iter().map(|name| look(&folder.path().join(name))) {
                assert!(hidden.1 == 0 || path.exists() && hidden == look(&path), "{call} {nth}: {log}");
            }
            if !path.exists() {
                let _ = store(&path);
            }
        }
    }
    assert!(failures.len() >= 4, "only {failures:?} mattered: was anything tried?");
}

#[test]
fn interrupted_system_calls_are_repeated() {
    let Some(calls) = system_calls(&[]) else { return };
    for call in ["openat", "open", "write", "fsync", "fdatasync", "read", "linkat", "ftruncate", "fchmod"] {
        for nth in 1..=5 {
            if calls.contains(call) {
                let (_folder, path) = place();
                let run = Spoilt::run(&path, &[&format!("{call}:error=EINTR:when={nth}")]).unwrap();
                assert_eq!(run.status.code(), Some(STORED), "{}", run.log);
                assert_whole(&path);
            }
        }
    }
}

fn is_about_files(call: &str) -> bool {
    let parts = ["open", "write", "sync", "read", "link", "stat", "rename", "close", "seek", "chmod", "trunc"];
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
