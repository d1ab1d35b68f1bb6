//! The command line's arguments: those of this run, and those of the command that confirms later.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use lexopt::ValueExt as _;
use lexopt::prelude::{Long, Short, Value};

use crate::terminal::{JSON, QUIET};

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

/// The commands, each with the options that it takes; the one without a name is the backup.
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

#[derive(Default)]
pub(crate) struct Arguments {
    /// `--help` and `--version` count as well.
    pub(crate) command: &'static str,
    pub(crate) values: Vec<OsString>,
    pub(crate) output: Option<PathBuf>,
    pub(crate) store_with: Option<OsString>,
    pub(crate) no_confirm: bool,
    pub(crate) sandbox: bool,
    pub(crate) port: u16,
    pub(crate) api_key_file: Option<PathBuf>,
    pub(crate) base_url: Option<String>,
    pub(crate) client_api_url: Option<String>,
    pub(crate) ca_cert: Option<PathBuf>,
    pub(crate) timeout: Option<Duration>,
}

impl Arguments {
    /// Reads the arguments, without the name of the program; the error is a line for the user.
    ///
    /// A value is never quoted in an error: it may be a secret in the wrong place.
    pub(crate) fn parse(mut all: Vec<OsString>) -> Result<Self, String> {
        let find = |value: &OsStr| COMMANDS[1..].iter().copied().find(|(name, _)| value == *name);
        let command = all.first().and_then(|first| find(first));
        all.drain(..usize::from(command.is_some()));
        let (command, options) = command.unwrap_or(COMMANDS[0]);
        let rest = all.split_off(all.iter().position(|argument| argument == "--").unwrap_or(all.len()));
        // Also when the other arguments cannot be understood.
        JSON.store(all.iter().any(|argument| argument == "--json"), Ordering::Relaxed);
        let mut parser = lexopt::Parser::from_args(all);
        let mut it = Self { command, ..Self::default() };
        while let Some(argument) = parser.next().map_err(|_| "an option has a value that it does not take")? {
            let option = match argument {
                Short(letter) => format!("-{letter}"),
                Long(long) => format!("--{long}"),
                Value(value) => {
                    if let (Some((name, _)), "") = (find(&value), command) {
                        return Err(format!("{name} comes first; for a file of that name use ./{name}"));
                    }
                    it.values.push(value);
                    continue;
                }
            };
            if !is_in(options, option.as_ref()) && !is_in(COMMON, option.as_ref()) {
                // Names that are not ours may hold anything.
                let is_word =
                    option.len() < 40 && option.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
                return Err(if is_word {
                    option + " is not an option here"
                } else {
                    "there is an unknown option".into()
                });
            }
            let mut value = || value_of(&option, parser.value().ok().as_ref().or(rest.first()));
            let text = |value: OsString| value.into_string().map_err(|_| format!("{option} is not UTF-8"));
            match option.as_str() {
                "-o" | "--output" => it.output = Some(value()?.into()),
                "--store-with" => it.store_with = Some(value()?),
                "--no-confirm" => it.no_confirm = true,
                "--sandbox" => it.sandbox = true,
                "--port" => it.port = value()?.parse().map_err(|_| "--port needs a port number")?,
                "--api-key-file" => it.api_key_file = Some(value()?.into()),
                "--base-url" => it.base_url = Some(text(value()?)?),
                "--client-api-url" => it.client_api_url = Some(text(value()?)?),
                "--ca-cert" => it.ca_cert = Some(value()?.into()),
                "--timeout" => {
                    let seconds = text(value()?)?.parse().ok().map(Duration::try_from_secs_f64);
                    let timeout =
                        seconds.and_then(Result::ok).ok_or("--timeout needs a number of seconds")?;
                    it.timeout = Some(timeout);
                }
                "-q" | "--quiet" => QUIET.store(true, Ordering::Relaxed),
                "-h" | "--help" => return Ok(Self { command: "--help", ..it }),
                "-V" | "--version" => return Ok(Self { command: "--version", ..it }),
                // `--json` was found before.
                _ => {}
            }
        }
        it.values.extend(rest.into_iter().skip(1));
        let mistake = match (command, &it.values[..]) {
            ("", []) => "a generate response is needed: a file, or - for stdin",
            ("", _) if it.output.is_some() == it.store_with.is_some() => {
                "exactly one of --output and --store-with is needed"
            }
            _ if it.sandbox && (it.base_url.is_some() || it.client_api_url.is_some()) => {
                "--sandbox cannot be combined with --base-url or --client-api-url"
            }
            ("verify", []) => "verify needs a file, or - for stdin",
            ("confirm", []) => "confirm needs a stored file or two share pair ids",
            ("confirm", [file]) if file == "-" => "confirm needs a stored file or two share pair ids",
            _ => return Ok(it),
        };
        Err(mistake.into())
    }

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

/// What follows an option; another option is no value, it is the value that was forgotten.
fn value_of(option: &str, value: Option<&OsString>) -> Result<OsString, String> {
    let value = value.ok_or_else(|| format!("{option} needs a value"))?;
    let is_dash = value == "-" && is_in("-o --output", option.as_ref());
    let is_option = COMMANDS.iter().any(|(_, options)| is_in(options, value)) || is_in(COMMON, value);
    if is_dash || is_option || value == "--" {
        let value = value.to_string_lossy();
        return Err(format!("{option} needs a value; for a file called {value} use ./{value}"));
    }
    Ok(value.clone())
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
