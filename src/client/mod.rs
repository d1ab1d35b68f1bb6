//! The client over ureq and rustls; nothing outside of this folder names either.

mod answer;
mod calls;
mod config;
mod connect;
mod connection;
mod dial;
mod exchange;
mod no_proxy;
mod pem;
mod proxy;
mod stream;
mod tls;

pub use calls::Client;
pub use config::{ClientBuilder, backup};
