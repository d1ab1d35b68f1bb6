//! `src/client/proxy.rs` by tables.
#![allow(clippy::panic)]

use alloc::string::ToString as _;

use super::*;

/// A URL, and what it is read as: the name of the proxy, whether it is spoken to over TLS, and the credentials.
const GOOD: &[(&str, &str, bool, &str)] = &[
    ("http://localhost", "localhost:80", false, ""),
    ("https://localhost", "localhost:443", true, ""),
    ("HTTPS://proxy.example:8443/", "proxy.example:8443", true, ""),
    ("localhost:8080", "localhost:8080", false, ""),
    ("localhost", "localhost:80", false, ""),
    ("a:b@localhost:8080", "localhost:8080", false, "a:b"),
    ("http://127.0.0.1:65535", "127.0.0.1:65535", false, ""),
    ("http://[::1]:8080", "[::1]:8080", false, ""),
    ("http://[::1]", "[::1]:80", false, ""),
    ("[2001:db8::1]:1", "[2001:db8::1]:1", false, ""),
    ("http://@localhost", "localhost:80", false, ""),
    ("http://a@localhost", "localhost:80", false, "a:"),
    ("http://:b@localhost", "localhost:80", false, ":b"),
    ("http://a:b:c@localhost", "localhost:80", false, "a:b:c"),
    ("http://a:b@c@localhost", "localhost:80", false, "a:b@c"),
    ("http://a:p4ss%3Aw%40rd%2f+%25@localhost", "localhost:80", false, "a:p4ss:w@rd/+%"),
    ("http://a%20b:%c3%A4@localhost", "localhost:80", false, "a b:ä"),
    ("http://ä:%zz%4@localhost", "localhost:80", false, "ä:%zz%4"),
];

#[test]
fn a_proxy_is_read_as_its_table_says() {
    for (url, name, is_tls, credentials) in GOOD {
        let Some(proxy) = Proxy::read(url) else { panic!("{url} was refused") };
        assert_eq!((proxy.to_string(), proxy.is_tls), (format!("the proxy {name}"), *is_tls), "{url}");
        let expected = (!credentials.is_empty()).then(|| format!("Basic {}", STANDARD.encode(credentials)));
        assert_eq!(proxy.authorization.as_ref().map(SecretString::expose), expected.as_deref(), "{url}");
        assert_eq!(format!("{proxy:?}"), "Proxy { .. }");
    }
}

fn proxy(url: &str) -> Proxy {
    Proxy::read(url).unwrap_or_else(|| panic!("{url} was refused"))
}

#[test]
fn a_tunnel_is_asked_for_in_one_head() {
    let ask = |proxy: Proxy, host| proxy.connect_request(host, 443, "device/1.0").expose().to_vec();
    assert_eq!(
        String::from_utf8_lossy(&ask(proxy("http://somebody:secret@localhost"), "a.example")),
        "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nUser-Agent: device/1.0\r\n\
         Proxy-Authorization: Basic c29tZWJvZHk6c2VjcmV0\r\n\r\n"
    );
    assert_eq!(
        String::from_utf8_lossy(&ask(proxy("localhost"), "::1")),
        "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\nUser-Agent: device/1.0\r\n\r\n"
    );
}

/// An answer, how much of it is not yet of the tunnel, or what is said instead of a tunnel.
#[test]
fn only_a_whole_head_of_success_makes_a_tunnel() {
    let known = proxy("http://a:b@localhost:8080");
    let unknown = proxy("http://localhost:8080");
    let tunnels = |answer: &str| [&known, &unknown].map(|proxy| proxy.connect_answer(answer.as_bytes()));
    for answer in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200\r\nContent-Length: 99\r\n\r\n",
        "HTTP/1.1 299 ä\n\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        for len in 0..answer.len() {
            if answer.is_char_boundary(len) {
                assert_eq!(tunnels(&answer[..len]), [Ok(None), Ok(None)], "{:?}", &answer[..len]);
            }
        }
        for more in ["", "\x16\x03", "HTTP/1.1 407 No\r\n\r\n"] {
            assert_eq!(tunnels(&format!("{answer}{more}")), [Ok(Some(answer.len())), Ok(Some(answer.len()))]);
        }
    }
    for (answer, with, without) in [
        ("HTTP/1.1 403 p4ss\r\n", "answered with status 403", ""),
        ("HTTP/1.1 101 Switching\r\n\r\n", "answered with status 101", ""),
        ("HTTP/1.1 307 Go\r\nLocation: p4ss", "answered with status 307", ""),
        ("HTTP/1.1 999\r\n", "answered with status 999", ""),
        ("HTTP/1.1 100\r\n\r\nHTTP/1.1 502 p4ss\r\n", "answered with status 502", ""),
        (
            "HTTP/1.1 407 p4ss\r\n",
            "refused the user name and password (status 407)",
            "wants a user name and password (status 407)",
        ),
        ("2", "does not answer in HTTP", ""),
        ("220 p4ss ESMTP\r\n", "does not answer in HTTP", ""),
        ("\x05\x00", "does not answer in HTTP", ""),
        ("HTTP/2 200\r\n", "does not answer in HTTP", ""),
        ("HTTP/1.1 20\r\n", "does not answer in HTTP", ""),
        ("HTTP/1.1 2000\r\n", "does not answer in HTTP", ""),
        ("HTTP/1.1 020\r\n", "does not answer in HTTP", ""),
        ("HTTP/1.1  200\r\n", "does not answer in HTTP", ""),
        ("HTTP/1.1 +20\r\n", "does not answer in HTTP", ""),
    ] {
        let without = if without.is_empty() { with } else { without };
        let said = [with, without].map(|text| Err(format!("the proxy localhost:8080 {text}")));
        assert_eq!(tunnels(answer), said, "{answer:?}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(MAX_HEAD / 6));
    assert!(tunnels(&endless).iter().all(|it| it.as_ref().is_err_and(|e| e.contains("too long"))));
    let interim = "HTTP/1.1 100\r\n\r\n".repeat(MAX_HEAD / 16 + 1);
    assert!(tunnels(&interim).iter().all(Result::is_err));
}
