//! The hidden files beside a target, `.portal-backup-TARGET-PROCESS-TIME-COUNT.tmp`, and what earlier runs left of them.
//!
//! TARGET is a hash, since file systems bound a name at 255 bytes, or at 143; the numbers are hexadecimal.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use std::fs::{self, File};
use std::io;
#[cfg(unix)]
use std::os::unix::fs::MetadataExt as _;
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

/// Removes what earlier runs for this target left behind, except hidden files that hold something: these it returns.
pub(super) fn sweep(folder: &Folder, target: &Path) -> Vec<PathBuf> {
    #[cfg(unix)]
    let file_number = |found: &fs::Metadata| Some((found.dev(), found.ino()));
    #[cfg(not(unix))]
    let file_number = |_: &fs::Metadata| None::<u64>;
    let stored = folder.at(target).symlink_metadata().ok();
    let number = stored.as_ref().and_then(file_number);
    let prefix = prefix(target);
    let (mut left, mut is_publishing) = (Vec::new(), false);
    for entry in fs::read_dir(folder.at("")).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let Some(rest) = name.as_encoded_bytes().strip_prefix(prefix.as_bytes()) else { continue };
        let Ok(found) = entry.metadata() else { continue };
        if is_running(rest, &path, &found) {
            is_publishing |= found.is_file() && found.len() > 0;
        } else if found.is_dir() {
            // Of a rehearsal, whose files are empty.
            let names = [path.file_stem(), target.file_name()];
            names.into_iter().flatten().for_each(|name| _ = fs::remove_file(path.join(name)));
            let _ = fs::remove_dir(path);
        } else if found.is_file() {
            // A second name of what is stored; or nothing, or the zeroes of a rehearsal or of a power cut.
            let text = File::open(&path).and_then(|file| read(&file, MAX_GENERATE_RESPONSE));
            let is_blank = text.is_ok_and(|text| text.expose().iter().all(|byte| *byte == 0));
            if is_blank || number.is_some() && number == file_number(&found) {
                let _ = fs::remove_file(path);
            } else {
                left.push(target.with_file_name(name));
            }
        }
    }
    // Without hard links, a process that was killed may have taken the name with an empty file, see `publish`.
    let is_empty = stored.is_some_and(|found| found.is_file() && found.len() == 0);
    if is_empty && !left.is_empty() && !is_publishing {
        let _ = fs::remove_file(folder.at(target));
    }
    left
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
