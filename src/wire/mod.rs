//! The API on paper: bytes in, bytes out, no I/O.
//!
//! For a program that brings its own transport: make a request, send its body with these headers, and hand the answer
//! to the function of the same module.
//!
//! | header | value |
//! |---|---|
//! | `Authorization` | `Bearer ` and the client API key |
//! | `Content-Type` | [`CONTENT_TYPE`] |
//! | `Content-Length` | the length of the body |
//!
//! ```
//! use portal_backup::{GenerateResponse, wire};
//!
//! let generate = r#"{"SECP256K1":{"share":"share","id":"a"},"ED25519":{"share":"share","id":"b"}}"#;
//! let request = wire::backup::request(&GenerateResponse::parse(generate)?);
//! assert_eq!((request.method(), request.path()), ("POST", "/v1/backup"));
//!
//! // Send it to `wire::backup::BASE_URL`; then, of the answer: status, `Retry-After`, body.
//! let answer = br#"{"SECP256K1":{"share":"eyJjbGk","id":"c"},"ED25519":{"share":"eyJjbGk","id":"d"}}"#;
//! let shares = wire::backup::response(200, None, answer.to_vec())?;
//! assert_eq!(shares.share_pair_ids(), ["c", "d"]);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

pub mod backup;
pub mod confirm;
mod error_response;
mod json;
mod mpc_share;
mod scanner;

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

#[cfg(feature = "client")]
pub(crate) use error_response::MAX_ERROR_BODY;
pub use error_response::MpcErrorResponse;
pub use mpc_share::{MpcShare, NotBase64};

use crate::outcome::Outcome;
use crate::redact::Redactor;
use crate::secret::SecretBytes;

/// The media type of both requests.
pub const CONTENT_TYPE: &str = "application/json";

/// An HTTP request without its host and headers.
pub struct Request<'a> {
    method: &'static str,
    path: &'static str,
    content: SecretBytes,
    text: PhantomData<&'a str>,
}

impl Request<'_> {
    const fn new(method: &'static str, path: &'static str, body: Vec<u8>) -> Self {
        Self { method, path, content: SecretBytes::new(body), text: PhantomData }
    }

    /// The HTTP method.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        self.method
    }

    /// The path, from its first slash.
    #[must_use]
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// The length of the JSON body in bytes, for `Content-Length`.
    #[must_use]
    pub fn body_len(&self) -> usize {
        self.content.len()
    }

    /// The JSON body, made as it is read; that of a backup holds the wallet's signing shares.
    #[must_use]
    pub fn body(&self) -> Body<'_> {
        Body { rest: self.content.expose() }
    }

    /// The whole body in a buffer that is wiped, for a transport that wants a slice.
    #[must_use]
    pub fn to_bytes(&self) -> SecretBytes {
        let mut bytes = SecretBytes::zeroed(self.body_len());
        self.body().read(bytes.expose_mut());
        bytes
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {}, {} bytes)", self.method, self.path, self.body_len())
    }
}

/// Reads the body of a [`Request`], escaping straight from the caller's text into the buffer that it is given.
pub struct Body<'a> {
    rest: &'a [u8],
}

impl Body<'_> {
    /// Fills the buffer from its start, and returns how many bytes it wrote: fewer than there is room for only at the
    /// end, 0 when all was read.
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        let len = buffer.len().min(self.rest.len());
        let (now, rest) = self.rest.split_at(len);
        buffer[..len].copy_from_slice(now);
        self.rest = rest;
        len
    }

    /// How many bytes are still to be read.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes to be read)", self.remaining())
    }
}

/// An answer that is not a success; turns into the [`Error`](crate::Error) of the same name.
#[non_exhaustive]
pub enum Failure {
    /// Status 3xx or 4xx: the service did not act.
    Refused(MpcErrorResponse),
    /// Status 5xx, or no HTTP status: the service may have acted.
    Failed(MpcErrorResponse),
    /// A success that was not understood: the service acted, and here is what it said.
    Unreadable(Unreadable),
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

impl Failure {
    /// Whether the service can have acted.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Refused(_) => Outcome::Refused,
            Self::Failed(_) | Self::Unreadable(_) => Outcome::Unknown,
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Failure {}

/// A success whose body is not the documented object, with that body.
///
/// It may well hold shares: keep it where shares may be kept. Wiped on drop, never printed.
pub struct Unreadable {
    status: u16,
    what: Cow<'static, str>,
    body: SecretBytes,
}

impl Unreadable {
    pub(crate) fn new(status: u16, what: impl Into<Cow<'static, str>>, body: SecretBytes) -> Self {
        Self { status, what: what.into(), body }
    }

    /// The same with another reason: why the body is not whole, instead of what is missing from it.
    #[cfg(feature = "client")]
    pub(crate) fn because(self, what: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), ..self }
    }

    /// Always [`Outcome::Unknown`]: the service acted, but what it made is not in hand.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        Outcome::Unknown
    }

    /// The HTTP status, 200 to 299.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Every byte of the body that arrived.
    #[must_use]
    pub fn expose_body(&self) -> &[u8] {
        self.body.expose()
    }

    /// Takes the body out; wiping it is the caller's from here on.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body.into_vec()
    }
}

impl fmt::Debug for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, what, body } = self;
        let len = body.len();
        write!(f, "the answer (status {status}, {len} bytes) could not be read: {what}; ")?;
        f.write_str("shares may have been made: keep the body of this error, and the call may be repeated")
    }
}

impl core::error::Error for Unreadable {}

const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

/// What a status that is not a success means.
fn refusal(status: u16, retry_after: Option<&str>, body: &SecretBytes, redactor: &Redactor<'_>) -> Failure {
    let response = MpcErrorResponse::read(status, retry_after, body.expose(), redactor);
    if matches!(status, 300..=499) { Failure::Refused(response) } else { Failure::Failed(response) }
}
