//! What a curious logger sees: neither key nor shares. A binary of its own, since a logger is for the process.
#![cfg(all(feature = "client", feature = "ring"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod util;

use std::time::Duration;

use log::LevelFilter;
use portal_backup::GenerateResponse;
use util::certificates::{self, Certificate};
use util::faults::{self, Fault};
use util::logger::Logging;
use util::secrets;
use util::server::{Connection, Server};

fn confirmed(c: &mut Connection) -> std::io::Result<()> {
    c.request()?;
    c.send("HTTP/1.1 204 No Content\r\n\r\n")
}

/// Both calls against every fault that does not only wait, and against the service as it should be.
fn call_everything() {
    // ureq logs the `Content-Type` of a response as it is, and at TRACE the `Location`: a service that puts the key
    // there is left out, since it has the key and nobody but its client would read it there.
    let echoes_in_headers = |fault: &Fault| fault.name.contains("in each header");
    let mut quick = faults::all();
    quick.retain(|fault| !fault.lasts && !fault.is_large && !echoes_in_headers(fault));
    util::in_parallel(quick, 4, |fault: Fault| {
        let stage = fault.stage();
        let client = util::builder(&stage.url).build().unwrap();
        let response = client.backup(&GenerateResponse::parse(fault.generate_response()).unwrap());
        let Ok(shares) = response else { return };
        let stored = shares.store(|_| Ok::<_, ()>(())).unwrap();
        // Most of these take one connection only.
        let _ = client.confirm(&stored);
    });
    let server = Server::start(Some(certificates::server_config(Certificate::Trusted)), confirmed);
    util::client(&server).confirm(&util::stored()).unwrap();
}

#[track_caller]
fn assert_no_secret(logging: &Logging) {
    let lines = logging.lines();
    assert!(lines.iter().any(|line| line.contains("POST")), "nothing was logged");
    println!("{} lines", lines.len());
    secrets::assert_none_in("the log", &lines.join("\n"));
}

#[test]
fn a_log_at_debug_holds_neither_key_nor_shares() {
    let logging = Logging::start(&[("", LevelFilter::Debug)]);
    call_everything();
    assert_no_secret(&logging);
}

#[test]
fn a_log_at_trace_of_all_but_ureq_proto_holds_neither_key_nor_shares() {
    let logging = Logging::start(&[("", LevelFilter::Trace), ("ureq_proto", LevelFilter::Debug)]);
    call_everything();
    assert_no_secret(&logging);
}

#[test]
fn a_connection_that_is_opened_is_logged_with_its_address_proxy_tls_version_and_time() {
    let tls = |config| Server::start(Some(config), confirmed);
    let (new, old) = (certificates::server_config, certificates::tls12_server_config);
    let servers = [tls(new(Certificate::Trusted)), tls(old(Certificate::Trusted)), Server::start(None, confirmed)];
    let port = servers[0].port();
    let proxy = Server::start(None, move |c| {
        c.request()?;
        c.send("HTTP/1.1 200 OK\r\n\r\n")?;
        c.tunnel(port).map(drop)
    });
    let direct = |server: &Server| (util::builder(&server.url()), format!("127.0.0.1:{}", server.port()), "");
    let suffix = format!(" through the proxy localhost:{}", proxy.port());
    let proxied = util::builder(&servers[0].url()).proxy(format!("http://a:p4ss@localhost:{}", proxy.port()));
    for ((builder, address, suffix), tls) in [
        (direct(&servers[0]), ", TLS 1.3"),
        (direct(&servers[1]), ", TLS 1.2"),
        (direct(&servers[2]), ""),
        ((proxied, format!("127.0.0.1:{}", proxy.port()), &*suffix), ", TLS 1.3"),
    ] {
        let logging = Logging::start(&[("portal_backup", LevelFilter::Debug)]);
        builder.build().unwrap().confirm(&util::stored()).unwrap();
        let begins = format!("DEBUG portal_backup connected to localhost ({address}{tls}){suffix} in ");
        let lines = logging.lines();
        let time = lines.iter().find_map(|line| line.strip_prefix(&begins)?.strip_suffix(" ms"));
        assert!(time.is_some_and(|it| it.parse::<u32>().is_ok()), "{begins}: {lines:?}");
    }
}

#[test]
fn what_is_sent_and_what_came_of_it_is_logged_and_why_the_next_attempt_waits() {
    let turns: [&str; 4] = [
        "HTTP/1.1 429 \r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 \r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\n<",
        "HTTP/1.1 204 \r\n\r\n",
    ];
    let server = Server::start(None, move |c| {
        // What cannot be read is the end of a connection.
        for response in &turns[3 * c.number.min(1)..] {
            c.request()?;
            c.send(response)?;
        }
        c.silence()
    });
    let client = util::builder(&server.url()).attempts(4).timeout(Duration::from_secs(20)).build().unwrap();
    let logging = Logging::start(&[("portal_backup", LevelFilter::Debug)]);
    client.confirm(&util::stored()).unwrap();
    let lines = logging.lines();
    let at = |level: &str| lines.iter().filter(|line| line.starts_with(level)).collect::<Vec<_>>();
    let waits = ["1 s: the service said 429", "0.2 s: the service said 503", "0.4 s: the response could not be read"];
    assert_eq!(at("INFO"), waits.map(|wait| format!("INFO portal_backup waiting {wait}")).iter().collect::<Vec<_>>());
    let sent =
        format!("DEBUG portal_backup sending PATCH {}/api/v3/clients/me/backup-share-pairs, 92 bytes", server.url());
    assert_eq!(lines.iter().filter(|line| **line == sent).count(), 4, "{lines:?}");
    for status in [429, 503, 200, 204] {
        let begins = format!("DEBUG portal_backup status {status} after ");
        assert!(lines.iter().any(|line| line.starts_with(&begins) && line.ends_with(" ms")), "{lines:?}");
    }
}

#[test]
fn a_connection_that_breaks_is_logged_with_its_host_before_the_next_attempt() {
    let server = Server::start(None, |c| if c.number == 0 { c.request().map(drop) } else { confirmed(c) });
    let logging = Logging::start(&[("portal_backup", LevelFilter::Info)]);
    util::client(&server).confirm(&util::stored()).unwrap();
    assert_eq!(logging.lines(), ["INFO portal_backup waiting 0.1 s: localhost: the connection was closed"]);
}
