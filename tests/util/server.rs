//! A server over real TCP and real TLS that does to each connection what a test tells it to.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, UnboundKey};
use rustls::{ConnectionTrafficSecrets, ServerConfig, ServerConnection, crypto::cipher::Nonce};

/// What to do with one connection; it is closed afterwards.
pub type Script = dyn Fn(&mut Connection) -> io::Result<()> + Send + Sync;

/// Listens on a loopback port that the system chooses. Dropping it closes every connection and joins every thread.
pub struct Server {
    address: SocketAddr,
    is_tls: bool,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    accepted: AtomicUsize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: HashMap<usize, TcpStream>,
    closed: usize,
    requests: Vec<Vec<u8>>,
}

impl Server {
    /// Does the same to every connection. Without `tls`, it speaks plain HTTP.
    #[track_caller]
    pub fn start<F>(tls: Option<Arc<ServerConfig>>, script: F) -> Self
    where
        F: Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
    {
        Self::run(tls, Arc::new(script))
    }

    #[track_caller]
    pub fn run(tls: Option<Arc<ServerConfig>>, script: Arc<Script>) -> Self {
        Self::listen(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), tls, script)
    }

    /// On a socket that somebody else has bound to an address of this machine.
    pub fn listen(listener: TcpListener, tls: Option<Arc<ServerConfig>>, script: Arc<Script>) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let is_tls = tls.is_some();
        let accepting = {
            let shared = shared.clone();
            thread::spawn(move || shared.accept(&listener, tls.as_ref(), &script))
        };
        Self { address, is_tls, shared, accepting: Some(accepting) }
    }

    /// Responds to the first connection with the first of these, and so on; the last is repeated.
    #[track_caller]
    pub fn in_turn(tls: Option<Arc<ServerConfig>>, scripts: Vec<Arc<Script>>) -> Self {
        Self::start(tls, move |c| scripts[c.number.min(scripts.len() - 1)](c))
    }

    /// Its address under a name that the certificates are for.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.address.port())
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Every request that was read whole, head and body.
    pub fn requests(&self) -> Vec<Vec<u8>> {
        self.shared.state().requests.clone()
    }

    /// Waits until that many connections were closed.
    #[track_caller]
    pub fn wait_for_closed(&self, connections: usize) {
        let (state, changed) = (self.shared.state(), &self.shared.changed);
        let is_missing = |state: &mut State| state.closed < connections;
        let waited = changed.wait_timeout_while(state, Duration::from_secs(20), is_missing);
        let (state, timeout) = waited.unwrap();
        let closed = state.closed;
        drop(state);
        assert!(!timeout.timed_out(), "{closed} connections were closed, not {connections}");
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for connection in self.shared.state().open.values() {
            let _ = connection.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        let joined = self.accepting.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(!matches!(joined, Some(Err(_))), "the server's script panicked");
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn accept(self: Arc<Self>, listener: &TcpListener, tls: Option<&Arc<ServerConfig>>, script: &Arc<Script>) {
        let mut threads: Vec<JoinHandle<()>> = Vec::new();
        for stream in listener.incoming() {
            let (finished, running): (Vec<_>, _) = threads.into_iter().partition(JoinHandle::is_finished);
            finished.into_iter().for_each(|thread| thread.join().unwrap());
            threads = running;
            let Ok(stream) = stream else { continue };
            let copy = stream.try_clone().unwrap();
            stream.set_nodelay(true).unwrap();
            let mut state = self.state();
            // Under the lock that the end of the server takes next, or this connection would never be closed.
            if self.is_over.load(Ordering::SeqCst) {
                break;
            }
            let number = self.accepted.fetch_add(1, Ordering::SeqCst);
            state.open.insert(number, copy);
            drop(state);
            let tls = tls.map(|config| ServerConnection::new(config.clone()).unwrap());
            let (shared, script) = (self.clone(), script.clone());
            threads.push(thread::spawn(move || {
                let socket = Socket { stream, shared: shared.clone(), resets: false, ahead: false, drips: None };
                let mut connection = Connection { number, socket, tls, received: Vec::new() };
                // A client that leaves early is the client's affair.
                let _ = script(&mut connection);
                shared.state().open.remove(&number);
                drop(connection);
                shared.state().closed += 1;
                shared.changed.notify_all();
            }));
        }
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

/// One accepted connection. Reading and writing make the TLS handshake first, where there is TLS.
pub struct Connection {
    /// Counted from 0.
    pub number: usize,
    socket: Socket,
    tls: Option<ServerConnection>,
    received: Vec<u8>,
}

impl Connection {
    /// The bytes below TLS.
    pub fn raw(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// From now on, closing the connection resets it: the last byte that arrived stays unread.
    pub fn will_reset(&mut self) {
        self.socket.resets = true;
    }

    /// Reads one request, head and body as announced, and returns it.
    pub fn request(&mut self) -> io::Result<Vec<u8>> {
        let request = self.request_unrecorded()?;
        self.socket.shared.state().requests.push(request.clone());
        Ok(request)
    }

    /// The same, but the server does not remember it.
    pub fn request_unrecorded(&mut self) -> io::Result<Vec<u8>> {
        let len = loop {
            if let Some(len) = message_len(&self.received).filter(|&len| self.received.len() >= len) {
                break len;
            }
            self.receive()?;
        };
        Ok(self.received.drain(..len).collect())
    }

    /// Reads until that many bytes of a request are here.
    pub fn part_of_request(&mut self, len: usize) -> io::Result<()> {
        while self.received.len() < len {
            self.receive()?;
        }
        Ok(())
    }

    /// What came of a request that is not read yet.
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut room = [0; 16 << 10];
        let len = self.read(&mut room)?;
        self.received.extend_from_slice(&room[..len]);
        if len > 0 { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.write_all(bytes.as_ref())
    }

    /// Sends each of these as a TLS record or more of its own, and all of them in one write, but for the last bytes.
    pub fn send_together(&mut self, pieces: &[&str], missing: usize) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return self.send(pieces.concat()) };
        tls.set_buffer_limit(None);
        for piece in pieces {
            tls.writer().write_all(piece.as_bytes())?;
        }
        let mut bytes = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut bytes)?;
        }
        self.socket.write_all(&bytes[..bytes.len() - missing])
    }

    /// Sends each of these by itself, with a pause between them.
    pub fn pieces<'p>(&mut self, pieces: impl IntoIterator<Item = &'p [u8]>, pause: Duration) -> io::Result<()> {
        for piece in pieces {
            self.send(piece)?;
            self.socket.pause(pause)?;
        }
        Ok(())
    }

    pub fn drip(&mut self, bytes: &[u8], pause: Duration) -> io::Result<()> {
        self.pieces(bytes.chunks(1), pause)
    }

    /// Sends this again and again until the client leaves.
    pub fn endless(&mut self, bytes: &[u8]) -> io::Result<()> {
        loop {
            self.send(bytes)?;
        }
    }

    /// Takes whatever comes and says nothing until the client leaves.
    pub fn silence(&mut self) -> io::Result<()> {
        while self.read(&mut [0; 4 << 10])? > 0 {}
        Ok(())
    }

    /// Takes nothing and says nothing until the client leaves or the server is dropped.
    pub fn stall(&mut self) -> io::Result<()> {
        loop {
            self.socket.pause(Duration::from_secs(60))?;
        }
    }

    /// Becomes a tunnel to that port of this machine until either end leaves; returns what went there and what came back.
    pub fn tunnel(&mut self, port: u16) -> io::Result<[Vec<u8>; 2]> {
        let mut other = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        // One thread for both directions, since they share the state of TLS: each is looked at in turn.
        for stream in [&self.socket.stream, &other] {
            stream.set_read_timeout(Some(Duration::from_millis(2)))?;
        }
        let (mut room, mut seen) = (vec![0; 64 << 10], [Vec::new(), Vec::new()]);
        loop {
            for is_back in [false, true] {
                let read = if is_back { other.read(&mut room) } else { self.read(&mut room) };
                let bytes = match read {
                    Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
                    Ok(0) | Err(_) => return Ok(seen),
                    Ok(len) => &room[..len],
                };
                seen[usize::from(is_back)].extend_from_slice(bytes);
                if is_back { self.write_all(bytes)? } else { other.write_all(bytes)? }
            }
        }
    }

    /// Ends a session of TLS 1.3 with a fatal alert, as other servers than rustls do.
    pub fn alert(&mut self, code: u8) -> io::Result<()> {
        let secrets = self.tls.take().unwrap().dangerous_extract_secrets().unwrap();
        let (number, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = secrets.tx else { panic!("another cipher") };
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).unwrap());
        let nonce = ring::aead::Nonce::assume_unique_for_key(Nonce::new(&iv, number).0);
        let (head, mut record) = ([23, 3, 3, 0, 19], vec![2, code, 21]);
        key.seal_in_place_append_tag(nonce, Aad::from(head), &mut record).unwrap();
        self.socket.send([&head[..], &record].concat())
    }

    /// Says properly that nothing more will come.
    pub fn close_notify(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            while tls.wants_write() {
                tls.write_tls(&mut self.socket)?;
            }
        }
        Ok(())
    }
}

