//! Bytes to and from a server, through TLS where it is wanted; every step ends with its deadline.

use alloc::string::{String, ToString as _};
use alloc::{boxed::Box, format, sync::Arc};
use core::time::Duration;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion};

use super::tls;
use crate::secret::SecretBytes;

/// The longest plaintext of a TLS record (RFC 8446, section 5.1).
pub(super) const MAX_PLAINTEXT: usize = 16 << 10;
/// The longest encrypted record with its header (RFC 5246, section 6.2.3).
const MAX_RECORD: usize = MAX_PLAINTEXT + 2048 + 5;
/// How much room there is at least in a buffer that grows.
const MIN_ROOM: usize = 4 << 10;

/// A connection, plain or TLS. Reads and writes end with the deadline; what had arrived by then can still be read.
///
/// `write` fails with `WouldBlock` if the server has sent something and does not read on: read that, then go on.
pub(super) trait Stream: Read + Write + Send + Sync {
    fn set_deadline(&mut self, deadline: Instant);

    /// Whether the connection is open with nothing to be read, not even part of a record.
    fn is_reusable(&mut self) -> bool;

    /// The address of the other end, and the version of TLS.
    fn describe(&self) -> String;
}

/// Bytes that were received: in one piece, wiped on drop and when they move to a larger buffer.
pub(super) struct Buffer {
    bytes: SecretBytes,
    len: usize,
}

impl Buffer {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: SecretBytes::zeroed(capacity), len: 0 }
    }

    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes.expose()[..self.len]
    }

    /// The bytes, where they are.
    pub(super) fn into_bytes(mut self) -> SecretBytes {
        self.bytes.truncate(self.len);
        self.bytes
    }

    /// Lets `read` append to the buffer, and returns what it returns.
    pub(super) fn append(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        if self.bytes.len() == self.len {
            let mut larger = SecretBytes::zeroed(self.bytes.len() * 2 + MIN_ROOM);
            larger.expose_mut()[..self.len].copy_from_slice(self.filled());
            self.bytes = larger;
        }
        let len = read(&mut self.bytes.expose_mut()[self.len..])?;
        self.len += len;
        Ok(len)
    }

    /// Takes bytes away at the front, and wipes what is free then.
    pub(super) fn discard(&mut self, count: usize) {
        let filled = &mut self.bytes.expose_mut()[..self.len];
        filled.copy_within(count.., 0);
        self.len -= count;
        filled[self.len..].fill(0);
    }
}

/// A TCP connection.
pub(super) struct Socket {
    stream: TcpStream,
    deadline: Instant,
    timeout: Duration,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, deadline: Instant) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, deadline, timeout: Duration::ZERO })
    }

    /// Sets the socket timeouts for the next read or write; false once the deadline has passed.
    fn set_timeouts(&mut self) -> io::Result<bool> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        // Nearly always 1 s, so that it is rarely set again; Windows counts in milliseconds.
        let timeout = left.clamp(Duration::from_millis(1), Duration::from_secs(1));
        if timeout != self.timeout && !left.is_zero() {
            self.stream.set_read_timeout(Some(timeout))?;
            self.stream.set_write_timeout(Some(timeout))?;
            self.timeout = timeout;
        }
        Ok(!left.is_zero())
    }

    fn nonblocking<T>(&self, operation: impl FnOnce(&TcpStream) -> io::Result<T>) -> io::Result<T> {
        self.stream.set_nonblocking(true)?;
        let result = operation(&self.stream);
        self.stream.set_nonblocking(false)?;
        result
    }
}

