//! The command line's arguments: those of this run, and those of the command that confirms later.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

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

/// An option as a help text lists it, in a line like `  -o, --output FILE   a new file`: its long name, and whether it
/// takes a value.
fn find_option(help: &'static str, option: &OsStr) -> Option<(&'static str, bool)> {
    let lines = help.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| line.starts_with('-'));
    let mut listed = lines.flat_map(|line| line.split("  ").next().unwrap_or(line).split(", "));
    let found = listed.find(|listed| option == listed.split(' ').next().unwrap_or(listed))?;
    let long = if found.starts_with("--") { found } else { listed.next()? };
    Some(long.split_once(' ').map_or((long, false), |(name, _)| (name, true)))
}

#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) command: &'static str,
    /// What is to be printed instead of anything else.
    pub(crate) text: Option<&'static str>,
    pub(crate) values: Vec<OsString>,
    pub(crate) port: u16,
    pub(crate) timeout: Duration,
    /// Each option by its long name, with its value; empty if it takes none.
    options: BTreeMap<&'static str, OsString>,
}

impl Arguments {
    /// Reads the arguments, without the name of the program; the error is a line for the user.
    ///
    /// A value is not quoted in an error: it may be a secret in the wrong place.
    pub(crate) fn parse(mut all: Vec<OsString>) -> Result<Self, String> {
        let command = COMMANDS[1..].iter().find(|(name, _)| all.first().is_some_and(|first| first == name));
        all.drain(..usize::from(command.is_some()));
        let &(command, help) = command.unwrap_or(&COMMANDS[0]);
        let mut it = Self { command, ..Self::default() };
        let program = format!("portal-backup {command}");
        it.read(help, all).map_err(|mistake| format!("{mistake}; see {} --help", program.trim_end()))?;
        Ok(it)
    }

    fn read(&mut self, help: &'static str, all: Vec<OsString>) -> Result<(), String> {
        // Also when the other arguments cannot be understood.
        JSON.store(all.iter().take_while(|word| *word != "--").any(|word| word == "--json"), Ordering::Relaxed);
        let mut parser = lexopt::Parser::from_args(all);
        while let Some(argument) = parser.next().map_err(|_| "an option has a value that it does not take")? {
            let option = match argument {
                Short(letter) => format!("-{letter}"),
                Long(long) => format!("--{long}"),
                Value(value) => {
                    self.values.push(value);
                    continue;
                }
            };
            let (name, takes_value) = find_option(help, option.as_ref())
                .ok_or_else(|| format!("{} is not an option here", display_path(option.as_ref())))?;
            let value = if takes_value { parser.value().ok() } else { Some(OsString::new()) };
            // What begins like an option is one: the value was forgotten.
            let value = value.filter(|value| value == "-" || !value.as_encoded_bytes().starts_with(b"-"));
            let value =
                value.ok_or_else(|| format!("{option} needs a value; one that begins with - is written ./-"))?;
            if name == "--output" && value == "-" {
                return Err("shares are not written to stdout; for a file called - use ./-".into());
            }
            self.options.insert(name, value);
        }
        self.text = if self.has("--version") { Some(VERSION) } else { self.has("--help").then_some(help) };
        QUIET.store(self.has("--quiet"), Ordering::Relaxed);
        if self.text.is_some() { Ok(()) } else { self.check() }
    }

