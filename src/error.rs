//! What a call can fail with: everything that the parts below return.

use core::fmt;
use core::time::Duration;

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::invalid_input::InvalidInput;
use crate::outcome::{Call, Outcome, error_is_display};
#[cfg(feature = "client")]
use crate::store::StoreError;
#[cfg(feature = "client")]
use crate::transport_error::TransportError;
use crate::wire::{Failure, MpcErrorResponse, Unreadable};

/// Every way in which a call can fail.
///
/// `Display` says in one line what failed, whether anything was sent, and what to do. Nothing in here holds the key or a
/// share, except the body that [`Unreadable`] keeps and never prints.
///
/// serde's `Serialize` writes `{"call":"backup","outcome":"refused","error":"…","status":429,"id":"RATE_LIMITED",
/// "message":"Try again","retryAfter":7}`, which is stable; each but `outcome` and `error` only where there is one.
#[non_exhaustive]
pub enum Error {
    /// The key, the generate response or the configuration is wrong; nothing was sent.
    InvalidInput(InvalidInput),
    /// The network failed before there was a response.
    #[cfg(feature = "client")]
    Transport(TransportError),
    /// The service refused: status 3xx or 4xx, but 408 only if the whole request was not sent.
    Refused(MpcErrorResponse),
    /// The service failed: 408 to a whole request, or a status that is none of 2xx, 3xx and 4xx; it may have acted.
    Failed(MpcErrorResponse),
    /// The service succeeded, but its response could not be understood; the error keeps it.
    Unreadable(Unreadable),
    /// The file that the shares go to could not be made or written.
    #[cfg(feature = "client")]
    Store(StoreError),
}

impl Error {
    /// Whether the service can have acted, by which a program decides what to do next.
    pub fn outcome(&self) -> Outcome {
        self.facts().1
    }

    /// The HTTP status, if there was a response.
    pub fn status(&self) -> Option<u16> {
        self.facts().2
    }

    /// How long to wait before the next call, if the service said so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.facts().3?.retry_after()
    }

    /// Which call failed, whether the service can have acted, the status, and what it said.
    fn facts(&self) -> (Option<Call>, Outcome, Option<u16>, Option<&MpcErrorResponse>) {
        match self {
            Self::InvalidInput(e) => (None, e.outcome(), None, None),
            #[cfg(feature = "client")]
            Self::Transport(e) => (Some(e.call), e.outcome(), None, None),
            Self::Refused(e) | Self::Failed(e) => (Some(e.call), e.outcome(), Some(e.status()), Some(e)),
            Self::Unreadable(e) => (Some(e.call), e.outcome(), Some(e.status()), None),
            #[cfg(feature = "client")]
            Self::Store(e) => (None, e.outcome(), None, None),
        }
    }
}

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (call, outcome, status, response) = self.facts();
        let (id, message) = response.map_or((None, None), |e| (e.id(), e.message()));
        let retry_after = self.retry_after().map(|time| time.as_secs());
        let mut fields = serializer.serialize_map(None)?;
        call.iter().try_for_each(|call| fields.serialize_entry("call", call.name()))?;
        fields.serialize_entry("outcome", &outcome)?;
        fields.serialize_entry("error", &format_args!("{self}"))?;
        status.iter().try_for_each(|status| fields.serialize_entry("status", status))?;
        id.iter().try_for_each(|id| fields.serialize_entry("id", id))?;
        message.iter().try_for_each(|message| fields.serialize_entry("message", message))?;
        retry_after.iter().try_for_each(|seconds| fields.serialize_entry("retryAfter", seconds))?;
        fields.end()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidInput(e) => write!(f, "{e}; nothing was sent"),
            #[cfg(feature = "client")]
            Self::Transport(e) => e.fmt(f),
            Self::Refused(e) | Self::Failed(e) => e.fmt(f),
            Self::Unreadable(e) => e.fmt(f),
            #[cfg(feature = "client")]
            Self::Store(e) => e.fmt(f),
        }
    }
}

error_is_display!(Error);

impl From<InvalidInput> for Error {
    fn from(e: InvalidInput) -> Self {
        Self::InvalidInput(e)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(e) => Self::Refused(e),
            Failure::Failed(e) => Self::Failed(e),
            Failure::Unreadable(e) => Self::Unreadable(e),
        }
    }
}

#[cfg(feature = "client")]
impl From<StoreError> for Error {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}
