//! What can go wrong, and whether the service may have acted.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use crate::wire::{MpcErrorResponse, Unreadable};

/// Whether the service can have acted on a call that failed.
///
/// `Unknown` is the answer whenever it is not provably one of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The request was not sent completely: the service cannot have acted. Call again when the cause is gone.
    NotSent,
    /// The service answered that it will not do it. Read what it says before you call again.
    Refused,
    /// The service may have acted. `backup` may be run again: it makes a new pair of shares, and the lost pair stays
    /// unused; `confirm` may be repeated as it is.
    Unknown,
}

/// Every way in which a call can fail.
///
/// [`outcome`](Self::outcome) tells what a program needs to decide what to do next; `Display` tells a person, in one
/// line, what failed, whether anything was sent, and what to do. Nothing in here holds the key or a share, except the
/// body that [`Unreadable`] keeps on purpose and never prints.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The key, the generate response or the configuration is wrong; nothing was sent.
    InvalidInput(InvalidInput),
    /// The network failed before there was an answer.
    #[cfg(feature = "client")]
    Transport(TransportError),
    /// The service refused (status 3xx or 4xx).
    Refused(MpcErrorResponse),
    /// The service failed (status 5xx, or one that HTTP does not know); it may have acted.
    Failed(MpcErrorResponse),
    /// The service succeeded, but its answer could not be understood; the error keeps the answer.
    Unreadable(Unreadable),
    /// The file that the shares go to could not be made or written.
    #[cfg(feature = "client")]
    Store(crate::store::StoreError),
}

impl Error {
    /// Whether the service can have acted.
    ///
    /// ```
    /// use portal_backup::{ApiKey, Outcome};
    ///
    /// let error = ApiKey::new("").unwrap_err();
    /// assert_eq!(error.outcome(), Outcome::NotSent);
    /// ```
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::InvalidInput(_) => Outcome::NotSent,
            #[cfg(feature = "client")]
            Self::Transport(e) => e.outcome,
            Self::Refused(_) => Outcome::Refused,
            Self::Failed(_) | Self::Unreadable(_) => Outcome::Unknown,
            #[cfg(feature = "client")]
            Self::Store(e) => e.outcome(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidInput(e) => write!(f, "{e}; nothing was sent"),
            #[cfg(feature = "client")]
            Self::Transport(e) => e.fmt(f),
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

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            #[cfg(feature = "client")]
            Self::Store(e) => core::error::Error::source(e),
            _ => None,
        }
    }
}

/// A key, generate response or setting that cannot be used; nothing was sent.
///
/// Names what is wrong and where, never the value.
#[derive(Debug)]
pub struct InvalidInput {
    what: Cow<'static, str>,
    about: Option<String>,
    position: Option<(usize, usize)>,
}

impl InvalidInput {
    pub(crate) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), about: None, position: None }
    }

    pub(crate) fn at(mut self, line: usize, column: usize) -> Self {
        self.position = Some((line, column));
        self
    }

    /// Names a setting, a file or a host: something that is no secret.
    #[cfg(feature = "client")]
    pub(crate) fn about(mut self, name: &str) -> Self {
        let mut about = String::new();
        crate::redact::Redactor::default().push_printable(name, 200, &mut about);
        self.about = Some(about);
        self
    }

    /// Line and column of the mistake in the text that was parsed, both from 1, the column in bytes; `None` for a
    /// mistake without a place.
    #[must_use]
    pub const fn position(&self) -> Option<(usize, usize)> {
        self.position
    }
}

impl fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(about) = &self.about {
            write!(f, ": {about}")?;
        }
        if let Some((line, column)) = self.position {
            write!(f, " (line {line}, column {column})")?;
        }
        Ok(())
    }
}

impl core::error::Error for InvalidInput {}

impl From<InvalidInput> for Error {
    fn from(e: InvalidInput) -> Self {
        Self::InvalidInput(e)
    }
}

impl From<crate::wire::Failure> for Error {
    fn from(failure: crate::wire::Failure) -> Self {
        use crate::wire::Failure;
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
#[derive(Debug)]
pub struct TransportError {
    what: String,
    advice: &'static str,
    outcome: Outcome,
    repeatable: bool,
}

#[cfg(feature = "client")]
impl TransportError {
    pub(crate) fn not_sent(what: String, advice: &'static str) -> Self {
        Self { what, advice, outcome: Outcome::NotSent, repeatable: false }
    }

    pub(crate) fn unknown(what: String) -> Self {
        let advice = "the service may have acted, and the call may be repeated";
        Self { what, advice, outcome: Outcome::Unknown, repeatable: false }
    }

    pub(crate) fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Whether the same call may well pass a moment later.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.repeatable
    }
}

#[cfg(feature = "client")]
impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sent = match self.outcome {
            Outcome::NotSent => "the request was not sent; ",
            _ => "",
        };
        write!(f, "{}; {sent}{}", self.what, self.advice)
    }
}

#[cfg(feature = "client")]
impl core::error::Error for TransportError {}

#[cfg(feature = "client")]
impl From<TransportError> for Error {
    fn from(e: TransportError) -> Self {
        Self::Transport(e)
    }
}
