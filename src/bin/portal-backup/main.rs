//! The command line: back up, store, confirm, and say what happened.

#![forbid(unsafe_code)]

mod arguments;
mod destination;
mod ending;
mod input;
mod shell;
mod signals;
mod terminal;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use arguments::{API_KEY, Call, Command, Destination, Stored};
use destination::{Place, keep_shares, keep_unreadable};
use ending::{Ending, Result};
use input::{read_file, read_json, read_key, text_of};
use portal_backup::{
    ApiKey, BackupShares, Client, Error, FileSlot, GenerateResponse, Outcome, Sandbox, SecretBytes,
    StoredShares,
};
use signals::Signals;
use terminal::{say, shown, tell, ticking};

/// Wipes what ureq, rustls and the standard library free without wiping it.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    let all: Vec<OsString> = std::env::args_os().skip(1).collect();
    let json = arguments::wants_json(&all);
    ExitCode::from(run(all, json).unwrap_or_else(|failed| failed).tell(json))
}

fn run(all: Vec<OsString>, json: bool) -> Result {
    let command = Command::parse(all);
    match command.map_err(|what| Ending::new(2, format!("{what}; see portal-backup --help")))? {
        Command::Help => print(arguments::HELP),
        Command::Version => print(concat!("portal-backup ", env!("CARGO_PKG_VERSION"))),
        Command::Sandbox { port } => serve_sandbox(port),
        Command::Verify { file } => verify(&file),
        Command::Confirm { what, call } => confirm(&what, &call, &Signals::watch(json)?),
        Command::Backup { input, to, confirm, sandbox, call } => {
            back_up(&input, &to, confirm, sandbox, &call, &Signals::watch(json)?)
        }
    }
}

fn back_up(
    input: &OsStr,
    to: &Destination,
    wants_confirm: bool,
    in_sandbox: bool,
    call: &Call,
    signals: &Signals,
) -> Result {
    let text = read_json("generate response", input)?;
    let sandbox = if in_sandbox { Some(start_sandbox(0)?) } else { None };
    let client = client(call, sandbox.as_ref())?;
    let file = match to {
        Destination::File(path) => Some(path.as_path()),
        Destination::Shell(_) => None,
    };
    let stored = make_and_store(text, to, file, &client, call, signals)?;

    let ids = stored.share_pair_ids();
    let command = call.confirm_command(ids, file);
    let unconfirmed = |why: &str| {
        let what = format!("{why}\nThe shares are stored, but not confirmed. Do that with\n  {command}");
        Ending::new(7, what).stored(ids, file, false)
    };
    if !wants_confirm {
        let mut ending = Ending::default().stored(ids, file, false);
        ending.result = Some(match in_sandbox {
            true => "unconfirmed and the stand-in ends here".into(),
            false => format!("unconfirmed until you run\n  {command}"),
        });
        return Ok(ending);
    }
    if let Some(signal) = signals.waiting() {
        return Err(unconfirmed(&format!("ended by {signal}; Portal was not told.")));
    }
    signals.end_with(unconfirmed("it is not known whether Portal was told."));
    let confirmed = call_confirm(&client, &stored);
    signals.hold_back();
    confirmed.map_err(|e| unconfirmed(&e.to_string()).because(&e))?;
    Ok(Ending::default().stored(ids, file, true))
}

/// All that sees a share, so that none is left when the confirmation waits for its answer.
fn make_and_store(
    text: SecretBytes,
    to: &Destination,
    file: Option<&Path>,
    client: &Client,
    call: &Call,
    signals: &Signals,
) -> Result<StoredShares> {
    let text = text_of("generate response", &text)?;
    let generate = GenerateResponse::parse(text)?;
    let make_place = || {
        file.map(FileSlot::left_behind).into_iter().flatten().for_each(|path| tell_left_behind(&path));
        Place::make_sure_of(to).map_err(|mut failed| {
            failed.what += &file.and_then(|file| advice_on_backup_at(file, text, call)).unwrap_or_default();
            failed
        })
    };
    let interrupted = "the service may have acted: run again, which makes a new pair of shares";
    signals.end_and_give_back(make_place, Ending::new(0, interrupted).outcome(Outcome::Unknown))?;

    let started = Instant::now();
    let shares = ticking("backing up", || client.backup(&generate));
    let seconds = started.elapsed().as_secs_f64();
    // A signal that came first has ended the run by now.
    let Some(place) = signals.hold_back() else { return Err(Ending::new(5, "ended by a signal")) };
    let shares = match shares {
        Ok(shares) => shares,
        Err(Error::Unreadable(unreadable)) => return Err(keep_unreadable(unreadable, &place, file)),
        Err(e) => return Err(e.into()),
    };
    let stored = place.store(&shares);
    let [first, second] = shares.share_pair_ids().map(str::escape_debug);
    let kilobytes = shares.expose_json().len() as f64 / 1000.0;
    tell(format_args!("backed up   {first} and {second}"));
    tell(format_args!("            {kilobytes:.1} KB in {seconds:.1} s"));
    let stored = stored.map_err(|why| keep_shares(&shares, &why, file, call))?;
    let place = file.map_or_else(|| "by the command, which exited with 0".into(), shown);
    tell(format_args!("stored      {place}"));
    Ok(stored)
}

