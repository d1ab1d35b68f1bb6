//! Bytes to and from a server, through TLS where it is wanted; every step ends with its deadline.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ops::Range;
use core::time::Duration;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

use crate::secret::SecretBytes;

/// The plain text of one TLS record (RFC 8446, section 5.1).
pub(super) const RECORD: usize = 16 << 10;
/// A record with its head and seal (RFC 5246, section 6.2.3).
const SEALED_RECORD: usize = RECORD + 2048 + 5;
/// The longest message of a handshake that is taken, in bytes; certificates may be many.
const MAX_HANDSHAKE: usize = 256 << 10;

/// A way to a server and back.
pub(super) trait Stream: Send + Sync {
    /// Appends what arrives next, and returns how many bytes: 0 at the end.
    fn read(&mut self, into: &mut Buffer, until: Instant) -> io::Result<usize>;

    /// Sends the beginning of it, and returns how many bytes. `WouldBlock`: something arrived, and the server reads no
    /// further for now. Read it, then write the same bytes again.
    fn write_some(&mut self, bytes: &[u8], until: Instant) -> io::Result<usize>;

    /// Sends all of it to a server that says nothing meanwhile. An error means that its end was not sent.
    fn write(&mut self, mut bytes: &[u8], until: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            let len = self.write_some(bytes, until)?;
            bytes = bytes.get(len..).unwrap_or_default();
        }
        Ok(())
    }

    /// Whether the server has sent nothing that was not read, not even part of a record, nor closed the connection.
    fn is_silent(&mut self) -> bool;
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
        self.bytes.expose().get(..self.len).unwrap_or_default()
    }

    pub(super) fn filled_mut(&mut self) -> &mut [u8] {
        self.bytes.expose_mut().get_mut(..self.len).unwrap_or_default()
    }

    /// Room for at least so many bytes behind those that are there.
    fn room(&mut self, least: usize) -> &mut [u8] {
        if self.bytes.len() - self.len < least {
            let mut larger = SecretBytes::zeroed((self.bytes.len() * 2).max(self.len + least));
            larger.expose_mut()[..self.len].copy_from_slice(self.filled());
            self.bytes = larger;
        }
        &mut self.bytes.expose_mut()[self.len..]
    }

    fn append(&mut self, bytes: &[u8]) {
        self.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Takes bytes away at the front.
    pub(super) fn discard(&mut self, count: usize) {
        let (len, count) = (self.len, count.min(self.len));
        self.filled_mut().copy_within(count.., 0);
        // What was decrypted in place is plain text.
        self.filled_mut()[len - count..].fill(0);
        self.len -= count;
    }

    /// Takes all bytes away, and wipes them.
    pub(super) fn clear(&mut self) {
        self.filled_mut().fill(0);
        self.len = 0;
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
}

/// The longest wait for the operating system at a time: with one value for nearly all waits, it is set once.
const WAIT: Duration = Duration::from_secs(1);

/// How long to wait next, if there is time left.
fn next_wait(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    // No system takes less than a millisecond.
    Ok(left.clamp(Duration::from_millis(1), WAIT))
}

/// Whether a wait was over before anything happened.
fn is_passing(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

impl Stream for Socket {
    fn read(&mut self, into: &mut Buffer, until: Instant) -> io::Result<usize> {
        loop {
            let wait = next_wait(until)?;
            if wait != self.read_timeout {
                self.stream.set_read_timeout(Some(wait))?;
                self.read_timeout = wait;
            }
            match self.stream.read(into.room(SEALED_RECORD)) {
                Ok(n) => {
                    into.len += n;
                    return Ok(n);
                }
                Err(e) if is_passing(&e) => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn write_some(&mut self, bytes: &[u8], until: Instant) -> io::Result<usize> {
        loop {
            let wait = next_wait(until)?;
            if wait != self.write_timeout {
                self.stream.set_write_timeout(Some(wait))?;
                self.write_timeout = wait;
            }
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(e) if is_passing(&e) && !self.is_silent() => return Err(ErrorKind::WouldBlock.into()),
                Err(e) if is_passing(&e) => {}
                result => return result,
            }
        }
    }

    fn is_silent(&mut self) -> bool {
        let peek = || {
            self.stream.set_nonblocking(true)?;
            let peeked = self.stream.peek(&mut [0]);
            self.stream.set_nonblocking(false)?;
            Ok::<_, io::Error>(peeked)
        };
        matches!(peek(), Ok(Err(e)) if e.kind() == ErrorKind::WouldBlock)
    }
}

/// A TLS session over another stream.
pub(super) struct Tls {
    session: UnbufferedClientConnection,
    below: Box<dyn Stream>,
    /// Records that arrived, and that are to be sent.
    incoming: Buffer,
    outgoing: SecretBytes,
    /// Where in `outgoing` what is still to be sent is.
    unsent: Range<usize>,
    has_ended: bool,
}

/// What a session is asked for.
enum Wish<'a> {
    Handshake,
    Read(&'a mut Buffer),
    Seal(&'a [u8]),
}

impl Tls {
    /// Shakes hands.
    pub(super) fn new(
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
        below: Box<dyn Stream>,
        until: Instant,
    ) -> io::Result<Self> {
        let session = UnbufferedClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        let (incoming, outgoing) = (Buffer::with_capacity(SEALED_RECORD), SecretBytes::zeroed(SEALED_RECORD));
        let mut tls = Self { session, below, incoming, outgoing, unsent: 0..0, has_ended: false };
        tls.fulfil(Wish::Handshake, until)?;
        if tls.has_ended { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(tls) }
    }

    /// Lets the session work until the wish is granted, and returns how many bytes were read for it.
    fn fulfil(&mut self, mut wish: Wish<'_>, until: Instant) -> io::Result<usize> {
        let Self { session, below, incoming, outgoing, unsent, has_ended } = self;
        let mut received = 0;
        loop {
            let UnbufferedStatus { mut discard, state, .. } =
                session.process_tls_records(incoming.filled_mut());
            let mut is_waiting = false;
            let mut is_granted = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(invalid)?;
                        // Nobody asked for what arrives before a request.
                        let Wish::Read(into) = &mut wish else {
                            *has_ended = true;
                            return Err(ErrorKind::InvalidData.into());
                        };
                        into.append(record.payload);
                        received += record.payload.len();
                        discard += record.discard;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    let mut encoded = data.encode(&mut outgoing.expose_mut()[unsent.end..]);
                    if let Err(EncodeError::InsufficientSize(size)) = &encoded {
                        grow(outgoing, unsent.end + size.required_size);
                        encoded = data.encode(&mut outgoing.expose_mut()[unsent.end..]);
                    }
                    unsent.end += encoded.map_err(invalid)?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    send(&mut **below, outgoing, unsent, until)?;
                    data.done();
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => match &wish {
                    Wish::Handshake => is_granted = true,
                    Wish::Read(_) if received > 0 => is_granted = true,
                    Wish::Read(_) => is_waiting = true,
                    Wish::Seal(bytes) => {
                        let mut sealed = traffic.encrypt(bytes, &mut outgoing.expose_mut()[unsent.end..]);
                        if let Err(EncryptError::InsufficientSize(size)) = &sealed {
                            grow(outgoing, unsent.end + size.required_size);
                            sealed = traffic.encrypt(bytes, &mut outgoing.expose_mut()[unsent.end..]);
                        }
                        unsent.end += sealed.map_err(invalid)?;
                        is_granted = true;
                    }
                },
                Ok(ConnectionState::BlockedHandshake) => is_waiting = true,
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => *has_ended = true,
                Ok(_) => return Err(ErrorKind::InvalidData.into()),
                Err(e) => {
                    // The alert that tells the server why, as far as it can be sent.
                    if session.wants_write() {
                        let last = session.process_tls_records(&mut []);
                        if let Ok(ConnectionState::EncodeTlsData(mut alert)) = last.state {
                            unsent.end +=
                                alert.encode(&mut outgoing.expose_mut()[unsent.end..]).unwrap_or_default();
                            let _ = send(&mut **below, outgoing, unsent, until);
                        }
                    }
                    // rustls must not be asked again. What came before counts.
                    *has_ended = true;
                    return if received > 0 { Ok(received) } else { Err(invalid(e)) };
                }
            }
            incoming.discard(discard);
            match wish {
                Wish::Seal(_) if *has_ended && !is_granted => return Err(ErrorKind::BrokenPipe.into()),
                _ if is_granted || *has_ended => return Ok(received),
                _ if is_waiting && incoming.len > MAX_HANDSHAKE => return Err(ErrorKind::InvalidData.into()),
                // The end without the alert for it may be a cut; the length of an answer tells.
                _ if is_waiting => *has_ended = below.read(incoming, until)? == 0,
                _ => {}
            }
            if *has_ended {
                return Ok(received);
            }
        }
    }
}

fn invalid(e: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, e)
}

/// Sends what is unsent, and remembers how far it came.
fn send(
    below: &mut dyn Stream,
    outgoing: &SecretBytes,
    unsent: &mut Range<usize>,
    until: Instant,
) -> io::Result<()> {
    while unsent.start < unsent.end {
        unsent.start += below.write_some(&outgoing.expose()[unsent.clone()], until)?;
    }
    *unsent = 0..0;
    Ok(())
}

/// Makes room behind the sealed records that are there.
fn grow(buffer: &mut SecretBytes, least: usize) {
    let mut larger = SecretBytes::zeroed(least.max(buffer.len() * 2));
    larger.expose_mut()[..buffer.len()].copy_from_slice(buffer.expose());
    *buffer = larger;
}

impl Stream for Tls {
    fn read(&mut self, into: &mut Buffer, until: Instant) -> io::Result<usize> {
        if self.has_ended { Ok(0) } else { self.fulfil(Wish::Read(into), until) }
    }

    fn write_some(&mut self, bytes: &[u8], until: Instant) -> io::Result<usize> {
        // What was sealed before is what is offered again.
        if self.unsent.is_empty() {
            self.fulfil(Wish::Seal(bytes), until)?;
        }
        send(&mut *self.below, &self.outgoing, &mut self.unsent, until)?;
        Ok(bytes.len())
    }

    fn is_silent(&mut self) -> bool {
        !self.has_ended && self.incoming.filled().is_empty() && self.below.is_silent()
    }
}
