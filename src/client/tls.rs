//! Roots, crypto provider and client certificate: what cannot work is found here, before a call. And what an error of
//! TLS means.

use alloc::string::{String, ToString as _};
use alloc::{format, sync::Arc, vec::Vec};

use memchr::memmem;
use rustls::crypto::CryptoProvider;
use rustls::{ALL_VERSIONS, AlertDescription, CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::invalid_input::InvalidInput;
use crate::secret::SecretBytes;

/// Settings of TLS that trust these roots, else those of the operating system or Mozilla's, which are compiled in.
pub(super) fn config(
    root_certs_pem: Option<&[u8]>,
    platform_verifier: bool,
    client_cert_pem: Option<&SecretBytes>,
) -> Result<Arc<ClientConfig>, InvalidInput> {
    let unusable = |what: &'static str| move |e| InvalidInput::new(what).about(&explain(&e).0);
    let builder = ClientConfig::builder_with_provider(provider()?)
        .with_protocol_versions(ALL_VERSIONS)
        .map_err(unusable("the rustls crypto provider cannot be used"))?;
    let builder = match root_certs_pem {
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            // The bundles of systems hold a few that this or that program cannot use.
            if roots.add_parsable_certificates(certificates(pem, "root_certs_pem (--ca-cert)", "root certificate")?).0
                == 0
            {
                return Err(InvalidInput::new("root_certs_pem (--ca-cert) holds no root certificate that can be used"));
            }
            builder.with_root_certificates(roots)
        }
        None if platform_verifier => {
            #[cfg(not(feature = "platform-verifier"))]
            return Err(InvalidInput::new("platform_verifier needs the feature `platform-verifier`"));
            #[cfg(feature = "platform-verifier")]
            rustls_platform_verifier::BuilderVerifierExt::with_platform_verifier(builder)
                .map_err(unusable("the platform's roots cannot be used"))?
        }
        None => builder.with_root_certificates(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }),
    };
    let Some(pem) = client_cert_pem else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let chain = certificates(pem.expose(), "client_cert_pem", "client certificate")?;
    let no_key = "client_cert_pem holds a client certificate without a private key that can be read: add it, \
                  decrypted with `openssl pkey -in OLD -out NEW`";
    let key = PrivateKeyDer::from_pem_slice(pem.expose()).map_err(|_| InvalidInput::new(no_key))?;
    let config = builder.with_client_auth_cert(chain, key);
    config.map(Arc::new).map_err(unusable("the client certificate cannot be used"))
}

fn provider() -> Result<Arc<CryptoProvider>, InvalidInput> {
    #[cfg(feature = "ring")]
    return Ok(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(feature = "ring"))]
    CryptoProvider::get_default().cloned().ok_or(InvalidInput::new(
        "no crypto provider: enable the feature `ring`, or call rustls' `CryptoProvider::install_default` first",
    ))
}

fn certificates(pem: &[u8], setting: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, InvalidInput> {
    let pem = pem.strip_prefix("\u{feff}".as_bytes()).unwrap_or(pem);
    let found = Vec::from_iter(CertificateDer::pem_slice_iter(pem).filter_map(Result::ok));
    let mistake = match memmem::find_iter(pem, "-----BEGIN CERTIFICATE-----").count() {
        0 => "no",
        announced if announced > found.len() => "a damaged",
        _ => return Ok(found),
    };
    Err(InvalidInput::new(format!(
        "{setting} holds {mistake} {what}: each begins and ends with a line of its own; \
         convert a file in another form with `openssl x509 -inform der -in OLD -out NEW` or the like"
    )))
}

/// Whether the server refused the handshake: `handshake_failure`, `no_certificate` (which Mbed TLS sends),
/// `bad_certificate` to `access_denied` without `illegal_parameter`, `certificate_required` (RFC 8446, section 6.2).
pub(super) fn is_refusal(e: &Error) -> bool {
    matches!(e, Error::AlertReceived(alert) if matches!(u8::from(*alert), 40..=46 | 48 | 49 | 116))
}

/// What an error of TLS means, and what to do about it: without the bytes that texts of rustls can hold.
pub(super) fn explain(e: &Error) -> (String, &'static str) {
    use CertificateError as Bad;
    use Error::{AlertReceived, InvalidCertificate as Invalid};
    const CLIENT_CERT: &str = "check what is passed to `client_cert_pem`";
    const ADDRESS: &str = "check the address; the connection may be intercepted";
    const CLOCK: &str = "check the clock of this machine, then the server's certificate";
    const SERVER: &str = "check the address: the server needs another certificate, or the connection is intercepted";
    const ISSUER: &str = "check the address, since the connection may be intercepted; to trust this authority, pass \
                          its certificate to `root_certs_pem` (--ca-cert), or add it to those of the system and use \
                          `platform_verifier` (--system-certs)";
    let (what, advice) = match e {
        AlertReceived(AlertDescription::HandshakeFailure) => {
            ("it has no cipher in common, or wants a client certificate", "check what it takes")
        }
        AlertReceived(alert) if is_refusal(e) => {
            return (format!("it wants a client certificate, or another one ({alert:?})"), CLIENT_CERT);
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            ("it does not speak TLS", "check the address and its port")
        }
        Error::InconsistentKeys(_) => ("the private key is not that of the certificate", CLIENT_CERT),
        Error::General(text) => (&**text, ADDRESS),
        Invalid(Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            ("its certificate has expired, or is not valid yet", CLOCK)
        }
        Invalid(Bad::UnknownIssuer) => ("its certificate is signed by an authority that is not trusted", ISSUER),
        // Such as an authority that was made anew under its old name; a key that is not supported looks the same.
        Invalid(Bad::BadSignature | Bad::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }) => (
            "its certificate is not signed by the trusted authority of that name, or with a key that is not supported, \
             such as P-521 or RSA below 2048 bits",
            ISSUER,
        ),
        Invalid(Bad::NotValidForNameContext { presented, .. }) => {
            // Each is written as `DnsName("a.example")`.
            let names = presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name));
            let names = Vec::from_iter(names).join(", ");
            return (format!("its certificate is for other names: {names}"), SERVER);
        }
        Invalid(Bad::InvalidPurposeContext { .. }) => ("its certificate is not for servers", SERVER),
        Invalid(Bad::UnsupportedSignatureAlgorithmContext { .. }) => {
            ("its certificate has a key or signature that is not supported, such as P-521 or SHA-1", SERVER)
        }
        Invalid(Bad::Other(why)) if why.to_string() == "CaUsedAsEndEntity" => (
            "its certificate is that of a certificate authority (CA:TRUE), which a server must not show",
            "give the server one that this authority signed, or a self-signed one with CA:FALSE as its own root",
        ),
        _ => {
            // The names of the variants, such as `InvalidCertificate(BadEncoding)`, without their data.
            let text = format!("{e:?}");
            let names = text.split(['[', '{', '"']).next().unwrap_or_default().trim_end();
            return (format!("TLS failed: {names}"), ADDRESS);
        }
    };
    (what.into(), advice)
}
