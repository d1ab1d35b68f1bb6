//! From a host name to a TCP connection: name resolution, and whichever address accepts first (RFC 8305).

use alloc::{string::ToString as _, vec, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

/// Resolves a host, which is without brackets.
pub(super) fn resolve(host: &str, port: u16, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    // With the dot that ends a name it is the same name.
    if host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case("localhost") {
        // Always this machine (RFC 6761, section 6.3): plain HTTP is allowed to it, whatever a resolver says.
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        return Ok(loopback.map(|ip| SocketAddr::new(ip, port)).into());
    }
    // The resolver of the system takes no deadline: a thread that it keeps for longer outlives the call.
    let (sender, receiver) = mpsc::sync_channel(1);
    let name = (host.to_string(), port);
    // Nobody waits any more when this fails.
    let resolve = move || drop(sender.send(name.to_socket_addrs()));
    let found = match thread::Builder::new().name("portal-backup-resolve".into()).spawn(resolve) {
        Ok(_) => receiver.recv_timeout(time_left(deadline)).map_err(|_| ErrorKind::TimedOut)?,
        Err(_) => (host, port).to_socket_addrs(),
    };
    Ok(Vec::from_iter(found?))
}

/// Whether the resolver says that the name has no address, rather than being out of reach itself.
pub(super) fn is_not_found(e: &io::Error) -> bool {
    // std keeps the text of `gai_strerror` and not its code; on Windows, WSAHOST_NOT_FOUND and WSANO_DATA.
    // What is none of these, such as a text in another language, is taken for a failure that may pass.
    // In order: of glibc, macOS, Android; of musl, FreeBSD; of glibc, BSD; of musl.
    let texts = ["not known", "does not resolve", "no address associated with", "no usable address"];
    let text = e.to_string().to_ascii_lowercase();
    matches!(e.raw_os_error(), Some(11001 | 11004)) || texts.iter().any(|it| text.contains(it))
}

/// How long an address has for itself before the next one is tried beside it (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the address that accepts first. Every attempt ends with the deadline.
pub(super) fn connect(addrs: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut waiting = interleaved(addrs).into_iter();
    let (sender, receiver) = mpsc::channel();
    let (mut running, mut error) = (0, None);
    loop {
        match waiting.next() {
            Some(addr) => {
                let attempt = |deadline| {
                    let (sender, timeout) = (sender.clone(), time_left(deadline).max(Duration::from_millis(1)));
                    // Without a receiver, `send` returns the connection in its error, and dropping that closes it.
                    move || drop(sender.send(TcpStream::connect_timeout(&addr, timeout)))
                };
                let thread = thread::Builder::new().name("portal-backup-connect".into());
                // This machine accepts or refuses at once.
                let needs_no_thread = running == 0 && (waiting.len() == 0 || addr.ip().is_loopback());
                if needs_no_thread || thread.spawn(attempt(deadline)).is_err() {
                    // One after the other, each with its share of the time.
                    attempt(Instant::now() + time_left(deadline) / (waiting.len() as u32 + 1))();
                }
                running += 1;
            }
            None if running == 0 => return Err(error.unwrap_or(ErrorKind::NotFound.into())),
            None => {}
        }
        let next = if waiting.len() > 0 { Instant::now() + ATTEMPT_DELAY } else { deadline };
        match receiver.recv_timeout(time_left(next.min(deadline))) {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(e)) => {
                running -= 1;
                // Such as every IPv6 address where there is no IPv6: any other failure tells more.
                let is_unreachable = matches!(e.kind(), ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable);
                error = if is_unreachable { error.or(Some(e)) } else { Some(e) };
            }
            Err(_) if Instant::now() >= deadline => return Err(ErrorKind::TimedOut.into()),
            Err(_) => {}
        }
    }
}

fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// IPv4 and IPv6 in turn, beginning with the family that the operating system put first (RFC 8305, section 4).
fn interleaved(addrs: &[SocketAddr]) -> Vec<SocketAddr> {
    let (first, second): (Vec<_>, Vec<_>) = addrs.iter().copied().partition(|a| a.is_ipv4() == addrs[0].is_ipv4());
    let mut ranked = Vec::from_iter(first.into_iter().enumerate().chain(second.into_iter().enumerate()));
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, addr)| addr).collect()
}
