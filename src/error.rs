//! What a call can fail with: everything that the parts below return, and failures of the network.

#[cfg(feature = "client")]
use alloc::string::{String, ToString as _};
use core::fmt;

use crate::invalid_input::InvalidInput;
use crate::outcome::{Outcome, debug_is_display};
#[cfg(feature = "client")]
use crate::store::StoreError;
use crate::wire::{Failure, MpcErrorResponse, Unreadable};

/// Every way in which a call can fail.
///
/// `Display` says in one line what failed, whether anything was sent, and what to do. Nothing in here holds the key or a
/// share, except the body that [`Unreadable`] keeps and never prints.
#[non_exhaustive]
pub enum Error {
    /// The key, the generate response or the configuration is wrong; nothing was sent.
    InvalidInput(InvalidInput),
    /// The network failed before there was an answer.
    #[cfg(feature = "client")]
    Transport(TransportError),
    /// The service refused (status 3xx or 4xx, except 408).
    Refused(MpcErrorResponse),
    /// The service failed (status 5xx or 408, or one that HTTP does not know); it may have acted.
    Failed(MpcErrorResponse),
    /// The service succeeded, but its answer could not be understood; the error keeps the answer.
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
}

#[cfg(feature = "client")]
impl Error {
    /// Adds what a later try of the same call ended with: this error decides what is known, but both are told.
    pub(crate) fn then(mut self, later: &Self) -> Self {
        let later = match later {
            Self::Refused(e) | Self::Failed(e) => e.to_string(),
            Self::Transport(e) => e.what.clone(),
            other => other.to_string(),
        };
        match &mut self {
            Self::Transport(e) => e.what = alloc::format!("{}; then: {later}", e.what),
            Self::Failed(e) => e.then(&later),
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
            Self::Refused(e) if matches!(e.status(), 425 | 429) => {
                write!(f, "the service refused: {e}; try again later")
            }
            Self::Refused(e) => write!(f, "the service refused: {e}; read its message before you call again"),
            Self::Failed(e) => {
                write!(f, "the service failed: {e}; it may have acted, and the call may be repeated")
            }
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

/// A call that ended before there was an answer: a name, a connection, a certificate, a deadline.
///
/// Its text comes from the operating system and the TLS library, bounded and escaped.
#[cfg(feature = "client")]
pub struct TransportError {
    pub(crate) what: String,
    /// What to do when the request was not sent.
    pub(crate) advice: &'static str,
    /// Whether the service has the whole request.
    pub(crate) is_sent: bool,
    /// Whether the same call may well pass a moment later.
    pub(crate) is_repeatable: bool,
}

#[cfg(feature = "client")]
impl TransportError {
    /// Whether the service can have acted: [`Outcome::NotSent`] or [`Outcome::Unknown`].
    pub const fn outcome(&self) -> Outcome {
        if self.is_sent { Outcome::Unknown } else { Outcome::NotSent }
    }
}

#[cfg(feature = "client")]
impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, advice, .. } = self;
        match self.is_sent {
            true => write!(f, "{what}; the service may have acted, and the call may be repeated"),
            false => write!(f, "{what}; the request was not sent; {advice}"),
        }
    }
}

#[cfg(feature = "client")]
debug_is_display!(TransportError);

#[cfg(feature = "client")]
impl core::error::Error for TransportError {}

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

/// In which step a call failed before there was a response.
#[cfg(feature = "client")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code)]
pub(crate) enum TransportErrorKind {
    /// A name has no address, or could not be resolved.
    Resolve,
    /// No address accepted a connection.
    Connect,
    /// The proxy could not be reached, or did not connect.
    Proxy,
    /// The TLS handshake failed, such as by a wrong certificate.
    Tls,
    /// The deadline has passed.
    Timeout,
    /// The connection broke.
    Io,
}