/// Names a hidden file of a run that was killed.
fn tell_left_behind(path: &Path) {
    let shown = shown(path);
    match FileSlot::load(path) {
        Ok((_, stored)) => {
            let [first, second] = stored.share_pair_ids().map(str::escape_debug);
            tell(format_args!("left        {shown}: shares {first} and {second} of an earlier run"));
        }
        Err(_) => tell(format_args!("left        {shown}: part of an answer to an earlier run")),
    }
    tell(format_args!("            delete it once a later backup is confirmed"));
}

/// What to do when the output exists and is a backup: most likely that of a run that ended before it could confirm.
///
/// A generate response has the same form; at least that which was to be backed up is not taken for one.
fn advice_on_backup_at(path: &Path, generate: &str, call: &Call) -> Option<String> {
    let (shares, _) = FileSlot::load(path).ok().filter(|(shares, _)| shares.expose_json() != generate)?;
    let command = call.confirm_command(shares.share_pair_ids(), Some(path));
    Some(format!("\nIt holds a backup. If that is not confirmed yet, do it with\n  {command}"))
}

fn confirm(what: &Stored, call: &Call, signals: &Signals) -> Result {
    let client = client(call, None)?;
    let (stored, file) = match what {
        Stored::Ids([first, second]) => (StoredShares::from_share_pair_ids([first, second])?, None),
        Stored::File(file) => {
            let loaded = FileSlot::load(file).map_err(|e| {
                let mut failed = Ending::from(e);
                if file.symlink_metadata().is_err() {
                    failed.what += "; confirm takes a stored file, or two share pair ids";
                }
                failed
            });
            (loaded?.1, Some(file.as_path()))
        }
    };
    let ids = stored.share_pair_ids();
    let interrupted = Ending::new(0, "it is not known whether Portal was told: run it again");
    signals.end_with(interrupted.outcome(Outcome::Unknown).stored(ids, file, false));
    let confirmed = call_confirm(&client, &stored);
    signals.hold_back();
    confirmed?;
    Ok(Ending::default().stored(ids, file, true))
}

fn call_confirm(client: &Client, stored: &StoredShares) -> core::result::Result<(), Error> {
    ticking("confirming", || client.confirm(stored))?;
    tell(format_args!("confirmed   the wallet can be recovered from these shares"));
    Ok(())
}

fn verify(file: &OsStr) -> Result {
    let name = if file == "-" { "standard input".into() } else { shown(file.as_ref()) };
    let text = read_json(&name, file)?;
    text_of(&name, &text)?;
    let shares = BackupShares::parse(text.into_vec()).map_err(|e| Ending::new(2, format!("{name}: {e}")))?;
    for (curve, share) in [("SECP256K1", shares.secp256k1()), ("ED25519", shares.ed25519())] {
        let (id, len) = (share.id().escape_debug(), share.expose_share().len());
        say(format_args!("{curve:<11} {id}, {len} characters"));
    }
    #[cfg(unix)]
    if let Some(meta) =
        Some(file).filter(|file| *file != "-").and_then(|file| Path::new(file).metadata().ok())
    {
        if std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o077 != 0 {
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

fn start_sandbox(port: u16) -> Result<Sandbox> {
    Sandbox::start_on(port).map_err(|e| Ending::new(2, format!("the sandbox cannot be started: {e}")))
}

/// The client that the options ask for.
fn client(call: &Call, sandbox: Option<&Sandbox>) -> Result<Client> {
    let key = match (sandbox, &call.api_key_file) {
        (Some(sandbox), _) => ApiKey::new(sandbox.api_key())?,
        (None, Some(file)) => read_key(file)?,
        (None, None) => ApiKey::from_env(API_KEY)?,
    };
    // One call to each host: a connection that is kept keeps the last bytes that TLS decrypted.
    let mut builder = Client::builder(key).proxy_from_env(true).keep_alive(Duration::ZERO);
    if let Some(url) = sandbox.map(Sandbox::url).or(call.base_url.as_deref()) {
        builder = builder.base_url(url);
    }
    if let Some(url) = sandbox.map(Sandbox::url).or(call.client_api_url.as_deref()) {
        builder = builder.client_api_url(url);
    }
    if let Some(file) = &call.ca_cert {
        let pem = read_file("--ca-cert", file, 4 << 20)?;
        builder = builder.root_certs_pem(text_of("--ca-cert", &pem)?);
    }
    if let Some(timeout) = call.timeout {
        builder = builder.timeout(timeout);
    }
    Ok(builder.build()?)
}

fn print(text: &str) -> Result {
    terminal::print(text).map_err(|e| Ending::new(2, format!("stdout: {e}")))?;
    Ok(Ending::default())
}
