//! Every answer that is not a success, made into an `MpcErrorResponse`.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use super::scanner::{JsonString, Scanner, SyntaxError};
use crate::outcome::Outcome;
use crate::redact::Redactor;
use crate::secret::SecretString;

/// Longest body that is looked at, in bytes: documented errors have less than a hundred.
pub(crate) const MAX_ERROR_BODY: usize = 64 << 10;
/// Longest id and message that are kept, in characters, without the ellipsis of a longer one.
const MAX_ID: usize = 64;
const MAX_MESSAGE: usize = 300;

/// What the service says when it does not do what was asked.
///
/// Ids are stable upper-case texts such as `BAD_REQUEST`; messages are for people. Both come from the network: they are
/// cut to a bound, control characters are escaped, and whatever repeats the key or a share is replaced by
/// `[redacted]`.
#[derive(Clone)]
pub struct MpcErrorResponse {
    status: u16,
    id: Option<String>,
    message: Option<String>,
    retry_after: Option<u32>,
    /// What a later try ended with.
    then: Option<Box<str>>,
}

impl MpcErrorResponse {
    /// Whether the service can have acted: [`Outcome::Refused`] for 3xx and 4xx, else [`Outcome::Unknown`].
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        if matches!(self.status, 300..=499) { Outcome::Refused } else { Outcome::Unknown }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The service's error id, if it sent one: at most 64 characters, and an ellipsis if it was longer.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The service's message, or the text of a body that is not the documented JSON: at most 300 characters, and an
    /// ellipsis if it was longer.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// How long to wait before the next try, if the service said so in seconds (RFC 9110, section 10.2.3).
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after.map(|seconds| Duration::from_secs(seconds.into()))
    }

    pub(crate) fn read(status: u16, retry_after: Option<&str>, body: &[u8], redactor: &Redactor<'_>) -> Self {
        let retry_after = retry_after.and_then(|value| {
            let value = value.trim_matches([' ', '\t']);
            let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| value.parse().unwrap_or(u32::MAX))
        });
        let mut response = Self { status, id: None, message: None, retry_after, then: None };
        let body = &body[..body.len().min(MAX_ERROR_BODY)];
        if !response.read_json(body, redactor) {
            response.message = printed_lossy(body, redactor);
        }
        response
    }

    /// Reads `{"id","message"}`, or the same under `error`; `code` is the error guide's older name of `id`.
    fn read_json(&mut self, body: &[u8], redactor: &Redactor<'_>) -> bool {
        let Ok(text) = core::str::from_utf8(body) else { return false };
        let mut scanner = Scanner::new(text);
        let mut found = Found::default();
        if found.scan(&mut scanner, true).and_then(|()| scanner.end()).is_err() {
            return false;
        }
        let printed = |string, limit| printed(string?, limit, redactor);
        self.id = printed(found.id, MAX_ID).or_else(|| printed(found.code, MAX_ID));
        self.message = printed(found.message, MAX_MESSAGE);
        // `{}`, as the Client API answers, says nothing; any other object is shown as it is.
        self.id.is_some() || self.message.is_some() || text.trim() == "{}"
    }

    #[cfg(feature = "client")]
    pub(crate) fn then(&mut self, later: &str) {
        self.then = Some(later.into());
    }

    /// The refusal of a redirect, which is never followed, with the host that it points to.
    #[cfg(feature = "client")]
    pub(crate) fn name_redirect(&mut self, host: &str, redactor: &Redactor<'_>) {
        let mut message = String::from("a redirect, not followed, to ");
        redactor.push_printable(host, 100, &mut message);
        self.message = Some(message);
    }
}

/// The members of an error that say something.
#[derive(Default)]
struct Found<'t> {
    id: Option<JsonString<'t>>,
    code: Option<JsonString<'t>>,
    message: Option<JsonString<'t>>,
}

impl<'t> Found<'t> {
    fn scan(&mut self, scanner: &mut Scanner<'t>, outermost: bool) -> Result<(), SyntaxError> {
        scanner.object(|scanner, name| {
            let nested = outermost && name.is("error");
            let member = match () {
                () if name.is("id") => &mut self.id,
                () if name.is("code") => &mut self.code,
                // `"error": "text"` is common elsewhere, and better than nothing.
                () if name.is("message") || (nested && scanner.at_string()) => &mut self.message,
                () if nested && scanner.at_object() => return self.scan(scanner, false),
                () => return scanner.skip_value(),
            };
            if scanner.at_string() {
                *member = Some(scanner.string()?);
                Ok(())
            } else {
                scanner.skip_value()
            }
        })
    }
}

/// A JSON string made fit to show; `None` when it shows nothing.
fn printed(string: JsonString<'_>, limit: usize, redactor: &Redactor<'_>) -> Option<String> {
    let text = string.unescape()?;
    let mut out = String::new();
    redactor.push_printable(text.expose(), limit, &mut out);
    Some(out).filter(|out| !out.is_empty())
}

/// Any bytes made fit to show; those that are not UTF-8 become `?`.
fn printed_lossy(body: &[u8], redactor: &Redactor<'_>) -> Option<String> {
    let room = body.len().min(MAX_MESSAGE * 8);
    let mut text = SecretString::with_capacity(room);
    for chunk in body[..room].utf8_chunks() {
        text.push_within_capacity(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push_within_capacity("?");
        }
    }
    let mut out = String::new();
    redactor.push_printable(text.expose(), MAX_MESSAGE, &mut out);
    Some(out).filter(|out| !out.is_empty())
}

impl fmt::Debug for MpcErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for MpcErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)?;
        if let Some(id) = &self.id {
            write!(f, ", {id}")?;
        }
        if let Some(message) = &self.message {
            write!(f, ", {message}")?;
        }
        if let Some(seconds) = self.retry_after {
            write!(f, ", retry after {seconds} s")?;
        }
        if let Some(then) = &self.then {
            write!(f, "; then: {then}")?;
        }
        Ok(())
    }
}
