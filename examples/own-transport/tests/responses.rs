//! The program against a server with the same TLS, which responds as each test wants. Needs `openssl`, and the address and
//! key of `portal-backup sandbox` in `SANDBOX_URL` and `SANDBOX_KEY`: see `check`.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use native_tls::{Identity, TlsAcceptor, TlsStream};
use portal_backup::BackupShares;

/// Read and not included: another example looks for its shares in all that cargo keeps.
const GENERATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/generate.json");
const SHARES: &str = r#"{"SECP256K1":{"share":"eyJjbGk","id":"c1"},"ED25519":{"share":"eyJjbGk","id":"c2"}}"#;
const DONE: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// A key and a certificate for `localhost`, which is its own root.
fn certificate() -> &'static tempfile::TempDir {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
             -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem";
        let mut openssl = Command::new("openssl");
        let output = openssl.args(arguments.split_whitespace()).current_dir(folder.path()).output();
        assert!(output.expect("openssl is needed").status.success());
        folder
    })
}

struct Scene {
    folder: tempfile::TempDir,
    url: String,
}

impl Scene {
    /// Gives each request, counted from 0, to this function.
    fn new(serve: impl Fn(usize, &[u8], &mut TlsStream<TcpStream>) + Send + 'static) -> Self {
        let read = |name| fs::read(certificate().path().join(name)).unwrap();
        let identity = Identity::from_pkcs8(&read("cert.pem"), &read("key.pem")).unwrap();
        let acceptor = TlsAcceptor::new(identity).unwrap();
        let listener = TcpListener::bind("localhost:0").unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        thread::spawn(move || {
            for number in 0.. {
                let socket = listener.accept().unwrap().0;
                socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                let Ok(mut socket) = acceptor.accept(socket) else { continue };
                let request = read_request(&mut socket);
                serve(number, &request, &mut socket);
                let _ = socket.shutdown();
            }
        });
        let folder = tempfile::tempdir().unwrap();
        fs::copy(GENERATE, folder.path().join("generate.json")).unwrap();
        Self { folder, url }
    }

