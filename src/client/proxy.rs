//! A proxy: how it is written, for which hosts it is used, and how it is asked for a tunnel. No I/O.

use alloc::{format, string::String, vec::Vec};
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
    /// The header with user name and password (RFC 7617), if there are any.
    authorization: SecretBytes,
    /// The hosts that it is not used for.
    pub(super) no_proxy: String,
}

impl Proxy {
    /// Reads `[http[s]://][user[:password]@]host[:port][/]`; the port is 80 or 443 if there is none.
    ///
    /// The URL may hold a password, or a secret that was pasted by mistake: the error quotes only a short scheme such as
    /// `socks5`.
    pub(super) fn parse(url: &SecretBytes) -> Result<Self, InvalidInput> {
        let url = core::str::from_utf8(url.expose()).unwrap_or_default();
        let is_scheme = |it: &&str| it.len() < 12 && it.chars().all(|c| c.is_alphanumeric() || "+-.".contains(c));
        let kind = url.split_once("://").map(|(kind, _)| kind).filter(is_scheme);
        let kind = kind.filter(|kind| !["", "http", "https"].contains(&&*kind.to_lowercase()));
        let not = kind.map(|kind| format!(", and not {kind}")).unwrap_or_default();
        let mistake = format!("the proxy must be http://[user:password@]host[:port], or https{not}");
        Self::read(url).ok_or(InvalidInput::new(mistake))
    }

    /// Reads what the environment says, unless each of these URLs is reached directly in any case.
    pub(super) fn from_env(urls: &[&Uri]) -> Result<Option<Self>, InvalidInput> {
        let first = |names: &[&'static str]| {
            let mut set = names.iter().filter_map(|name| Some((*name, env::var_os(name)?)));
            set.find(|(_, value)| !value.is_empty())
        };
        let no_proxy = first(&["NO_PROXY", "no_proxy"]).map(|(_, hosts)| hosts).unwrap_or_default();
        let no_proxy = no_proxy.to_string_lossy().into_owned();
        let proxy = first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]);
        // A proxy that is not used cannot be wrong.
        let Some((name, url)) = proxy.filter(|_| urls.iter().any(|url| is_used(&no_proxy, url))) else {
            return Ok(None);
        };
        let proxy = Self::parse(&SecretBytes::new(url.into_encoded_bytes())).map_err(|e| e.about(name))?;
        Ok(Some(Self { no_proxy, ..proxy }))
    }

    fn read(url: &str) -> Option<Self> {
        let proxy = ureq::Proxy::new(url).ok()?;
        let (host, port) = host_and_port(proxy.uri())?;
        let (user, password) = (proxy.username().unwrap_or_default(), proxy.password().unwrap_or_default());
        let is_tls = match proxy.protocol() {
            ProxyProtocol::Http => false,
            ProxyProtocol::Https => true,
            _ => return None,
        };
        // What follows a `#` is dropped by the parser, and may be most of a password.
        let is_whole =
            !url.contains('#') && !user.contains(':') && proxy.uri().path_and_query().is_none_or(|path| path == "/");
        let plain = SecretBytes::new([user, ":", password].concat().into_bytes());
        let encoded = SecretBytes::new(STANDARD.encode(plain.expose()).into_bytes());
        let header = [b"Proxy-Authorization: Basic ", encoded.expose(), b"\r\n"];
        let authorization = SecretBytes::new(if plain.len() > 1 { header.concat() } else { Vec::new() });
        is_whole.then(|| Self { host: host.into(), port, is_tls, authorization, no_proxy: String::new() })
    }

    /// What asks for a tunnel to that host, which is without brackets (RFC 9110, section 9.3.6).
    pub(super) fn connect_request(&self, host: &str, port: u16, user_agent: &str) -> SecretBytes {
        let target = authority(host, port);
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {user_agent}\r\n");
        // Allocates once: growing would leave an unwiped copy behind.
        SecretBytes::new([head.as_bytes(), self.authorization.expose(), b"\r\n"].concat())
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {}", authority(&self.host, self.port))
    }
}

/// Whether the proxy is used for this URL: never for plain HTTP, which is for loopback alone.
pub(super) fn is_used(no_proxy: &str, url: &Uri) -> bool {
    let is_excluded = host_and_port(url).is_some_and(|(host, port)| no_proxy::matches(no_proxy, host, port));
    url.scheme_str() == Some("https") && !is_excluded
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
