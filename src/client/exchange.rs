//! One attempt: a request, the response to it, and what becomes of the call. Bounded in time and size, and exact about
//! how far each came.

use alloc::format;
use alloc::string::String;
use std::io::{self, ErrorKind, Read};
use std::time::Instant;

use ureq::http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use ureq::{Agent, SendBody};

use super::connect::{permanent, transport_error};
use super::connection::{Connection, Limits};
use super::pool::{Pool, lock};
use super::stream::Buffer;
use crate::error::Error;
use crate::outcome::{Call, Outcome};
use crate::redact::Redactor;
use crate::transport_error::{TransportError, TransportErrorKind as Kind};
use crate::wire::{self, Failure, RawResponse};

/// What the wire layer makes of status, `Retry-After` and body.
pub(super) type Parse<T> = fn(RawResponse<'_>) -> Result<T, Failure>;

/// One of the two calls, with everything that is known before it is sent.
pub(super) struct Operation<'a, T> {
    pub(super) uri: &'a Uri,
    pub(super) authorization: &'a HeaderValue,
    pub(super) request: &'a wire::Request<'a>,
    pub(super) redactor: Redactor<'a>,
    pub(super) limits: Limits,
    pub(super) parse: Parse<T>,
}

/// The body as `std::io::Read` for ureq, since the wire layer is `no_std`.
struct RequestBody<'a>(wire::Body<'a>);

impl Read for RequestBody<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.0.read(buffer))
    }
}

/// A response as ureq decoded it, as far as it came.
struct Response {
    headers: HeaderMap,
    body: Buffer,
    /// What ended it.
    result: Result<(), ureq::Error>,
}

