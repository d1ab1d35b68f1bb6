//! How a run ends: its exit code, what a person reads on stderr, and what a program reads on stdout with `--json`.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use portal_backup::{Error, Outcome};
use serde_json::{Map, Value, json};

use crate::arguments::Arguments;
use crate::terminal::{JSON, QUIET, print, say, show_logged};

/// The members of the line of JSON, in the order that is documented.
const MEMBERS: &str = "outcome error call sharePairIds file confirmed status id message retryAfter kept next";

#[derive(Default)]
pub(crate) struct ExitReport {
    pub(crate) code: u8,
    /// With exit code 0, this is what the run was for: the exit code becomes 7 if nobody can read it.
    pub(crate) what: String,
    members: Map<String, Value>,
}

pub(crate) type Result<T = ExitReport, E = ExitReport> = core::result::Result<T, E>;

impl ExitReport {
    pub(crate) fn new(code: u8, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), members: Map::new() }
    }

    /// Of a run that cannot begin: adds that nothing was sent.
    pub(crate) fn nothing_sent(mut self) -> Self {
        if self.code == 2 && !self.what.contains("nothing was sent") {
            self.what += "; nothing was sent";
        }
        if self.code == 2 { self.outcome(Outcome::NotSent) } else { self }
    }

    pub(crate) fn outcome(self, outcome: Outcome) -> Self {
        self.with("outcome", json!(outcome))
    }

    /// Which call was under way.
    pub(crate) fn call(self, name: &str) -> Self {
        self.with("call", json!(name))
    }

    /// The shares are stored, in this file or elsewhere.
    pub(crate) fn stored(self, ids: [&str; 2], file: Option<&Path>, is_confirmed: bool) -> Self {
        let report = self.with("sharePairIds", json!(ids)).with("confirmed", json!(is_confirmed));
        report.file(file)
    }

    pub(crate) fn file(self, file: Option<&Path>) -> Self {
        self.with("file", file.map(path))
    }

    /// Shares or a response are in this file, which is not the one that was asked for.
    pub(crate) fn kept(self, file: Option<&Path>) -> Self {
        self.with("kept", file.map(path))
    }

    /// Adds the command that confirms later what is in a file, or else what has these ids; there is none for what a
    /// stand-in has made.
    pub(crate) fn with_confirm_command(
        mut self,
        arguments: &Arguments,
        ids: [&str; 2],
        file: Option<&Path>,
    ) -> Self {
        let Some((command, note)) = arguments.confirm_command(ids, file) else { return self };
        self.what += &format!(" To confirm:{note}");
        self.with("next", json!(command))
    }

    /// Adds what an error knows.
    pub(crate) fn because(mut self, error: &Error) -> Self {
        if let Value::Object(members) = json!(error) {
            self.members.extend(members);
        }
        self
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Option<Value>>) -> Self {
        self.members.extend(value.into().map(|value| (name.into(), value)));
        self
    }

    /// Tells how the run ends, to whoever listens; returns the exit code.
    pub(crate) fn tell(mut self) -> u8 {
        self.members.remove("error");
        if self.code != 0 {
            self.members.insert("error".into(), json!(self.what));
        }
        let printed = JSON.load(Relaxed).then(|| print(self.json()));
        if let Some(Err(e)) = &printed {
            let _ = say(format_args!("portal-backup: what --json prints cannot be written: {e}"));
        }
        let is_printed = printed.map(|printed| printed.is_ok());
        if self.code == 0 && (self.what.is_empty() || QUIET.load(Relaxed) && is_printed == Some(true)) {
            show_logged();
            return 0;
        }
        let prefix = if self.code == 0 { "" } else { "portal-backup: " };
        let next = self.members.get("next").and_then(Value::as_str);
        let next = next.map(|next| format!("\n  {next}")).unwrap_or_default();
        let is_said = say(format_args!("{prefix}{}{next}", self.what)).is_ok();
        match self.code {
            // Nobody can read what the run was for.
            0 if !is_printed.unwrap_or(is_said) => 7,
            code => code,
        }
    }

    fn json(&self) -> String {
        let member = |name| Some(format!(",\"{name}\":{}", self.members.get(name)?));
        format!("{{\"exit\":{}{}}}", self.code, MEMBERS.split(' ').filter_map(member).collect::<String>())
    }
}

/// A string, or the bytes of a path that is no UTF-8: each path can be told from every other.
fn path(path: &Path) -> Value {
    path.to_str().map_or_else(|| json!(path.as_os_str().as_encoded_bytes()), Value::from)
}

impl<E: Into<Error>> From<E> for ExitReport {
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
