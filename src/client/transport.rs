//! One HTTP exchange: bounded in time and size, and exact about how far it came.

use alloc::format;
use alloc::string::{String, ToString as _};
use core::time::Duration;
use std::io::{self, Read};

use rustls::CertificateError;
use ureq::http::{self, Uri, header};
use ureq::{Agent, Body, SendBody, Timeout};

use super::connection::is_name_not_found;
use crate::error::TransportError;
use crate::outcome::Outcome;
use crate::redact::Redactor;
use crate::secret::SecretBytes;
use crate::wire;

/// One of the two calls' addresses.
pub(super) struct Endpoint {
    pub(super) uri: Uri,
    /// Plain HTTP, to this machine: never through a proxy.
    pub(super) is_plain: bool,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    /// Where a redirect points to.
    pub(super) location_host: Option<String>,
    pub(super) body: SecretBytes,
    /// Why there is no more of the body, if there should be.
    pub(super) cut: Option<String>,
}

/// Sends one request and receives the answer to it, within this time or else that of the agent.
pub(super) fn exchange(
    agent: &Agent,
    endpoint: &Endpoint,
    request: &wire::Request<'_>,
    timeout: Option<Duration>,
    max_response_bytes: usize,
    redactor: &Redactor<'_>,
) -> Result<Answer, TransportError> {
    let mut body = CountedBody { unread: request.body() };
    let answered = send(agent, endpoint, request, timeout, &mut body);
    // ureq's errors do not tell a request that never left from one whose answer was lost. The body does: as long as
    // some of it was not even asked for, the service cannot have the whole request.
    let outcome = if body.unread.remaining() == 0 { Outcome::Unknown } else { Outcome::NotSent };
    let mut response = answered.map_err(|e| explain(&e, outcome, endpoint, redactor))?;

    let status = response.status();
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = text(header::RETRY_AFTER).map(String::from);
    let location_host = text(header::LOCATION).map(host_of);
    let max = if status.is_success() { max_response_bytes } else { wire::MAX_ERROR_BODY };
    let (body, cut) = receive(response.body_mut(), max);
    Ok(Answer { status: status.as_u16(), retry_after, location_host, body, cut })
}

fn send(
    agent: &Agent,
    endpoint: &Endpoint,
    request: &wire::Request<'_>,
    timeout: Option<Duration>,
    body: &mut CountedBody<'_>,
) -> Result<http::Response<Body>, ureq::Error> {
    let request = http::Request::builder()
        .method(request.method())
        .uri(&endpoint.uri)
        .header(header::CONTENT_TYPE, wire::CONTENT_TYPE)
        .header(header::CONTENT_LENGTH, request.body_len())
        .body(SendBody::from_reader(body))?;
    let is_past_proxy = endpoint.is_plain && agent.config().proxy().is_some();
    // Settings of its own cost a request a copy of all of them, and a new connection a new TLS configuration.
    if timeout.is_none() && !is_past_proxy {
        return agent.run(request);
    }
    let mut config = agent.configure_request(request);
    if timeout.is_some() {
        config = config.timeout_global(timeout);
    }
    if is_past_proxy {
        config = config.proxy(None);
    }
    agent.run(config.build())
}

/// A request's body that knows how much of it was asked for.
struct CountedBody<'a> {
    unread: wire::Body<'a>,
}

impl Read for CountedBody<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.unread.read(buffer))
    }
}

/// Receives up to `max` bytes into a buffer of the announced size, and says why there are no more of them if there
/// should be. A larger buffer takes the place of one that is full, which is wiped.
fn receive(body: &mut Body, max: usize) -> (SecretBytes, Option<String>) {
    const ROOM_IF_NOT_ANNOUNCED: usize = 16 << 10;
    let announced = body.content_length().map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let mut reader = body.as_reader();
    let mut received = 0;
    let mut buffer = SecretBytes::zeroed(announced.unwrap_or(ROOM_IF_NOT_ANNOUNCED).min(max));
    let cut = loop {
        if received == buffer.len() && received < max && announced.is_none() {
            let larger = (buffer.len() * 2).clamp(ROOM_IF_NOT_ANNOUNCED.min(max), max);
            let mut larger = SecretBytes::zeroed(larger);
            larger.expose_mut()[..received].copy_from_slice(buffer.expose());
            buffer = larger;
        }
        let mut beyond = [0];
        let is_full = received == buffer.len();
        let room = if is_full { &mut beyond[..] } else { &mut buffer.expose_mut()[received..] };
        match reader.read(room) {
            Ok(0) => break None,
            Ok(_) if is_full => break Some(format!("it is longer than {received} bytes")),
            Ok(n) => received += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                // A chunk that is spoiled comes with what was read before it, but without a count. The room was zeroed,
                // and text holds no zero.
                let unread = &buffer.expose()[received..];
                received += unread.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
                let why = match ureq::Error::from(e) {
                    ureq::Error::Timeout(_) => "the time was up",
                    _ => "the connection broke",
                };
                break Some(format!("{why} after {received} bytes of it"));
            }
        }
    };
    buffer.truncate(received);
    (buffer, cut)
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
fn explain(
    e: &ureq::Error,
    outcome: Outcome,
    endpoint: &Endpoint,
    redactor: &Redactor<'_>,
) -> TransportError {
    let host = endpoint.uri.host().unwrap_or_default();
    let mut what = format!("{host}: ");
    let mut say = |text: &str| redactor.push_printable(text, 200, &mut what);
    let mut advice = "try again";
    let mut repeatable = false;
    match e {
        ureq::Error::Io(e) => match inner_tls_error(e) {
            Some(tls) => {
                say(&tls.to_string());
                advice = tls_advice(tls);
            }
            None if is_name_not_found(e) => {
                say("the name was not found");
                advice = "check the name and the network";
            }
            None => {
                repeatable = true;
                say(&e.to_string());
            }
        },
        ureq::Error::Rustls(tls) => {
            say(&tls.to_string());
            advice = tls_advice(tls);
        }
        ureq::Error::Timeout(Timeout::Connect) => {
            repeatable = true;
            say("no connection within the time for one");
        }
        ureq::Error::Timeout(_) => say("the time for the call was up"),
        ureq::Error::ConnectProxyFailed(reason) => {
            say("the proxy refused: ");
            say(reason);
            advice = "check the proxy";
        }
        ureq::Error::LargeResponseHeader(..) => say("the head of the request or of the answer is too long"),
        other => say(&other.to_string()),
    }
    match outcome {
        Outcome::NotSent if repeatable => TransportError::not_sent(what, advice).repeatable(),
        Outcome::NotSent => TransportError::not_sent(what, advice),
        _ => TransportError::unknown(what),
    }
}

fn inner_tls_error(e: &io::Error) -> Option<&rustls::Error> {
    e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
}

fn tls_advice(e: &rustls::Error) -> &'static str {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    match e {
        rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        ) => "check the clock of this machine, then the server's certificate",
        rustls::Error::InvalidCertificate(_) => {
            "check the address and the roots; the connection may be intercepted"
        }
        _ => "check the address; the connection may be intercepted",
    }
}
