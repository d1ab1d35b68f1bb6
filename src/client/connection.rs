//! How a connection is opened: CONNECT and TLS are ureq's; TCP is ours.
//!
//! A name is looked up when a connection is really opened, and only then: ureq asks before it looks at its pool, on a
//! thread for each call.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use ureq::http::Uri;
use ureq::http::uri::Scheme;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    Transport, TransportAdapter, time,
};
use ureq::{Error, config::Config};

use super::dial::{self, DialError};
use super::gather::Gather;
use crate::secret::ApiKey;

/// The plain text of one TLS record (RFC 8446, section 5.1): room for what is sent at once.
pub(super) const RECORD: usize = 16 << 10;

/// Opens connections to the service, directly or through a proxy, and puts the key on each request.
pub(super) fn connector(key: Arc<ApiKey>, tls: Arc<ClientConfig>) -> impl Connector {
    ().chain(ConnectProxyConnector::default()).chain(LookUpAndConnect).chain(Tls(tls)).chain(Gather(key))
}

/// Answers no name: [`LookUpAndConnect`] does.
#[derive(Debug)]
pub(super) struct NoLookup;

impl Resolver for NoLookup {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

/// The name could not be looked up.
#[derive(Debug)]
pub(super) struct NameNotFound;

impl fmt::Display for NameNotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("name not found")
    }
}

impl core::error::Error for NameNotFound {}

/// Opens a TCP connection, unless a proxy has opened one.
#[derive(Debug)]
struct LookUpAndConnect;

impl<In: Transport> Connector<In> for LookUpAndConnect {
    type Out = Either<In, Socket>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
        }
        let deadline = Deadline::of_opening(details);
        let until = Instant::now() + deadline.left()?;
        let default_port = if details.uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
        let port = details.uri.port_u16().unwrap_or(default_port);
        let dialled = dial::look_up(bare_host(details.uri), port, until);
        let stream = dialled.and_then(|addrs| dial::connect(&addrs, until)).map_err(|e| match e {
            DialError::NameNotFound => io::Error::new(io::ErrorKind::NotFound, NameNotFound).into(),
            DialError::TimedOut => Error::Timeout(deadline.timeout.reason),
            DialError::Failed(e) => Error::from(e),
        })?;
        stream.set_nodelay(true)?;
        // A full record with its head and seal in one write.
        let buffers = LazyBuffers::new(RECORD, RECORD + 256);
        Ok(Some(Either::B(Socket { stream, buffers, read_timeout: ZERO, write_timeout: ZERO })))
    }
}

/// Puts TLS over a connection, where there is none yet.
#[derive(Debug)]
struct Tls(Arc<ClientConfig>);

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, Encrypted>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let name = ServerName::try_from(bare_host(details.uri)).map_err(|_| Error::HostNotFound)?.to_owned();
        let mut connection = ClientConnection::new(self.0.clone(), name).map_err(io::Error::other)?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        socket.set_timeout(Deadline::of_opening(details).next_timeout()?);
        connection.complete_io(&mut socket)?;
        let buffers = LazyBuffers::new(RECORD, RECORD);
        Ok(Some(Either::B(Encrypted { buffers, stream: StreamOwned::new(connection, socket) })))
    }
}

struct Encrypted {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encrypted")
    }
}

impl Transport for Encrypted {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(timeout);
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(timeout);
        let n = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(n);
        Ok(n > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// When the time for a step is up.
pub(super) struct Deadline {
    start: Instant,
    timeout: NextTimeout,
}

impl Deadline {
    pub(super) fn new(timeout: NextTimeout) -> Self {
        Self { start: Instant::now(), timeout }
    }

    /// When a connection has to be there that is being opened.
    pub(super) fn of_opening(details: &ConnectionDetails) -> Self {
        let start = match details.now {
            time::Instant::Exact(now) => now,
            _ => Instant::now(),
        };
        Self { start, timeout: details.timeout }
    }

    /// What is left, for a transport below.
    pub(super) fn next_timeout(&self) -> Result<NextTimeout, Error> {
        Ok(NextTimeout { after: time::Duration::Exact(self.left()?), ..self.timeout })
    }

    /// What is left, never zero.
    fn left(&self) -> Result<Duration, Error> {
        let all = match self.timeout.after {
            time::Duration::Exact(all) => all,
            time::Duration::NotHappening => Duration::from_secs(24 * 60 * 60),
        };
        let left = all.saturating_sub(self.start.elapsed());
        if left.is_zero() { Err(Error::Timeout(self.timeout.reason)) } else { Ok(left) }
    }
}

/// A TCP connection whose every read and write ends with the deadline.
///
/// ureq's own starts the whole time anew for the rest of a write that was taken in part.
struct Socket {
    stream: TcpStream,
    buffers: LazyBuffers,
    read_timeout: Duration,
    write_timeout: Duration,
}

const ZERO: Duration = Duration::ZERO;
/// The operating system takes no shorter timeout.
const LEAST: Duration = Duration::from_millis(1);

/// Whether a timeout that was set before serves for what is left; if not, the one to set.
///
/// What is left is another value each time, and a system call each time to set it. One that is up to an eighth shorter
/// serves as well: after it, the deadline is looked at again.
fn new_timeout(last: Duration, left: Duration) -> Option<Duration> {
    let is_fit = last <= left && last >= left - left / 8;
    (!is_fit).then(|| (left - left / 16).max(LEAST))
}

/// Whether a read or write may go on, if there is time left.
fn is_passing(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Socket")
    }
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let deadline = Deadline::new(timeout);
        let mut sent = 0;
        while sent < amount {
            if let Some(timeout) = new_timeout(self.write_timeout, deadline.left()?) {
                self.stream.set_write_timeout(Some(timeout))?;
                self.write_timeout = timeout;
            }
            match self.stream.write(&self.buffers.output()[sent..amount]) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(n) => sent += n,
                Err(e) if is_passing(&e) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let deadline = Deadline::new(timeout);
        loop {
            if let Some(timeout) = new_timeout(self.read_timeout, deadline.left()?) {
                self.stream.set_read_timeout(Some(timeout))?;
                self.read_timeout = timeout;
            }
            match self.stream.read(self.buffers.input_append_buf()) {
                Ok(n) => {
                    self.buffers.input_appended(n);
                    return Ok(n > 0);
                }
                Err(e) if is_passing(&e) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        // Whatever can be read was not asked for, be it bytes or the end.
        let is_silent = |stream: &TcpStream| {
            stream.set_nonblocking(true)?;
            let read = stream.peek(&mut [0]);
            stream.set_nonblocking(false)?;
            Ok::<_, io::Error>(read.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock))
        };
        self.buffers.input().is_empty() && is_silent(&self.stream).unwrap_or(false)
    }
}

/// The host without the brackets of an IPv6 address.
pub(super) fn bare_host(uri: &Uri) -> &str {
    let host = uri.host().unwrap_or_default();
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Whether an error of ureq says that the name was not found.
pub(super) fn is_name_not_found(e: &io::Error) -> bool {
    e.get_ref()
        .is_some_and(|inner: &(dyn core::error::Error + Send + Sync + 'static)| inner.is::<NameNotFound>())
}