impl<T> Operation<'_, T> {
    /// Sends one request, receives the response to it, and decides what became of the call.
    pub(super) fn attempt(&self, pool: &Pool) -> Result<T, Error> {
        let Self { uri, request, limits, .. } = *self;
        let agent = pool.connect(uri, limits).map_err(|e| self.to_error(e, false))?;
        let start = Instant::now();
        log::debug!(target: "portal_backup", "sending {} {uri}, {} bytes", request.method(), request.body_len());
        let mut body = RequestBody(request.body());
        let mut response = Response { headers: HeaderMap::new(), body: Buffer::with_capacity(0), result: Ok(()) };
        response.result = self.exchange(&agent.agent, &mut body, &mut response);
        let host = uri.host().unwrap_or_default();
        let failed = |e: &_, is_sent| self.to_error(transport_error(limits, Kind::Io, host, e), is_sent);
        // What ureq did not read of the body was not sent, so the service cannot have the whole request.
        let is_body_read = body.0.remaining() == 0;
        // `SlotTransport::drop` has put the connection back into the slot.
        let connection = lock(&agent.slot).take();
        let mut connection = connection.ok_or_else(|| failed(&ErrorKind::NotConnected.into(), is_body_read))?;
        let is_sent = is_body_read && connection.is_sent();
        let Some(status) = connection.status else {
            let rejected = || permanent(response.result.err().map_or("it is not HTTP".into(), |e| format!("{e}")));
            // No I/O error: ureq rejected the response, or could not write the request.
            let e = connection.error.unwrap_or_else(rejected);
            // `ConnectionRefused`: the server refused the TLS handshake (`Tls::receive`), and so read no request.
            return Err(failed(&e, is_sent && e.kind() != ErrorKind::ConnectionRefused));
        };
        log::debug!(target: "portal_backup", "status {status} after {} ms", start.elapsed().as_millis());
        let result = self.decide(status, is_sent, response, &mut connection);
        pool.put_back(agent, connection);
        result
    }

    /// Sends the request and reads the response; ureq gets the connection from `SlotConnector`.
    fn exchange(&self, agent: &Agent, body: &mut RequestBody<'_>, response: &mut Response) -> Result<(), ureq::Error> {
        let request = Request::builder()
            .method(self.request.method())
            .uri(self.uri)
            .header(header::AUTHORIZATION, self.authorization)
            .header(header::CONTENT_TYPE, wire::CONTENT_TYPE)
            .header(header::CONTENT_LENGTH, self.request.body_len())
            .body(SendBody::from_reader(body))?;
        let (head, mut body) = agent.run(request)?.into_parts();
        let max = if head.status.is_success() { self.limits.max_body } else { wire::MAX_ERROR_BODY };
        response.headers = head.headers;
        let expected = body.content_length().unwrap_or(16 << 10).min(max as u64);
        // One byte more: the read that finds the end needs room, and would make the buffer grow.
        response.body = Buffer::with_capacity(expected as usize + 1);
        let mut reader = body.with_config().limit(max as u64).reader();
        while response.body.append(|room| reader.read(room))? > 0 {}
        Ok(())
    }

    /// What became of the call, now that there is a status.
    fn decide(&self, status: u16, is_sent: bool, response: Response, connection: &mut Connection) -> Result<T, Error> {
        let Response { headers, body, result } = response;
        let (call, len) = (self.limits.call, body.filled().len());
        let is_too_long = matches!(result, Err(ureq::Error::BodyExceedsLimit(_)));
        let is_malformed = result.is_err() && !is_too_long && connection.error.is_none();
        // Without a length, the closing brace tells that nothing is missing.
        let has_length = headers.contains_key(header::CONTENT_LENGTH);
        let is_open_end = call == Call::Backup && !(has_length || is_too_long || is_malformed);
        let may_be_whole = result.is_ok() || is_open_end || !matches!(status, 200..=299);
        let incomplete = result.err().map(|e| match &connection.error {
            _ if is_too_long => format!("it is longer than {len} bytes"),
            None => format!("it is not HTTP: {e}"),
            Some(e) if e.kind() == ErrorKind::TimedOut => format!("the time was up after {len} bytes of it"),
            Some(_) => format!("the connection broke after {len} bytes of it"),
        });
        let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let retry_after = header(header::RETRY_AFTER);
        let response = RawResponse { status, retry_after, body: body.into_bytes(), redactor: &self.redactor };
        let result = if may_be_whole { (self.parse)(response) } else { Err(response.unreadable(call, "")) };
        result.map_err(|failure| match failure {
            Failure::Refused(mut e) => {
                if let (300..=399, Some(location)) = (status, header(header::LOCATION)) {
                    // Only the host is quoted, since the rest may hold anything; `//host` needs some scheme to be parsed.
                    let scheme = if location.starts_with("//") { "https:" } else { "" };
                    let uri = format!("{scheme}{location}").parse::<Uri>().ok();
                    let host = match scheme.is_empty() && !location.contains("://") {
                        true => "the same host",
                        false => uri.as_ref().and_then(Uri::host).unwrap_or("an invalid address"),
                    };
                    let what = format!("a redirect, not followed, to {host}");
                    e.body.message = Some(self.redacted(&what, 150).into());
                }
                Error::Refused(e)
            }
            // The status is about the time that the request took: nobody can have acted on a part of it.
            Failure::Failed(mut e) if status == 408 && !is_sent => {
                e.outcome = Outcome::Refused;
                Error::Refused(e)
            }
            Failure::Failed(e) => Error::Failed(e),
            Failure::Unreadable(mut e) => {
                if let Some(what) = incomplete {
                    e.what = self.redacted(&what, 200);
                }
                if !is_too_long {
                    connection.read_rest();
                    if is_malformed || !connection.is_consumed() {
                        (e.body, e.is_raw) = (connection.raw(), true);
                    }
                }
                Error::Unreadable(e)
            }
        })
    }

    fn to_error(&self, e: TransportError, is_sent: bool) -> Error {
        let (what, is_transient) = (self.redacted(&e.what, 400), e.is_transient && !is_sent);
        Error::Transport(TransportError { what, is_sent, is_transient, ..e })
    }

    /// A text that the other end may have put the key or a share into.
    fn redacted(&self, text: &str, limit: usize) -> String {
        let mut redacted = String::new();
        self.redactor.push_redacted(text, limit, &mut redacted);
        redacted
    }
}
