//! `src/client/no_proxy.rs` by tables.
#![allow(clippy::panic)]

use alloc::vec::Vec;

use super::matches;

/// `NO_PROXY`, then hosts that are connected to directly, then hosts that the proxy is asked for: what the table of the
/// documentation leaves out.
const TABLE: &[(&str, &str, &str)] = &[
    ("", "", "a.example:443 127.0.0.1:443 ::1:443"),
    (" , ,\t\n,", "", "a.example:443 10.0.0.1:443"),
    ("*:8443", "a.example:8443 ::1:8443", "a.example:443"),
    (" a.example ,\tb.example\n", "a.example:443 b.example:443", "c.example:443"),
    ("example.com", "a.b.example.com:1 EXAMPLE.com:443", "example.com.org:443 com:443 example:443 ::1:443"),
    ("*.example.com", "a.b.example.com:443", "notexample.com:443"),
    ("EXAMPLE.Com.", "www.example.com.:443", "notexample.com:443"),
    ("localhost", "LOCALHOST:1 a.localhost:443", "::1:443"),
    (".example.com:8443", "www.example.com:8443", "www.example.com:443"),
    ("10.0.0.1:8443", "10.0.0.1:8443", "10.0.0.1:443 10.0.0.2:8443"),
    ("[::1]:8443", "::1:8443", "::1:443"),
    // It may look like an address and a port, and is an address.
    ("fd00::1:443", "fd00::1:443:1", "fd00::1:443"),
    ("10.0.0.0/8:8443", "10.9.9.9:8443", "10.0.0.1:443"),
    ("10.0.0.1", "10.0.0.1.:443", "10.0.0.10:443 a.10.0.0.1:1"),
    ("::ffff:10.0.0.1", "10.0.0.1:443 ::ffff:a00:1:443", "10.0.0.2:443"),
    ("::1", "0:0:0:0:0:0:0:1:1", "::2:443 127.0.0.1:443 localhost:443"),
    ("2001:DB8::A", "2001:db8:0::a:443", "2001:db8::b:443"),
    ("10.0.0.0/8", "10.0.0.0:443 10.255.255.255:1", "11.0.0.0:443 9.255.255.255:443"),
    ("10.1.2.3/8", "10.9.9.9:443", "11.1.2.3:443"),
    ("192.168.1.128/25", "192.168.1.128:443 192.168.1.255:443", "192.168.1.127:443"),
    ("10.0.0.1/32", "10.0.0.1:443", "10.0.0.0:443"),
    ("0.0.0.0/0", "10.0.0.1:443 255.255.255.255:1", "2001:db8::1:443 a.example:443"),
    ("fd00::/8", "fdff:ffff::1:443", "fc00::1:443 fe00:::443 10.0.0.1:443"),
    ("2001:db8::/33", "2001:db8:7fff::1:443", "2001:db8:8000::1:443"),
    ("::/0", "::1:443 ffff:::443", "10.0.0.1:443 a.example:443"),
    ("::ffff:10.0.0.0/104", "10.9.9.9:443", "11.0.0.1:443"),
    // What means nothing is left out, and the rest holds.
    (
        "10.0.0.0/33 fd00::/129 10/8 10.0.0.0/ /8 . *. .. ** *x x* a/b a:b: : :443 http://a.example [::1 a.example:x ,b.example",
        "b.example:443",
        "a.example:443 10.0.0.1:443 fd00::1:443 x:443 a:443 ::1:443",
    ),
];

#[test]
fn no_proxy_is_read_as_its_table_says() {
    for (text, direct, proxied) in TABLE {
        let rows = direct.split(' ').map(|it| (it, true)).chain(proxied.split(' ').map(|it| (it, false)));
        for (host_and_port, expected) in rows.filter(|(it, _)| !it.is_empty()) {
            let (host, port) = host_and_port.rsplit_once(':').unwrap_or_default();
            let found = matches(text, host, port.parse().unwrap_or_default());
            assert_eq!(found, expected, "NO_PROXY={text:?} for {host_and_port}");
        }
    }
}

#[test]
fn no_proxy_is_read_as_the_table_of_the_documentation_says() {
    let text = include_str!("../../docs/proxies.md");
    let (_, table) = text.split_once("## Which hosts").unwrap_or_default();
    let mut rows = 0;
    let lines = table.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    for line in lines.take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, entries, host, expected, ..] = cells.as_slice() else { panic!("{line}") };
        let (host, port) = host.split_once(", port ").unwrap_or((host, "443"));
        let host = match host {
            "any" | "a name" => "a.name.example",
            quoted => quoted.trim_matches(['`', '[', ']']),
        };
        let is_direct = matches(entries.trim_matches('`'), host, port.parse().unwrap_or_default());
        assert_eq!(if is_direct { "direct" } else { "through" }, *expected, "{line}");
        rows += 1;
    }
    assert_eq!(rows, 18);
}
