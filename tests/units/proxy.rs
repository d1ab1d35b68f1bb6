//! `src/client/proxy.rs` by tables.
#![allow(clippy::panic, clippy::unwrap_used)]

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
        let expected = (!credentials.is_empty()).then(|| STANDARD.encode(credentials));
        let found = proxy.credentials.as_ref().map(SecretBytes::expose);
        assert_eq!(found, expected.as_deref().map(str::as_bytes), "{url}");
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

/// A response, how much of it is not yet of the tunnel, or what is said instead of a tunnel.
#[test]
fn only_a_whole_head_of_success_makes_a_tunnel() {
    let known = proxy("http://a:b@localhost:8080");
    let unknown = proxy("http://localhost:8080");
    let tunnels = |response: &str| {
        [&known, &unknown]
            .map(|it| it.connect_response(response.as_bytes()).map_err(|e| (e.what, e.is_transient)))
    };
    for response in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200\r\nContent-Length: 99\r\n\r\n",
        "HTTP/1.1 299 ä\n\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        for len in 0..response.len() {
            if response.is_char_boundary(len) {
                assert_eq!(tunnels(&response[..len]), [Ok(None), Ok(None)], "{:?}", &response[..len]);
            }
        }
        for more in ["", "\x16\x03", "HTTP/1.1 407 No\r\n\r\n"] {
            let len = Ok(Some(response.len()));
            assert_eq!(tunnels(&format!("{response}{more}")), [len.clone(), len]);
        }
    }
    let (refused, wanted) = ("it refused the user name and password", "it wants a user name and password");
    for (response, with, without, is_transient) in [
        ("HTTP/1.1 403 p4ss\r\n", "it refused to connect (status 403)", "", false),
        ("HTTP/1.1 101 Switching\r\n\r\n", "it refused to connect (status 101)", "", false),
        ("HTTP/1.1 307 Go\r\nLocation: p4ss", "it refused to connect (status 307)", "", false),
        ("HTTP/1.1 408\r\n", "it refused to connect (status 408)", "", true),
        ("HTTP/1.1 429\r\n", "it refused to connect (status 429)", "", true),
        ("HTTP/1.1 500\r\n", "it refused to connect (status 500)", "", true),
        ("HTTP/1.1 501\r\n", "it refused to connect (status 501)", "", false),
        ("HTTP/1.1 100\r\n\r\nHTTP/1.1 502 p4ss\r\n", "it refused to connect (status 502)", "", true),
        ("HTTP/1.1 504\r\n", "it refused to connect (status 504)", "", true),
        ("HTTP/1.1 505\r\n", "it refused to connect (status 505)", "", false),
        ("HTTP/1.1 999\r\n", "it refused to connect (status 999)", "", false),
        ("HTTP/1.1 407 p4ss\r\n", refused, wanted, false),
        ("220 p4ss ESMTP\r\n", "its response is not HTTP", "", false),
        ("HTTP/2 200\r\n", "its response is not HTTP", "", false),
        ("HTTP/1.1 20\r\n", "its response is not HTTP", "", false),
        ("HTTP/1.1 2000\r\n", "its response is not HTTP", "", false),
        ("HTTP/1.1 020\r\n", "its response is not HTTP", "", false),
    ] {
        for (found, what) in tunnels(response).into_iter().zip([with, without]) {
            let (said, is) = found.unwrap_err();
            let what = if what.is_empty() { with } else { what };
            assert!(said.starts_with(what) && is == is_transient, "{response:?}: {said}");
        }
    }
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(MAX_HEAD / 6));
    assert!(tunnels(&endless).iter().all(|it| it.as_ref().is_err_and(|(what, _)| what.contains("too long"))));
    let interim = "HTTP/1.1 100\r\n\r\n".repeat(MAX_HEAD / 16 + 1);
    assert!(tunnels(&interim).iter().all(Result::is_err));
}
