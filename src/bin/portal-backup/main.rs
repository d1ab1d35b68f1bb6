//! The command line: back up, store, confirm, and say what happened.

#![forbid(unsafe_code)]

mod arguments;
mod destination;
mod ending;
mod input;
mod later;
mod service;
mod shell;
mod signals;
mod terminal;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use arguments::{Call, Command, Destination, Stored};
use destination::{Place, keep_shares, keep_unreadable};
use ending::{Ending, Result};
use input::{read_json, text_of};
use later::later;
use portal_backup::{
    BackupShares, Client, Error, FileSlot, GenerateResponse, Outcome, SecretBytes, StoredShares,
};
use service::{client, start_sandbox};
use signals::Signals;
use terminal::{Ticker, say, shown};

/// Wipes what ureq, rustls and the standard library free without wiping it.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    signals::survive_file_limit();
    let all: Vec<OsString> = std::env::args_os().skip(1).collect();
    let wants_json = arguments::wants_json(&all);
    let (ending, json, quiet) = match Command::parse(all) {
        Err(what) => (Err(Ending::new(2, format!("{what}; see portal-backup --help"))), wants_json, false),
        Ok(Command::Help) => (print(arguments::HELP), false, false),
        Ok(Command::Version) => (print(concat!("portal-backup ", env!("CARGO_PKG_VERSION"))), false, false),
        Ok(Command::Sandbox { port }) => (serve_sandbox(port), false, false),
        Ok(Command::Verify { file }) => (verify(&file), false, false),
        Ok(Command::Confirm { what, call }) => (confirm(&what, &call), call.json, call.quiet),
        Ok(Command::Backup { input, to, confirm, sandbox, call }) => {
            (back_up(&input, &to, confirm, sandbox, &call), call.json, call.quiet)
        }
    };
    let ending = ending.unwrap_or_else(|failed| *failed);
    ExitCode::from(ending.tell(json, quiet))
}

fn back_up(input: &OsStr, to: &Destination, wants_confirm: bool, in_sandbox: bool, call: &Call) -> Result {
    let signals = Signals::watch(call.json, call.quiet)?;
    let text = read_json("generate response", input)?;
    let sandbox = if in_sandbox { Some(start_sandbox(0)?) } else { None };
    let client = client(call, sandbox.as_ref())?;
    let stored = make_and_store(text, to, &client, in_sandbox, call, &signals)?;

    let file = match to {
        Destination::File(path) => Some(path.as_path()),
        Destination::Shell(_) => None,
    };
    let later = later(&stored, file, call);
    let unconfirmed = |why: &str| Ending {
        code: 7,
        what: format!("{why}\nThe shares are stored, but not confirmed. Do that with\n  {later}"),
        ..Ending::stored(&stored, file, false)
    };
    if !wants_confirm {
        let result = match in_sandbox {
            true => "unconfirmed and the stand-in ends here".into(),
            false => format!("unconfirmed until you run\n  {later}"),
        };
        return Ok(Ending { result: Some(result), ..Ending::stored(&stored, file, false) });
    }
    if let Some(signal) = signals.caught() {
        return Err(Box::new(unconfirmed(&format!("ended by {signal}; Portal was not told."))));
    }
    signals.wait(unconfirmed("it is not known whether Portal was told."));
    let confirmed = call_confirm(&client, &stored, call);
    signals.finish();
    match confirmed {
        Ok(()) => Ok(Ending::stored(&stored, file, true)),
        Err(e) => Err(Box::new(unconfirmed(&e.to_string()).because(&e))),
    }
}

/// All that sees a share, so that none is left when the confirmation waits for its answer.
fn make_and_store(
    text: SecretBytes,
    to: &Destination,
    client: &Client,
    in_sandbox: bool,
    call: &Call,
    signals: &Signals,
) -> Result<StoredShares> {
    let text = text_of("generate response", &text)?;
    let generate = GenerateResponse::parse(text)?;
    let make_place = || {
        let place = Place::make_sure_of(to).map_err(|mut failed| {
            if !in_sandbox {
                failed.what += &advice_on_backup_that_is_there(to, text, call).unwrap_or_default();
            }
            failed
        })?;
        if let Place::Slot(slot) = &place {
            slot.left_behind().iter().for_each(|path| call.tell_left_behind(path));
        }
        Ok(place)
    };
    let interrupted = Ending {
        what: "the service may have acted: run again, which makes a new pair of shares".into(),
        outcome: Some(Outcome::Unknown),
        ..Ending::default()
    };
    signals.wait_with(make_place, interrupted)?;

    let started = Instant::now();
    let shares = {
        let _ticker = Ticker::start("backing up", call.quiet);
        client.backup(&generate)
    };
    let seconds = started.elapsed().as_secs_f64();
    // A signal that came first has ended the run by now.
    let Some(place) = signals.finish() else { return Err(Ending::new(5, "ended by a signal")) };
    let shares = match shares {
        Ok(shares) => shares,
        Err(Error::Unreadable(unreadable)) => return Err(keep_unreadable(unreadable, &place, to)),
        Err(e) => return Err(e.into()),
    };
    let hidden = match &place {
        Place::Slot(slot) => Some(slot.hidden_path().to_path_buf()),
        Place::Shell(_) => None,
    };
    let stored = place.store(&shares);
    let [first, second] = shares.share_pair_ids().map(str::escape_debug);
    let kilobytes = shares.expose_json().len() as f64 / 1000.0;
    call.tell(format_args!("backed up   {first} and {second}"));
    call.tell(format_args!("            {kilobytes:.1} KB in {seconds:.1} s"));
    let stored = stored.map_err(|why| keep_shares(&shares, &why, to, call))?;
    match to {
        Destination::File(path) => call.tell(format_args!("stored      {}", shown(path))),
        Destination::Shell(_) => call.tell(format_args!("stored      by the command, which exited with 0")),
    }
    if let Some(hidden) = hidden.filter(|hidden| hidden.symlink_metadata().is_ok()) {
        say(format_args!("warning     {} holds the shares, too, and cannot be removed", shown(&hidden)));
    }
    Ok(stored)
}

