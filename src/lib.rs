//! Portal's MPC wallet backup call, made safe.
#![no_std]

extern crate alloc;
#[cfg(feature = "client")]
extern crate std;

#[cfg(feature = "client")]
mod client;
mod error;
#[cfg(feature = "sandbox")]
mod sandbox;
mod secret;
#[cfg(feature = "client")]
mod store;
pub mod wire;

#[cfg(feature = "client")]
pub use client::{Client, ClientBuilder, backup};
#[cfg(feature = "client")]
pub use error::TransportError;
pub use error::{Error, InvalidInput, Outcome};
#[cfg(feature = "sandbox")]
pub use sandbox::{Fault, Sandbox, SeenRequest};
pub use secret::{ApiKey, SecretBytes};
#[cfg(feature = "client")]
pub use store::{FileSlot, StoreError};
pub use wire::backup::{BackupShares, GenerateResponse};
pub use wire::confirm::StoredShares;
pub use wire::{MpcErrorResponse, MpcShare, NotBase64, Unreadable};
