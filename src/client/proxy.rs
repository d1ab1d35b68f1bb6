//! A proxy: how it is written, for which hosts it is used, and how it is asked for a tunnel. What goes over the network
//! is done elsewhere.

use alloc::format;
use alloc::string::String;
use core::fmt;
use std::env;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::ServerName;
use ureq::ProxyProtocol;
use ureq::http::Uri;

use super::no_proxy;
use crate::invalid_input::InvalidInput;
use crate::secret::SecretBytes;

/// An HTTP proxy that makes tunnels with CONNECT. `Display` names it, without user and password.
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// Whether it is itself spoken to over TLS.
    pub(super) is_tls: bool,
    /// User name and password in base64 (RFC 7617).
    credentials: Option<SecretBytes>,
    /// The hosts that it is not used for.
    no_proxy: String,
}

impl Proxy {
    /// Reads `[http[s]://][user[:password]@]host[:port][/]`; the port is 80 or 443 if there is none.
    pub(super) fn parse(url: &str) -> Result<Self, InvalidInput> {
        // Never quotes the URL, which may hold a password or what was pasted into the wrong place.
        let mistake = "the proxy must be http://[user:password@]host[:port], or https";
        let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
        Self::read(url).ok_or_else(|| match url.split_once("://") {
            Some((scheme, _)) if scheme.len() <= 10 && scheme.bytes().all(is_letter) => {
                InvalidInput::new(format!("{mistake}, and not {scheme}"))
            }
            _ => InvalidInput::new(mistake),
        })
    }

    /// Reads what the environment says, unless each of these URLs is reached directly in any case.
    pub(super) fn from_env(urls: &[&Uri]) -> Result<Option<Self>, InvalidInput> {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                let value = env::var_os(name).filter(|value| !value.is_empty())?;
                Some((*name, SecretBytes::new(value.into_encoded_bytes())))
            })
        };
        let no_proxy = first(&["NO_PROXY", "no_proxy"]).map(|(_, text)| text);
        let no_proxy = no_proxy.map(|text| String::from_utf8_lossy(text.expose()).into_owned());
        let no_proxy = no_proxy.unwrap_or_default();
        // A proxy that is not used cannot be wrong.
        if !urls.iter().any(|url| is_used(&no_proxy, url)) {
            return Ok(None);
        }
        let Some((name, url)) = first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]) else {
            return Ok(None);
        };
        let url = core::str::from_utf8(url.expose()).unwrap_or_default();
        let proxy = Self::parse(url).map_err(|mistake| mistake.about(name))?;
        Ok(Some(Self { no_proxy, ..proxy }))
    }

    fn read(url: &str) -> Option<Self> {
        let proxy = ureq::Proxy::new(url).ok()?;
        let (host, port) = host_and_port(proxy.uri())?;
        let (user, password) = (proxy.username().unwrap_or_default(), proxy.password().unwrap_or_default());
        let is_tls = proxy.protocol() == ProxyProtocol::Https;
        let is_http = is_tls || proxy.protocol() == ProxyProtocol::Http;
        // What follows a `#` is dropped by the parser, and may be most of a password.
        let is_whole = !url.contains('#') && proxy.uri().path_and_query().is_none_or(|path| path == "/");
        // The first colon is where the user name ends.
        let is_basic = !user.contains(':') && !user.chars().chain(password.chars()).any(char::is_control);
        if !(is_http && is_whole && is_basic) {
            return None;
        }
        let plain = SecretBytes::new([user, ":", password].concat().into_bytes());
        let encoded = || SecretBytes::new(STANDARD.encode(plain.expose()).into_bytes());
        let credentials = (plain.len() > 1).then(encoded);
        Some(Self { host: host.into(), port, is_tls, credentials, no_proxy: String::new() })
    }

    pub(super) fn is_used_for(&self, url: &Uri) -> bool {
        is_used(&self.no_proxy, url)
    }

    /// What asks for a tunnel to that host, which is without brackets (RFC 9110, section 9.3.6).
    pub(super) fn connect_request(&self, host: &str, port: u16, user_agent: &str) -> SecretBytes {
        let target = authority(host, port);
        let (field, credentials) = match &self.credentials {
            Some(credentials) => ("\r\nProxy-Authorization: Basic ", credentials.expose()),
            None => ("", &[][..]),
        };
        let head =
            ["CONNECT ", &target, " HTTP/1.1\r\nHost: ", &target, "\r\nUser-Agent: ", user_agent, field];
        // Allocates once: growing would leave an unwiped copy behind.
        SecretBytes::new([head.concat().as_bytes(), credentials, b"\r\n\r\n"].concat())
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {}", authority(&self.host, self.port))
    }
}

/// Plain HTTP is for this machine itself.
fn is_used(no_proxy: &str, url: &Uri) -> bool {
    let is_named = host_and_port(url).is_some_and(|(host, port)| no_proxy::names(no_proxy, host, port));
    url.scheme_str() == Some("https") && !is_named
}

/// The host without the brackets of an IPv6 address, and the port; `None` if nothing can be connected to there.
pub(super) fn host_and_port(uri: &Uri) -> Option<(&str, u16)> {
    let authority = uri.authority()?;
    let host = authority.host();
    let has_port = authority.as_str().rsplit('@').next() != Some(host);
    let default_port = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    let port = if has_port { authority.port_u16()? } else { default_port };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(host).ok()?;
    (port != 0).then_some((host, port))
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
#[path = "../../tests/units/proxy.rs"]
mod tests;
