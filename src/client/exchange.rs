//! One HTTP exchange: bounded in time and size, and exact about how far it came.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;
use std::io::{self, ErrorKind, Read};
use std::time::Instant;

use ureq::http::{self, HeaderValue, Uri, header};
use ureq::{Agent, Body, SendBody};

use super::answer::{self, Answer, End, MAX_HEAD, before_the_answer, end_of_head, may_become_one, unfold};
use super::connect::{Connect, ConnectError, ConnectOptions, NoLookup};
use super::connection::{Course, Unfinished};
use super::tls;
use crate::error::{TransportError, TransportErrorKind};
use crate::outcome;
use crate::redact::Redactor;
use crate::secret::SecretBytes;
use crate::wire;

/// How long the body of an answer may take whose status says enough, and how long nothing may come of one that is not
/// HTTP, so that nobody knows its end.
const PATIENCE: Duration = Duration::from_secs(3);
/// What an answer may have besides its body: its head, and what is around chunks.
const AROUND_THE_BODY: usize = 64 << 10;

/// ureq with connections of our own, for one call at a time.
pub(super) struct Line {
    agent: Agent,
    course: Arc<Course>,
    pub(super) last_use: Instant,
}

impl Line {
    pub(super) fn new(options: Arc<ConnectOptions>, keep_alive: Duration) -> Self {
        let config = Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(&options.user_agent)
            .accept(wire::CONTENT_TYPE)
            .accept_encoding("identity")
            .max_response_header_size(MAX_HEAD)
            .max_idle_age(keep_alive)
            .max_idle_connections(2)
            .max_idle_connections_per_host(usize::from(!keep_alive.is_zero()))
            .build();
        let course = Arc::new(Course::new());
        let agent = Agent::with_parts(config, Connect { options, course: course.clone() }, NoLookup);
        Self { agent, course, last_use: Instant::now() }
    }
}

/// One request, with everything that is known before it is sent.
pub(super) struct Call<'a> {
    pub(super) uri: &'a Uri,
    pub(super) authorization: &'a HeaderValue,
    pub(super) request: &'a wire::Request<'a>,
    pub(super) until: Instant,
    pub(super) max_response_bytes: usize,
    /// Whether the body of a success is worth all the time that is left.
    pub(super) wants_body: bool,
}

/// What came back.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    /// Where a redirect points to.
    pub(super) location_host: Option<String>,
    /// How the body is compressed, though that was not asked for.
    pub(super) coding: Option<String>,
    pub(super) body: SecretBytes,
    pub(super) cut: Option<Cut>,
    /// Whether the service has the whole request.
    pub(super) is_sent: bool,
}

/// Why a body is not known to be whole.
pub(super) enum Cut {
    /// What is kept begins behind the status line.
    NotHttp(&'static str),
    TooLong(usize),
    Short {
        why: &'static str,
        after: usize,
        is_announced: bool,
    },
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp(what) => write!(f, "it is not HTTP: {what}"),
            Self::TooLong(max) => write!(f, "it is longer than {max} bytes"),
            Self::Short { why, after, .. } => write!(f, "{why} after {after} bytes of it"),
        }
    }
}

/// Sends one request and receives the answer to it.
pub(super) fn exchange(
    line: &Line,
    call: &Call<'_>,
    redactor: &Redactor<'_>,
) -> Result<Reply, TransportError> {
    let course = &*line.course;
    course.begin(call.until, call.max_response_bytes.saturating_add(AROUND_THE_BODY));
    let mut body = CountedBody(call.request.body());
    let received = send(&line.agent, call, &mut body).and_then(|response| receive(response, call, course));
    // ureq's errors do not tell a request that never left from one whose answer was lost. The body does: as long as
    // some of it was not even asked for, the service cannot have the whole request.
    let is_sent = body.0.remaining() == 0;
    let unfinished = course.take_unfinished();
    let e = match received {
        Ok(reply) => return Ok(Reply { is_sent, ..reply }),
        Err(e) => e,
    };
    if !is_sent {
        // An answer that tells why is here, or it does not come.
        course.hurry(Instant::now() + PATIENCE);
    }
    let may_be_answered = is_sent || matches!(e, ureq::Error::Io(_));
    match unfinished.filter(|_| may_be_answered).and_then(|it| finish(it, &e, call, course)) {
        Some(reply) => Ok(Reply { is_sent, ..reply }),
        None => Err(explain(&e, is_sent, call, redactor)),
    }
}

