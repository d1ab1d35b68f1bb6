//! Roots, crypto provider and client certificate: every combination that cannot work is found here, before a call.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;

use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::{ALL_VERSIONS, ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::pem::{self, Section};
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
const A_FEW: usize = 3;

const ROOT: &str = "root certificate";
const CLIENT: &str = "client certificate";

pub(super) fn config(
    roots: &Roots,
    client_cert_pem: Option<&SecretBytes>,
) -> Result<Arc<ClientConfig>, InvalidInput> {
    let builder = ClientConfig::builder_with_provider(provider()?)
        .with_protocol_versions(ALL_VERSIONS)
        .map_err(|e| InvalidInput::new("the rustls crypto provider cannot be used").about(&e.to_string()))?;
    let builder = match roots {
        Roots::Bundled => {
            builder.with_root_certificates(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
        }
        Roots::Platform => with_platform_roots(builder)?,
        Roots::Pem(pem) => builder.with_root_certificates(own_roots(pem)?),
    };
    Ok(Arc::new(match client_cert_pem {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let chain = client_chain(pem.expose())?;
            // Last, since it is the provider that wipes it.
            let key = private_key(pem.expose())?;
            builder.with_client_auth_cert(chain, key).map_err(|e| {
                InvalidInput::new("the client certificate cannot be used").about(&e.to_string())
            })?
        }
    }))
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
fn with_platform_roots(builder: WithoutRoots) -> Result<WithRoots, InvalidInput> {
    use rustls_platform_verifier::BuilderVerifierExt as _;
    builder
        .with_platform_verifier()
        .map_err(|e| InvalidInput::new("the platform's roots cannot be used").about(&e.to_string()))
}

#[cfg(not(feature = "platform-verifier"))]
fn with_platform_roots(_: WithoutRoots) -> Result<WithRoots, InvalidInput> {
    Err(InvalidInput::new("the platform's roots need the feature `platform-verifier`"))
}

fn own_roots(pem: &[u8]) -> Result<RootCertStore, InvalidInput> {
    let found: Vec<_> = certificates(pem).collect();
    let mut store = RootCertStore::empty();
    let mut first_mistake = None;
    for (i, section) in found.iter().enumerate() {
        let added = der(section, found.len()).and_then(|der| store.add(der).map_err(|e| e.to_string()));
        if let Err(why) = added {
            first_mistake.get_or_insert_with(|| unusable(ROOT, i, &why));
        }
    }
    match first_mistake {
        Some(mistake) if found.len() <= A_FEW || store.is_empty() => Err(mistake),
        None if store.is_empty() => Err(none_found(pem, ROOT)),
        _ => Ok(store),
    }
}

fn client_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidInput> {
    let found: Vec<_> = certificates(pem).collect();
    if found.is_empty() {
        return Err(none_found(pem, CLIENT));
    }
    let usable = |(i, section)| {
        let der = der(section, found.len()).map_err(|why| unusable(CLIENT, i, &why))?;
        ParsedCertificate::try_from(&der).map_err(|e| unusable(CLIENT, i, &e.to_string()))?;
        Ok(der)
    };
    found.iter().enumerate().map(usable).collect()
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, InvalidInput> {
    let mut mistake = "the client certificate's PEM holds no usable private key";
    for section in pem::sections(pem) {
        if section.is_encrypted() {
            mistake = "the client certificate's private key is encrypted: decrypt it first";
            continue;
        }
        let form: fn(Vec<u8>) -> PrivateKeyDer<'static> = match section.label {
            b"PRIVATE KEY" => |der| PrivateKeyDer::Pkcs8(der.into()),
            b"EC PRIVATE KEY" => |der| PrivateKeyDer::Sec1(der.into()),
            b"RSA PRIVATE KEY" => |der| PrivateKeyDer::Pkcs1(der.into()),
            _ => continue,
        };
        if let Some(der) = section.decode() {
            return Ok(form(der.into_vec()));
        }
    }
    Err(InvalidInput::new(mistake))
}

/// OpenSSL writes a certificate with what it is trusted for, which no other program reads.
const TRUSTED: &[u8] = b"TRUSTED CERTIFICATE";

fn certificates(pem: &[u8]) -> impl Iterator<Item = Section<'_>> {
    // The second is an older name of the first (RFC 7468, section 5.1).
    pem::sections(pem).filter(|it| [b"CERTIFICATE", &b"X509 CERTIFICATE"[..], TRUSTED].contains(&it.label))
}

/// Or why there is none; `all` is how many certificates its file holds.
fn der(section: &Section<'_>, all: usize) -> Result<CertificateDer<'static>, String> {
    if section.label == TRUSTED {
        // The one that everybody knows converts the first certificate only.
        let command = if all == 1 { "x509 -in OLD -out NEW" } else { "storeutl -certs -out NEW OLD" };
        return Err(format!("it is a `TRUSTED CERTIFICATE`; convert the file with `openssl {command}`"));
    }
    let bytes = section.decode().ok_or("it is cut off or not base64")?;
    Ok(bytes.into_vec().into())
}

fn unusable(what: &str, index: usize, why: &str) -> InvalidInput {
    InvalidInput::new(format!("{what} number {} of the PEM cannot be used", index + 1)).about(why)
}

/// Why there is no certificate in what should be PEM, and what would make it so.
fn none_found(file: &[u8], what: &str) -> InvalidInput {
    let is_pkcs7 = |it: Section<'_>| matches!(it.label, b"PKCS7" | b"PKCS #7 SIGNED DATA" | b"CMS");
    // The first member of the outermost SEQUENCE tells what it is.
    let (form, command) = match after_sequence(file).unwrap_or_default() {
        [0x30, ..] => ("DER", "x509 -inform der -in OLD -out NEW"),
        // The object identifier of PKCS#7.
        [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, ..] => {
            ("PKCS#7", "pkcs7 -inform der -print_certs -in OLD -out NEW")
        }
        // Version 3.
        [0x02, 0x01, 0x03, ..] => ("PKCS#12", "pkcs12 -nodes -in OLD -out NEW"),
        _ if pem::sections(file).any(is_pkcs7) => ("PKCS#7", "pkcs7 -print_certs -in OLD -out NEW"),
        _ if file.starts_with(&[0xff, 0xfe]) || file.starts_with(&[0xfe, 0xff]) => {
            return InvalidInput::new(format!("the PEM of the {what} is UTF-16: save it as UTF-8"));
        }
        _ => return InvalidInput::new(format!("the PEM holds no {what}")),
    };
    InvalidInput::new(format!("the {what} is in {form} and not in PEM: convert it with `openssl {command}`"))
}

/// What is in an ASN.1 SEQUENCE that is all of these bytes.
fn after_sequence(der: &[u8]) -> Option<&[u8]> {
    match der {
        [0x30, len @ 0..0x80, rest @ ..] if rest.len() == usize::from(*len) => Some(rest),
        // The long form of the length, in so many bytes.
        [0x30, long @ 0x80..=0x84, rest @ ..] => rest.get(usize::from(long & 0x7f)..),
        _ => None,
    }
}
