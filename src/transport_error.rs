//! Failures of the network.

use alloc::string::String;
use core::fmt;

use crate::outcome::{Call, Outcome, error_is_display};

/// What failed when a call ended without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The name of the host was not found.
    Resolve,
    /// No address of the host could be connected to.
    Connect,
    /// Anything up to the proxy's response to `CONNECT`.
    Proxy,
    /// The TLS handshake failed: a certificate, a version, an alert.
    Tls,
    /// The deadline passed, whatever the call was doing.
    Timeout,
    /// The connection broke while the request was sent or the response was received.
    Io,
}

/// A call that ended before there was a response: a name, a connection, a certificate, a deadline.
///
/// Its text comes from the operating system and the TLS library, bounded and escaped.
pub struct TransportError {
    pub(crate) call: Call,
    pub(crate) kind: TransportErrorKind,
    pub(crate) what: String,
    /// What to do when the request was not sent.
    pub(crate) advice: &'static str,
    /// Whether the service has the whole request.
    pub(crate) is_sent: bool,
    /// Whether the same call may well pass a moment later.
    pub(crate) is_transient: bool,
}

impl TransportError {
    /// What failed: the name lookup, the connection, the proxy, TLS, the deadline, or sending and receiving.
    pub const fn kind(&self) -> TransportErrorKind {
        self.kind
    }

    /// Whether the service can have acted: [`Outcome::NotSent`] or [`Outcome::Unknown`].
    pub const fn outcome(&self) -> Outcome {
        if self.is_sent { Outcome::Unknown } else { Outcome::NotSent }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (call, what) = (self.call.name(), &self.what);
        match self.is_sent {
            true => write!(f, "{call}: {what}; the service may have acted, and the call may be repeated"),
            false => write!(f, "{call}: {what}; the request was not sent; {}", self.advice),
        }
    }
}

error_is_display!(TransportError);
