//! The command line's arguments.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use lexopt::ValueExt as _;
use lexopt::prelude::{Long, Short, Value};

/// The environment variable with the client API key.
pub(crate) const API_KEY: &str = "PORTAL_CLIENT_API_KEY";

pub(crate) const HELP: &str = "\
Back up a Portal wallet: make its backup shares, store them, then confirm.

usage: portal-backup [OPTIONS] <GENERATE_RESPONSE | ->   back up, store, confirm
       portal-backup confirm [OPTIONS] <FILE | ID ID>    confirm what is stored
       portal-backup verify <FILE | ->                   is this backup whole?
       portal-backup sandbox [--port N]                  serve a stand-in

  -o, --output FILE      a new file for the shares (mode 0600; not on Windows)
  --store-with COMMAND   or a shell command that reads them from its stdin; any
                         failure in it counts, except in if, &&, ||, ! and &
  --no-confirm           store only; confirm later
  --api-key-file FILE    the client API key; else $PORTAL_CLIENT_API_KEY
  --base-url URL, --client-api-url URL   other servers than Portal's
  --ca-cert PEM          trust these roots instead of the bundled ones
  --timeout SECONDS      for each of the two calls [120]
  --json                 one line on stdout about how it ended
  --sandbox              use a stand-in for Portal, started in this process
  -q, --quiet, -h, --help, -V, --version; HTTPS_PROXY and NO_PROXY are honoured

exit: 0 done, 2 wrong input, 3 not sent, 4 refused, 5 unclear: run again,
      6 not stored, 7 not confirmed, 128 and more: ended by a signal

example: portal-backup -o backup.json --api-key-file key.txt generate.json";

/// What is to be done instead of a backup, named by the first argument.
const COMMANDS: [&str; 3] = ["confirm", "verify", "sandbox"];

const OPTIONS: [&str; 18] = [
    "-o",
    "--output",
    "--store-with",
    "--no-confirm",
    "--sandbox",
    "--port",
    "--api-key-file",
    "--base-url",
    "--client-api-url",
    "--ca-cert",
    "--timeout",
    "--json",
    "-q",
    "--quiet",
    "-h",
    "--help",
    "-V",
    "--version",
];

/// What is to be done.
pub(crate) enum Command {
    Backup { input: OsString, to: Destination, confirm: bool, sandbox: bool, call: Call },
    Confirm { what: Stored, call: Call },
    Verify { file: OsString },
    Sandbox { port: u16 },
    Help,
    Version,
}

/// Where the shares go.
pub(crate) enum Destination {
    File(PathBuf),
    Shell(OsString),
}

/// What is stored and to be confirmed.
pub(crate) enum Stored {
    File(PathBuf),
    Ids([String; 2]),
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
    /// Reads the arguments, without the name of the program; the error is a line for the user.
    ///
    /// A value is never quoted in an error: it may be a secret in the wrong place.
    pub(crate) fn parse(mut all: Vec<OsString>) -> Result<Self, String> {
        let name = COMMANDS.into_iter().find(|name| all.first().is_some_and(|first| first == name));
        if name.is_some() {
            all.remove(0);
        }
        let after_options = all.iter().position(|argument| argument == "--").unwrap_or(all.len());
        let (count, mut arguments) = (all.len(), lexopt::Parser::from_args(all));
        let mut values = Vec::new();
        let mut call = Call::default();
        let (mut output, mut store_with, mut port) = (None, None, None);
        let (mut no_confirm, mut sandbox) = (false, false);
        while let Some(argument) =
            arguments.next().map_err(|_| "an option has a value that it does not take")?
        {
            let option = match argument {
                Short(letter) => format!("-{letter}"),
                Long(long) => format!("--{long}"),
                Value(value) => {
                    let left = arguments.try_raw_args().map_or(0, |rest| rest.as_slice().len());
                    let is_option_possible = count - left <= after_options;
                    let command = COMMANDS.into_iter().find(|command| value == *command);
                    if let (None, true, Some(command)) = (name, is_option_possible, command) {
                        return Err(format!(
                            "{command} comes first; for a file of that name use ./{command}"
                        ));
                    }
                    values.push(value);
                    continue;
                }
            };
            if !is_allowed(name, &option) {
                return Err(unknown(&option));
            }
            let mut value = || value_of(&option, arguments.value().ok());
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
        let mut value = || values.next();
        let command = match name {
            None => {
                let input = value().ok_or("a generate response is needed: a file, or - for stdin")?;
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
                let what = match (value(), value()) {
                    (Some(file), None) if file != "-" => Stored::File(file.into()),
                    (Some(first), Some(second)) => {
                        Stored::Ids([text(first, "an id")?, text(second, "an id")?])
                    }
                    _ => return Err("confirm needs a stored file or two share pair ids".into()),
                };
                Self::Confirm { what, call }
            }
            Some("sandbox") => Self::Sandbox { port: port.unwrap_or_default() },
            Some(_) => Self::Verify { file: value().ok_or("verify needs a file, or - for stdin")? },
        };
        match value() {
            None => Ok(command),
            Some(_) => Err("there are too many arguments".into()),
        }
    }
}

fn is_allowed(command: Option<&str>, option: &str) -> bool {
    match (command, option) {
        (_, "-h" | "--help" | "-V" | "--version") => true,
        (None, option) => option != "--port",
        (Some("confirm"), "--api-key-file" | "--client-api-url" | "--ca-cert") => true,
        (Some("confirm"), "--timeout" | "--json" | "-q" | "--quiet") => true,
        (Some("sandbox"), option) => option == "--port",
        _ => false,
    }
}

/// What follows an option; another option is no value, it is the value that was forgotten.
fn value_of(option: &str, value: Option<OsString>) -> Result<OsString, String> {
    let value = value.ok_or_else(|| format!("{option} needs a value"))?;
    let known = OPTIONS.into_iter().chain(["-", "--"]).find(|known| value == *known);
    match known {
        Some("-") | None if option != "-o" && option != "--output" => Ok(value),
        None => Ok(value),
        Some(known) => Err(format!("{option} needs a value; for a file called {known} use ./{known}")),
    }
}

/// Whether a line of JSON is wanted, though the arguments could not be understood.
pub(crate) fn wants_json(all: &[OsString]) -> bool {
    all.iter().take_while(|argument| *argument != "--").any(|argument| argument == OsStr::new("--json"))
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
