//! The command line: back up, store, confirm, and say what happened.

#![forbid(unsafe_code)]

mod arguments;
mod destination;
mod exit_report;
mod input;
mod shell;
mod signals;
mod terminal;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use arguments::{API_KEY, Arguments};
use destination::Destination;
use exit_report::{ExitReport, Result, exit_2};
use input::{Input, read_key, warn_of_readers};
use portal_backup::{
    ApiKey, BackupShares, Client, Error, FileSlot, GenerateResponse, Outcome, Sandbox, ShareForm, StoredShares, wire,
};
use serde_json::json;
use signals::{defer_signals, on_signal};
use terminal::{LOG, display_path, lock, print_status, print_stdout, show_progress, write_after_log};

/// Wipes what ureq, rustls and the standard library free without wiping it.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    ExitCode::from(run().unwrap_or_else(|report| report).print())
}

fn run() -> Result {
    let arguments = &Arguments::parse(std::env::args_os().skip(1).collect())
        .map_err(|mistake| ExitReport::new(2, mistake).with(json!({ "outcome": Outcome::NotSent })))?;
    terminal::prepare(arguments.has("--verbose"));
    if let Some(text) = arguments.text {
        return print_stdout(text.trim_end()).map(|()| ExitReport::default()).map_err(exit_2("stdout"));
    }
    signals::watch().map_err(exit_2("signals cannot be watched")).map_err(ExitReport::nothing_sent)?;
    match (arguments.command, &arguments.values[..]) {
        ("verify", [file]) => verify(file),
        _ => start(arguments).map_err(ExitReport::nothing_sent),
    }
}

fn start(arguments: &Arguments) -> Result {
    match (arguments.command, &arguments.values[..]) {
        ("sandbox", _) => serve_sandbox(arguments.port),
        ("confirm", [file]) => confirm(&FileSlot::load(file)?.1, Some(file.as_ref()), arguments),
        ("confirm", [first, second]) => {
            let ids = [first, second].map(|id| id.to_str().unwrap_or_default());
            confirm(&StoredShares::from_share_pair_ids(ids)?, None, arguments)
        }
        (_, values) => back_up(values.first().map_or("-".as_ref(), |input| input), arguments),
    }
}

fn back_up(input: &OsStr, arguments: &Arguments) -> Result {
    let generate = Input::read("generate response", input)?;
    let sandbox = arguments.has("--sandbox").then(Sandbox::start).transpose();
    let sandbox = sandbox.map_err(exit_2("the sandbox cannot be started"))?;
    let client = client(arguments, sandbox.as_ref())?;
    let (stored, done) = make_and_store(generate, &client, arguments)?;

    let (file, ids) = (arguments.path("--output"), stored.share_pair_ids());
    let next = arguments.confirm_command(ids, file);
    let report = |code, what: &str| ExitReport::new(code, what).stored(ids, file, false).next(next.clone());
    let unconfirmed = |why: &str| report(7, &format!("{why}\nThe shares are stored, but not confirmed for certain."));
    // Written only when a signal can end the run, in case nobody reads it.
    lock(&LOG).push_str(if arguments.has("--quiet") { "" } else { &done });
    on_signal(unconfirmed("the service was not told.").with(json!({ "outcome": Outcome::NotSent })), None);
    let _ = write_after_log("");
    if arguments.has("--no-confirm") {
        return Ok(report(0, "unconfirmed, as --no-confirm asks."));
    }
    let interrupted = unconfirmed("it is not known whether the service was told.");
    let confirmed = call_confirm(&client, &stored, arguments.has("--sandbox"), interrupted);
    confirmed.map_err(|e| unconfirmed(&e.to_string()).with(json!(e)))?;
    Ok(ExitReport::default().stored(ids, file, true))
}

/// Everything that sees a share, in a function of its own: none is left in memory while the confirmation is under way.
/// Also returns what has been done.
fn make_and_store(input: Input, client: &Client, arguments: &Arguments) -> Result<(StoredShares, String)> {
    let generate = GenerateResponse::parse(input.text()?).map_err(exit_2(&input.source))?;
    let file = arguments.path("--output");
    if let Some(file) = file.filter(|file| arguments.has("--resume") && file.symlink_metadata().is_ok()) {
        let stored = whole_backup(file, &input)?;
        return Ok((stored, format!("found       a whole backup in {}\n", display_path(file))));
    }
    for path in file.map(FileSlot::left_behind).unwrap_or_default() {
        let path = display_path(&path);
        print_status(format_args!("left over   {path}: may hold shares; its run was killed or still runs"));
    }
    // A trial, freed at once: from the request to the stored file, nothing may fail for want of memory. Two thirds are for
    // the thread that resolves a name.
    let mut memory = Vec::<u8>::new();
    memory.try_reserve_exact(3 << 20).map_err(exit_2("there is too little memory"))?;
    drop(std::hint::black_box(memory));
    defer_signals();
    let destination = Destination::reserve(arguments).map_err(|mut report| {
        // What a stand-in has made is nothing to confirm.
        let file = file.filter(|_| !arguments.has("--sandbox"));
        let Some(Ok(stored)) = file.map(|file| whole_backup(file, &input)) else { return report };
        report.what += "\nIt holds a backup.";
        report.next(arguments.confirm_command(stored.share_pair_ids(), file))
    })?;
    let interrupted = ExitReport::new(0, "the service may have acted: run again, which makes a new pair of shares");
    on_signal(interrupted.with(json!({ "outcome": Outcome::Unknown, "call": "backup" })), Some(destination));

    let shares = show_progress("backing up", || client.backup(&generate));
    // Always there: a signal that took it holds the lock until the process ends.
    let destination = defer_signals().ok_or(ExitReport::new(5, "ended by a signal"))?;
    let shares = match shares {
        Ok(shares) => shares,
        Err(Error::Unreadable(unreadable)) => return Err(destination.keep_unreadable(unreadable, arguments)),
        Err(e) => return Err(e.into()),
    };
    let [first, second] = shares.share_pair_ids().map(str::escape_debug);
    let made = format!("backed up   {first} and {second}");
    let stored = destination.store(&shares, arguments).inspect_err(|_| print_status(&made))?;
    let location = file.map_or_else(|| "by the command, which exited with 0".into(), display_path);
    Ok((stored, format!("{made}\nstored      {location}\n")))
}