    /// Responds to the first request with these bytes, and to the next with a confirmation.
    fn responding(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::new(move |number, _, socket| {
            let _ = socket.write_all(if number == 0 { &response } else { DONE.as_bytes() });
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_own-transport"));
        command.args(["generate.json", "backup.json"]).current_dir(self.folder.path());
        command.env("PORTAL_SANDBOX_URL", &self.url).env("PORTAL_CLIENT_API_KEY", "a-key-of-this-test");
        command.env("SSL_CERT_FILE", certificate().path().join("cert.pem"));
        command
    }

    fn run(&self) -> (bool, String) {
        let output = self.command().output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    }

    #[track_caller]
    fn succeeds(&self) {
        let (is_done, said) = self.run();
        assert!(is_done, "{said}");
        let mode = fs::metadata(self.path("backup.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    /// Says this, and leaves nothing behind but a response that could not be read, if there was one.
    #[track_caller]
    fn fails(&self, says: &[&str], kept: Option<&[u8]>) {
        let (is_done, said) = self.run();
        assert!(!is_done && says.iter().all(|text| said.contains(text)), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!self.path("backup.json").exists());
        assert_eq!(fs::read(self.path("backup.unreadable")).ok().as_deref(), kept);
    }
}

/// All of it, as its head announces.
fn read_request(socket: &mut TlsStream<TcpStream>) -> Vec<u8> {
    let (mut request, mut room) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = std::str::from_utf8(&request[..end]).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            if request.len() >= end + 4 + length.parse::<usize>().unwrap() {
                return request;
            }
        }
        match socket.read(&mut room) {
            Ok(len @ 1..) => request.extend_from_slice(&room[..len]),
            _ => return request,
        }
    }
}

fn with_length(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_wallet_is_backed_up_and_confirmed_once_its_shares_are_stored() {
    let sandbox = std::env::var("SANDBOX_URL").expect("see `check`");
    let sandbox = sandbox.strip_prefix("http://").unwrap().to_string();
    let scene = Scene::new(move |number, request, socket| {
        assert!(request.starts_with(if number == 0 { b"POST /v1/backup " } else { b"PATCH /api/v" }));
        let mut service = TcpStream::connect(&sandbox).unwrap();
        service.write_all(request).unwrap();
        let mut response = Vec::new();
        service.read_to_end(&mut response).unwrap();
        socket.write_all(&response).unwrap();
    });
    let key = std::env::var("SANDBOX_KEY").unwrap();
    // The second run finds the shares, and confirms them once more.
    for _ in 0..2 {
        let output = scene.command().env("PORTAL_CLIENT_API_KEY", &key).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let shares = BackupShares::parse(fs::read(scene.path("backup.json")).unwrap()).unwrap();
        assert!(shares.secp256k1().decode().unwrap().len() > 5000);
    }
}

#[test]
fn a_response_is_read_in_each_form_that_it_may_have() {
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n{:x};a=b\r\n{}\r\n{:X}\r\n{}\r\n0\r\nX: y\r\n\r\n",
        10,
        &SHARES[..10],
        SHARES.len() - 10,
        &SHARES[10..]
    );
    let whole = with_length("200 OK", SHARES);
    let interim = format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{whole}");
    let until_the_end = format!("HTTP/1.1 200 OK\r\n\r\n{SHARES}");
    for response in [whole, chunked, interim, until_the_end] {
        for step in [response.len(), 1] {
            let bytes = response.clone().into_bytes();
            let scene = Scene::new(move |number, _, socket| match number {
                0 => bytes.chunks(step).for_each(|piece| socket.write_all(piece).unwrap()),
                _ => socket.write_all(DONE.as_bytes()).unwrap(),
            });
            scene.succeeds();
            assert_eq!(fs::read_to_string(scene.path("backup.json")).unwrap(), SHARES);
        }
    }
}

#[test]
fn a_response_that_is_complete_is_not_waited_for_until_the_connection_ends() {
    let scene = Scene::new(|number, _, socket| {
        let response = if number == 0 { with_length("200 OK", SHARES) } else { DONE.into() };
        socket.write_all(response.as_bytes()).unwrap();
        // Until the client closes, or for 20 seconds.
        let _ = socket.read(&mut [0]);
    });
    let start = Instant::now();
    scene.succeeds();
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn what_cannot_be_read_is_kept_to_the_byte() {
    let says = ["could not be read", "shares may have been made"];
    let half = &SHARES[..SHARES.len() / 2];
    for (head, body) in [
        ("Content-Length: 90\r\n\r\n", half.to_string()),
        ("Transfer-Encoding: chunked\r\n\r\n", format!("{:x}\r\n{half}", SHARES.len())),
        ("Transfer-Encoding: chunked\r\n\r\n", format!("no number\r\n{SHARES}\r\n0\r\n\r\n")),
        ("Transfer-Encoding: gzip, chunked\r\n\r\n", format!("{:x}\r\n{SHARES}\r\n0\r\n\r\n", SHARES.len())),
        ("", format!("X-Cut: {half}")),
        ("Content-Length: 9\r\n\r\n", "no shares".into()),
    ] {
        let line = if head.is_empty() { "HTTP/1.1 200 " } else { "HTTP/1.1 200 OK\r\n" };
        // Of a head that is cut, all behind the status.
        let kept = if head.is_empty() { format!(" {body}") } else { body.clone() };
        Scene::responding(format!("{line}{head}{body}")).fails(&says, Some(kept.as_bytes()));
    }
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n", &[b' '; 100_000][..]].concat();
    let (is_done, said) = Scene::responding(endless).run();
    assert!(!is_done && said.contains("65517 bytes) could not be read"), "{said}");
}

#[test]
fn a_refusal_is_told_as_one_with_the_time_to_wait() {
    let body = r#"{"id":"OPERATION_IN_PROGRESS","message":"Later"}"#;
    let head = format!("HTTP/1.1 429 Slow\r\nretry-after:  7 \r\nContent-Length: {}\r\n\r\n", body.len());
    let says = ["refused", "status 429", "OPERATION_IN_PROGRESS", "retry after 7 s"];
    Scene::responding(head + body).fails(&says, None);
    Scene::responding(with_length("401 No", "Authorization header is invalid")).fails(&["status 401", "refused"], None);
    let failed = "HTTP/1.1 503 Later\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n";
    Scene::responding(failed).fails(&["status 503", "retry after 9 s", "it may have acted"], None);
}

#[test]
fn without_a_response_it_says_whether_the_service_can_have_acted() {
    Scene::responding("").fails(&["no response", "may have acted"], None);
    Scene::responding("SSH-2.0-x\r\n").fails(&["not HTTP", "may have acted"], None);

    let mut nobody = Scene::responding("");
    let port = TcpListener::bind("localhost:0").unwrap().local_addr().unwrap().port();
    nobody.url = format!("https://localhost:{port}");
    nobody.fails(&["refused", "the request was not sent"], None);
    nobody.url = "http://localhost".into();
    nobody.fails(&["https", "the request was not sent"], None);

    let stranger = Scene::responding(with_length("200 OK", SHARES));
    let output = stranger.command().env("SSL_CERT_FILE", "/dev/null").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("certificate") && said.contains("was not sent"), "{said}");
}

#[test]
fn a_service_that_refuses_before_it_has_read_all_is_heard() {
    let listener = TcpListener::bind("localhost:0").unwrap();
    let mut scene = Scene::responding("");
    scene.url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let long = fs::read_to_string(GENERATE).unwrap().replacen('{', &format!("{{{}", " ".repeat(3 << 20)), 1);
    fs::write(scene.path("generate.json"), long).unwrap();
    let read = |name| fs::read(certificate().path().join(name)).unwrap();
    let identity = Identity::from_pkcs8(&read("cert.pem"), &read("key.pem")).unwrap();
    thread::spawn(move || {
        let socket = listener.accept().unwrap().0;
        let mut socket = TlsAcceptor::new(identity).unwrap().accept(socket).unwrap();
        socket.read_exact(&mut [0; 100]).unwrap();
        socket.write_all(with_length("413 Too Much", "").as_bytes()).unwrap();
        socket.get_ref().shutdown(Shutdown::Both).unwrap();
    });
    scene.fails(&["status 413", "refused"], None);
}
