//! A stand-in for Portal on a loopback port, for tests and first steps.

mod service;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard};
use std::thread;

use self::service::{Answer, Service};

/// A stand-in for both of Portal's services, over plain HTTP on a loopback port.
///
/// It answers `POST /v1/generate`, `POST /v1/backup` and the two calls that tell which shares are stored (signing shares
/// after `generate`, backup shares after `backup`) as they are documented, with made-up shares of real size and new ids
/// each time, and fails on demand. It is something that a client is pointed at, never a mode of the client. Dropping it
/// closes every connection.
///
/// ```
/// use portal_backup::{ApiKey, Client, GenerateResponse, Sandbox};
///
/// let sandbox = Sandbox::start()?;
/// let client = Client::builder(ApiKey::new(sandbox.api_key())?)
///     .base_url(sandbox.url())
///     .client_api_url(sandbox.url())
///     .build()?;
/// let shares = client.backup(&GenerateResponse::parse(sandbox.generate_response())?)?;
/// let stored = shares.store(|_json| Ok::<(), std::io::Error>(()))?;
/// client.confirm(&stored)?;
/// assert_eq!(sandbox.confirmed(), shares.share_pair_ids());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sandbox {
    url: String,
    generate_response: String,
    shared: Arc<Shared>,
}

struct Shared {
    service: Service,
    is_over: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    faults: VecDeque<Fault>,
    seen: Vec<SeenRequest>,
    connections: HashMap<u64, TcpStream>,
}

/// What the sandbox does to a call instead of answering it properly.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Closes the connection when the request begins to arrive.
    CloseUnread,
    /// Acts, and closes the connection without an answer.
    CloseUnanswered,
    /// Acts, and says nothing until the client gives up.
    Silence,
    /// Answers this status, and does not act; a 429 comes with `Retry-After: 1`.
    Status(u16),
    /// Acts, and closes the connection inside the head of the answer.
    CutHead,
    /// Acts, and closes the connection in the middle of the body.
    CutBody,
    /// Acts, and sends the answer a byte at a time with this pause before each.
    Drip(Duration),
    /// Acts, and answers 200 with a body that never ends.
    Endless,
    /// Acts, and answers 200 with this body instead of shares.
    Body(Vec<u8>),
    /// Acts, and sends these bytes instead of an HTTP answer.
    Bytes(Vec<u8>),
}

/// A request that the sandbox received whole.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenRequest {
    /// The HTTP method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The body.
    pub body: Vec<u8>,
    /// The status that it was, or would have been, answered with.
    pub status: u16,
}

impl fmt::Debug for SeenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, body, status } = self;
        write!(f, "SeenRequest({method} {path}, {} bytes, answered {status})", body.len())
    }
}

impl Sandbox {
    /// Starts on a port that the system chooses.
    ///
    /// # Errors
    ///
    /// - No port or no thread can be had: the operating system's error.
    pub fn start() -> io::Result<Self> {
        Self::start_on(0)
    }

    /// Starts on this port, or with 0 on one that the system chooses.
    ///
    /// # Errors
    ///
    /// - The port is taken, or no thread can be had: the operating system's error.
    pub fn start_on(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared {
            service: Service::new(),
            is_over: AtomicBool::new(false),
            state: Mutex::default(),
        });
        let accepting = shared.clone();
        thread::Builder::new().name("sandbox".into()).spawn(move || accepting.accept(&listener))?;
        Ok(Self { url, generate_response: shared.service.generate(), shared })
    }

    /// Where it listens, for `base_url` and `client_api_url`: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The one key that it accepts.
    #[must_use]
    pub fn api_key(&self) -> &str {
        self.shared.service.api_key()
    }

    /// A generate response to back up, of real size; `POST /v1/generate` makes others.
    #[must_use]
    pub fn generate_response(&self) -> &str {
        &self.generate_response
    }

    /// Spoils the next call; several wait for their turn.
    pub fn fail_next(&self, fault: Fault) {
        self.shared.state().faults.push_back(fault);
    }

    /// Every request that arrived whole, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.shared.state().seen.clone()
    }

    /// The share pair ids that were confirmed, in order.
    #[must_use]
    pub fn confirmed(&self) -> Vec<String> {
        self.shared.service.confirmed()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for connection in self.shared.state().connections.values() {
            // One that is closed already is what we want.
            let _ = connection.shutdown(Shutdown::Both);
        }
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock leaves the state half changed.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for (number, connection) in (0..).zip(listener.incoming()) {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            let Ok(connection) = connection else { continue };
            let Ok(copy) = connection.try_clone() else { continue };
            self.state().connections.insert(number, copy);
            let shared = self.clone();
            let served = thread::Builder::new().name("sandbox connection".into()).spawn(move || {
                // A connection that fails is the client's to notice.
                let _ = shared.serve(&connection);
                let _ = connection.shutdown(Shutdown::Both);
                shared.state().connections.remove(&number);
            });
            if served.is_err() {
                self.state().connections.remove(&number);
            }
        }
    }

    fn serve(&self, connection: &TcpStream) -> io::Result<()> {
        connection.set_nodelay(true)?;
        let mut received = Vec::new();
        while !self.is_over.load(Ordering::SeqCst) {
            if received.is_empty() && connection.peek(&mut [0])? == 0 {
                return Ok(());
            }
            let fault = self.state().faults.pop_front();
            if fault == Some(Fault::CloseUnread) {
                return Ok(());
            }
            let Some(request) = read_request(connection, &mut received)? else { return Ok(()) };
            let answer = match fault {
                Some(Fault::Status(status)) => spoiled(status),
                _ => self.service.answer(
                    &request.method,
                    &request.path,
                    request.authorization.as_deref(),
                    &request.body,
                ),
            };
            self.state().seen.push(SeenRequest {
                method: request.method,
                path: request.path,
                body: request.body,
                status: answer.status,
            });
            match fault {
                None | Some(Fault::Status(_)) => (&*connection).write_all(&to_http(&answer))?,
                Some(fault) => return fail(connection, fault, &answer),
            }
            if request.wants_close {
                return Ok(());
            }
        }
        Ok(())
    }
}

