//! What goes through a proxy, what a proxy sees, and what becomes of a call when it will not have it.
#![cfg(all(feature = "client", feature = "ring"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod child;
mod util;

use std::fs;
use std::io::{self, Read, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child as Process, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use child::Child;
use portal_backup::{ApiKey, Client, Error, GenerateResponse, Outcome, StoredShares};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use util::certificates::{self, Certificate};
use util::faults::answer_of;
use util::secrets::{self, KEY};
use util::server::{Connection, Script, Server};
use util::{GRACE, TIMEOUT};

const USER: &str = "somebody";
const PASSWORD: &str = "p4ss:w@rd";
/// `somebody:p4ss:w@rd`.
const BASIC: &str = "c29tZWJvZHk6cDRzczp3QHJk";
const IN_URL: &str = "somebody:p4ss%3Aw%40rd";

fn tls() -> Option<Arc<ServerConfig>> {
    Some(certificates::server_config(Certificate::Trusted))
}

fn service(c: &mut Connection) -> io::Result<()> {
    loop {
        if c.request()?.starts_with(b"PATCH ") {
            c.send("HTTP/1.1 204 No Content\r\n\r\n")?;
        } else {
            c.send(answer_of(200, &secrets::backup_response(c.number)))?;
        }
    }
}

fn backup(client: &Client) -> Result<StoredShares, Error> {
    let shares = client.backup(&GenerateResponse::parse(secrets::generate_response()).unwrap())?;
    Ok(shares.store(|_| Ok::<(), io::Error>(())).unwrap())
}

fn through(proxy: &str, target: &str) -> Client {
    util::builder(target).proxy(proxy).build().unwrap()
}

// ---- a proxy that remembers everything

/// Makes a tunnel to the one server there is, whatever host was asked for, for whoever knows the password.
struct Proxy {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Tunnel>>>,
}

/// All that one client sent and got.
#[derive(Default)]
struct Tunnel {
    head: String,
    up: Vec<u8>,
    down: Vec<u8>,
}

impl Proxy {
    fn to(server: &Server) -> Self {
        Self::responding(server, "HTTP/1.1 200 Connection established\r\n\r\n")
    }

    fn responding(server: &Server, response: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (port, notes, response) = (server.port(), seen.clone(), response.to_owned());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (notes, response) = (notes.clone(), response.clone());
                thread::spawn(move || {
                    let mut client = client.unwrap();
                    let number = {
                        let mut notes = notes.lock().unwrap();
                        notes.push(Tunnel::default());
                        notes.len() - 1
                    };
                    let note = |what: &dyn Fn(&mut Tunnel)| what(&mut notes.lock().unwrap()[number]);
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        if client.read(&mut byte).unwrap_or(0) == 0 {
                            return;
                        }
                        head.push(byte[0]);
                    }
                    let head = String::from_utf8(head).unwrap();
                    note(&|tunnel| tunnel.head = head.clone());
                    let knows = head.contains(BASIC);
                    let denied = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
                    client.write_all(if knows { &response } else { denied }.as_bytes()).unwrap();
                    if !knows || !response.starts_with("HTTP/1.1 200") {
                        return;
                    }
                    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
                    thread::scope(|scope| {
                        scope.spawn(|| {
                            copy(&client, &server, |bytes| {
                                note(&|tunnel| tunnel.up.extend_from_slice(bytes))
                            });
                        });
                        copy(&server, &client, |bytes| note(&|tunnel| tunnel.down.extend_from_slice(bytes)));
                    });
                });
            }
        });
        Self { address, seen }
    }

    fn url(&self) -> String {
        format!("http://{IN_URL}@localhost:{}", self.address.port())
    }

    fn tunnels(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, note: impl Fn(&[u8])) {
    let mut room = [0; 4 << 10];
    while let Ok(n @ 1..) = from.read(&mut room) {
        // Before it goes on, so that nothing is missing once it had an effect.
        note(&room[..n]);
        if to.write_all(&room[..n]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Nothing but TLS records (RFC 8446, section 5.1), the last of which may be under way.
#[track_caller]
fn assert_records(mut bytes: &[u8]) {
    assert!(!bytes.is_empty());
    while let [kind, major, minor, high, low, rest @ ..] = bytes {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        assert!((20..=23).contains(kind) && *major == 3 && *minor <= 4, "no record: {:?}", &bytes[..5]);
        assert!(len <= (16 << 10) + 256, "{len}");
        bytes = rest.get(len..).unwrap_or_default();
    }
}

#[test]
fn a_proxy_sees_the_name_its_own_password_and_tls_records_and_nothing_else() {
    let server = Server::start(tls(), service);
    let proxy = Proxy::to(&server);
    let client = through(&proxy.url(), &server.url());
    let stored = backup(&client).unwrap();
    client.confirm(&stored).unwrap();
    assert_eq!((proxy.tunnels(), server.requests().len()), (1, 2), "a tunnel is kept like a connection");

    let seen = proxy.seen.lock().unwrap();
    let name = format!("localhost:{}", server.port());
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        seen[0].head,
        format!(
            "CONNECT {name} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: portal-backup/{version}\r\n\
             Proxy-Authorization: Basic {BASIC}\r\n\r\n"
        )
    );
    for bytes in [&seen[0].up, &seen[0].down] {
        assert_records(bytes);
        secrets::assert_none_in("what the proxy sees", &String::from_utf8_lossy(bytes));
    }
    for request in server.requests() {
        let request = String::from_utf8(request).unwrap();
        assert!(!request.to_ascii_lowercase().contains("proxy-") && !request.contains(BASIC));
    }
}

#[test]
fn a_proxy_looks_the_name_up_itself() {
    let server = Server::start(Some(certificates::server_config(Certificate::OtherName)), service);
    let proxy = Proxy::to(&server);
    backup(&through(&proxy.url(), "https://other.example")).unwrap();
    assert!(proxy.seen.lock().unwrap()[0].head.starts_with("CONNECT other.example:443 HTTP/1.1\r\n"));
}

#[test]
fn a_certificate_behind_a_proxy_is_checked_like_any_other() {
    let server = Server::start(Some(certificates::server_config(Certificate::Untrusted)), service);
    let proxy = Proxy::to(&server);
    let error = backup(&through(&proxy.url(), &server.url())).unwrap_err();
    assert_eq!((error.outcome(), server.requests().len()), (Outcome::NotSent, 0), "{error}");
    assert!(error.to_string().contains("not trusted"), "{error}");
}

/// Makes one tunnel that is itself inside of TLS, and returns what was asked for.
fn tunnel_in_tls(listener: &TcpListener, port: u16) -> io::Result<String> {
    let (client, _) = listener.accept()?;
    // One thread for both directions, since they share a connection: each is looked at in turn.
    let turn = Some(Duration::from_millis(5));
    client.set_read_timeout(turn)?;
    let tls = ServerConnection::new(tls().unwrap()).map_err(io::Error::other)?;
    let mut client = StreamOwned::new(tls, client);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(read_in_turn(&mut client)?);
    }
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    server.set_read_timeout(turn)?;
    while let Ok(up) = read_in_turn(&mut client) {
        server.write_all(&up)?;
        client.write_all(&read_in_turn(&mut server)?)?;
    }
    Ok(String::from_utf8(head).unwrap())
}

/// What is there, or nothing; an error at the end.
fn read_in_turn(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut room = vec![0; 64 << 10];
    match from.read(&mut room) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(n) => room.truncate(n),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => room.clear(),
        Err(e) => return Err(e),
    }
    Ok(room)
}

