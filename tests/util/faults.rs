//! The table: every way in which the network or the service can fail, and what is promised for it.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portal_backup::Outcome;
use rustls::ServerConfig;

use super::TIMEOUT;
use super::certificates::{self, Certificate};
use super::secrets::{self, KEY};
use super::server::{Connection, Script, Server};

/// What a call must end with.
#[derive(Clone, Debug)]
pub struct Promise {
    /// None when the call must succeed.
    pub outcome: Option<Outcome>,
    /// The exit code of the command line, asked for a backup.
    pub exit: i32,
    /// How many connections a client with three attempts opens for a backup.
    pub connections: usize,
    /// The same for a confirmation.
    pub confirm_connections: usize,
    /// None when a confirmation must succeed.
    pub confirm_outcome: Option<Outcome>,
    /// Of a success that is not understood: what the error must keep.
    pub kept: Option<Kept>,
}

/// The error keeps at least that much of this, from its beginning, and nothing else.
#[derive(Clone, Debug)]
pub struct Kept {
    pub of: Vec<u8>,
    pub least: usize,
    /// Whether it is everything behind the status line.
    pub is_raw: bool,
}

/// The request did not leave whole, and is not tried again.
const NOT_SENT: Promise = Promise {
    outcome: Some(Outcome::NotSent),
    exit: 3,
    connections: 1,
    confirm_connections: 1,
    confirm_outcome: Some(Outcome::NotSent),
    kept: None,
};
/// The request did not leave whole, and is tried again.
const NOT_SENT_AGAIN: Promise = Promise { connections: 3, confirm_connections: 3, ..NOT_SENT };
/// Nobody is there to be connected with.
const NOT_CONNECTED: Promise = Promise { connections: 0, confirm_connections: 0, ..NOT_SENT };
const REFUSED: Promise =
    Promise { outcome: Some(Outcome::Refused), confirm_outcome: Some(Outcome::Refused), exit: 4, ..NOT_SENT };
/// A backup may have been made and is not tried again; a confirmation is.
const UNKNOWN: Promise = Promise {
    outcome: Some(Outcome::Unknown),
    confirm_outcome: Some(Outcome::Unknown),
    exit: 5,
    confirm_connections: 3,
    ..NOT_SENT
};
const SUCCESS: Promise = Promise { outcome: None, confirm_outcome: None, exit: 0, ..NOT_SENT };

/// A complete success that holds no shares; it confirms if it is empty or JSON without an error.
fn unreadable(body: impl Into<Vec<u8>>) -> Promise {
    let body = body.into();
    let json = serde_json::from_slice::<serde_json::Value>(&body);
    let confirms = body.trim_ascii().is_empty() || json.is_ok_and(|json| json.get("error").is_none());
    if confirms { confirming(incomplete(body)) } else { incomplete(body) }
}

/// The same, but a confirmation succeeds.
fn confirming(promise: Promise) -> Promise {
    Promise { confirm_outcome: None, confirm_connections: 1, ..promise }
}

/// A success whose body does not come whole: what came is kept.
fn incomplete(body: impl Into<Vec<u8>>) -> Promise {
    let of = body.into();
    Promise { kept: Some(Kept { least: of.len(), of, is_raw: false }), ..UNKNOWN }
}

/// A success that ureq does not take as it came: everything behind the status line is kept.
fn raw(behind_the_status: impl Into<Vec<u8>>) -> Promise {
    let of = behind_the_status.into();
    Promise { kept: Some(Kept { least: of.len(), of, is_raw: true }), ..UNKNOWN }
}

/// Two whole shares, in a response whose end does not come.
const WHOLE: Promise = Promise { outcome: None, exit: 0, ..UNKNOWN };

impl Promise {
    /// So much of it is there before it breaks.
    fn from(mut self, least: usize) -> Self {
        self.kept.as_mut().unwrap().least = least;
        self
    }
}

/// The longest body of a success that a client takes by default, and what may be around it.
const MAX: usize = (1 << 20) + (64 << 10);

