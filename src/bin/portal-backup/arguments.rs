//! The command line's arguments: those of this run, and those of the command that confirms later.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use lexopt::ValueExt as _;
use lexopt::prelude::{Long, Short, Value};

use crate::terminal::{JSON, QUIET, display_path};

/// The environment variable with the client API key.
pub(crate) const API_KEY: &str = "PORTAL_CLIENT_API_KEY";

const VERSION: &str = concat!("portal-backup ", env!("CARGO_PKG_VERSION"));

/// The commands with their help; the one without a name is the backup.
const COMMANDS: [(&str, &str); 4] = [
    ("", include_str!("help/backup.txt")),
    ("confirm", include_str!("help/confirm.txt")),
    ("verify", include_str!("help/verify.txt")),
    ("sandbox", include_str!("help/sandbox.txt")),
];

/// Whether a command takes an option: those that its help lists, in lines that begin with one.
fn takes(help: &str, option: &OsStr) -> bool {
    let lists = |line: &str| line.split([' ', ',', ';']).any(|word| word.starts_with('-') && option == word);
    help.lines().filter(|line| line.starts_with("  -")).any(lists)
}

#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) command: &'static str,
    /// What is to be printed instead of anything else.
    pub(crate) text: Option<&'static str>,
    pub(crate) values: Vec<OsString>,
    pub(crate) output: Option<PathBuf>,
    pub(crate) encrypt_with: Option<OsString>,
    pub(crate) store_with: Option<OsString>,
    pub(crate) resume: bool,
    pub(crate) no_confirm: bool,
    pub(crate) sandbox: bool,
    pub(crate) port: u16,
    pub(crate) api_key_file: Option<PathBuf>,
    pub(crate) base_url: Option<String>,
    pub(crate) client_api_url: Option<String>,
    pub(crate) ca_cert: Option<PathBuf>,
    pub(crate) system_certs: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) verbose: bool,
}

impl Arguments {
    /// Reads the arguments, without the name of the program; the error is a line for the user.
    ///
    /// A value is not quoted in an error: it may be a secret in the wrong place.
    pub(crate) fn parse(mut all: Vec<OsString>) -> Result<Self, String> {
        let first = all.first().cloned().unwrap_or_default();
        let command = COMMANDS[1..].iter().find(|(name, ..)| first == *name);
        all.drain(..usize::from(command.is_some()));
        let &(command, help) = command.unwrap_or(&COMMANDS[0]);
        let space = if command.is_empty() { "" } else { " " };
        let see = |mistake| format!("{mistake}; see portal-backup{space}{command} --help");
        let mut it = Self { command, ..Self::default() };
        let read = it.read(help, all);
        read.and_then(|()| if it.text.is_some() { Ok(()) } else { it.check() }).map_err(see)?;
        Ok(it)
    }

    fn read(&mut self, help: &'static str, mut all: Vec<OsString>) -> Result<(), String> {
        let rest = all.split_off(all.iter().position(|argument| argument == "--").unwrap_or(all.len()));
        // Also when the other arguments cannot be understood.
        JSON.store(all.iter().any(|argument| argument == "--json"), Ordering::Relaxed);
        let mut parser = lexopt::Parser::from_args(all);
        while let Some(argument) = parser.next().map_err(|_| "an option has a value that it does not take")? {
            let option = match argument {
                Short(letter) => format!("-{letter}"),
                Long(long) => format!("--{long}"),
                Value(value) => {
                    if let (Some((name, ..)), "") =
                        (COMMANDS[1..].iter().find(|(name, ..)| value == *name), self.command)
                    {
                        return Err(format!("{name} comes first; for a file of that name use ./{name}"));
                    }
                    self.values.push(value);
                    continue;
                }
            };
            if !takes(help, option.as_ref()) {
                // Names that are not ours may hold anything.
                return Err(match is_word(option.trim_start_matches('-')) {
                    true => option + " is not an option here",
                    false => "there is an unknown option".into(),
                });
            }
            let mut value = || value_of(&option, parser.value().ok().as_ref().or(rest.first()));
            let text = |value: OsString| value.into_string().map_err(|_| format!("{option} is not UTF-8"));
            match option.as_str() {
                "-o" | "--output" => self.output = Some(value()?.into()),
                "--encrypt-with" => self.encrypt_with = Some(value()?),
                "--store-with" => self.store_with = Some(value()?),
                "--resume" => self.resume = true,
                "--no-confirm" => self.no_confirm = true,
                "--sandbox" => self.sandbox = true,
                "--port" => self.port = value()?.parse().map_err(|_| "--port needs a port number")?,
                "--api-key-file" => self.api_key_file = Some(value()?.into()),
                "--base-url" => self.base_url = Some(text(value()?)?),
                "--client-api-url" => self.client_api_url = Some(text(value()?)?),
                "--ca-cert" => self.ca_cert = Some(value()?.into()),
                "--system-certs" => self.system_certs = true,
                "--timeout" => {
                    let seconds = text(value()?)?.parse().ok().map(Duration::try_from_secs_f64);
                    let timeout =
                        seconds.and_then(Result::ok).ok_or("--timeout needs a number of seconds")?;
                    self.timeout = Some(timeout);
                }
                "-v" | "--verbose" => self.verbose = true,
                "-q" | "--quiet" => QUIET.store(true, Ordering::Relaxed),
                "-h" | "--help" => self.text = Some(help),
                "-V" | "--version" => self.text = Some(VERSION),
                // `--json` was found before.
                _ => {}
            }
            if self.text.is_some() {
                return Ok(());
            }
        }
        self.values.extend(rest.into_iter().skip(1));
        Ok(())
    }

