//! The settings of a client, and what is wrong with them.

use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::time::Duration;

use ureq::http::Uri;

use super::calls::{Client, Shared, authorization};
use super::connect::{ConnectOptions, Settings};
use super::pool::Pool;
use super::proxy::{Proxy, host_and_port};
use super::tls;
use crate::error::Error;
use crate::invalid_input::InvalidInput;
use crate::outcome::debug_as;
use crate::secret::{ApiKey, SecretBytes};
use crate::wire;
use crate::wire::backup::{BackupShares, GenerateResponse};

/// Sets up a [`Client`]; every mistake comes back from [`build`](Self::build).
///
/// ```
/// use std::time::Duration;
/// use portal_backup::{ApiKey, Client};
///
/// let client = Client::builder(ApiKey::new("0d7a11c8-demo")?)
///     .timeout(Duration::from_secs(30))
///     .build()?;
/// # Ok::<(), portal_backup::Error>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct ClientBuilder {
    key: ApiKey,
    base_url: String,
    client_api_url: String,
    settings: Settings,
    root_certs_pem: Option<Vec<u8>>,
    client_cert_pem: Option<SecretBytes>,
    platform_verifier: bool,
    proxy: Option<SecretBytes>,
    proxy_from_env: bool,
}

impl ClientBuilder {
    /// Starts from the defaults, with the key that both calls need.
    pub fn new(key: ApiKey) -> Self {
        Self {
            key,
            base_url: wire::backup::BASE_URL.into(),
            client_api_url: wire::confirm::BASE_URL.into(),
            settings: Settings {
                timeout: Duration::from_secs(120),
                connect_timeout: Duration::from_secs(10),
                keep_alive: Duration::from_secs(3),
                attempts: 3,
                max_response_bytes: 1 << 20,
                user_agent: concat!("portal-backup/", env!("CARGO_PKG_VERSION")).into(),
                allow_trace_logging: false,
            },
            root_certs_pem: None,
            client_cert_pem: None,
            platform_verifier: false,
            proxy: None,
            proxy_from_env: false,
        }
    }

    /// Where the Enclave MPC API is served: `https://host[:port][/prefix]`.
    ///
    /// Plain `http` is accepted only for `localhost` and loopback addresses. User names and passwords are refused.
    /// Defaults to `https://mpc-client.portalhq.io`.
    pub fn base_url(self, url: impl AsRef<str>) -> Self {
        Self { base_url: url.as_ref().into(), ..self }
    }

    /// Where the Client API is served, which takes the confirmation; same form as [`base_url`](Self::base_url).
    ///
    /// Defaults to `https://api.portalhq.io`.
    pub fn client_api_url(self, url: impl AsRef<str>) -> Self {
        Self { client_api_url: url.as_ref().into(), ..self }
    }

