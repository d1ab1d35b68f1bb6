//! A stand-in for Portal on a loopback port, for tests and first steps.

mod service;

use alloc::sync::{Arc, Weak};
use alloc::{format, string::String, vec::Vec};
use core::time::Duration;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

pub use self::service::{Fault, SeenRequest};
use self::service::{Response, Service};
use crate::outcome::debug_as;
use crate::wire;

/// A stand-in for both of Portal's services, over plain HTTP on a loopback port.
///
/// It responds to `generate`, `backup` and the calls that confirm their shares as Portal documents it, with made-up shares
/// of real size and new ids each time, and fails on demand. A request must have a `Content-Length`; a connection serves
/// one request.
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
    state: Arc<Mutex<Service>>,
}

impl Sandbox {
    /// Starts on a port that the system chooses.
    ///
    /// # Errors
    ///
    /// - No port or no thread can be had: the operating system's error; start it again when there is one.
    pub fn start() -> io::Result<Self> {
        Self::start_on(0)
    }

    /// Starts on this port, or with 0 on one that the system chooses.
    ///
    /// # Errors
    ///
    /// - The port is taken, or no thread can be had: the operating system's error; choose another port, or free a thread.
    pub fn start_on(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let url = format!("http://{}", listener.local_addr()?);
        let mut state = Service::default();
        let (api_key, generate_response) = state.add_client();
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::downgrade(&state);
        thread::Builder::new().name("sandbox".into()).spawn(move || accept(&shared, &listener))?;
        Ok(Self { url, api_key, generate_response, state })
    }

    /// Where it listens, for `base_url` and `client_api_url`: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A key that it accepts.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// Makes another key that it accepts: a client of its own, as each wallet has one.
    ///
    /// A key can confirm only the shares that were made with it.
    pub fn add_api_key(&self) -> String {
        lock(&self.state).add_client().0
    }

    /// A generate response to back up, of real size; `POST /v1/generate` makes others.
    pub fn generate_response(&self) -> &str {
        &self.generate_response
    }

    /// Makes the next request fail, whichever it is.
    ///
    /// Faults wait for their requests in the order in which they were added, and each is used once: to see a repeated call
    /// fail, add one for each attempt.
    pub fn fail_next(&self, fault: Fault) {
        lock(&self.state).faults.push((None, fault));
    }

    /// Makes the next request for a backup fail.
    pub fn fail_next_backup(&self, fault: Fault) {
        lock(&self.state).faults.push((Some(wire::backup::PATH), fault));
    }

    /// Makes the next confirmation of a backup fail.
    pub fn fail_next_confirm(&self, fault: Fault) {
        lock(&self.state).faults.push((Some(wire::confirm::PATH), fault));
    }

    /// The requests that were received whole, in order.
    pub fn requests(&self) -> Vec<SeenRequest> {
        lock(&self.state).requests.clone()
    }

    /// A channel of the requests that are received whole from now on, which can be waited on.
    ///
    /// It ends when the sandbox is dropped.
    pub fn watch(&self) -> mpsc::Receiver<SeenRequest> {
        let (watcher, requests) = mpsc::channel();
        lock(&self.state).watchers.push(watcher);
        requests
    }

    /// The ids of the backup shares that were confirmed, in order.
    pub fn confirmed(&self) -> Vec<String> {
        lock(&self.state).confirmed.clone()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Wakes the thread that accepts, which ends when it finds that the state is gone.
        self.state = Arc::default();
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

debug_as!(Sandbox, self, "Sandbox {{ url: {:?}, .. }}", self.url);

fn lock(state: &Mutex<Service>) -> MutexGuard<'_, Service> {
    // Nothing under this lock leaves the state half changed.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(state: &Weak<Mutex<Service>>, listener: &TcpListener) {
    for connection in listener.incoming() {
        let Some(state) = state.upgrade() else { return };
        let Ok(connection) = connection else { continue };
        // A connection that fails is the client's to notice; without a thread it is closed.
        let serve = move || _ = serve(&state, connection);
        let _ = thread::Builder::new().name("sandbox connection".into()).spawn(serve);
    }
}

/// Serves one request and closes the connection.
fn serve(state: &Mutex<Service>, mut connection: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(&connection);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(String::from);
    let [method, path] = [(); 2].map(|()| words.next().unwrap_or_default());
    let mut request = SeenRequest { method, path, api_key: None, body: Vec::new(), status: 0 };
    let mut body_len = 0_u64;
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => body_len = value.trim().parse().map_err(io::Error::other)?,
            "authorization" => request.api_key = value.trim().strip_prefix("Bearer ").map(String::from),
            _ => {}
        }
    }
    let fault = {
        let faults = &mut lock(state).faults;
        let index = faults.iter().position(|(path, _)| path.is_none_or(|path| path == request.path));
        index.map(|index| faults.remove(index).1)
    };
    if fault == Some(Fault::CloseBeforeRequest)
        || (reader.take(body_len).read_to_end(&mut request.body)? as u64) < body_len
    {
        return Ok(());
    }

    let mut locked = lock(state);
    let mut response = match fault {
        Some(Fault::Status(code) | Fault::StatusRetryAfter(code, _)) => Response::with_status(code, &request.path),
        _ => locked.respond(&request),
    };
    if let Some(Fault::Body(body)) = &fault {
        response = Response::new(200, body.clone());
    }
    request.status = response.status;
    locked.watchers.retain(|watcher| watcher.send(request.clone()).is_ok());
    locked.requests.push(request);
    drop(locked);

    let mut bytes = response.to_http(match &fault {
        Some(Fault::StatusRetryAfter(_, delay)) => format!("Retry-After: {}\r\n", delay.as_secs()),
        _ => String::new(),
    });
    match fault {
        Some(Fault::CloseBeforeResponse) => bytes.clear(),
        Some(Fault::CutBody) => bytes.truncate(bytes.len() - response.body.len() / 2 - 1),
        Some(Fault::Delay(delay)) => {
            connection.set_read_timeout(Some(delay.max(Duration::from_nanos(1))))?;
            // Ends early when the client closes the connection.
            let _ = connection.peek(&mut [0]);
        }
        _ => {}
    }
    connection.write_all(&bytes)
}
