//! What comes back instead of a success that can be read.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use super::error_response::MpcErrorResponse;
use crate::outcome::{Outcome, debug_is_display};
use crate::redact::Redactor;
use crate::secret::SecretBytes;

/// An answer that is not a success; turns into the [`Error`](crate::Error) of the same name.
#[non_exhaustive]
pub enum Failure {
    /// Status 3xx or 4xx, except 408: the service did not act.
    Refused(MpcErrorResponse),
    /// Status 5xx or 408 (Request Timeout), or no HTTP status: the service may have acted.
    ///
    /// Frameworks answer 408 also when their own handler took too long, hence after the whole request was read.
    Failed(MpcErrorResponse),
    /// A success that was not understood: the service acted, and here is what it said.
    Unreadable(Unreadable),
}

impl Failure {
    /// What a status that is not a success means.
    pub(super) fn of(
        status: u16,
        retry_after: Option<&str>,
        body: &SecretBytes,
        redactor: &Redactor<'_>,
    ) -> Self {
        let response = MpcErrorResponse::read(status, retry_after, body.expose(), redactor);
        match response.outcome() {
            Outcome::Refused => Self::Refused(response),
            _ => Self::Failed(response),
        }
    }

    /// Whether the service can have acted.
    pub const fn outcome(&self) -> Outcome {
        if matches!(self, Self::Refused(_)) { Outcome::Refused } else { Outcome::Unknown }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(e) => write!(f, "the service refused: {e}"),
            Self::Failed(e) => write!(f, "the service failed: {e}"),
            Self::Unreadable(e) => e.fmt(f),
        }
    }
}

debug_is_display!(Failure);

impl core::error::Error for Failure {}

/// A success whose body is not the documented one, with that body.
///
/// It may well hold shares: keep it where shares may be kept. Wiped on drop, never printed.
pub struct Unreadable {
    status: u16,
    what: Cow<'static, str>,
    is_confirm: bool,
    body: SecretBytes,
}

impl Unreadable {
    pub(crate) fn new(status: u16, what: impl Into<Cow<'static, str>>, body: SecretBytes) -> Self {
        Self { status, what: what.into(), is_confirm: false, body }
    }

    /// The same of a confirmation.
    pub(crate) fn of_confirm(status: u16, what: impl Into<Cow<'static, str>>, body: SecretBytes) -> Self {
        Self { is_confirm: true, ..Self::new(status, what, body) }
    }

    /// Gives another reason, such as that the answer was cut.
    #[cfg(feature = "client")]
    pub(crate) fn because(mut self, what: impl Into<Cow<'static, str>>) -> Self {
        self.what = what.into();
        self
    }

    /// Always [`Outcome::Unknown`]: the service acted, but what it made is not in hand.
    pub const fn outcome(&self) -> Outcome {
        Outcome::Unknown
    }

    /// The HTTP status, 200 to 299.
    pub const fn status(&self) -> u16 {
        self.status
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

debug_is_display!(Unreadable);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, what, body, .. } = self;
        let advice = match (self.is_confirm, body.is_empty()) {
            (true, _) => "the shares may be confirmed or not",
            (false, true) => "shares may have been made",
            (false, false) => "shares may have been made: keep the body of this error",
        };
        write!(f, "the answer (status {status}, {} bytes) could not be read: {what}; ", body.len())?;
        write!(f, "{advice}, and the call may be repeated")
    }
}

impl core::error::Error for Unreadable {}

pub(super) const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}
