//! Makes the backup shares of a Portal MPC wallet, stores them, and only then confirms that they are stored.
//!
//! `POST /v1/backup` of Portal's Enclave MPC API takes what `generate` returned, and returns two backup shares,
//! once. They must be stored, and only then may Portal be told so, since from that moment on the wallet is recovered from
//! them. This crate makes it hard to lose shares between the socket and the disk, to confirm too early, or to let anybody
//! else see them.
//!
#![cfg_attr(feature = "client", doc = "```no_run")]
#![cfg_attr(not(feature = "client"), doc = "```ignore")]
//! use portal_backup::{ApiKey, Client, FileSlot, GenerateResponse};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let text = std::fs::read_to_string("generate.json")?; // what `generate` returned
//!     let client = Client::new(ApiKey::from_env("PORTAL_CLIENT_API_KEY")?)?;
//!     let slot = FileSlot::reserve("backup.json")?; // fails now, not after the shares exist
//!     let shares = client.backup(&GenerateResponse::parse(&text)?)?;
//!     let stored = slot.store(&shares)?; // 0600, synchronized, read back
//!     client.confirm(&stored)?; // takes only what was stored
//!     Ok(())
//! }
//! ```
//!
//! # What an error tells
//!
//! [`Error::outcome`] decides what to do next. It says whether the service can have acted:
//!
//! | outcome | when | what to do |
//! |---|---|---|
//! | `NotSent` | wrong input, a file that cannot be reserved, or a failure before the whole request was sent | fix the cause, call again |
//! | `Refused` | the service said no: status 3xx or 4xx | read `id()` and `message()`; after a 429, wait for `retry_after()` |
//! | `Unknown` | the service may have acted: a timeout or broken connection once the request was sent, 5xx, 408, a success that cannot be read; or the shares could not be stored | keep the body of an unreadable success, then call again: a backup makes a new pair of shares and the lost one stays unused; a confirmation may be repeated |
//!
//! A success that cannot be read is never thrown away: [`Error::Unreadable`] keeps its bytes. `Debug` of an error prints
//! what `Display` prints, one line, so that a `main` that returns a `Result` tells its users what to do. For a log of JSON
//! lines, serde writes an error with what is known of it.
//!
//! # What it does not do
//!
//! It does not generate, sign or recover. It is not async: in an async program, use `spawn_blocking`. It follows no
//! redirect, reads no environment variable unless asked, and cannot be told to skip certificate checks. It never repeats
//! by itself what the service may have acted on, except for the confirmation, where that does no harm.
//!
//! # Secrets
//!
//! The key, the response, decoded shares and error bodies are in buffers that are wiped on drop, and `Debug` and `Display`
//! print none of them. No such buffer is grown in place: a larger one takes over, and the smaller one is wiped. The request
//! is made while it is sent, from your text straight into the buffer that TLS seals, and never copied as a whole.
//! Text from the network is cut to a bound, its control characters are escaped, and what repeats the key or a share in it
//! is replaced. Not wiped, since it is not ours: the generate response and the environment, a copy of each record that
//! rustls decrypted, and buffers of the kernel. A program that needs more can install a wiping global allocator, as the
//! command line does.
//!
//! # Features
//!
//! | feature | default | brings |
//! |---|---|---|
//! | `client` | yes | the client over ureq and rustls, and the file store |
//! | `ring` | yes | the ring crypto provider; without it, the one that the program installed for the process |
//! | `platform-verifier` | no | the operating system's trust store, on request |
//! | `sandbox` | no | a stand-in for the service, for tests and first steps |
//! | `cli` | no | the command line |
//!
//! Without features the crate is `no_std` with `alloc`: [`wire`], for devices that bring their own transport.
//!
#![cfg_attr(feature = "sandbox", doc = "The [guides](guide) are about tasks that span several items.")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "client")]
extern crate std;

#[cfg(feature = "client")]
mod client;
mod error;
#[cfg(all(any(doc, doctest), feature = "sandbox"))]
pub mod guide;
mod invalid_input;
mod outcome;
mod redact;
#[cfg(feature = "sandbox")]
mod sandbox;
mod secret;
#[cfg(feature = "client")]
mod store;
#[cfg(feature = "client")]
mod transport_error;
#[cfg(feature = "client")]
mod windows_names;
pub mod wire;

#[cfg(feature = "client")]
pub use client::{Client, ClientBuilder, backup};
pub use error::Error;
pub use invalid_input::InvalidInput;
pub use outcome::Outcome;
#[cfg(feature = "sandbox")]
pub use sandbox::{Fault, Sandbox, SeenRequest};
pub use secret::{ApiKey, SecretBytes};
#[cfg(feature = "client")]
pub use store::{FileSlot, StoreError};
#[cfg(feature = "client")]
pub use transport_error::{TransportError, TransportErrorKind};
#[doc(inline)]
pub use wire::backup::{BackupShares, GenerateResponse};
#[doc(inline)]
pub use wire::confirm::StoredShares;
#[doc(inline)]
pub use wire::{MpcErrorResponse, MpcShare, ShareForm, Unreadable};
