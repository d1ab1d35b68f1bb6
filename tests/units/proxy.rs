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
];

#[test]
fn a_proxy_is_read_as_its_table_says() {
    for (url, name, is_tls, credentials) in GOOD {
        let Some(proxy) = Proxy::read(url) else { panic!("{url} was refused") };
        assert_eq!((proxy.to_string(), proxy.is_tls), (format!("the proxy {name}"), *is_tls), "{url}");
        let header = format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(credentials));
        let expected = if credentials.is_empty() { "" } else { &*header };
        assert_eq!(proxy.authorization.expose(), expected.as_bytes(), "{url}");
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
