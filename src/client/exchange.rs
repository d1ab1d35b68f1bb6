//! One request and its response: bounded in time and size, and exact about how far it came.

use alloc::format;
use alloc::string::{String, ToString as _};
use core::fmt;
use core::mem;
use std::io::{self, ErrorKind, Read};
use std::time::Instant;

use ureq::http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use ureq::{Body, SendBody};

use super::connect::ConnectError;
use super::connection::{Connection, Limits};
use super::pool::{Pool, PooledAgent};
use crate::error::Error;
use crate::outcome::Call;
use crate::redact::Redactor;
use crate::secret::SecretBytes;
use crate::transport_error::{TransportError, TransportErrorKind as Kind};
use crate::wire::{self, Failure};

/// One of the two calls, with everything that is known before it is sent.
pub(super) struct Operation<'a> {
    pub(super) uri: &'a Uri,
    pub(super) authorization: &'a HeaderValue,
    pub(super) request: &'a wire::Request<'a>,
    pub(super) redactor: &'a Redactor<'a>,
    pub(super) call: Call,
}

/// A response, as far as it came.
pub(super) struct Response {
    status: u16,
    headers: HeaderMap,
    /// As ureq decoded it.
    body: SecretBytes,
    pub(super) error: Option<BodyError>,
    /// Whether the service has the whole request.
    is_sent: bool,
    agent: PooledAgent,
    connection: Connection,
}

/// Why a body is not known to be complete.
pub(super) enum BodyError {
    Malformed(String),
    TooLong(u64),
    Truncated { why: &'static str, after: usize, has_content_length: bool },
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "it is not HTTP: {what}"),
            Self::TooLong(max) => write!(f, "it is longer than {max} bytes"),
            Self::Truncated { why, after, .. } => write!(f, "{why} after {after} bytes of it"),
        }
    }
}

/// Sends one request, and receives the response to it.
pub(super) fn exchange(
    pool: &Pool,
    operation: &Operation<'_>,
    limits: Limits,
) -> Result<Response, TransportError> {
    let (deadline, host) = (limits.deadline, operation.uri.host().unwrap_or_default());
    let agent = pool.connect(operation.uri, limits).map_err(|e| operation.failed(e, false, deadline))?;
    let (start, request) = (Instant::now(), operation.request);
    log::debug!(target: "portal_backup", "sending {} {}, {} bytes", request.method(), operation.uri, request.body_len());

    let mut body = CountedBody(request.body());
    let decoded = Decoded::send(&agent, operation, &mut body, limits.max_body);
    // What was not even asked for was not sent, and the service cannot have the whole request.
    let is_asked_for = body.0.remaining() == 0;
    let connection = agent.take_connection().ok_or_else(|| {
        // ureq gives back what it was lent.
        let e = ConnectError::new(Kind::Io, host, &ErrorKind::NotConnected.into(), deadline);
        operation.failed(e, is_asked_for, deadline)
    })?;
    let is_sent = is_asked_for && connection.is_sent();
    let Some(status) = connection.status else {
        let e = no_response(&decoded.result, &connection, host, deadline);
        return Err(operation.failed(e, is_sent && !connection.is_refused(), deadline));
    };
    log::debug!(target: "portal_backup", "status {status} after {} ms", start.elapsed().as_millis());

    let Decoded { headers, body, has_content_length, result } = decoded;
    let error = result.err().map(|e| BodyError::new(&e, &connection, body.len(), has_content_length));
    Ok(Response { status, headers, body, error, is_sent, agent, connection })
}

pub(super) const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

/// A request's body, which knows how much of it was asked for.
struct CountedBody<'a>(wire::Body<'a>);

impl Read for CountedBody<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.0.read(buffer))
    }
}

/// What ureq made of a response, as far as it came.
struct Decoded {
    headers: HeaderMap,
    body: SecretBytes,
    has_content_length: bool,
    result: Result<(), ureq::Error>,
}

impl Decoded {
    fn send(
        agent: &PooledAgent,
        operation: &Operation<'_>,
        body: &mut CountedBody<'_>,
        max_body: usize,
    ) -> Self {
        let request = Request::builder()
            .method(operation.request.method())
            .uri(operation.uri)
            .header(header::AUTHORIZATION, operation.authorization)
            .header(header::CONTENT_TYPE, wire::CONTENT_TYPE)
            .header(header::CONTENT_LENGTH, operation.request.body_len())
            .body(SendBody::from_reader(body));
        let (mut headers, mut body, mut has_content_length) =
            (HeaderMap::new(), SecretBytes::zeroed(0), false);
        let response = request.map_err(ureq::Error::from).and_then(|request| agent.agent.run(request));
        let result = response.and_then(|response| {
            let (head, mut reader) = response.into_parts();
            headers = head.headers;
            has_content_length = reader.content_length().is_some();
            let max = if head.status.is_success() { max_body } else { wire::MAX_ERROR_BODY };
            read_body(&mut reader, max, &mut body)
        });
        Self { headers, body, has_content_length, result }
    }
}

