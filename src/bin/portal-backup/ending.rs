//! How a run ends: its exit code, what a person reads on stderr, and what a program reads on stdout with `--json`.

use std::path::{Path, PathBuf};

use portal_backup::{Error, InvalidInput, MpcErrorResponse, Outcome, StoreError, StoredShares};
use serde_json::{Value, json};

use crate::terminal::{complain, finish, print_impatiently, say};

/// Each field is known or not, and told only if it is.
#[derive(Default)]
pub(crate) struct Ending {
    pub(crate) code: u8,
    pub(crate) what: String,
    /// What the run was for, so that nothing else counts as done unless somebody can read it.
    pub(crate) result: Option<String>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) share_pair_ids: Option<[String; 2]>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) is_confirmed: Option<bool>,
    pub(crate) status: Option<u16>,
    pub(crate) id: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) retry_after: Option<u64>,
    pub(crate) kept: Option<PathBuf>,
}

pub(crate) type Result<T = Ending> = core::result::Result<T, Box<Ending>>;

impl Ending {
    pub(crate) fn new(code: u8, what: impl Into<String>) -> Box<Self> {
        let outcome = (code == 2).then_some(Outcome::NotSent);
        Box::new(Self { code, what: what.into(), outcome, ..Self::default() })
    }

    /// The shares are stored, in this file or elsewhere.
    pub(crate) fn stored(stored: &StoredShares, file: Option<&Path>, is_confirmed: bool) -> Self {
        Self {
            share_pair_ids: Some(stored.share_pair_ids().map(String::from)),
            file: file.map(Path::to_path_buf),
            is_confirmed: Some(is_confirmed),
            ..Self::default()
        }
    }

    /// Adds what an error knows, and leaves the exit code and the text as they are.
    pub(crate) fn because(mut self, error: &Error) -> Self {
        self.outcome = Some(error.outcome());
        match error {
            Error::Refused(response) | Error::Failed(response) => self.answered(response),
            Error::Unreadable(unreadable) => self.status = Some(unreadable.status()),
            _ => {}
        }
        self
    }

    fn answered(&mut self, response: &MpcErrorResponse) {
        self.status = Some(response.status());
        self.id = response.id().map(String::from);
        self.message = response.message().map(String::from);
        self.retry_after = response.retry_after().map(|wait| wait.as_secs());
    }

    /// Tells how the run ends, to whoever listens; returns the exit code.
    pub(crate) fn tell(mut self, json: bool, quiet: bool) -> u8 {
        if !self.what.is_empty() {
            complain(&format!("portal-backup: {}", self.what));
        }
        let printed = json.then(|| print_impatiently(self.json()));
        if let Some(Err(e)) = &printed {
            say(format_args!("portal-backup: what --json prints cannot be written: {e}"));
        }
        let is_printed = printed.map(|printed| printed.is_ok());
        if let Some(result) = self.result.take() {
            if !quiet || is_printed != Some(true) {
                complain(&result);
            }
            let is_said = finish();
            return if is_printed.unwrap_or(is_said) { self.code } else { 7 };
        }
        finish();
        self.code
    }

    /// One line, in the order that is documented.
    fn json(&self) -> String {
        let mut line = format!("{{\"exit\":{}", self.code);
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                line += &format!(",\"{name}\":{value}");
            }
        };
        add("outcome", self.outcome.map(|outcome| json!(outcome)));
        add("sharePairIds", self.share_pair_ids.as_ref().map(|ids| json!(ids)));
        add("file", self.file.as_deref().map(path));
        add("confirmed", self.is_confirmed.map(Value::from));
        add("status", self.status.map(Value::from));
        add("id", self.id.clone().map(Value::from));
        add("message", self.message.clone().map(Value::from));
        add("retryAfter", self.retry_after.map(Value::from));
        add("kept", self.kept.as_deref().map(path));
        line + "}"
    }
}

/// A string, or the bytes of a path that is no UTF-8: each path can be told from every other.
fn path(path: &Path) -> Value {
    path.to_str().map_or_else(|| json!(path.as_os_str().as_encoded_bytes()), Value::from)
}

impl From<Error> for Box<Ending> {
    fn from(e: Error) -> Self {
        let code = match (&e, e.outcome()) {
            (Error::InvalidInput(_) | Error::Store(_), _) => 2,
            (_, Outcome::NotSent) => 3,
            (_, Outcome::Refused) => 4,
            (_, Outcome::Unknown) => 5,
        };
        Self::new(Ending { code, what: e.to_string(), ..Ending::default() }.because(&e))
    }
}

impl From<InvalidInput> for Box<Ending> {
    fn from(e: InvalidInput) -> Self {
        Error::from(e).into()
    }
}

impl From<StoreError> for Box<Ending> {
    fn from(e: StoreError) -> Self {
        Error::from(e).into()
    }
}
