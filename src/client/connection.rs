//! One connection, as ureq uses it: the request leaves in as few records as possible, and what the server sends is kept
//! from its first byte until the call is done.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::time::Instant;

use ureq::Error;
use ureq::unversioned::transport::Buffers;

use super::head::{MAX_HEAD, interim_len, status_line};
use super::stream::{Buffer, MAX_PLAINTEXT, Stream};
use crate::outcome::Call;
use crate::secret::SecretBytes;
use crate::wire;

/// The longest wait for the rest of a response once sending has failed, or once its status alone decides.
const REST_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an unreadable response may pause before it counts as complete: its framing may be wrong.
const RAW_IDLE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long reading may go on after the deadline: what had arrived is read, but more may keep arriving.
const LATE_READ_TIMEOUT: Duration = Duration::from_millis(250);
/// The longest chunk-size line: ureq takes 20 bytes, but waits for the end of a longer one forever.
const MAX_CHUNK_LINE: usize = 256;
/// What a response may have besides its content: head, chunk-size lines and trailers.
const MAX_OVERHEAD: usize = 64 << 10;

/// What holds for one call.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) call: Call,
    pub(super) deadline: Instant,
    /// The longest body of a success.
    pub(super) max_body: usize,
}

/// One connection, whose buffers are wiped as soon as they are used.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    limits: Limits,
    /// The end of reading what had arrived before the deadline, once that has passed.
    late_deadline: Option<Instant>,
    /// The request, as far as it was not sent.
    output: SecretBytes,
    buffered: usize,
    /// Nothing more is sent: the server has responded, or takes no more. What ureq still writes is thrown away.
    is_stopped: bool,
    /// Everything that arrived but interim responses, and how much of it ureq has consumed.
    received: Buffer,
    consumed: usize,
    has_progress: bool,
    /// The status of the response, once its first line is there.
    pub(super) status: Option<u16>,
    /// What ended the connection: `UnexpectedEof` if the server closed it.
    pub(super) error: Option<io::Error>,
    /// Whether ureq would send another request.
    pub(super) is_persistent: bool,
}

impl Connection {
    pub(super) fn new(stream: Box<dyn Stream>, limits: Limits) -> Self {
        Self {
            stream,
            limits,
            late_deadline: None,
            output: SecretBytes::zeroed(MAX_PLAINTEXT),
            buffered: 0,
            is_stopped: false,
            received: Buffer::with_capacity(MAX_PLAINTEXT + MAX_HEAD / 4),
            consumed: 0,
            has_progress: false,
            status: None,
            error: None,
            is_persistent: false,
        }
    }

    /// Forgets the response; true if another request may follow.
    pub(super) fn reset(&mut self) -> bool {
        let is_fit = self.is_persistent && self.is_consumed() && self.is_sent() && self.error.is_none();
        self.received.discard(self.received.filled().len());
        (self.consumed, self.status, self.is_persistent, self.late_deadline) = (0, None, false, None);
        is_fit
    }

    /// Begins another request; false if the server has closed the connection, or has sent what nobody asked for.
    pub(super) fn begin(&mut self, limits: Limits) -> bool {
        self.limits = limits;
        self.stream.is_reusable()
    }

    /// Whether all that ureq wrote was sent: none is buffered, and none was thrown away.
    pub(super) fn is_sent(&self) -> bool {
        self.buffered == 0 && !self.is_stopped
    }

    /// Whether ureq consumed every byte that arrived.
    pub(super) fn is_consumed(&self) -> bool {
        self.consumed == self.received.filled().len()
    }

    /// Reads on past the end that ureq saw, until the connection is idle: shares may follow a wrong length.
    pub(super) fn read_rest(&mut self) {
        while self.error.is_none() && self.received.filled().len() < self.max_received() {
            self.error = self.receive(Instant::now() + RAW_IDLE_TIMEOUT).err();
        }
    }

    /// Everything behind the status line, as it came.
    pub(super) fn raw(&self) -> SecretBytes {
        let received = self.received.filled();
        let start = status_line(received).map_or(0, |(_, len)| len);
        SecretBytes::new(received[start..received.len().min(self.max_received())].into())
    }

