//! A certificate authority for these tests, and what it should and should not have signed.

use std::sync::{Arc, OnceLock};

use rustls::crypto::ring;
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::x509::{Identity, Request};

/// What a server shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certificate {
    /// For `localhost` and the loopback addresses, by the authority that is trusted.
    Trusted,
    OtherName,
    /// By an authority that nobody trusts.
    Untrusted,
}

fn trusted() -> &'static Identity {
    static TRUSTED: OnceLock<Identity> = OnceLock::new();
    TRUSTED.get_or_init(|| Identity::authority("trusted by the tests"))
}

/// The one root that the clients of these tests trust.
pub fn root_pem() -> &'static str {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| trusted().pem())
}

/// A TLS server's settings, for both versions that clients may speak.
pub fn server_config(certificate: Certificate) -> Arc<ServerConfig> {
    config_with(identity(certificate), rustls::ALL_VERSIONS)
}

pub fn tls12_server_config(certificate: Certificate) -> Arc<ServerConfig> {
    config_with(identity(certificate), &[&rustls::version::TLS12])
}

/// For any identity; of clients it asks none.
pub fn config_with(identity: Identity, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate], identity.key)
        .unwrap();
    Arc::new(config)
}

fn identity(certificate: Certificate) -> Identity {
    let mut request = Request::hosts(&["localhost", "127.0.0.1", "::1"]);
    match certificate {
        Certificate::OtherName => request.hosts = &["other.example"],
        Certificate::Untrusted => return request.signed_by(&Identity::authority("trusted by nobody")),
        Certificate::Trusted => {}
    }
    request.signed_by(trusted())
}