#[test]
fn a_proxy_may_itself_be_spoken_to_over_tls() {
    let server = Server::start(tls(), service);
    let (listener, port) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), server.port());
    let url = format!("https://{IN_URL}@localhost:{}", listener.local_addr().unwrap().port());
    let proxy = thread::spawn(move || tunnel_in_tls(&listener, port));
    let client = util::builder(&server.url()).proxy(url).timeout(TIMEOUT * 5).build().unwrap();
    backup(&client).unwrap();
    drop(client);
    let asked = proxy.join().unwrap().unwrap();
    assert!(asked.starts_with("CONNECT localhost:") && asked.contains(BASIC), "{asked}");
    secrets::assert_none_in("what the proxy gets", &asked);

    let untrusted =
        Server::start(Some(certificates::server_config(Certificate::Untrusted)), |c| c.request().map(drop));
    let error = backup(&through(&untrusted.url(), &server.url())).unwrap_err();
    assert_eq!((error.outcome(), untrusted.requests().len()), (Outcome::NotSent, 0), "{error}");
}

#[test]
fn a_proxy_that_refuses_is_asked_again_only_if_it_may_change_its_mind_and_nothing_was_sent() {
    let server = Server::start(tls(), service);
    for (status, attempts) in [
        ("101 Switching Protocols", 1),
        ("307 Go\r\nLocation: /", 1),
        ("403 Forbidden", 1),
        ("404 Not Found", 1),
        ("407 Proxy Authentication Required\r\nProxy-Authenticate: Basic", 1),
        ("408 Request Timeout", 3),
        ("429 Too Many Requests", 3),
        ("500 Unable to connect", 3),
        ("501 Not Implemented", 1),
        ("502 Bad Gateway", 3),
        ("503 Unavailable", 3),
        ("504 Gateway Timeout", 3),
    ] {
        let proxy = Proxy::responding(&server, &format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        let client = through(&proxy.url(), &server.url());
        let stored = StoredShares::from_share_pair_ids(["a", "b"]).unwrap();
        for error in [backup(&client).unwrap_err(), client.confirm(&stored).unwrap_err()] {
            assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
            let line = error.to_string();
            assert!(line.contains("the proxy localhost:") && line.contains(&status[..3]), "{line}");
            assert_hides_the_password(&format!("{line} {error:?}"));
        }
        assert_eq!(proxy.tunnels(), 2 * attempts, "{status}: for two calls");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_proxy_that_fails_for_a_moment_costs_nothing() {
    let server = Server::start(tls(), service);
    let port = server.port();
    for first in ["HTTP/1.1 503 Unavailable\r\n\r\n", ""] {
        let proxy = Server::start(None, move |c| {
            c.request_unrecorded()?;
            if c.number == 0 {
                return c.send(first);
            }
            c.send("HTTP/1.1 200 OK\r\n\r\n")?;
            c.raw().tunnel(port)
        });
        backup(&through(&format!("http://localhost:{}", proxy.port()), &server.url())).unwrap();
        assert_eq!(proxy.connections(), 2, "{first:?}");
    }
}

#[test]
fn a_proxy_that_breaks_off_or_never_ends_means_not_sent_within_the_deadline() {
    let server = Server::start(tls(), |_| panic!("somebody came"));
    let responding = |response: String| -> Arc<Script> {
        Arc::new(move |c: &mut Connection| {
            c.request()?;
            c.send(&response)
        })
    };
    let scripts: [(&str, Arc<Script>); 8] = [
        ("repeats the key", responding(format!("HTTP/1.1 407 {KEY}\r\nProxy-Authenticate: Basic\r\n\r\n"))),
        ("redirects", responding(format!("HTTP/1.1 307 Go\r\nLocation: {}\r\n\r\n", server.url()))),
        ("closes", Arc::new(|_: &mut Connection| Ok(()))),
        ("closes after the request", responding(String::new())),
        ("sends noise", responding("220 mail.example ESMTP\r\n".into())),
        ("is silent", Arc::new(Connection::silence)),
        (
            "drips",
            Arc::new(|c: &mut Connection| {
                c.request()?;
                c.send("HTTP/1.1 200 OK\r\nX-Drips: ")?;
                c.drip(&[b'x'; 1000], Duration::from_millis(40))
            }),
        ),
        (
            "has an endless head",
            Arc::new(|c: &mut Connection| {
                c.request()?;
                c.send("HTTP/1.1 200 OK\r\n")?;
                c.endless(b"X-More: of the same\r\n")
            }),
        ),
    ];
    for (name, script) in scripts {
        let proxy = Server::run(None, script);
        let client = through(&format!("http://{IN_URL}@localhost:{}", proxy.port()), &server.url());
        let start = Instant::now();
        let error = backup(&client).unwrap_err();
        assert!(start.elapsed() < TIMEOUT + GRACE, "{name}: {:?}", start.elapsed());
        assert_eq!(error.outcome(), Outcome::NotSent, "{name}: {error}");
        assert!(!error.to_string().contains('\n'), "{name}: {error}");
        assert_hides_the_password(&format!("{error} {error:?}"));
        assert!(proxy.connections() >= 1, "{name}");
    }
    assert_eq!(server.connections(), 0);
}

#[track_caller]
fn assert_hides_the_password(text: &str) {
    for secret in [PASSWORD, "p4ss", "w%40rd", BASIC, USER] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    secrets::assert_none_in("the error", text);
}

#[test]
fn without_the_password_a_proxy_refuses_and_nothing_was_sent() {
    let server = Server::start(tls(), service);
    let proxy = Proxy::to(&server);
    let port = proxy.address.port();
    for url in [format!("http://localhost:{port}"), format!("http://{USER}:wrong@localhost:{port}")] {
        let error = backup(&through(&url, &server.url())).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent);
        let line = error.to_string();
        assert!(line.contains("407") && !line.contains("wrong") && !line.contains(USER), "{line}");
    }
    assert_eq!((proxy.tunnels(), server.connections()), (2, 0));
}

#[test]
fn a_proxy_that_is_down_means_not_sent() {
    let server = Server::start(tls(), service);
    // Bound and never listened on: nobody else is given this port.
    let closed = util::faults::ClosedPort::new();
    let proxy = format!("http://{IN_URL}@localhost:{}", closed.number());
    let error = backup(&through(&proxy, &server.url())).unwrap_err();
    assert_eq!((error.outcome(), server.connections()), (Outcome::NotSent, 0), "{error}");
    assert_hides_the_password(&error.to_string());
}

#[test]
fn a_proxy_that_cannot_be_used_is_a_mistake_and_not_shown() {
    let build = |url: &str| Client::builder(ApiKey::new(KEY).unwrap()).proxy(url).build();
    for url in [
        "",
        " ",
        "http://",
        "http:///",
        "http://:8080",
        "http//somebody:p4ss@localhost",
        "http://somebody:p4ss@",
        "http://somebody:p4ss@:8080",
        "http://somebody:p4ss@local host:8080",
        "http://somebody:p4ss@localhost:80 80",
        "http://somebody:p4ss@localhost:eighty",
        "http://somebody:p4ss@localhost:-1",
        "http://somebody:p4ss@[::1",
        "http://somebody:p4ss\n@localhost:8080",
        "http://somebody:p4ss%FF@localhost:8080",
        "http://somebody:p4ss%00@localhost:8080",
        "http://somebody:p4ss%0d%0aX:@localhost:8080",
        "http://somebody%3Ap4ss@localhost:8080",
        "http://somebody:p4ss/@localhost:8080",
        "http://localhost:8080/p4ss",
        "http://localhost:8080//",
        "http://localhost:8080?p4ss",
        "http://localhost:8080#p4ss",
        "http://localhost\\p4ss",
        "localhost:8080/p4ss",
        "//localhost:8080",
        "http:localhost:8080",
        "http://somebody:p4ss@::1",
        "http://somebody:p4ss@::1:8080",
        "http://somebody:p4ss@[::1]8080",
        "http://somebody:p4ss@*:8080",
        "http://somebody:p4ss@localhost:0",
        "http://somebody:p4ss@localhost:65536",
        "http://somebody:p4ss@localhost:99999999999",
        "http://somebody:p4ss@localhost:",
        "http://somebody:p4ss@[::1]:",
        "somebody:p4ss@localhost:0",
        // The host would be `somebody`, or the password without its end.
        "http://somebody:12#p4ss@localhost",
        "http://localhost:8080/#p4ss",
        " http://localhost:8080",
        "http://localhost:8080\n",
    ] {
        assert_is_a_mistake(url, build(url));
    }
    for url in [
        "http://localhost",
        "http://localhost:8080/",
        "HTTP://localhost:65535",
        "https://localhost:8443",
        "localhost:8080",
        "localhost",
        "somebody:p4ss@localhost:8080",
        "http://[::1]:8080",
        "http://[::1]",
        "http://somebody@localhost",
        "http://@localhost",
        "http://:p4ss@localhost",
        "http://somebody:p4ss:w@rd@localhost",
        "http://somebody:p4ss%3Aw%40rd@localhost:8080",
    ] {
        build(url).unwrap_or_else(|e| panic!("{url}: {e}"));
    }
}

#[test]
fn a_proxy_of_another_kind_is_named_with_its_kind() {
    for kind in ["socks", "socks4", "socks4a", "socks5", "SOCKS5H", "ftp", "quic"] {
        let url = format!("{kind}://somebody:p4ss@localhost:1080");
        let built = Client::builder(ApiKey::new(KEY).unwrap()).proxy(&url).build();
        let line = built.as_ref().unwrap_err().to_string();
        assert!(line.contains(&format!(", and not {kind}; ")), "{line}");
        assert_is_a_mistake(&url, built);
    }
    // What is no kind may be part of a password.
    for url in ["somebody:p4ss://x@localhost", "p4ssp4ssp4ss://localhost", "p4ss@x://localhost", "://p4ss"] {
        assert_is_a_mistake(url, Client::builder(ApiKey::new(KEY).unwrap()).proxy(url).build());
    }
}

#[track_caller]
fn assert_is_a_mistake(url: &str, built: Result<Client, Error>) {
    let Err(error) = built else { panic!("{url:?} was taken") };
    assert!(matches!(error, Error::InvalidInput(_)), "{url:?}: {error:?}");
    assert_eq!(error.outcome(), Outcome::NotSent);
    let line = format!("{error} {error:?}");
    assert!(line.contains("the proxy must be http://"), "{url:?}: {line}");
    assert_hides_the_password(&line);
}

// ---- the environment

#[test]
fn the_environment_is_read_only_when_asked_to() {
    let server = Server::start(tls(), service);
    let proxy = Proxy::to(&server);
    let child = Child::new(&server.url()).env("HTTPS_PROXY", proxy.url()).env("ALL_PROXY", "garbage garbage");
    assert_eq!(child.says(), "done");
    assert_eq!((proxy.tunnels(), server.connections()), (0, 1));
}

#[test]
fn a_proxy_that_was_set_goes_before_the_environment() {
    let server = Server::start(tls(), service);
    let (proxy, other) = (Proxy::to(&server), Proxy::to(&server));
    let child = Child::new(&server.url()).proxy(&proxy.url()).env("HTTPS_PROXY", other.url());
    assert_eq!(child.env("NO_PROXY", "*").says(), "done");
    assert_eq!((proxy.tunnels(), other.tunnels()), (1, 0));
}

#[test]
fn the_first_name_that_is_set_in_the_environment_is_the_proxy() {
    let names = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let server = Server::start(tls(), service);
    for (i, name) in names.iter().enumerate() {
        let (proxy, other) = (Proxy::to(&server), Proxy::to(&server));
        let mut child = Child::new(&server.url()).proxy("env").env(name, proxy.url());
        for before in &names[..i] {
            child = child.env(before, "");
        }
        for after in &names[i + 1..] {
            child = child.env(after, other.url());
        }
        // For plain requests, of which there are none.
        child = child.env("HTTP_PROXY", other.url()).env("http_proxy", other.url());
        assert_eq!(child.says(), "done", "{name}");
        assert_eq!((proxy.tunnels(), other.tunnels()), (1, 0), "{name}");
    }
}

#[test]
fn a_proxy_for_plain_requests_is_none_for_ours() {
    let server = Server::start(tls(), service);
    let proxy = Proxy::to(&server);
    for name in ["HTTP_PROXY", "http_proxy"] {
        assert_eq!(Child::new(&server.url()).proxy("env").env(name, proxy.url()).says(), "done");
    }
    assert_eq!(proxy.tunnels(), 0);
}

#[test]
fn no_proxy_in_either_case_names_hosts_that_are_asked_directly() {
    let server = Server::start(tls(), service);
    for (name, hosts, is_direct) in [
        ("NO_PROXY", "localhost", true),
        ("no_proxy", "localhost", true),
        ("NO_PROXY", "other.example, LOCALHOST ,.example", true),
        ("NO_PROXY", "*", true),
        ("NO_PROXY", "", false),
        ("NO_PROXY", ",", false),
        ("no_proxy", "other.example", false),
        ("NO_PROXY", "host", false),
        ("NO_PROXY", "localhost.example", false),
    ] {
        let proxy = Proxy::to(&server);
        let child = Child::new(&server.url()).proxy("env").env("https_proxy", proxy.url());
        assert_eq!(child.env(name, hosts).says(), "done", "{name}={hosts}");
        assert_eq!(proxy.tunnels(), usize::from(!is_direct), "{name}={hosts}");
    }
    let proxy = Proxy::to(&server);
    let child = Child::new(&server.url()).proxy("env").env("HTTPS_PROXY", proxy.url());
    assert_eq!(child.env("NO_PROXY", "").env("no_proxy", "localhost").says(), "done");
    assert_eq!(proxy.tunnels(), 0, "an empty NO_PROXY is none");
}

#[test]
fn no_proxy_names_a_domain_with_all_that_is_below_it() {
    let server = Server::start(tls(), service);
    for (url, hosts) in [
        ("https://api.portal.invalid", "portal.invalid"),
        ("https://api.portal.invalid", ".portal.invalid"),
        ("https://api.portal.invalid", "*.portal.invalid"),
        ("https://portal.invalid", ".portal.invalid"),
        ("https://[::1]:1", "::1"),
        ("https://[::1]:1", "[::1]"),
    ] {
        let proxy = Proxy::to(&server);
        let child = Child::new(url).proxy("env").env("HTTPS_PROXY", proxy.url()).env("NO_PROXY", hosts);
        assert!(child.says().starts_with("NotSent"), "{url} {hosts}");
        assert_eq!(proxy.tunnels(), 0, "{url} was asked for through the proxy, in spite of NO_PROXY={hosts}");
    }
}

#[test]
fn a_plain_loopback_address_is_never_asked_for_through_a_proxy() {
    let server = Server::start(None, service);
    let proxy = Proxy::to(&server);
    for host in ["localhost", "LOCALHOST", "127.0.0.1"] {
        let url = format!("http://{host}:{}", server.port());
        let child = Child::new(&url).proxy("env");
        let child = child.env("HTTPS_PROXY", proxy.url()).env("HTTP_PROXY", proxy.url());
        assert_eq!(child.says(), "done", "{host}");
        backup(&through(&proxy.url(), &url)).unwrap();
    }
    assert_eq!((proxy.tunnels(), server.requests().len()), (0, 6));
}

#[test]
fn a_proxy_in_the_environment_that_cannot_be_used_is_a_mistake_that_names_the_variable_and_its_kind() {
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        for (url, words) in [
            ("socks5://somebody:p4ss@localhost:1080", ", and not socks5: "),
            ("http://somebody:p4ss@", "must be http://"),
            ("", "done"),
        ] {
            let server = Server::start(tls(), service);
            let said = Child::new(&server.url()).proxy("env").env(name, url).says();
            assert!(said.contains(words), "{said}");
            if !url.is_empty() {
                assert!(said.starts_with("NotSent") && said.contains(name), "{said}");
                assert!(said.ends_with("nothing was sent"), "{said}");
            }
            assert_hides_the_password(&said);
        }
    }
}

#[test]
fn a_proxy_in_the_environment_that_no_call_would_use_is_not_looked_at() {
    let (plain, encrypted) = (Server::start(None, service), Server::start(tls(), service));
    for url in ["socks5://localhost:1080", "garbage garbage", "http://"] {
        let child = Child::new(&plain.url()).proxy("env").env("ALL_PROXY", url);
        assert_eq!(child.says(), "done", "{url}");
        for hosts in ["*", "localhost", &format!("localhost:{}", encrypted.port())] {
            let child = Child::new(&encrypted.url()).proxy("env").env("HTTPS_PROXY", url);
            assert_eq!(child.env("NO_PROXY", hosts).says(), "done", "{url} {hosts}");
        }
        for hosts in ["", "localhost:1", "other.example"] {
            let child = Child::new(&encrypted.url()).proxy("env").env("HTTPS_PROXY", url);
            assert!(child.env("NO_PROXY", hosts).says().contains("HTTPS_PROXY"), "{url} {hosts}");
        }
    }
}

// ---- the command line

#[cfg(feature = "cli")]
mod command_line {
    use super::*;

    struct Ran {
        code: Option<i32>,
        printed: String,
        has_file: bool,
    }

    fn run(url: &str, environment: &[(&str, &str)]) -> Ran {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("roots.pem"), certificates::root_pem()).unwrap();
        fs::write(path("generate.json"), secrets::generate_response()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portal-backup"));
        for name in child::AMBIENT {
            command.env_remove(name);
        }
        let output = command
            .current_dir(folder.path())
            .envs(environment.iter().copied())
            .env("PORTAL_CLIENT_API_KEY", KEY)
            .args(["-o", "backup.json", "generate.json", "--ca-cert", "roots.pem", "--timeout", "10"])
            .args(["--base-url", url, "--client-api-url", url])
            .output()
            .unwrap();
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_hides_the_password(&printed);
        Ran { code: output.status.code(), printed, has_file: path("backup.json").exists() }
    }

    #[test]
    fn the_command_line_goes_through_the_proxy_of_its_environment() {
        let server = Server::start(tls(), service);
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            let proxy = Proxy::to(&server);
            let ran = run(&server.url(), &[(name, &proxy.url())]);
            assert_eq!((ran.code, ran.has_file), (Some(0), true), "{}", ran.printed);
            // It keeps no connection between its two calls.
            assert_eq!(proxy.tunnels(), 2, "{name}");
            for tunnel in proxy.seen.lock().unwrap().iter() {
                for bytes in [&tunnel.up, &tunnel.down] {
                    assert_records(bytes);
                    secrets::assert_none_in("what the proxy sees", &String::from_utf8_lossy(bytes));
                }
            }
        }
    }

    #[test]
    fn the_command_line_goes_past_the_proxy_to_hosts_of_no_proxy() {
        let server = Server::start(tls(), service);
        let proxy = Proxy::to(&server);
        for name in ["NO_PROXY", "no_proxy"] {
            let ran = run(&server.url(), &[("HTTPS_PROXY", &proxy.url()), (name, "example.com,localhost")]);
            assert_eq!(ran.code, Some(0), "{}", ran.printed);
        }
        assert_eq!(proxy.tunnels(), 0);
    }

    #[test]
    fn the_command_line_says_that_the_proxy_refused_and_exits_with_3() {
        let server = Server::start(tls(), service);
        let proxy = Proxy::responding(&server, "HTTP/1.1 403 Filtered\r\nContent-Length: 0\r\n\r\n");
        let ran = run(&server.url(), &[("https_proxy", &proxy.url())]);
        assert_eq!((ran.code, ran.has_file), (Some(3), false), "{}", ran.printed);
        assert!(ran.printed.contains("the proxy localhost:"), "{}", ran.printed);
        assert_eq!((proxy.tunnels(), server.connections()), (1, 0));
    }

    #[test]
    fn the_command_line_exits_with_2_when_the_proxy_is_malformed() {
        for url in ["socks5://somebody:p4ss@localhost:1080", "http://somebody:p4ss@"] {
            let ran = run("https://localhost:1", &[("HTTPS_PROXY", url)]);
            assert_eq!((ran.code, ran.has_file), (Some(2), false), "{}", ran.printed);
            assert!(ran.printed.contains("HTTPS_PROXY"), "{}", ran.printed);
        }
    }
}