    fn max_received(&self) -> usize {
        let is_success = matches!(self.status, Some(200..=299));
        let max_body = if is_success { self.limits.max_body } else { wire::MAX_ERROR_BODY };
        max_body.saturating_add(MAX_OVERHEAD)
    }

    /// `Transport::transmit_output`: ureq has written this many bytes into `output`.
    pub(super) fn transmit(&mut self, len: usize) {
        self.buffered += len;
        if self.buffered == self.output.len() {
            self.flush();
        }
    }

    /// Sends what is buffered, and wipes it. If it cannot be sent, the server may have said why: ureq goes on to its
    /// response.
    fn flush(&mut self) {
        let buffered = core::mem::take(&mut self.buffered);
        if !self.is_stopped && self.send(buffered).is_err() {
            self.is_stopped = true;
            self.shorten_deadline();
        }
        self.output.expose_mut()[..buffered].fill(0);
    }

    fn send(&mut self, len: usize) -> io::Result<()> {
        let mut sent = 0;
        loop {
            self.stream.set_deadline(self.limits.deadline);
            let rest = &self.output.expose()[sent..len];
            let result = if rest.is_empty() { self.stream.flush().map(|()| 0) } else { self.stream.write(rest) };
            match result {
                Ok(0) if sent == len => return Ok(()),
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(len) => sent += len,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    // Session tickets and interim responses are no reason to stop sending.
                    let read = self.receive(Instant::now());
                    self.error = read.err().filter(|e| e.kind() != ErrorKind::TimedOut);
                    // Whoever responds before all was read will not read on.
                    let is_noise = self.status.is_none() && self.received.filled().len() <= MAX_HEAD;
                    if self.error.is_some() || !is_noise {
                        return Err(ErrorKind::BrokenPipe.into());
                    }
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Waits until more of the response is there; false at the end of the connection.
    pub(super) fn await_input(&mut self) -> Result<bool, Error> {
        self.flush();
        let max_line = if self.consumed == 0 { MAX_HEAD } else { MAX_CHUNK_LINE };
        if self.input().len() > max_line || self.received.filled().len() > self.max_received() {
            return Err(io::Error::other("a line is too long, or too much came around its body").into());
        }
        if self.error.is_none() {
            self.error = self.receive(self.limits.deadline).err();
        }
        match &self.error {
            None => Ok(true),
            Some(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(false),
            // `decide` finds the error itself in `error`: ureq takes a reset for the end of a body.
            Some(_) => Err(Error::ConnectionFailed),
        }
    }

    fn receive(&mut self, deadline: Instant) -> io::Result<()> {
        let now = Instant::now();
        if now >= self.limits.deadline && now >= *self.late_deadline.get_or_insert(now + LATE_READ_TIMEOUT) {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_deadline(deadline.min(self.limits.deadline));
        if self.received.append(|room| self.stream.read(room))? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.has_progress = true;
        if self.status.is_none() {
            self.received.discard(interim_len(self.received.filled()));
            self.status = status_line(self.received.filled()).map(|(status, _)| status);
            self.status = self.status.filter(|status| !matches!(status, 100 | 102..=199));
            // Only a response with shares may take all the time that is left.
            let is_worth_it = |status| self.limits.call == Call::Backup && matches!(status, 200..=299);
            if self.status.is_some_and(|status| !is_worth_it(status)) {
                self.shorten_deadline();
            }
        }
        Ok(())
    }

    fn shorten_deadline(&mut self) {
        self.limits.deadline = self.limits.deadline.min(Instant::now() + REST_TIMEOUT);
    }
}

impl Buffers for Connection {
    fn output(&mut self) -> &mut [u8] {
        &mut self.output.expose_mut()[self.buffered..]
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        // The first is for chunked bodies; ours announce their length.
        (&mut [], self.output())
    }

    fn input(&self) -> &[u8] {
        &self.received.filled()[self.consumed..]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        &mut []
    }

    fn input_appended(&mut self, _: usize) {}

    fn input_consume(&mut self, len: usize) {
        self.consumed += len;
        self.has_progress = len > 0;
    }

    fn can_use_input(&self) -> bool {
        self.has_progress && !self.input().is_empty()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}
