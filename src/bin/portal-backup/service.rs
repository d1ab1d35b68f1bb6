//! The client that the options ask for, and the stand-in for the service.

use std::path::Path;
use std::time::Duration;

use portal_backup::{ApiKey, Client, Sandbox};

use crate::arguments::{API_KEY, Call};
use crate::ending::{Ending, Result};
use crate::input::{read_file, text_of};

pub(crate) fn start_sandbox(port: u16) -> Result<Sandbox> {
    Sandbox::start_on(port).map_err(|e| Ending::new(2, format!("the sandbox cannot be started: {e}")))
}

pub(crate) fn client(call: &Call, sandbox: Option<&Sandbox>) -> Result<Client> {
    let key = match (sandbox, &call.api_key_file) {
        (Some(sandbox), _) => ApiKey::new(sandbox.api_key())?,
        (None, Some(file)) => read_key(file)?,
        (None, None) => ApiKey::from_env(API_KEY)?,
    };
    // One call to each host: a connection that is kept keeps the last bytes that TLS decrypted.
    let mut builder = Client::builder(key).proxy_from_env(true).keep_alive(Duration::ZERO);
    let own = |url: &Option<String>| sandbox.map(|s| s.url().to_string()).or_else(|| url.clone());
    if let Some(url) = own(&call.base_url) {
        builder = builder.base_url(url);
    }
    if let Some(url) = own(&call.client_api_url) {
        builder = builder.client_api_url(url);
    }
    if let Some(file) = &call.ca_cert {
        let pem = read_file("--ca-cert", file, 4 << 20)?;
        builder = builder.root_certs_pem(text_of("--ca-cert", &pem)?);
    }
    if let Some(timeout) = call.timeout {
        builder = builder.timeout(timeout);
    }
    Ok(builder.build()?)
}

fn read_key(file: &Path) -> Result<ApiKey> {
    let bytes = read_file("--api-key-file", file, 8 << 10)?;
    let text = text_of("--api-key-file", &bytes)?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    Ok(ApiKey::new(line.strip_suffix('\r').unwrap_or(line))?)
}
