//! Roots, crypto provider and client certificate: every combination that cannot work is found here, before a call.

use alloc::format;
use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec::Vec;

use memchr::memmem;
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::{ALL_VERSIONS, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

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

pub(super) fn config(
    roots: &Roots,
    client_cert_pem: Option<&SecretBytes>,
) -> Result<TlsConfig, InvalidInput> {
    let provider = provider()?;
    // ureq would panic on a provider that supports no version.
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(ALL_VERSIONS)
        .map_err(|e| InvalidInput::new("the rustls crypto provider cannot be used").about(&e.to_string()))?;

    let client_cert = match client_cert_pem {
        None => None,
        Some(pem) => {
            // Of PKCS#8, and of the older forms in their `Proc-Type`; base64 holds neither.
            if [&b" ENCRYPTED"[..], b",ENCRYPTED"]
                .iter()
                .any(|mark| memmem::find(pem.expose(), mark).is_some())
            {
                return Err(InvalidInput::new(
                    "the client certificate's private key is encrypted: decrypt it first",
                ));
            }
            let chain = certificates(pem.expose(), "client certificate")?;
            for (i, certificate) in chain.iter().enumerate() {
                ParsedCertificate::try_from(certificate)
                    .map_err(|e| unusable("client certificate", i).about(&e.to_string()))?;
            }
            let key = PrivateKeyDer::from_pem_slice(pem.expose())
                .map_err(|_| InvalidInput::new("the client certificate's PEM holds no usable private key"))?;
            let chain_copy = chain.iter().map(|cert| Certificate::from_der(cert).to_owned());
            let chain_copy: Vec<_> = chain_copy.collect();
            // ureq would panic on a key that does not fit.
            builder
                .with_root_certificates(RootCertStore::empty())
                .with_client_auth_cert(chain, key)
                .map_err(|e| {
                    InvalidInput::new("the client certificate cannot be used").about(&e.to_string())
                })?;
            let key = PrivateKey::from_pem(pem.expose())
                .map_err(|_| InvalidInput::new("the client certificate's PEM holds no usable private key"))?;
            Some(ClientCert::new_with_certs(&chain_copy, key))
        }
    };

    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(root_certs(roots)?)
        .client_cert(client_cert)
        .build())
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

fn root_certs(roots: &Roots) -> Result<RootCerts, InvalidInput> {
    match roots {
        Roots::Bundled => Ok(RootCerts::WebPki),
        Roots::Platform if cfg!(feature = "platform-verifier") => Ok(RootCerts::PlatformVerifier),
        Roots::Platform => {
            Err(InvalidInput::new("the platform's roots need the feature `platform-verifier`"))
        }
        Roots::Pem(pem) => {
            let certificates = certificates(pem, "root certificate")?;
            let mut store = RootCertStore::empty();
            for (i, certificate) in certificates.iter().enumerate() {
                // ureq would leave out in silence what it cannot use.
                store
                    .add(certificate.clone())
                    .map_err(|e| unusable("root certificate", i).about(&e.to_string()))?;
            }
            Ok(RootCerts::from(certificates.iter().map(|cert| Certificate::from_der(cert).to_owned())))
        }
    }
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, InvalidInput> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .enumerate()
        .map(|(i, found)| found.map_err(|_| unusable(what, i)))
        .collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() {
        return Err(InvalidInput::new(format!("the PEM holds no {what}")));
    }
    Ok(certificates)
}

fn unusable(what: &str, index: usize) -> InvalidInput {
    InvalidInput::new(format!("{what} number {} of the PEM cannot be used", index + 1))
}
