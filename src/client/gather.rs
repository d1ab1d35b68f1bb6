//! What goes into one write, with the key put in at the last moment, and buffers that are wiped.
//!
//! Head and body of a request leave as one TLS record and one write. The key goes from its wiped buffer into the wiped
//! output buffer: no request or header of ureq's ever holds it, so that no log, copy or redirect of ureq's can carry it.
//! Buffers with plain text are wiped as soon as they are used.
//!
//! Here is also what ureq has to be helped with: interim answers, the deadline of a CONNECT, and what may be left over on
//! a connection that is kept.

use alloc::sync::Arc;
use core::fmt;

use memchr::memchr_iter;
use ureq::Error;
use ureq::unversioned::transport::time::Duration;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use zeroize::Zeroize as _;

use super::connection::Deadline;
use crate::secret::ApiKey;

/// The outermost connector, over TLS.
pub(super) struct Gather(pub(super) Arc<ApiKey>);

impl fmt::Debug for Gather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gather")
    }
}

impl<In: Transport> Connector<In> for Gather {
    type Out = Gathered<In>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| Gathered {
            inner,
            key: self.0.clone(),
            held: 0,
            in_body: false,
            awaits_head: false,
            input_is_dirty: false,
            carries_requests: false,
            checked_since_use: false,
            opening: Some(Deadline::of_opening(details)),
            tls_may_hold_more: false,
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
    /// Whether nothing but interim answers can have come so far.
    awaits_head: bool,
    /// Whether the input buffer may hold what was received.
    input_is_dirty: bool,
    /// Whether requests of ours go in here, and not the records and the CONNECT of a tunnel.
    carries_requests: bool,
    /// Whether somebody asked if the connection is open since it was last used.
    checked_since_use: bool,
    /// While the answer to a CONNECT is awaited: ureq gives each read of it all the time there is for a connection.
    opening: Option<Deadline>,
    /// Whether the last read filled all its room.
    tls_may_hold_more: bool,
}

impl<T: Transport> fmt::Debug for Gathered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gathered")
    }
}

impl<T: Transport> Gathered<T> {
    /// Puts the key into the head that is held, once for each request of ours; a CONNECT is not one of them.
    fn authorize(&mut self) -> Result<(), Error> {
        let output = self.inner.buffers().output();
        let (len, head) = (output.len(), &output[..self.held]);
        let is_ours = head.starts_with(b"POST ") || head.starts_with(b"PATCH ");
        let is_whole = head.ends_with(b"\r\n\r\n");
        if !is_ours || (!is_whole && self.held < len) {
            return Ok(());
        }
        if !is_whole {
            return Err(Error::LargeResponseHeader(self.held, len));
        }
        let mut at = self.held - 2;
        for part in [b"authorization: Bearer ", self.key.expose().as_bytes(), b"\r\n\r\n"] {
            let room = output.get_mut(at..at + part.len());
            room.ok_or(Error::LargeResponseHeader(at + part.len(), len))?.copy_from_slice(part);
            at += part.len();
        }
        (self.held, self.in_body, self.awaits_head, self.carries_requests) = (at, true, true, true);
        Ok(())
    }

    /// Whether bytes that nobody asked for wait in a buffer of TLS, where a look at the socket does not find them. They
    /// must never be taken for the answer to the next request.
    fn has_more(&mut self) -> bool {
        // TLS fills the room it is given before it holds anything back, and the socket knows what lies below TLS. Half
        // a record is not seen; who can send it can as well send it a moment later.
        if !self.tls_may_hold_more {
            return false;
        }
        self.input_is_dirty = true;
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

    /// Takes interim answers away (RFC 9110, section 15.2): ureq refuses headers in a `100 Continue`.
    fn skip_interim_answers(&mut self) {
        const INTERIM: &[u8] = b"HTTP/1.1 1";
        let buffers = self.inner.buffers();
        while self.awaits_head {
            let input = buffers.input();
            // What switches protocols is no interim answer.
            let is_interim = input.starts_with(INTERIM) && !input.starts_with(b"HTTP/1.1 101");
            match end_of_head(input) {
                Some(end) if is_interim => buffers.input_consume(end),
                _ => {
                    self.awaits_head = is_interim || INTERIM.starts_with(input);
                    break;
                }
            }
        }
    }

    /// Wipes what was received, once all of it is read.
    fn wipe_input(&mut self) {
        let buffers = self.inner.buffers();
        if self.input_is_dirty && buffers.input().is_empty() {
            buffers.input_append_buf().zeroize();
            self.input_is_dirty = false;
        }
    }
}

/// Where the empty line behind a head ends; a line may end without a carriage return (RFC 9112, section 2.2).
fn end_of_head(input: &[u8]) -> Option<usize> {
    memchr_iter(b'\n', input).find_map(|at| match &input[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

impl<T: Transport> Drop for Gathered<T> {
    fn drop(&mut self) {
        // All of it: ureq may have written what it then did not send.
        self.held = 0;
        self.output().zeroize();
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
        if self.held == 0 && !self.inner.buffers().output()[..amount].starts_with(b"CONNECT ") {
            self.opening = None;
        }
        self.held += amount;
        if !self.in_body {
            self.authorize()?;
        }
        if self.output().is_empty() { self.flush(timeout) } else { Ok(()) }
    }

    fn await_input(&mut self, mut timeout: NextTimeout) -> Result<bool, Error> {
        if let Some(opening) = &self.opening {
            timeout = opening.next_timeout()?;
        }
        if self.held > 0 {
            let deadline = Deadline::new(timeout);
            self.flush(timeout)?;
            timeout = deadline.next_timeout()?;
            // Records of a tunnel that came together.
            if self.inner.buffers().can_use_input() {
                return Ok(true);
            }
        }
        (self.in_body, self.checked_since_use) = (false, false);
        self.wipe_input();
        let buffers = self.inner.buffers();
        let room = buffers.input_append_buf().len();
        let unread = buffers.input().len();
        if room == 0 {
            return Err(Error::LargeResponseHeader(unread, unread));
        }
        self.input_is_dirty = true;
        let is_open = self.inner.await_input(timeout)?;
        self.tls_may_hold_more = self.inner.buffers().input().len() == unread + room;
        self.skip_interim_answers();
        Ok(is_open)
    }

    fn is_open(&mut self) -> bool {
        // ureq asks when it puts a connection away and again when it takes it out. Only the latter decides, and each
        // answer costs three system calls. Inside of a tunnel there is only the one question that TLS passes on.
        let is_clean = self.held == 0 && self.inner.buffers().input().is_empty();
        let was_checked = core::mem::replace(&mut self.checked_since_use, true);
        let is_put_away = self.carries_requests && !was_checked;
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
