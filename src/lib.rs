//! Portal's MPC wallet backup call, made safe.
#![no_std]


extern crate alloc;
#[cfg(feature = "client")]
extern crate std;

mod error;
mod secret;
pub mod wire;

pub use error::{Error, InvalidInput, Outcome};
pub use secret::{ApiKey, SecretBytes};
pub use wire::backup::{BackupShares, GenerateResponse};
pub use wire::confirm::StoredShares;
pub use wire::{MpcErrorResponse, MpcShare, NotBase64, Unreadable};
