//! What several test binaries share: certificates, a scripted server, and the table of faults.
// Each binary uses its part.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

pub mod certificates;
pub mod faults;
pub mod secrets;
pub mod server;

use std::time::Duration;

use portal_backup::{ApiKey, Client, ClientBuilder};

use self::server::Server;

/// The deadline of every call to a server that fails.
pub const TIMEOUT: Duration = Duration::from_secs(2);
/// When a call with that deadline must be over, however busy the machine.
pub const LATEST: Duration = Duration::from_secs(3);

/// A client of this server, with the deadline and the roots of these tests.
#[track_caller]
pub fn client(server: &Server) -> Client {
    builder(&server.url()).build().unwrap()
}

/// The settings of such a client, to be changed.
#[track_caller]
pub fn builder(url: &str) -> ClientBuilder {
    Client::builder(ApiKey::new(secrets::KEY).unwrap())
        .base_url(url)
        .client_api_url(url)
        .root_certs_pem(certificates::root_pem())
        .timeout(TIMEOUT)
}