struct Request {
    method: String,
    path: String,
    authorization: Option<String>,
    wants_close: bool,
    body: Vec<u8>,
}

/// Reads one request; `None` when the client is gone, or does not speak HTTP and was told so.
fn read_request(mut connection: &TcpStream, received: &mut Vec<u8>) -> io::Result<Option<Request>> {
    const MAX_HEAD: usize = 64 << 10;
    const MAX_BODY: usize = 16 << 20;
    let mut room = [0; 16 << 10];
    let (head_len, body_len, mut request) = loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Request::new(&mut headers);
        match head.parse(received) {
            Ok(httparse::Status::Complete(len)) => {
                let text = |name: &str| {
                    let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
                    core::str::from_utf8(header.value).ok()
                };
                let is_it = |name, value: &str| text(name).is_some_and(|v| v.eq_ignore_ascii_case(value));
                let body_len = text("content-length").map_or(Some(0), |len| len.trim().parse::<usize>().ok());
                let Some(body_len) =
                    body_len.filter(|&len| len <= MAX_BODY && text("transfer-encoding").is_none())
                else {
                    let answer = Answer::text(411, "Send a Content-Length of at most 16 MiB");
                    connection.write_all(&to_http(&answer))?;
                    return Ok(None);
                };
                if is_it("expect", "100-continue") {
                    connection.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                }
                let request = Request {
                    method: head.method.unwrap_or_default().into(),
                    path: head.path.unwrap_or_default().into(),
                    authorization: text("authorization").map(String::from),
                    wants_close: is_it("connection", "close") || head.version == Some(0),
                    body: Vec::with_capacity(body_len),
                };
                break (len, body_len, request);
            }
            Ok(httparse::Status::Partial) if received.len() <= MAX_HEAD => {}
            _ => {
                connection.write_all(&to_http(&Answer::text(400, "This is not HTTP/1.1")))?;
                return Ok(None);
            }
        }
        match connection.read(&mut room)? {
            0 => return Ok(None),
            n => received.extend_from_slice(&room[..n]),
        }
    };
    received.drain(..head_len);
    while received.len() < body_len {
        match connection.read(&mut room)? {
            0 => return Ok(None),
            n => received.extend_from_slice(&room[..n]),
        }
    }
    request.body.extend(received.drain(..body_len));
    Ok(Some(request))
}

/// The answer to a call that was told to fail with this status.
fn spoiled(status: u16) -> Answer {
    match status {
        204 => Answer::empty(status),
        401 => Answer::text(401, "Authorization header is missing"),
        400 => Answer::error(400, "BAD_REQUEST", "Can't parse the request body"),
        429 => Answer::error(429, "RATE_LIMITED", "Too many requests"),
        500.. => Answer::error(status, "INTERNAL_ERROR", "Something went wrong"),
        _ => Answer::error(status, "SANDBOX_FAULT", "This call was told to fail"),
    }
}

fn to_http(answer: &Answer) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} Sandbox\r\n", answer.status);
    if let Some(content_type) = answer.content_type {
        head += &format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", answer.body.len());
    }
    if answer.status == 429 {
        head += "Retry-After: 1\r\n";
    }
    head += "\r\n";
    [head.as_bytes(), &answer.body].concat()
}

fn fail(mut connection: &TcpStream, fault: Fault, answer: &Answer) -> io::Result<()> {
    let whole = to_http(answer);
    match fault {
        Fault::CloseUnread | Fault::CloseUnanswered | Fault::Status(_) => {}
        Fault::Silence => while connection.read(&mut [0; 1024])? > 0 {},
        Fault::CutHead => connection.write_all(&whole[..20.min(whole.len())])?,
        Fault::CutBody => connection.write_all(&whole[..whole.len() - answer.body.len() / 2])?,
        Fault::Drip(pause) => {
            for byte in whole {
                thread::sleep(pause);
                connection.write_all(&[byte])?;
            }
        }
        Fault::Endless => {
            connection.write_all(b"HTTP/1.1 200 Sandbox\r\nContent-Type: application/json\r\n\r\n")?;
            loop {
                connection.write_all(&[b' '; 4096])?;
            }
        }
        Fault::Body(body) => connection.write_all(&to_http(&Answer::json(200, body)))?,
        Fault::Bytes(bytes) => connection.write_all(&bytes)?,
    }
    Ok(())
}
