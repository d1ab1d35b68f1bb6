//! Bytes to and from a server, through TLS where it is wanted; every step ends with its deadline.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use core::time::Duration;
use std::io::{self, ErrorKind, Read as _, Write};
use std::net::TcpStream;
use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion};

use super::tls;
use crate::secret::SecretBytes;

/// The plain text of one TLS record (RFC 8446, section 5.1).
pub(super) const RECORD: usize = 16 << 10;
/// A record with its head and seal (RFC 5246, section 6.2.3).
const SEALED_RECORD: usize = RECORD + 2048 + 5;
/// How much room there is at least for what is read next.
pub(super) const MIN_ROOM: usize = 4 << 10;

/// A way to a server and back.
pub(super) trait Stream: Send + Sync {
    /// Appends what arrives next, and returns how many bytes: 0 at the end. When the deadline has passed, what has
    /// already arrived is still read.
    fn read(&mut self, into: &mut Buffer, deadline: Instant) -> io::Result<usize>;

    /// Takes the beginning of it to be sent, and returns how many bytes; with nothing more to take, sends what was taken and
    /// returns 0. `WouldBlock`: the server has sent something and reads no further for now; read that, then go on.
    fn write(&mut self, bytes: &[u8], deadline: Instant) -> io::Result<usize>;

    /// Sends all of it to a server that says nothing meanwhile.
    fn write_all(&mut self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        loop {
            match self.write(bytes, deadline)? {
                0 => return Ok(()),
                len => bytes = bytes.get(len..).unwrap_or_default(),
            }
        }
    }

    /// Whether the server has sent nothing that was not read, not even part of a record, nor closed the connection.
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
        if self.bytes.len() - self.len < MIN_ROOM {
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
    read_timeout: Duration,
    write_timeout: Duration,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, read_timeout: Duration::ZERO, write_timeout: Duration::ZERO })
    }

    fn without_waiting<T>(&self, operation: impl FnOnce(&TcpStream) -> io::Result<T>) -> io::Result<T> {
        self.stream.set_nonblocking(true)?;
        let result = operation(&self.stream);
        self.stream.set_nonblocking(false)?;
        result
    }
}

/// The longest wait for the operating system at a time: with one value for nearly all waits, it is set once.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// How long to wait next, if there is time left.
fn next_wait(deadline: Instant) -> Option<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    // No system takes less than a millisecond.
    (!left.is_zero()).then(|| left.clamp(Duration::from_millis(1), MAX_WAIT))
}

/// Whether a wait was over before anything happened: its time was up, or a signal came.
fn is_interrupted(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

impl Stream for Socket {
    fn read(&mut self, into: &mut Buffer, deadline: Instant) -> io::Result<usize> {
        while let Some(wait) = next_wait(deadline) {
            if wait != self.read_timeout {
                self.stream.set_read_timeout(Some(wait))?;
                self.read_timeout = wait;
            }
            match into.append(|room| self.stream.read(room)) {
                Err(e) if is_interrupted(&e) => {}
                result => return result,
            }
        }
        let result = into.append(|room| self.without_waiting(|mut stream| stream.read(room)));
        result.map_err(|e| if is_interrupted(&e) { ErrorKind::TimedOut.into() } else { e })
    }

    fn write(&mut self, bytes: &[u8], deadline: Instant) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        while let Some(wait) = next_wait(deadline) {
            if wait != self.write_timeout {
                self.stream.set_write_timeout(Some(wait))?;
                self.write_timeout = wait;
            }
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                // Something came, or it is closed.
                Err(e) if is_interrupted(&e) && !self.is_reusable() => {
                    return Err(ErrorKind::WouldBlock.into());
                }
                Err(e) if is_interrupted(&e) => {}
                result => return result,
            }
        }
        Err(ErrorKind::TimedOut.into())
    }

    fn is_reusable(&mut self) -> bool {
        let peeked = self.without_waiting(|stream| stream.peek(&mut [0]));
        peeked.is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
    }

    fn describe(&self) -> String {
        self.stream.peer_addr().map_or_else(|e| e.to_string(), |address| address.to_string())
    }
}

