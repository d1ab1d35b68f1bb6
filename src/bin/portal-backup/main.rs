//! The command line: back up, store, confirm, and say what happened.

#![forbid(unsafe_code)]

mod args;
mod destination;
mod shell;
mod terminal;

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use args::{Call, Command, Destination};
use destination::{Place, keep};
use portal_backup::{
    ApiKey, BackupShares, Client, Error, GenerateResponse, InvalidInput, Outcome, Sandbox, SecretBytes,
    StoreError, StoredShares, wire,
};
use terminal::{Ticker, say};

/// Wipes what ureq, rustls and the standard library free without wiping it.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// The environment variable with the client API key.
const API_KEY: &str = "PORTAL_CLIENT_API_KEY";

/// How a run ends that did not do what was asked: an exit code, and what to tell.
struct Failed {
    code: u8,
    what: String,
}

impl Failed {
    fn new(code: u8, what: impl Into<String>) -> Self {
        Self { code, what: what.into() }
    }
}

impl From<Error> for Failed {
    fn from(e: Error) -> Self {
        let code = match (&e, e.outcome()) {
            (Error::InvalidInput(_) | Error::Store(_), _) => 2,
            (_, Outcome::NotSent) => 3,
            (_, Outcome::Refused) => 4,
            (_, Outcome::Unknown) => 5,
        };
        Self::new(code, e.to_string())
    }
}

impl From<InvalidInput> for Failed {
    fn from(e: InvalidInput) -> Self {
        Error::from(e).into()
    }
}

impl From<StoreError> for Failed {
    fn from(e: StoreError) -> Self {
        Error::from(e).into()
    }
}

fn main() -> ExitCode {
    let done = match Command::parse(lexopt::Parser::from_env()) {
        Err(what) => Err(Failed::new(2, format!("{what}; see portal-backup --help"))),
        Ok(Command::Help) => print(args::HELP),
        Ok(Command::Version) => print(concat!("portal-backup ", env!("CARGO_PKG_VERSION"))),
        Ok(Command::Sandbox { port }) => serve_sandbox(port),
        Ok(Command::Verify { file }) => verify(&file),
        Ok(Command::Confirm { ids, call }) => confirm(&ids, &call),
        Ok(Command::Backup { input, to, confirm, sandbox, call }) => {
            back_up(&input, &to, confirm, sandbox, &call)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed { code, what }) => {
            terminal::complain(&format!("portal-backup: {what}"));
            ExitCode::from(code)
        }
    }
}

fn back_up(
    input: &OsStr,
    to: &Destination,
    wants_confirm: bool,
    in_sandbox: bool,
    call: &Call,
) -> Result<(), Failed> {
    let text = read_input(input)?;
    let sandbox = if in_sandbox { Some(start_sandbox(0)?) } else { None };
    let client = client(call, sandbox.as_ref())?;
    let stored = make_and_store(text, to, &client, in_sandbox, call)?;

    let confirmed = wants_confirm.then(|| call_confirm(&client, &stored, call));
    match confirmed {
        Some(_) => {}
        None if in_sandbox => call.tell(format_args!("unconfirmed and the stand-in ends here")),
        None => call.tell(format_args!("unconfirmed until you run\n  {}", later(&stored, call))),
    }
    let file = match to {
        Destination::File(path) => Some(path.as_path()),
        Destination::Shell(_) => None,
    };
    call.summarize(&stored, file, matches!(confirmed, Some(Ok(()))));
    match confirmed {
        Some(Err(e)) => {
            let later = later(&stored, call);
            Err(Failed::new(
                7,
                format!("{e}\nThe shares are stored, but not confirmed. Do that with\n  {later}"),
            ))
        }
        _ => Ok(()),
    }
}

/// All that sees a share, so that none is left when the confirmation waits for its answer.
fn make_and_store(
    text: SecretBytes,
    to: &Destination,
    client: &Client,
    in_sandbox: bool,
    call: &Call,
) -> Result<StoredShares, Failed> {
    let text = core::str::from_utf8(text.expose())
        .map_err(|_| Failed::new(2, "generate response: it is not UTF-8; nothing was sent"))?;
    let generate = GenerateResponse::parse(text)?;
    let place = Place::make_sure_of(to).map_err(|mut failed| {
        if !in_sandbox {
            failed.what += &advice_on_backup_that_is_there(to, text, call).unwrap_or_default();
        }
        failed
    })?;

    let started = Instant::now();
    let shares = {
        let _ticker = Ticker::start("backing up", call.quiet);
        client.backup(&generate)
    };
    let seconds = started.elapsed().as_secs_f64();
    let shares = match shares {
        Ok(shares) => shares,
        Err(Error::Unreadable(unreadable)) => {
            return Err(Failed::new(5, format!("{unreadable}\n{}", keep(&unreadable, to))));
        }
        Err(e) => return Err(e.into()),
    };
    // Nothing is said before the shares are stored: a terminal or a pipe may take nothing for ever.
    let stored = place.store(&shares);
    let [first, second] = shares.share_pair_ids().map(str::escape_debug);
    let kilobytes = shares.expose_json().len() as f64 / 1000.0;
    call.tell(format_args!("backed up   {first} and {second}"));
    call.tell(format_args!("            {kilobytes:.1} KB in {seconds:.1} s"));
    let stored = stored.map_err(|why| {
        let advice = "The shares were made, not stored, not confirmed. Fix that, and run again.";
        Failed::new(6, format!("{why}\n{advice}"))
    })?;
    match to {
        Destination::File(path) => call.tell(format_args!("stored      {}", shown(path))),
        Destination::Shell(_) => call.tell(format_args!("stored      by the command, which exited with 0")),
    }
    Ok(stored)
}

