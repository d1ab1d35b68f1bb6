//! A proxy: how it is written, how it is asked for a tunnel, and what its answer means. What goes over the network is
//! done elsewhere.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv6Addr;
use std::env;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::ServerName;

use super::answer::{MAX_HEAD, before_the_answer, end_of_head, may_become_one, status};
use super::no_proxy::NoProxy;
use crate::invalid_input::InvalidInput;
use crate::secret::{SecretBytes, SecretString};

/// An HTTP proxy that makes tunnels with CONNECT. `Display` names it, without user and password.
pub(super) struct Proxy {
    host: String,
    port: u16,
    is_tls: bool,
    /// The value of `Proxy-Authorization`.
    authorization: Option<SecretString>,
}

const MISTAKE: &str = "the proxy must be http://[user:password@]host[:port], or https";

impl Proxy {
    /// Reads `[http[s]://][user[:password]@]host[:port][/]`; the port is 80 or 443 if there is none.
    pub(super) fn parse(url: &str) -> Result<Self, InvalidInput> {
        // Never quotes the URL, which may hold a password or what was pasted into the wrong place.
        Self::read(url).ok_or_else(|| InvalidInput::new(MISTAKE))
    }

    /// Reads what the environment says of `https` URLs, if anything.
    pub(super) fn from_env() -> Result<Option<(Self, NoProxy)>, InvalidInput> {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                let value = env::var_os(name).filter(|value| !value.is_empty())?;
                Some((*name, SecretBytes::new(value.into_encoded_bytes())))
            })
        };
        let Some((name, url)) = first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]) else {
            return Ok(None);
        };
        let url = core::str::from_utf8(url.expose()).unwrap_or_default();
        let proxy = Self::parse(url).map_err(|mistake| mistake.about(name))?;
        let exceptions = first(&["NO_PROXY", "no_proxy"]).map(|(_, text)| text);
        let exceptions = exceptions.as_ref().map(|text| String::from_utf8_lossy(text.expose()));
        Ok(Some((proxy, NoProxy::parse(&exceptions.unwrap_or_default()))))
    }

    fn read(url: &str) -> Option<Self> {
        if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return None;
        }
        let (is_tls, rest) = match url.split_once("://") {
            None => (false, url),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some(_) => return None,
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return None;
        }
        let (userinfo, host_and_port) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (host, port) = match host_and_port.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                host.parse::<Ipv6Addr>().ok()?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => match host_and_port.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (host_and_port, None),
            },
        };
        ServerName::try_from(host).ok()?;
        let port = match port {
            None if is_tls => 443,
            None => 80,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
        };
        if port == 0 {
            return None;
        }
        let authorization = if userinfo.is_empty() { None } else { Some(basic(userinfo)?) };
        Some(Self { host: host.into(), port, is_tls, authorization })
    }

    /// Where it is: a name or an address, without brackets.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is itself spoken to over TLS.
    pub(super) const fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// What asks for a tunnel to that host, which is without brackets (RFC 9110, section 9.3.6).
    pub(super) fn connect_request(&self, host: &str, port: u16, user_agent: &str) -> SecretBytes {
        let name = authority(host, port);
        let start = ["CONNECT ", &name, " HTTP/1.1\r\nHost: ", &name, "\r\nUser-Agent: ", user_agent, "\r\n"];
        let credentials = self.authorization.as_ref();
        let credentials = credentials.map(|value| ["Proxy-Authorization: ", value.expose(), "\r\n"]);
        let parts = || start.iter().chain(credentials.iter().flatten()).chain(&["\r\n"]);
        let mut head = SecretString::with_capacity(parts().map(|part| part.len()).sum());
        for part in parts() {
            head.push_within_capacity(part);
        }
        head.into_bytes()
    }

    /// Reads the answer in all that was received so far: `None` while it goes on, else how many bytes it had; behind
    /// them is what came through the tunnel.
    ///
    /// The error is the whole text of why there is no tunnel, and holds nothing that the proxy wrote but the status.
    pub(super) fn connect_answer(&self, received: &[u8]) -> Result<Option<usize>, String> {
        let start = before_the_answer(received);
        let answer = received.get(start..).unwrap_or_default();
        let len = match (status(answer), &self.authorization) {
            (Some(200..=299), _) => end_of_head(answer),
            // Interim answers; after a 101 there would be no HTTP.
            (Some(100 | 102..=199), _) => None,
            (Some(407), None) => return Err(format!("{self} wants a user name and password (status 407)")),
            (Some(407), _) => return Err(format!("{self} refused the user name and password (status 407)")),
            (Some(status), _) => return Err(format!("{self} answered with status {status}")),
            (None, _) if may_become_one(answer) => None,
            (None, _) => return Err(format!("{self} does not answer in HTTP")),
        };
        if len.is_none() && received.len() > MAX_HEAD {
            return Err(format!("the answer of {self} is too long"));
        }
        Ok(len.map(|len| start + len))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {}", authority(&self.host, self.port))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").finish_non_exhaustive()
    }
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The value of `Proxy-Authorization` for what stands before the `@` (RFC 7617).
fn basic(userinfo: &str) -> Option<SecretString> {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let mut plain = Vec::with_capacity(userinfo.len() + 1);
    percent_decode(user, &mut plain);
    let user_len = plain.len();
    plain.push(b':');
    percent_decode(password, &mut plain);
    let plain = SecretBytes::new(plain);

    let text = core::str::from_utf8(plain.expose()).ok()?;
    // The first colon is where the user name ends.
    if text.find(':') != Some(user_len) || text.contains(char::is_control) {
        return None;
    }
    const SCHEME: &[u8] = b"Basic ";
    let mut value = SecretBytes::zeroed(SCHEME.len() + base64::encoded_len(text.len(), true)?);
    let (scheme, credentials) = value.expose_mut().split_at_mut_checked(SCHEME.len())?;
    scheme.copy_from_slice(SCHEME);
    STANDARD.encode_slice(text, credentials).ok()?;
    SecretString::from_utf8(value).ok()
}

/// Appends no more than the length of `text`. A percent sign without two digits stands for itself.
fn percent_decode(text: &str, out: &mut Vec<u8>) {
    let mut bytes = text.as_bytes();
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let [first, rest @ ..] = bytes {
        let escaped = match (first, rest) {
            (b'%', [high, low, rest @ ..]) => digit(*high).zip(digit(*low)).map(|pair| (pair, rest)),
            _ => None,
        };
        match escaped {
            Some(((high, low), rest)) => {
                out.push(high << 4 | low);
                bytes = rest;
            }
            None => {
                out.push(*first);
                bytes = rest;
            }
        }
    }
}

#[cfg(test)]
#[path = "../../tests/units/proxy.rs"]
mod tests;