/// One row of the table.
pub struct Fault {
    pub name: String,
    pub promise: Promise,
    /// Whether it goes on until the deadline.
    pub lasts: bool,
    /// Whether it needs a request that cannot leave while nobody reads.
    pub is_large: bool,
    target: Target,
}

enum Target {
    Nobody(String),
    Served(Option<Arc<ServerConfig>>, Arc<Script>),
}

/// Where a fault happens; dropping it ends it.
pub struct Stage {
    pub url: String,
    pub server: Option<Server>,
}

impl Fault {
    pub fn stage(&self) -> Stage {
        match &self.target {
            Target::Nobody(url) => Stage { url: url.clone(), server: None },
            Target::Served(tls, script) => {
                let server = Server::run(tls.clone(), script.clone());
                Stage { url: server.url(), server: Some(server) }
            }
        }
    }

    /// The deadline of the call that meets it. A large request takes a while to be made, on a busy machine.
    pub fn timeout(&self) -> Duration {
        match (self.is_large, self.lasts) {
            (false, _) => TIMEOUT,
            (true, true) => 3 * TIMEOUT,
            (true, false) => 15 * TIMEOUT,
        }
    }

    pub fn generate_response(&self) -> &'static str {
        if self.is_large { secrets::large_generate_response() } else { secrets::generate_response() }
    }
}

/// A port that nobody listens on, and nobody else can get as long as this connection uses it.
pub struct ClosedPort {
    user: TcpStream,
    _other_end: TcpListener,
}

impl ClosedPort {
    pub fn new() -> Self {
        let other_end = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let user = TcpStream::connect(other_end.local_addr().unwrap()).unwrap();
        Self { user, _other_end: other_end }
    }

    pub fn number(&self) -> u16 {
        self.user.local_addr().unwrap().port()
    }
}

struct Table {
    trusted: Arc<ServerConfig>,
    rows: Vec<Fault>,
}

impl Table {
    fn add(&mut self, name: impl Into<String>, promise: Promise, target: Target) -> Rows<'_> {
        self.rows.push(Fault { name: name.into(), promise, lasts: false, is_large: false, target });
        self.last(1)
    }

    fn last(&mut self, count: usize) -> Rows<'_> {
        let first = self.rows.len() - count;
        Rows(&mut self.rows[first..])
    }

    /// Over TLS.
    fn tls<F>(&mut self, name: impl Into<String>, promise: Promise, script: F) -> Rows<'_>
    where
        F: Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
    {
        let config = self.trusted.clone();
        self.add(name, promise, Target::Served(Some(config), Arc::new(script)))
    }

    /// The same promise over TLS and plain HTTP, each a row.
    fn both<F>(&mut self, name: &str, promise: Promise, script: F) -> Rows<'_>
    where
        F: Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
    {
        let script: Arc<Script> = Arc::new(script);
        for (protocol, tls) in [("TLS", Some(self.trusted.clone())), ("plain HTTP", None)] {
            let target = Target::Served(tls, script.clone());
            self.add(format!("{name}, over {protocol}"), promise.clone(), target);
        }
        self.last(2)
    }

    /// Responds to every whole request with these bytes, and closes.
    fn respond(&mut self, name: &str, promise: Promise, response: impl Into<Vec<u8>>) -> Rows<'_> {
        let response = response.into();
        self.both(name, promise, move |c| {
            c.request()?;
            c.send(&response)
        })
    }

    /// Responds to every whole request with these bytes, and goes on.
    fn then(&mut self, name: &str, promise: Promise, start: impl Into<Vec<u8>>, then: Then) -> Rows<'_> {
        let start = start.into();
        self.both(name, promise, move |c| {
            c.request()?;
            c.send(&start)?;
            match &then {
                Then::Silence => c.silence(),
                Then::Endless(bytes) => c.endless(bytes),
                Then::Pieces(bytes, size, pause) => c.pieces(bytes.chunks(*size), *pause),
            }
        })
    }

    /// The same with a response that says 200, of which everything behind the status line is kept.
    fn raw(&mut self, name: &str, behind_the_status: impl Into<String>) {
        let behind = behind_the_status.into();
        self.respond(name, raw(&*behind), format!("HTTP/1.1 200 OK\r\n{behind}"));
    }
}

