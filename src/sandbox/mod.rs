//! A stand-in for Portal on a loopback port, for tests and first steps.

mod service;

use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use self::service::{Answer, Service};

/// A stand-in for both of Portal's services, over plain HTTP on a loopback port.
///
/// It answers `generate`, `backup` and the calls that tell that their shares are stored as they are documented, with
/// made-up shares of real size and new ids each time, and fails on demand. Dropping it closes every connection.
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
    api_key: String,
    generate_response: String,
    state: Arc<Mutex<State>>,
}

struct State {
    service: Service,
    faults: VecDeque<Fault>,
    seen: Vec<SeenRequest>,
    connections: Vec<Weak<TcpStream>>,
    is_over: bool,
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
        let mut service = Service::new();
        let (api_key, generate_response) = (service.api_key.clone(), service.generate());
        let (faults, seen, connections) = (VecDeque::new(), Vec::new(), Vec::new());
        let state = Arc::new(Mutex::new(State { service, faults, seen, connections, is_over: false }));
        let shared = state.clone();
        thread::Builder::new().name("sandbox".into()).spawn(move || accept(&shared, &listener))?;
        Ok(Self { url, api_key, generate_response, state })
    }

    /// Where it listens, for `base_url` and `client_api_url`: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The one key that it accepts.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// A generate response to back up, of real size; `POST /v1/generate` makes others.
    pub fn generate_response(&self) -> &str {
        &self.generate_response
    }

    /// Spoils the next call; several wait for their turn.
    pub fn fail_next(&self, fault: Fault) {
        lock(&self.state).faults.push_back(fault);
    }

    /// Every request that arrived whole, in order.
    pub fn requests(&self) -> Vec<SeenRequest> {
        lock(&self.state).seen.clone()
    }

    /// The share pair ids that were confirmed, in order.
    pub fn confirmed(&self) -> Vec<String> {
        lock(&self.state).service.confirmed.clone()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.is_over = true;
        for connection in state.connections.iter().filter_map(Weak::upgrade) {
            // One that is closed already is what we want.
            let _ = connection.shutdown(Shutdown::Both);
        }
        drop(state);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("url", &self.url).finish_non_exhaustive()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Nothing under this lock leaves the state half changed.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(shared: &Arc<Mutex<State>>, listener: &TcpListener) {
    for connection in listener.incoming() {
        let mut state = lock(shared);
        if state.is_over {
            return;
        }
        let Ok(connection) = connection.map(Arc::new) else { continue };
        state.connections.retain(|connection| connection.strong_count() > 0);
        state.connections.push(Arc::downgrade(&connection));
        let shared = shared.clone();
        // A connection that fails is the client's to notice; without a thread it is closed.
        let serve = move || _ = serve(&shared, &connection);
        let _ = thread::Builder::new().name("sandbox connection".into()).spawn(serve);
    }
}

fn serve(state: &Mutex<State>, mut connection: &TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut received = Vec::new();
    while !received.is_empty() || connection.peek(&mut [0])? > 0 {
        let fault = lock(state).faults.pop_front();
        if fault == Some(Fault::CloseUnread) {
            return Ok(());
        }
        let Request { mut seen, authorization, wants_close } = match read_request(connection, &mut received)?
        {
            Ok(request) => request,
            Err(answer) => return connection.write_all(&answer.to_http()),
        };
        let mut state = lock(state);
        let answer = match fault {
            Some(Fault::Status(status)) => Answer::failing(status),
            _ => state.service.answer(&seen.method, &seen.path, authorization.as_deref(), &seen.body),
        };
        seen.status = answer.status;
        state.seen.push(seen);
        drop(state);
        match fault {
            None | Some(Fault::Status(_)) => connection.write_all(&answer.to_http())?,
            Some(fault) => return fail(connection, fault, &answer),
        }
        if wants_close {
            return Ok(());
        }
    }
    Ok(())
}

struct Request {
    /// Without a status as yet.
    seen: SeenRequest,
    authorization: Option<String>,
    wants_close: bool,
}

/// Reads one request, or returns what to answer to something else.
fn read_request(connection: &TcpStream, received: &mut Vec<u8>) -> io::Result<Result<Request, Answer>> {
    const MAX_HEAD: usize = 64 << 10;
    const MAX_BODY: usize = 16 << 20;
    let mut room = [0; 16 << 10];
    let mut read_more = |received: &mut Vec<u8>| {
        let len = (&*connection).read(&mut room)?;
        received.extend_from_slice(&room[..len]);
        if len == 0 { Err(io::Error::from(ErrorKind::UnexpectedEof)) } else { Ok(()) }
    };
    let (head_len, body_len, mut request) = loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Request::new(&mut headers);
        let len = match head.parse(received) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) if received.len() <= MAX_HEAD => {
                read_more(received)?;
                continue;
            }
            _ => return Ok(Err(Answer::text(400, "This is not HTTP/1.1"))),
        };
        let text = |name: &str| {
            let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            core::str::from_utf8(header.value).ok()
        };
        let is_it = |name, value: &str| text(name).is_some_and(|v| v.eq_ignore_ascii_case(value));
        let body_len = text("content-length").map_or(Some(0), |len| len.trim().parse::<usize>().ok());
        let body_len = body_len.filter(|&len| len <= MAX_BODY && text("transfer-encoding").is_none());
        let Some(body_len) = body_len else {
            return Ok(Err(Answer::text(411, "Send a Content-Length of at most 16 MiB")));
        };
        if is_it("expect", "100-continue") {
            (&*connection).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let [method, path] = [head.method, head.path].map(|text| text.unwrap_or_default().into());
        let request = Request {
            seen: SeenRequest { method, path, body: Vec::new(), status: 0 },
            authorization: text("authorization").map(String::from),
            wants_close: is_it("connection", "close") || head.version == Some(0),
        };
        break (len, body_len, request);
    };
    while received.len() < head_len + body_len {
        read_more(received)?;
    }
    request.seen.body = received.drain(..head_len + body_len).skip(head_len).collect();
    Ok(Ok(request))
}

fn fail(mut connection: &TcpStream, fault: Fault, answer: &Answer) -> io::Result<()> {
    let whole = answer.to_http();
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
        Fault::Body(body) => connection.write_all(&Answer::json(200, body).to_http())?,
        Fault::Bytes(bytes) => connection.write_all(&bytes)?,
    }
    Ok(())
}