// ---- a real one

/// Debian's tinyproxy, on a port of its own, with a password and with all that it can log.
struct Tinyproxy {
    process: Process,
    port: u16,
    folder: tempfile::TempDir,
}

impl Tinyproxy {
    fn start() -> Option<Self> {
        for _ in 0..10 {
            let folder = tempfile::tempdir().unwrap();
            let port = {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                listener.local_addr().unwrap().port()
            };
            let settings = folder.path().join("tinyproxy.conf");
            let log = folder.path().join("log");
            let text = format!(
                "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 60\nMaxClients 10\n\
                 BasicAuth {USER} secret\nLogLevel Info\nLogFile \"{}\"\nPidFile \"{}\"\n",
                log.display(),
                folder.path().join("pid").display()
            );
            fs::write(&settings, text).unwrap();
            let started = Command::new("tinyproxy")
                .args([Path::new("-d"), Path::new("-c"), &settings])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let Ok(process) = started else {
                println!("skipped: there is no `tinyproxy` here");
                return None;
            };
            let mut proxy = Self { process, port, folder };
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(20) {
                if proxy.log().contains("Accepting connections") {
                    return Some(proxy);
                }
                if proxy.process.try_wait().unwrap().is_some() {
                    // Somebody else was given the port.
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("tinyproxy does not start");
    }

    fn url(&self, password: &str) -> String {
        format!("http://{USER}:{password}@127.0.0.1:{}", self.port)
    }

    fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn tinyproxy_lets_both_calls_through_and_logs_no_secret() {
    let Some(proxy) = Tinyproxy::start() else { return };
    let server = Server::start(tls(), service);
    let client = through(&proxy.url("secret"), &server.url());
    let stored = backup(&client).unwrap();
    client.confirm(&stored).unwrap();
    assert_eq!(server.requests().len(), 2);
    let log = proxy.log();
    assert!(log.contains(&format!("CONNECT localhost:{}", server.port())), "{log}");
    secrets::assert_none_in("the log", &log);
}

#[test]
fn tinyproxy_refuses_a_wrong_password_and_nothing_was_sent() {
    let Some(proxy) = Tinyproxy::start() else { return };
    let server = Server::start(tls(), service);
    let error = backup(&through(&proxy.url("wrong"), &server.url())).unwrap_err();
    assert_eq!((error.outcome(), server.connections()), (Outcome::NotSent, 0), "{error}");
    let line = error.to_string();
    assert!(line.contains("the proxy 127.0.0.1:") && !line.contains("wrong"), "{line}");
}

#[test]
fn tinyproxy_that_cannot_reach_the_service_means_not_sent() {
    let Some(proxy) = Tinyproxy::start() else { return };
    let closed = util::faults::ClosedPort::new();
    let url = format!("https://localhost:{}", closed.number());
    let error = backup(&through(&proxy.url("secret"), &url)).unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
}
