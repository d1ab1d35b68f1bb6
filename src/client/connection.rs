//! One connection under ureq: what it sends leaves at once, and what it receives is kept until the call is done.
//!
//! ureq writes the request into the buffer of the next TLS record, and reads the answer from the buffer that it arrived
//! in. What ureq has no way to tell goes through [`Course`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ureq::Error;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

use super::answer::{self, End, MAX_HEAD, before_the_answer, end_of_head, unfold};
use super::stream::{Buffer, RECORD, Stream};
use crate::secret::SecretBytes;

/// How a call goes: for the connection that carries it, and for who made it.
pub(super) struct Course(Mutex<State>);

struct State {
    until: Instant,
    /// How many bytes an answer may have, its head and chunks included.
    most: usize,
    unfinished: Option<Unfinished>,
}

/// What ureq let go of before a connection was fit for the next call.
pub(super) struct Unfinished {
    /// Every byte that arrived since the request.
    pub(super) received: Buffer,
    pub(super) stream: Box<dyn Stream>,
}

impl Course {
    pub(super) fn new() -> Self {
        let until = Instant::now();
        Self(Mutex::new(State { until, most: 0, unfinished: None }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock leaves the state half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request begins; its answer has to be there in time.
    pub(super) fn begin(&self, until: Instant, most: usize) {
        *self.state() = State { until, most, unfinished: None };
    }

    /// From here on, it has to be there by then at the latest.
    pub(super) fn hurry(&self, until: Instant) {
        let mut state = self.state();
        state.until = state.until.min(until);
    }

    pub(super) fn until(&self) -> Instant {
        self.state().until
    }

    pub(super) fn take_unfinished(&self) -> Option<Unfinished> {
        self.state().unfinished.take()
    }
}

/// How long it takes to read what is there.
const A_MOMENT: Duration = Duration::from_millis(10);

/// One connection, whose buffers are wiped as soon as they are used.
pub(super) struct Connection {
    /// Gone only when it was handed over.
    stream: Option<Box<dyn Stream>>,
    is_tls: bool,
    course: Arc<Course>,
    phase: Phase,
    /// The request, as far as it was not sent.
    output: SecretBytes,
    held: usize,
    /// The answer from its first byte, and how much of it ureq has taken.
    received: Buffer,
    taken: usize,
    has_progressed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Sending,
    Receiving,
    Idle,
}

impl Connection {
    pub(super) fn new(stream: Box<dyn Stream>, is_tls: bool, course: Arc<Course>) -> Self {
        Self {
            stream: Some(stream),
            is_tls,
            course,
            phase: Phase::Idle,
            output: SecretBytes::zeroed(RECORD),
            held: 0,
            received: Buffer::with_capacity(RECORD + MAX_HEAD / 4),
            taken: 0,
            has_progressed: false,
        }
    }

    /// Sends what is held, and wipes it.
    fn flush(&mut self) -> io::Result<()> {
        let held = core::mem::take(&mut self.held);
        let result = self.send(held);
        self.output.expose_mut()[..held].fill(0);
        result
    }

    fn send(&mut self, held: usize) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Err(ErrorKind::NotConnected.into()) };
        let (mut sent, until) = (0, self.course.until());
        while sent < held {
            match stream.write_some(&self.output.expose()[sent..held], until) {
                Ok(len) => sent += len,
                // Tickets of TLS and interim answers mean nothing.
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    match stream.read(&mut self.received, until.min(Instant::now() + A_MOMENT)) {
                        Err(e) if !matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
                            return Err(e);
                        }
                        Ok(0) => return Err(ErrorKind::BrokenPipe.into()),
                        _ => self.received.discard(before_the_answer(self.received.filled())),
                    }
                    // Who answers before all was read will not read on.
                    if answer::read(self.received.filled()).is_some_and(|answer| answer.status > 199) {
                        return Err(ErrorKind::BrokenPipe.into());
                    }
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Receives more of the answer, its head in one piece; false at the end.
    fn receive(&mut self) -> io::Result<bool> {
        loop {
            let (until, most) = {
                let state = self.course.state();
                (state.until, state.most)
            };
            let is_stuck = self.taken > 0 && self.is_stuck();
            if is_stuck || self.received.filled().len() > most {
                return Err(io::Error::new(ErrorKind::InvalidData, "the answer is not HTTP"));
            }
            let Some(stream) = &mut self.stream else { return Err(ErrorKind::NotConnected.into()) };
            if stream.read(&mut self.received, until)? == 0 {
                return Ok(false);
            }
            if self.taken > 0 {
                return Ok(true);
            }
            self.received.discard(before_the_answer(self.received.filled()));
            match end_of_head(self.received.filled()) {
                Some(end) => {
                    unfold(&mut self.received.filled_mut()[..end]);
                    return Ok(true);
                }
                None if self.received.filled().len() > MAX_HEAD => return Ok(true),
                None => {}
            }
        }
    }

    /// Whether ureq waits for more of an answer that is whole, or that is not HTTP.
    fn is_stuck(&self) -> bool {
        answer::read(self.received.filled())
            .is_some_and(|answer| matches!(answer.end, End::Whole | End::Odd(_)))
    }

    fn is_all_taken(&self) -> bool {
        self.held == 0 && self.taken == self.received.filled().len()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        if self.phase != Phase::Sending {
            self.received.clear();
            (self.phase, self.taken) = (Phase::Sending, 0);
        }
        self.held += amount;
        if self.held == self.output.len() {
            self.flush()?;
        }
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        if self.phase == Phase::Sending {
            self.flush()?;
            self.phase = Phase::Receiving;
        }
        Ok(self.receive()?)
    }

    /// ureq asks twice: when it puts a connection away, and when it takes it out. Only then is the socket looked at.
    fn is_open(&mut self) -> bool {
        let is_put_away = self.phase == Phase::Receiving;
        if !self.is_all_taken() || self.phase == Phase::Sending {
            return false;
        }
        if is_put_away {
            self.received.clear();
            (self.phase, self.taken) = (Phase::Idle, 0);
        }
        is_put_away || self.stream.as_mut().is_some_and(|stream| stream.is_silent())
    }

    fn is_tls(&self) -> bool {
        self.is_tls
    }
}

impl Buffers for Connection {
    fn output(&mut self) -> &mut [u8] {
        &mut self.output.expose_mut()[self.held..]
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        // The first is for chunked bodies; ours announce their length.
        (&mut [], self.output())
    }

    fn input(&self) -> &[u8] {
        &self.received.filled()[self.taken..]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        &mut []
    }

    fn input_appended(&mut self, _: usize) {}

    fn input_consume(&mut self, amount: usize) {
        self.taken += amount;
        self.has_progressed = amount > 0;
    }

    fn can_use_input(&self) -> bool {
        self.has_progressed && !self.input().is_empty()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.phase == Phase::Idle {
            return;
        }
        if let Some(stream) = self.stream.take() {
            let received = core::mem::replace(&mut self.received, Buffer::with_capacity(0));
            self.course.state().unfinished = Some(Unfinished { received, stream });
        }
    }
}
