//! The command line's arguments: those of this run, and those of the command that confirms later.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use lexopt::ValueExt as _;
use lexopt::prelude::{Long, Short, Value};

use crate::terminal::QUIET;

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

/// The commands, each with its options; the one without a name is the backup.
const COMMANDS: [(&str, &str); 4] = [
    (
        "",
        "-o --output --store-with --no-confirm --sandbox --base-url --api-key-file --client-api-url --ca-cert \
         --timeout --json -q --quiet",
    ),
    ("confirm", "--api-key-file --client-api-url --ca-cert --timeout --json -q --quiet"),
    ("verify", ""),
    ("sandbox", "--port"),
];

/// The options of every command.
const COMMON: &str = "-h --help -V --version";

fn is_in(options: &str, option: &OsStr) -> bool {
    options.split_whitespace().any(|known| option == known)
}

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
}

impl Command {
    /// Reads the arguments, without the name of the program; the error is a line for the user.
    ///
    /// A value is never quoted in an error: it may be a secret in the wrong place.
    pub(crate) fn parse(mut all: Vec<OsString>) -> Result<Self, String> {
        let find = |value: &OsStr| COMMANDS.into_iter().find(|(name, _)| value == *name && !name.is_empty());
        let (name, options) = all.first().and_then(|first| find(first)).unwrap_or(COMMANDS[0]);
        if !name.is_empty() {
            all.remove(0);
        }
        let after_options = all.iter().position(|argument| argument == "--").unwrap_or(all.len());
        let (count, mut arguments) = (all.len(), lexopt::Parser::from_args(all));
        let (mut values, mut call) = (Vec::new(), Call::default());
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
                    if let (true, "", Some((command, _))) =
                        (count - left <= after_options, name, find(&value))
                    {
                        return Err(format!(
                            "{command} comes first; for a file of that name use ./{command}"
                        ));
                    }
                    values.push(value);
                    continue;
                }
            };
            if !is_in(options, option.as_ref()) && !is_in(COMMON, option.as_ref()) {
                // Names that are not ours may hold anything.
                let is_plain =
                    option.len() < 40 && option.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
                let unknown = || "there is an unknown option".into();
                return Err(if is_plain { format!("{option} is not an option here") } else { unknown() });
            }
            let mut value = || value_of(&option, arguments.value().ok());
            match option.as_str() {
                "-o" | "--output" => output = Some(PathBuf::from(value()?)),
                "--store-with" => store_with = Some(value()?),
                "--no-confirm" => no_confirm = true,
                "--sandbox" => sandbox = true,
                "--port" => port = Some(value()?.parse().map_err(|_| "--port needs a port number")?),
                "--api-key-file" => call.api_key_file = Some(value()?.into()),
                "--base-url" => call.base_url = Some(text(value()?, &option)?),
                "--client-api-url" => call.client_api_url = Some(text(value()?, &option)?),
                "--ca-cert" => call.ca_cert = Some(value()?.into()),
                "--timeout" => call.timeout = Some(seconds(value()?)?),
                "-q" | "--quiet" => QUIET.store(true, Ordering::Relaxed),
                "-h" | "--help" => return Ok(Self::Help),
                "-V" | "--version" => return Ok(Self::Version),
                // `wants_json` has found it.
                _ => {}
            }
        }
        let mut values = values.into_iter();
        let mut value = || values.next();
        let command = match name {
            "" => {
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
            "confirm" => {
                let what = match (value(), value()) {
                    (Some(file), None) if file != "-" => Stored::File(file.into()),
                    (Some(first), Some(second)) => {
                        Stored::Ids([text(first, "an id")?, text(second, "an id")?])
                    }
                    _ => return Err("confirm needs a stored file or two share pair ids".into()),
                };
                Self::Confirm { what, call }
            }
            "sandbox" => Self::Sandbox { port: port.unwrap_or_default() },
            _ => Self::Verify { file: value().ok_or("verify needs a file, or - for stdin")? },
        };
        if value().is_none() { Ok(command) } else { Err("there are too many arguments".into()) }
    }
}

/// What follows an option; another option is no value, it is the value that was forgotten.
fn value_of(option: &str, value: Option<OsString>) -> Result<OsString, String> {
    let value = value.ok_or_else(|| format!("{option} needs a value"))?;
    let is_dash = value == "-" && is_in("-o --output", option.as_ref());
    let is_option = COMMANDS.iter().any(|(_, options)| is_in(options, &value)) || is_in(COMMON, &value);
    if is_dash || is_option || value == "--" {
        let value = value.to_string_lossy();
        return Err(format!("{option} needs a value; for a file called {value} use ./{value}"));
    }
    Ok(value)
}

/// Whether a line of JSON is wanted, also when the other arguments cannot be understood.
pub(crate) fn wants_json(all: &[OsString]) -> bool {
    all.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json")
}

fn text(value: OsString, what: &str) -> Result<String, String> {
    value.into_string().map_err(|_| format!("{what} is not UTF-8"))
}

fn seconds(value: OsString) -> Result<Duration, String> {
    let seconds = text(value, "--timeout")?.parse().ok().map(Duration::try_from_secs_f64);
    seconds.and_then(Result::ok).ok_or_else(|| "--timeout needs a number of seconds".into())
}

impl Call {
    /// The command that confirms later what is in a file, or else what has these ids, as it is pasted into a shell.
    pub(crate) fn confirm_command(&self, ids: [&str; 2], file: Option<&Path>) -> String {
        let mut words = vec!["portal-backup confirm".to_string()];
        let options = [
            ("--api-key-file", self.api_key_file.as_deref().map(Path::as_os_str)),
            ("--client-api-url", self.client_api_url.as_ref().map(OsStr::new)),
            ("--ca-cert", self.ca_cert.as_deref().map(Path::as_os_str)),
        ];
        for (name, value) in options {
            words.extend(value.map(|value| format!("{name} {}", quoted(value))));
        }
        let stored = file.map_or(ids.map(OsStr::new).to_vec(), |file| vec![file.as_os_str()]);
        if stored.iter().any(|word| word.as_encoded_bytes().starts_with(b"-")) {
            words.push("--".into());
        }
        words.extend(stored.into_iter().map(quoted));
        words.join(" ")
    }
}

/// A word for the shell; what a terminal would act on is not printed as it is.
fn quoted(word: &OsStr) -> String {
    let bytes = word.as_encoded_bytes();
    let is_plain =
        |b: &u8| b.is_ascii_alphanumeric() || b"_-./:@%+=".contains(b) || (cfg!(windows) && *b == b'\\');
    match word.to_str() {
        Some(word) if bytes.iter().all(is_plain) && !word.is_empty() => word.into(),
        // No name of a file holds a quote there.
        Some(word) if cfg!(windows) => format!("\"{word}\""),
        Some(word) if bytes.iter().all(|b| matches!(b, b' '..=b'~')) => {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
        // Of bash, zsh, ksh and POSIX.1-2024.
        _ => {
            let escaped = |&b: &u8| match b {
                b'\'' | b'\\' => format!("\\{}", char::from(b)),
                b' '..=b'~' => char::from(b).into(),
                _ => format!("\\{b:03o}"),
            };
            format!("$'{}'", bytes.iter().map(escaped).collect::<String>())
        }
    }
}
