//! The command line: back up, store, confirm, and say what happened.

#![forbid(unsafe_code)]

mod arguments;
mod destination;
mod exit_report;
mod input;
mod shell;
mod signals;
mod terminal;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use arguments::{API_KEY, Arguments};
use destination::Destination;
use exit_report::{ExitReport, Result};
use input::{Input, read_key, warn_of_readers};
use portal_backup::{
    ApiKey, BackupShares, Client, Error, FileSlot, GenerateResponse, Outcome, Sandbox, ShareForm,
    StoredShares, wire,
};
use signals::Signals;
use terminal::{display_path, print, show_log, show_progress, tell};

/// Wipes what ureq, rustls and the standard library free without wiping it.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    ExitCode::from(run().unwrap_or_else(|failed| failed).tell())
}

fn run() -> Result {
    let arguments = &Arguments::parse(std::env::args_os().skip(1).collect())
        .map_err(|mistake| ExitReport::new(2, mistake).outcome(Outcome::NotSent))?;
    if let Some(text) = arguments.text {
        return print_or_fail(text.trim_end());
    }
    let signals = &Signals::watch().map_err(ExitReport::nothing_sent)?;
    show_log(arguments.verbose);
    let ended = match (arguments.command, &arguments.values[..]) {
        ("verify", [file]) => return verify(file),
        ("sandbox", _) => serve_sandbox(arguments.port),
        ("confirm", [file]) => FileSlot::load(file)
            .map_err(|e| {
                ExitReport::new(2, format!("{e}; confirm takes a stored file, or two share pair ids"))
            })
            .and_then(|(_, stored)| confirm(&stored, Some(file.as_ref()), arguments, signals)),
        ("confirm", [first, second]) => ids([first, second].map(OsString::as_os_str))
            .and_then(|stored| confirm(&stored, None, arguments, signals)),
        (_, [input, ..]) => back_up(input, arguments, signals),
        (_, []) => Ok(ExitReport::default()),
    };
    ended.map_err(ExitReport::nothing_sent)
}

/// Both ids, if neither is a file in the wrong place.
fn ids(words: [&OsStr; 2]) -> Result<StoredShares> {
    // Ids are letters, digits and dashes.
    let is_file = |word: &&OsStr| {
        word.as_encoded_bytes().iter().any(|b| b"./".contains(b))
            || Path::new(word).symlink_metadata().is_ok()
    };
    if words.iter().any(is_file) {
        return Err(ExitReport::new(
            2,
            "confirm takes one stored file, or two share pair ids, which are no files",
        ));
    }
    let [Some(first), Some(second)] = words.map(OsStr::to_str) else {
        return Err(ExitReport::new(2, "an id is not UTF-8"));
    };
    Ok(StoredShares::from_share_pair_ids([first, second])?)
}

fn back_up(input: &OsStr, arguments: &Arguments, signals: &Signals) -> Result {
    let generate = Input::json("generate response", input)?;
    let sandbox = if arguments.sandbox { Some(start_sandbox(0)?) } else { None };
    let client = client(arguments, sandbox.as_ref())?;
    let stored = make_and_store(generate, &client, arguments, signals)?;

    let file = arguments.output.as_deref();
    let ids = stored.share_pair_ids();
    let report = |code, what: &str| {
        // The confirmation cannot read what is encrypted.
        let readable = file.filter(|_| arguments.encrypt_with.is_none());
        ExitReport::new(code, what).stored(ids, file, false).with_confirm_command(arguments, ids, readable)
    };
    if arguments.no_confirm {
        return Ok(report(0, "unconfirmed, as --no-confirm asks."));
    }
    let unconfirmed = |why: &str| report(7, &format!("{why}\nThe shares are stored, but not confirmed."));
    let untold = unconfirmed("the service was not told.").outcome(Outcome::NotSent);
    signals.on_signal(untold, || Ok(None))?;
    let interrupted = unconfirmed("it is not known whether the service was told.").call("confirm");
    signals.on_signal(interrupted.outcome(Outcome::Unknown), || Ok(None))?;
    let confirmed = call_confirm(&client, &stored, file, arguments, signals);
    confirmed.map_err(|e| unconfirmed(&e.to_string()).because(&e))
}

/// All that sees a share, so that none is left when the confirmation waits for its response.
fn make_and_store(
    input: Input,
    client: &Client,
    arguments: &Arguments,
    signals: &Signals,
) -> Result<StoredShares> {
    let generate = GenerateResponse::parse(input.text()?).map_err(|e| input.unusable(e))?;
    let file = arguments.output.as_deref();
    if let Some(file) = file.filter(|file| arguments.resume && file.symlink_metadata().is_ok()) {
        let stored = whole_backup(file, &input)?;
        tell(format_args!("found       a whole backup in {}", display_path(file)));
        return Ok(stored);
    }
    let reserve = || {
        for path in file.map(FileSlot::left_behind).unwrap_or_default() {
            let path = display_path(&path);
            tell(format_args!("left        {path}: by a run that was killed, one that still goes on,"));
            tell("            or whoever may write there; it may hold shares");
        }
        Destination::reserve(arguments).map(Some).map_err(|mut failed| {
            // What a stand-in has made is nothing to confirm.
            let backup = file.filter(|_| !arguments.sandbox).map(|file| (file, whole_backup(file, &input)));
            let Some((file, Ok(stored))) = backup else { return failed };
            failed.what += "\nIt holds a backup; if that is not confirmed, --resume does it, too.";
            failed.with_confirm_command(arguments, stored.share_pair_ids(), Some(file))
        })
    };
    let interrupted = "the service may have acted: run again, which makes a new pair of shares";
    let interrupted = ExitReport::new(0, interrupted).outcome(Outcome::Unknown).call("backup");
    signals.on_signal(interrupted, reserve)?;

    // Held until there is a response: what stores it must not fail for want of memory.
    let mut memory = Vec::<u8>::new();
    memory.try_reserve_exact(4 << 20).map_err(|e| ExitReport::new(2, e.to_string()))?;
    let shares = show_progress("backing up", || client.backup(&generate));
    // A signal that came first has ended the run by now.
    let destination = signals.defer_signals().ok_or(ExitReport::new(5, "ended by a signal"))?;
    drop(memory);
    let shares = match shares {
        Ok(shares) => shares,
        Err(Error::Unreadable(unreadable)) => return Err(destination.keep_unreadable(unreadable, file)),
        Err(e) => return Err(e.into()),
    };
    let stored = destination.store(&shares, arguments);
    let [first, second] = shares.share_pair_ids().map(str::escape_debug);
    tell(format_args!("backed up   {first} and {second}"));
    let stored = stored?;
    let place = file.map_or_else(|| "by the command, which exited with 0".into(), display_path);
    tell(format_args!("stored      {place}"));
    Ok(stored)
}

