//! The power may fail at any moment of a store: what a disk may hold then is worked out, and each such disk is tried.
//!
//! strace records what a real store asks of the file system. Whatever was not synchronized may be missing afterwards, in
//! any combination; a write may also have got half of the way.

#![cfg(all(feature = "client", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails must stop")]
#![allow(clippy::print_stderr, reason = "a test that cannot run here says so")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use portal_backup::{BackupShares, FileSlot};
use tempfile::TempDir;

const TEXT: &str = include_str!("data/generate.json");
const TARGET: &str = "backup.json";

#[test]
fn with_hard_links_a_power_cut_leaves_the_whole_file_or_none_and_blocks_nothing() {
    try_all(&[]);
}

#[test]
fn without_hard_links_a_power_cut_leaves_the_whole_file_or_none_and_blocks_nothing() {
    try_all(&["-e", "inject=linkat:error=EPERM"]);
}

#[test]
#[ignore = "run by the others, and watched"]
fn store_once() {
    let Some(path) = env::var_os("STORE_AT") else { return };
    FileSlot::reserve(path).unwrap().store(&shares()).unwrap();
}

fn shares() -> BackupShares {
    BackupShares::parse(TEXT).unwrap()
}

fn folder() -> TempDir {
    // In memory where there is such a place: thousands of disks are tried.
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn try_all(spoil: &[&str]) {
    let folder = folder();
    let path = folder.path().join(TARGET);
    let log = folder.path().join("log");
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-f", "-s", "200", "-e", "trace=%file,%desc,fsync"]).args(spoil).arg("-o").arg(&log);
    strace.arg(env::current_exe().unwrap()).args(["--ignored", "--exact", "store_once", "--nocapture"]);
    let Ok(run) = strace.env("STORE_AT", &path).output() else {
        eprintln!("skipped: there is no strace here");
        return;
    };
    let log = fs::read_to_string(log).unwrap_or_default();
    if log.is_empty() {
        eprintln!("skipped: strace may not watch other processes here");
        return;
    }
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(fs::read_to_string(&path).unwrap(), TEXT);
    let steps = steps(&log, folder.path());
    let disks: BTreeSet<_> = (0..=steps.len()).flat_map(|done| disks_after(&steps[..done])).collect();
    let mut whole = 0;
    for disk in &disks {
        whole += usize::from(disk.try_out());
    }
    assert!(
        disks.len() >= 12 && whole > 0,
        "{} disks, {whole} with the file: was anything tried?",
        disks.len()
    );
    // All was synchronized when the store returned.
    let is_stored = |disk: &Disk| disk.content(TARGET) == Some(TEXT.as_bytes());
    assert!(
        disks_after(&steps).iter().all(is_stored),
        "the file may be missing after a store that succeeded"
    );
}

/// What is asked of the file system; files are numbered in the order in which they were made.
#[derive(Clone, Debug)]
enum Step {
    Create(String, usize),
    MakeFolder(String),
    Link(String, String),
    Rename(String, String),
    Remove(String),
    Write(usize, Vec<u8>),
    Truncate(usize),
    SyncFile(usize),
    SyncFolder,
}

/// Reads them from what strace has written.
fn steps(log: &str, folder: &Path) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut folders = BTreeSet::new();
    let mut files: HashMap<i32, usize> = HashMap::new();
    let mut made = 0;
    for line in log.lines() {
        let Some((call, rest)) = line.split_once(' ').and_then(|(_, call)| call.trim().split_once('('))
        else {
            continue;
        };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { continue };
        if result.starts_with('-') {
            continue;
        }
        let names: Vec<_> =
            arguments.split('"').skip(1).step_by(2).map(|path| inside(path, folder, &folders)).collect();
        let name = |at: usize| names.get(at).cloned().flatten();
        let descriptor = || arguments.split([',', ')']).next().unwrap().parse::<i32>().unwrap_or(-1);
        let file = || files.get(&descriptor()).copied();
        match call {
            "openat" if arguments.contains("O_CREAT") => {
                if let Some(name) = name(0) {
                    steps.push(Step::Create(name, made));
                    files.insert(result.trim().parse().unwrap(), made);
                    made += 1;
                }
            }
            "openat" if arguments.contains(&format!("\"{}\"", folder.display())) => {
                folders.insert(result.trim().parse().unwrap());
            }
            "close" => {
                files.remove(&descriptor());
                folders.remove(&descriptor());
            }
            "mkdir" => steps.extend(name(0).map(Step::MakeFolder)),
            "unlink" | "rmdir" => steps.extend(name(0).map(Step::Remove)),
            "linkat" => steps.extend(name(0).zip(name(1)).map(|(from, to)| Step::Link(from, to))),
            "rename" => steps.extend(name(0).zip(name(1)).map(|(from, to)| Step::Rename(from, to))),
            "write" => {
                let len: usize = result.split_whitespace().next().unwrap().parse().unwrap();
                let is_text = arguments.contains("SECP256K1");
                let bytes = if is_text { TEXT.as_bytes()[..len].to_vec() } else { vec![0; len] };
                steps.extend(file().map(|file| Step::Write(file, bytes)));
            }
            "ftruncate" => steps.extend(file().map(Step::Truncate)),
            "fsync" if folders.contains(&descriptor()) => steps.push(Step::SyncFolder),
            "fsync" => steps.extend(file().map(Step::SyncFile)),
            _ => {}
        }
    }
    steps
}

/// The part of a path that is inside of the folder, which may also be reached through an open one.
fn inside(path: &str, folder: &Path, folders: &BTreeSet<i32>) -> Option<String> {
    let ways = folders.iter().map(|open| format!("/proc/self/fd/{open}/"));
    let mut ways = ways.chain([format!("{}/", folder.display())]);
    ways.find_map(|way| path.strip_prefix(&way).map(String::from)).filter(|name| name != "log")
}

