//! Where the shares go: a file or a command; and where else something is kept that may be shares.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use portal_backup::{BackupShares, Error, FileSlot, Outcome, StoredShares, Unreadable};

use crate::arguments::{Call, Destination};
use crate::ending::{Ending, Result};
use crate::later::later;
use crate::shell::Shell;
use crate::terminal::shown;

/// A destination that was made sure of before there is anything to store.
pub(crate) enum Place {
    Slot(FileSlot),
    Shell(Shell),
}

impl Place {
    pub(crate) fn make_sure_of(to: &Destination) -> Result<Self> {
        match to {
            Destination::File(path) => Ok(Self::Slot(FileSlot::reserve(path)?)),
            Destination::Shell(command) => {
                let shell = Shell::find(command);
                shell.map(Self::Shell).map_err(|why| Ending::new(2, format!("{why}; nothing was sent")))
            }
        }
    }

    /// Stores the shares; the error says why they are not stored.
    pub(crate) fn store(self, shares: &BackupShares) -> core::result::Result<StoredShares, String> {
        match self {
            Self::Slot(slot) => slot.store(shares).map_err(|e| e.to_string()),
            Self::Shell(shell) => shares.store(|json| shell.pipe(json.as_bytes())),
        }
    }
}

/// Keeps shares that are not stored where they should be. A command may be an encryption, whose input is to be on no
/// disk: nothing takes its place.
pub(crate) fn keep_shares(shares: &BackupShares, why: &str, to: &Destination, call: &Call) -> Box<Ending> {
    let made = StoredShares::from_share_pair_ids(shares.share_pair_ids());
    let Ok(made) = made else { return Ending::new(6, why) };
    let kept = match to {
        Destination::File(_) => keep(shares.expose_json().as_bytes(), ".unconfirmed", to),
        Destination::Shell(_) => Err("\nNothing is written in its place.".into()),
    };
    let advice = match &kept {
        Ok(path) => format!(
            "\nThe shares are kept in {}, not confirmed. Move them to where they are to stay and confirm them, or \
             run again.\n  {}",
            shown(path),
            later(&made, Some(path), call)
        ),
        Err(why) => {
            format!(
                "{why}\nThe shares are lost, which does no harm: they are not confirmed. Fix that, and run again."
            )
        }
    };
    Box::new(Ending {
        code: 6,
        what: format!("{why}{advice}"),
        outcome: Some(Outcome::Unknown),
        kept: kept.ok(),
        ..Ending::stored(&made, None, false)
    })
}

/// Keeps an answer that was not understood, since it may hold shares: it goes to the command, or else into a file.
pub(crate) fn keep_unreadable(unreadable: Unreadable, place: &Place, to: &Destination) -> Box<Ending> {
    let body = unreadable.expose_body();
    let piped = match place {
        Place::Shell(shell) => shell.pipe(body).map_err(|why| format!("\nThe answer is not stored: {why}.")),
        Place::Slot(_) => Err(String::new()),
    };
    let (became, kept) = match piped {
        Ok(()) => ("\nThe command was given the answer and exited with 0".into(), None),
        Err(why) => match keep(body, ".unreadable", to) {
            Ok(path) => (format!("{why}\nThe answer is kept in {}", shown(&path)), Some(path)),
            Err(reasons) => (format!("{why}{reasons}\nThe answer is lost"), None),
        },
    };
    let what = format!("{unreadable}{became}; nothing was confirmed.");
    Box::new(Ending { what, kept, ..*Box::<Ending>::from(Error::Unreadable(unreadable)) })
}

/// Keeps what may be shares in a file of its own: beside the output, with this behind its name, or else wherever it can
/// be kept. The error says why it cannot.
fn keep(bytes: &[u8], ending: &str, to: &Destination) -> core::result::Result<PathBuf, String> {
    let other = format!("portal-backup{ending}");
    let mut names = Vec::new();
    if let Destination::File(path) = to {
        let mut name = path.clone().into_os_string();
        name.push(ending);
        names.push(PathBuf::from(name));
        names.push(path.with_file_name(&other));
    }
    names.extend([PathBuf::from(&other), std::env::temp_dir().join(&other)]);
    names.dedup();
    let mut why = String::new();
    for name in &names {
        match keep_as(bytes, name) {
            Ok(path) => return Ok(path),
            Err(reason) => why += &format!("\nIt cannot be kept in {}: {reason}.", shown(name)),
        }
    }
    Err(why)
}

/// Keeps it under this name, or that with a number if there is such a file.
fn keep_as(bytes: &[u8], name: &Path) -> core::result::Result<PathBuf, String> {
    for number in 1..1000 {
        let mut path = name.to_path_buf().into_os_string();
        if number > 1 {
            path.push(format!(".{number}"));
        }
        let path = PathBuf::from(path);
        match FileSlot::reserve(&path).and_then(|slot| slot.store_bytes(bytes)) {
            Ok(()) => return Ok(path),
            Err(_) if path.symlink_metadata().is_ok() => {}
            Err(e) => return Err(e.source().map_or_else(|| e.to_string(), ToString::to_string)),
        }
    }
    Err("there are too many already".into())
}
