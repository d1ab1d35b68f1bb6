//! One client for many wallets, many threads, many calls and random faults: nothing is mixed up, nothing is left behind.
#![cfg(all(feature = "sandbox", feature = "ring"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod util;

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portal_backup::{ApiKey, Client, Error, GenerateResponse, Outcome, Sandbox};
use util::certificates::{self, Certificate};
use util::faults::answer_of;
use util::server::{Server, header, message_len};

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
    Answered,
    AnsweredAndClosed,
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
        use Fate::{
            Answered, AnsweredAndClosed, Closed, CutInBody, CutInHead, Failed, Noise, PutOff, Refused,
        };
        if wallet_of(call) % 100 == 7 {
            return Self::Unauthorized;
        }
        let faults = [AnsweredAndClosed, PutOff, Refused, Failed, Closed, CutInHead, CutInBody, Noise];
        // SplitMix64.
        let mut x = SEED.wrapping_add((call as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        if x % 100 < 5 { faults[(x / 100 % faults.len() as u64) as usize] } else { Answered }
    }

    fn promise(self) -> Option<Outcome> {
        match self {
            Self::Answered | Self::AnsweredAndClosed | Self::PutOff => None,
            Self::Refused | Self::Unauthorized => Some(Outcome::Refused),
            Self::Failed | Self::Closed | Self::CutInHead | Self::CutInBody | Self::Noise => {
                Some(Outcome::Unknown)
            }
        }
    }
}

/// What the front saw of one call.
#[derive(Clone, Default)]
struct Told {
    requests: usize,
    /// Of the body that the sandbox answered.
    hash: u64,
}

fn wallet_of(call: usize) -> usize {
    call % WALLETS
}

fn key_of(wallet: usize) -> String {
    format!("key-of-wallet-{wallet:04}")
}

/// How many connections are open, and were at most.
#[derive(Default)]
struct Open {
    now: AtomicUsize,
    most: AtomicUsize,
}

struct OneOpen(Arc<Open>);

impl OneOpen {
    fn new(open: &Arc<Open>) -> Self {
        let now = open.now.fetch_add(1, Ordering::SeqCst) + 1;
        open.most.fetch_max(now, Ordering::SeqCst);
        Self(open.clone())
    }
}

