//! What goes through a proxy, what a proxy sees, and what becomes of a call when it will not have it.
#![cfg(all(feature = "client", feature = "ring"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod child;
mod util;

use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use child::Child;
use portal_backup::{ApiKey, Client, Error, Outcome, TransportErrorKind};
use rustls::ServerConfig;
use util::certificates::{self, Certificate};
use util::faults::{ClosedPort, good};
use util::secrets::{self, KEY};
use util::server::{Connection, Script, Server};
use util::{GRACE, TIMEOUT, tls};

const USER: &str = "somebody";
/// `somebody:p4ss:w@rd`.
const BASIC: &str = "c29tZWJvZHk6cDRzczp3QHJk";
const IN_URL: &str = "somebody:p4ss%3Aw%40rd";

fn backup(client: &Client) -> Result<(), Error> {
    util::backup(client).map(drop)
}

fn service() -> Server {
    Server::start(tls(), |c| {
        loop {
            good(c)?;
        }
    })
}

fn proxied(proxy: &str, target: &str) -> Client {
    util::builder(target).proxy(proxy).build().unwrap()
}

/// A proxy that makes tunnels to the one server there is, whatever host was asked for, for whoever knows the password.
fn proxy_to(server: &Server) -> Server {
    proxy_of(None, server)
}

fn proxy_of(tls: Option<Arc<ServerConfig>>, server: &Server) -> Server {
    let port = server.port();
    Server::start(tls, move |c| {
        if !String::from_utf8(c.request()?).unwrap().contains(BASIC) {
            return c.send("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
        }
        c.send("HTTP/1.1 200 Connection established\r\n\r\n")?;
        c.tunnel(port).map(drop)
    })
}

fn url_of(proxy: &Server) -> String {
    format!("http://{IN_URL}@localhost:{}", proxy.port())
}

/// Nothing but TLS records (RFC 8446, section 5.1).
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
    let server = service();
    let (port, (report, seen)) = (server.port(), mpsc::channel());
    let proxy = Server::start(None, move |c| {
        c.request()?;
        c.send("HTTP/1.1 200 OK\r\n\r\n")?;
        report.send(c.tunnel(port)?).map_err(io::Error::other)
    });
    let client = proxied(&url_of(&proxy), &server.url());
    backup(&client).unwrap();
    util::confirm(&client).unwrap();
    drop(client);
    // A tunnel is kept like a connection: there was only one.
    assert_eq!(proxy.connections(), 1);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        String::from_utf8(proxy.requests().remove(0)).unwrap(),
        format!(
            "CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\nUser-Agent: portal-backup/{version}\r\n\
             Proxy-Authorization: Basic {BASIC}\r\n\r\n"
        )
    );
    for bytes in seen.recv().unwrap() {
        assert_records(&bytes);
        secrets::assert_none_in("what the proxy sees", &String::from_utf8_lossy(&bytes));
    }
    assert_eq!(server.requests().len(), 2);
    for request in server.requests() {
        let request = String::from_utf8(request).unwrap();
        assert!(!request.to_ascii_lowercase().contains("proxy-") && !request.contains(BASIC));
    }
}

#[test]
fn a_proxy_looks_the_name_up_itself_and_the_certificate_behind_it_is_checked() {
    let server = Server::start(Some(certificates::server_config(Certificate::OtherName)), good);
    let proxy = proxy_to(&server);
    backup(&proxied(&url_of(&proxy), "https://other.example")).unwrap();
    assert!(proxy.requests()[0].starts_with(b"CONNECT other.example:443 HTTP/1.1\r\n"));

    let error = backup(&proxied(&url_of(&proxy), "https://localhost")).unwrap_err();
    assert_eq!((error.outcome(), server.requests().len()), (Outcome::NotSent, 1), "{error}");
    assert!(error.to_string().starts_with("backup: localhost: its certificate is for other names: other.example;"));
    backup(&proxied(&url_of(&proxy), "https://[::1]:8443")).unwrap_err();
    assert!(proxy.requests()[2].starts_with(b"CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n"));
}

#[test]
fn a_proxy_may_itself_be_spoken_to_over_tls() {
    let server = service();
    let proxy = proxy_of(tls(), &server);
    backup(&proxied(&url_of(&proxy).replace("http:", "https:"), &server.url())).unwrap();
    assert_eq!((proxy.requests().len(), server.requests().len()), (1, 1));

    let untrusted = Server::start(Some(certificates::server_config(Certificate::Untrusted)), good);
    let error = backup(&proxied(&untrusted.url(), &server.url())).unwrap_err();
    assert_not_sent(&error, "its certificate is signed by an authority that is not trusted");
    assert_eq!(untrusted.requests().len(), 0);
}