    /// How long a whole call may take, name lookup and repetitions included: 1 ms to 24 h.
    ///
    /// Defaults to 120 s, since making shares takes its time.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { settings: Settings { timeout, ..self.settings }, ..self }
    }

    /// How long it may take to have a connection, name lookup and TLS handshake included: 1 ms to 24 h.
    ///
    /// Defaults to 10 s.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        Self { settings: Settings { connect_timeout: timeout, ..self.settings }, ..self }
    }

    /// How many times a call is tried at most: 1 to 100.
    ///
    /// `backup` is repeated only while the service provably did not act: the request was not sent, or was refused with
    /// a 429 whose `Retry-After` fits into what is left of the timeout. `confirm` is idempotent, so it is also repeated
    /// after a 5xx, a broken connection or a success that is not understood. A wrong certificate, a name that does not
    /// exist or a proxy that wants a password is never tried again; a resolver or a proxy that fails for now is.
    ///
    /// Defaults to 3.
    pub fn attempts(self, attempts: u32) -> Self {
        Self { settings: Settings { attempts, ..self.settings }, ..self }
    }

    /// Trusts these root certificates (PEM, one or more) instead of the bundled ones of Mozilla.
    ///
    /// Each must be whole, and at least one a certificate that can be used; other text and other sections may stand
    /// around them. A root with a key that the crypto provider cannot check (`ring`: RSA from 2048 to 8192 bits, P-256,
    /// P-384, Ed25519) vouches for nobody, which the call says. Cannot be combined with
    /// [`platform_verifier`](Self::platform_verifier). Defaults to Mozilla's roots, compiled in.
    pub fn root_certs_pem(self, pem: impl AsRef<[u8]>) -> Self {
        Self { root_certs_pem: Some(pem.as_ref().into()), ..self }
    }

    /// Presents this certificate to the server: PEM with the chain, the client's own certificate first, and the private
    /// key (PKCS#8, SEC1 or PKCS#1, not encrypted).
    ///
    /// The copy in the builder is wiped; what reads the PEM frees copies of the key that are not, and the crypto
    /// provider keeps one. Defaults to none.
    pub fn client_cert_pem(self, pem: impl AsRef<[u8]>) -> Self {
        Self { client_cert_pem: Some(SecretBytes::new(pem.as_ref().into())), ..self }
    }

    /// Trusts what the operating system trusts, instead of the bundled roots; needs the feature `platform-verifier`.
    ///
    /// On Linux that is what OpenSSL would read, `SSL_CERT_FILE` and `SSL_CERT_DIR` included.
    ///
    /// Defaults to `false`.
    pub fn platform_verifier(self, on: bool) -> Self {
        Self { platform_verifier: on, ..self }
    }

    /// Connects through this HTTP proxy, with CONNECT: `http://[user:password@]host[:port]`, or `https://…`.
    ///
    /// The port is 80 or 443 if there is none; user and password are percent-encoded, and what reads the URL frees
    /// copies of them that are not wiped. The guide `docs/proxies.md` has the forms beside those of other programs.
    ///
    /// The proxy sees the host name of the service and encrypted bytes. Plain HTTP to loopback never goes through it.
    /// An `https` proxy is held to the same roots as the service, and is shown the client certificate if it asks.
    /// Defaults to none.
    pub fn proxy(self, url: impl AsRef<str>) -> Self {
        Self { proxy: Some(SecretBytes::new(url.as_ref().as_bytes().into())), ..self }
    }

    /// Takes the proxy from the first of `HTTPS_PROXY`, `https_proxy`, `ALL_PROXY`, `all_proxy` that is set and not
    /// empty, unless `NO_PROXY` or `no_proxy` names the host, a domain that it is in or a range of addresses; the guide
    /// `docs/proxies.md` says how it is read. [`proxy`](Self::proxy) takes precedence.
    ///
    /// A proxy that is used for neither of the two servers is not looked at, and so cannot be wrong.
    ///
    /// Defaults to `false`: the environment is not looked at.
    pub fn proxy_from_env(self, on: bool) -> Self {
        Self { proxy_from_env: on, ..self }
    }

    /// How long a connection may stay unused and still serve the next call, at most 24 h; zero keeps none.
    ///
    /// Defaults to 3 s.
    pub fn keep_alive(self, age: Duration) -> Self {
        Self { settings: Settings { keep_alive: age, ..self.settings }, ..self }
    }

    /// The longest body of a response to `backup`, from 1 byte to 1 GiB; a real one has about 15 KB.
    ///
    /// Of a longer one, the error keeps the first `max` bytes. Defaults to 1 MiB.
    pub fn max_response_bytes(self, max: usize) -> Self {
        Self { settings: Settings { max_response_bytes: max, ..self.settings }, ..self }
    }

    /// The `User-Agent` header: 1 to 256 visible ASCII characters and spaces.
    ///
    /// Defaults to `portal-backup/` and the version of this crate.
    pub fn user_agent(self, name: impl AsRef<str>) -> Self {
        Self { settings: Settings { user_agent: name.as_ref().into(), ..self.settings }, ..self }
    }

    /// Sends even while `ureq_proto` is logged at `TRACE`, which writes the shares to the log.
    ///
    /// Defaults to `false`: such a call is refused before anything is sent.
    pub fn allow_trace_logging(self, on: bool) -> Self {
        Self { settings: Settings { allow_trace_logging: on, ..self.settings }, ..self }
    }

    /// Makes the client; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// - A URL, certificate, key, proxy or number that cannot be used, or settings that exclude each other:
    ///   [`Error::InvalidInput`], nothing was sent; correct the setting that it names.
    pub fn build(self) -> Result<Client, Error> {
        let day = Duration::from_secs(24 * 60 * 60);
        let in_range = |time: Duration| (Duration::from_millis(1)..=day).contains(&time);
        let (settings, name) = (&self.settings, &self.settings.user_agent);
        let is_name = !name.trim().is_empty() && name.len() <= 256 && name.bytes().all(|b| matches!(b, b' '..=b'~'));
        let is_bounded = (1..=1 << 30).contains(&settings.max_response_bytes);
        let has_two_roots = self.root_certs_pem.is_some() && self.platform_verifier;
        let rules = [
            (in_range(settings.timeout), "timeout must be from 1 ms to 24 h"),
            (in_range(settings.connect_timeout), "connect_timeout must be from 1 ms to 24 h"),
            (settings.keep_alive <= day, "keep_alive must be at most 24 h"),
            ((1..=100).contains(&settings.attempts), "attempts must be from 1 to 100"),
            (is_bounded, "max_response_bytes must be from 1 byte to 1 GiB"),
            (is_name, "user_agent must be visible ASCII, from 1 to 256 characters"),
            (!has_two_roots, "root_certs_pem and platform_verifier exclude each other"),
        ];
        if let Some((_, rule)) = rules.into_iter().find(|(is_kept, _)| !is_kept) {
            return Err(InvalidInput::new(rule).into());
        }
        let confirm = endpoint("client_api_url", &self.client_api_url, wire::confirm::PATH)?;
        let backup = endpoint("base_url", &self.base_url, wire::backup::PATH)?;
        let proxy = match &self.proxy {
            Some(url) => Some(Proxy::parse(url)?),
            None if self.proxy_from_env => Proxy::from_env(&[&backup, &confirm])?,
            None => None,
        };
        let tls = tls::config(self.root_certs_pem.as_deref(), self.platform_verifier, self.client_cert_pem.as_ref())?;
        let pool = Pool::new(ConnectOptions { tls, proxy, settings: self.settings });
        let shared = Arc::new(Shared { pool, backup, confirm });
        Ok(Client { shared, authorization: authorization(&self.key) })
    }
}

