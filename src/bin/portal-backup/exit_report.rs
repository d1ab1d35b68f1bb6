//! How a run ends: its exit code, what a person reads on stderr, and what a program reads on stdout with `--json`.

use std::fmt::Display;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use portal_backup::{Error, Outcome};
use serde_json::{Value, json};

use crate::terminal::{JSON, QUIET, print_stderr, print_stdout, write_after_log};

/// The members of the line of JSON, in the order that is documented.
const MEMBERS: &str = "outcome error call sharePairIds file confirmed status id message retryAfter kept next";

#[derive(Default)]
pub(crate) struct ExitReport {
    pub(crate) code: u8,
    /// With exit code 0, how to confirm later: the exit code becomes 7 if that cannot be written.
    pub(crate) what: String,
    /// The members of the line of JSON.
    pub(crate) facts: Value,
    /// The command that confirms, after a note of what has to be added to it.
    next: Option<[String; 2]>,
}

pub(crate) type Result<T = ExitReport, E = ExitReport> = core::result::Result<T, E>;

impl ExitReport {
    pub(crate) fn new(code: u8, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), ..Self::default() }
    }

    /// Adds members of the line of JSON; what is null is left out.
    pub(crate) fn with(mut self, facts: Value) -> Self {
        for (name, fact) in facts.as_object().into_iter().flatten().filter(|(_, fact)| !fact.is_null()) {
            self.facts[name] = fact.clone();
        }
        self
    }

    /// Adds the ids of the shares, the file that holds them, and whether they are confirmed.
    pub(crate) fn stored(self, ids: [&str; 2], file: Option<&Path>, is_confirmed: bool) -> Self {
        let file = file.map(Path::to_string_lossy);
        self.with(json!({ "sharePairIds": ids, "file": file, "confirmed": is_confirmed }))
    }

    /// Adds the command that confirms, if there is one, with its note.
    pub(crate) fn next(self, command: Option<[String; 2]>) -> Self {
        let line = json!({ "next": command.as_ref().map(|[_, line]| line) });
        Self { next: command, ..self.with(line) }
    }

    /// Of a run that cannot begin: adds that nothing was sent.
    pub(crate) fn nothing_sent(mut self) -> Self {
        // The library's errors say so themselves.
        if self.code == 2 && self.facts["outcome"].is_null() {
            self.what += "; nothing was sent";
            self.facts["outcome"] = json!(Outcome::NotSent);
        }
        self
    }

    /// Prints how the run ends; returns the exit code.
    pub(crate) fn print(mut self) -> u8 {
        if self.code != 0 {
            self.facts["error"] = json!(self.what);
        }
        let printed = JSON.load(Relaxed).then(|| print_stdout(self.json()));
        if let Some(Err(e)) = &printed {
            let _ = print_stderr(format_args!("portal-backup: what --json prints cannot be written: {e}"));
        }
        let is_printed = printed.map(|printed| printed.is_ok());
        if self.code == 0 && (self.what.is_empty() || QUIET.load(Relaxed) && is_printed == Some(true)) {
            let _ = write_after_log("");
            return 0;
        }
        let prefix = if self.code == 0 { "" } else { "portal-backup: " };
        let next = self.next.map(|[note, line]| format!(" To confirm{note}:\n  {line}")).unwrap_or_default();
        let is_shown = print_stderr(format_args!("{prefix}{}{next}", self.what)).is_ok();
        // Otherwise nobody can read what the run was for.
        if self.code == 0 && !is_printed.unwrap_or(is_shown) { 7 } else { self.code }
    }

    fn json(&self) -> String {
        let fact = |name| Some(format!(",\"{name}\":{}", self.facts.get(name)?));
        format!("{{\"exit\":{}{}}}", self.code, MEMBERS.split(' ').filter_map(fact).collect::<String>())
    }
}

/// For `map_err`: exit code 2, with what failed before the reason.
pub(crate) fn exit_2<E: Display>(what: &str) -> impl FnOnce(E) -> ExitReport {
    move |why| ExitReport::new(2, format!("{what}: {why}"))
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
        Self::new(code, e.to_string()).with(json!(e))
    }
}
