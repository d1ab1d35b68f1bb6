//! What responds the benchmark: a process of its own, so that the clients' CPU time is theirs alone.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::{env, thread};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::inputs::{Case, Share};
use crate::x509::{Identity, Request};

/// A running service and how to reach it.
pub(crate) struct Service {
    pub(crate) port: u16,
    pub(crate) roots_pem: String,
    /// Dropping this ends the service: it reads its standard input until the end.
    _process: Child,
}

impl Service {
    pub(crate) fn start() -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let port = lines.next().unwrap().parse().unwrap();
        let mut roots_pem = String::new();
        while !roots_pem.ends_with("-----END CERTIFICATE-----\n") {
            roots_pem += &lines.next().unwrap();
            roots_pem += "\n";
        }
        Self { port, roots_pem, _process: process }
    }
}

/// Serves on a port that it prints, with a root certificate for it, until standard input ends.
pub(crate) fn serve() {
    let root = Identity::authority("trusted by the benchmark");
    let own = Request::hosts(&["localhost", "127.0.0.1"]).signed_by(&root);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.certificate], own.key)
        .unwrap();
    let config = Arc::new(config);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    print!("{}\n{}", listener.local_addr().unwrap().port(), root.pem());
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let tls = ServerConnection::new(config.clone()).unwrap();
            // A client that leaves ends its thread with an error, as it should.
            thread::spawn(move || _ = serve_all(tls, socket));
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
}

/// Responds to each request with shares of about its own length.
fn serve_all(tls: ServerConnection, socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(64 << 10, StreamOwned::new(tls, socket));
    let mut line = String::new();
    let mut body = Vec::new();
    let mut response = Vec::new();
    loop {
        let mut announced = 0;
        let mut authorized = false;
        loop {
            line.clear();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end().split_once(": ") {
                Some((name, length)) if name.eq_ignore_ascii_case("content-length") => {
                    announced = length.parse().unwrap();
                }
                Some((name, key)) if name.eq_ignore_ascii_case("authorization") => {
                    authorized = key.starts_with("Bearer ");
                }
                None if line == "\r\n" => break,
                _ => {}
            }
        }
        let last = body.len();
        body.resize(announced, 0);
        stream.read_exact(&mut body)?;
        assert!(authorized && body.starts_with(b"{\"generateResponse\":\"") && body.ends_with(b"\"}"));
        if last != announced {
            let json = Case { len: announced, share: Share::Base64 }.text();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n";
            response = format!("{head}Content-Length: {}\r\n\r\n{json}", json.len()).into_bytes();
        }
        stream.get_mut().write_all(&response)?;
        stream.get_mut().flush()?;
    }
}
