//! A whole backup over TLS 1.3 on loopback: this crate, the floor by hand, and plain ureq with serde_json.
//!
//! Warm is one client with a connection that is kept, cold a new client and connection for each call. Client and
//! service share one CPU, rounds take turns, and the figure is the median of the rounds. CPU is that of the client's
//! process alone, threads that it starts included; wall has the service in it.
//!
//! The system calls of a warm call are counted with `strace`, where there is one.
//!
//! `cargo bench --bench call -- threads calls growth strace` chooses among the tables.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and stops when it fails")]

#[path = "call/cpu.rs"]
mod cpu;
#[path = "call/floor.rs"]
mod floor;
mod inputs;
#[path = "call/plain.rs"]
mod plain;
#[path = "call/service.rs"]
mod service;
#[path = "../tests/util/x509.rs"]
mod x509;

use std::collections::BTreeMap;
use std::io::{Write as _, read_to_string, stdin};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use floor::Floor;
use inputs::{Case, Share};
use plain::Plain;
use portal_backup::{ApiKey, Client, GenerateResponse};
use service::Service;

const KEY: &str = "0d7a11c8-4f3e-4c53-9a1b-benchmark-only";

/// About the length of the real response of `generate`.
const USUAL: usize = 15_500;

fn main() {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => return service::serve(),
        ["traced", who, count, port] => {
            return call_for_strace(who, count.parse().unwrap(), port.parse().unwrap());
        }
        _ => {}
    }
    let chosen = |table: &str| {
        let mut names = arguments.iter().filter(|argument| !argument.starts_with('-')).peekable();
        names.peek().is_none() || names.any(|name| name == table)
    };
    if chosen("threads") {
        many_threads();
    }
    cpu::pin();
    let service = Service::start();
    let target = Target { port: service.port, roots_pem: &service.roots_pem };
    if chosen("calls") {
        compare(target);
    }
    if chosen("growth") {
        growth(target);
    }
    if chosen("strace") {
        system_calls(target);
    }
}

#[derive(Clone, Copy)]
struct Target<'a> {
    port: u16,
    roots_pem: &'a str,
}

/// One of the clients, as a function that makes one call.
type Call<'a> = (&'static str, Box<dyn FnMut() + Send + 'a>);

impl<'a> Target<'a> {
    fn base_url(self) -> String {
        format!("https://localhost:{}", self.port)
    }

    fn floor(self) -> Floor {
        Floor::connect(self.port, self.roots_pem).unwrap()
    }

    fn ours(self) -> Client {
        let key = ApiKey::new(KEY).unwrap();
        Client::builder(key).base_url(self.base_url()).root_certs_pem(self.roots_pem).build().unwrap()
    }

    fn plain(self) -> Plain {
        Plain::new(&self.base_url(), self.roots_pem, KEY)
    }

    fn warm(self, len: usize) -> [Call<'a>; 3] {
        let text = generate_response(len);
        let json = floor_body(&text);
        let (mut floor, ours, plain) = (self.floor(), self.ours(), self.plain());
        let copy = text.clone();
        [
            ("floor", Box::new(move || by_hand(&mut floor, &json))),
            ("portal-backup", Box::new(move || backup(&ours, &text))),
            ("plain ureq", Box::new(move || backup_plain(&plain, &copy))),
        ]
    }

    fn cold(self, len: usize) -> [Call<'a>; 3] {
        let text = generate_response(len);
        let json = floor_body(&text);
        let copy = text.clone();
        [
            ("floor", Box::new(move || by_hand(&mut self.floor(), &json))),
            ("portal-backup", Box::new(move || backup(&self.ours(), &text))),
            ("plain ureq", Box::new(move || backup_plain(&self.plain(), &copy))),
        ]
    }
}

fn generate_response(len: usize) -> String {
    Case { len, share: Share::Base64 }.text()
}

fn floor_body(generate_response: &str) -> Vec<u8> {
    let generate = GenerateResponse::parse(generate_response).unwrap();
    portal_backup::wire::backup::request(&generate).to_bytes().expose().to_vec()
}

fn by_hand(floor: &mut Floor, json: &[u8]) {
    let response = floor.call(KEY, json).unwrap();
    assert!(response.starts_with(b"{") && response.ends_with(b"}"));
}

fn backup(client: &Client, generate_response: &str) {
    let shares = client.backup(&GenerateResponse::parse(generate_response).unwrap()).unwrap();
    assert_eq!(shares.secp256k1().expose_share().len(), shares.ed25519().expose_share().len());
    assert_eq!(shares.share_pair_ids().map(str::len), [25, 25]);
}

fn backup_plain(plain: &Plain, generate_response: &str) {
    let shares = plain.backup(generate_response).unwrap();
    assert_eq!(shares.secp256k1.share.len(), shares.ed25519.share.len());
    assert_eq!([shares.secp256k1.id.len(), shares.ed25519.id.len()], [25, 25]);
}