/// Reads a body into a buffer of the announced size. A larger buffer takes the place of one that is full, which is wiped.
fn read_body(body: &mut Body, max: usize, into: &mut SecretBytes) -> Result<(), ureq::Error> {
    const ROOM_IF_NOT_ANNOUNCED: usize = 16 << 10;
    let announced = body.content_length().map(|len| usize::try_from(len).unwrap_or(usize::MAX));
    *into = SecretBytes::zeroed(announced.unwrap_or(ROOM_IF_NOT_ANNOUNCED).min(max));
    let (mut reader, mut len) = (body.as_reader(), 0);
    let result = loop {
        if len == into.len() && len < max && announced.is_none() {
            let mut larger = SecretBytes::zeroed((len * 2).min(max));
            larger.expose_mut()[..len].copy_from_slice(into.expose());
            *into = larger;
        }
        let mut beyond = [0];
        let is_full = len == into.len();
        let room = if is_full { &mut beyond } else { &mut into.expose_mut()[len..] };
        match reader.read(room) {
            Ok(0) => break Ok(()),
            Ok(_) if is_full => break Err(ureq::Error::BodyExceedsLimit(max as u64)),
            Ok(read) => len += read,
            Err(e) => break Err(e.into()),
        }
    };
    into.truncate(len);
    result
}

impl BodyError {
    fn new(e: &ureq::Error, connection: &Connection, after: usize, has_content_length: bool) -> Self {
        match (e, &connection.error) {
            (ureq::Error::BodyExceedsLimit(max), _) => Self::TooLong(*max),
            (_, Some(e)) => {
                let is_late = e.kind() == ErrorKind::TimedOut;
                let why = if is_late { "the time was up" } else { "the connection broke" };
                Self::Truncated { why, after, has_content_length }
            }
            (ureq::Error::Protocol(e), None) => Self::Malformed(e.to_string()),
            (ureq::Error::Io(e), None) => Self::Malformed(e.to_string()),
            (e, None) => Self::Malformed(e.to_string()),
        }
    }
}

const COMPRESSED: &str = "it is compressed, which was not asked for";

impl Response {
    /// Status, `Retry-After` and body.
    pub(super) fn take(&mut self) -> (u16, Option<String>, SecretBytes) {
        let body = mem::replace(&mut self.body, SecretBytes::zeroed(0));
        (self.status, self.text(header::RETRY_AFTER), body)
    }

    fn text(&self, name: HeaderName) -> Option<String> {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// Adds to a failure what only the response tells.
    pub(super) fn explain(&mut self, failure: Failure, redactor: &Redactor<'_>) -> Error {
        let coding = self.text(header::CONTENT_ENCODING).filter(|it| !it.eq_ignore_ascii_case("identity"));
        match failure {
            Failure::Refused(mut e) => {
                if let (300..=399, Some(location)) = (self.status, self.text(header::LOCATION)) {
                    let mut message = String::from("a redirect, not followed, to ");
                    redactor.push_printable(&host_of(&location), 100, &mut message);
                    e.body.message = Some(message.into());
                } else if coding.is_some() {
                    e.body.message = Some(COMPRESSED.into());
                }
                Error::Refused(e)
            }
            Failure::Failed(mut e) => {
                if coding.is_some() {
                    e.body.message = Some(COMPRESSED.into());
                }
                // The status is about the time that the request took: nobody can have acted on a part of it.
                if self.status == 408 && !self.is_sent { Error::Refused(e) } else { Error::Failed(e) }
            }
            Failure::Unreadable(mut e) => {
                let mut what = String::new();
                if let Some(error) = &self.error {
                    redactor.push_printable(&error.to_string(), 200, &mut what);
                } else if let Some(coding) = coding {
                    what += "it is compressed, though that was not asked for: ";
                    redactor.push_printable(&coding, 40, &mut what);
                }
                if !what.is_empty() {
                    e.what = what;
                }
                if !matches!(self.error, Some(BodyError::TooLong(_))) {
                    self.connection.read_rest();
                    let is_malformed = matches!(self.error, Some(BodyError::Malformed(_)));
                    if is_malformed || !self.connection.is_consumed() {
                        (e.body, e.is_raw) = (self.connection.raw(), true);
                    }
                }
                Error::Unreadable(e)
            }
        }
    }

    /// Gives the connection back.
    pub(super) fn put_back(self, pool: &Pool) {
        pool.put_back(self.agent, self.connection);
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

impl Operation<'_> {
    fn failed(&self, e: ConnectError, is_sent: bool, deadline: Instant) -> TransportError {
        let kind = if Instant::now() >= deadline { Kind::Timeout } else { e.kind };
        let mut what = String::new();
        self.redactor.push_printable(&e.what, 400, &mut what);
        let is_transient = e.is_transient && !is_sent;
        TransportError { call: self.call, kind, what, advice: e.advice, is_sent, is_transient }
    }
}

/// Why no status came over a connection.
fn no_response(
    result: &Result<(), ureq::Error>,
    connection: &Connection,
    host: &str,
    deadline: Instant,
) -> ConnectError {
    let (what, advice) = match (&connection.error, result) {
        (Some(e), _) => return ConnectError::new(Kind::Io, host, e, deadline),
        // Nothing came that ureq could refuse.
        (None, Err(e)) if connection.is_consumed() => {
            (format!("the request cannot be written ({e})"), "use a shorter address")
        }
        (None, _) => ("the response is not HTTP".into(), "try again"),
    };
    ConnectError { kind: Kind::Io, what: format!("{host}: {what}"), advice, is_transient: false }
}
