//! How connections are opened: directly or through a proxy, with TLS.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::time::Instant;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use ureq::http::Uri;

use super::dial;
use super::head::{MAX_HEAD, head_len, interim_len, status_line};
use super::proxy::{Proxy, host_and_port};
use super::stream::{Buffer, Socket, Stream, Tls};
use super::tls;
use crate::redact::printable;
use crate::transport_error::TransportErrorKind as Kind;

const RETRY: &str = "try again";

/// What every new connection is made with.
pub(super) struct ConnectOptions {
    pub(super) tls: Arc<ClientConfig>,
    pub(super) proxy: Option<Proxy>,
    pub(super) timeout: Duration,
    pub(super) user_agent: String,
}

/// Why there is no connection, or why it broke.
#[derive(Debug)]
pub(super) struct ConnectError {
    pub(super) kind: Kind,
    /// The host or proxy, and what failed.
    pub(super) what: String,
    pub(super) advice: &'static str,
    /// Whether the same may work a moment later.
    pub(super) is_transient: bool,
}

impl ConnectError {
    /// `who` is the host or proxy that it happened with.
    pub(super) fn new(step: Kind, who: &str, e: &io::Error, deadline: Instant) -> Self {
        let tls_error = e.get_ref().and_then(|e| e.downcast_ref());
        let kind = match tls_error {
            Some(_) => Kind::Tls,
            None if Instant::now() >= deadline => Kind::Timeout,
            None => step,
        };
        let ((what, advice), is_transient) = match (tls_error, e.kind()) {
            (Some(e), _) => (tls::explain(e), false),
            (None, _) if step == Kind::Resolve && dial::is_not_found(e) => {
                (("the name was not found".into(), "check the name and the network"), false)
            }
            (None, ErrorKind::TimedOut) if step == Kind::Io => (("the time was up".into(), RETRY), true),
            (None, ErrorKind::TimedOut) => (("timed out while connecting".into(), RETRY), true),
            (None, ErrorKind::UnexpectedEof) => (("the connection was closed".into(), RETRY), true),
            (None, ErrorKind::InvalidData) => (("it sent what nobody asked for".into(), RETRY), false),
            (None, _) => ((e.to_string(), RETRY), true),
        };
        Self { kind, what: format!("{who}: {}", printable(&what, 300)), advice, is_transient }
    }

    /// Everything up to the response to CONNECT is the proxy's.
    fn of_proxy(mut self) -> Self {
        if self.kind != Kind::Timeout {
            self.kind = Kind::Proxy;
        }
        self
    }
}

type Opened = Result<Box<dyn Stream>, ConnectError>;

impl ConnectOptions {
    /// Opens a connection to the host of this URL, within the deadline and the time for connections.
    pub(super) fn open(&self, url: &Uri, deadline: Instant) -> Opened {
        let start = Instant::now();
        let deadline = deadline.min(start + self.timeout);
        // Checked when the client was built.
        let (host, port) = host_and_port(url).unwrap_or_default();
        let proxy = self.proxy.as_ref().filter(|proxy| proxy.is_used_for(url));
        let mut stream = match proxy {
            Some(proxy) => self.tunnel(proxy, host, port, deadline).map_err(ConnectError::of_proxy)?,
            None => dial(host, host, port, deadline)?,
        };
        if url.scheme_str() == Some("https") {
            stream = self.tls(host, host, stream, deadline)?;
        }
        let through = proxy.map(|proxy| format!(" through {proxy}")).unwrap_or_default();
        let (there, took) = (stream.describe(), start.elapsed().as_millis());
        log::debug!(target: "portal_backup", "connected to {host} ({there}){through} in {took} ms");
        Ok(stream)
    }

    /// Has the proxy connect to the host (RFC 9110, section 9.3.6).
    fn tunnel(&self, proxy: &Proxy, host: &str, port: u16, deadline: Instant) -> Opened {
        let who = proxy.to_string();
        let failed = |e| ConnectError::new(Kind::Proxy, &who, &e, deadline);
        let mut stream = dial(&who, &proxy.host, proxy.port, deadline)?;
        if proxy.is_tls {
            stream = self.tls(&who, &proxy.host, stream, deadline)?;
        }
        let request = proxy.connect_request(host, port, &self.user_agent);
        stream.write(request.expose(), deadline).map_err(failed)?;
        let mut received = Buffer::with_capacity(0);
        loop {
            if stream.read(&mut received, deadline).map_err(failed)? == 0 {
                return Err(failed(ErrorKind::UnexpectedEof.into()));
            }
            match tunnel_response(&who, received.filled())? {
                None => {}
                Some(len) if len == received.filled().len() => return Ok(stream),
                // A server of TLS does not speak first: this is the proxy.
                Some(_) => return Err(failed(ErrorKind::InvalidData.into())),
            }
        }
    }

    fn tls(&self, who: &str, host: &str, stream: Box<dyn Stream>, deadline: Instant) -> Opened {
        let name = ServerName::try_from(host.to_string()).map_err(io::Error::other);
        match name.and_then(|name| Tls::new(&self.tls, name, stream, deadline)) {
            Ok(session) => Ok(Box::new(session)),
            Err(e) => Err(ConnectError::new(Kind::Tls, who, &e, deadline)),
        }
    }
}

fn dial(who: &str, host: &str, port: u16, deadline: Instant) -> Opened {
    let failed = |kind| move |e| ConnectError::new(kind, who, &e, deadline);
    let addrs = dial::resolve(host, port, deadline).map_err(failed(Kind::Resolve))?;
    let socket = dial::connect(&addrs, deadline).and_then(Socket::new).map_err(failed(Kind::Connect))?;
    Ok(Box::new(socket))
}

/// Reads the response to CONNECT in all that was received so far: `None` as long as its head goes on, else how many bytes
/// it has; behind them is what came through the tunnel.
///
/// The text of an error holds nothing that the proxy wrote but the status.
fn tunnel_response(who: &str, received: &[u8]) -> Result<Option<usize>, ConnectError> {
    let start = interim_len(received);
    let response = received.get(start..).unwrap_or_default();
    let (what, is_transient) = match status_line(response).map(|(status, _)| status) {
        Some(200..=299) if head_len(response).is_some() => {
            return Ok(head_len(response).map(|len| start + len));
        }
        Some(407) => ("it refused the user name and password, or wants one (status 407)".into(), false),
        // Interim responses are left out, but for a 101, after which there would be no HTTP.
        Some(status @ (101 | 300..)) => (
            format!("it refused to connect (status {status})"),
            matches!(status, 408 | 429 | 500 | 502..=504),
        ),
        None if response.contains(&b'\n') => ("its response is not HTTP".into(), false),
        _ if received.len() > MAX_HEAD => ("the head of its response is too long".into(), false),
        _ => return Ok(None),
    };
    let advice = if is_transient { RETRY } else { "check the proxy" };
    Err(ConnectError { kind: Kind::Proxy, what: format!("{who}: {what}"), advice, is_transient })
}

#[cfg(test)]
#[path = "../../tests/units/connect.rs"]
mod tests;