impl Drop for OneOpen {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// TLS in front of the sandbox, with faults and a key for each wallet.
fn front(sandbox: &SandboxProcess, told: Arc<Mutex<HashMap<usize, Told>>>, open: Arc<Open>) -> Server {
    let address = sandbox.url.strip_prefix("http://").unwrap().to_string();
    let sandbox_key = sandbox.api_key.clone();
    Server::start(Some(certificates::server_config(Certificate::Trusted)), move |c| {
        // Some connections end before TLS begins, which nobody should notice.
        if c.number % 10 == 3 {
            return Ok(());
        }
        let _open = OneOpen::new(&open);
        loop {
            let request = c.request_unrecorded()?;
            let call = number_of(&request);
            let first = {
                let mut told = told.lock().unwrap();
                let told = told.entry(call).or_default();
                told.requests += 1;
                told.requests == 1
            };
            let head = request.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
            let key = key_of(wallet_of(call));
            let text = std::str::from_utf8(&request[..head]).unwrap();
            assert_eq!(header(text, "authorization"), Some(&*format!("Bearer {key}")), "call {call}");
            let own_head = text.replace(&key, &sandbox_key);
            let fate = Fate::of(call);
            if fate == Fate::Unauthorized {
                c.send(answer_of(401, r#"{"id":"AUTH_FAILED","message":"revoked"}"#))?;
                continue;
            }
            if fate == Fate::Refused {
                c.send(answer_of(400, r#"{"id":"BAD_REQUEST","message":"no"}"#))?;
                continue;
            }
            if fate == Fate::PutOff && first {
                c.send(answer_of(429, "{}").replacen("\r\n", "\r\nRetry-After: 1\r\n", 1))?;
                continue;
            }
            let mut upstream = TcpStream::connect(&address)?;
            upstream.write_all(&[own_head.as_bytes(), &request[head..]].concat())?;
            let answer = read_answer(&mut upstream)?;
            let body_at = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
            told.lock().unwrap().get_mut(&call).unwrap().hash = hash(&answer[body_at..]);
            match fate {
                Fate::Failed => c.send(answer_of(503, "{}"))?,
                Fate::Closed => return Ok(()),
                Fate::CutInHead => return c.send(&answer[..30]),
                Fate::CutInBody => return c.send(&answer[..answer.len() - 1000]),
                Fate::Noise => return c.send("220 mail.example ESMTP\r\n"),
                Fate::AnsweredAndClosed => {
                    let line = answer.windows(2).position(|end| end == b"\r\n").unwrap();
                    let parts = [&answer[..line], b"\r\nConnection: close", &answer[line..]];
                    return c.send(parts.concat());
                }
                Fate::Answered | Fate::PutOff | Fate::Refused | Fate::Unauthorized => c.send(&answer)?,
            }
        }
    })
}

fn read_answer(upstream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut answer = Vec::with_capacity(17 << 10);
    let mut room = [0; 16 << 10];
    while message_len(&answer).is_none_or(|len| answer.len() < len) {
        match upstream.read(&mut room)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => answer.extend_from_slice(&room[..n]),
        }
    }
    Ok(answer)
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// A generate response that says which call it is for.
fn generate_response(sandboxed: &str, call: usize) -> String {
    format!(r#"{{"call":"number {call:06}",{}"#, &sandboxed[1..])
}

fn number_of(request: &[u8]) -> usize {
    let at = request.windows(7).position(|word| word == b"number ").unwrap() + 7;
    std::str::from_utf8(&request[at..at + 6]).unwrap().parse().unwrap()
}

/// The sandbox in a process of its own: it keeps every request, and that is not what is measured here.
struct SandboxProcess {
    child: Child,
    /// Kept open: who prints into a closed pipe fails.
    _output: BufReader<ChildStdout>,
    url: String,
    api_key: String,
    generate_response: String,
}

impl SandboxProcess {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "child_that_is_the_sandbox"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.by_ref().lines();
        let value =
            |name| lines.find_map(|line| Some(line.unwrap().split_once(name)?.1.to_string())).unwrap();
        let [url, api_key, generate_response] = ["URL=", "KEY=", "GENERATE="].map(value);
        Self { child, _output: output, url, api_key, generate_response }
    }
}

impl Drop for SandboxProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

#[test]
#[ignore = "the child of another test"]
fn child_that_is_the_sandbox() {
    let sandbox = Sandbox::start().unwrap();
    println!("\nURL={}\nKEY={}\nGENERATE={}", sandbox.url(), sandbox.api_key(), sandbox.generate_response());
    // Until the parent is done, or gone.
    let _ = io::stdin().read(&mut [0]);
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
    let sandbox = SandboxProcess::start();
    let told = Arc::new(Mutex::new(HashMap::new()));
    let open = Arc::new(Open::default());
    let server = front(&sandbox, told.clone(), open.clone());
    let before = (count("fd"), count("task"));

    let client = Client::builder(ApiKey::new("of-no-wallet").unwrap())
        .base_url(server.url())
        .root_certs_pem(certificates::root_pem())
        .attempts(5)
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let outcomes = Mutex::new(HashMap::<(Fate, Option<Outcome>), usize>::new());
    let ids = Mutex::new(HashSet::new());
    let next = AtomicUsize::new(0);
    let call_until = |end: usize| {
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    loop {
                        let call = next.fetch_add(1, Ordering::SeqCst);
                        if call >= end {
                            break next.store(end, Ordering::SeqCst);
                        }
                        let text = generate_response(&sandbox.generate_response, call);
                        let theirs = client.with_key(ApiKey::new(&key_of(wallet_of(call))).unwrap());
                        let result = theirs.backup(&GenerateResponse::parse(&text).unwrap());
                        let fate = Fate::of(call);
                        let outcome = result.as_ref().err().map(Error::outcome);
                        let told = told.lock().unwrap()[&call].clone();
                        let requests = if fate == Fate::PutOff { 2 } else { 1 };
                        assert_eq!(told.requests, requests, "call {call} ({fate:?}) was sent as often");
                        *outcomes.lock().unwrap().entry((fate, outcome)).or_default() += 1;
                        match result {
                            Ok(shares) => {
                                let is_verbatim = hash(shares.expose_json().as_bytes()) == told.hash;
                                assert!(
                                    is_verbatim,
                                    "call {call} ({fate:?}) got something else than was sent to it"
                                );
                                for id in shares.share_pair_ids() {
                                    assert!(
                                        ids.lock().unwrap().insert(hash(id.as_bytes())),
                                        "call {call} got {id} twice"
                                    );
                                }
                            }
                            Err(e) => assert_eq!(outcome, fate.promise(), "call {call} ({fate:?}): {e}"),
                        }
                    }
                });
            }
        });
    };

    let start = Instant::now();
    call_until(WARM_UP);
    let warm = resident_kib();
    call_until(CALLS);
    let (took, hot) = (start.elapsed(), resident_kib());

    let outcomes = outcomes.into_inner().unwrap();
    let connections = server.connections();
    drop(client);
    server.wait_for_all_closed();
    // The last thread of the server may have closed its connection and not yet ended.
    let start = Instant::now();
    while count("task") > before.1 && start.elapsed() < Duration::from_secs(5) {
        std::thread::yield_now();
    }
    let after = (count("fd"), count("task"));
    let most = open.most.load(Ordering::SeqCst);
    println!(
        "{CALLS} calls of {WALLETS} wallets in {took:.1?} ({:.0} a second) over {connections} connections, \
         {most} at once; \
         resident {warm} KiB after {WARM_UP} calls, {hot} KiB in the end; \
         files and threads {before:?} before, {after:?} after",
        CALLS as f64 / took.as_secs_f64(),
    );
    println!("{outcomes:#?}");

    assert_eq!(outcomes.values().sum::<usize>(), CALLS);
    for (&(fate, outcome), number) in &outcomes {
        assert_eq!(outcome, fate.promise(), "{number} calls that met {fate:?}");
    }
    let successes: usize =
        outcomes.iter().filter(|((_, outcome), _)| outcome.is_none()).map(|(_, n)| n).sum();
    assert!(successes > CALLS * 94 / 100);
    assert_eq!(ids.into_inner().unwrap().len(), 2 * successes);
    assert!(most <= THREADS, "{most} connections were open at once");
    assert!(outcomes.len() == 10, "not every fault was met: {outcomes:?}");
    assert_eq!(after, before, "files and threads");
    assert!(hot < warm + (8 << 10), "resident memory grew from {warm} to {hot} KiB");
}
