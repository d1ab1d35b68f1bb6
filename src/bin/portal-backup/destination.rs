//! Where the shares go: a file, a command, or a file by way of a command; and where else they are kept if that fails.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use memchr::memmem;
use portal_backup::{BackupShares, Error, FileSlot, Outcome, StoredShares, Unreadable};
use serde_json::json;

use crate::arguments::Arguments;
use crate::exit_report::{ExitReport, Result};
use crate::shell::Shell;
use crate::terminal::{display_path, print_stderr};

const WROTE_TO_STDOUT: &str = "\
the command wrote to its standard output, so it may have encrypted the shares to nowhere; nothing was confirmed.
If it encrypts: -o FILE --encrypt-with COMMAND stores what it writes. If it prints something else: add >/dev/null.
Then run again; or, if you know that the shares are stored, confirm them.";

/// A slot, a command, or both, seen to work before there is anything to store.
pub(crate) struct Destination {
    slot: Option<FileSlot>,
    shell: Option<Shell>,
}

impl Destination {
    pub(crate) fn reserve(arguments: &Arguments) -> Result<Self> {
        let find = |option| Some(Shell::find(option, arguments.value(option)?).map_err(|why| ExitReport::new(2, why)));
        let shell = ["--encrypt-with", "--store-with"].into_iter().find_map(find).transpose()?;
        Ok(Self { slot: arguments.path("--output").map(FileSlot::reserve).transpose()?, shell })
    }

    /// Stores the shares, or ends with what became of them.
    pub(crate) fn store(self, shares: &BackupShares, arguments: &Arguments) -> Result<StoredShares> {
        shares.store(|json| self.write(json.as_bytes(), Some(shares), arguments)).map_err(|report| {
            report.stored(shares.share_pair_ids(), None, false).with(json!({ "outcome": Outcome::Unknown }))
        })
    }

    /// Keeps a response that was not understood, since it may hold shares: where the shares were to go, or beside it.
    pub(crate) fn keep_unreadable(mut self, unreadable: Unreadable, arguments: &Arguments) -> ExitReport {
        self.slot = None;
        let given = "The command was given the response and exited with 0; nothing was confirmed.";
        let report = match unreadable.expose_body() {
            [] => ExitReport::new(5, "Nothing of it arrived, so there is nothing to keep."),
            body => self.write(body, None, arguments).err().unwrap_or(ExitReport::new(5, given)),
        };
        let e = Error::Unreadable(unreadable);
        ExitReport::new(5, format!("{e}\n{}", report.what)).with(json!(e)).with(report.facts)
    }

    /// Writes bytes that may be shares, through the command if any, to the file if any; if the file fails, to another one.
    fn write(self, bytes: &[u8], shares: Option<&BackupShares>, arguments: &Arguments) -> Result<()> {
        let output = arguments.path("--output");
        let next = |file| arguments.confirm_command(shares?.share_pair_ids(), file);
        let subject = if shares.is_some() { "The shares are" } else { "The response is" };
        let lost = |why: &str| {
            let harmless = "which does no harm: nothing was confirmed. Fix that, and run again.";
            ExitReport::new(6, format!("{why}\n{subject} lost, {harmless}"))
        };
        let mut bytes = Cow::Borrowed(bytes);
        if let Some(shell) = &self.shell {
            let written = shell.run(&bytes).map_err(|why| lost(&why))?;
            match (output, written.is_empty()) {
                (None, true) => return Ok(()),
                (None, false) => return Err(ExitReport::new(6, WROTE_TO_STDOUT).next(next(None))),
                (Some(_), true) => return Err(lost("the command wrote nothing to its standard output")),
                (Some(_), false) => bytes = written.into(),
            }
        }
        let mut why = String::new();
        if let Some(slot) = self.slot {
            let stored = slot.store_bytes(&bytes);
            if self.shell.is_some() && shares.is_some_and(|shares| holds_a_share(&bytes, shares)) {
                let _ = print_stderr("warning     what the command wrote holds a share as it is: it is not encrypted");
            }
            let Err(e) = stored else { return Ok(()) };
            why = format!("{e}\n");
        }
        let suffix = if shares.is_some() { ".unconfirmed" } else { ".unreadable" };
        let kept = output.and_then(|output| keep(&bytes, suffix, output));
        let kept = kept.ok_or_else(|| lost(&format!("{why}It can be kept nowhere else, either.")))?;
        let what = format!("{why}{subject} kept in {}; nothing was confirmed.", display_path(&kept));
        let command = next(Some(&*kept));
        Err(ExitReport::new(6, what).with(json!({ "kept": kept.to_string_lossy() })).next(command))
    }
}

/// Whether the output holds a piece of a share as the service sent it.
fn holds_a_share(output: &[u8], shares: &BackupShares) -> bool {
    [shares.secp256k1(), shares.ed25519()].into_iter().any(|share| {
        let text = share.expose_share().as_bytes();
        // Short and from the middle: shares begin alike, and the command may wrap lines.
        let piece = text.get(text.len() / 2..).unwrap_or_default();
        memmem::find(output, piece.get(..24).unwrap_or(piece)).is_some()
    })
}

/// Keeps what may be shares in a file of its own: beside the output, in the working folder or in that for temporary files,
/// with a number if the name is taken.
fn keep(bytes: &[u8], suffix: &str, output: &Path) -> Option<PathBuf> {
    let other = PathBuf::from("portal-backup");
    let bases = [output.to_path_buf(), other.clone(), std::env::temp_dir().join(other)];
    bases.into_iter().find_map(|base| {
        let paths = (1..100).map(|number| {
            let mut path = base.clone().into_os_string();
            path.push(if number == 1 { suffix.into() } else { format!("{suffix}.{number}") });
            PathBuf::from(path)
        });
        // Any other error is about the folder: the next one is tried.
        let mut kept = paths.map(|path| FileSlot::reserve(&path)?.store_bytes(bytes).map(|()| path));
        kept.find(|kept| !kept.as_ref().is_err_and(|e| e.already_exists()))?.ok()
    })
}
