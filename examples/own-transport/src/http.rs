//! One request and its response over TLS, in HTTP/1.1.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use native_tls::{TlsConnector, TlsStream};
use portal_backup::wire::{Body, CONTENT_TYPE, Request};
use portal_backup::{ApiKey, Outcome};
use zeroize::Zeroizing;

use crate::response::Response;

const TIMEOUT: Duration = Duration::from_secs(120);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Responses have 16 KB; what is longer is cut, and cannot be read then.
const MAX_RESPONSE: usize = 64 << 10;
const CHUNK: usize = 1 << 10;

/// There was no response; `outcome` says whether the service can have acted.
#[derive(Debug)]
pub struct ExchangeError {
    what: io::Error,
    outcome: Outcome,
}

/// Sends the request to `https://HOST[:PORT]` and waits for the response.
pub fn exchange(base_url: &str, key: &ApiKey, request: &Request<'_>) -> Result<Response, ExchangeError> {
    let mut body = request.body();
    // Never grown, which would leave copies of the shares behind; wiped when it is dropped.
    let mut received = Zeroizing::new(Vec::with_capacity(MAX_RESPONSE));
    let ended = send_and_receive(base_url, key, request, &mut body, &mut received);
    Response::read(&received, true).ok_or_else(|| ExchangeError {
        what: ended.err().unwrap_or_else(|| io::Error::other("what came is not HTTP")),
        // What was read for sending may have been sent.
        outcome: if body.remaining() == 0 { Outcome::Unknown } else { Outcome::NotSent },
    })
}

fn send_and_receive(
    base_url: &str,
    key: &ApiKey,
    request: &Request<'_>,
    body: &mut Body<'_>,
    received: &mut Vec<u8>,
) -> io::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    let host = base_url.strip_prefix("https://").ok_or(io::Error::other("the address is not https://…"))?;
    let mut socket = connect(host, deadline)?;
    // A service that refuses early may stop reading: then its response counts, and not that writing failed.
    let sent = send(&mut socket, host, key, request, body, deadline);
    receive(&mut socket, received, deadline).and(sent)
}

fn send(
    socket: &mut TlsStream<TcpStream>,
    host: &str,
    key: &ApiKey,
    request: &Request<'_>,
    body: &mut Body<'_>,
    deadline: Instant,
) -> io::Result<()> {
    let key = key.expose();
    let mut head = Zeroizing::new(Vec::with_capacity(512 + host.len() + key.len()));
    write!(head, "{} {} HTTP/1.1\r\nHost: {host}\r\n", request.method(), request.path())?;
    write!(head, "Authorization: Bearer {key}\r\nContent-Type: {CONTENT_TYPE}\r\n")?;
    write!(head, "Content-Length: {}\r\nConnection: close\r\n\r\n", request.body_len())?;
    set_deadline(socket.get_ref(), deadline)?;
    socket.write_all(&head)?;
    let mut chunk = Zeroizing::new([0; CHUNK]);
    while let len @ 1.. = body.read(&mut *chunk) {
        set_deadline(socket.get_ref(), deadline)?;
        socket.write_all(&chunk[..len])?;
    }
    socket.flush()
}

/// Reads until the response is complete or nothing more comes.
fn receive(socket: &mut TlsStream<TcpStream>, received: &mut Vec<u8>, deadline: Instant) -> io::Result<()> {
    while Response::read(received, false).is_none() && received.len() < MAX_RESPONSE {
        set_deadline(socket.get_ref(), deadline)?;
        let before = received.len();
        received.resize(MAX_RESPONSE.min(before + CHUNK), 0);
        let read = socket.read(&mut received[before..]);
        received.truncate(before + *read.as_ref().unwrap_or(&0));
        if read? == 0 {
            break;
        }
    }
    Ok(())
}

fn connect(host: &str, deadline: Instant) -> io::Result<TlsStream<TcpStream>> {
    let (name, port) = host.split_once(':').unwrap_or((host, "443"));
    let port: u16 = port.parse().map_err(io::Error::other)?;
    let mut failed = io::ErrorKind::NotFound.into();
    for address in (name, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(socket) => {
                set_deadline(&socket, deadline)?;
                let tls = TlsConnector::new().map_err(io::Error::other)?;
                return tls.connect(name, socket).map_err(|e| io::Error::other(e.to_string()));
            }
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

fn set_deadline(socket: &TcpStream, deadline: Instant) -> io::Result<()> {
    let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
    let left = left.ok_or(io::ErrorKind::TimedOut)?;
    socket.set_read_timeout(Some(left))?;
    socket.set_write_timeout(Some(left))
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = match self.outcome {
            Outcome::NotSent => "the request was not sent",
            _ => "the service may have acted, and the call may be repeated",
        };
        match self.what.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => write!(f, "it took too long; {advice}"),
            _ => write!(f, "there was no response ({}); {advice}", self.what),
        }
    }
}

impl std::error::Error for ExchangeError {}