/// What a file holds, if that is a whole backup, and not the generate response, which has the same form.
fn whole_backup(file: &Path, generate: &Input) -> Result<StoredShares> {
    let (shares, stored) = FileSlot::load(file)?;
    let generate = BackupShares::parse(generate.text()?);
    match generate.is_ok_and(|generate| generate.share_pair_ids() == shares.share_pair_ids()) {
        true => Err(ExitReport::new(2, format!("{}: it holds the generate response", display_path(file)))),
        false => Ok(stored),
    }
}

fn confirm(stored: &StoredShares, file: Option<&Path>, arguments: &Arguments, signals: &Signals) -> Result {
    let client = client(arguments, None)?;
    let interrupted = ExitReport::new(0, "it is not known whether the service was told: run it again");
    let interrupted = interrupted.outcome(Outcome::Unknown).call("confirm");
    signals.on_signal(interrupted.stored(stored.share_pair_ids(), file, false), || Ok(None))?;
    Ok(call_confirm(&client, stored, file, arguments, signals)?)
}

fn call_confirm(
    client: &Client,
    stored: &StoredShares,
    file: Option<&Path>,
    arguments: &Arguments,
    signals: &Signals,
) -> Result<ExitReport, Error> {
    let confirmed = show_progress("confirming", || client.confirm(stored));
    signals.defer_signals();
    confirmed?;
    tell(match arguments.sandbox {
        true => "confirmed   by the stand-in, which ends here",
        false => "confirmed   the wallet can be recovered from these shares",
    });
    Ok(ExitReport::default().stored(stored.share_pair_ids(), file, true))
}

fn verify(file: &OsStr) -> Result {
    let path = Some(Path::new(file)).filter(|_| file != "-");
    let verify = || {
        let input = Input::json("stored backup", file)?;
        let shares = BackupShares::parse(input.bytes.expose()).map_err(|e| input.unusable(e))?;
        let form = shares.check().map_err(|e| input.unusable(e))?;
        for (curve, share) in [("SECP256K1", shares.secp256k1()), ("ED25519", shares.ed25519())] {
            let (id, len) = (share.id().escape_debug(), share.expose_share().len());
            tell(format_args!("{curve:<11} {id}, {len} characters"));
        }
        path.into_iter().for_each(warn_of_readers);
        tell(match form {
            ShareForm::Known => "whole       both shares are there",
            _ => "whole       both shares are there, but what they hold is not the known form",
        });
        let ids = shares.share_pair_ids();
        Ok(ExitReport::default().with("sharePairIds", serde_json::json!(ids)))
    };
    verify().map(|report| report.file(path)).map_err(|failed: ExitReport| failed.file(path))
}

fn serve_sandbox(port: u16) -> Result {
    let sandbox = start_sandbox(port)?;
    let requests = sandbox.watch();
    let (url, key) = (sandbox.url(), sandbox.api_key());
    print_or_fail(&format!("PORTAL_SANDBOX_URL={url}\nPORTAL_CLIENT_API_KEY={key}"))?;
    tell("A stand-in for both of Portal's services, until it is ended with Ctrl-C.");
    for request in requests {
        let path = display_path(request.path.as_ref());
        // It goes on if nobody reads this.
        let _ = print(format_args!("{} {path} {}", request.method.escape_debug(), request.status));
    }
    Ok(ExitReport::default())
}

fn start_sandbox(port: u16) -> Result<Sandbox> {
    Sandbox::start_on(port).map_err(|e| ExitReport::new(2, format!("the sandbox cannot be started: {e}")))
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
        .platform_verifier(arguments.system_certs)
        // One call to each host: a connection that is kept keeps the last bytes that TLS decrypted.
        .keep_alive(Duration::ZERO);
    if let Some(file) = &arguments.ca_cert {
        builder = builder.root_certs_pem(Input::open("--ca-cert", file, 4 << 20)?.bytes.expose());
    }
    if let Some(timeout) = arguments.timeout {
        builder = builder.timeout(timeout);
    }
    Ok(builder.build()?)
}

fn print_or_fail(text: &str) -> Result {
    print(text).map_err(|e| ExitReport::new(2, format!("stdout: {e}")))?;
    Ok(ExitReport::default())
}
