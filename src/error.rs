//! What a call can fail with: everything that the parts below return.

#[cfg(feature = "client")]
use alloc::string::ToString as _;
use core::fmt;
use core::time::Duration;

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::invalid_input::InvalidInput;
use crate::outcome::{Call, Outcome, debug_is_display};
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
    /// The service refused (status 3xx or 4xx, except 408).
    Refused(MpcErrorResponse),
    /// The service failed (status 5xx or 408, or one that HTTP does not know); it may have acted.
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
        match self {
            Self::InvalidInput(e) => e.outcome(),
            #[cfg(feature = "client")]
            Self::Transport(e) => e.outcome(),
            Self::Refused(_) => Outcome::Refused,
            Self::Failed(_) => Outcome::Unknown,
            Self::Unreadable(e) => e.outcome(),
            #[cfg(feature = "client")]
            Self::Store(e) => e.outcome(),
        }
    }

    /// The HTTP status, if there was a response.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(e) | Self::Failed(e) => Some(e.status()),
            Self::Unreadable(e) => Some(e.status()),
            _ => None,
        }
    }

    /// How long to wait before the next call, if the service said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(e) | Self::Failed(e) => e.retry_after(),
            _ => None,
        }
    }

    /// Which call failed, if one was made.
    fn call(&self) -> Option<Call> {
        match self {
            #[cfg(feature = "client")]
            Self::Transport(e) => Some(e.call),
            Self::Refused(e) | Self::Failed(e) => Some(e.call),
            Self::Unreadable(e) => Some(e.call),
            _ => None,
        }
    }
}

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        self.call().iter().try_for_each(|call| fields.serialize_entry("call", call.name()))?;
        fields.serialize_entry("outcome", &self.outcome())?;
        fields.serialize_entry("error", &format_args!("{self}"))?;
        match self {
            Self::Refused(e) | Self::Failed(e) => e.serialize_to(&mut fields)?,
            Self::Unreadable(e) => fields.serialize_entry("status", &e.status())?,
            _ => {}
        }
        fields.end()
    }
}

#[cfg(feature = "client")]
impl Error {
    /// Adds what a later attempt of the same call ended with: this error decides what is known, but both are told.
    pub(crate) fn with_later_failure(mut self, later: &Self) -> Self {
        let later = match later {
            Self::Refused(e) | Self::Failed(e) => e.to_string(),
            Self::Transport(e) => e.what.clone(),
            other => other.to_string(),
        };
        match &mut self {
            Self::Transport(e) => e.what = alloc::format!("{}; then: {later}", e.what),
            Self::Failed(e) => e.later_failure = Some(later.into()),
            _ => {}
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidInput(e) => write!(f, "{e}; nothing was sent"),
            #[cfg(feature = "client")]
            Self::Transport(e) => e.fmt(f),
            Self::Refused(e) => e.write_refused(f),
            Self::Failed(e) => e.write_failed(f),
            Self::Unreadable(e) => e.fmt(f),
            #[cfg(feature = "client")]
            Self::Store(e) => e.fmt(f),
        }
    }
}

debug_is_display!(Error);

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        #[cfg(feature = "client")]
        if let Self::Store(e) = self {
            return core::error::Error::source(e);
        }
        None
    }
}

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
impl From<TransportError> for Error {
    fn from(e: TransportError) -> Self {
        Self::Transport(e)
    }
}

#[cfg(feature = "client")]
impl From<StoreError> for Error {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}
