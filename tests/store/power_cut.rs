//! The power may fail at any moment of a store: what a disk may hold then is worked out, and each such disk is tried.
//!
//! strace records what a real store asks of the file system. Whatever was not synchronized may be missing afterwards, in
//! any combination; a write may also have got half of the way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use portal_backup::FileSlot;
use tempfile::TempDir;

use crate::spoilt::{NO_HARD_LINKS, STORED, Spoilt};
use crate::{TEXT, shares};

const TARGET: &str = "backup.json";

#[test]
fn with_hard_links_a_power_cut_leaves_the_whole_file_or_none_and_blocks_nothing() {
    try_all(&[]);
}

#[test]
fn without_hard_links_a_power_cut_leaves_what_is_not_taken_for_a_backup_unless_it_is_one() {
    try_all(&[NO_HARD_LINKS]);
}

fn folder() -> TempDir {
    // In memory where there is such a place: thousands of disks are tried.
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn try_all(spoil: &[&str]) {
    let folder = folder();
    let path = folder.path().join(TARGET);
    let Some(run) = Spoilt::run(&path, spoil) else { return };
    assert_eq!(run.status.code(), Some(STORED), "{}", run.said);
    assert_eq!(fs::read_to_string(&path).unwrap(), TEXT);
    let steps = steps(&run.log, folder.path());
    let disks: BTreeSet<_> = (0..=steps.len()).flat_map(|done| disks_after(&steps[..done])).collect();
    let mut whole = 0;
    for disk in &disks {
        whole += usize::from(disk.try_out(spoil.is_empty()));
    }
    assert!(disks.len() >= 10 && whole > 0, "{} disks, {whole} with the file: was anything tried?", disks.len());
    // All was synchronized when the store returned.
    let is_stored = |disk: &Disk| disk.content(TARGET) == Some(TEXT.as_bytes());
    assert!(disks_after(&steps).iter().all(is_stored), "the file may be missing after a store that succeeded");
}

/// What is asked of the file system; files are numbered in the order in which they were made.
#[derive(Clone, Debug)]
enum Step {
    Create(String, usize),
    Link(String, String),
    Remove(String),
    Write(usize, Vec<u8>),
    Truncate(usize),
    SyncFile(usize),
    SyncFolder,
}

/// Reads them from what strace has written.
fn steps(log: &str, folder: &Path) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut files, mut made) = (HashMap::new(), 0);
    for line in log.lines() {
        let Some((call, rest)) = line.split_once('(') else { continue };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { continue };
        let Ok(result) = result.split_whitespace().next().unwrap_or_default().parse::<usize>() else {
            continue;
        };
        let inside = format!("{}/", folder.display());
        let paths = arguments.split('"').skip(1).step_by(2);
        let names: Vec<_> = paths.filter_map(|path| path.strip_prefix(&inside)).map(String::from).collect();
        let descriptor = arguments.split([',', ')']).next().unwrap().parse().unwrap_or(usize::MAX);
        let file = files.get(&descriptor).copied();
        match (call, &names[..]) {
            ("openat", [name]) if arguments.contains("O_CREAT") => {
                steps.push(Step::Create(name.clone(), made));
                files.insert(result, Some(made));
                made += 1;
            }
            // The folder.
            ("openat", [_]) => _ = files.insert(result, None),
            ("close", _) => _ = files.remove(&descriptor),
            ("unlink", [name]) => steps.push(Step::Remove(name.clone())),
            ("linkat", [from, to]) => steps.push(Step::Link(from.clone(), to.clone())),
            ("rename" | "renameat" | "renameat2" | "mkdir" | "rmdir", _) => panic!("{line}"),
            ("write", _) => {
                let is_text = arguments.contains("SECP256K1");
                let bytes = if is_text { TEXT.as_bytes()[..result].to_vec() } else { vec![0; result] };
                steps.extend(file.flatten().map(|file| Step::Write(file, bytes)));
            }
            ("ftruncate", _) => steps.extend(file.flatten().map(Step::Truncate)),
            ("fsync", _) => steps.push(file.unwrap().map_or(Step::SyncFolder, Step::SyncFile)),
            _ => {}
        }
    }
    steps
}

/// A state of the disk: names, the numbers of the files that they lead to, and what those hold.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Disk {
    names: BTreeMap<String, usize>,
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
    let files: BTreeSet<_> =
        steps.iter().filter_map(|step| if let Step::Create(_, file) = step { Some(*file) } else { None }).collect();
    for file in files {
        let contents = contents(steps, file);
        disks = disks.iter().flat_map(|disk| contents.iter().map(|content| disk.holding(file, content))).collect();
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
        match step {
            Step::Create(name, file) => _ = self.names.insert(name.clone(), *file),
            Step::Link(from, to) => {
                if let Some(file) = self.names.get(from).copied() {
                    self.names.insert(to.clone(), file);
                }
            }
            Step::Remove(name) => _ = self.names.remove(name),
            _ => {}
        }
    }

    /// The same with this in a file, if there is a name that leads to it.
    fn holding(&self, file: usize, content: &[u8]) -> Self {
        let mut disk = self.clone();
        if disk.names.values().any(|found| *found == file) {
            disk.files.insert(file, content.to_vec());
        }
        disk
    }

    fn content(&self, name: &str) -> Option<&[u8]> {
        self.files.get(self.names.get(name)?).map(Vec::as_slice)
    }

    /// Makes such a folder, and lets the next run deal with it; whether it found the file.
    fn try_out(&self, has_hard_links: bool) -> bool {
        let folder = folder();
        let mut made = HashMap::new();
        for (name, file) in &self.names {
            let path = folder.path().join(name);
            match made.get(file) {
                Some(first) => fs::hard_link(first, path).unwrap(),
                None => {
                    fs::write(&path, &self.files[file]).unwrap();
                    made.insert(file, path);
                }
            }
        }
        let path = folder.path().join(TARGET);
        let found = self.content(TARGET);
        let lengths: Vec<_> = self.names.keys().map(|name| (name, self.content(name).map(<[u8]>::len))).collect();
        match FileSlot::reserve(&path) {
            Ok(slot) => {
                assert!(found.is_none(), "{lengths:?}");
                drop(slot.store(&shares()).unwrap());
                assert_eq!(fs::metadata(&path).unwrap().nlink(), 1, "{lengths:?}");
            }
            Err(e) => {
                assert!(e.already_exists(), "{e}: {lengths:?}");
                let is_whole = found == Some(TEXT.as_bytes());
                assert_eq!(FileSlot::load(&path).is_ok(), is_whole, "{lengths:?}");
                assert!(is_whole || !has_hard_links, "{lengths:?}");
            }
        }
        // Of what there was, nothing is missing.
        for name in self.names.keys() {
            let there = fs::read(folder.path().join(name)).unwrap();
            assert_eq!(Some(&*there), self.content(name), "{name}: {lengths:?}");
        }
        found == Some(TEXT.as_bytes())
    }
}
