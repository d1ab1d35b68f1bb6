//! The two ends of a connection that ureq leaves to others: looking a name up, and what goes into one write.
//!
//! Between them stand ureq's own TCP, CONNECT and TLS. Three things are gained:
//!
//! - A name is looked up when a connection is really opened, and only then; ureq asks before it looks at its pool.
//! - Head and body of a request leave as one TLS record and one write.
//! - The key goes from its wiped buffer into the wiped output buffer: no structure of ureq ever holds it, so that no
//!   log, copy or redirect of ureq's can carry it. Buffers with plain text are wiped as soon as they are used.

use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io;
use std::net::ToSocketAddrs as _;
use std::sync::mpsc;
use std::thread;

use ureq::http::Uri;
use ureq::http::uri::Scheme;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::time::{Duration, Instant};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector, TcpConnector,
    Transport,
};
use ureq::{Error, config::Config};
use zeroize::Zeroize as _;

use crate::secret::{ApiKey, SecretBytes};

/// Room for what is sent at once: one TLS record (RFC 8446, section 5.1).
pub(super) const RECORD: usize = 16 << 10;

/// Opens connections to the service, directly or through a proxy, and puts the key on each request.
pub(super) fn connector(key: Arc<ApiKey>) -> impl Connector {
    ().chain(ConnectProxyConnector::default())
        .chain(LookUpAndConnect(TcpConnector::default()))
        .chain(RustlsConnector::default())
        .chain(GatherAndWipe(key))
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

struct LookUpAndConnect(TcpConnector);

impl fmt::Debug for LookUpAndConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookUpAndConnect")
    }
}

impl<In: Transport> Connector<In> for LookUpAndConnect {
    type Out = <TcpConnector as Connector<In>>::Out;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if chained.is_some() {
            return self.0.connect(details, chained);
        }
        let addrs = look_up(details.uri, details.timeout)?;
        let now = (details.current_time)();
        let details = ConnectionDetails {
            uri: details.uri,
            addrs,
            resolver: details.resolver,
            config: details.config,
            request_level: details.request_level,
            now,
            timeout: NextTimeout { after: left(details, now), ..details.timeout },
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        self.0.connect(&details, None)
    }
}

/// What is left at `now` of the time that connecting may take.
fn left(details: &ConnectionDetails, now: Instant) -> Duration {
    match (details.timeout.after, details.now, now) {
        (Duration::Exact(all), Instant::Exact(start), Instant::Exact(now)) => {
            Duration::Exact(all.saturating_sub(now.saturating_duration_since(start)))
        }
        (all, _, _) => all,
    }
}

fn look_up(uri: &Uri, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
    let host = uri.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let default_port = if uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
    let port = uri.port_u16().unwrap_or(default_port);
    let mut found = NoLookup.empty();
    if let Ok(ip) = host.parse::<IpAddr>() {
        found.push(SocketAddr::new(ip, port));
    } else if host.eq_ignore_ascii_case("localhost") {
        // Always this machine (RFC 6761, section 6.3): plain HTTP is allowed to it, whatever a resolver says.
        found.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
        found.push(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port));
    } else {
        let most = 16;
        for address in ask_system(host, port, timeout)?.into_iter().take(most) {
            found.push(address);
        }
    }
    Ok(found)
}

/// Asks the operating system, which knows no deadline: a thread that it does not give up outlives the call.
fn ask_system(host: &str, port: u16, timeout: NextTimeout) -> Result<Vec<SocketAddr>, Error> {
    let name = (host.to_string(), port);
    let (answer, answered) = mpsc::sync_channel(1);
    thread::Builder::new().name("portal-backup-lookup".into()).stack_size(128 << 10).spawn(move || {
        let found = name.to_socket_addrs().map(Vec::from_iter);
        // Nobody waits any more when this fails.
        let _ = answer.send(found.unwrap_or_default());
    })?;
    let found = match timeout.after {
        Duration::Exact(after) => answered.recv_timeout(after).map_err(|_| Error::Timeout(timeout.reason))?,
        Duration::NotHappening => answered.recv().unwrap_or_default(),
    };
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, NameNotFound).into());
    }
    Ok(found)
}

struct GatherAndWipe(Arc<ApiKey>);

impl fmt::Debug for GatherAndWipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatherAndWipe")
    }
}

impl<In: Transport> Connector<In> for GatherAndWipe {
    type Out = Gathered<In>;

    fn connect(&self, _: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| Gathered {
            inner,
            key: self.0.clone(),
            output: SecretBytes::new(alloc::vec![0; RECORD]),
            held: 0,
            in_body: false,
            input: Input::new(),
        }))
    }
}

