//! The least that such a call can cost: rustls and a socket, a body that is written in advance, a response that is only
//! received. No JSON, no name lookup, no deadline, no pool, nothing wiped, no promise about anything.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

pub(crate) struct Floor {
    tls: ClientConnection,
    socket: TcpStream,
}

impl Floor {
    pub(crate) fn connect(port: u16, roots_pem: &str) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(roots_pem.as_bytes()) {
            roots.add(root.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "localhost".try_into().map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        tls.set_buffer_limit(None);
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_nodelay(true)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        Ok(Self { tls, socket })
    }

    /// Sends `json` and returns the body of the response.
    pub(crate) fn call(&mut self, key: &str, json: &[u8]) -> io::Result<Vec<u8>> {
        let length = json.len();
        let mut request = Vec::with_capacity(length + 512);
        write!(
            request,
            "POST /v1/backup HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )?;
        request.extend_from_slice(json);
        self.tls.writer().write_all(&request)?;
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket)?;
        }

        let mut response = vec![0; 1024];
        let mut filled = self.receive(&mut response)?;
        let head = loop {
            if let Some(at) = response[..filled].windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
            filled += self.receive(&mut response[filled..])?;
        };
        let length = content_length(&response[..head]).ok_or(io::ErrorKind::InvalidData)?;
        let mut body = vec![0; length];
        let mut received = filled - head;
        body[..received].copy_from_slice(&response[head..filled]);
        while received < length {
            received += self.receive(&mut body[received..])?;
        }
        Ok(body)
    }

    fn receive(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(into) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.tls.read_tls(&mut self.socket)?;
                    self.tls.process_new_packets().map_err(io::Error::other)?;
                }
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                done => return done,
            }
        }
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return None;
    }
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}
