//! Where requests go and where they never go, when they are repeated, and what a call leaves behind.
#![cfg(all(feature = "client", feature = "ring"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod util;

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portal_backup::{ApiKey, Client, Error, GenerateResponse, Outcome};
use util::certificates::{self, Certificate};
use util::faults::{self, good, response_of};
use util::secrets::{self, KEY};
use util::server::{Connection, Script, Server, header};
use util::{GRACE, TIMEOUT, backup, confirm, tls};

/// Responds to every request on every connection with this, and keeps the connection.
fn responding(response: impl Into<String>) -> Arc<Script> {
    let response = response.into();
    Arc::new(move |c: &mut Connection| {
        loop {
            c.request()?;
            c.send(&response)?;
        }
    })
}

fn closing() -> Arc<Script> {
    Arc::new(|_: &mut Connection| Ok(()))
}

fn closing_after_the_request() -> Arc<Script> {
    Arc::new(|c: &mut Connection| c.request().map(drop))
}

// ---- what is sent

#[test]
fn each_call_is_the_documented_request() {
    let backup_body = serde_json::json!({ "generateResponse": secrets::generate_response() });
    let ids = ["backup-secp-0", "backup-ed-0"];
    let confirm_body = serde_json::json!({ "status": "STORED_CLIENT_BACKUP_SHARE", "backupSharePairIds": ids });
    for tls in [None, tls()] {
        let server = Server::run(tls, responding(response_of(200, &secrets::backup_response(0))));
        let client = util::client(&server);
        drop(backup(&client).unwrap());
        confirm(&client).unwrap();
        let requests = server.requests();
        assert_eq!(requests.len(), 2);
        for (request, (line, expected)) in requests.iter().zip([
            ("POST /v1/backup HTTP/1.1\r\n", &backup_body),
            ("PATCH /api/v3/clients/me/backup-share-pairs HTTP/1.1\r\n", &confirm_body),
        ]) {
            let (head, body) = parts(request);
            assert!(head.starts_with(line), "{head}");
            assert_one_of_each_header(head, &server);
            assert!(serde_json::from_str::<serde_json::Value>(body).unwrap() == *expected, "{line}");
        }
    }
}

fn parts(request: &[u8]) -> (&str, &str) {
    std::str::from_utf8(request).unwrap().split_once("\r\n\r\n").unwrap()
}

#[track_caller]
fn assert_one_of_each_header(head: &str, server: &Server) {
    let mut names: Vec<_> =
        head.lines().skip(1).map(|line| line.split(':').next().unwrap().to_ascii_lowercase()).collect();
    names.sort();
    let expected =
        ["accept", "accept-encoding", "authorization", "content-length", "content-type", "host", "user-agent"];
    assert_eq!(names, expected, "{head}");
    assert_eq!(header(head, "authorization"), Some(&*format!("Bearer {KEY}")));
    assert_eq!(header(head, "content-type"), Some("application/json"));
    assert_eq!(header(head, "host"), Some(&*format!("localhost:{}", server.port())));
}

#[test]
fn a_head_of_any_length_goes_with_the_key_or_not_at_all() {
    let server = Server::start(None, good);
    let (mut fit, mut unfit) = (0, 0);
    for length in (15_800..16_600).step_by(13).chain([1, 8_000, 17_000, 32_768, 40_000]) {
        // With the path a head can be made as long as one likes; a server ignores what is not its.
        let url = format!("{}/{}", server.url(), "p".repeat(length));
        let result = util::builder(&url).build().and_then(|client| backup(&client));
        let outcome = result.as_ref().err().map(Error::outcome);
        assert!(matches!(outcome, None | Some(Outcome::NotSent)), "{length}: {outcome:?}");
        *if result.is_ok() { &mut fit } else { &mut unfit } += 1;
    }
    assert!(fit > 20 && unfit > 10, "{fit} fitted, {unfit} did not");
    for request in server.requests() {
        let (head, _) = parts(&request);
        let keys = head.matches(KEY).count();
        assert_eq!(keys, 1, "a head of {} bytes has the key {keys} times", head.len());
    }
}

