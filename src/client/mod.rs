//! The client over ureq and rustls; nothing outside of this folder names either.

mod calls;
mod config;
mod connect;
mod connection;
mod exchange;
mod head;
mod no_proxy;
mod pool;
mod proxy;
mod stream;
mod tcp;
mod tls;

pub use calls::Client;
pub use config::{ClientBuilder, backup};