/// A transport that holds output back until its buffer is full or an answer is awaited.
struct Gathered<T> {
    inner: T,
    key: Arc<ApiKey>,
    output: SecretBytes,
    /// How much of `output` waits to be sent.
    held: usize,
    /// Whether the head of the current request has passed.
    in_body: bool,
    input: Input,
}

impl<T> fmt::Debug for Gathered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gathered")
    }
}

impl<T: Transport> Gathered<T> {
    /// Puts the key into the head that is held, once for each request of ours; a CONNECT is none.
    fn authorize(&mut self) -> Result<(), Error> {
        let held = &self.output.expose()[..self.held];
        let ours = held.starts_with(b"POST ") || held.starts_with(b"PATCH ");
        if self.in_body || !ours || !held.ends_with(b"\r\n\r\n") {
            return Ok(());
        }
        self.in_body = true;
        let mut at = self.held - 2;
        for part in [b"authorization: Bearer ", self.key.expose().as_bytes(), b"\r\n\r\n"] {
            let room = self.output.expose_mut().get_mut(at..at + part.len());
            room.ok_or(Error::LargeResponseHeader(at + part.len(), RECORD))?.copy_from_slice(part);
            at += part.len();
        }
        self.held = at;
        Ok(())
    }

    fn flush(&mut self, timeout: NextTimeout) -> Result<(), Error> {
        let mut sent = 0;
        while sent < self.held {
            let below = self.inner.buffers().output();
            let amount = below.len().min(self.held - sent);
            below[..amount].copy_from_slice(&self.output.expose()[sent..sent + amount]);
            let result = self.inner.transmit_output(amount, timeout);
            self.inner.buffers().output()[..amount].zeroize();
            result?;
            sent += amount;
        }
        self.output.expose_mut()[..self.held].zeroize();
        self.held = 0;
        Ok(())
    }
}

impl<T: Transport> Transport for Gathered<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.held += amount;
        self.authorize()?;
        if self.held == RECORD { self.flush(timeout) } else { Ok(()) }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.flush(timeout)?;
        self.in_body = false;
        let free = self.input.free();
        if free.is_empty() {
            return Err(Error::LargeResponseHeader(RECORD, RECORD));
        }
        if self.inner.buffers().input().is_empty() && !self.inner.await_input(timeout)? {
            return Ok(false);
        }
        let below = self.inner.buffers();
        let amount = free.len().min(below.input().len());
        free[..amount].copy_from_slice(&below.input()[..amount]);
        below.input_consume(amount);
        if below.input().is_empty() {
            below.input_append_buf().zeroize();
        }
        self.input.filled += amount;
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.held == 0 && self.inner.buffers().input().is_empty() && self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

impl<T: Transport> Buffers for Gathered<T> {
    fn output(&mut self) -> &mut [u8] {
        &mut self.output.expose_mut()[self.held..]
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        // The scratch buffer is for chunked bodies; ours announce their length.
        (&mut [], self.output())
    }

    fn input(&self) -> &[u8] {
        self.input.unconsumed()
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.input.free()
    }

    fn input_appended(&mut self, amount: usize) {
        self.input.filled += amount;
    }

    fn input_consume(&mut self, amount: usize) {
        self.input.consume(amount);
    }

    fn can_use_input(&self) -> bool {
        self.input.progress && !self.input.unconsumed().is_empty()
    }
}

/// What was received and not yet read, wiped as it is read.
struct Input {
    buffer: SecretBytes,
    consumed: usize,
    filled: usize,
    /// Whether the last look at the input took something: if not, more must be received first.
    progress: bool,
}

impl Input {
    fn new() -> Self {
        Self { buffer: SecretBytes::new(alloc::vec![0; RECORD]), consumed: 0, filled: 0, progress: false }
    }

    fn unconsumed(&self) -> &[u8] {
        &self.buffer.expose()[self.consumed..self.filled]
    }

    fn free(&mut self) -> &mut [u8] {
        if self.consumed > 0 {
            self.buffer.expose_mut().copy_within(self.consumed..self.filled, 0);
            let left = self.filled - self.consumed;
            self.buffer.expose_mut()[left..self.filled].zeroize();
            (self.consumed, self.filled) = (0, left);
        }
        &mut self.buffer.expose_mut()[self.filled..]
    }

    fn consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.buffer.expose_mut()[self.consumed..self.consumed + amount].zeroize();
        self.consumed += amount;
    }
}

/// Whether an error of ureq says that the name was not found.
pub(super) fn is_name_not_found(e: &io::Error) -> bool {
    e.get_ref()
        .is_some_and(|inner: &(dyn core::error::Error + Send + Sync + 'static)| inner.is::<NameNotFound>())
}
