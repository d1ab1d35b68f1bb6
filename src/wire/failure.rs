//! What comes back instead of a success that can be read.

use alloc::{format, string::String, vec::Vec};
use core::fmt;
use core::time::Duration;

use super::error_body::ErrorBody;
use super::retry_after;
use crate::outcome::{Call, Outcome, error_is_display};
use crate::redact::Redactor;
use crate::secret::SecretBytes;

/// A response without the documented result; becomes the [`Error`](crate::Error) variant of the same name.
#[non_exhaustive]
pub enum Failure {
    /// Status 3xx or 4xx, except 408: the service did not act.
    Refused(MpcErrorResponse),
    /// Status 5xx, 408 (frameworks send it also when their own handler took too long), or no HTTP status: the service
    /// may have acted.
    Failed(MpcErrorResponse),
    /// A 2xx whose body is not the documented one, with that body; the service acted.
    Unreadable(Unreadable),
}

impl Failure {
    /// Whether the service can have acted.
    pub const fn outcome(&self) -> Outcome {
        if matches!(self, Self::Refused(_)) { Outcome::Refused } else { Outcome::Unknown }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(e) | Self::Failed(e) => e.fmt(f),
            Self::Unreadable(e) => e.fmt(f),
        }
    }
}

error_is_display!(Failure);

/// A response as it came.
pub(crate) struct RawResponse<'a> {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<&'a str>,
    pub(crate) body: SecretBytes,
    pub(crate) redactor: &'a Redactor<'a>,
}

impl RawResponse<'_> {
    /// Passes a 2xx on; any other status becomes the failure.
    pub(super) fn check_status(self, call: Call) -> Result<Self, Failure> {
        let Self { status, ref body, redactor, .. } = self;
        if let 200..=299 = status {
            return Ok(self);
        }
        #[cfg(feature = "client")]
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().ok().map(|since| since.as_secs());
        #[cfg(not(feature = "client"))]
        let now = None;
        let retry_after = self.retry_after.and_then(|value| retry_after::seconds(value, now));
        let body = ErrorBody::parse(body.expose(), false, redactor);
        let response = |outcome| MpcErrorResponse { call, outcome, status, body, retry_after };
        Err(match status {
            300..=407 | 409..=499 => Failure::Refused(response(Outcome::Refused)),
            _ => Failure::Failed(response(Outcome::Unknown)),
        })
    }

    /// The failure for a success whose body is not the documented one, with the error that the body may hold.
    pub(crate) fn unreadable(self, call: Call, what: impl fmt::Display) -> Failure {
        let Self { status, body, redactor, .. } = self;
        let what = format!("{what}{}", ErrorBody::parse(body.expose(), true, redactor));
        Failure::Unreadable(Unreadable { call, status, what, is_raw: false, body })
    }
}

/// What the service says when it does not do what was asked.
///
/// Ids are stable upper-case texts such as `BAD_REQUEST`; messages are for people. Both are cut to a bound, control
/// characters are escaped, and whatever repeats the key or a share is replaced by `[redacted]`.
#[derive(Clone)]
pub struct MpcErrorResponse {
    pub(crate) call: Call,
    pub(crate) outcome: Outcome,
    status: u16,
    pub(crate) body: ErrorBody,
    retry_after: Option<u32>,
}

impl MpcErrorResponse {
    /// [`Outcome::Refused`] for 3xx and 4xx, but for 408 only if the request was not sent whole; else
    /// [`Outcome::Unknown`].
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The service's error id, if it sent one: at most 64 characters, and an ellipsis if it was longer.
    pub fn id(&self) -> Option<&str> {
        self.body.id.as_deref()
    }

    /// The service's message, or of another body the title of the web page or the text: at most 300 characters, and an
    /// ellipsis if it was longer.
    pub fn message(&self) -> Option<&str> {
        self.body.message.as_deref()
    }

    /// How long to wait before the next try, if the service said so in seconds, or, with feature `client`, as a date:
    /// without `std` there is no clock.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after.map(|seconds| Duration::from_secs(seconds.into()))
    }
}

error_is_display!(MpcErrorResponse);

impl fmt::Display for MpcErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, advice) = match (self.outcome, self.status) {
            (Outcome::Refused, 401) => ("refused", "check the key before you call again"),
            (Outcome::Refused, 425 | 429) => ("refused", "try again later"),
            (Outcome::Refused, _) => ("refused", "read its message before you call again"),
            _ => ("failed", "it may have acted, and the call may be repeated"),
        };
        write!(f, "{}: the service {what}: status {}{}", self.call.name(), self.status, self.body)?;
        self.retry_after.iter().try_for_each(|seconds| write!(f, ", retry after {seconds} s"))?;
        write!(f, "; {advice}")
    }
}

/// A success whose body is not the documented one, with that body.
///
/// It may well hold shares: keep it where shares may be kept. Wiped on drop, never printed.
pub struct Unreadable {
    status: u16,
    pub(crate) call: Call,
    pub(crate) what: String,
    pub(crate) is_raw: bool,
    pub(crate) body: SecretBytes,
}

impl Unreadable {
    /// Always [`Outcome::Unknown`]: the service acted, but what it made is not in hand.
    pub const fn outcome(&self) -> Outcome {
        Outcome::Unknown
    }

    /// The HTTP status, 200 to 299.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Whether the body is everything after the status line: header fields, and the chunked coding undecoded.
    ///
    /// So when the response is not valid HTTP; else it is the body alone.
    pub const fn is_raw(&self) -> bool {
        self.is_raw
    }

    /// Every byte of the body that arrived.
    pub fn expose_body(&self) -> &[u8] {
        self.body.expose()
    }

    /// Takes the body out; wiping it is the caller's from here on.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body.into_vec()
    }
}

error_is_display!(Unreadable);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = match self.call {
            Call::Backup => "shares may have been made, and may be in its body",
            Call::Confirm => "the shares may be confirmed or not",
        };
        let (call, status, len, what) = (self.call.name(), self.status, self.body.len(), &self.what);
        write!(f, "{call}: the response (status {status}, {len} bytes) could not be read: {what}; ")?;
        write!(f, "{advice}; the call may be repeated")
    }
}