fn send(
    agent: &Agent,
    call: &Call<'_>,
    body: &mut CountedBody<'_>,
) -> Result<http::Response<Body>, ureq::Error> {
    let request = http::Request::builder()
        .method(call.request.method())
        .uri(call.uri)
        .header(header::AUTHORIZATION, call.authorization)
        .header(header::CONTENT_TYPE, wire::CONTENT_TYPE)
        .header(header::CONTENT_LENGTH, call.request.body_len())
        .body(SendBody::from_reader(body))?;
    agent.run(request)
}

/// A request's body, which knows how much of it was asked for.
struct CountedBody<'a>(wire::Body<'a>);

impl Read for CountedBody<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.0.read(buffer))
    }
}

/// Receives the body into a buffer of the announced size. A larger buffer takes the place of one that is full, which is
/// wiped.
fn receive(
    mut response: http::Response<Body>,
    call: &Call<'_>,
    course: &Course,
) -> Result<Reply, ureq::Error> {
    const ROOM_IF_NOT_ANNOUNCED: usize = 16 << 10;
    let status = response.status();
    let text = |name| {
        response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).to_string())
    };
    let mut reply = Reply {
        status: status.as_u16(),
        retry_after: text(header::RETRY_AFTER),
        location_host: text(header::LOCATION).as_deref().map(host_of),
        coding: text(header::CONTENT_ENCODING).filter(|coding| !coding.eq_ignore_ascii_case("identity")),
        body: SecretBytes::zeroed(0),
        cut: None,
        is_sent: true,
    };
    let max = limit(reply.status, call, course);
    let body = response.body_mut();
    let announced = body.content_length().map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let mut reader = body.as_reader();
    let mut received = 0;
    reply.body = SecretBytes::zeroed(announced.unwrap_or(ROOM_IF_NOT_ANNOUNCED).min(max));
    loop {
        if received == reply.body.len() && received < max && announced.is_none() {
            let mut larger = SecretBytes::zeroed((received * 2).clamp(ROOM_IF_NOT_ANNOUNCED.min(max), max));
            larger.expose_mut()[..received].copy_from_slice(reply.body.expose());
            reply.body = larger;
        }
        let mut beyond = [0];
        let is_full = received == reply.body.len();
        let room = if is_full { &mut beyond[..] } else { &mut reply.body.expose_mut()[received..] };
        match reader.read(room) {
            Ok(0) => break,
            Ok(_) if is_full => {
                reply.cut = Some(Cut::TooLong(received));
                break;
            }
            Ok(n) => received += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    reply.body.truncate(received);
    Ok(reply)
}

const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

/// How long a body of this status may be; one that changes nothing is not waited for.
fn limit(status: u16, call: &Call<'_>, course: &Course) -> usize {
    if !is_success(status) || !call.wants_body {
        course.hurry(Instant::now() + PATIENCE);
    }
    if is_success(status) { call.max_response_bytes } else { wire::MAX_ERROR_BODY }
}

/// Reads what ureq did not take: an answer that came before the whole request was sent, that is not HTTP to the letter,
/// or that was cut. `None` if there is none.
fn finish(unfinished: Unfinished, e: &ureq::Error, call: &Call<'_>, course: &Course) -> Option<Reply> {
    let Unfinished { mut received, mut stream } = unfinished;
    let mut end = match e {
        ureq::Error::Io(e) if e.kind() == ErrorKind::TimedOut => "the time was up",
        _ => "the connection broke",
    };
    let answer = loop {
        received.discard(before_the_answer(received.filled()));
        if let Some(end) = end_of_head(received.filled()) {
            unfold(&mut received.filled_mut()[..end]);
        }
        let answer = answer::read(received.filled());
        let (max, until) = match &answer {
            None if may_become_one(received.filled()) => (0, course.until()),
            None => return None,
            Some(Answer { status, end, .. }) => {
                let max = limit(*status, call, course);
                match end {
                    End::Open | End::InHead => (max, course.until()),
                    End::Odd(_) if is_success(*status) => {
                        (max, course.until().min(Instant::now() + PATIENCE))
                    }
                    End::Whole | End::Odd(_) => break answer?,
                }
            }
        };
        if received.filled().len() > max.saturating_add(AROUND_THE_BODY) {
            end = "too much came around its chunks";
            break answer?;
        }
        match stream.read(&mut received, until) {
            Ok(1..) => {}
            Err(e) if e.kind() == ErrorKind::TimedOut => {
                end = "the time was up";
                break answer?;
            }
            _ => break answer?,
        }
    };
    let max = limit(answer.status, call, course);
    let is_kept = call.wants_body && answer.body(received.filled()).any(|piece| !piece.is_empty());
    if answer.end == End::InHead && is_success(answer.status) && !is_kept {
        return None;
    }
    Some(reply(&answer, received.filled(), max, end))
}

fn reply(answer: &Answer, received: &[u8], max: usize, end: &'static str) -> Reply {
    let len = answer.body(received).map(<[u8]>::len).sum::<usize>();
    let mut body = SecretBytes::zeroed(len.min(max));
    let mut rest = body.expose_mut();
    for piece in answer.body(received) {
        let (room, after) = rest.split_at_mut(piece.len().min(rest.len()));
        room.copy_from_slice(&piece[..room.len()]);
        rest = after;
    }
    let cut = match answer.end {
        End::Odd(what) => Some(Cut::NotHttp(what)),
        End::InHead => Some(Cut::NotHttp("its head is not whole")),
        _ if len > max => Some(Cut::TooLong(max)),
        End::Whole => None,
        End::Open => Some(Cut::Short { why: end, after: len, is_announced: answer.is_announced }),
    };
    Reply {
        status: answer.status,
        retry_after: answer.retry_after.clone(),
        location_host: answer.location.as_deref().map(host_of),
        coding: answer.coding.clone(),
        body,
        cut,
        is_sent: true,
    }
}

/// The host in a `Location` (RFC 9110, section 10.2.2); the rest of it may hold anything.
fn host_of(location: &str) -> String {
    let whole = match location {
        // A reference without a scheme keeps that of the request.
        _ if location.starts_with("//") => format!("https:{location}"),
        _ if location.contains("://") => location.into(),
        _ => return "the same host".into(),
    };
    let uri = whole.parse::<Uri>().ok();
    uri.as_ref().and_then(Uri::host).unwrap_or("an invalid address").into()
}

/// Says what went wrong, in words that are safe to show.
fn explain(e: &ureq::Error, is_sent: bool, call: &Call<'_>, redactor: &Redactor<'_>) -> TransportError {
    let mut what = format!("{}: ", call.uri.host().unwrap_or_default());
    let failure = match e {
        ureq::Error::Io(e) => match e.get_ref().and_then(|inner| inner.downcast_ref::<ConnectError>()) {
            Some(ConnectError { what: whole, advice, is_transient, .. }) => {
                what.clear();
                Failure { what: whole.clone(), advice, is_repeatable: *is_transient }
            }
            None => Failure::of_io(e),
        },
        ureq::Error::Protocol(_) if !is_sent => Failure::new("the head of the request is too long"),
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => {
            Failure::new("the answer is not HTTP")
        }
        other => Failure::new(&other.to_string()),
    };
    redactor.push_printable(&failure.what, 400, &mut what);
    let is_transient = failure.is_repeatable && !is_sent;
    let name = if call.wants_body { outcome::Call::Backup } else { outcome::Call::Confirm };
    let kind = TransportErrorKind::Io;
    TransportError { call: name, kind, what, advice: failure.advice, is_sent, is_transient }
}

/// What failed, what to do about it, and whether the same call may well pass a moment later.
struct Failure {
    what: String,
    advice: &'static str,
    is_repeatable: bool,
}

impl Failure {
    fn new(what: &str) -> Self {
        Self { what: what.into(), advice: "try again", is_repeatable: false }
    }

    fn of_io(e: &io::Error) -> Self {
        if let Some(tls) = e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            let (what, advice) = tls::explain(tls);
            return Self { what, advice, is_repeatable: false };
        }
        match e.kind() {
            ErrorKind::TimedOut => Self::new("the time for the call was up"),
            ErrorKind::InvalidData => Self::new("the server sent what nobody asked for"),
            ErrorKind::UnexpectedEof => {
                Self { is_repeatable: true, ..Self::new("the server closed the connection") }
            }
            _ => Self { is_repeatable: true, ..Self::new(&e.to_string()) },
        }
    }
}
