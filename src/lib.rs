//! Makes the backup shares of a Portal MPC wallet, stores them, and only then confirms that they are stored.
//!
//! `POST /v1/backup` of Portal's Enclave MPC API takes what `generate` returned, and answers with two backup shares,
//! only once. They must be stored, and only then may Portal be told so, since from that moment on the wallet is
//! recovered from them. This crate makes it hard to lose shares between the socket and the disk, to confirm too early,
//! or to let anybody else see them.
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
//! [`Error::outcome`] answers the one question that decides what to do: can the service have acted?
//!
//! | outcome | when | what to do |
//! |---|---|---|
//! | `NotSent` | wrong input, a file that cannot be reserved, a failure before the whole request was out | fix the cause, call again |
//! | `Refused` | the service said no: status 3xx or 4xx | read `id()` and `message()` |
//! | `Unknown` | it may have acted: timeout or broken connection afterwards, 5xx, an unreadable success; or the shares could not be stored | keep the body of an unreadable success, then call again: a backup makes a new pair and the lost one stays unused, a confirmation may be repeated |
//!
//! A success that cannot be read is never thrown away: [`Error::Unreadable`] keeps its bytes.
//!
//! # What it does not do
//!
//! It neither generates, signs nor recovers; it is not async (in an async program use `spawn_blocking`); it follows no
//! redirect, uses no environment variable unless asked, repeats nothing that the service may have acted on, except the
//! idempotent confirmation, and has no switch that turns certificate checks off.
//!
//! # Secrets
//!
//! The key, the request body, the answer, decoded shares and error bodies are held in buffers that are wiped on drop,
//! never reallocated, and printed by no `Debug` or `Display`. Each is sized first; an answer of unannounced length moves
//! to larger ones, and those it leaves are wiped. Text from the network is cut, its control characters are
//! escaped, and what repeats the key or a share is left out. What is not ours cannot be wiped from here: the generate
//! response (the caller's), the environment, records that rustls has decrypted or is about to encrypt, buffers of the
//! kernel. A program that needs more can install a wiping global allocator, as the command line does.
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
#![cfg_attr(
    feature = "sandbox",
    doc = "Guides: [storing elsewhere](guide::storing), [an unknown outcome](guide::unknown), \
           [testing with the sandbox](guide::testing), [your own transport](guide::transport)."
)]
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
mod windows_names;
pub mod wire;

#[cfg(feature = "client")]
pub use client::{Client, ClientBuilder, backup};
pub use error::Error;
#[cfg(feature = "client")]
pub use error::TransportError;
pub use invalid_input::InvalidInput;
pub use outcome::Outcome;
#[cfg(feature = "sandbox")]
pub use sandbox::{Fault, Sandbox, SeenRequest};
pub use secret::{ApiKey, SecretBytes};
#[cfg(feature = "client")]
pub use store::{FileSlot, StoreError};
#[doc(inline)]
pub use wire::backup::{BackupShares, GenerateResponse};
#[doc(inline)]
pub use wire::confirm::StoredShares;
#[doc(inline)]
pub use wire::{MpcErrorResponse, MpcShare, NotBase64, Unreadable};
