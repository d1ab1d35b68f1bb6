//! The hidden file beside a target, `.portal-backup-TARGET-PROCESS-TIME-COUNT.tmp`, and those that others left there.
//!
//! The name does not grow with that of the target, of which it holds a hash: file systems bound a name at 255 bytes, or
//! at 143.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::Failed;
use super::folder::{Folder, create_private, read_back};
use crate::secret::SecretBytes;

/// The hidden file of one slot. It is removed by [`remove`](Self::remove) only, so that its owner can say what stays.
pub(super) struct Hidden {
    pub(super) name: OsString,
    pub(super) file: File,
    /// Whether it has been renamed: its name is free again.
    pub(super) is_renamed: bool,
}

impl Hidden {
    pub(super) fn create(folder: &Folder, target: &OsStr) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let process = std::process::id();
            let name = format!("{}{process:x}-{:x}-{count:x}.tmp", prefix(target), now());
            match create_private(&folder.at(name.as_ref())) {
                Ok(file) => return Ok(Self { name: name.into(), file, is_renamed: false }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Tries each step of storing while there is nothing to lose, and leaves the file as empty as it was.
    pub(super) fn rehearse(&mut self, folder: &Folder, target: &OsStr) -> Result<(), Failed> {
        // More than four answers of usual size.
        static BLANK: [u8; 64 << 10] = [0; 64 << 10];
        self.write(folder, &BLANK)?;
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(|e| ("it cannot be emptied", e))?;

        self.rehearse_name(folder, target).map_err(|e| ("no file can be given its name", e))?;
        folder.sync().map_err(|e| ("its folder cannot be synchronized", e))
    }

    /// The name must not appear yet, so another file is given it in a folder of its own.
    fn rehearse_name(&self, folder: &Folder, target: &OsStr) -> io::Result<()> {
        let mut rehearsal = self.name.clone();
        rehearsal.push(".d");
        let rehearsal = folder.at(&rehearsal);
        match fs::create_dir(&rehearsal) {
            // Some folders take files only.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            made => made?,
        }
        let [hidden, named] = [self.name.as_ref(), target].map(|name| rehearsal.join(name));
        let published = create_private(&hidden).and_then(|file| {
            drop(file);
            publish(&hidden, &named)
        });
        // What cannot be removed here is empty, and the next run tries again.
        let _ = fs::remove_file(&hidden);
        let _ = fs::remove_file(&named);
        let _ = fs::remove_dir(&rehearsal);
        published.map(drop)
    }

    /// Writes, synchronizes and reads back.
    pub(super) fn write(&mut self, folder: &Folder, bytes: &[u8]) -> Result<(), Failed> {
        self.file.write_all(bytes).map_err(|e| ("it cannot be written", e))?;
        self.file.sync_all().map_err(|e| ("it cannot be synchronized", e))?;
        read_back(&folder.at(&self.name), bytes).map_err(|e| ("it cannot be read back", e))
    }

    /// Gives the file a name that is free, and never replaces anything.
    pub(super) fn publish(&mut self, folder: &Folder, target: &OsStr) -> io::Result<()> {
        self.is_renamed = publish(&folder.at(&self.name), &folder.at(target))?;
        Ok(())
    }

    /// Removes the name, if it has not become another.
    pub(super) fn remove(&self, folder: &Folder) -> io::Result<()> {
        if self.is_renamed { Ok(()) } else { fs::remove_file(folder.at(&self.name)) }
    }
}

/// Gives a file a second name, or where there is no such thing, renames it; whether it is renamed.
fn publish(hidden: &Path, to: &Path) -> io::Result<bool> {
    match fs::hard_link(hidden, to) {
        Ok(()) => return Ok(false),
        Err(e) if matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {
            return Err(e);
        }
        // FAT and some network and phone file systems have no hard links.
        Err(_) => {}
    }
    // An empty file takes the name, which fails if there is one, and only that is replaced. A kill in between leaves both:
    // see `Left::may_replace`.
    drop(create_private(to)?);
    let renamed = fs::rename(hidden, to);
    if renamed.is_err() {
        let _ = fs::remove_file(to);
    }
    renamed.map(|()| true)
}

/// What earlier runs for the same target left behind.
#[derive(Default)]
pub(super) struct Left {
    /// Hidden files that hold something and whose process is gone.
    pub(super) holding: Vec<PathBuf>,
    /// Whether another process is about to give the name to its file.
    is_publishing: bool,
}

impl Left {
    /// Removes what holds nothing, and finds what does.
    pub(super) fn sweep(folder: &Folder, target: &OsStr) -> Self {
        let mut left = Self::default();
        let prefix = prefix(target);
        let stored = folder.at(target).symlink_metadata().ok();
        for entry in folder.entries() {
            let name = entry.file_name();
            let Some(rest) = name.as_encoded_bytes().strip_prefix(prefix.as_bytes()) else { continue };
            let Ok(found) = entry.metadata() else { continue };
            let path = folder.at(&name);
            if is_running(rest, &path, &found) {
                left.is_publishing |= found.is_file() && found.len() > 0;
            } else if found.is_dir() {
                // A rehearsal: its files hold nothing, or else they stay, and the folder with them.
                let hidden = path.file_stem().unwrap_or_default();
                for file in [hidden, target].map(|name| path.join(name)) {
                    if is_blank(&file) {
                        let _ = fs::remove_file(file);
                    }
                }
                let _ = fs::remove_dir(path);
            } else if found.is_file() && (is_same(&found, stored.as_ref()) || is_blank(&path)) {
                let _ = fs::remove_file(path);
            } else if found.is_file() {
                left.holding.push(folder.shown(&name));
            }
        }
        left
    }

    /// Whether the name is held by nothing but the empty file of [`publish`], of a process that was killed.
    pub(super) fn may_replace(&self, found: &fs::Metadata) -> bool {
        found.is_file() && found.len() == 0 && !self.holding.is_empty() && !self.is_publishing
    }
}

/// Whether a file is empty or holds nothing but zeroes: those of a rehearsal, or of a power cut before the content was
/// there.
fn is_blank(path: &Path) -> bool {
    if !path.symlink_metadata().is_ok_and(|found| found.is_file()) {
        return false;
    }
    let Ok(mut file) = File::open(path) else { return false };
    let mut room = SecretBytes::zeroed(16 << 10);
    // More than any answer has.
    for _ in 0..256 {
        match file.read(room.expose_mut()) {
            Ok(0) => return true,
            Ok(len) if room.expose()[..len].iter().all(|byte| *byte == 0) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            _ => return false,
        }
    }
    false
}

/// Whether a hidden file is a second name of the target: the run was killed before it could remove the first.
fn is_same(hidden: &fs::Metadata, target: Option<&fs::Metadata>) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        target.is_some_and(|target| (target.dev(), target.ino()) == (hidden.dev(), hidden.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = (hidden, target);
        false
    }
}

/// What the names of all hidden files of a target begin with. The hash is FNV-1a: any version of this crate finds them.
fn prefix(target: &OsStr) -> String {
    let hash = target.as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!(".portal-backup-{hash:016x}-")
}

/// Whether the process that made a hidden file still runs; `rest` is what follows the prefix of its name.
fn is_running(rest: &[u8], path: &Path, found: &fs::Metadata) -> bool {
    let mut parts = rest.split(|&b| b == b'-').map(|hex| core::str::from_utf8(hex).unwrap_or_default());
    let process = parts.next().and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or_default();
    let time = parts.next().and_then(|hex| u128::from_str_radix(hex, 16).ok()).unwrap_or_default();
    if process == std::process::id() {
        // In a container, an earlier process may well have had the same number.
        time >= first_slot()
    } else if cfg!(target_os = "linux") {
        // A second for the clock's grain.
        started(process).is_some_and(|start| start <= time + 1_000_000_000)
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
fn started(process: u32) -> Option<u128> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let ticks = || {
        let (_, after_name) = stat.rsplit_once(')')?;
        let ticks: u128 = after_name.split_whitespace().nth(19)?.parse().ok()?;
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        // Linux counts in hundredths of a second here.
        let age = ((uptime * 1e9) as u128).saturating_sub(ticks * 10_000_000);
        Some(now().saturating_sub(age))
    };
    Some(ticks().unwrap_or_default())
}

/// Nanoseconds since 1970.
fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// When this process reserved for the first time.
pub(super) fn first_slot() -> u128 {
    static FIRST: OnceLock<u128> = OnceLock::new();
    *FIRST.get_or_init(now)
}