/// What follows the beginning of a response.
enum Then {
    Silence,
    Endless(Vec<u8>),
    /// So many bytes at a time, with a pause after each.
    Pieces(Vec<u8>, usize, Duration),
}

struct Rows<'t>(&'t mut [Fault]);

impl Rows<'_> {
    fn lasts(self) {
        for fault in self.0 {
            fault.lasts = true;
            // Nothing is left of the time for another try.
            fault.promise.confirm_connections = fault.promise.confirm_connections.min(1);
        }
    }

    fn large(self) -> Self {
        self.0.iter_mut().for_each(|fault| fault.is_large = true);
        self
    }
}

/// Responds as the service does.
pub fn good(c: &mut Connection) -> io::Result<()> {
    c.request()?;
    c.send(response_of(200, &secrets::backup_response(c.number)))
}

fn behind_status(response: &str) -> &str {
    response.split_once("\r\n").unwrap().1
}

/// A whole response with a length.
pub fn response_of(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} Test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A body, whole, in chunks of that size.
pub fn chunked(body: &str, size: usize) -> String {
    let mut chunks = String::new();
    for chunk in body.as_bytes().chunks(size) {
        chunks += &format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap());
    }
    chunks
}

/// Pauses that take a call of a few hundred bytes far past its deadline.
const DRIP: Duration = Duration::from_millis(40);

/// Each class, those that mean something of their own to HTTP or to this crate, and some that are not registered.
const STATUSES: [u16; 25] = [
    300, 301, 304, 307, 308, 399, 400, 401, 403, 404, 407, 408, 409, 413, 418, 421, 425, 429, 499, //
    500, 502, 503, 504, 599, 600,
];

/// The whole table.
pub fn all() -> Vec<Fault> {
    let trusted = certificates::server_config(Certificate::Trusted);
    let mut table = Table { trusted, rows: Vec::new() };
    before_the_request(&mut table);
    within_the_request(&mut table);
    refused_within_the_request(&mut table);
    instead_of_a_response(&mut table);
    heads(&mut table);
    bodies(&mut table);
    statuses(&mut table);
    successes(&mut table);
    table.rows
}

fn before_the_request(t: &mut Table) {
    static CLOSED: OnceLock<ClosedPort> = OnceLock::new();
    let closed = format!("https://127.0.0.1:{}", CLOSED.get_or_init(ClosedPort::new).number());
    t.add("name not found", NOT_CONNECTED, Target::Nobody("https://no-such-name.invalid".into()));
    t.add("connection refused", NOT_CONNECTED, Target::Nobody(closed));
    t.tls("closed after accept", NOT_SENT_AGAIN, |_| Ok(()));
    t.tls("closed on the first bytes", NOT_SENT_AGAIN, |c| c.raw().read_some());
    t.tls("reset after accept", NOT_SENT_AGAIN, |c| {
        c.will_reset();
        c.raw().wait_for_bytes()
    });
    // Nobody can tell whether the kernel of the other end had taken the request before it was closed.
    t.add("closed after accept, over plain HTTP", UNKNOWN, Target::Served(None, Arc::new(|_: &mut Connection| Ok(()))));
    t.tls("silent before TLS", NOT_SENT, |c| c.raw().silence()).lasts();
    t.tls("not even read before TLS", NOT_SENT, Connection::stall).lasts();
    t.tls("dripping in the TLS handshake", NOT_SENT, |c| {
        c.raw().will_drip(DRIP);
        good(c)
    })
    .lasts();
    for certificate in [Certificate::Untrusted, Certificate::OtherName] {
        let target = Target::Served(Some(certificates::server_config(certificate)), Arc::new(good));
        t.add(format!("certificate: {certificate:?}"), NOT_SENT, target);
    }
    t.tls("TLS 1.1 only", NOT_SENT, |c| {
        c.raw().wait_for_bytes()?;
        // Handshake record: server hello, TLS 1.1, random, no session, ECDHE-RSA-AES128-SHA, no compression.
        c.raw().send([0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2])?;
        c.raw().send([7; 32])?;
        c.raw().send([0, 0xc0, 0x13, 0])?;
        c.raw().silence()
    });
}