// ---- redirects

#[test]
fn no_redirect_is_followed_and_its_host_is_named() {
    let trap = Server::start(None, |_| panic!("somebody came"));
    let port = trap.port();
    for (target, named) in [
        (&*format!("http://127.0.0.1:{port}/v1/backup"), "to 127.0.0.1;"),
        (&format!("https://user:password@localhost:{port}/"), "to localhost;"),
        (&format!("//127.0.0.1:{port}/v1/backup"), "to 127.0.0.1;"),
        ("HTTPS://Other.Example:8443/", "to Other.Example;"),
        ("/v1/elsewhere", "to the same host;"),
        ("?again", "to the same host;"),
        ("https://[::1", "to an invalid address;"),
        ("https://other.example/with space", "to an invalid address;"),
    ] {
        for status in [300, 301, 302, 303, 305, 307, 308] {
            let head = format!("HTTP/1.1 {status} Gone\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
            let server = Server::run(tls(), responding(head));
            let client = util::client(&server);
            for error in [backup(&client).unwrap_err(), confirm(&client).unwrap_err()] {
                let line = error.to_string();
                assert_eq!(error.outcome(), Outcome::Refused, "{line}");
                assert!(line.contains(&format!("status {status}")) && line.contains(named), "{target}: {line}");
                assert!(!line.contains("password"), "{line}");
            }
            assert_eq!(server.requests().len(), 2, "{status} to {target}");
        }
    }
    assert_eq!(trap.connections(), 0);
}

// ---- URLs

#[test]
fn plain_http_goes_to_loopback_only() {
    let urls = "http://localhost.example.com http://localhost. http://localhost.localdomain \
        http://127.0.0.1.nip.io http://127.0.0.1. http://0x7f.1 http://0x7f000001 http://2130706433 \
        http://127.1 http://0177.0.0.1 http://0.0.0.0 http://[::] http://[::ffff:127.0.0.1] \
        http://[::ffff:10.0.0.1] http://[fe80::1%25lo] http://128.0.0.1 http://126.255.255.255 \
        http://mpc-client.portalhq.io http://xn--localhost-0000 http://localhos\u{2130} http://ⓛocalhost \
        http://%6cocalhost http://localhost%2eexample.com http://localhost%00.example.com \
        HTTP://example.com http:localhost http:///localhost http:// ftp://localhost file:///etc/passwd \
        ws://localhost localhost //localhost http://localhost:0 http://localhost:99999 http://localhost:";
    for url in urls.split(' ').chain(["", " http://localhost", "http://localhost ", "http://local\thost"]) {
        assert_refused(url);
    }
    let urls = "http://localhost http://LOCALHOST:8080/ http://127.0.0.1:8080 http://127.255.255.254/prefix \
        http://[::1]:8080 https://example.com https://example.com:8443/prefix/ HTTPS://example.com \
        https://10.0.0.1 https://[2001:db8::1]:8443";
    for url in urls.split(' ') {
        let built = Client::builder(ApiKey::new(KEY).unwrap()).base_url(url).client_api_url(url).build();
        assert!(built.is_ok(), "{url}: {}", built.unwrap_err());
    }
}

#[test]
fn user_names_and_passwords_in_urls_are_refused_and_not_shown() {
    let urls = "https://user@example.com https://user:password@example.com https://@example.com \
        https://:password@example.com http://127.0.0.1@evil.example http://localhost@evil.example \
        http://localhost:80@evil.example http://localhost#@evil.example http://localhost?@evil.example \
        http://localhost/@evil.example http://localhost\\@evil.example http://evil.example\\@localhost \
        https://example.com/?key=password https://example.com/#password";
    urls.split(' ').for_each(assert_refused);
}

/// In both settings, before anything is sent.
#[track_caller]
fn assert_refused(url: &str) {
    let builder = || Client::builder(ApiKey::new(KEY).unwrap());
    for (setting, builder) in [("base_url", builder().base_url(url)), ("client_api_url", builder().client_api_url(url))]
    {
        let error = builder.build().err().unwrap_or_else(|| panic!("{setting} {url:?} was taken"));
        assert!(matches!(error, Error::InvalidInput(_)), "{url}: {error:?}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{url}");
        let line = format!("{error} {error:?}");
        assert!(line.contains(setting), "{url}: {line}");
        for part in ["user", "password", "evil"] {
            // The words of the advice itself aside.
            let line = line.replace("no user name, password, query", "");
            assert!(!line.contains(part), "{url}: {line}");
        }
    }
}

// ---- repetitions

#[test]
fn a_request_that_did_not_leave_is_sent_as_often_as_was_allowed() {
    for attempts in [1, 2, 4] {
        let server = Server::run(tls(), closing());
        let client = util::builder(&server.url()).attempts(attempts).timeout(Duration::from_secs(20)).build().unwrap();
        let error = backup(&client).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        assert_eq!(server.connections(), attempts as usize);
    }
}

#[test]
fn a_refused_connection_is_tried_again() {
    let port = faults::ClosedPort::new();
    let client = util::builder(&format!("https://127.0.0.1:{}", port.number())).attempts(4).build().unwrap();
    let start = Instant::now();
    assert_eq!(backup(&client).unwrap_err().outcome(), Outcome::NotSent);
    // Nobody counts these tries, but there are pauses of 0.1, 0.2 and 0.4 s between them.
    assert!(start.elapsed() >= Duration::from_millis(700), "{:?}", start.elapsed());
}

#[test]
fn a_backup_is_not_sent_again_on_another_connection_when_the_kept_one_breaks() {
    // The first call is responded to; its connection breaks under the second.
    let server = Server::in_turn(
        tls(),
        vec![
            Arc::new(|c: &mut Connection| {
                good(c)?;
                c.request().map(drop)
            }),
            Arc::new(good),
        ],
    );
    let client = util::client(&server);
    drop(backup(&client).unwrap());
    let error = backup(&client).unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert_eq!((server.connections(), server.requests().len()), (1, 2));
}

fn too_many(retry_after: &str) -> String {
    response_of(429, "{}").replacen("\r\n", &format!("\r\nRetry-After: {retry_after}\r\n"), 1)
}

#[test]
fn a_429_whose_pause_does_not_fit_or_means_nothing_is_told_at_once() {
    // No time to wait for.
    let past = "Fri, 31 Dec 1999 23:59:59 GMT";
    let too_long = ["100", "2", "4294967295", "99999999999999999999", "Fri, 31 Dec 2100 23:59:59 GMT"];
    let meaningless = ["", "soon", "-1", "1.5", "Fri, 31 Dec 1999 23:59:59 UTC"];
    for retry_after in too_long.into_iter().chain(meaningless).chain([past]) {
        let requests = if retry_after == past { 3 } else { 1 };
        let server = Server::run(tls(), responding(too_many(retry_after)));
        let client = util::client(&server);
        let start = Instant::now();
        for error in [backup(&client).unwrap_err(), confirm(&client).unwrap_err()] {
            assert!(matches!(error, Error::Refused(_)), "{retry_after}: {error}");
            let pause = error.retry_after().unwrap_or(TIMEOUT);
            assert_eq!(pause >= TIMEOUT, requests == 1, "{retry_after}: {pause:?}");
        }
        assert!(start.elapsed() < TIMEOUT, "{retry_after}: {:?}", start.elapsed());
        assert_eq!(server.requests().len(), 2 * requests, "{retry_after}");
    }
}

#[test]
fn a_confirmation_passes_after_a_5xx_or_a_broken_connection() {
    let confirmed = || responding("HTTP/1.1 204 No Content\r\n\r\n");
    let unavailable = response_of(503, "{}").replacen("\r\n", "\r\nConnection: close\r\nRetry-After: 0\r\n", 1);
    let closed: Arc<Script> = Arc::new(move |c: &mut Connection| {
        c.request()?;
        c.send(&unavailable)
    });
    let cut: Arc<Script> = Arc::new(|c: &mut Connection| {
        c.request()?;
        c.send("HTTP/1.1 20")
    });
    for first in [closing(), closing_after_the_request(), closed, cut] {
        let server = Server::in_turn(tls(), vec![first.clone(), first, confirmed()]);
        confirm(&util::client(&server)).unwrap();
        assert_eq!(server.connections(), 3);
    }
}

#[test]
fn a_confirmation_that_may_have_arrived_is_unknown_whatever_its_repetition_ended_with() {
    for (first, words) in [
        (responding(response_of(500, "{}")), "status 500; "),
        (closing_after_the_request(), "localhost: the connection was closed; "),
    ] {
        for then in [closing(), responding(response_of(401, "{}"))] {
            let server = Server::in_turn(tls(), vec![first.clone(), then.clone(), then]);
            let client = util::builder(&server.url()).keep_alive(Duration::ZERO).build().unwrap();
            let error = confirm(&client).unwrap_err();
            assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
            assert!(server.connections() > 1);
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_request_whose_end_is_not_read_does_not_outlast_its_deadline() {
    let text = secrets::large_generate_response();
    let stalling = |c: &mut Connection| {
        c.part_of_request(1)?;
        c.stall()
    };
    // How much the kernels take is then much the same each time.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 4096).unwrap();
    let server = Server::listen(listener, tls(), Arc::new(stalling));
    let call_all = |lengths: Vec<usize>| {
        util::in_parallel(lengths.clone(), lengths.len(), |len| {
            // The shares are at the end, white space at the beginning.
            let text = format!("{{{}", &text[text.len() - len / 2..]);
            let client = util::client(&server);
            let start = Instant::now();
            let error = client.backup(&GenerateResponse::parse(&text).unwrap()).unwrap_err();
            assert!(start.elapsed() < TIMEOUT + GRACE, "{len} bytes: {:?}", start.elapsed());
            (error.outcome(), len)
        })
    };
    let rough = call_all((500_000..8_000_000).step_by(250_000).collect());
    // Of a body of about this length, the buffers of the kernels take all but the last record.
    let sent = rough.iter().filter(|(outcome, _)| *outcome == Outcome::Unknown).map(|(_, len)| *len);
    let max_len = sent.max().unwrap();
    call_all((max_len - 50_000..max_len + 300_000).step_by(12_000).collect());
}

#[test]
fn repetitions_end_with_the_deadline() {
    let server = Server::run(tls(), responding(response_of(500, "{}")));
    let client = util::builder(&server.url()).attempts(100).build().unwrap();
    let start = Instant::now();
    let error = confirm(&client).unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert!(matches!(error, Error::Failed(_)), "the last response is told: {error:?}");
    assert!(start.elapsed() < TIMEOUT + GRACE, "{:?}", start.elapsed());
    // 0.1, 0.2, 0.4 and 0.8 s of pauses fit.
    assert!((4..=5).contains(&server.requests().len()), "{} tries", server.requests().len());
}

#[test]
fn a_connection_that_takes_too_long_to_make_is_given_up_and_tried_again() {
    let stall: Arc<Script> = Arc::new(Connection::stall);
    let server = Server::in_turn(tls(), vec![stall.clone(), stall, Arc::new(good)]);
    let client = |attempts| {
        let client = util::builder(&server.url()).timeout(Duration::from_secs(20)).attempts(attempts);
        client.connect_timeout(Duration::from_millis(500)).build().unwrap()
    };
    let start = Instant::now();
    assert_eq!(util::kind_of(&backup(&client(1)).unwrap_err()), portal_backup::TransportErrorKind::Timeout);
    assert_eq!(backup(&client(2)).unwrap().expose_json(), secrets::backup_response(2));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!((server.connections(), server.requests().len()), (3, 1));
}

/// What lies unread meanwhile is no response: the tickets of TLS 1.3, an interim response.
#[test]
fn a_server_that_pauses_within_the_request_gets_all_of_it() {
    let trusted = Certificate::Trusted;
    let pairs = [
        (Some(certificates::server_config(trusted)), ""),
        (Some(certificates::server_config(trusted)), "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 1"),
        (Some(certificates::tls12_server_config(trusted)), "HTTP/1.1 100 Continue\r\n\r\n"),
        (None, "HTTP/1.1 103 Early Hints\r\n\r\n"),
    ];
    std::thread::scope(|scope| {
        for (tls, early) in pairs {
            scope.spawn(move || {
                // So little that the kernels of both ends cannot take the whole request.
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                #[cfg(target_os = "linux")]
                rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 8 << 10).unwrap();
                let script = move |c: &mut Connection| {
                    c.part_of_request(64 << 10)?;
                    c.send(early)?;
                    c.raw().pause(Duration::from_secs(5))?;
                    c.request()?;
                    let rest = if early.ends_with('1') { "02 Processing\r\n\r\n" } else { "" };
                    c.send(rest.to_string() + &response_of(200, &secrets::backup_response(0)))
                };
                let server = Server::listen(listener, tls, Arc::new(script));
                let client = util::builder(&server.url()).timeout(Duration::from_secs(40)).build().unwrap();
                let shares =
                    client.backup(&GenerateResponse::parse(secrets::large_generate_response()).unwrap()).unwrap();
                assert_eq!(shares.expose_json(), secrets::backup_response(0));
                assert_eq!(server.connections(), 1);
            });
        }
    });
}

// ---- processes that are stopped

/// What the child of the next test does.
#[test]
#[ignore = "the child of another test"]
#[cfg(target_os = "linux")]
fn child_that_makes_one_call() {
    let variable = |name| std::env::var(name).unwrap();
    let client = util::builder(&variable("PORTAL_TEST_URL")).root_certs_pem(variable("PORTAL_TEST_ROOTS"));
    let client = client.timeout(Duration::from_secs(1)).build().unwrap();
    let result = match &*variable("PORTAL_TEST_CALL") {
        "backup" => backup(&client).map(drop),
        _ => confirm(&client),
    };
    println!("SAID {:?}", result.map_err(|e| e.to_string()));
}

/// Ctrl-Z, a laptop that is closed, a container that is paused.
#[test]
#[cfg(target_os = "linux")]
fn a_response_that_arrived_while_the_process_was_stopped_past_its_deadline_is_read() {
    use std::process::{Command, Stdio};
    use std::sync::atomic::{AtomicBool, Ordering};

    let calls = ["backup", "confirm"].into_iter().flat_map(|call| [(call, tls()), (call, None)]);
    util::in_parallel(calls.collect(), 4, |(call, tls)| {
        let (is_stopped, response) = (Arc::new(AtomicBool::new(false)), secrets::backup_response(0));
        let waits_for = is_stopped.clone();
        let server = Server::start(tls, move |c| {
            c.request()?;
            util::wait_for("the stop", || waits_for.load(Ordering::SeqCst));
            // More than one read takes.
            let body = if call == "backup" { &response } else { "{}" };
            c.send(response_of(200, &format!("{body}{}", " ".repeat(40_000))))?;
            c.silence()
        });
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "child_that_makes_one_call"])
            .env("PORTAL_TEST_CALL", call)
            .env("PORTAL_TEST_URL", server.url())
            .env("PORTAL_TEST_ROOTS", certificates::root_pem())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let signal = |name| {
            let pid = child.id().to_string();
            assert!(Command::new("kill").args([name, &*pid]).status().unwrap().success());
        };
        util::wait_for("the request", || !server.requests().is_empty());
        signal("-STOP");
        util::wait_for("the stop", || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
            stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
        });
        is_stopped.store(true, Ordering::SeqCst);
        std::thread::sleep(Duration::from_secs(2));
        signal("-CONT");
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("SAID Ok(())"), "{call}: {said}");
    });
}