impl Read for Connection {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls, &mut self.socket).read(room),
            None => self.socket.read(room),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls, &mut self.socket).write(bytes),
            None => self.socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls, &mut self.socket).flush(),
            None => Ok(()),
        }
    }
}

/// How long the message is that begins here, if its head is whole.
pub fn message_len(received: &[u8]) -> Option<usize> {
    let head_len = received.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&received[..head_len]).unwrap();
    Some(head_len + header(head, "content-length").map_or(0, |len| len.parse::<usize>().unwrap()))
}

/// The value of a header, by its name in lower case.
pub fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.to_ascii_lowercase() == name).then_some(value.trim())
    })
}

/// The TCP end of a connection.
pub struct Socket {
    stream: TcpStream,
    shared: Arc<Shared>,
    /// Leaves the last byte that arrived in the kernel, so that closing sends a reset instead of an end.
    resets: bool,
    /// Whether the byte that the kernel holds back was read already.
    ahead: bool,
    drips: Option<Duration>,
}

impl Socket {
    /// From now on, everything is sent a byte at a time, even the TLS handshake.
    pub fn will_drip(&mut self, pause: Duration) {
        self.drips = Some(pause);
    }

    /// Waits for the client to say something, and leaves it unread.
    pub fn wait_for_bytes(&mut self) -> io::Result<()> {
        self.stream.peek(&mut [0]).map(drop)
    }

