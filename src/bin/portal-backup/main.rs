//! The command line: back up, store, confirm, and say what happened.

#![forbid(unsafe_code)]

mod arguments;
mod destination;
mod ending;
mod input;
mod shell;
mod signals;
mod terminal;

use std::ffi::OsStr;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use arguments::{API_KEY, Arguments};
use destination::{Place, keep_shares, keep_unreadable};
use ending::{Ending, Result};
use input::{read_file, read_json, read_key, text_of};
use portal_backup::{
    ApiKey, BackupShares, Client, Error, FileSlot, GenerateResponse, Outcome, Sandbox, SecretBytes,
    StoredShares, wire,
};
use signals::Signals;
use terminal::{say, shown, tell, ticking};

/// Wipes what ureq, rustls and the standard library free without wiping it.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    ExitCode::from(run().unwrap_or_else(|failed| failed).tell())
}

fn run() -> Result {
    let usage = |what: String| Ending::new(2, what + "; see portal-backup --help");
    let arguments = &Arguments::parse(std::env::args_os().skip(1).collect()).map_err(usage)?;
    match (arguments.command, &arguments.values[..]) {
        ("", [input]) => back_up(input, arguments, &Signals::watch()?),
        ("confirm", [file]) => {
            let usage = "confirm takes a stored file, or two share pair ids";
            let loaded = FileSlot::load(file).map_err(|e| Ending::new(2, format!("{e}; {usage}")));
            confirm(&loaded?.1, Some(file.as_ref()), arguments, &Signals::watch()?)
        }
        ("confirm", [first, second]) => {
            let [Some(first), Some(second)] = [first, second].map(|id| id.to_str()) else {
                return Err(Ending::new(2, "an id is not UTF-8"));
            };
            let stored = StoredShares::from_share_pair_ids([first, second])?;
            confirm(&stored, None, arguments, &Signals::watch()?)
        }
        ("verify", [file]) => verify(file),
        ("sandbox", []) => serve_sandbox(arguments.port),
        ("--version", _) => print(concat!("portal-backup ", env!("CARGO_PKG_VERSION"))),
        ("--help", _) => print(arguments::HELP),
        _ => Err(usage("there are too many arguments".into())),
    }
}

fn back_up(input: &OsStr, arguments: &Arguments, signals: &Signals) -> Result {
    let text = read_json("generate response", input)?;
    let sandbox = if arguments.sandbox { Some(start_sandbox(0)?) } else { None };
    let client = client(arguments, sandbox.as_ref())?;
    let stored = make_and_store(text, &client, arguments, signals)?;

    let file = arguments.output.as_deref();
    let ids = stored.share_pair_ids();
    let command = arguments.confirm_command(ids, file);
    let unconfirmed = |why: &str| {
        let what = format!("{why}\nThe shares are stored, but not confirmed. Do that with\n  {command}");
        Ending::new(7, what).stored(ids, file, false)
    };
    if arguments.no_confirm {
        let what = match arguments.sandbox {
            true => "unconfirmed and the stand-in ends here".into(),
            false => format!("unconfirmed until you run\n  {command}"),
        };
        return Ok(Ending::new(0, what).stored(ids, file, false));
    }
    signals.end_with(unconfirmed("Portal was not told."), || Ok(None))?;
    signals.end_with(unconfirmed("it is not known whether Portal was told."), || Ok(None))?;
    let confirmed = call_confirm(&client, &stored, file, signals);
    confirmed.map_err(|e| unconfirmed(&e.to_string()).because(&e))
}