/// The request was not sent: the error names the proxy and hides the password.
#[track_caller]
fn assert_not_sent(error: &Error, words: &str) {
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    let kind = if words == "timed out" { TransportErrorKind::Timeout } else { TransportErrorKind::Proxy };
    assert_eq!(util::kind_of(error), kind, "{error}");
    let line = error.to_string();
    assert!(line.contains("the proxy localhost:") && line.contains(words) && !line.contains('\n'), "{line}");
    assert_hides_the_password(&format!("{line} {error:?}"));
}

#[track_caller]
fn assert_hides_the_password(text: &str) {
    for secret in [USER, "p4ss", "w@rd", "w%40rd", "wrong", BASIC] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    secrets::assert_none_in("the error", text);
}

fn responding(response: impl Into<String>) -> Arc<Script> {
    let response = response.into();
    Arc::new(move |c: &mut Connection| {
        c.request()?;
        c.send(&response)
    })
}

#[test]
fn a_proxy_that_refuses_is_asked_again_only_if_it_may_change_its_mind_and_nothing_was_sent() {
    let server = service();
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
        ("999 p4ss", 1),
    ] {
        let proxy = Server::run(None, responding(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")));
        let client = proxied(&url_of(&proxy), &server.url());
        for error in [backup(&client).unwrap_err(), util::confirm(&client).unwrap_err()] {
            assert_not_sent(&error, &status[..3]);
        }
        assert_eq!(proxy.connections(), 2 * attempts, "{status}: for two calls");
    }
    let proxy = proxy_to(&server);
    for userinfo in ["", "somebody:wrong@"] {
        let url = format!("http://{userinfo}localhost:{}", proxy.port());
        assert_not_sent(
            &backup(&proxied(&url, &server.url())).unwrap_err(),
            "the user name and password, or wants one",
        );
    }
    assert_eq!((proxy.connections(), server.connections()), (2, 0));
}

#[test]
fn a_proxy_that_fails_for_a_moment_costs_nothing() {
    let server = service();
    let port = server.port();
    for first in ["HTTP/1.1 503 Unavailable\r\n\r\n", "", "silence"] {
        let proxy = Server::start(None, move |c| {
            c.request()?;
            match first {
                _ if c.number > 0 => {}
                "silence" => return c.silence(),
                response => return c.send(response),
            }
            c.send("HTTP/1.1 200 OK\r\n\r\n")?;
            c.tunnel(port).map(drop)
        });
        let builder = util::builder(&server.url()).proxy(url_of(&proxy)).timeout(TIMEOUT * 5);
        backup(&builder.connect_timeout(TIMEOUT / 2).build().unwrap()).unwrap();
        assert_eq!(proxy.connections(), 2, "{first:?}");
    }
}

#[test]
fn a_tunnel_begins_behind_the_first_head_that_is_none_of_an_interim_response() {
    let server = service();
    let port = server.port();
    for head in [
        "HTTP/1.0 200\r\nContent-Length: 99\r\n\r\n",
        "HTTP/1.1 299 ä\n\n",
        "\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        let proxy = Server::start(None, move |c| {
            c.request()?;
            c.drip(head.as_bytes(), Duration::from_millis(1))?;
            c.tunnel(port).map(drop)
        });
        backup(&proxied(&url_of(&proxy), &server.url())).unwrap();
    }
}

