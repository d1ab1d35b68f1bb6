//! A name with addresses of which some do not work, in a network of its own.
//!
//! The test binary starts itself again in new namespaces of network and mounts, with addresses that swallow packets and
//! an `/etc/hosts` of its own. That takes root, or a system on which everybody may make user namespaces.
#![cfg(all(feature = "client", feature = "ring", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod util;

use std::env;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener, ToSocketAddrs as _, UdpSocket};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portal_backup::Client;
use util::certificates::{self, Certificate};
use util::faults::good;
use util::server::{Connection, Server};

/// The name that the certificate is for.
const NAME: &str = "other.example";

/// What is sent to a neighbour that nobody is, is swallowed.
const SETUP: &str = r#"
set -eu
mount --bind "$NETWORK_FOLDER/hosts" /etc/hosts
mount --bind "$NETWORK_FOLDER/resolv.conf" /etc/resolv.conf
mount --bind "$NETWORK_FOLDER/nsswitch.conf" /etc/nsswitch.conf
ip link set lo up
ip link add here type veth peer name there
ip link set there up
ip link set here up
ip address add 198.51.100.1/24 dev here
ip address add 198.51.100.2/24 dev here
ip address add 2001:db8::1/64 dev here nodad
# The resolver puts an address last that is on its way out.
ip address add 2001:db8:9::1/64 dev here nodad preferred_lft 0
for i in 1 2 3 4; do
    ip neighbour add 2001:db8::d$i lladdr 02:00:00:00:00:0d dev here nud permanent
    ip neighbour add 198.51.100.10$i lladdr 02:00:00:00:00:0d dev here nud permanent
done
# All of these are this machine, and nobody listens there.
ip -6 route add local 2001:db8:5::/64 dev lo
# The resolver, which asks for a way without TCP, would put an address last to which there is none at all.
ip -6 route add 2001:db8:7::/64 dev here
ip -6 rule add to 2001:db8:7::/64 ipproto tcp unreachable
exec timeout 60 "$@"
"#;

const DEAD_6: [&str; 4] = ["2001:db8::d1", "2001:db8::d2", "2001:db8::d3", "2001:db8::d4"];
const DEAD_4: &str = "198.51.100.101";
const REFUSES_6: &str = "2001:db8:5::1";
const REFUSES_4: &str = "198.51.100.2";
const UNREACHABLE: &str = "2001:db8:7::1";
const GOOD_4: &str = "198.51.100.1";
const GOOD_6: &str = "2001:db8:9::1";