/// Whether nothing was read or written: the socket timeout passed, or a signal came.
fn is_timeout_or_signal(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

impl Read for Socket {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        while self.set_timeouts()? {
            match self.stream.read(room) {
                Err(e) if is_timeout_or_signal(&e) => {}
                result => return result,
            }
        }
        let result = self.nonblocking(|mut stream| stream.read(room));
        result.map_err(|e| if is_timeout_or_signal(&e) { ErrorKind::TimedOut.into() } else { e })
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        while self.set_timeouts()? {
            match self.stream.write(bytes) {
                Err(e) if is_timeout_or_signal(&e) && !self.is_reusable() => {
                    return Err(ErrorKind::WouldBlock.into());
                }
                Err(e) if is_timeout_or_signal(&e) => {}
                result => return result,
            }
        }
        Err(ErrorKind::TimedOut.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Socket {
    fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    fn is_reusable(&mut self) -> bool {
        let peeked = self.nonblocking(|stream| stream.peek(&mut [0]));
        peeked.is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
    }

    fn describe(&self) -> String {
        self.stream.peer_addr().map_or_else(|e| e.to_string(), |address| address.to_string())
    }
}

/// A TLS session over another stream.
pub(super) struct Tls {
    session: ClientConnection,
    inner: Box<dyn Stream>,
    /// What arrived, from the beginning of a record.
    incoming: Buffer,
    /// Whether the server has sent application data, or ended the session.
    has_application_data: bool,
}

impl Tls {
    /// Performs the TLS handshake.
    pub(super) fn new(config: &Arc<ClientConfig>, host: &str, inner: Box<dyn Stream>) -> io::Result<Self> {
        let name = ServerName::try_from(host.to_string()).map_err(io::Error::other)?;
        let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        let incoming = Buffer::with_capacity(MAX_RECORD + MIN_ROOM);
        let mut tls = Self { session, inner, incoming, has_application_data: false };
        loop {
            tls.flush()?;
            if !tls.session.is_handshaking() {
                return Ok(tls);
            }
            if !tls.receive()? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Hands the next record to the session; false at the end.
    fn receive(&mut self) -> io::Result<bool> {
        let len = loop {
            match next_record(self.incoming.filled()) {
                Some(len) => break len,
                None if self.incoming.append(|room| self.inner.read(room))? == 0 => return Ok(false),
                None => {}
            }
        };
        let mut record = &self.incoming.filled()[..len];
        while !record.is_empty() && self.session.read_tls(&mut record)? > 0 {}
        self.incoming.discard(len);
        let processed = self.session.process_new_packets();
        if self.session.wants_write() {
            // Such as the alert that tells the server why. What cannot be sent now goes with the next write.
            _ = self.flush();
        }
        processed.map(|_| true).map_err(|e| {
            // In TLS 1.3 the client finishes the handshake before the server does: a server that refuses the client
            // certificate has sent no ticket and read no request. `attempt` knows it by `ConnectionRefused`.
            let is_tls13 = self.session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
            let is_accepted = self.has_application_data || self.session.tls13_tickets_received() > 0;
            let is_refused = is_tls13 && !is_accepted && tls::is_refusal(&e);
            io::Error::new(if is_refused { ErrorKind::ConnectionRefused } else { ErrorKind::InvalidData }, e)
        })
    }
}

/// The length of the record at the beginning, once it is there whole. The session gets no part of one, so that what is
/// left tells whether the server has begun another.
fn next_record(incoming: &[u8]) -> Option<usize> {
    let [kind, major, _, high, low, ..] = *incoming else { return None };
    let len = 5 + usize::from(u16::from_be_bytes([high, low]));
    if !(20..=23).contains(&kind) || major != 3 || len > MAX_RECORD {
        // It is no record: the session knows what to say of it.
        return Some(incoming.len().min(MAX_RECORD));
    }
    (len <= incoming.len()).then_some(len)
}

impl Read for Tls {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(room) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                result => {
                    self.has_application_data = true;
                    return result;
                }
            }
            // An end without `close_notify` may be a truncation; the length of the response tells.
            if !self.receive()? {
                return Ok(0);
            }
        }
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        self.session.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.inner)?;
        }
        self.inner.flush()
    }
}

impl Stream for Tls {
    fn set_deadline(&mut self, deadline: Instant) {
        self.inner.set_deadline(deadline);
    }

    fn is_reusable(&mut self) -> bool {
        let state = self.session.process_new_packets();
        let is_drained = state.is_ok_and(|state| state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed());
        is_drained && self.incoming.filled().is_empty() && self.inner.is_reusable()
    }

    fn describe(&self) -> String {
        let is_tls13 = self.session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        format!("{}, TLS 1.{}", self.inner.describe(), if is_tls13 { 3 } else { 2 })
    }
}