    /// Whether the arguments go together.
    fn check(&self) -> Result<(), String> {
        let word = self.values.first().and_then(|value| value.to_str()).unwrap_or_default();
        let is_unknown = is_word(word) && Path::new(word).symlink_metadata().is_err();
        let mistake = match (self.command, &self.values[..]) {
            ("", _) if is_unknown => return Err(format!("{word} is no command and no file")),
            ("", []) => "a generate response is needed: a file, or - for stdin",
            ("", _) if self.encrypt_with.is_some() && self.output.is_none() => {
                "--encrypt-with needs -o FILE for what the command writes"
            }
            ("", _) if self.output.is_some() == self.store_with.is_some() => {
                "exactly one of --output and --store-with is needed"
            }
            _ if self.resume && (self.encrypt_with.is_some() || self.store_with.is_some()) => {
                "--resume needs -o FILE without a command: only shares that can be read can be checked"
            }
            _ if self.sandbox && (self.base_url.is_some() || self.client_api_url.is_some()) => {
                "--sandbox cannot be combined with --base-url or --client-api-url"
            }
            _ if self.ca_cert.is_some() && self.system_certs => {
                "--ca-cert and --system-certs cannot be combined"
            }
            ("verify", []) => "verify needs a file, or - for stdin",
            ("confirm", []) => "confirm needs a stored file or two share pair ids",
            ("confirm", [file]) if file == "-" => "confirm needs a stored file or two share pair ids",
            ("confirm", [_] | [_, _]) | ("" | "verify", [_]) | ("sandbox", []) => return Ok(()),
            _ => "there are too many arguments",
        };
        Err(mistake.into())
    }

    /// The command that confirms later what is in a file, or else what has these ids, as it is pasted into a shell, and
    /// what it has to be given anew. There is none for what a stand-in has made.
    pub(crate) fn confirm_command(&self, ids: [&str; 2], file: Option<&Path>) -> Option<(String, String)> {
        let (mut words, mut note) = (vec!["portal-backup confirm".to_string()], String::new());
        for (name, path) in [("--api-key-file", &self.api_key_file), ("--ca-cert", &self.ca_cert)] {
            match path {
                Some(path) if is_lasting(path) => words.push(format!("{name} {}", quoted(path.as_os_str()))),
                Some(path) => {
                    note += &format!(" ({} will be gone: add {name})", display_path(path));
                }
                None => {}
            }
        }
        let url = self.client_api_url.as_ref();
        words.extend(url.map(|url| format!("--client-api-url {}", quoted(url.as_ref()))));
        words.extend(self.system_certs.then(|| "--system-certs".into()));
        let file = file.filter(|file| is_lasting(file));
        let stored = file.map_or(ids.map(OsStr::new).to_vec(), |file| vec![file.as_os_str()]);
        if stored.iter().any(|word| word.as_encoded_bytes().starts_with(b"-")) {
            words.push("--".into());
        }
        words.extend(stored.into_iter().map(quoted));
        (!self.sandbox).then(|| (words.join(" "), note))
    }
}

/// What may be shown, though nobody knows what it is.
fn is_word(text: &str) -> bool {
    (1..30).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') && text != "-"
}

/// Whether a path leads to the same file once this process has ended, and a shell can name it.
fn is_lasting(path: &Path) -> bool {
    let folder = Path::new(".").join(path).parent().and_then(|folder| folder.canonicalize().ok());
    let is_open_file =
        folder.is_some_and(|folder| folder == Path::new("/dev") || folder.starts_with("/proc"));
    // `$(…)` takes line breaks at the end away.
    path.is_file() && !is_open_file && !path.as_os_str().as_encoded_bytes().ends_with(b"\n")
}

/// What follows an option; another option is no value, it is the value that was forgotten.
fn value_of(option: &str, value: Option<&OsString>) -> Result<OsString, String> {
    let value = value.ok_or_else(|| format!("{option} needs a value"))?;
    if value == "-" && ["-o", "--output"].contains(&option) {
        return Err(format!("{option}: shares are not written to stdout; for a file called - use ./-"));
    }
    if value == "--" || COMMANDS.iter().any(|(_, help)| takes(help, value)) {
        let value = value.to_string_lossy();
        return Err(format!("{option} needs a value; for a file called {value} use ./{value}"));
    }
    Ok(value.clone())
}

/// A word for the shell; what a terminal would act on is not printed as it is.
fn quoted(word: &OsStr) -> String {
    let bytes = word.as_encoded_bytes();
    let is_plain =
        |b: &u8| b.is_ascii_alphanumeric() || b"_-./:@".contains(b) || (cfg!(windows) && *b == b'\\');
    match word.to_str() {
        Some(word) if bytes.iter().all(is_plain) && !word.is_empty() => word.into(),
        // No name of a file holds a quote there.
        Some(word) if cfg!(windows) => format!("\"{word}\""),
        Some(text) if display_path(word.as_ref()) == text => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let octal = |b: &u8| if is_plain(b) { char::from(*b).into() } else { format!("\\{b:03o}") };
            format!("\"$(printf '{}')\"", bytes.iter().map(octal).collect::<String>())
        }
    }
}
