//! Where the shares go: a file or a command; and where an answer is kept that was not understood.

use std::error::Error as _;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};

use portal_backup::{BackupShares, FileSlot, StoredShares, Unreadable};

use crate::args::Destination;
use crate::{API_KEY, Failed, shown};

/// A destination that was made sure of before there is anything to store.
pub(crate) enum Place<'a> {
    Slot(FileSlot),
    Shell(&'a OsStr),
}

impl<'a> Place<'a> {
    pub(crate) fn make_sure_of(to: &'a Destination) -> Result<Self, Failed> {
        match to {
            Destination::File(path) => Ok(Self::Slot(FileSlot::reserve(path)?)),
            Destination::Shell(_) if cfg!(target_os = "linux") && !Path::new(OPEN_FILES).exists() => {
                let what = "--store-with needs /proc, to see whether the command reads; nothing was sent";
                Err(Failed::new(2, what))
            }
            Destination::Shell(command) => Ok(Self::Shell(command)),
        }
    }

    /// Stores the shares; the error says why they are not stored.
    pub(crate) fn store(self, shares: &BackupShares) -> Result<StoredShares, String> {
        match self {
            Self::Slot(slot) => slot.store(shares).map_err(|e| e.to_string()),
            Self::Shell(command) => shares.store(|json| pipe_into(command, json.as_bytes())),
        }
    }
}

/// Runs a shell command with the shares on its standard input; its standard output is dropped, since a command that
/// prints what it stores would print the shares.
fn pipe_into(command: &OsStr, bytes: &[u8]) -> Result<(), String> {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut child = Command::new(shell)
        .arg(flag)
        .arg(command)
        .env_remove(API_KEY)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|e| format!("the command cannot be started: {e}"))?;
    let mut left = Leftover::default();
    let taken =
        child.stdin.take().map(|mut stdin| stdin.write_all(bytes).map(|()| left = Leftover::of(&stdin)));
    let status =
        child.wait().map_err(|e| format!("whether the command stored them cannot be found out: {e}"))?;
    if !status.success() {
        return Err(format!("the command failed: {status}"));
    }
    match taken {
        Some(Ok(())) if !left.is_there() => Ok(()),
        _ => Err("the command did not read all of the shares".into()),
    }
}

const OPEN_FILES: &str = "/proc/self/fd";

/// The reading end of a command's standard input: a pipe takes 64 KB that nobody ever reads.
#[derive(Default)]
struct Leftover(Option<File>);

impl Leftover {
    /// To be called when all was written: whoever holds a reading end is never told that there is no other.
    fn of(stdin: &ChildStdin) -> Self {
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd as _;
            Self(File::open(format!("{OPEN_FILES}/{}", stdin.as_raw_fd())).ok())
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = stdin;
            Self(None)
        }
    }

    /// Does not block once the command has ended and the writing end is closed.
    fn is_there(&mut self) -> bool {
        self.0.as_mut().is_some_and(|pipe| !matches!(pipe.read(&mut [0]), Ok(0)))
    }
}

/// Keeps an answer that was not understood, since it may hold shares: beside the output, or else wherever it can be
/// kept. Says what became of it.
pub(crate) fn keep(unreadable: &Unreadable, to: &Destination) -> String {
    let mut names = Vec::new();
    if let Destination::File(path) = to {
        let mut name = path.clone().into_os_string();
        name.push(".unreadable");
        names.push(PathBuf::from(name));
        names.push(path.with_file_name("portal-backup.unreadable"));
    }
    names.push("portal-backup.unreadable".into());
    names.push(std::env::temp_dir().join("portal-backup.unreadable"));
    names.dedup();
    let mut said = String::new();
    for name in &names {
        match keep_as(unreadable, name) {
            Ok(path) => {
                return format!("{said}The answer is kept in {}; nothing was confirmed.", shown(&path));
            }
            Err(why) => said += &format!("The answer cannot be kept in {}: {why}.\n", shown(name)),
        }
    }
    said + "Nothing was confirmed."
}

/// Keeps it under this name, or that with a number if there is such a file.
fn keep_as(unreadable: &Unreadable, name: &Path) -> Result<PathBuf, String> {
    for number in 1..1000 {
        let mut path = name.to_path_buf().into_os_string();
        if number > 1 {
            path.push(format!(".{number}"));
        }
        let path = PathBuf::from(path);
        match FileSlot::reserve(&path).and_then(|slot| slot.store_bytes(unreadable.expose_body())) {
            Ok(()) => return Ok(path),
            Err(_) if path.symlink_metadata().is_ok() => {}
            Err(e) => return Err(e.source().map_or_else(|| e.to_string(), ToString::to_string)),
        }
    }
    Err("there are too many already".into())
}
