//! Where the shares go: a file, a command, or a file by way of a command; and where else something is kept that may be
//! shares.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use memchr::memmem;
use portal_backup::{BackupShares, Error, FileSlot, Outcome, SecretBytes, StoredShares, Unreadable};

use crate::arguments::Arguments;
use crate::exit_report::{ExitReport, Result};
use crate::shell::Shell;
use crate::terminal::{display_path, say};

const NOT_KNOWN_TO_BE_STORED: &str = "\
the command wrote to its standard output, so it may have encrypted the shares to nowhere; they are not confirmed.
If it encrypts: -o FILE --encrypt-with COMMAND stores what it writes. If it prints something else: add >/dev/null.
Then run again; or, if you know that the shares are stored, confirm them.";

/// A destination that was made sure of before there is anything to store: a slot, a command, or both.
pub(crate) struct Destination {
    slot: Option<FileSlot>,
    shell: Option<Shell>,
}

impl Destination {
    pub(crate) fn reserve(arguments: &Arguments) -> Result<Self> {
        let command = match (&arguments.encrypt_with, &arguments.store_with) {
            (Some(command), _) => Some(("--encrypt-with", command)),
            (None, Some(command)) => Some(("--store-with", command)),
            (None, None) => None,
        };
        let shell = command.map(|(option, command)| Shell::find(option, command)).transpose();
        let shell = shell.map_err(|why| ExitReport::new(2, why).nothing_sent())?;
        Ok(Self { slot: arguments.output.as_ref().map(FileSlot::reserve).transpose()?, shell })
    }

    /// Stores the shares, or ends with what became of them.
    pub(crate) fn store(self, shares: &BackupShares, arguments: &Arguments) -> Result<StoredShares> {
        let ids = shares.share_pair_ids();
        let not_stored =
            |what: String| ExitReport::new(6, what).outcome(Outcome::Unknown).stored(ids, None, false);
        let lost = |why: String| {
            let harmless = "which does no harm: they are not confirmed. Fix that, and run again.";
            not_stored(format!("{why}\nThe shares are lost, {harmless}"))
        };
        let run = |shell: &Shell, json: &str| {
            shell.run(json.as_bytes()).map_err(|why| lost(format!("{why}\nNothing is written in its place.")))
        };
        let Some(slot) = self.slot else {
            return shares.store(|json| match &self.shell {
                Some(shell) if !run(shell, json)?.is_empty() => {
                    Err(not_stored(NOT_KNOWN_TO_BE_STORED.into()).with_confirm_command(arguments, ids, None))
                }
                _ => Ok(()),
            });
        };
        let hidden = slot.hidden_path().to_path_buf();
        let encrypted = self.shell.map(|shell| run(&shell, shares.expose_json())).transpose()?;
        let stored = shares.store(|json| {
            let bytes = encrypted.as_ref().map_or(json.as_bytes(), SecretBytes::expose);
            if bytes.is_empty() {
                return Err(lost("the command wrote nothing to its standard output".into()));
            }
            let Err(e) = slot.store_bytes(bytes) else { return Ok(()) };
            let path = keep(bytes, ".unconfirmed", arguments.output.as_deref())
                .map_err(|reasons| lost(format!("{e}{reasons}")))?;
            let what = if encrypted.is_some() { "What the command wrote is" } else { "The shares are" };
            let advice = "not confirmed. Confirm them there or run again, which makes a new pair.";
            let what = format!("{e}\n{what} kept in {}, {advice}", display_path(&path));
            let readable = Some(&*path).filter(|_| encrypted.is_none());
            Err(not_stored(what).kept(Some(&path)).with_confirm_command(arguments, ids, readable))
        })?;
        if hidden.symlink_metadata().is_ok() {
            let hidden = display_path(&hidden);
            let _ = say(format_args!("warning     {hidden} holds the same, and cannot be removed"));
        }
        if encrypted.is_some_and(|output| holds_a_share(output.expose(), shares)) {
            let _ = say("warning     what the command wrote holds a share as it is: it is not encrypted");
        }
        Ok(stored)
    }

    /// Keeps a response that was not understood, since it may hold shares: where the shares were to go, or beside it.
    pub(crate) fn keep_unreadable(self, unreadable: Unreadable, file: Option<&Path>) -> ExitReport {
        let body = unreadable.expose_body();
        let in_a_file = |bytes: &[u8], what: &str| match keep(bytes, ".unreadable", file) {
            Ok(path) => (format!("{what} is kept in {}", display_path(&path)), Some(path)),
            Err(why) => (format!("It is lost{why}"), None),
        };
        let shell = self.shell.as_ref().filter(|_| !body.is_empty());
        let output = shell.map(|shell| shell.run(body));
        let (became, kept) = match output {
            _ if body.is_empty() => ("Nothing of it arrived, so there is nothing to keep".into(), None),
            None => in_a_file(body, "The response"),
            Some(Err(why)) => (format!("The response is lost, since {why}"), None),
            Some(Ok(output)) if self.slot.is_some() => {
                in_a_file(output.expose(), "What the command made of it")
            }
            Some(Ok(output)) if !output.is_empty() => (NOT_KNOWN_TO_BE_STORED.into(), None),
            Some(Ok(_)) => ("The command was given the response and exited with 0".into(), None),
        };
        let mut report = ExitReport::from(Error::Unreadable(unreadable));
        report.what = report.what.replace(": keep the body of this error", "");
        report.what += &format!("\n{became}; nothing was confirmed.");
        report.kept(kept.as_deref())
    }
}

/// Whether a piece of a share stands there in plain text, as the service sent it or decoded.
fn holds_a_share(output: &[u8], shares: &BackupShares) -> bool {
    [shares.secp256k1(), shares.ed25519()].into_iter().any(|share| {
        let decoded = share.decode().unwrap_or_else(|_| SecretBytes::new(Vec::new()));
        [share.expose_share().as_bytes(), decoded.expose()].into_iter().any(|text| {
            // The middle: shares begin alike, and what is left of a line may be broken.
            let piece = text.get(text.len() / 2..).unwrap_or_default();
            let piece = piece.get(..piece.len().min(24)).unwrap_or_default();
            !piece.is_empty() && memmem::find(output, piece).is_some()
        })
    })
}

/// Keeps what may be shares in a file of its own: beside the output, with this behind its name, or else wherever it can
/// be kept, with a number if the name is taken. The error says why it cannot.
fn keep(bytes: &[u8], suffix: &str, file: Option<&Path>) -> Result<PathBuf, String> {
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
                    why += &format!("\nIt cannot be kept in {}: {reason}.", display_path(&name));
                    break;
                }
            }
        }
    }
    Err(why)
}