/// What to do when the output exists and is a backup: most likely that of a run that ended before it could confirm.
///
/// A generate response has the same form; at least that which was to be backed up is not taken for one.
fn advice_on_backup_that_is_there(to: &Destination, generate: &str, call: &Call) -> Option<String> {
    let Destination::File(path) = to else { return None };
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let text = read_bounded(File::open(path).ok()?, wire::backup::MAX_GENERATE_RESPONSE).ok()?;
    if text.expose() == generate.as_bytes() {
        return None;
    }
    let shares = BackupShares::parse(text.into_vec()).ok()?;
    let later = later(&StoredShares::from_share_pair_ids(shares.share_pair_ids()).ok()?, call);
    Some(format!("\nIt holds a backup. If that is not confirmed yet, do it with\n  {later}"))
}

/// A path as it may be shown.
fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}

fn confirm(ids: &[String; 2], call: &Call) -> Result<(), Failed> {
    let client = client(call, None)?;
    let stored = StoredShares::from_share_pair_ids(ids.each_ref().map(String::as_str))?;
    call_confirm(&client, &stored, call)?;
    call.summarize(&stored, None, true);
    Ok(())
}

fn call_confirm(client: &Client, stored: &StoredShares, call: &Call) -> Result<(), Error> {
    {
        let _ticker = Ticker::start("confirming", call.quiet);
        client.confirm(stored)?;
    }
    call.tell(format_args!("confirmed   the wallet can be recovered from these shares"));
    Ok(())
}

/// The command that confirms these shares later, to be pasted into a shell.
fn later(stored: &StoredShares, call: &Call) -> String {
    let mut words = vec!["portal-backup confirm".to_string()];
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| quoted(path.as_os_str()));
    let options = [
        ("--api-key-file", path(&call.api_key_file)),
        ("--client-api-url", call.client_api_url.as_ref().map(quoted)),
        ("--ca-cert", path(&call.ca_cert)),
    ];
    for (name, value) in options {
        words.extend(value.map(|value| format!("{name} {value}")));
    }
    let ids = stored.share_pair_ids();
    if ids.iter().any(|id| id.starts_with('-')) {
        words.push("--".into());
    }
    words.extend(ids.map(quoted));
    words.join(" ")
}

