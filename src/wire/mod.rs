//! The API without I/O ("sans-I/O"): bytes in, bytes out.
//!
//! For a program that brings its own transport: make a request, send its body with these headers, and hand the response
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
//! let mut body = request.body(); // a reader: it fills any buffer, such as that of your TLS session
//!
//! // Send it to `wire::backup::BASE_URL`; then, of the response: status, `Retry-After`, body.
//! let received = br#"{"SECP256K1":{"share":"eyJjbGk","id":"c"},"ED25519":{"share":"eyJjbGk","id":"d"}}"#;
//! let shares = wire::backup::response(200, None, received.to_vec())?;
//! assert_eq!(shares.share_pair_ids(), ["c", "d"]);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

pub mod backup;
pub mod confirm;
mod error_body;
mod failure;
mod json;
mod mpc_share;
mod request;
mod retry_after;
mod share_pair;

#[cfg(feature = "client")]
pub(crate) use self::{error_body::MAX_ERROR_BODY, failure::RawResponse};
pub use failure::{Failure, MpcErrorResponse, Unreadable};
pub use mpc_share::{MpcShare, ShareForm};
pub use request::{Body, CONTENT_TYPE, Request};