/// The proof that a file holds a whole backup, and not the generate response, which has the same form.
fn whole_backup(file: &Path, generate: &Input) -> Result<StoredShares> {
    let (shares, stored) = FileSlot::load(file)?;
    let generate = BackupShares::parse(generate.text()?);
    match generate.is_ok_and(|generate| generate.share_pair_ids() == shares.share_pair_ids()) {
        true => Err(ExitReport::new(2, format!("{}: it holds the generate response", display_path(file)))),
        false => Ok(stored),
    }
}

fn confirm(stored: &StoredShares, file: Option<&Path>, arguments: &Arguments) -> Result {
    let report = |report: ExitReport, is_confirmed| report.stored(stored.share_pair_ids(), file, is_confirmed);
    let interrupted = ExitReport::new(0, "the shares may be confirmed or not: run this command again");
    let confirmed = call_confirm(&client(arguments, None)?, stored, false, report(interrupted, false));
    confirmed.map_err(|e| report(e.into(), false))?;
    Ok(report(ExitReport::default(), true))
}

fn call_confirm(client: &Client, stored: &StoredShares, is_sandbox: bool, report: ExitReport) -> Result<(), Error> {
    on_signal(report.with(json!({ "outcome": Outcome::Unknown, "call": "confirm" })), None);
    let confirmed = show_progress("confirming", || client.confirm(stored));
    defer_signals();
    confirmed?;
    print_status(match is_sandbox {
        true => "confirmed   by the stand-in, which ends here",
        false => "confirmed   the wallet can be recovered from these shares",
    });
    Ok(())
}

fn verify(file: &OsStr) -> Result {
    let path = Some(Path::new(file)).filter(|_| file != "-");
    let verify = || {
        let input = Input::read("stored backup", file)?;
        let checked = BackupShares::parse(input.bytes.expose()).and_then(|shares| Ok((shares.check()?, shares)));
        let (form, shares) = checked.map_err(exit_2(&format!("damaged or no backup: {}", input.source)))?;
        path.into_iter().for_each(warn_of_readers);
        let [first, second] = shares.share_pair_ids().map(str::escape_debug);
        let known = if form == ShareForm::Known { "" } else { ", but what they hold is not the known form" };
        print_status(format_args!("whole       both shares are there, {first} and {second}{known}"));
        Ok(ExitReport::default().with(json!({ "sharePairIds": shares.share_pair_ids() })))
    };
    let (Ok(report) | Err(report)) = verify();
    Ok(report.with(json!({ "file": path.map(Path::to_string_lossy) })))
}

fn serve_sandbox(port: u16) -> Result {
    let sandbox = Sandbox::start_on(port).map_err(exit_2("the sandbox cannot be started"))?;
    let requests = sandbox.watch();
    let (url, key) = (sandbox.url(), sandbox.api_key());
    let _ = print_stdout(format_args!("PORTAL_SANDBOX_URL={url}\nPORTAL_CLIENT_API_KEY={key}"));
    print_status("A stand-in for both of Portal's services, until it is ended with Ctrl-C.");
    for request in requests {
        let path = display_path(request.path.as_ref());
        // It goes on if nobody reads this.
        let _ = print_stdout(format_args!("{} {path} {}", request.method.escape_debug(), request.status));
    }
    Ok(ExitReport::default())
}

/// The client that the options ask for.
fn client(arguments: &Arguments, sandbox: Option<&Sandbox>) -> Result<Client> {
    let key = match (sandbox, arguments.path("--api-key-file")) {
        (Some(sandbox), _) => ApiKey::new(sandbox.api_key())?,
        (None, Some(file)) => read_key(file)?,
        (None, None) => ApiKey::from_env(API_KEY)?,
    };
    let url = |name, or| arguments.value(name).map_or(sandbox.map_or(or, Sandbox::url).into(), OsStr::to_string_lossy);
    let confirm_url = url("--client-api-url", wire::confirm::BASE_URL);
    let backup_url = url("--base-url", wire::backup::BASE_URL);
    let mut builder = Client::builder(key)
        // A confirmation alone must not meet the proxy of the other server.
        .base_url(if arguments.command == "confirm" { &confirm_url } else { &backup_url })
        .client_api_url(&confirm_url)
        .proxy_from_env(true)
        .platform_verifier(arguments.has("--system-certs"))
        .timeout(arguments.timeout)
        // One call to each host: a connection that is kept keeps the last bytes that TLS decrypted.
        .keep_alive(Duration::ZERO);
    if let Some(file) = arguments.path("--ca-cert") {
        builder = builder.root_certs_pem(Input::read("--ca-cert", file.as_os_str())?.bytes.expose());
    }
    builder.build().map_err(|e| {
        let mut report = ExitReport::from(e);
        let is_of_roots = report.what.starts_with("root_certs_pem");
        if let Some(file) = arguments.path("--ca-cert").filter(|_| is_of_roots) {
            report.what = format!("{}: {}", display_path(file), report.what);
        }
        report
    })
}
