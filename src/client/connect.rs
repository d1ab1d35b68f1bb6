//! How connections are opened: directly or through a proxy, with TLS.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::time::Instant;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::Scheme;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, NextTimeout};

use super::connection::{Connection, Course};
use super::dial::{self, DialError};
use super::no_proxy::NoProxy;
use super::proxy::Proxy;
use super::stream::{Buffer, Socket, Stream, Tls};

/// What every new connection is made with.
pub(super) struct Route {
    pub(super) tls: Arc<ClientConfig>,
    pub(super) proxy: Option<(Proxy, NoProxy)>,
    pub(super) timeout: Duration,
    pub(super) user_agent: String,
}

/// Opens the connections of one agent.
pub(super) struct Connect {
    pub(super) route: Arc<Route>,
    pub(super) course: Arc<Course>,
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connect")
    }
}

impl Connector for Connect {
    type Out = Connection;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Connection>, Error> {
        let until = self.course.until().min(Instant::now() + self.route.timeout);
        let is_tls = details.needs_tls();
        let stream = self.route.open(details.uri, is_tls, until).map_err(io::Error::other)?;
        Ok(Some(Connection::new(stream, is_tls, self.course.clone())))
    }
}

/// Looks no name up: [`Connect`] does, and only when it opens a connection.
#[derive(Debug)]
pub(super) struct NoLookup;

impl Resolver for NoLookup {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct Unconnected {
    /// The proxy as it is shown, if it could not be reached or did not connect.
    pub(super) proxy: Option<String>,
    pub(super) cause: Cause,
}

#[derive(Debug)]
pub(super) enum Cause {
    Dial(DialError),
    /// The proxy refused; this says it whole.
    Refused(String),
    Io(io::Error),
}

impl fmt::Display for Unconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection")
    }
}

impl core::error::Error for Unconnected {}

impl From<DialError> for Cause {
    fn from(e: DialError) -> Self {
        Self::Dial(e)
    }
}

impl From<io::Error> for Cause {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl Route {
    fn open(&self, uri: &Uri, is_tls: bool, until: Instant) -> Result<Box<dyn Stream>, Unconnected> {
        let (host, port) = host_and_port(uri);
        // Plain HTTP is for this machine itself.
        let proxy = self.proxy.as_ref().filter(|(_, except)| is_tls && !except.covers(host, port));
        let stream = match proxy {
            Some((proxy, _)) => self
                .through(proxy, host, port, until)
                .map_err(|cause| Unconnected { proxy: Some(proxy.to_string()), cause })?,
            None => dial(host, port, until).map_err(|cause| Unconnected { proxy: None, cause })?,
        };
        if !is_tls {
            return Ok(stream);
        }
        self.tls(host, stream, until).map_err(|e| Unconnected { proxy: None, cause: e.into() })
    }

    fn tls(&self, host: &str, stream: Box<dyn Stream>, until: Instant) -> io::Result<Box<dyn Stream>> {
        let name = ServerName::try_from(host.to_string()).map_err(io::Error::other)?;
        Ok(Box::new(Tls::new(&self.tls, name, stream, until)?))
    }

    /// Has the proxy connect to the host (RFC 9110, section 9.3.6).
    fn through(
        &self,
        proxy: &Proxy,
        host: &str,
        port: u16,
        until: Instant,
    ) -> Result<Box<dyn Stream>, Cause> {
        let mut stream = dial(proxy.host(), proxy.port(), until)?;
        if proxy.is_tls() {
            stream = self.tls(proxy.host(), stream, until)?;
        }
        stream.write(proxy.connect_request(host, port, &self.user_agent).expose(), until)?;
        let mut received = Buffer::with_capacity(0);
        let len = loop {
            if stream.read(&mut received, until)? == 0 {
                return Err(Cause::Io(ErrorKind::UnexpectedEof.into()));
            }
            if let Some(len) = proxy.connect_answer(received.filled()).map_err(Cause::Refused)? {
                break len;
            }
        };
        // A server of TLS does not speak first: this would be the proxy.
        if len < received.filled().len() { Err(Cause::Io(ErrorKind::InvalidData.into())) } else { Ok(stream) }
    }
}

fn dial(host: &str, port: u16, until: Instant) -> Result<Box<dyn Stream>, Cause> {
    let addresses = dial::look_up(host, port, until)?;
    Ok(Box::new(Socket::new(dial::connect(&addresses, until)?)?))
}

/// The host without the brackets of an IPv6 address, and the port.
pub(super) fn host_and_port(uri: &Uri) -> (&str, u16) {
    let host = uri.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let default_port = if uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
    (host, uri.port_u16().unwrap_or(default_port))
}
