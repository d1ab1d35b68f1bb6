//! One client for many wallets, many threads, many calls and random faults: nothing is mixed up, nothing is left behind.
#![cfg(all(feature = "client", feature = "ring"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod util;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portal_backup::{ApiKey, Client, Error, GenerateResponse, Outcome};
use util::certificates::{self, Certificate};
use util::faults::response_of;
use util::secrets;
use util::server::{Server, header};

const CALLS: usize = 10_000;
/// After so many calls, everything that is made once has been made.
const WARM_UP: usize = 2_000;
const THREADS: usize = 32;
/// Each with a key of its own.
const WALLETS: usize = 2_000;
const SEED: u64 = 0x5eed;

/// What happens to a call, by its number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fate {
    Served,
    ServedAndClosed,
    PutOff,
    Refused,
    /// The key of this wallet was revoked.
    Unauthorized,
    Failed,
    Closed,
    CutInHead,
    CutInBody,
    Noise,
}

impl Fate {
    /// Five calls of a hundred meet a fault.
    fn of(call: usize) -> Self {
        use Fate::{Closed, CutInBody, CutInHead, Failed, Noise, PutOff, Refused, Served, ServedAndClosed};
        if wallet_of(call) % 100 == 7 {
            return Self::Unauthorized;
        }
        let faults = [ServedAndClosed, PutOff, Refused, Failed, Closed, CutInHead, CutInBody, Noise];
        // SplitMix64.
        let mut x = SEED.wrapping_add((call as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        if x % 100 < 5 { faults[(x / 100 % faults.len() as u64) as usize] } else { Served }
    }

    fn promise(self) -> Option<Outcome> {
        match self {
            Self::Served | Self::ServedAndClosed | Self::PutOff => None,
            Self::Refused | Self::Unauthorized => Some(Outcome::Refused),
            _ => Some(Outcome::Unknown),
        }
    }
}

fn wallet_of(call: usize) -> usize {
    call % WALLETS
}

fn key_of(wallet: usize) -> String {
    format!("key-of-wallet-{wallet:04}")
}

/// A generate response that says which call it is for.
fn generate_response(call: usize) -> String {
    format!(r#"{{"call":"number {call:06}",{}"#, &secrets::generate_response()[1..])
}

fn number_of(request: &[u8]) -> usize {
    let (_, text) = std::str::from_utf8(request).unwrap().split_once("number ").unwrap();
    text[..6].parse().unwrap()
}

/// Serves each call as is its fate, if it came with the key of its wallet; counts the requests of each.
fn service(requests: Arc<Mutex<HashMap<usize, usize>>>) -> Server {
    Server::start(Some(certificates::server_config(Certificate::Trusted)), move |c| {
        // Some connections end before TLS begins, which nobody should notice.
        if c.number % 10 == 3 {
            return Ok(());
        }
        loop {
            let request = c.request_unrecorded()?;
            let call = number_of(&request);
            *requests.lock().unwrap().entry(call).or_default() += 1;
            let head = std::str::from_utf8(&request).unwrap().split("\r\n\r\n").next().unwrap();
            let key = key_of(wallet_of(call));
            assert_eq!(header(head, "authorization"), Some(&*format!("Bearer {key}")), "call {call}");
            let response = response_of(200, &secrets::backup_response(call));
            match Fate::of(call) {
                Fate::Unauthorized => c.send(response_of(401, r#"{"id":"AUTH_FAILED","message":"revoked"}"#))?,
                Fate::Refused => c.send(response_of(400, r#"{"id":"BAD_REQUEST","message":"no"}"#))?,
                Fate::PutOff if requests.lock().unwrap()[&call] == 1 => {
                    c.send(response_of(429, "{}").replacen("\r\n", "\r\nRetry-After: 1\r\n", 1))?;
                }
                Fate::Failed => c.send(response_of(503, "{}"))?,
                Fate::Closed => return Ok(()),
                Fate::CutInHead => return c.send(&response[..30]),
                Fate::CutInBody => return c.send(&response[..response.len() - 1000]),
                Fate::Noise => return c.send("220 mail.example ESMTP\r\n"),
                Fate::ServedAndClosed => return c.send(response.replacen("\r\n", "\r\nConnection: close\r\n", 1)),
                Fate::Served | Fate::PutOff => c.send(response)?,
            }
        }
    })
}

fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).map_or(0, Iterator::count)
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse().unwrap())
}

#[test]
fn ten_thousand_backups_of_two_thousand_wallets_are_never_mixed_up_and_leave_nothing_behind() {
    let requests = Arc::new(Mutex::new(HashMap::new()));
    let server = service(requests.clone());
    let before = (count("fd"), count("task"));
    let client = Client::builder(ApiKey::new("of-no-wallet").unwrap())
        .base_url(server.url())
        .root_certs_pem(certificates::root_pem())
        .attempts(5)
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let outcomes = Mutex::new(HashMap::<(Fate, Option<Outcome>), usize>::new());
    let check = |call: usize| {
        let text = generate_response(call);
        let theirs = client.with_key(ApiKey::new(&key_of(wallet_of(call))).unwrap());
        let result = theirs.backup(&GenerateResponse::parse(&text).unwrap());
        let fate = Fate::of(call);
        let outcome = result.as_ref().err().map(Error::outcome);
        let promised = if fate == Fate::PutOff { 2 } else { 1 };
        assert_eq!(requests.lock().unwrap()[&call], promised, "call {call} ({fate:?}) was sent as often");
        assert_eq!(outcome, fate.promise(), "call {call} ({fate:?}): {:?}", result.as_ref().err());
        if let Ok(shares) = result {
            assert!(shares.expose_json() == secrets::backup_response(call), "call {call} got those of another");
        }
        *outcomes.lock().unwrap().entry((fate, outcome)).or_default() += 1;
    };
    let next = AtomicUsize::new(0);
    let call_until = |end: usize| {
        let call = || next.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |next| (next < end).then_some(next + 1));
        let calls = || std::iter::from_fn(|| call().ok()).for_each(check);
        std::thread::scope(|scope| (0..THREADS).for_each(|_| _ = scope.spawn(calls)));
    };

    let start = Instant::now();
    call_until(WARM_UP);
    let warm = resident_kib();
    call_until(CALLS);
    let (took, hot) = (start.elapsed(), resident_kib());

    let connections = server.connections();
    drop(client);
    server.wait_for_closed(server.connections());
    // The last thread of the server may have closed its connection and not yet ended.
    let start = Instant::now();
    while count("task") > before.1 && start.elapsed() < Duration::from_secs(5) {
        std::thread::yield_now();
    }
    let after = (count("fd"), count("task"));
    let outcomes = outcomes.into_inner().unwrap();
    println!(
        "{CALLS} calls of {WALLETS} wallets in {took:.1?} over {connections} connections; resident {warm} KiB \
         after {WARM_UP} calls, {hot} KiB in the end; files and threads {before:?} before, {after:?} after"
    );
    println!("{outcomes:#?}");
    assert_eq!(outcomes.values().sum::<usize>(), CALLS);
    assert!(outcomes.len() == 10, "not every fault was met: {outcomes:?}");
    // Each fault costs two at most: its own, and one that ended before TLS.
    assert!(connections < CALLS / 10, "{connections} connections");
    assert_eq!(after, before, "files and threads");
    assert!(hot < warm + (8 << 10), "resident memory grew from {warm} to {hot} KiB");
}