/// A state of the disk: names, the numbers of the files that they lead to (none for a folder), and what those hold.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Disk {
    names: BTreeMap<String, Option<usize>>,
    files: BTreeMap<usize, Vec<u8>>,
}

/// Every state that a crash after these steps may leave.
fn disks_after(steps: &[Step]) -> Vec<Disk> {
    let is_name = |step: &&Step| !matches!(step, Step::Write(..) | Step::Truncate(_) | Step::SyncFile(_));
    let synced = steps.iter().rposition(|step| matches!(step, Step::SyncFolder)).unwrap_or(0);
    let mut certain = Disk::default();
    for step in steps[..synced].iter().filter(is_name) {
        certain.take(step);
    }
    let perhaps: Vec<_> =
        steps[synced..].iter().filter(is_name).filter(|step| !matches!(step, Step::SyncFolder)).collect();
    let mut disks = Vec::new();
    for chosen in 0..1_u32 << perhaps.len() {
        let mut disk = certain.clone();
        for (i, step) in perhaps.iter().enumerate() {
            if chosen >> i & 1 == 1 {
                disk.take(step);
            }
        }
        disks.push(disk);
    }
    // What each file may hold.
    let files: BTreeSet<_> = steps
        .iter()
        .filter_map(|step| if let Step::Create(_, file) = step { Some(*file) } else { None })
        .collect();
    for file in files {
        let contents = contents(steps, file);
        disks = disks
            .iter()
            .flat_map(|disk| contents.iter().map(|content| disk.holding(file, content)))
            .collect();
    }
    disks
}

/// What a file may hold: what was synchronized, and any of what was asked for since, whole or half.
fn contents(steps: &[Step], file: usize) -> BTreeSet<Vec<u8>> {
    let mut possible = BTreeSet::from([Vec::new()]);
    let mut last = Vec::new();
    for step in steps {
        match step {
            Step::Write(written, bytes) if *written == file => {
                last.extend_from_slice(bytes);
                possible.insert(last.clone());
                possible.insert(last[..last.len() - bytes.len() / 2].to_vec());
                // Its length was written, and its content was not.
                possible.insert(vec![0; last.len()]);
            }
            Step::Truncate(cut) if *cut == file => {
                last.clear();
                possible.insert(Vec::new());
            }
            Step::SyncFile(synced) if *synced == file => possible = BTreeSet::from([last.clone()]),
            _ => {}
        }
    }
    possible
}

impl Disk {
    /// Does as it is asked, where that is possible.
    fn take(&mut self, step: &Step) {
        let has_folder = |names: &BTreeMap<String, Option<usize>>, name: &str| {
            name.rsplit_once('/').is_none_or(|(folder, _)| names.get(folder) == Some(&None))
        };
        match step {
            Step::Create(name, file) if has_folder(&self.names, name) => {
                self.names.insert(name.clone(), Some(*file));
            }
            Step::MakeFolder(name) => {
                self.names.insert(name.clone(), None);
            }
            Step::Link(from, to) => {
                if let (Some(file), true) = (self.names.get(from).copied(), has_folder(&self.names, to)) {
                    self.names.insert(to.clone(), file);
                }
            }
            Step::Rename(from, to) if has_folder(&self.names, to) => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
            }
            Step::Remove(name) => {
                let within = format!("{name}/");
                if !self.names.keys().any(|other| other.starts_with(&within)) {
                    self.names.remove(name);
                }
            }
            _ => {}
        }
    }

    /// The same with this in a file, if there is a name that leads to it.
    fn holding(&self, file: usize, content: &[u8]) -> Self {
        let mut disk = self.clone();
        if disk.names.values().any(|found| *found == Some(file)) {
            disk.files.insert(file, content.to_vec());
        }
        disk
    }

    fn content(&self, name: &str) -> Option<&[u8]> {
        self.files.get(&(*self.names.get(name)?)?).map(Vec::as_slice)
    }

    /// Makes such a folder, and lets the next run deal with it; whether it found the file.
    fn try_out(&self) -> bool {
        let folder = folder();
        let mut made = HashMap::new();
        for (name, file) in &self.names {
            let path = folder.path().join(name);
            match file {
                None => fs::create_dir(path).unwrap(),
                Some(file) => match made.get(file) {
                    Some(first) => fs::hard_link(first, path).unwrap(),
                    None => {
                        fs::write(&path, &self.files[file]).unwrap();
                        made.insert(file, path);
                    }
                },
            }
        }
        let path = folder.path().join(TARGET);
        let found = self.content(TARGET);
        let show = || {
            format!(
                "{:?}",
                self.names.keys().map(|name| (name, self.content(name).map(<[u8]>::len))).collect::<Vec<_>>()
            )
        };
        match FileSlot::reserve(&path) {
            Ok(slot) => {
                assert!(found.is_none_or(<[u8]>::is_empty), "{}", show());
                drop(slot.store(&shares()).unwrap());
            }
            Err(e) => {
                assert!(e.already_exists(), "{e}: {}", show());
                assert_eq!(found, Some(TEXT.as_bytes()), "{}", show());
                drop(FileSlot::load(&path).unwrap());
            }
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), TEXT);
        assert_eq!(fs::metadata(&path).unwrap().nlink(), 1, "a second name stays: {}", show());
        for entry in fs::read_dir(folder.path()).unwrap() {
            let left = entry.unwrap().path();
            let holds = fs::read(&left).is_ok_and(|bytes| bytes.iter().any(|byte| *byte != 0));
            assert!(holds, "{left:?} stays: {}", show());
        }
        found.is_some_and(|found| !found.is_empty())
    }
}
