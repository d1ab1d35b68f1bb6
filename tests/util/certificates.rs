//! A certificate authority for these tests, and what it should and should not have signed.

use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;

/// What a server shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certificate {
    /// For `localhost` and the loopback addresses, by the authority that is trusted.
    Trusted,
    OtherName,
    Expired,
    NotYetValid,
    SelfSigned,
    /// By an authority that nobody trusts.
    Untrusted,
    /// By the authority that is trusted, for the other end of a connection.
    ForClients,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn trusted() -> &'static Authority {
    static TRUSTED: OnceLock<Authority> = OnceLock::new();
    TRUSTED.get_or_init(|| authority("trusted by the tests"))
}

/// The one root that the clients of these tests trust.
pub fn root_pem() -> &'static str {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| trusted().pem())
}

/// A TLS server's settings, for both versions that clients may speak.
pub fn server_config(certificate: Certificate) -> Arc<ServerConfig> {
    config(certificate, rustls::ALL_VERSIONS)
}

pub fn tls12_server_config(certificate: Certificate) -> Arc<ServerConfig> {
    config(certificate, &[&rustls::version::TLS12])
}

fn config(
    certificate: Certificate,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let names = match certificate {
        Certificate::OtherName => vec!["other.example".to_string()],
        _ => vec!["localhost".to_string(), "127.0.0.1".into(), "::1".into()],
    };
    let mut params = CertificateParams::new(names).unwrap();
    match certificate {
        Certificate::Expired => {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        Certificate::NotYetValid => {
            params.not_before = date_time_ymd(3001, 1, 1);
            params.not_after = date_time_ymd(3002, 1, 1);
        }
        Certificate::ForClients => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        _ => {}
    }
    let key = KeyPair::generate().unwrap();
    let signed = match certificate {
        Certificate::SelfSigned => params.self_signed(&key),
        Certificate::Untrusted => params.signed_by(&key, &authority("trusted by nobody")),
        _ => params.signed_by(&key, trusted()),
    };
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.unwrap().der().clone()], key)
        .unwrap();
    Arc::new(config)
}
