//! The same call with ureq and serde_json as a program would use them: all defaults, and a timeout.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

pub(crate) struct Plain {
    agent: Agent,
    url: String,
    authorization: String,
}

#[derive(serde::Serialize)]
struct BackupRequest<'a> {
    #[serde(rename = "generateResponse")]
    generate_response: &'a str,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) struct BackupResponse {
    pub(crate) secp256k1: MpcShare,
    pub(crate) ed25519: MpcShare,
}

#[derive(serde::Deserialize)]
pub(crate) struct MpcShare {
    pub(crate) share: String,
    pub(crate) id: String,
}

impl Plain {
    pub(crate) fn new(base_url: &str, roots_pem: &str, key: &str) -> Self {
        let roots = parse_pem(roots_pem.as_bytes()).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        });
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(roots))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder().tls_config(tls).timeout_global(Some(Duration::from_secs(120))).build();
        Self { agent: config.into(), url: format!("{base_url}/v1/backup"), authorization: format!("Bearer {key}") }
    }

    pub(crate) fn backup(&self, generate_response: &str) -> Result<BackupResponse, Box<dyn Error>> {
        // The two lines on JSON are what `send_json` and `read_json` of ureq's feature `json` do.
        let json = serde_json::to_vec(&BackupRequest { generate_response })?;
        let mut response = self
            .agent
            .post(&self.url)
            .header("Authorization", &self.authorization)
            .header("Content-Type", "application/json")
            .send(&json)?;
        Ok(serde_json::from_slice(&response.body_mut().read_to_vec()?)?)
    }
}