/// What one call costs, for each client: CPU and wall.
fn measure<const N: usize>(rounds: usize, calls: u32, clients: &mut [Call<'_>; N]) -> [[Duration; 2]; N] {
    let mut costs = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for ((_, call), costs) in clients.iter_mut().zip(&mut costs) {
            // The caches are another client's until now.
            call();
            let (cpu, wall) = (cpu::time(), Instant::now());
            for _ in 0..calls {
                call();
            }
            costs.push([(cpu::time() - cpu) / calls, wall.elapsed() / calls]);
        }
    }
    costs.map(|costs| {
        [0, 1].map(|i| {
            let mut each: Vec<_> = costs.iter().map(|cost| cost[i]).collect();
            each.sort_unstable();
            each[each.len() / 2]
        })
    })
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn compare(target: Target<'_>) {
    println!("\none CPU, bodies of {} KB both ways", USUAL as f64 / 1000.0);
    println!("{:<8}{:<16}{:>9}{:>9}{:>10}{:>9}", "", "", "CPU µs", "x floor", "wall µs", "x floor");
    let kinds = [("warm", 100, target.warm(USUAL)), ("cold", 10, target.cold(USUAL))];
    for (kind, calls, mut clients) in kinds {
        let costs = measure(100, calls, &mut clients);
        for ((name, _), cost) in clients.iter().zip(costs) {
            let [cpu, wall] = cost.map(micros);
            let [floor_cpu, floor_wall] = costs[0].map(micros);
            let (cpu_ratio, wall_ratio) = (cpu / floor_cpu, wall / floor_wall);
            println!("{kind:<8}{name:<16}{cpu:>9.1}{cpu_ratio:>9.2}{wall:>10.1}{wall_ratio:>9.2}");
        }
    }
}

fn growth(target: Target<'_>) {
    println!("\nwarm, CPU of a call as its bodies grow, both ways");
    println!("{:>8}{:>12}{:>12}{:>12}{:>12}", "KB", "floor µs", "ours µs", "x floor", "ours µs/KB");
    for kb in [1, 4, 16, 64, 256, 1000] {
        let [floor, ours, _] = target.warm(kb * 1000);
        let calls = (4000 / kb).clamp(5, 200) as u32;
        let [[floor, _], [ours, _]] = measure(30, calls, &mut [floor, ours]);
        let (floor, ours) = (micros(floor), micros(ours));
        println!("{kb:>8}{floor:>12.1}{ours:>12.1}{:>12.2}{:>12.2}", ours / floor, ours / kb as f64);
    }
}

/// Calls per second of threads that share one client; the floor has a connection for each, hence nothing to wait for.
fn many_threads() {
    let service = Service::start();
    let target = Target { port: service.port, roots_pem: &service.roots_pem };
    println!("all CPUs, calls per second");
    println!("{:>8}{:>12}{:>12}{:>12}", "threads", "floor", "one Client", "x floor");
    for threads in [1, 2, 8, 32] {
        let ours = target.ours();
        let text = &generate_response(USUAL);
        let json = &floor_body(text);
        let one_each = || {
            let mut floor = target.floor();
            move || by_hand(&mut floor, json)
        };
        let shared = || || backup(&ours, text);
        // The better of two, taking turns.
        let mut rates = [0_f64; 2];
        for _ in 0..2 {
            rates[0] = rates[0].max(calls_per_second(threads, one_each));
            rates[1] = rates[1].max(calls_per_second(threads, shared));
        }
        let [floor, ours] = rates;
        println!("{threads:>8}{floor:>12.0}{ours:>12.0}{:>12.2}", ours / floor);
    }
}

fn calls_per_second<C: FnMut() + Send>(threads: usize, client: impl Fn() -> C) -> f64 {
    const TIME: Duration = Duration::from_millis(500);
    let mut clients: Vec<_> = (0..threads).map(|_| client()).collect();
    thread::scope(|scope| {
        let running: Vec<_> = clients
            .iter_mut()
            .map(|call| {
                scope.spawn(move || {
                    call();
                    let start = Instant::now();
                    let mut calls = 0_u32;
                    while start.elapsed() < TIME {
                        call();
                        calls += 1;
                    }
                    f64::from(calls) / start.elapsed().as_secs_f64()
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

/// What `strace` counts in 300 calls more than in 100.
fn system_calls(target: Target<'_>) {
    println!("\nwarm, system calls of a call");
    for who in ["floor", "portal-backup", "plain ureq"] {
        let (Some(few), Some(many)) = (strace(target, who, 100), strace(target, who, 300)) else {
            return println!("(no strace)");
        };
        let each = many.into_iter().filter_map(|(name, count)| {
            let each = count.saturating_sub(few.get(&name).copied().unwrap_or_default()) as f64 / 200.0;
            (each >= 0.1).then(|| format!("{name} {each:.1}"))
        });
        println!("{who:<16}{}", each.collect::<Vec<_>>().join(", "));
    }
}

fn strace(target: Target<'_>, who: &str, calls: u32) -> Option<BTreeMap<String, u64>> {
    let report = env::temp_dir().join(format!("portal-backup-strace-{}", process::id()));
    let mut traced = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(&report)
        .arg(env::current_exe().unwrap())
        .args(["traced", who, &calls.to_string(), &target.port.to_string()])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    traced.stdin.take().unwrap().write_all(target.roots_pem.as_bytes()).ok()?;
    let done = traced.wait().ok()?.success();
    let text = fs::read_to_string(&report).ok();
    let _ = fs::remove_file(&report);
    // % time, seconds, µs per call, calls, perhaps errors, name
    let rows = text.filter(|_| done)?.lines().map(str::to_owned).collect::<Vec<_>>();
    let rows = rows.iter().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let counts = rows.filter_map(|row| Some((row.last()?.to_string(), row.get(3)?.parse().ok()?)));
    Some(counts.filter(|(name, _)| name != "total").collect())
}

fn call_for_strace(who: &str, count: usize, port: u16) {
    let roots_pem = read_to_string(stdin()).unwrap();
    let clients = Target { port, roots_pem: &roots_pem }.warm(USUAL);
    let mut chosen = clients.into_iter().find(|(name, _)| *name == who).unwrap();
    for _ in 0..count {
        chosen.1();
    }
}
