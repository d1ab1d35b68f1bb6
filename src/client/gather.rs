//! What goes into one write, with the key put in at the last moment, and buffers that are wiped.
//!
//! Head and body of a request leave as one TLS record and one write. The key goes from its wiped buffer into the wiped
//! output buffer: no structure of ureq ever holds it, so that no log, copy or redirect of ureq's can carry it. Buffers
//! with plain text are wiped as soon as they are used.

use alloc::sync::Arc;
use core::fmt;

use ureq::Error;
use ureq::unversioned::transport::time::Duration;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use zeroize::Zeroize as _;

use crate::secret::{ApiKey, SecretBytes};

/// Room for what is sent at once: one TLS record (RFC 8446, section 5.1).
pub(super) const RECORD: usize = 16 << 10;

/// The outermost connector, over TLS.
pub(super) struct GatherAndWipe(pub(super) Arc<ApiKey>);

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
            held: 0,
            in_body: false,
            input: Input::new(),
            is_outermost: false,
            is_rested: false,
            was_full: false,
        }))
    }
}

/// A transport that holds output back until its buffer is full or an answer is awaited.
pub(super) struct Gathered<T: Transport> {
    inner: T,
    key: Arc<ApiKey>,
    /// How much of the output buffer, which is `inner`'s, waits to be sent.
    held: usize,
    /// Whether the head of the current request has passed.
    in_body: bool,
    input: Input,
    /// Whether requests of ours go in here, and not the records and the CONNECT of a tunnel.
    is_outermost: bool,
    /// Whether the connection was asked about since it was last used.
    is_rested: bool,
    /// Whether the last read filled all its room, so that TLS may hold more.
    was_full: bool,
}

impl<T: Transport> fmt::Debug for Gathered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gathered")
    }
}

impl<T: Transport> Gathered<T> {
    /// All the room for output, what is held first.
    fn record(&mut self) -> &mut [u8] {
        let output = self.inner.buffers().output();
        let len = output.len().min(RECORD);
        &mut output[..len]
    }

    /// Puts the key into the head that is held, once for each request of ours; a CONNECT is none.
    fn authorize(&mut self) -> Result<(), Error> {
        let held = self.held;
        let key = self.key.clone();
        let record = self.record();
        let head = &record[..held];
        let is_ours = head.starts_with(b"POST ") || head.starts_with(b"PATCH ");
        if !is_ours || !head.ends_with(b"\r\n\r\n") {
            return Ok(());
        }
        let mut at = held - 2;
        for part in [b"authorization: Bearer ", key.expose().as_bytes(), b"\r\n\r\n"] {
            let room = record.get_mut(at..at + part.len());
            room.ok_or(Error::LargeResponseHeader(at + part.len(), RECORD))?.copy_from_slice(part);
            at += part.len();
        }
        (self.held, self.in_body, self.is_outermost) = (at, true, true);
        Ok(())
    }

    /// Whether more came than was asked for, and lies in a buffer of TLS or below where a look at the socket does not
    /// find it. It must never be taken for the answer to the next request.
    fn has_more(&mut self) -> bool {
        // What TLS decrypted it hands out up to the room there is, and the bytes below it the socket knows of.
        if !self.was_full {
            return false;
        }
        let no_time = Duration::Exact(core::time::Duration::ZERO);
        let result = self.inner.await_input(NextTimeout { after: no_time, ..NextTimeout::default() });
        !matches!(result, Err(Error::Timeout(_)))
    }

    fn flush(&mut self, timeout: NextTimeout) -> Result<(), Error> {
        if self.held == 0 {
            return Ok(());
        }
        let result = self.inner.transmit_output(self.held, timeout);
        self.wipe_output();
        result
    }

    fn wipe_output(&mut self) {
        let held = core::mem::take(&mut self.held);
        self.record()[..held].zeroize();
    }
}

impl<T: Transport> Drop for Gathered<T> {
    fn drop(&mut self) {
        self.wipe_output();
        // Plain text that TLS decrypted and nobody read.
        let below = self.inner.buffers();
        let unread = below.input().len();
        below.input_consume(unread);
        below.input_append_buf().zeroize();
    }
}

impl<T: Transport> Transport for Gathered<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.held += amount;
        if !self.in_body {
            self.authorize()?;
        }
        if self.held == self.record().len() { self.flush(timeout) } else { Ok(()) }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.flush(timeout)?;
        (self.in_body, self.is_rested) = (false, false);
        let free = self.input.free();
        if free.is_empty() {
            return Err(Error::LargeResponseHeader(RECORD, RECORD));
        }
        if self.inner.buffers().input().is_empty() && !self.inner.await_input(timeout)? {
            return Ok(false);
        }
        let below = self.inner.buffers();
        self.was_full = below.input().len() >= RECORD;
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
        // ureq asks when it puts a connection away and again when it takes it out. Only the latter decides, and each
        // answer costs three system calls. Inside of a tunnel there is only the one question that TLS passes on.
        let is_read = self.input.unconsumed().is_empty() && self.inner.buffers().input().is_empty();
        let is_clean = self.held == 0 && is_read;
        let was_rested = core::mem::replace(&mut self.is_rested, true);
        let is_put_away = self.is_outermost && !was_rested;
        is_clean && (is_put_away || (!self.has_more() && self.inner.is_open()))
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

impl<T: Transport> Buffers for Gathered<T> {
    fn output(&mut self) -> &mut [u8] {
        let held = self.held;
        &mut self.record()[held..]
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
            // What was consumed is wiped already.
            self.buffer.expose_mut()[left.max(self.consumed)..self.filled].zeroize();
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
