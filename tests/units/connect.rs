//! `src/client/connect.rs`: the response to CONNECT, by tables.
#![allow(clippy::unwrap_used)]

use super::*;

/// A response, how much of it is not yet of the tunnel, or what is said instead of a tunnel.
#[test]
fn only_a_whole_head_of_success_makes_a_tunnel() {
    let tunnel = |response: &str| tunnel_response("the proxy", response.as_bytes());
    for response in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200\r\nContent-Length: 99\r\n\r\n",
        "HTTP/1.1 299 ä\n\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        for len in 0..response.len() {
            if response.is_char_boundary(len) {
                assert_eq!(tunnel(&response[..len]).unwrap(), None, "{:?}", &response[..len]);
            }
        }
        for more in ["", "\x16\x03", "HTTP/1.1 407 No\r\n\r\n"] {
            assert_eq!(tunnel(&format!("{response}{more}")).unwrap(), Some(response.len()));
        }
    }
    for (response, what, is_transient) in [
        ("HTTP/1.1 403 p4ss\r\n", "it refused to connect (status 403)", false),
        ("HTTP/1.1 101 Switching\r\n\r\n", "it refused to connect (status 101)", false),
        ("HTTP/1.1 307 Go\r\nLocation: p4ss", "it refused to connect (status 307)", false),
        ("HTTP/1.1 408\r\n", "it refused to connect (status 408)", true),
        ("HTTP/1.1 429\r\n", "it refused to connect (status 429)", true),
        ("HTTP/1.1 500\r\n", "it refused to connect (status 500)", true),
        ("HTTP/1.1 501\r\n", "it refused to connect (status 501)", false),
        ("HTTP/1.1 100\r\n\r\nHTTP/1.1 502 p4ss\r\n", "it refused to connect (status 502)", true),
        ("HTTP/1.1 504\r\n", "it refused to connect (status 504)", true),
        ("HTTP/1.1 505\r\n", "it refused to connect (status 505)", false),
        ("HTTP/1.1 999\r\n", "it refused to connect (status 999)", false),
        ("HTTP/1.1 407 p4ss\r\n", "it refused the user name and password, or wants one (status 407)", false),
        ("220 p4ss ESMTP\r\n", "its response is not HTTP", false),
        ("HTTP/2 200\r\n", "its response is not HTTP", false),
        ("HTTP/1.1 20\r\n", "its response is not HTTP", false),
        ("HTTP/1.1 2000\r\n", "its response is not HTTP", false),
        ("HTTP/1.1 020\r\n", "its response is not HTTP", false),
    ] {
        let error = tunnel(response).unwrap_err();
        assert_eq!(
            (error.what, error.is_transient),
            (format!("the proxy: {what}"), is_transient),
            "{response:?}"
        );
        assert_eq!(error.kind, Kind::Proxy);
    }
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(MAX_HEAD / 6));
    assert!(tunnel(&endless).is_err_and(|e| e.what.contains("too long")));
    let interim = "HTTP/1.1 100\r\n\r\n".repeat(MAX_HEAD / 16 + 1);
    tunnel(&interim).unwrap_err();
}
