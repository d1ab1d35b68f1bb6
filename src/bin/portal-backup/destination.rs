//! Where the shares go: a file or a command; and where else something is kept that may be shares.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use portal_backup::{BackupShares, Error, FileSlot, Outcome, StoredShares, Unreadable};

use crate::arguments::Arguments;
use crate::ending::Ending;
use crate::shell::Shell;
use crate::terminal::{say, shown};

type Result<T> = core::result::Result<T, String>;

/// A destination that was made sure of before there is anything to store.
pub(crate) enum Place {
    Slot(FileSlot),
    Shell(Shell),
}

impl Place {
    pub(crate) fn make_sure_of(arguments: &Arguments) -> crate::ending::Result<Self> {
        if let Some(file) = &arguments.output {
            return Ok(Self::Slot(FileSlot::reserve(file)?));
        }
        let shell = Shell::find(arguments.store_with.as_deref().unwrap_or_default());
        shell.map(Self::Shell).map_err(|why| Ending::new(2, format!("{why}; nothing was sent")))
    }

    /// Stores the shares; the error says why they are not stored.
    pub(crate) fn store(self, shares: &BackupShares) -> Result<StoredShares> {
        let slot = match self {
            Self::Slot(slot) => slot,
            Self::Shell(shell) => return shares.store(|json| shell.pipe(json.as_bytes())),
        };
        let hidden = slot.hidden_path().to_path_buf();
        let stored = slot.store(shares).map_err(|e| e.to_string())?;
        if hidden.symlink_metadata().is_ok() {
            say(format_args!("warning     {} holds the shares, too, and cannot be removed", shown(&hidden)));
        }
        Ok(stored)
    }
}

/// Keeps shares that are not stored where they should be. A command may be an encryption, whose input is to be on no
/// disk: nothing takes its place.
pub(crate) fn keep_shares(shares: &BackupShares, why: &str, arguments: &Arguments) -> Ending {
    let ids = shares.share_pair_ids();
    let kept = match arguments.output.as_deref() {
        file @ Some(_) => keep(shares.expose_json().as_bytes(), ".unconfirmed", file),
        None => Err("\nNothing is written in its place.".into()),
    };
    let (advice, kept) = match kept {
        Ok(path) => {
            let advice = "not confirmed. Move them to where they are to stay and confirm them, or run again.";
            let (shown, command) = (shown(&path), arguments.confirm_command(ids, Some(&path)));
            (format!("\nThe shares are kept in {shown}, {advice}\n  {command}"), Some(path))
        }
        Err(reasons) => {
            let advice = "which does no harm: they are not confirmed. Fix that, and run again.";
            (format!("{reasons}\nThe shares are lost, {advice}"), None)
        }
    };
    let ending = Ending::new(6, format!("{why}{advice}")).outcome(Outcome::Unknown);
    ending.stored(ids, None, false).kept(kept.as_deref())
}

/// Keeps an answer that was not understood, since it may hold shares: it goes to the command, or else into a file.
pub(crate) fn keep_unreadable(unreadable: Unreadable, place: &Place, file: Option<&Path>) -> Ending {
    let body = unreadable.expose_body();
    let in_a_file = || match keep(body, ".unreadable", file) {
        Ok(path) => (format!("\nThe answer is kept in {}", shown(&path)), Some(path)),
        Err(why) => (format!("{why}\nThe answer is lost"), None),
    };
    let (became, kept) = match place {
        _ if body.is_empty() => ("\nNothing of it arrived, so there is nothing to keep".into(), None),
        Place::Slot(_) => in_a_file(),
        Place::Shell(shell) => match shell.pipe(body) {
            Ok(()) => ("\nThe command was given the answer and exited with 0".into(), None),
            Err(why) => {
                let (became, kept) = in_a_file();
                (format!("\nThe answer is not stored: {why}.{became}"), kept)
            }
        },
    };
    let mut ending = Ending::from(Error::Unreadable(unreadable));
    ending.what += &format!("{became}; nothing was confirmed.");
    ending.kept(kept.as_deref())
}

/// Keeps what may be shares in a file of its own: beside the output, with this behind its name, or else wherever it can
/// be kept, with a number if the name is taken. The error says why it cannot.
fn keep(bytes: &[u8], suffix: &str, file: Option<&Path>) -> Result<PathBuf> {
    let other = format!("portal-backup{suffix}");
    let mut names = Vec::new();
    if let Some(file) = file {
        let mut name = file.as_os_str().to_os_string();
        name.push(suffix);
        names.extend([name.into(), file.with_file_name(&other)]);
    }
    names.extend([PathBuf::from(&other), std::env::temp_dir().join(&other)]);
    names.dedup();
    let mut why = String::new();
    for name in names {
        let numbered = (2..1000).map(|number| {
            let mut path = name.clone();
            path.as_mut_os_string().push(format!(".{number}"));
            path
        });
        for path in [name.clone()].into_iter().chain(numbered) {
            match FileSlot::reserve(&path).and_then(|slot| slot.store_bytes(bytes)) {
                Ok(()) => return Ok(path),
                Err(e) if e.already_exists() => {}
                Err(e) => {
                    let reason = e.source().map_or_else(|| e.to_string(), ToString::to_string);
                    why += &format!("\nIt cannot be kept in {}: {reason}.", shown(&name));
                    break;
                }
            }
        }
    }
    Err(why)
}