/// A TLS session over another stream.
pub(super) struct Tls {
    session: ClientConnection,
    below: Box<dyn Stream>,
    /// What arrived, from the beginning of a record.
    incoming: Buffer,
    /// Whether the server has sent what is no part of the handshake.
    has_received: bool,
}

impl Tls {
    /// Shakes hands.
    pub(super) fn new(
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
        below: Box<dyn Stream>,
        deadline: Instant,
    ) -> io::Result<Self> {
        let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        let mut tls = Self {
            session,
            below,
            incoming: Buffer::with_capacity(SEALED_RECORD + MIN_ROOM),
            has_received: false,
        };
        loop {
            tls.flush(deadline)?;
            if !tls.session.is_handshaking() {
                return Ok(tls);
            }
            if !tls.receive(deadline)? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Sends what the session has for the server.
    fn flush(&mut self, deadline: Instant) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut Below(&mut *self.below, deadline))?;
        }
        self.below.write(&[], deadline).map(drop)
    }

    /// Hands the next record to the session; false at the end.
    fn receive(&mut self, deadline: Instant) -> io::Result<bool> {
        let len = loop {
            match next_record(self.incoming.filled()) {
                Some(len) => break len,
                None if self.below.read(&mut self.incoming, deadline)? == 0 => return Ok(false),
                None => {}
            }
        };
        let mut record = &self.incoming.filled()[..len];
        while !record.is_empty() && self.session.read_tls(&mut record)? > 0 {}
        self.incoming.discard(len);
        let processed = self.session.process_new_packets();
        // Such as the alert that tells the server why. What cannot be sent now goes with the next request.
        let sent = if self.session.wants_write() { self.flush(deadline) } else { Ok(()) };
        processed.map_err(|e| {
            // In TLS 1.3 the handshake ends here before it does there: a server that refuses it has read no request.
            let is_tls13 = self.session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
            let is_refused = is_tls13 && !self.has_received && tls::is_refusal(&e);
            io::Error::new(if is_refused { ErrorKind::ConnectionRefused } else { ErrorKind::InvalidData }, e)
        })?;
        match sent {
            Err(e) if self.session.is_handshaking() => Err(e),
            _ => Ok(true),
        }
    }
}

/// The length of the record at the beginning, once it is there whole. The session gets no part of one, so that what is
/// left tells whether the server has begun another.
fn next_record(incoming: &[u8]) -> Option<usize> {
    let [kind, major, _, high, low, ..] = *incoming else { return None };
    let len = 5 + usize::from(u16::from_be_bytes([high, low]));
    if !(20..=23).contains(&kind) || major != 3 || len > SEALED_RECORD {
        // It is no record: the session knows what to say of it.
        return Some(incoming.len().min(SEALED_RECORD));
    }
    (len <= incoming.len()).then_some(len)
}

/// What the session writes to.
struct Below<'a>(&'a mut dyn Stream, Instant);

impl Write for Below<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes, self.1)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Tls {
    fn read(&mut self, into: &mut Buffer, deadline: Instant) -> io::Result<usize> {
        loop {
            match into.append(|room| self.session.reader().read(room)) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                result => {
                    self.has_received = true;
                    return result;
                }
            }
            // The end without the alert for it may be a cut; the length of a response tells.
            if !self.receive(deadline)? {
                return Ok(0);
            }
        }
    }

    fn write(&mut self, bytes: &[u8], deadline: Instant) -> io::Result<usize> {
        self.flush(deadline)?;
        self.session.writer().write(bytes)
    }

    fn is_reusable(&mut self) -> bool {
        let is_drained = |session: &mut ClientConnection| {
            let state = session.process_new_packets();
            state.is_ok_and(|state| state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed())
        };
        self.incoming.filled().is_empty() && is_drained(&mut self.session) && self.below.is_reusable()
    }

    fn describe(&self) -> String {
        let version = match self.session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS 1.2",
        };
        format!("{}, {version}", self.below.describe())
    }
}
