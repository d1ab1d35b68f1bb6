//! The hidden files beside a target, `.portal-backup-TARGET-PROCESS-TIME-COUNT.tmp`, and what earlier runs left of them.
//!
//! TARGET is a hash, since file systems bound a name at 255 bytes, or at 143; the numbers are hexadecimal.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::folder::{Folder, create_private, read};
use crate::wire::backup::MAX_GENERATE_RESPONSE;

/// Makes a hidden file for this target.
pub(super) fn create(folder: &Folder, target: &Path) -> io::Result<(PathBuf, File)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{:x}-{:x}-{count:x}.tmp", prefix(target), std::process::id(), now());
        match create_private(&folder.at(&name)) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|file| (target.with_file_name(name), file)),
        }
    }
}

/// What earlier runs for the same target left behind.
#[derive(Default)]
pub(super) struct Left {
    /// Hidden files that hold something and whose process is gone.
    pub(super) holding: Vec<PathBuf>,
    /// Whether a process that runs holds something: it may be about to give its file the name.
    is_publishing: bool,
}

impl Left {
    /// Removes what holds nothing, and finds what does.
    pub(super) fn sweep(folder: &Folder, target: &Path) -> Self {
        let mut left = Self::default();
        let stored = folder.at(target).symlink_metadata().ok();
        let prefix = prefix(target);
        for entry in fs::read_dir(folder.at("")).into_iter().flatten().flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            let Some(rest) = name.as_encoded_bytes().strip_prefix(prefix.as_bytes()) else { continue };
            let Ok(found) = entry.metadata() else { continue };
            if is_running(rest, &path, &found) {
                left.is_publishing |= found.is_file() && found.len() > 0;
            } else if found.is_dir() {
                // Of a rehearsal, whose files are empty.
                let names = [path.file_stem(), target.file_name()];
                names.into_iter().flatten().for_each(|name| _ = fs::remove_file(path.join(name)));
                let _ = fs::remove_dir(path);
            } else if stored.as_ref().is_some_and(|stored| is_same(&found, stored)) || is_blank(&path) {
                let _ = fs::remove_file(path);
            } else if found.is_file() {
                left.holding.push(target.with_file_name(name));
            }
        }
        left
    }

    /// Whether this is nothing but the empty file with which a process that was killed took the name.
    pub(super) fn may_replace(&self, found: &fs::Metadata) -> bool {
        found.is_file() && found.len() == 0 && !self.holding.is_empty() && !self.is_publishing
    }
}

/// Whether a file holds nothing, or nothing but zeroes: those of a rehearsal, or of a power cut before the content was
/// there.
fn is_blank(path: &Path) -> bool {
    let is_file = path.symlink_metadata().is_ok_and(|found| found.is_file());
    let text = || read(&File::open(path)?, MAX_GENERATE_RESPONSE);
    is_file && text().is_ok_and(|text| text.expose().iter().all(|byte| *byte == 0))
}

/// Whether both are names of one file: the run was killed before it could remove the hidden one.
#[cfg(unix)]
fn is_same(hidden: &fs::Metadata, target: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (target.dev(), target.ino()) == (hidden.dev(), hidden.ino())
}

#[cfg(not(unix))]
fn is_same(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    false
}

/// What the names of all hidden files of a target begin with. The hash is FNV-1a, so that every version finds them.
fn prefix(target: &Path) -> String {
    let name = target.file_name().unwrap_or_default().as_encoded_bytes();
    let hash = name.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!(".portal-backup-{hash:016x}-")
}

/// Whether the process that made a hidden file still runs; `rest` is what follows the prefix of its name.
fn is_running(rest: &[u8], path: &Path, found: &fs::Metadata) -> bool {
    if cfg!(target_os = "linux") {
        let mut parts = rest.split(|&b| b == b'-').map(|hex| core::str::from_utf8(hex).unwrap_or_default());
        let mut part = || u64::from_str_radix(parts.next().unwrap_or_default(), 16).unwrap_or_default();
        let (process, made) = (part(), part());
        // Another process may have got the number since. A second for the clock's grain.
        started(process).is_some_and(|start| start <= made.saturating_add(1_000_000_000))
    } else if cfg!(windows) && found.is_file() {
        const ERROR_SHARING_VIOLATION: i32 = 32;
        let opened = fs::OpenOptions::new().write(true).open(path);
        opened.is_err_and(|e| e.raw_os_error() == Some(ERROR_SHARING_VIOLATION))
    } else {
        // Nobody can tell, but what was written long ago would have its name by now.
        let age = found.modified().ok().and_then(|time| time.elapsed().ok());
        age.is_none_or(|age| age.as_secs() < 60)
    }
}

/// When a process of this machine was started, in nanoseconds since 1970; 0 if it runs and nobody can tell.
fn started(process: u64) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let start = || {
        let (_, after_name) = stat.rsplit_once(')')?;
        let ticks: f64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        // Linux counts in hundredths of a second here.
        Some(now().saturating_sub(((uptime - ticks / 100.0) * 1e9) as u64))
    };
    Some(start().unwrap_or_default())
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}