/// So much is read of a request that is 8 MB long.
const PART: usize = 64 << 10;

fn within_the_request(t: &mut Table) {
    t.both("closed within the request", NOT_SENT_AGAIN, |c| c.part_of_request(PART)).large();
    t.both("reset within the request", NOT_SENT_AGAIN, |c| {
        c.will_reset();
        c.part_of_request(PART)
    })
    .large();
    t.both("stops reading within the request", NOT_SENT, |c| {
        c.part_of_request(PART)?;
        c.stall()
    })
    .large()
    .lasts();
    t.both("reads the request a few bytes at a time", NOT_SENT, |c| {
        c.part_of_request(PART)?;
        loop {
            c.raw().read_slowly(1024, Duration::from_millis(20))?;
        }
    })
    .large()
    .lasts();
}

/// The service has its reasons not to read on.
fn refused_within_the_request(t: &mut Table) {
    for (status, ends) in [400, 401, 408, 413, 429].into_iter().flat_map(|it| [(it, "closed"), (it, "nothing")]) {
        let response = response_of(status, r#"{"id":"TOO_LARGE","message":"No more of it"}"#);
        t.both(&format!("status {status} within the request, then {ends}"), REFUSED, move |c| {
            c.part_of_request(PART)?;
            c.send(&response)?;
            if ends == "closed" { Ok(()) } else { c.stall() }
        })
        .large();
    }
}

fn instead_of_a_response(t: &mut Table) {
    t.both("closed after the request", UNKNOWN, |c| c.request().map(drop));
    t.both("reset after the request", UNKNOWN, |c| {
        c.will_reset();
        c.request().map(drop)
    });
    t.then("silent after the request", UNKNOWN, "", Then::Silence).lasts();
    t.respond("not HTTP at all", UNKNOWN, "220 mail.example ESMTP\r\n");
    t.respond("HTTP without a head", UNKNOWN, secrets::backup_response(0));
    t.respond("binary noise", UNKNOWN, [0, 255, 13, 10, 128, 7, 13, 10, 13, 10].repeat(20));
    for version in ["HTTP/3.0", "HTTP/2", "http/1.1", "HTTP/1.1 "] {
        let whole = response_of(200, "{}").replacen("HTTP/1.1", version, 1);
        let behind = behind_status(&whole).to_string();
        t.respond(&format!("{version:?} in its status line"), raw(behind), whole);
    }
    t.respond("a status of two digits", UNKNOWN, "HTTP/1.1 20 OK\r\n\r\n");
    t.respond("a status below 100", UNKNOWN, "HTTP/1.1 099 OK\r\n\r\n");
    t.respond("not HTTP that repeats the key", UNKNOWN, format!("{KEY} {KEY}\r\n\r\n"));
}

fn heads(t: &mut Table) {
    t.respond("cut inside the status line", UNKNOWN, "HTTP/1.1 2");
    t.raw("cut after the status line", "");
    t.raw("cut inside the head", "Content-Type: applica");
    t.raw("cut before the empty line", "Content-Length: 2\r\n");
    t.respond("a refusal that is cut in its head", REFUSED, "HTTP/1.1 400 Bad Request\r\nContent-Le");
    t.respond("a failure that is cut in its head", UNKNOWN, "HTTP/1.1 500 No\r\nContent-Le");
    t.respond("a refusal with a wrong head", REFUSED, "HTTP/1.1 400 Bad Request\r\nContent-Length\r\n\r\n{}");
    let (field, body) = ("Content-Type: applica", "\r\n{}");
    for (name, bytes, promise) in [("the head", field, raw(field)), ("a body", body, incomplete("{}"))] {
        t.both(&format!("reset inside {name}"), promise.from(0), move |c| {
            c.will_reset();
            c.request()?;
            c.send(format!("HTTP/1.1 200 OK\r\n{bytes}"))
        });
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: applica";
    t.then("silent inside the head", raw(behind_status(head)), head, Then::Silence).lasts();
    for (name, bytes, promise) in [
        ("inside the head", "Content-Type: applica", raw("Content-Type: applica")),
        ("behind a wrong head", "Wrong\r\n\r\n{}", raw("Wrong\r\n\r\n{}")),
        ("in a body", "Content-Length: 9\r\n\r\n{\"SECP", incomplete("{\"SECP")),
    ] {
        t.tls(format!("a record that cannot be decrypted, {name}"), promise, move |c| {
            c.request()?;
            c.send(format!("HTTP/1.1 200 OK\r\n{bytes}"))?;
            c.raw().send([&[0x17, 3, 3, 0, 32], &[7; 32][..]].concat())?;
            c.silence()
        });
    }
    let padding = format!("X-Padding: {}\r\n", "x".repeat(400));
    let drip = Then::Pieces(format!("HTTP/1.1 200 OK\r\n{padding}").into(), 1, DRIP);
    t.then("dripping in the head", raw(padding).from(1), "", drip).lasts();
    let (ok, endless) = ("HTTP/1.1 200 OK\r\n", |piece: &str| Then::Endless(piece.into()));
    let (field, many) = ("X-More: of the same\r\n", "x".repeat(4096));
    let kept = raw(field.repeat(MAX / 20)).from(10_000);
    t.then("an endless head of many headers", kept, ok, endless(field));
    let kept = raw(format!("X-Endless: {}", "x".repeat(MAX))).from(10_000);
    t.then("an endless header", kept, format!("{ok}X-Endless: "), endless(&many));
    t.then("an endless status line", UNKNOWN, "HTTP/1.1 200 ", endless(&many));
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(50);
    t.then("an endless row of interim responses", UNKNOWN, "", endless(&interim)).lasts();
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n";
    t.respond("interim responses, then nothing", UNKNOWN, interim);
    let body = secrets::backup_response(0);
    let len = body.len();
    for (name, field) in [
        ("a header without a colon", "Content-Length".into()),
        ("a length that is no number", "Content-Length: many".into()),
        ("a length below zero", "Content-Length: -2".into()),
        ("a length with a sign", format!("Content-Length: +{len}")),
        ("a length beyond all numbers", format!("Content-Length: {}", "9".repeat(40))),
        ("two lengths that differ", format!("Content-Length: {len}\r\nContent-Length: 3")),
        ("a space before the colon", format!("Content-Length : {len}")),
        ("a control byte in a header", "X-Control: a\x01b".into()),
        ("a header without a name", ": nameless".into()),
        ("a head of more than 16 KB", format!("X-Padding: {}", "x".repeat(17_000))),
        ("more than 128 headers", vec!["X-More: of the same"; 129].join("\r\n")),
    ] {
        t.raw(name, format!("{field}\r\n\r\n{body}"));
    }
    for fold in ["\r\n ", "\r\n\t", "\n  "] {
        t.raw(&format!("headers folded by {fold:?}"), format!("X-Folded: a{fold}b\r\n\r\n{{{fold}{}", &body[1..]));
    }
    t.both("a wrong head and a body that follows later", raw(format!("Wrong\r\n\r\n{body}")), move |c| {
        c.request()?;
        c.send("HTTP/1.1 200 OK\r\nWrong\r\n\r\n")?;
        c.pieces(body.as_bytes().chunks(4000), Duration::from_millis(20))
    });
}

fn bodies(t: &mut Table) {
    let body = secrets::backup_response(0);
    let half = &body[..body.len() / 2];
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let with_length = |len: u64| format!("{head}Content-Length: {len}\r\n\r\n");
    let whole_len = body.len() as u64;

    t.respond("cut in a body with a length", incomplete(half), with_length(whole_len) + half);
    t.respond("cut before a body with a length", incomplete(""), with_length(whole_len));
    t.respond("cut in a body without a length", unreadable(half), format!("{head}\r\n{half}"));
    t.respond("cut before a body without a length", unreadable(""), format!("{head}\r\n"));
    let in_chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    t.respond("cut inside a chunk", incomplete(half), format!("{in_chunks}{whole_len:x}\r\n{half}"));
    t.respond("cut between two chunks", incomplete(half), format!("{in_chunks}{}", chunked(half, 1000)));
    t.raw("cut in the length of a chunk", format!("{}{}3", behind_status(&in_chunks), chunked(half, 1000)));
    t.respond("cut before the last chunk", WHOLE, format!("{in_chunks}{}", chunked(&body, 1000)));
    t.respond("cut inside the last chunk", WHOLE, format!("{in_chunks}{}0\r", chunked(&body, 1000)));
    t.respond("cut behind the last chunk", SUCCESS, format!("{in_chunks}{}0\r\n", chunked(&body, 1000)));
    let chunks = "Transfer-Encoding: chunked\r\n\r\n";
    t.raw("a chunk whose length is no number", format!("{chunks}{}many\r\n{half}\r\n", chunked(half, 1000)));
    t.raw("a chunk longer than it says", format!("{chunks}100\r\n{body}\r\n0\r\n\r\n"));
    t.raw("a chunk's length without a carriage return", format!("{chunks}{whole_len:x}\n{body}\n0\n\n"));
    // A size may have 20 bytes.
    let size = |len: usize| format!("{len:x};a=0123456789abcdefg;b=\"c d\"");
    let (first, last) = (size(body.len()), size(0));
    t.raw("a long extension of the first chunk", format!("{chunks}{first}\r\n{body}\r\n0\r\n\r\n"));
    t.raw("a long extension of the last chunk", format!("{chunks}{whole_len:x}\r\n{body}\r\n{last}\r\n\r\n"));
    t.raw("no chunks, though its head says so", format!("{chunks}{body}"));
    t.raw("a last chunk that comes too early", format!("{chunks}{}0\r\n\r\n{half}", chunked(half, 1000)));
    let (gzip, bytes) = ("Content-Encoding: gzip\r\nContent-Length:", [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3]);
    t.respond("compressed", incomplete(bytes), [format!("{head}{gzip} 13\r\n\r\n").as_bytes(), &bytes].concat());
    let not_compressed = format!("{head}{gzip} {whole_len}\r\n\r\n{body}");
    t.respond("not compressed, though its head says so", SUCCESS, not_compressed);
    let bytes = with_length(whole_len) + half;
    t.both("reset in a body", incomplete(half).from(0), move |c| {
        c.will_reset();
        c.request()?;
        c.send(&bytes)
    });
    let bytes = with_length(whole_len) + half;
    t.then("silent in a body", incomplete(half), bytes, Then::Silence).lasts();
    let drip = Then::Pieces(body.clone().into(), 1, DRIP);
    t.then("dripping in a body", incomplete(&*body).from(10), with_length(whole_len), drip).lasts();
    let drip = Then::Pieces(chunked(&body, 1).into(), 6, DRIP);
    t.then("dripping in chunks", incomplete(&*body).from(1), &*in_chunks, drip).lasts();

    let (spaces, longest) = (" ".repeat(4096), || incomplete(vec![b' '; 1 << 20]));
    let endless = |piece: &str| Then::Endless(piece.into());
    t.then("an endless body", longest(), format!("{head}\r\n"), endless(&spaces));
    t.then("endless chunks", longest(), &*in_chunks, endless(&format!("1000\r\n{spaces}\r\n")));
    t.then("terabytes announced and sent", longest(), with_length(1 << 44), endless(&spaces));
    let start = format!("{in_chunks}{}1;", chunked(half, 1000));
    let kept = raw(behind_status(&start).to_string() + &"x".repeat(MAX)).from(MAX / 2);
    t.then("an endless chunk head", kept, start, endless(&"x".repeat(4096)));
    let (start, trailer) = (format!("{in_chunks}{}0\r\n", chunked(&body, 1000)), "X-More: of the same\r\n");
    let kept = raw(behind_status(&start).to_string() + &trailer.repeat(MAX / 21)).from(MAX - 100);
    t.then("endless trailers", kept, start, endless(trailer));
    t.respond("a length longer than the body", incomplete(&*body), with_length(whole_len + 10) + &body);
    t.raw("a length shorter than the body", format!("Content-Length: 100\r\n\r\n{body}"));
    // An empty body confirms, and what comes behind it is no part of it.
    for (name, head) in [
        ("a length of nothing, with a body", "200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("no content, with a body", "204 No Content\r\n\r\n"),
    ] {
        let (head, kept) = (format!("HTTP/1.1 {head}"), confirming(raw(format!("{}{body}", behind_status(head)))));
        t.respond(name, kept.clone(), format!("{head}{body}"));
        let later = Then::Pieces(body.clone().into(), 5000, Duration::from_millis(200));
        t.then(&format!("{name} that comes later"), kept, head, later);
    }
    let text = &body[..body.len() - 1];
    t.respond("the last brace missing", unreadable(text), response_of(200, text));
    let text = format!("{body}{{}}");
    t.respond("something behind the object", unreadable(&*text), response_of(200, &text));
    t.respond("success without an object", unreadable("null"), response_of(200, "null"));
    t.respond("success with another object", unreadable("{}"), response_of(201, "{}"));
    t.respond("success with a page", unreadable("<html>"), response_of(203, "<html>"));
    t.respond("success that is not UTF-8", unreadable([255, 254]), b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe");
    t.respond("success without a body", unreadable(""), "HTTP/1.1 204 No Content\r\n\r\n");
    let long = secrets::generate_response().replace("generate-secp-0", &"i".repeat(257));
    t.respond("an id of 257 bytes", unreadable(&*long), response_of(200, &long));
}

fn statuses(t: &mut Table) {
    for status in STATUSES {
        // 408: the time was up while the service worked on it.
        let promise = if status < 500 && status != 408 { REFUSED } else { UNKNOWN };
        let body = if status == 304 { "" } else { r#"{"id":"SOME_ID","message":"What it says"}"# };
        let mut response = response_of(status, body);
        if status < 500 && ![408, 429].contains(&status) {
            // No other refusal is repeated, whatever it asks for.
            response = response.replacen("\r\n", "\r\nRetry-After: 0\r\n", 1);
        }
        t.tls(format!("status {status}"), promise, move |c| {
            c.request()?;
            c.send(&response)
        });
    }
    t.respond("switching protocols", UNKNOWN, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n");
    t.respond("a refusal without a body", REFUSED, "HTTP/1.1 400 \r\nContent-Length: 0\r\n\r\n");
    t.respond("a refusal that is cut", REFUSED, "HTTP/1.1 400 \r\nContent-Length: 100\r\n\r\n{\"id");
    t.respond("a failure that is cut", UNKNOWN, "HTTP/1.1 500 \r\nContent-Length: 100\r\n\r\n{\"id");
    t.respond("a redirect to nowhere", REFUSED, "HTTP/1.1 307 \r\nLocation: \0\r\n\r\n".replace('\0', "%%%"));
    for (name, promise, status) in [("an endless refusal", REFUSED, 400), ("an endless failure", UNKNOWN, 500)] {
        t.then(name, promise, format!("HTTP/1.1 {status} No\r\n\r\n"), Then::Endless(vec![b'x'; 4096]));
    }
    let start = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 100\r\n\r\n{\"id";
    t.then("a refusal that stops in its body", REFUSED, start, Then::Silence).lasts();
    // The other end may repeat what it got, anywhere.
    for status in [307, 400, 500] {
        t.both(&format!("status {status} that repeats the request"), by_status(status), move |c| {
            let request = String::from_utf8(c.request()?).unwrap();
            c.send(response_of(status, &request))
        });
        let name = format!("status {status} that repeats the request as its message");
        t.both(&name, by_status(status), move |c| {
            let request = String::from_utf8(c.request()?).unwrap();
            let tail = &request[request.len().saturating_sub(3000)..].replace(['\\', '"'], "");
            c.send(response_of(status, &format!(r#"{{"id":"{KEY}","message":"{KEY} {tail}"}}"#)))
        });
        t.respond(
            &format!("status {status} that repeats the key in each header"),
            by_status(status),
            format!(
                "HTTP/1.1 {status} {KEY}\r\nLocation: https://{KEY}.example/{KEY}\r\nRetry-After: {KEY}\r\n\
                 WWW-Authenticate: Bearer realm=\"{KEY}\"\r\nContent-Type: {KEY}\r\n{KEY}: {KEY}\r\n\r\n{KEY}"
            ),
        );
    }
}

fn by_status(status: u16) -> Promise {
    if status < 500 { REFUSED } else { UNKNOWN }
}

fn successes(t: &mut Table) {
    let body = secrets::backup_response(0);
    let len = body.len();
    t.both("as the service responds", SUCCESS, good);
    let config = certificates::tls12_server_config(Certificate::Trusted);
    t.add("as the service responds, in TLS 1.2", SUCCESS, Target::Served(Some(config), Arc::new(good)));
    t.respond("closed with the response", SUCCESS, response_of(200, &body));
    t.tls("without a length, closed with notice", SUCCESS, |c| {
        c.request()?;
        c.send(format!("HTTP/1.1 200 OK\r\n\r\n{}", secrets::backup_response(0)))?;
        c.close_notify()
    });
    let long = response_of(200, &body).replacen("\r\n", &format!("\r\nX-Padding: {}\r\n", "x".repeat(2000)), 1);
    t.then("a long head in pieces", SUCCESS, "", Then::Pieces(long.into(), 1500, Duration::from_millis(60)));
    t.respond("without a length", SUCCESS, format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}"));
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
    for size in [1, 100, 1 << 20] {
        let name = format!("chunks of at most {size}");
        t.respond(&name, SUCCESS, format!("{chunks}{}0\r\n\r\n", chunked(&body, size)));
    }
    let extended = format!("{len:X};name=\"value\"\r\n{body}\r\n0\r\nX-Sum: 1\r\n\r\n");
    t.respond("chunks with extensions and trailers", SUCCESS, format!("{chunks}{extended}"));
    for head in [
        "HTTP/1.0 200 OK",
        "HTTP/1.0 200 OK\r\nContent-Length: LEN",
        "HTTP/1.1 200\r\nContent-Length: LEN",
        "HTTP/1.1 200 ok\r\ncontent-type: application/json\r\ncontent-length: LEN",
        "HTTP/1.1 200 OK\r\nCONTENT-TYPE: TEXT/PLAIN\r\nCONTENT-LENGTH: LEN",
        "HTTP/1.1 200 OK\r\nContent-Type: ?\r\nContent-Length: LEN",
        "HTTP/1.1 200 OK\r\nA:b\r\nContent-Length:  \tLEN  ",
        "HTTP/1.1 200 OK\r\nContent-Length: LEN\r\nContent-Length: LEN",
    ] {
        let head = head.replace("LEN", &len.to_string());
        t.respond(&format!("the head {head:?}"), SUCCESS, format!("{head}\r\n\r\n{body}"));
    }
    for before in [
        "\r\n",
        "\n\r\n",
        "HTTP/1.0 100 Continue\r\n\r\n",
        "HTTP/1.1 100 Continue\nDate: today\n\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\nDate: today\r\n\r\n",
        "\r\nHTTP/1.1 103 Early Hints\r\n\r\n\r\n",
    ] {
        t.respond(&format!("after {before:?}"), SUCCESS, before.repeat(3) + &response_of(200, &body));
    }
    for interim in ["103 Early Hints", "100 Continue\r\nDate: today"] {
        let response = format!("HTTP/1.1 {interim}\r\n\r\n{}", response_of(200, &body));
        t.both(&format!("in pieces of every size, after {}", &interim[..3]), SUCCESS, move |c| {
            c.request()?;
            let (head, rest) = response.as_bytes().split_at(150);
            c.drip(head, Duration::from_millis(1))?;
            c.pieces(rest.chunks(997), Duration::from_millis(1))
        });
    }
    // What looks like an interim response and is none.
    let as_body = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n{body}", len + 25);
    t.respond("an interim response in the body", unreadable(&as_body[as_body.len() - len - 25..]), &*as_body);
    t.respond("white space around the object", SUCCESS, response_of(200, &format!(" \r\n{body}\n\t ")));
}
