//! Failures of the network.

use alloc::string::String;
use core::fmt;

use crate::outcome::{Call, Outcome, error_is_display};

/// What failed when a call ended without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The host name could not be resolved.
    Resolve,
    /// No address of the host could be connected to.
    Connect,
    /// Connecting to the proxy failed, or it refused the tunnel (`CONNECT`).
    Proxy,
    /// The TLS handshake failed: a certificate, a version, an alert.
    Tls,
    /// The timeout of the call or of connecting passed, whatever it was doing.
    Timeout,
    /// Sending the request or receiving the response failed, or what came is not HTTP.
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
    /// Whether the whole request was sent, so that the service may have acted.
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
