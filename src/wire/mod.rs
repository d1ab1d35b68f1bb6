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

#[cfg(feature = "client")]
pub(crate) use error_response::MAX_ERROR_BODY;
pub use error_response::MpcErrorResponse;
pub use mpc_share::{MpcShare, NotBase64};

use crate::redact::Redactor;
use crate::secret::SecretBytes;

/// The media type of both requests.
pub const CONTENT_TYPE: &str = "application/json";

/// An HTTP request without its host and headers; the body is wiped on drop.
pub struct Request {
    method: &'static str,
    path: &'static str,
    body: SecretBytes,
}

impl Request {
    const fn new(method: &'static str, path: &'static str, body: Vec<u8>) -> Self {
        Self { method, path, body: SecretBytes::new(body) }
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

    /// The JSON body, whole; that of a backup holds the wallet's signing shares.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.body.expose()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {}, {} bytes)", self.method, self.path, self.body.len())
    }
}

/// An answer that is not a success; turns into the [`Error`](crate::Error) of the same name.
#[derive(Debug)]
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
        f.debug_struct("Unreadable")
            .field("status", &self.status)
            .field("what", &self.what)
            .field("body", &self.body)
            .finish()
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