#[test]
fn a_proxy_that_breaks_off_or_never_ends_means_not_sent_within_the_deadline() {
    let server = Server::start(tls(), |_| panic!("somebody came"));
    let scripts: [(&str, usize, Arc<Script>); 12] = [
        ("status 407", 1, responding(format!("HTTP/1.1 407 {KEY}\r\nProxy-Authenticate: Basic\r\n\r\n"))),
        // Closed, or reset.
        ("try again", 3, Arc::new(|_: &mut Connection| Ok(()))),
        ("closed", 3, responding("")),
        ("not HTTP", 1, responding("220 mail.example ESMTP\r\n")),
        ("not HTTP", 1, responding("HTPP/1.1 200\r\n")),
        ("not HTTP", 1, responding("HTTP/1.1 2000\r\n\r\n")),
        ("not HTTP", 1, responding("HTTP/1.1 020\r\n\r\n")),
        ("status 502", 3, responding("HTTP/1.1 100\r\n\r\nHTTP/1.1 502 p4ss\r\n")),
        // A server of TLS does not speak first.
        ("nobody asked for", 1, responding("HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03")),
        ("timed out", 1, Arc::new(Connection::silence)),
        (
            "timed out",
            1,
            Arc::new(|c: &mut Connection| {
                c.request()?;
                c.send("HTTP/1.1 200 OK\r\nX-Drips: ")?;
                c.drip(&[b'x'; 1000], Duration::from_millis(40))
            }),
        ),
        (
            "too long",
            1,
            Arc::new(|c: &mut Connection| {
                c.request()?;
                c.send("HTTP/1.1 200 OK\r\n")?;
                c.endless(b"X-More: of the same\r\n")
            }),
        ),
    ];
    for (words, attempts, script) in scripts {
        let proxy = Server::run(None, script);
        let start = Instant::now();
        let error = backup(&proxied(&url_of(&proxy), &server.url())).unwrap_err();
        assert!(start.elapsed() < TIMEOUT + GRACE, "{words}: {:?}", start.elapsed());
        assert_not_sent(&error, words);
        assert_eq!(proxy.connections(), attempts, "{words}");
    }
    // Bound and never listened on: nobody else is given this port.
    let closed = format!("http://{IN_URL}@localhost:{}", ClosedPort::new().number());
    assert_not_sent(&backup(&proxied(&closed, &server.url())).unwrap_err(), "refused");
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_proxy_that_cannot_be_used_is_a_mistake_and_not_shown() {
    // The host of one with a `#` would be `somebody`, or the password without its end.
    let urls = "http:// http://:8080 http//somebody:p4ss@localhost http://somebody:p4ss@ \
         http://somebody:p4ss@:8080 http://somebody:p4ss@localhost:eighty http://somebody:p4ss@[::1 \
         http://somebody:p4ss%FF@localhost:8080 somebody:p4ss://x@localhost ://p4ss \
         socks4://somebody:p4ss@localhost:1080 SOCKS5H://somebody:p4ss@localhost ftp://localhost/p4ss \
         http://somebody:p4ss/@localhost:8080 http://localhost:8080/p4ss http://localhost:8080// \
         http://localhost:8080?p4ss http://localhost:8080#p4ss http://localhost\\p4ss localhost:8080/p4ss \
         //localhost:8080 http:localhost:8080 http://somebody:p4ss@::1 http://somebody:p4ss@::1:8080 \
         http://somebody:p4ss@[::1]8080 http://somebody:p4ss@*:8080 http://somebody:p4ss@localhost:0 \
         http://somebody:p4ss@localhost:65536 http://somebody:p4ss@localhost: http://somebody:12#p4ss@localhost";
    let with_space = [
        "",
        " ",
        "http://somebody:p4ss@local host:8080",
        "http://somebody:p4ss@localhost:80 80",
        "http://somebody:p4ss\n@localhost:8080",
        " http://localhost:8080",
        "http://localhost:8080\n",
    ];
    for url in urls.split(' ').chain(with_space) {
        let built = Client::builder(ApiKey::new(KEY).unwrap()).proxy(url).build();
        let Err(error @ Error::InvalidInput(_)) = built else { panic!("{url:?}: {built:?}") };
        let line = format!("{error} {error:?}");
        assert!(line.contains("the proxy must be http://"), "{url:?}: {line}");
        assert_hides_the_password(&line);
    }
}

// ---- the environment

#[test]
fn the_environment_is_read_only_when_asked_to_and_what_was_set_goes_before_it() {
    let server = service();
    let (proxy, other) = (proxy_to(&server), proxy_to(&server));
    let child = Child::new(&server.url()).env("HTTPS_PROXY", url_of(&proxy)).env("ALL_PROXY", "garbage garbage");
    assert_eq!(child.says(), "done");
    assert_eq!((proxy.connections(), server.connections()), (0, 1));

    let child = Child::new(&server.url()).proxy(&url_of(&proxy)).env("HTTPS_PROXY", url_of(&other));
    assert_eq!(child.env("NO_PROXY", "*").says(), "done");
    assert_eq!((proxy.connections(), other.connections()), (1, 0));
}

#[test]
fn the_first_name_that_is_set_in_the_environment_is_the_proxy() {
    let server = service();
    // Those for plain requests, of which there are none, are not looked at.
    let names = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"];
    for i in 0..=4 {
        let (proxy, other) = (proxy_to(&server), proxy_to(&server));
        let mut child = Child::new(&server.url()).proxy("env");
        for (at, name) in names.iter().enumerate() {
            child = match at {
                _ if at < i => child.env(name, ""),
                _ if at == i && i < 4 => child.env(name, url_of(&proxy)),
                _ => child.env(name, url_of(&other)),
            };
        }
        assert_eq!(child.says(), "done", "{}", names[i]);
        assert_eq!((proxy.connections(), other.connections()), (usize::from(i < 4), 0), "{}", names[i]);
    }
}

#[test]
fn no_proxy_in_either_case_names_hosts_that_are_asked_directly() {
    let server = service();
    for (upper, lower, is_direct) in [
        ("localhost", "", true),
        ("", "localhost", true),
        ("other.example, LOCALHOST ,.example", "", true),
        ("*", "other.example", true),
        ("other.example", "localhost", false),
        (",", "", false),
    ] {
        let proxy = proxy_to(&server);
        let child = Child::new(&server.url()).proxy("env").env("https_proxy", url_of(&proxy));
        assert_eq!(child.env("NO_PROXY", upper).env("no_proxy", lower).says(), "done", "{upper} {lower}");
        assert_eq!(proxy.connections(), usize::from(!is_direct), "{upper} {lower}");
    }
}

#[test]
fn a_plain_loopback_address_is_never_asked_for_through_a_proxy() {
    let server = Server::start(None, good);
    let proxy = proxy_to(&server);
    for host in ["localhost", "LOCALHOST", "127.0.0.1"] {
        let url = format!("http://{host}:{}", server.port());
        let child = Child::new(&url).proxy("env").env("HTTPS_PROXY", url_of(&proxy));
        assert_eq!(child.env("HTTP_PROXY", url_of(&proxy)).says(), "done", "{host}");
        backup(&proxied(&url_of(&proxy), &url)).unwrap();
    }
    assert_eq!((proxy.connections(), server.requests().len()), (0, 6));
}

#[test]
fn a_proxy_in_the_environment_is_a_mistake_that_names_the_variable_only_if_it_is_used() {
    let (plain, encrypted) = (Server::start(None, good), service());
    let port = encrypted.port();
    let names = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    for (i, (url, words)) in [
        ("socks5://somebody:p4ss@localhost:1080", "https, and not socks5"),
        ("http://somebody:p4ss@", "must be http://"),
        ("http+unix://somebody:p4ss@localhost", "https, and not http+unix"),
        ("SOCKS5H://somebody:p4ss@localhost:1080", "https, and not SOCKS5H"),
    ]
    .into_iter()
    .enumerate()
    {
        let child = |server: &Server| Child::new(&server.url()).proxy("env").env(names[i], url);
        assert_eq!(child(&plain).says(), "done", "{url}");
        for hosts in ["*", "localhost", &format!("localhost:{port}")] {
            assert_eq!(child(&encrypted).env("NO_PROXY", hosts).says(), "done", "{url} {hosts}");
        }
        for hosts in ["", "localhost:1", "other.example"] {
            let said = child(&encrypted).env("NO_PROXY", hosts).says();
            assert!(said.starts_with("NotSent") && said.contains(names[i]) && said.contains(words), "{said}");
            assert!(said.ends_with("nothing was sent"), "{said}");
            assert_hides_the_password(&said);
        }
    }
}

// ---- the command line

#[test]
#[cfg(feature = "cli")]
fn the_command_line_goes_through_the_proxy_of_its_environment() {
    use std::{fs, process::Command};

    let server = service();
    let (proxy, filter) = (proxy_to(&server), Server::run(None, responding("HTTP/1.1 403 Filtered\r\n\r\n")));
    let (proxy_url, filter_url) = (url_of(&proxy), url_of(&filter));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("roots.pem"), certificates::root_pem()).unwrap();
    fs::write(folder.path().join("generate.json"), secrets::generate_response()).unwrap();
    for (i, (environment, code, words, tunnels)) in [
        // It keeps no connection between its two calls.
        (&[("https_proxy", &*proxy_url)][..], 0, "", 2),
        (&[("HTTPS_PROXY", &proxy_url), ("NO_PROXY", "example.com,localhost")], 0, "", 2),
        (&[("ALL_PROXY", &filter_url)], 3, "the proxy localhost:", 2),
        (&[("HTTPS_PROXY", "socks5://somebody:p4ss@localhost:1080")], 2, "HTTPS_PROXY", 2),
    ]
    .into_iter()
    .enumerate()
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portal-backup"));
        for name in child::AMBIENT {
            command.env_remove(name);
        }
        let output = format!("{i}.json");
        let ran = command
            .current_dir(folder.path())
            .envs(environment.iter().copied())
            .env("PORTAL_CLIENT_API_KEY", KEY)
            .args(["-o", &output, "generate.json", "--ca-cert", "roots.pem", "--timeout", "10"])
            .args(["--base-url", &server.url(), "--client-api-url", &server.url()])
            .output()
            .unwrap();
        let printed = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        assert_eq!((ran.status.code(), folder.path().join(output).exists()), (Some(code), code == 0), "{printed}");
        assert!(printed.contains(words), "{printed}");
        assert_hides_the_password(&printed);
        assert_eq!(proxy.connections(), tunnels);
    }
    assert_eq!(filter.connections(), 1);
}