    /// Takes what is there.
    pub fn read_some(&mut self) -> io::Result<()> {
        self.read(&mut [0; 4 << 10]).map(drop)
    }

    /// Takes at most that much, then pauses; an error when the client is gone.
    pub fn read_slowly(&mut self, max_len: usize, pause: Duration) -> io::Result<()> {
        match self.read(&mut vec![0; max_len])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => self.pause(pause),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.write_all(bytes.as_ref())
    }

    pub fn silence(&mut self) -> io::Result<()> {
        while self.read(&mut [0; 4 << 10])? > 0 {}
        Ok(())
    }

    /// Lets time pass, but not past the end of the server.
    pub fn pause(&mut self, pause: Duration) -> io::Result<()> {
        let end = Instant::now() + pause;
        let mut state = self.shared.state();
        loop {
            if self.shared.is_over.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Read for Socket {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if !self.resets {
            return self.stream.read(room);
        }
        let mut peeked = vec![0; room.len() + usize::from(self.ahead)];
        loop {
            let seen = self.stream.peek(&mut peeked)?;
            if seen == 0 {
                return Ok(0);
            }
            let new = &peeked[usize::from(self.ahead).min(seen)..seen];
            if new.is_empty() {
                // No call waits for a second byte.
                self.pause(Duration::from_millis(1))?;
                continue;
            }
            room[..new.len()].copy_from_slice(new);
            let len = new.len();
            self.stream.read_exact(&mut vec![0; seen - 1])?;
            self.ahead = true;
            return Ok(len);
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(pause) = self.drips else { return self.stream.write(bytes) };
        self.pause(pause)?;
        self.stream.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