    /// Whether the arguments go together.
    fn check(&mut self) -> Result<(), String> {
        let port = self.value("--port").unwrap_or("0".as_ref()).to_str();
        self.port = port.and_then(|port| port.parse().ok()).ok_or("--port needs a port number")?;
        let seconds = self.value("--timeout").unwrap_or("120".as_ref()).to_str();
        let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.parse().ok()?).ok());
        self.timeout = timeout.ok_or("--timeout needs a number of seconds")?;
        let (encrypts, stores) = (self.has("--encrypt-with"), self.has("--store-with"));
        let mistake = match (self.command, &self.values[..]) {
            ("", []) => "a generate response is needed: a file, or - for stdin",
            ("", [word, ..]) if looks_like_command(word) => {
                return Err(format!("{} is no command and no file; a command comes first", word.to_string_lossy()));
            }
            ("", _) if self.has("--output") == stores || stores && encrypts => {
                "-o FILE or --store-with COMMAND is needed, not both; --encrypt-with needs -o FILE"
            }
            _ if self.has("--resume") && (encrypts || stores) => {
                "--resume needs -o FILE without a command: only shares that can be read can be checked"
            }
            _ if self.has("--sandbox") && self.options.keys().any(|it| it.contains("url")) => "--sandbox takes no URL",
            _ if self.has("--ca-cert") && self.has("--system-certs") => "--ca-cert excludes --system-certs",
            ("verify", []) => "verify needs a file, or - for stdin",
            ("confirm", []) => "confirm needs a stored file or two share pair ids",
            ("confirm", ids @ [_, _]) if ids.iter().any(is_file) => "confirm takes a file, or ids, which are no files",
            ("confirm", [_] | [_, _]) | ("" | "verify", [_]) | ("sandbox", []) => return Ok(()),
            _ => "there are too many arguments",
        };
        Err(mistake.into())
    }

    /// Whether an option is there, by its long name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.options.contains_key(name)
    }

    pub(crate) fn value(&self, name: &str) -> Option<&OsStr> {
        self.options.get(name).map(OsString::as_os_str)
    }

    pub(crate) fn path(&self, name: &str) -> Option<&Path> {
        self.value(name).map(Path::new)
    }

    /// The command that confirms a file later, or else these ids, as it can be pasted into a shell; before it, a note of the
    /// options that have to be added to it. `None` for what a stand-in has made.
    pub(crate) fn confirm_command(&self, ids: [&str; 2], file: Option<&Path>) -> Option<[String; 2]> {
        let (mut words, mut note) = (vec!["portal-backup confirm".to_string()], String::new());
        for name in ["--api-key-file", "--ca-cert", "--client-api-url", "--system-certs"] {
            match self.path(name) {
                Some(flag) if flag.as_os_str().is_empty() => words.push(name.into()),
                Some(value) if name == "--client-api-url" || is_lasting(value) => {
                    words.push(format!("{name} {}", quoted(value.as_os_str())));
                }
                Some(file) => note += &format!(" (add {name}: {} is gone then or unprintable)", display_path(file)),
                None => {}
            }
        }
        // The confirmation cannot read what is encrypted.
        let file = file.filter(|file| is_lasting(file) && !self.has("--encrypt-with"));
        let stored = file.map_or(ids.map(OsStr::new).to_vec(), |file| vec![file.as_os_str()]);
        words.extend(stored.iter().any(|word| word.as_encoded_bytes().starts_with(b"-")).then(|| "--".into()));
        words.extend(stored.into_iter().map(quoted));
        Some([note, words.join(" ")]).filter(|[_, line]| !self.has("--sandbox") && display_path(line.as_ref()) == *line)
    }
}

/// Whether it may be a mistyped command: a short word and no file. No other value is shown, since it may be a secret.
fn looks_like_command(argument: &OsStr) -> bool {
    let bytes = argument.as_encoded_bytes();
    let is_word = bytes.len() < 30 && bytes.iter().all(|b| b.is_ascii_alphabetic() || *b == b'-') && argument != "-";
    is_word && Path::new(argument).symlink_metadata().is_err()
}

/// Whether an argument is a path or JSON, and no share pair id.
fn is_file(argument: &OsString) -> bool {
    argument.as_encoded_bytes().iter().any(|b| b"./\\{".contains(b)) || Path::new(argument).symlink_metadata().is_ok()
}

/// Whether a path leads to the same file once this process has ended, and can be printed as it is.
fn is_lasting(path: &Path) -> bool {
    let folder = Path::new(".").join(path).parent().and_then(|folder| folder.canonicalize().ok()).unwrap_or_default();
    let is_open_file = folder == Path::new("/dev") || folder.starts_with("/proc");
    path.is_file() && !is_open_file && path.to_str() == Some(&display_path(path))
}

/// A word for the shell.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:@".contains(&b) || cfg!(windows) && b == b'\\';
    match word {
        _ if word.bytes().all(is_plain) && !word.is_empty() => word.into(),
        // No name of a file holds a quote there.
        _ if cfg!(windows) => format!("\"{word}\""),
        _ => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
