//! Roots, crypto provider and client certificate: what cannot work is found here, before a call. And what an error of TLS
//! means.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;

use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::{
    ALL_VERSIONS, AlertDescription, CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor, alg_id};

use super::pem;
use crate::invalid_input::InvalidInput;
use crate::secret::SecretBytes;

/// In a PEM of so many roots or fewer, each must be of use: somebody chose them. One with more is a collection, and
/// those of systems hold certificates that this or that program cannot use.
const MAX_CHOSEN: usize = 3;

/// Settings of TLS that trust these roots, else those of the operating system or Mozilla's, which are compiled in.
pub(super) fn config(
    root_certs_pem: Option<&[u8]>,
    platform_verifier: bool,
    client_cert_pem: Option<&SecretBytes>,
) -> Result<Arc<ClientConfig>, InvalidInput> {
    let unusable = |what: &'static str| move |e| InvalidInput::new(what).about(&explain(&e).0);
    let provider = provider()?;
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(ALL_VERSIONS)
        .map_err(unusable("the rustls crypto provider cannot be used"))?;
    let builder = match root_certs_pem {
        Some(pem) => builder.with_root_certificates(own_roots(pem, &provider)?),
        None if platform_verifier => {
            #[cfg(not(feature = "platform-verifier"))]
            return Err(InvalidInput::new("platform_verifier needs the feature `platform-verifier`"));
            #[cfg(feature = "platform-verifier")]
            rustls_platform_verifier::BuilderVerifierExt::with_platform_verifier(builder)
                .map_err(unusable("the platform's roots cannot be used"))?
        }
        None => {
            builder.with_root_certificates(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
        }
    };
    let Some(pem) = client_cert_pem else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let is_certificate = |der| match ParsedCertificate::try_from(&der) {
        Ok(_) => Ok(der),
        Err(e) => Err(name_of(&e)),
    };
    let chain = certificates(pem.expose(), "client certificate", is_certificate)?;
    let chain = chain.into_iter().collect::<Result<_, _>>()?;
    let key = private_key(pem.expose())?;
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

fn own_roots(pem: &[u8], provider: &CryptoProvider) -> Result<RootCertStore, InvalidInput> {
    let found = certificates(pem, "root certificate", |der| trust_anchor(der, provider))?;
    let (count, mut mistakes) = (found.len(), Vec::new());
    let usable = found.into_iter().filter_map(|root| root.map_err(|mistake| mistakes.push(mistake)).ok());
    let roots = Vec::from_iter(usable);
    match mistakes.into_iter().next() {
        Some(mistake) if count <= MAX_CHOSEN || roots.is_empty() => Err(mistake),
        _ => Ok(RootCertStore { roots }),
    }
}

/// What `parse` makes of each certificate, or why it cannot be used.
fn certificates<T>(
    pem: &[u8],
    what: &str,
    parse: impl Fn(CertificateDer<'static>) -> Result<T, String>,
) -> Result<Vec<Result<T, InvalidInput>>, InvalidInput> {
    let sections = pem::sections(pem).into_iter();
    let is_certificate = |label: &[u8]| label.ends_with(b"CERTIFICATE-----");
    let sections =
        sections.filter(|it| it.expose().split(|&b| b == b'\n').next().is_some_and(is_certificate));
    let results = sections.enumerate().map(|(i, section)| {
        let der = CertificateDer::from_pem_slice(section.expose());
        der.map_err(|_| "it is cut off, not base64, or no plain `CERTIFICATE`".to_owned())
            .and_then(&parse)
            .map_err(|why| {
                InvalidInput::new(format!("{what} number {} of the PEM cannot be used", i + 1)).about(&why)
            })
    });
    let results = Vec::from_iter(results);
    if results.is_empty() {
        let form =
            "convert a file in another form with `openssl x509 -inform der -in OLD -out NEW` or the like";
        return Err(InvalidInput::new(format!("the PEM holds no {what}: {form}")));
    }
    Ok(results)
}

fn trust_anchor(der: CertificateDer<'_>, provider: &CryptoProvider) -> Result<TrustAnchor<'static>, String> {
    let mut store = RootCertStore::empty();
    store.add(der).map_err(|e| name_of(&e))?;
    // A root whose key nothing can be checked with would vouch for nobody.
    let can_verify = |root: &TrustAnchor<'_>| can_verify(&root.subject_public_key_info, provider);
    store.roots.pop().filter(can_verify).ok_or_else(|| {
        "its key is of a kind or length that is not supported; RSA from 2048 to 8192 bits, P-256 and P-384 are".into()
    })
}

/// Whether the provider knows this kind of key.
fn can_verify(public_key_info: &[u8], provider: &CryptoProvider) -> bool {
    // A SEQUENCE of DER, then the key. Those that the provider knows are short.
    let [0x30, len, rest @ ..] = public_key_info else { return false };
    let algorithm = rest.get(..usize::from(*len)).unwrap_or_default();
    let known = provider.signature_verification_algorithms.all;
    // With a short exponent of 2048 bits, and with a long one of 8192.
    let has_length = *algorithm != *alg_id::RSA_ENCRYPTION || (288..=1062).contains(&public_key_info.len());
    has_length && known.iter().any(|it| *it.public_key_alg_id() == *algorithm)
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, InvalidInput> {
    let mut keys = pem::sections(pem).into_iter();
    keys.find_map(|section| PrivateKeyDer::from_pem_slice(section.expose()).ok()).ok_or_else(|| {
        InvalidInput::new(match memchr::memmem::find(pem, b"ENCRYPTED") {
            Some(_) => "the client certificate's private key is encrypted: decrypt it first",
            None => "the client certificate's PEM holds no usable private key",
        })
    })
}

/// What an error of TLS means, and what to do about it: without the bytes that texts of rustls can hold.
pub(super) fn explain(e: &Error) -> (String, &'static str) {
    use AlertDescription as Alert;
    const CLIENT_CERT: &str = "check what is passed to `client_cert_pem`";
    const ADDRESS: &str = "check the address; the connection may be intercepted";
    let (what, advice) = match e {
        Error::InvalidCertificate(why) => return explain_certificate(why),
        Error::AlertReceived(Alert::CertificateRequired) => {
            ("it wants a client certificate", "pass one to `client_cert_pem`")
        }
        Error::AlertReceived(Alert::HandshakeFailure) => {
            ("it has no cipher in common, or wants a client certificate", "check what it takes")
        }
        // From `bad_certificate` to `access_denied` (RFC 8446, section 6.2).
        Error::AlertReceived(alert) if matches!(u8::from(*alert), 42..=46 | 48 | 49) => {
            return (format!("it refused the client certificate, or wants one ({alert:?})"), CLIENT_CERT);
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            ("it does not speak TLS", "check the address and its port")
        }
        Error::InconsistentKeys(_) => ("the private key is not that of the certificate", CLIENT_CERT),
        Error::General(text) => (&**text, ADDRESS),
        _ => return (format!("TLS failed: {}", name_of(e)), ADDRESS),
    };
    (what.into(), advice)
}

fn explain_certificate(why: &CertificateError) -> (String, &'static str) {
    use CertificateError as Bad;
    const CLOCK: &str = "check the clock of this machine, then the server's certificate";
    const SERVER: &str =
        "check the address: the server needs another certificate, or the connection is intercepted";
    const ISSUER: &str = "check the address, since the connection may be intercepted; to trust this authority, pass \
                          its certificate to `root_certs_pem` (--ca-cert), or use `platform_verifier` (--system-certs)";
    let (what, advice) = match why {
        Bad::Expired | Bad::ExpiredContext { .. } => ("its certificate has expired", CLOCK),
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => ("its certificate is not valid yet", CLOCK),
        Bad::UnknownIssuer => ("its certificate is signed by an authority that is not trusted", ISSUER),
        // Such as an authority that was made anew under its old name.
        Bad::BadSignature => (
            "its certificate is not signed by the trusted authority of that name, or with a short key",
            ISSUER,
        ),
        Bad::NotValidForNameContext { presented, .. } => {
            // Each is written as `DnsName("a.example")`.
            let names = presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name));
            return (
                format!("its certificate is for other names: {}", Vec::from_iter(names).join(", ")),
                SERVER,
            );
        }
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => {
            ("its certificate is not for servers", SERVER)
        }
        Bad::UnsupportedSignatureAlgorithmContext { .. }
        | Bad::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            ("its certificate has a key or signature that is not supported, such as P-521 or SHA-1", SERVER)
        }
        Bad::Other(why) if why.to_string() == "CaUsedAsEndEntity" => (
            "its certificate is that of a certificate authority (CA:TRUE), which a server must not show",
            "give the server one that this authority signed, or a self-signed one with CA:FALSE as its own root",
        ),
        _ => return (format!("its certificate cannot be used: {}", name_of(why)), SERVER),
    };
    (what.into(), advice)
}

/// The names of an error's variants, such as `InvalidCertificate(BadEncoding)`, without their data.
fn name_of(e: &impl core::fmt::Debug) -> String {
    format!("{e:?}").split(['[', '{', '"']).next().unwrap_or_default().trim_end().into()
}