impl Client {
    /// A client with the defaults of [`ClientBuilder`].
    ///
    /// # Errors
    ///
    /// - No crypto provider (the feature `ring` is off and the program installed none): [`Error::InvalidInput`],
    ///   nothing was sent; enable `ring`, or call rustls' `CryptoProvider::install_default` first.
    pub fn new(key: ApiKey) -> Result<Self, Error> {
        ClientBuilder::new(key).build()
    }

    /// Starts building a client.
    pub fn builder(key: ApiKey) -> ClientBuilder {
        ClientBuilder::new(key)
    }
}

debug_as!(ClientBuilder, self, "ClientBuilder {{ .. }}");

fn endpoint(setting: &'static str, url: &str, path: &str) -> Result<Uri, InvalidInput> {
    // None of these texts quotes the URL: a secret may have been pasted there by mistake.
    let mistake = |what: &str| InvalidInput::new(format!("{setting} {what}"));
    if url.contains(['?', '#', '@', '\\']) {
        return Err(mistake("must hold no user name, password, query or fragment"));
    }
    let url = url.trim_end_matches('/');
    let uri: Uri = format!("{url}{path}").parse().map_err(|_| mistake("is not a URL"))?;
    let (host, _) = host_and_port(&uri).ok_or_else(|| mistake("has a wrong host name or port"))?;
    let is_loopback =
        host.eq_ignore_ascii_case("localhost") || host.parse::<core::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match (uri.scheme_str(), is_loopback) {
        (Some("https"), _) | (Some("http"), true) => Ok(uri),
        (Some("http"), false) => Err(mistake("must be https, except to this machine itself")),
        _ => Err(mistake("must start with https://")),
    }
}

/// Makes backup shares with all defaults: the whole job for a program that wants nothing else.
///
/// Store them, then confirm with a [`Client`].
///
/// # Errors
///
/// - A key or generate response that cannot be used: [`Error::InvalidInput`], nothing was sent; correct it.
/// - No crypto provider: see [`Client::new`].
/// - Everything of [`Client::backup`].
///
/// ```no_run
/// # let (api_key, generate_response) = ("", "");
/// let shares = portal_backup::backup(api_key, generate_response)?;
/// # Ok::<(), portal_backup::Error>(())
/// ```
pub fn backup(api_key: &str, generate_response: &str) -> Result<BackupShares, Error> {
    Client::new(ApiKey::new(api_key)?)?.backup(&GenerateResponse::parse(generate_response)?)
}