// ---- connections that are kept

#[test]
fn a_connection_serves_the_next_call() {
    for tls in [None, tls()] {
        let server = Server::run(tls, responding(response_of(200, &secrets::backup_response(0))));
        let client = util::client(&server);
        for client in [&client, &client.clone(), &client] {
            drop(backup(client).unwrap());
            confirm(client).unwrap();
        }
        assert_eq!((server.connections(), server.requests().len()), (1, 6));
    }
}

#[test]
fn keep_alive_of_zero_keeps_no_connection() {
    let server = Server::run(tls(), responding(response_of(200, &secrets::backup_response(0))));
    let client = util::builder(&server.url()).keep_alive(Duration::ZERO).build().unwrap();
    drop(backup(&client).unwrap());
    server.wait_for_closed(1);
    drop(backup(&client).unwrap());
    server.wait_for_closed(2);
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_connection_that_the_service_closed_is_not_used_again() {
    let closes: [fn(&mut Connection) -> io::Result<()>; 3] = [
        good,
        |c| {
            good(c)?;
            c.close_notify()
        },
        |c| {
            c.will_reset();
            good(c)
        },
    ];
    for close in closes {
        for tls in [None, tls()] {
            let server = Server::start(tls, close);
            let client = util::client(&server);
            for number in 0..3 {
                let shares = backup(&client).unwrap();
                assert_eq!(shares.expose_json(), secrets::backup_response(number));
                server.wait_for_closed(number + 1);
            }
            assert_eq!(server.connections(), 3);
        }
    }
}

#[test]
fn what_comes_behind_a_response_is_never_taken_for_the_next_one() {
    // Of several lengths: what is left over may be in any of the buffers of ureq, rustls and this crate.
    for (len, more_len) in [(5, 5), (5, 6_000), (5, 15_000), (6_000, 5), (15_000, 5), (15_000, 15_000)] {
        // In one TLS record; or in two and most likely one segment of TCP, the second whole or not.
        for missing in [None, Some(0), Some(100)] {
            let script: Arc<Script> = Arc::new(move |c: &mut Connection| {
                c.request()?;
                let response = response_of(200, &secrets::backup_response_of(len, c.number));
                let forged = response_of(200, &secrets::backup_response_of(more_len, 666));
                match missing {
                    None => c.send(response + &forged)?,
                    Some(missing) => c.send_together(&[&response, &forged], missing)?,
                }
                c.silence()
            });
            for tls in [None, tls(), Some(certificates::tls12_server_config(Certificate::Trusted))] {
                let server = Server::run(tls, script.clone());
                let client = util::client(&server);
                for number in 0..3 {
                    let shares = backup(&client).unwrap();
                    let (found, sent) = (shares.share_pair_ids()[0], format!("backup-secp-{number}"));
                    assert_eq!(found, sent, "{len} and {more_len} bytes, {missing:?}");
                }
            }
        }
    }
}

// ---- what is left behind

/// What the child of the next test does: every call, with a deadline that is short for those that last.
#[test]
#[ignore = "the child of another test"]
#[cfg(target_os = "linux")]
fn child_that_calls_them_all() {
    let calls = std::env::var("PORTAL_TEST_CALLS").unwrap();
    let roots = std::env::var("PORTAL_TEST_ROOTS").unwrap();
    let count = |what: &str| std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    let before = (count("task"), count("fd"));
    util::in_parallel(calls.split_whitespace().collect(), 4, |call| {
        let (millis, url) = call.split_once('=').unwrap();
        let client = Client::builder(ApiKey::new(KEY).unwrap())
            .base_url(url)
            .root_certs_pem(&roots)
            .timeout(Duration::from_millis(millis.parse().unwrap()))
            .build()
            .unwrap();
        drop(backup(&client));
    });
    // A thread that was told to end may be counted a little longer.
    let start = Instant::now();
    while count("task") > before.0 && start.elapsed() < Duration::from_secs(5) {
        std::thread::yield_now();
    }
    let after = (count("task"), count("fd"));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("LEFT {} {} {}", after.0 - before.0, after.1 - before.1, most.trim().trim_end_matches(" kB"));
}

#[test]
#[cfg(target_os = "linux")]
fn no_fault_takes_much_memory_or_leaves_a_thread_or_a_file_behind() {
    let table = faults::all().into_iter().filter(|fault| !fault.is_large);
    let stages: Vec<_> = table.map(|fault| (if fault.lasts { 300 } else { 5000 }, fault.stage())).collect();
    let calls: Vec<_> = stages.iter().map(|(millis, stage)| format!("{millis}={}", stage.url)).collect();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "child_that_calls_them_all"])
        .env("PORTAL_TEST_CALLS", calls.join(" "))
        .env("PORTAL_TEST_ROOTS", certificates::root_pem())
        .output()
        .unwrap();
    let stdout = String::from_utf8(child.stdout).unwrap();
    let Some((_, left)) = stdout.lines().find_map(|line| line.split_once("LEFT ")) else {
        panic!("the child failed: {stdout} {}", String::from_utf8_lossy(&child.stderr));
    };
    let numbers: Vec<usize> = left.split(' ').map(|number| number.parse().unwrap()).collect();
    println!("{} faults, four at a time: threads, files and KiB: {numbers:?}", calls.len());
    // The one thread is a name lookup that the operating system does not give up.
    assert!(numbers[0] <= 1, "{} threads are left", numbers[0]);
    assert_eq!(numbers[1], 0, "files are left");
    assert!(numbers[2] < 32 << 10, "{} KiB were used", numbers[2]);
}