/// What to do when the output exists and is a backup: most likely that of a run that ended before it could confirm.
///
/// A generate response has the same form; at least that which was to be backed up is not taken for one.
fn advice_on_backup_that_is_there(to: &Destination, generate: &str, call: &Call) -> Option<String> {
    let Destination::File(path) = to else { return None };
    let (shares, stored) = FileSlot::load(path).ok()?;
    if shares.expose_json() == generate {
        return None;
    }
    let later = later(&stored, Some(path), call);
    Some(format!("\nIt holds a backup. If that is not confirmed yet, do it with\n  {later}"))
}

fn confirm(what: &Stored, call: &Call) -> Result {
    let signals = Signals::watch(call.json, call.quiet)?;
    let client = client(call, None)?;
    let (stored, file) = match what {
        Stored::Ids(ids) => (StoredShares::from_share_pair_ids(ids.each_ref().map(String::as_str))?, None),
        Stored::File(file) => (load(file)?, Some(file.as_path())),
    };
    signals.wait(Ending {
        what: "it is not known whether Portal was told: run it again".into(),
        outcome: Some(Outcome::Unknown),
        ..Ending::stored(&stored, file, false)
    });
    let confirmed = call_confirm(&client, &stored, call);
    signals.finish();
    confirmed?;
    Ok(Ending::stored(&stored, file, true))
}

fn load(file: &Path) -> Result<StoredShares> {
    let loaded = FileSlot::load(file).map_err(|e| {
        let mut failed = Box::<Ending>::from(e);
        if file.symlink_metadata().is_err() {
            failed.what += "; confirm takes a stored file, or two share pair ids";
        }
        failed
    })?;
    Ok(loaded.1)
}

fn call_confirm(client: &Client, stored: &StoredShares, call: &Call) -> core::result::Result<(), Error> {
    {
        let _ticker = Ticker::start("confirming", call.quiet);
        client.confirm(stored)?;
    }
    call.tell(format_args!("confirmed   the wallet can be recovered from these shares"));
    Ok(())
}

fn verify(file: &OsStr) -> Result {
    let name = if file == "-" { "standard input".into() } else { shown(file.as_ref()) };
    let text = read_json(&name, file)?;
    text_of(&name, &text)?;
    let shares = BackupShares::parse(text.into_vec()).map_err(|e| Ending::new(2, format!("{name}: {e}")))?;
    StoredShares::from_share_pair_ids(shares.share_pair_ids())
        .map_err(|e| Ending::new(2, format!("{name}: {e}")))?;
    for (curve, share) in [("SECP256K1", shares.secp256k1()), ("ED25519", shares.ed25519())] {
        let form = if share.decode().is_ok() { "base64" } else { "text" };
        let (id, len) = (share.id().escape_debug(), share.expose_share().len());
        say(format_args!("{curve:<11} {id}, {len} characters of {form}"));
    }
    #[cfg(unix)]
    if file != "-" {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = Path::new(file).metadata().map(|meta| meta.permissions().mode()).unwrap_or_default();
        if mode & 0o077 != 0 {
            say(format_args!("warning     others can read this file: chmod 600"));
        }
    }
    say(format_args!("whole       both shares are there"));
    Ok(Ending::default())
}

fn serve_sandbox(port: u16) -> Result {
    let sandbox = start_sandbox(port)?;
    say(format_args!("A stand-in for both of Portal's services, until it is ended with Ctrl-C."));
    print(&format!("PORTAL_SANDBOX_URL={}\nPORTAL_CLIENT_API_KEY={}", sandbox.url(), sandbox.api_key()))?;
    loop {
        thread::park();
    }
}

impl Call {
    fn tell(&self, line: fmt::Arguments<'_>) {
        if !self.quiet {
            say(line);
        }
    }

    /// Names a hidden file of a run that was killed.
    fn tell_left_behind(&self, path: &Path) {
        let shown = shown(path);
        match FileSlot::load(path) {
            Ok((_, stored)) => {
                let [first, second] = stored.share_pair_ids().map(str::escape_debug);
                self.tell(format_args!("left        {shown}: shares {first} and {second} of an earlier run"));
            }
            Err(_) => self.tell(format_args!("left        {shown}: part of an answer to an earlier run")),
        }
        self.tell(format_args!("            delete it once a later backup is confirmed"));
    }
}

fn print(text: &str) -> Result {
    terminal::print(text).map_err(|e| Ending::new(2, format!("stdout: {e}")))?;
    Ok(Ending::default())
}
