//! Roots, crypto provider and client certificate: what cannot work is found here, before a call. And what an error of TLS
//! means.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;

use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::{
    ALL_VERSIONS, AlertDescription, CertificateError, ClientConfig, ConfigBuilder, Error, InvalidMessage,
    RootCertStore, WantsVerifier,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor, UnixTime, alg_id};

use super::pem;
use crate::invalid_input::InvalidInput;
use crate::secret::SecretBytes;

/// Which certificates may vouch for the service.
pub(super) enum Roots {
    /// Mozilla's, compiled in.
    Bundled,
    /// The operating system's.
    Platform,
    /// These, in PEM.
    Pem(Vec<u8>),
}

/// In a PEM of so many roots or fewer, each must be of use: somebody chose them. One with more is a collection, and
/// those of systems hold certificates that this or that program cannot use.
const MAX_CHOSEN: usize = 3;

pub(super) fn config(
    roots: &Roots,
    client_cert_pem: Option<&SecretBytes>,
) -> Result<Arc<ClientConfig>, InvalidInput> {
    let unusable = |what: &'static str| move |e| InvalidInput::new(what).about(&explain(&e).0);
    let provider = provider()?;
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(ALL_VERSIONS)
        .map_err(unusable("the rustls crypto provider cannot be used"))?;
    let builder = match roots {
        Roots::Bundled => {
            builder.with_root_certificates(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
        }
        Roots::Platform => {
            with_platform_roots(builder).map_err(unusable("the platform's roots cannot be used"))?
        }
        Roots::Pem(pem) => builder.with_root_certificates(own_roots(pem, &provider)?),
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

#[cfg(feature = "ring")]
fn provider() -> Result<Arc<CryptoProvider>, InvalidInput> {
    Ok(Arc::new(rustls::crypto::ring::default_provider()))
}

#[cfg(not(feature = "ring"))]
fn provider() -> Result<Arc<CryptoProvider>, InvalidInput> {
    CryptoProvider::get_default().cloned().ok_or_else(|| {
        InvalidInput::new(
            "no crypto provider: enable the feature `ring`, or call rustls' `CryptoProvider::install_default` first",
        )
    })
}

type WithoutRoots = ConfigBuilder<ClientConfig, WantsVerifier>;
type WithRoots = ConfigBuilder<ClientConfig, WantsClientCert>;

#[cfg(feature = "platform-verifier")]
fn with_platform_roots(builder: WithoutRoots) -> Result<WithRoots, Error> {
    rustls_platform_verifier::BuilderVerifierExt::with_platform_verifier(builder)
}

#[cfg(not(feature = "platform-verifier"))]
fn with_platform_roots(_: WithoutRoots) -> Result<WithRoots, Error> {
    Err(Error::General("this build is without the feature `platform-verifier`".into()))
}

fn own_roots(pem: &[u8], provider: &CryptoProvider) -> Result<RootCertStore, InvalidInput> {
    let found = certificates(pem, "root certificate", |der| trust_anchor(der, provider))?;
    let is_chosen = found.len() <= MAX_CHOSEN;
    let (mut roots, mut first_mistake) = (Vec::new(), None);
    for root in found {
        match root {
            Ok(root) => roots.push(root),
            Err(mistake) => _ = first_mistake.get_or_insert(mistake),
        }
    }
    match first_mistake {
        Some(mistake) if is_chosen || roots.is_empty() => Err(mistake),
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
    let can_verify =
        |root: &TrustAnchor<'_>| can_verify(&root.subject_public_key_info, provider) == Some(true);
    store.roots.pop().filter(can_verify).ok_or_else(|| {
        "its key is of a kind or length that is not supported: it takes RSA from 2048 to 8192 bits, or ECDSA on P-256 \
         or P-384"
            .into()
    })
}

/// Whether the provider knows this kind of key; `None` if it is malformed.
fn can_verify(public_key_info: &[u8], provider: &CryptoProvider) -> Option<bool> {
    const SEQUENCE: u8 = 0x30;
    let (algorithm, rest) = element(SEQUENCE, public_key_info)?;
    let known = provider.signature_verification_algorithms.all;
    if !known.iter().any(|it| *it.public_key_alg_id() == *algorithm) {
        return Some(false);
    }
    if *algorithm != *alg_id::RSA_ENCRYPTION {
        return Some(true);
    }
    const BIT_STRING: u8 = 3;
    const INTEGER: u8 = 2;
    // After the number of bits of its last byte that do not count.
    let (key, _) = element(SEQUENCE, element(BIT_STRING, rest)?.0.get(1..)?)?;
    let (modulus, _) = element(INTEGER, key)?;
    // Its first byte is a zero, for the sign.
    Some((257..=1025).contains(&modulus.len()))
}

/// The content of an element of DER with this tag, and what follows.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = match der.strip_prefix(&[tag])? {
        [len @ ..=0x7f, rest @ ..] | [0x81, len, rest @ ..] => (usize::from(*len), rest),
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    rest.split_at_checked(len)
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
    const ADDRESS: &str = "check the address; the connection may be intercepted";
    const CLIENT_CERT: &str = "check what is passed to `client_cert_pem`";
    match e {
        Error::InvalidCertificate(why) => explain_certificate(why),
        Error::AlertReceived(Alert::CertificateRequired) => {
            ("it wants a client certificate".into(), "pass one to `client_cert_pem`")
        }
        Error::AlertReceived(
            alert @ (Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied),
        ) => (format!("it refused the client certificate, or wants one ({alert:?})"), CLIENT_CERT),
        Error::AlertReceived(Alert::HandshakeFailure) => (
            "it refused the TLS handshake: there is no cipher in common, or it wants a client certificate"
                .into(),
            CLIENT_CERT,
        ),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            ("it does not speak TLS".into(), "check the address and its port")
        }
        Error::InconsistentKeys(_) => ("the private key is not that of the certificate".into(), CLIENT_CERT),
        Error::General(text) => (text.clone(), ADDRESS),
        Error::AlertReceived(alert) => (format!("it refused the TLS handshake ({alert:?})"), ADDRESS),
        _ => (format!("TLS failed ({})", name_of(e)), ADDRESS),
    }
}

fn explain_certificate(why: &CertificateError) -> (String, &'static str) {
    use CertificateError as Bad;
    const CLOCK: &str = "check the clock of this machine, then the server's certificate";
    const SERVER: &str =
        "check the address: the server needs another certificate, or the connection is intercepted";
    const ISSUER: &str = "check the address, since the connection may be intercepted; to trust this authority, pass its \
                          certificate to `root_certs_pem`, or use `platform_verifier`";
    let days =
        |from: &UnixTime, to: &UnixTime| to.as_secs().saturating_sub(from.as_secs()).div_ceil(24 * 60 * 60);
    match why {
        Bad::Expired => ("its certificate has expired".into(), CLOCK),
        Bad::ExpiredContext { time, not_after } => {
            (format!("its certificate expired {} days ago", days(not_after, time)), CLOCK)
        }
        Bad::NotValidYet => ("its certificate is not valid yet".into(), CLOCK),
        Bad::NotValidYetContext { time, not_before } => {
            (format!("its certificate is not valid until in {} days", days(time, not_before)), CLOCK)
        }
        Bad::UnknownIssuer => ("its certificate is signed by an authority that is not trusted".into(), ISSUER),
        Bad::NotValidForName => ("its certificate is for another name".into(), SERVER),
        Bad::NotValidForNameContext { presented, .. } => {
            // Each is written as `DnsName("a.example")`.
            let names = presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name));
            (format!("its certificate is for other names: {}", Vec::from_iter(names).join(", ")), SERVER)
        }
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => ("its certificate is not for servers".into(), SERVER),
        Bad::BadSignature => {
            ("a signature on its certificate is wrong, or of a key that is too short".into(), SERVER)
        }
        Bad::UnsupportedSignatureAlgorithmContext { .. }
        | Bad::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => (
            "its certificate has a key or a signature of a kind that is not supported, such as SHA-1 or P-521".into(),
            SERVER,
        ),
        Bad::Other(why) if why.to_string() == "CaUsedAsEndEntity" => (
            "its certificate is that of a certificate authority (CA:TRUE), which a server must not show".into(),
            "give the server a certificate that this authority signed, or one of its own with CA:FALSE, and pass that to \
             `root_certs_pem`",
        ),
        Bad::Other(why) => (format!("its certificate cannot be used: {why}"), SERVER),
        _ => (format!("its certificate cannot be used ({})", name_of(why)), SERVER),
    }
}

/// The names of an error's variants, such as `InvalidCertificate(BadEncoding)`, without data.
fn name_of(e: &impl core::fmt::Debug) -> String {
    format!("{e:?}").split(['[', '{', '"']).next().unwrap_or_default().trim_end().into()
}
