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

use crate::secret::ApiKey;

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
            has_received: false,
            is_outermost: false,
            is_rested: false,
            was_full: false,
        }))
    }
}

/// A transport that holds output back until its buffer is full or an answer is awaited.
///
/// The buffers are those of the transport below, plain text in both directions.
pub(super) struct Gathered<T: Transport> {
    inner: T,
    key: Arc<ApiKey>,
    /// How much of the output buffer waits to be sent.
    held: usize,
    /// Whether the head of the current request has passed.
    in_body: bool,
    /// Whether the input buffer may hold what was received.
    has_received: bool,
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
    /// Puts the key into the head that is held, once for each request of ours; a CONNECT is none.
    fn authorize(&mut self) -> Result<(), Error> {
        let output = self.inner.buffers().output();
        let (len, head) = (output.len(), &output[..self.held]);
        let is_ours = head.starts_with(b"POST ") || head.starts_with(b"PATCH ");
        if !is_ours || !head.ends_with(b"\r\n\r\n") {
            return Ok(());
        }
        let mut at = self.held - 2;
        for part in [b"authorization: Bearer ", self.key.expose().as_bytes(), b"\r\n\r\n"] {
            let room = output.get_mut(at..at + part.len());
            room.ok_or(Error::LargeResponseHeader(at + part.len(), len))?.copy_from_slice(part);
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
        let result = self.inner.transmit_output(self.held, timeout);
        self.wipe_output();
        result
    }

    fn wipe_output(&mut self) {
        let held = core::mem::take(&mut self.held);
        if held > 0 {
            self.inner.buffers().output()[..held].zeroize();
        }
    }

    /// Wipes what was received, once all of it is read.
    fn wipe_input(&mut self) {
        let buffers = self.inner.buffers();
        if self.has_received && buffers.input().is_empty() {
            buffers.input_append_buf().zeroize();
            self.has_received = false;
        }
    }
}

impl<T: Transport> Drop for Gathered<T> {
    fn drop(&mut self) {
        self.wipe_output();
        let buffers = self.inner.buffers();
        let unread = buffers.input().len();
        buffers.input_consume(unread);
        self.wipe_input();
    }
}

impl<T: Transport> Transport for Gathered<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        if self.held > 0 { self } else { self.inner.buffers() }
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.held += amount;
        if !self.in_body {
            self.authorize()?;
        }
        if self.output().is_empty() { self.flush(timeout) } else { Ok(()) }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        if self.held > 0 {
            self.flush(timeout)?;
            // Records of a tunnel that came together.
            if self.inner.buffers().can_use_input() {
                return Ok(true);
            }
        }
        (self.in_body, self.is_rested) = (false, false);
        self.wipe_input();
        let buffers = self.inner.buffers();
        let room = buffers.input_append_buf().len();
        let unread = buffers.input().len();
        if room == 0 {
            return Err(Error::LargeResponseHeader(unread, unread));
        }
        self.has_received = true;
        let is_open = self.inner.await_input(timeout)?;
        self.was_full = self.inner.buffers().input().len() == unread + room;
        Ok(is_open)
    }

    fn is_open(&mut self) -> bool {
        // ureq asks when it puts a connection away and again when it takes it out. Only the latter decides, and each
        // answer costs three system calls. Inside of a tunnel there is only the one question that TLS passes on.
        let is_clean = self.held == 0 && self.inner.buffers().input().is_empty();
        let was_rested = core::mem::replace(&mut self.is_rested, true);
        let is_put_away = self.is_outermost && !was_rested;
        if is_put_away {
            self.wipe_input();
        }
        is_clean && (is_put_away || (!self.has_more() && self.inner.is_open()))
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// What is seen while output is held: room behind it, and no input before it is sent.
impl<T: Transport> Buffers for Gathered<T> {
    fn output(&mut self) -> &mut [u8] {
        &mut self.inner.buffers().output()[self.held..]
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        // The scratch buffer is for chunked bodies; ours announce their length.
        (&mut [], self.output())
    }

    fn input(&self) -> &[u8] {
        &[]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        &mut []
    }

    fn input_appended(&mut self, _: usize) {}

    fn input_consume(&mut self, _: usize) {}

    fn can_use_input(&self) -> bool {
        false
    }
}
