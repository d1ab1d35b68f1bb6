//! Where the shares go: a file or a command; and where an answer is kept that was not understood.

use std::error::Error as _;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use portal_backup::{BackupShares, FileSlot, StoredShares, Unreadable};

use crate::args::Destination;
use crate::{Failed, shell, shown};

/// A destination that was made sure of before there is anything to store.
pub(crate) enum Place<'a> {
    Slot(FileSlot),
    Shell(&'a OsStr),
}

impl<'a> Place<'a> {
    pub(crate) fn make_sure_of(to: &'a Destination) -> Result<Self, Failed> {
        match to {
            Destination::File(path) => Ok(Self::Slot(FileSlot::reserve(path)?)),
            Destination::Shell(command) => match shell::check(command) {
                Ok(()) => Ok(Self::Shell(command)),
                Err(why) => Err(Failed::new(2, format!("{why}; nothing was sent"))),
            },
        }
    }

    /// Stores the shares; the error says why they are not stored.
    pub(crate) fn store(self, shares: &BackupShares) -> Result<StoredShares, String> {
        match self {
            Self::Slot(slot) => slot.store(shares).map_err(|e| e.to_string()),
            Self::Shell(command) => shares.store(|json| shell::pipe_into(command, json.as_bytes())),
        }
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
