//! How a run ends: its exit code, what a person reads on stderr, and what a program reads on stdout with `--json`.

use std::path::Path;
use std::sync::atomic::Ordering;

use portal_backup::{Error, Outcome};
use serde_json::{Map, Value, json};

use crate::terminal::{JSON, QUIET, finish, print, say};

/// The facts of the line of JSON, in the order that is documented.
const FACTS: [&str; 9] =
    ["outcome", "sharePairIds", "file", "confirmed", "status", "id", "message", "retryAfter", "kept"];

#[derive(Default)]
pub(crate) struct Ending {
    pub(crate) code: u8,
    /// With exit code 0, this is what the run was for: the exit code becomes 7 if nobody can read it.
    pub(crate) what: String,
    facts: Map<String, Value>,
}

pub(crate) type Result<T = Ending, E = Ending> = core::result::Result<T, E>;

impl Ending {
    pub(crate) fn new(code: u8, what: impl Into<String>) -> Self {
        let ending = Self { code, what: what.into(), ..Self::default() };
        if code == 2 { ending.outcome(Outcome::NotSent) } else { ending }
    }

    pub(crate) fn outcome(self, outcome: Outcome) -> Self {
        self.with("outcome", json!(outcome))
    }

    /// The shares are stored, in this file or elsewhere.
    pub(crate) fn stored(self, ids: [&str; 2], file: Option<&Path>, is_confirmed: bool) -> Self {
        let ending = self.with("sharePairIds", json!(ids)).with("confirmed", json!(is_confirmed));
        ending.with("file", file.map(path))
    }

    /// Shares or an answer are in this file, which is not the one that was asked for.
    pub(crate) fn kept(self, file: Option<&Path>) -> Self {
        self.with("kept", file.map(path))
    }

    /// Adds the facts that an error knows.
    pub(crate) fn because(mut self, error: &Error) -> Self {
        match error {
            Error::Refused(response) | Error::Failed(response) => {
                if let Value::Object(facts) = json!(response) {
                    self.facts.extend(facts);
                }
            }
            Error::Unreadable(unreadable) => self = self.with("status", json!(unreadable.status())),
            _ => {}
        }
        self.outcome(error.outcome())
    }

    fn with(mut self, name: &str, value: impl Into<Option<Value>>) -> Self {
        self.facts.extend(value.into().map(|value| (name.into(), value)));
        self
    }

    /// Tells how the run ends, to whoever listens; returns the exit code.
    pub(crate) fn tell(self) -> u8 {
        let printed = JSON.load(Ordering::Relaxed).then(|| print(self.json()));
        if let Some(Err(e)) = &printed {
            say(format_args!("portal-backup: what --json prints cannot be written: {e}"));
        }
        let is_printed = printed.map(|printed| printed.is_ok());
        let is_result = self.code == 0 && !self.what.is_empty();
        if self.code != 0 {
            say(format_args!("portal-backup: {}", self.what));
        } else if is_result && !(QUIET.load(Ordering::Relaxed) && is_printed == Some(true)) {
            say(format_args!("{}", self.what));
        }
        let is_said = finish();
        if is_result && !is_printed.unwrap_or(is_said) { 7 } else { self.code }
    }

    fn json(&self) -> String {
        let fact = |name| Some(format!(",\"{name}\":{}", self.facts.get(name)?));
        format!("{{\"exit\":{}{}}}", self.code, FACTS.into_iter().filter_map(fact).collect::<String>())
    }
}

/// A string, or the bytes of a path that is no UTF-8: each path can be told from every other.
fn path(path: &Path) -> Value {
    path.to_str().map_or_else(|| json!(path.as_os_str().as_encoded_bytes()), Value::from)
}

impl<E: Into<Error>> From<E> for Ending {
    fn from(e: E) -> Self {
        let e = e.into();
        let code = match (&e, e.outcome()) {
            (Error::InvalidInput(_) | Error::Store(_), _) => 2,
            (_, Outcome::NotSent) => 3,
            (_, Outcome::Refused) => 4,
            (_, Outcome::Unknown) => 5,
        };
        Self::new(code, e.to_string()).because(&e)
    }
}