/// All that sees a share, so that none is left when the confirmation waits for its answer.
fn make_and_store(
    text: SecretBytes,
    client: &Client,
    arguments: &Arguments,
    signals: &Signals,
) -> Result<StoredShares> {
    let text = text_of("generate response", &text)?;
    let generate = GenerateResponse::parse(text)?;
    let file = arguments.output.as_deref();
    let make_place = || {
        file.map(FileSlot::left_behind).into_iter().flatten().for_each(|path| tell_left_behind(&path));
        Place::make_sure_of(arguments).map(Some).map_err(|mut failed| {
            // What a stand-in made is nothing to confirm.
            let file = file.filter(|_| !arguments.sandbox);
            let advice = file.and_then(|file| advice_on_backup_at(file, text, arguments));
            failed.what += &advice.unwrap_or_default();
            failed
        })
    };
    let interrupted = "the service may have acted: run again, which makes a new pair of shares";
    signals.end_with(Ending::new(0, interrupted).outcome(Outcome::Unknown), make_place)?;

    let shares = ticking("backing up", || client.backup(&generate));
    // A signal that came first has ended the run by now.
    let Some(place) = signals.hold_back() else { return Err(Ending::new(5, "ended by a signal")) };
    let shares = match shares {
        Ok(shares) => shares,
        Err(Error::Unreadable(unreadable)) => return Err(keep_unreadable(unreadable, &place, file)),
        Err(e) => return Err(e.into()),
    };
    let stored = place.store(&shares);
    let [first, second] = shares.share_pair_ids().map(str::escape_debug);
    tell(format_args!("backed up   {first} and {second}"));
    let stored = stored.map_err(|why| keep_shares(&shares, &why, arguments))?;
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
fn advice_on_backup_at(path: &Path, generate: &str, arguments: &Arguments) -> Option<String> {
    let (shares, _) = FileSlot::load(path).ok().filter(|(shares, _)| shares.expose_json() != generate)?;
    let command = arguments.confirm_command(shares.share_pair_ids(), Some(path));
    Some(format!("\nIt holds a backup. If that is not confirmed yet, do it with\n  {command}"))
}

fn confirm(stored: &StoredShares, file: Option<&Path>, arguments: &Arguments, signals: &Signals) -> Result {
    let client = client(arguments, None)?;
    let interrupted = Ending::new(0, "it is not known whether Portal was told: run it again");
    let interrupted = interrupted.outcome(Outcome::Unknown).stored(stored.share_pair_ids(), file, false);
    signals.end_with(interrupted, || Ok(None))?;
    Ok(call_confirm(&client, stored, file, signals)?)
}

fn call_confirm(
    client: &Client,
    stored: &StoredShares,
    file: Option<&Path>,
    signals: &Signals,
) -> Result<Ending, Error> {
    let confirmed = ticking("confirming", || client.confirm(stored));
    signals.hold_back();
    confirmed?;
    tell(format_args!("confirmed   the wallet can be recovered from these shares"));
    Ok(Ending::default().stored(stored.share_pair_ids(), file, true))
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
    if file != "-" && Path::new(file).metadata().is_ok_and(|found| found.permissions().mode() & 0o077 != 0) {
        say(format_args!("warning     others can read this file: chmod 600"));
    }
    say(format_args!("whole       both shares are there"));
    Ok(Ending::default())
}

fn serve_sandbox(port: u16) -> Result {
    let sandbox = start_sandbox(port)?;
    say(format_args!("A stand-in for both of Portal's services, until it is ended with Ctrl-C."));
    print(format!("PORTAL_SANDBOX_URL={}\nPORTAL_CLIENT_API_KEY={}", sandbox.url(), sandbox.api_key()))?;
    loop {
        thread::park();
    }
}

fn start_sandbox(port: u16) -> Result<Sandbox> {
    Sandbox::start_on(port).map_err(|e| Ending::new(2, format!("the sandbox cannot be started: {e}")))
}

/// The client that the options ask for.
fn client(arguments: &Arguments, sandbox: Option<&Sandbox>) -> Result<Client> {
    let key = match (sandbox, &arguments.api_key_file) {
        (Some(sandbox), _) => ApiKey::new(sandbox.api_key())?,
        (None, Some(file)) => read_key(file)?,
        (None, None) => ApiKey::from_env(API_KEY)?,
    };
    let or_own = |url, own| sandbox.map(Sandbox::url).or(url).unwrap_or(own).to_string();
    let mut builder = Client::builder(key)
        .base_url(or_own(arguments.base_url.as_deref(), wire::backup::BASE_URL))
        .client_api_url(or_own(arguments.client_api_url.as_deref(), wire::confirm::BASE_URL))
        .proxy_from_env(true)
        // One call to each host: a connection that is kept keeps the last bytes that TLS decrypted.
        .keep_alive(Duration::ZERO);
    if let Some(file) = &arguments.ca_cert {
        let pem = read_file("--ca-cert", file, 4 << 20)?;
        builder = builder.root_certs_pem(text_of("--ca-cert", &pem)?);
    }
    if let Some(timeout) = arguments.timeout {
        builder = builder.timeout(timeout);
    }
    Ok(builder.build()?)
}

fn print(text: impl Into<String>) -> Result {
    terminal::print(text.into()).map_err(|e| Ending::new(2, format!("stdout: {e}")))?;
    Ok(Ending::default())
}
