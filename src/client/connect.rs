//! How connections are opened: directly or through a proxy, with TLS. And what it means when that fails.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::time::Instant;

use rustls::ClientConfig;
use ureq::http::Uri;

use super::connection::Limits;
use super::head::{MAX_HEAD, head_len, interim_len, status_line};
use super::proxy::{Proxy, host_and_port, is_used};
use super::stream::{Buffer, Socket, Stream, Tls};
use super::tcp;
use super::tls;
use crate::transport_error::{TransportError, TransportErrorKind as Kind};

/// What the builder was told, apart from servers, keys and certificates.
pub(super) struct Settings {
    pub(super) timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) keep_alive: Duration,
    pub(super) attempts: u32,
    pub(super) max_response_bytes: usize,
    pub(super) user_agent: String,
    pub(super) allow_trace_logging: bool,
}

/// What every new connection is made with.
pub(super) struct ConnectOptions {
    pub(super) tls: Arc<ClientConfig>,
    pub(super) proxy: Option<Proxy>,
    pub(super) settings: Settings,
}

/// An error that another attempt would meet again; `transport_error` knows it by `InvalidData`.
pub(super) fn permanent(what: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.into())
}

/// The error of a call in which this step failed, as if nothing had been sent: `Operation::to_error` corrects that.
pub(super) fn transport_error(limits: Limits, step: Kind, who: &str, e: &io::Error) -> TransportError {
    let tls_error = e.get_ref().and_then(|e| e.downcast_ref());
    let ((what, advice), is_transient) = match (tls_error, e.kind()) {
        (Some(e), _) => (tls::explain(e), false),
        (None, _) if tcp::is_not_found(e) => {
            (("the name was not found".into(), "check the name and the network"), false)
        }
        (None, ErrorKind::InvalidData) => ((e.to_string(), "check the address, and the proxy"), false),
        (None, ErrorKind::TimedOut) => (("timed out".into(), "try again"), true),
        (None, ErrorKind::UnexpectedEof) => (("the connection was closed".into(), "try again"), true),
        (None, _) => ((e.to_string(), "try again"), true),
    };
    let kind = match tls_error {
        _ if Instant::now() >= limits.deadline => Kind::Timeout,
        Some(_) if step != Kind::Proxy => Kind::Tls,
        _ => step,
    };
    let what = format!("{who}: {what}");
    TransportError { call: limits.call, kind, what, advice, is_sent: false, is_transient }
}

impl ConnectOptions {
    /// Opens a connection to the host of this URL, within the deadline and the time for connections.
    pub(super) fn open(&self, url: &Uri, limits: Limits) -> Result<Box<dyn Stream>, TransportError> {
        let start = Instant::now();
        let deadline = limits.deadline.min(start + self.settings.connect_timeout);
        let limits = Limits { deadline, ..limits };
        // Checked when the client was built.
        let (host, port) = host_and_port(url).unwrap_or_default();
        let failed = |(step, e)| transport_error(limits, step, host, &e);
        let proxy = self.proxy.as_ref().filter(|proxy| is_used(&proxy.no_proxy, url));
        let mut stream = match proxy {
            // Everything up to the response to CONNECT is the proxy's.
            Some(proxy) => self
                .tunnel(proxy, host, port, deadline)
                .map_err(|e| transport_error(limits, Kind::Proxy, &proxy.to_string(), &e))?,
            None => connect_tcp(host, port, deadline).map_err(failed)?,
        };
        if url.scheme_str() == Some("https") {
            stream = Box::new(Tls::new(&self.tls, host, stream).map_err(|e| failed((Kind::Tls, e)))?);
        }
        let through = proxy.map(|proxy| format!(" through {proxy}")).unwrap_or_default();
        let (address, millis) = (stream.describe(), start.elapsed().as_millis());
        log::debug!(target: "portal_backup", "connected to {host} ({address}){through} in {millis} ms");
        Ok(stream)
    }

    /// Has the proxy connect to the host (RFC 9110, section 9.3.6).
    fn tunnel(&self, proxy: &Proxy, host: &str, port: u16, deadline: Instant) -> io::Result<Box<dyn Stream>> {
        let mut stream = connect_tcp(&proxy.host, proxy.port, deadline).map_err(|(_, e)| e)?;
        if proxy.is_tls {
            stream = Box::new(Tls::new(&self.tls, &proxy.host, stream)?);
        }
        stream.write_all(proxy.connect_request(host, port, &self.settings.user_agent).expose())?;
        stream.flush()?;
        let mut received = Buffer::with_capacity(0);
        loop {
            if received.append(|room| stream.read(room))? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            match tunnel_response(received.filled())? {
                None => {}
                Some(len) if len == received.filled().len() => return Ok(stream),
                // In TLS the client speaks first: these bytes are the proxy's own.
                Some(_) => return Err(permanent("it sent what nobody asked for")),
            }
        }
    }
}

/// Resolves a host and connects to it; the error comes with the step that failed.
fn connect_tcp(host: &str, port: u16, deadline: Instant) -> Result<Box<dyn Stream>, (Kind, io::Error)> {
    let addrs = tcp::resolve(host, port, deadline).map_err(|e| (Kind::Resolve, e))?;
    let socket = tcp::connect(&addrs, deadline).and_then(|stream| Socket::new(stream, deadline));
    Ok(Box::new(socket.map_err(|e| (Kind::Connect, e))?))
}

/// Parses the response to CONNECT: `None` while its head is incomplete, else the length of the head and of the interim
/// responses before it.
///
/// The text of an error holds nothing that the proxy wrote but the status.
fn tunnel_response(received: &[u8]) -> io::Result<Option<usize>> {
    let start = interim_len(received);
    let response = received.get(start..).unwrap_or_default();
    match status_line(response).map(|(status, _)| status) {
        Some(200..=299) if head_len(response).is_some() => Ok(head_len(response).map(|len| start + len)),
        Some(407) => Err(permanent("it refused the user name and password, or wants one (status 407)")),
        Some(status @ (408 | 429 | 500 | 502..=504)) => {
            Err(io::Error::other(format!("it refused to connect (status {status})")))
        }
        // Interim responses are left out, but for a 101, after which there would be no HTTP.
        Some(status @ (101 | 300..)) => Err(permanent(format!("it refused to connect (status {status})"))),
        None if response.contains(&b'\n') => Err(permanent("its response is not HTTP")),
        _ if received.len() > MAX_HEAD => Err(permanent("the head of its response is too long")),
        _ => Ok(None),
    }
}