/// A word for the shell; what a terminal would act on is not printed as it is.
fn quoted(word: impl AsRef<OsStr>) -> String {
    let bytes = word.as_ref().as_encoded_bytes();
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-./:@%+=".contains(b);
    match core::str::from_utf8(bytes) {
        Ok(word) if bytes.iter().all(is_plain) && !word.is_empty() => word.into(),
        Ok(word) if bytes.iter().all(|&b| b == b' ' || b.is_ascii_graphic()) => {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
        _ => {
            // Of bash, zsh, ksh and POSIX.1-2024.
            let escaped = |&b: &u8| match b {
                b'\'' | b'\\' => format!("\\{}", char::from(b)),
                b' '..=b'~' => char::from(b).into(),
                _ => format!("\\{b:03o}"),
            };
            format!("$'{}'", bytes.iter().map(escaped).collect::<String>())
        }
    }
}

fn verify(file: &Path) -> Result<(), Failed> {
    let name = shown(file);
    let damaged = |what: String| Failed::new(2, format!("{name}: {what}"));
    let text = File::open(file)
        .and_then(|file| read_bounded(file, wire::backup::MAX_GENERATE_RESPONSE))
        .map_err(|e| damaged(e.to_string()))?;
    let shares = BackupShares::parse(text.into_vec()).map_err(|e| damaged(e.to_string()))?;
    for (curve, share) in [("SECP256K1", shares.secp256k1()), ("ED25519", shares.ed25519())] {
        let form = if share.decode().is_ok() { "base64" } else { "text" };
        let (id, len) = (share.id().escape_debug(), share.expose_share().len());
        say(format_args!("{curve:<11} {id}, {len} characters of {form}"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = file.metadata().map(|meta| meta.permissions().mode()).unwrap_or_default();
        if mode & 0o077 != 0 {
            say(format_args!("warning     others can read this file: chmod 600"));
        }
    }
    say(format_args!("whole       both shares are there"));
    Ok(())
}

fn serve_sandbox(port: u16) -> Result<(), Failed> {
    let sandbox = start_sandbox(port)?;
    say(format_args!("A stand-in for both of Portal's services, until it is ended with Ctrl-C."));
    print(&format!("PORTAL_SANDBOX_URL={}\nPORTAL_CLIENT_API_KEY={}", sandbox.url(), sandbox.api_key()))?;
    loop {
        thread::park();
    }
}

fn start_sandbox(port: u16) -> Result<Sandbox, Failed> {
    Sandbox::start_on(port).map_err(|e| Failed::new(2, format!("the sandbox cannot be started: {e}")))
}

fn client(call: &Call, sandbox: Option<&Sandbox>) -> Result<Client, Failed> {
    let key = match (sandbox, &call.api_key_file) {
        (Some(sandbox), _) => ApiKey::new(sandbox.api_key())?,
        (None, Some(file)) => read_key(file)?,
        (None, None) => ApiKey::from_env(API_KEY)?,
    };
    // One call to each host: a connection that is kept keeps the last bytes that TLS decrypted.
    let mut builder = Client::builder(key).proxy_from_env(true).keep_alive(Duration::ZERO);
    let own = |url: &Option<String>| sandbox.map(|s| s.url().to_string()).or_else(|| url.clone());
    if let Some(url) = own(&call.base_url) {
        builder = builder.base_url(url);
    }
    if let Some(url) = own(&call.client_api_url) {
        builder = builder.client_api_url(url);
    }
    if let Some(file) = &call.ca_cert {
        let pem = File::open(file)
            .and_then(|file| read_bounded(file, 4 << 20))
            .map_err(|e| Failed::new(2, format!("--ca-cert: {e}; nothing was sent")))?;
        builder = builder.root_certs_pem(pem.expose());
    }
    if let Some(timeout) = call.timeout {
        builder = builder.timeout(timeout);
    }
    Ok(builder.build()?)
}

fn read_key(file: &Path) -> Result<ApiKey, Failed> {
    let text = File::open(file)
        .and_then(|file| read_bounded(file, 8 << 10))
        .map_err(|e| Failed::new(2, format!("--api-key-file: {e}; nothing was sent")))?;
    let line = text.expose().strip_suffix(b"\n").unwrap_or(text.expose());
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let key = core::str::from_utf8(line)
        .map_err(|_| Failed::new(2, "--api-key-file: it is not UTF-8; nothing was sent"))?;
    Ok(ApiKey::new(key)?)
}

fn read_input(input: &OsStr) -> Result<SecretBytes, Failed> {
    let limit = wire::backup::MAX_GENERATE_RESPONSE;
    let read = if input == "-" {
        read_bounded(io::stdin().lock(), limit)
    } else {
        File::open(input).and_then(|file| read_bounded(file, limit))
    };
    read.map_err(|e| Failed::new(2, format!("generate response: {e}; nothing was sent")))
}

/// Reads all there is into a buffer that is wiped.
fn read_bounded(mut from: impl Read, limit: usize) -> io::Result<SecretBytes> {
    // Never grown, which would leave copies behind.
    let mut room = vec![0; limit + 1];
    let mut len = 0;
    while len <= limit {
        match from.read(&mut room[len..]) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                drop(SecretBytes::new(room));
                return Err(e);
            }
        }
    }
    room.truncate(len);
    let text = SecretBytes::new(room);
    if len > limit {
        return Err(io::Error::other(format!("it is longer than {} KiB", limit >> 10)));
    }
    Ok(text)
}

impl Call {
    fn tell(&self, line: fmt::Arguments<'_>) {
        if !self.quiet {
            say(line);
        }
    }

    fn summarize(&self, stored: &StoredShares, file: Option<&Path>, is_confirmed: bool) {
        if self.json {
            let ids = stored.share_pair_ids();
            let file = file.map(Path::to_string_lossy);
            let summary = serde_json::json!({ "sharePairIds": ids, "file": file, "confirmed": is_confirmed });
            // What was asked for is done by now, whether or not somebody reads about it.
            let _ = print(&summary.to_string());
        }
    }
}

fn print(text: &str) -> Result<(), Failed> {
    let mut out = io::stdout();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|e| Failed::new(2, format!("stdout: {e}")))
}