/// A status decides: what a body that never ends could add is waited for a few seconds, and repetitions are not lost.
#[test]
fn a_status_is_not_held_up_by_a_body_that_never_ends() {
    let endless = |head: &'static str| -> Arc<Script> {
        Arc::new(move |c: &mut Connection| {
            c.request()?;
            c.send(format!("HTTP/1.1 {head}\r\nContent-Length: 100\r\n\r\n"))?;
            c.silence()
        })
    };
    let client = |server: &Server, attempts| {
        util::builder(&server.url()).timeout(Duration::from_secs(60)).attempts(attempts).build().unwrap()
    };
    let in_time = |what: &str, act: &dyn Fn()| {
        let start = Instant::now();
        act();
        assert!(start.elapsed() < Duration::from_secs(8), "{what} took {:?}", start.elapsed());
    };
    let too_many = "429 Too Many Requests\r\nRetry-After: 1";
    let heads = ["400 Bad Request", "401 Unauthorized", "500 Internal Server Error", "200 OK", too_many];
    let cases = heads.into_iter().flat_map(|head| ["backup", "confirm", "repeated"].map(|call| (head, call)));
    util::in_parallel(cases.collect(), 15, |(head, call)| {
        let outcome = if head.starts_with('4') { Outcome::Refused } else { Outcome::Unknown };
        let (what, server) = (format!("{call}: {head}"), Server::run(tls(), endless(head)));
        match call {
            "backup" if head != "200 OK" => in_time(&what, &|| {
                assert_eq!(backup(&client(&server, 1)).unwrap_err().outcome(), outcome, "{head}");
            }),
            "confirm" => in_time(&what, &|| {
                let error = confirm(&client(&server, 1)).unwrap_err();
                assert_eq!(error.outcome(), outcome, "{head}");
                assert_eq!(matches!(error, Error::Unreadable(_)), head == "200 OK", "{error}");
            }),
            "repeated" if !head.starts_with("40") => in_time(&what, &|| {
                let confirmed = responding("HTTP/1.1 204 No Content\r\n\r\n");
                confirm(&client(&Server::in_turn(tls(), vec![endless(head), confirmed]), 3)).unwrap();
            }),
            _ => {}
        }
    });
    let server = Server::in_turn(tls(), vec![endless(too_many), Arc::new(good)]);
    let start = Instant::now();
    in_time("a backup that is repeated", &|| drop(backup(&client(&server, 3)).unwrap()));
    assert!(start.elapsed() >= Duration::from_secs(1), "the pause that was asked for is kept");
}

#[test]
fn a_response_of_little_but_chunk_sizes_is_said_to_be_one() {
    let server = Server::start(None, |c| {
        c.request()?;
        c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        c.endless("1\r\nx\r\n".repeat(100).as_bytes())
    });
    let e = backup(&util::builder(&server.url()).max_response_bytes(64 << 10).build().unwrap()).unwrap_err();
    assert!(e.to_string().contains("too much came around its body"), "{e}");
}
