//! From a name to a TCP connection, by way of whichever address answers first (RFC 8305).

use alloc::string::ToString as _;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum DialError {
    NameNotFound,
    /// The deadline passed.
    TimedOut,
    /// What the operating system says of the address that tells most.
    Failed(io::Error),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameNotFound => f.write_str("the name was not found"),
            Self::TimedOut => f.write_str("no connection within the time for one"),
            Self::Failed(e) => e.fmt(f),
        }
    }
}

/// Finds the addresses of a host, which is without brackets.
pub(super) fn look_up(host: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, DialError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    // With the dot that ends a name it is the same name.
    if host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case("localhost") {
        // Always this machine (RFC 6761, section 6.3): plain HTTP is allowed to it, whatever a resolver says.
        let here = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        return Ok(here.map(|ip| SocketAddr::new(ip, port)).into());
    }
    // The operating system knows no deadline: a thread that it does not give up outlives the call.
    let name = (host.to_string(), port);
    let (answer, answered) = mpsc::sync_channel(1);
    let asks = move || {
        let found = name.to_socket_addrs().map(Vec::from_iter);
        // Nobody waits any more when this fails.
        let _ = answer.send(found.unwrap_or_default());
    };
    thread::Builder::new().name("portal-backup-lookup".into()).spawn(asks).map_err(DialError::Failed)?;
    match answered.recv_timeout(left_until(deadline)) {
        Ok(addrs) if addrs.is_empty() => Err(DialError::NameNotFound),
        Ok(addrs) => Ok(addrs),
        Err(_) => Err(DialError::TimedOut),
    }
}

/// How long an address has for itself before the next one is tried beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// So many addresses are tried at the same time at most, each on a thread.
const MOST_AT_ONCE: usize = 32;

/// Connects to the address that is the first to answer. All that was begun ends with the deadline.
pub(super) fn connect(addrs: &[SocketAddr], deadline: Instant) -> Result<TcpStream, DialError> {
    // This machine answers at once: no second address has to be tried meanwhile.
    if addrs.len() == 1 || addrs.iter().all(|addr| addr.ip().is_loopback()) {
        let mut error = None;
        for addr in addrs {
            match attempt(*addr, deadline) {
                Ok(stream) => return Ok(stream),
                Err(e) => error = Some(more_telling(error, e)),
            }
        }
        return Err(error.unwrap_or(DialError::NameNotFound));
    }
    let mut addrs = interleaved(addrs).into_iter().peekable();
    let (report, reports) = mpsc::channel();
    let mut running = 0;
    let mut next = Instant::now();
    let mut error = None;
    loop {
        let now = Instant::now();
        if now >= deadline {
            return Err(more_telling(error, DialError::TimedOut));
        }
        if now >= next && running < MOST_AT_ONCE {
            if let Some(addr) = addrs.next() {
                let report = report.clone();
                // When nobody waits any more, the connection is closed with the message.
                let attempts = move || drop(report.send(attempt(addr, deadline)));
                match thread::Builder::new().name("portal-backup-connect".into()).spawn(attempts) {
                    Ok(_) => {
                        running += 1;
                        next = now + HEAD_START;
                    }
                    Err(e) => error = Some(more_telling(error, DialError::Failed(e))),
                }
                continue;
            }
            if running == 0 {
                return Err(error.unwrap_or(DialError::NameNotFound));
            }
        }
        let has_next = addrs.peek().is_some() && running < MOST_AT_ONCE;
        let until = if has_next { next.min(deadline) } else { deadline };
        match reports.recv_timeout(left_until(until)) {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(e)) => {
                error = Some(more_telling(error, e));
                running -= 1;
                next = Instant::now();
            }
            Err(_) => {}
        }
    }
}

fn attempt(addr: SocketAddr, deadline: Instant) -> Result<TcpStream, DialError> {
    let left = left_until(deadline);
    if left.is_zero() {
        return Err(DialError::TimedOut);
    }
    TcpStream::connect_timeout(&addr, left).map_err(|e| match e.kind() {
        io::ErrorKind::TimedOut => DialError::TimedOut,
        _ => DialError::Failed(e),
    })
}

fn left_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// IPv4 and IPv6 in turn, beginning with the family that the operating system put first (RFC 8305, section 4).
fn interleaved(addrs: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_first_family = |addr: &&SocketAddr| addrs.first().is_some_and(|it| it.is_ipv4() == addr.is_ipv4());
    let mut one = addrs.iter().filter(is_first_family);
    let mut other = addrs.iter().filter(|addr| !is_first_family(addr));
    let mut mixed = Vec::with_capacity(addrs.len());
    while mixed.len() < addrs.len() {
        mixed.extend([one.next(), other.next()].into_iter().flatten());
    }
    mixed
}

/// Of two failures, the one to tell: an answer before silence, and silence before an address that this machine has no
/// way to, such as every IPv6 address where there is no IPv6.
fn more_telling(first: Option<DialError>, second: DialError) -> DialError {
    let rank = |e: &DialError| match e {
        DialError::NameNotFound => 0,
        DialError::Failed(e) => match e.kind() {
            io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::AddrNotAvailable => 1,
            _ => 3,
        },
        DialError::TimedOut => 2,
    };
    match first {
        Some(first) if rank(&first) >= rank(&second) => first,
        _ => second,
    }
}
