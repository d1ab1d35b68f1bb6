//! How a connection is opened: by ureq's own TCP, CONNECT and TLS, but for the name, which is looked up when a
//! connection is really opened, and only then. ureq asks before it looks at its pool, on a thread for each call.

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
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, NextTimeout, RustlsConnector,
    TcpConnector, Transport,
};
use ureq::{Error, config::Config};

use super::gather::GatherAndWipe;
use crate::secret::ApiKey;

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
    type Out = Either<In, Steady<<TcpConnector as Connector<In>>::Out>>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
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
        Ok(self.0.connect(&details, None)?.map(|inner| Either::B(Steady { inner, read: ZERO, write: ZERO })))
    }
}

const ZERO: core::time::Duration = core::time::Duration::ZERO;

/// A socket whose timeouts are seldom set anew.
///
/// Each read and write comes with what is left of the call's time, which is another value each time, and the operating
/// system would have to be told. A value set before serves as well, as long as it is not longer than what is left.
#[derive(Debug)]
pub(super) struct Steady<T> {
    inner: T,
    read: core::time::Duration,
    write: core::time::Duration,
}

/// The timeout to ask for: the last one if it is between seven eighths and all of what is left.
fn steady(timeout: NextTimeout, last: &mut core::time::Duration) -> NextTimeout {
    let Duration::Exact(left) = timeout.after else { return timeout };
    let eighth = left / 8;
    if left.is_zero() {
        return timeout;
    }
    if *last > left || *last < left - eighth {
        *last = left - eighth / 2;
    }
    NextTimeout { after: Duration::Exact(*last), ..timeout }
}

impl<T: Transport> Transport for Steady<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        // Up to an eighth early: a write that blocks for so long has lost its reader.
        self.inner.transmit_output(amount, steady(timeout, &mut self.write))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let start = std::time::Instant::now();
        loop {
            let left = match timeout.after {
                Duration::Exact(all) => Duration::Exact(all.saturating_sub(start.elapsed())),
                never => never,
            };
            let is_over =
                matches!(left, Duration::Exact(left) if left < core::time::Duration::from_millis(1));
            match self.inner.await_input(steady(NextTimeout { after: left, ..timeout }, &mut self.read)) {
                Err(Error::Timeout(_)) if !is_over => {}
                result => return result,
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
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

/// Whether an error of ureq says that the name was not found.
pub(super) fn is_name_not_found(e: &io::Error) -> bool {
    e.get_ref()
        .is_some_and(|inner: &(dyn core::error::Error + Send + Sync + 'static)| inner.is::<NameNotFound>())
}