/// Does a job for a name with these addresses, in the order in which the operating system has them: what came of it, and
/// how long it took. `None` where there are no namespaces.
fn job(addresses: &[&str], connect_timeout: Duration, environment: &[(&str, &str)]) -> Option<(String, Duration)> {
    let ways: [&[&str]; 2] = [&["--net", "--mount"], &["--user", "--map-root-user", "--net", "--mount"]];
    let works = |way: &&&[&str]| {
        let tried = Command::new("unshare")
            .args(**way)
            .args(["ip", "link", "add", "try", "type", "veth"])
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    };
    let Some(way) = ways.iter().find(works) else {
        println!("skipped: no network of its own can be had here");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<_> = addresses.iter().map(|address| format!("{address} {NAME}\n")).collect();
    for (name, text) in [
        ("hosts", &*lines.concat()),
        ("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"),
        ("nsswitch.conf", "hosts: files dns\n"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let output = Command::new("unshare")
        .args(*way)
        .args(["sh", "-c", SETUP, "sh"])
        .arg(env::current_exe().unwrap())
        .args(["a_job_in_a_network_of_its_own", "--exact", "--ignored", "--nocapture"])
        .env("NETWORK_FOLDER", folder.path())
        .env("NETWORK_ADDRESSES", addresses.join(" "))
        .env("NETWORK_LISTEN", addresses.iter().find(|it| [GOOD_4, GOOD_6].contains(it)).unwrap_or(&""))
        .env("NETWORK_CONNECT_TIMEOUT", connect_timeout.as_millis().to_string())
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let said = stdout.lines().find_map(|line| line.split_once("SAYS "));
    let Some((_, said)) = said.filter(|_| output.status.success()) else {
        panic!("the child failed: {stdout} {}", String::from_utf8_lossy(&output.stderr));
    };
    println!("{} addresses: {said}", addresses.len());
    let (millis, said) = said.split_once(" ms: ").unwrap();
    Some((said.into(), Duration::from_millis(millis.parse().unwrap())))
}

fn service(c: &mut Connection) -> io::Result<()> {
    loop {
        good(c)?;
    }
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
#[ignore = "the child of the other tests"]
fn a_job_in_a_network_of_its_own() {
    let (Ok(listen), Ok(millis)) = (env::var("NETWORK_LISTEN"), env::var("NETWORK_CONNECT_TIMEOUT")) else {
        return;
    };
    let connect_timeout = Duration::from_millis(millis.parse().unwrap());
    if let Ok(url) = env::var("NETWORK_URL") {
        assert!(thread::Builder::new().spawn(|| ()).is_err(), "there are threads to be had");
        let root = fs::read(root_file()).unwrap();
        return println!("\nSAYS {}", timed(&client(&url, connect_timeout, &root)));
    }
    fs::write(root_file(), certificates::root_pem()).unwrap();
    let serve = |ip: IpAddr, port| {
        let tls = certificates::server_config(Certificate::OtherName);
        Server::listen(TcpListener::bind((ip, port)).unwrap(), Some(tls), Arc::new(service))
    };
    let server = listen.parse::<IpAddr>().ok().map(|ip| serve(ip, 0));
    let port = server.as_ref().map_or(443, Server::port);
    let url = format!("https://{NAME}:{port}");
    let queries = env::var("NETWORK_DNS").ok().map(|how| fake_resolver(&how));
    if queries.is_none() {
        let found = (NAME, 0).to_socket_addrs().unwrap().map(|it| it.ip().to_string());
        assert_eq!(found.collect::<Vec<_>>().join(" "), env::var("NETWORK_ADDRESSES").unwrap());
    }
    if let Some(stack) = env::var_os("NETWORK_MIN_STACK") {
        let output = Command::new(env::current_exe().unwrap())
            .args(["a_job_in_a_network_of_its_own", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env("NETWORK_URL", url)
            .env("RUST_MIN_STACK", stack)
            .output()
            .unwrap();
        return println!("\n{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    }
    let revived = env::var_os("NETWORK_REVIVED").map(|_| {
        thread::spawn(move || {
            // The last address is tried by then; the next packet to the first leaves after a second.
            thread::sleep(Duration::from_millis(500));
            let added = Command::new("ip").args(["address", "add", DEAD_6[0], "dev", "here", "nodad"]).status();
            assert!(added.unwrap().success());
            serve(DEAD_6[0].parse().unwrap(), port)
        })
    });
    // The second address, which is not to be tried before the first had its time.
    let second = env::var_os("NETWORK_SECOND").map(|_| TcpListener::bind((GOOD_6, port)).unwrap());
    let before = threads();
    let start = Instant::now();
    let client = client(&url, connect_timeout, certificates::root_pem().as_bytes());
    let mut said = timed(&client);
    drop(client);
    if let Some(second) = second {
        second.set_nonblocking(true).unwrap();
        assert_eq!(second.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
    drop(revived.map(|server| server.join().unwrap()));
    // Whatever address is still waited for, it is given up when the time to connect is up.
    let since = start + connect_timeout + Duration::from_secs(1);
    while threads() > before && Instant::now() < since {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(threads() <= before, "{} threads are left", threads() - before);
    if let Some(queries) = queries {
        said += &format!(" ({} queries)", queries.load(Ordering::SeqCst));
    }
    println!("\nSAYS {said}");
}

fn client(url: &str, connect_timeout: Duration, root: &[u8]) -> Client {
    let attempts = if env::var_os("NETWORK_DNS").is_some() { 3 } else { 1 };
    util::builder(url)
        .root_certs_pem(root)
        .timeout(Duration::from_secs(20))
        .connect_timeout(connect_timeout)
        .attempts(attempts)
        .build()
        .unwrap()
}

fn root_file() -> PathBuf {
    Path::new(&env::var_os("NETWORK_FOLDER").unwrap()).join("root.pem")
}

/// How long the whole job took, and what came of it.
fn timed(client: &Client) -> String {
    let start = Instant::now();
    let result = util::backup(client).and_then(|_| util::confirm(client));
    let said = result.map_or_else(|error| format!("{:?} {error}", util::kind_of(&error)), |()| "done".into());
    format!("{} ms: {said}", start.elapsed().as_millis())
}

/// A name server (RFC 1035) that counts queries for IPv4 addresses.
///
/// `none`, or the response code: `3`, `2 for a moment`.
fn fake_resolver(how: &str) -> Arc<AtomicUsize> {
    let queries = Arc::new(AtomicUsize::new(0));
    let Ok(code) = how[..1].parse::<u8>() else { return queries };
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).unwrap();
    let counted = queries.clone();
    let end = how.ends_with("moment").then_some(Duration::from_millis(150));
    thread::spawn(move || {
        let mut packet = [0; 512];
        let mut first = None;
        while let Ok((len, from)) = socket.recv_from(&mut packet) {
            let is_over = end.is_some_and(|end| first.get_or_insert_with(Instant::now).elapsed() > end);
            let is_ipv4 = packet[len - 4..len].starts_with(&[0, 1]);
            counted.fetch_add(usize::from(is_ipv4), Ordering::SeqCst);
            let (code, found) = if is_over { (0, u8::from(is_ipv4)) } else { (code, 0) };
            let mut response = packet[..len].to_vec();
            // A response, recursion is available; one question, and an address or nothing.
            response[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, found, 0, 0, 0, 0]);
            if found == 1 {
                // The name of the question, type A, class IN, 60 seconds, 4 bytes.
                response.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                response.extend(GOOD_4.parse::<Ipv4Addr>().unwrap().octets());
            }
            socket.send_to(&response, from).unwrap();
        }
    });
    queries
}

const TEN_SECONDS: Duration = Duration::from_secs(10);
/// A quarter of a second for an address that is dead, and room for a busy machine.
const PROMISED: Duration = Duration::from_millis(600);

#[track_caller]
fn assert_done_within(max: Duration, addresses: &[&str]) {
    assert_says(addresses, TEN_SECONDS / 5, &[], &["done"], Duration::ZERO..max);
}

#[track_caller]
fn assert_says(
    addresses: &[&str],
    connect_timeout: Duration,
    environment: &[(&str, &str)],
    words: &[&str],
    within: Range<Duration>,
) {
    let Some((said, took)) = job(addresses, connect_timeout, environment) else { return };
    assert!(words.iter().all(|it| said.contains(it)), "{addresses:?} {environment:?}: {said}, not {words:?}");
    assert!(within.contains(&took), "{addresses:?} {environment:?}: {took:?}");
}

#[test]
fn an_address_that_swallows_packets_costs_a_quarter_of_a_second() {
    assert_done_within(PROMISED, &[DEAD_6[0], GOOD_4]);
    assert_done_within(PROMISED, &[DEAD_4, GOOD_6]);
    assert_done_within(PROMISED, &[DEAD_6[0], GOOD_6]);
    // Families alternate: one that is dead costs no more than one address.
    assert_done_within(PROMISED, &[&DEAD_6[..], &[GOOD_4]].concat());
}

#[test]
fn a_connection_that_comes_late_is_not_held_up_by_the_last_address() {
    let half = Duration::ZERO..TEN_SECONDS / 2;
    assert_says(&[DEAD_6[0], DEAD_4], TEN_SECONDS, &[("NETWORK_REVIVED", "1")], &["done"], half);
}

#[test]
fn a_network_that_works_costs_nothing_and_neither_does_an_address_that_refuses() {
    let second = [("NETWORK_SECOND", "1")];
    assert_says(&[GOOD_4, GOOD_6], TEN_SECONDS, &second, &["done"], Duration::ZERO..PROMISED / 3);
    for addresses in [
        &[GOOD_4][..],
        &[GOOD_4, DEAD_4],
        &[REFUSES_6, GOOD_4],
        &[UNREACHABLE, GOOD_4],
        &[REFUSES_6, UNREACHABLE, REFUSES_4, GOOD_6],
    ] {
        assert_done_within(PROMISED / 3, addresses);
    }
    // Behind one that is dead, too, and if there are very many.
    assert_done_within(PROMISED, &[DEAD_6[0], REFUSES_4, GOOD_6]);
    let refusing: Vec<_> = (1..200).map(|i| format!("2001:db8:5::{i:x}")).collect();
    let all: Vec<_> = refusing.iter().map(String::as_str).chain([GOOD_6]).collect();
    assert_done_within(PROMISED, &all);
}

#[test]
fn the_time_to_connect_is_the_end_and_a_refusal_is_told_rather_than_that_there_is_no_way() {
    let second = TEN_SECONDS / 10;
    for addresses in [&[DEAD_4][..], &[DEAD_6[0], DEAD_4], &[DEAD_6[0], DEAD_6[1], UNREACHABLE, DEAD_4]] {
        let words = ["Timeout backup: ", NAME, ": timed out; "];
        assert_says(addresses, second, &[], &words, second..second * 3 / 2);
    }
    for (addresses, words) in [
        (&[REFUSES_6][..], ["Connect backup: ", "refused"]),
        (&[UNREACHABLE, REFUSES_4], ["Connect backup: ", "refused"]),
        (&[REFUSES_6, UNREACHABLE], ["Connect backup: ", "refused"]),
        (&[REFUSES_6, DEAD_4], ["Timeout backup: ", "timed out"]),
        (&[DEAD_6[0], REFUSES_4], ["Timeout backup: ", "timed out"]),
        (&[UNREACHABLE], ["Connect backup: ", "unreachable"]),
    ] {
        assert_says(addresses, second * 5 / 2, &[], &words, Duration::ZERO..second * 4);
    }
}

#[test]
fn a_name_that_does_not_exist_is_looked_up_once_and_a_resolver_that_fails_again() {
    let resolver_fails = "failure in name resolution; the request was not sent; try again";
    for (how, words) in [
        // NXDOMAIN, and a name without addresses.
        ("3", ["Resolve backup: ", ": the name was not found; ", "(1 queries)"]),
        ("0", ["Resolve backup: ", ": the name was not found; ", "(1 queries)"]),
        // SERVFAIL, and no server at all. The C library itself may ask twice.
        ("2", ["Resolve backup: ", resolver_fails, " queries)"]),
        ("none", ["Resolve backup: ", resolver_fails, "(0 queries)"]),
        ("2 for a moment", ["done", "", ""]),
    ] {
        let environment = [("NETWORK_DNS", how), ("NETWORK_LISTEN", GOOD_4)];
        assert_says(&[], TEN_SECONDS, &environment, &words, Duration::ZERO..TEN_SECONDS);
    }
}

#[test]
fn without_a_thread_names_are_looked_up_and_addresses_tried_one_after_the_other() {
    // No system has an address space for a stack of 128 TiB.
    let no_thread = ("NETWORK_MIN_STACK", "140737488355328");
    let any = || Duration::ZERO..TEN_SECONDS;
    for (addresses, words) in [
        (&[GOOD_4][..], "done"),
        (&[REFUSES_6, GOOD_4], "done"),
        (&[DEAD_6[0], GOOD_4], "done"),
        (&[DEAD_6[0], UNREACHABLE, DEAD_4, GOOD_6], "done"),
        (&[DEAD_6[0], DEAD_4], "timed out"),
    ] {
        assert_says(addresses, TEN_SECONDS / 5, &[no_thread], &[words], any());
    }
    let environment = [no_thread, ("NETWORK_DNS", "3")];
    assert_says(&[], TEN_SECONDS, &environment, &["the name was not found"], any());
}
