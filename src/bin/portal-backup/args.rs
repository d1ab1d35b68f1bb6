//! The command line's options.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::ValueExt as _;
use lexopt::prelude::{Long, Short, Value};

pub(crate) const HELP: &str = "\
Back up a Portal wallet: make its backup shares, store them, then confirm.

usage: portal-backup [OPTIONS] <GENERATE_RESPONSE | ->   back up, store, confirm
       portal-backup confirm [OPTIONS] <ID> <ID>         say both are stored
       portal-backup verify <FILE>                       is this backup whole?
       portal-backup sandbox [--port N]                  serve a stand-in

  -o, --output FILE      a new file for the shares, readable by you alone
  --store-with COMMAND   or a shell command that reads them from its stdin
  --no-confirm           store only; confirm later
  --api-key-file FILE    the client API key; else $PORTAL_CLIENT_API_KEY
  --base-url URL, --client-api-url URL   other servers than Portal's
  --ca-cert PEM          trust these roots instead of the bundled ones
  --timeout SECONDS      for each of the two calls [120]
  --json                 a summary on stdout
  --sandbox              use a stand-in for Portal, started in this process
  -q, --quiet, -h, --help, -V, --version; HTTPS_PROXY and NO_PROXY are honoured

exit: 0 done, 2 wrong input, 3 not sent, 4 refused, 5 unclear: run again,
      6 not stored, 7 not confirmed

example: portal-backup -o backup.json --api-key-file key.txt generate.json";

/// What is to be done instead of a backup, named by the first argument.
const COMMANDS: [&str; 3] = ["confirm", "verify", "sandbox"];

/// What is to be done.
pub(crate) enum Command {
    Backup { input: OsString, to: Destination, confirm: bool, sandbox: bool, call: Call },
    Confirm { ids: [String; 2], call: Call },
    Verify { file: PathBuf },
    Sandbox { port: u16 },
    Help,
    Version,
}

/// Where the shares go.
pub(crate) enum Destination {
    File(PathBuf),
    Shell(OsString),
}

/// What both calls need.
#[derive(Default)]
pub(crate) struct Call {
    pub(crate) api_key_file: Option<PathBuf>,
    pub(crate) base_url: Option<String>,
    pub(crate) client_api_url: Option<String>,
    pub(crate) ca_cert: Option<PathBuf>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

impl Command {
    /// Reads the arguments; the error is a line for the user.
    pub(crate) fn parse(mut arguments: lexopt::Parser) -> Result<Self, String> {
        let mut name = None;
        let mut values = Vec::new();
        let mut call = Call::default();
        let (mut output, mut store_with, mut port) = (None, None, None);
        let (mut no_confirm, mut sandbox) = (false, false);
        let mut is_first = true;
        // A value is never quoted: it may be a secret in the wrong place.
        while let Some(argument) =
            arguments.next().map_err(|_| "an option has a value that it does not take")?
        {
            let may_be_command = core::mem::take(&mut is_first);
            let option = match argument {
                Short(letter) => format!("-{letter}"),
                Long(long) => format!("--{long}"),
                Value(value) => {
                    match COMMANDS.into_iter().find(|&command| may_be_command && value == command) {
                        Some(command) => name = Some(command),
                        None => values.push(value),
                    }
                    continue;
                }
            };
            let allowed: &[&str] = match name {
                Some("confirm") => &[
                    "--api-key-file",
                    "--client-api-url",
                    "--ca-cert",
                    "--timeout",
                    "--json",
                    "-q",
                    "--quiet",
                ],
                Some("sandbox") => &["--port"],
                _ => &[],
            };
            let is_general = matches!(option.as_str(), "-h" | "--help" | "-V" | "--version");
            let fits = name.map_or(option != "--port", |_| allowed.contains(&option.as_str()));
            if !is_general && !fits {
                return Err(unknown(&option));
            }
            let mut value = || arguments.value().map_err(|_| format!("{option} needs a value"));
            match option.as_str() {
                "-o" | "--output" => output = Some(PathBuf::from(value()?)),
                "--store-with" => store_with = Some(value()?),
                "--no-confirm" => no_confirm = true,
                "--sandbox" => sandbox = true,
                "--port" => port = Some(value()?.parse().map_err(|_| "--port needs a port number")?),
                "--api-key-file" => call.api_key_file = Some(value()?.into()),
                "--base-url" => call.base_url = Some(text(value()?, "--base-url")?),
                "--client-api-url" => call.client_api_url = Some(text(value()?, "--client-api-url")?),
                "--ca-cert" => call.ca_cert = Some(value()?.into()),
                "--timeout" => call.timeout = Some(seconds(value()?)?),
                "--json" => call.json = true,
                "-q" | "--quiet" => call.quiet = true,
                "-h" | "--help" => return Ok(Self::Help),
                "-V" | "--version" => return Ok(Self::Version),
                _ => return Err(unknown(&option)),
            }
        }
        let mut values = values.into_iter();
        let command = match name {
            None => {
                let input = values.next().ok_or("a generate response is needed: a file, or - for stdin")?;
                let to = match (output, store_with) {
                    (Some(file), None) => Destination::File(file),
                    (None, Some(command)) => Destination::Shell(command),
                    _ => return Err("exactly one of --output and --store-with is needed".into()),
                };
                if sandbox && (call.base_url.is_some() || call.client_api_url.is_some()) {
                    return Err("--sandbox cannot be combined with --base-url or --client-api-url".into());
                }
                Self::Backup { input, to, confirm: !no_confirm, sandbox, call }
            }
            Some("confirm") => {
                let mut id = || text(values.next().unwrap_or_default(), "an id");
                let ids = [id()?, id()?];
                if ids.iter().any(String::is_empty) {
                    return Err("confirm needs two share pair ids".into());
                }
                Self::Confirm { ids, call }
            }
            Some("sandbox") => Self::Sandbox { port: port.unwrap_or_default() },
            Some(_) => Self::Verify { file: values.next().ok_or("verify needs a file")?.into() },
        };
        match values.next() {
            None => Ok(command),
            Some(_) => Err("there are too many arguments".into()),
        }
    }
}

fn unknown(option: &str) -> String {
    // Names that are not ours may hold anything.
    let is_plain = option.len() < 40 && option.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if is_plain { format!("{option} is not an option here") } else { "there is an unknown option".into() }
}

fn text(value: OsString, what: &str) -> Result<String, String> {
    value.into_string().map_err(|_| format!("{what} is not UTF-8"))
}

fn seconds(value: OsString) -> Result<Duration, String> {
    let seconds = text(value, "--timeout")?.parse::<f64>().ok();
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "--timeout needs a number of seconds".into())
}
