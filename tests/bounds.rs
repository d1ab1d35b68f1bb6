//! Work and memory grow with what arrives, and no faster: each case runs with a size and with four times that.
#![cfg(all(target_os = "linux", feature = "client", feature = "ring"))]
#![allow(unsafe_code, reason = "an allocator cannot be written without")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails must stop")]

mod util;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use portal_backup::wire::{backup, confirm};
use portal_backup::{BackupShares, GenerateResponse};
use rustix::time::{ClockId, clock_gettime};
use util::server::{Connection, Server};

/// Counts what the thread that is measured holds; that of a server beside it does not count.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: blocks are those of the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get() + layout.size() as isize);
        PEAK.set(PEAK.get().max(HELD.get()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size() as isize);
        unsafe { System.dealloc(block, layout) }
    }
}

/// CPU time of this thread and the most memory that it takes for it; of two runs, the less.
fn cost(mut act: impl FnMut()) -> (Duration, isize) {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let runs = [(); 2].map(|()| {
        let (before, start) = (HELD.get(), now());
        PEAK.set(before);
        act();
        (now() - start, PEAK.get() - before)
    });
    (runs.iter().map(|run| run.0).min().unwrap(), runs.iter().map(|run| run.1).min().unwrap())
}

/// Four times the size may cost four times the work and memory, with room for noise, but never their square.
#[track_caller]
fn assert_linear(what: &str, size: usize, mut act: impl FnMut(usize)) {
    // Other programs decide how much of what is sent is read at a time. They do so by chance: a square shows each time.
    let mut tries = (0..5).map(|_| (cost(|| act(size)), cost(|| act(4 * size))));
    // Below that, it is noise.
    let is_linear = |small: Duration, large: Duration| large < small.max(Duration::from_micros(500)) * 9;
    let (small, large) = tries.find(|(small, large)| is_linear(small.0, large.0)).unwrap_or_else(|| {
        panic!("{what}: four times the size takes more than nine times the CPU time, however often it is tried")
    });
    let memory = small.1.max(16 << 10);
    assert!(large.1 < memory * 9, "{what}: {} bytes of memory became {}", small.1, large.1);
}

/// Four times the size may not cost more, since what is read is bounded.
#[track_caller]
fn assert_bounded(what: &str, size: usize, mut act: impl FnMut(usize)) {
    let (small, large) = (cost(|| act(size)), cost(|| act(4 * size)));
    assert!(large.0 < small.0 * 2 + Duration::from_millis(1), "{what}: {:?} became {:?}", small.0, large.0);
    assert!(large.1 < small.1 * 2 + (16 << 10), "{what}: {} bytes became {}", small.1, large.1);
}

/// Two shares of about that length together.
fn shares(len: usize) -> String {
    let share = "x".repeat(len / 2);
    format!(r#"{{"SECP256K1":{{"share":"{share}","id":"1"}},"ED25519":{{"share":"{share}","id":"2"}}}}"#)
}

/// The longest response that is taken here.
const MAX: usize = 64 << 10;

/// A call to a server that sends this to each request.
fn call(generate: &str, send: impl Fn(&mut Connection) -> std::io::Result<()> + Send + Sync + 'static) {
    let server = Server::start(None, move |c| {
        c.request_unrecorded()?;
        send(c)
    });
    let client = util::builder(&server.url()).timeout(Duration::from_secs(60)).keep_alive(Duration::ZERO);
    let client = client.max_response_bytes(MAX).build().unwrap();
    let _ = std::hint::black_box(client.backup(&GenerateResponse::parse(generate).unwrap()));
}

/// A pause after each byte, so that it is read by itself.
const PAUSE: Duration = Duration::from_micros(20);

#[test]
fn a_response_costs_as_much_as_it_is_long() {
    type Encode = fn(&[u8]) -> String;
    let announced: Encode = |body| format!("Content-Length: {}\r\n\r\n{}", body.len(), str::from_utf8(body).unwrap());
    let chunked: Encode = |body| {
        let chunk = |byte: &u8| format!("1\r\n{}\r\n", char::from(*byte));
        format!("Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", body.iter().map(chunk).collect::<String>())
    };
    let no_chunks: Encode = |body| format!("Transfer-Encoding: chunked\r\n\r\n{}", str::from_utf8(body).unwrap());
    let until_closed: Encode = |body| format!("\r\n{}", str::from_utf8(body).unwrap());
    let cases = [
        ("announced", announced, 4_000),
        ("chunks of one byte", chunked, 800),
        ("what is no chunk", no_chunks, 4_000),
        ("until the end", until_closed, 4_000),
    ];
    util::in_parallel(cases.to_vec(), cases.len(), |(what, encode, size)| {
        assert_linear(what, size, move |size| {
            let response = format!("HTTP/1.1 200 OK\r\n{}", encode(shares(size).as_bytes()));
            call(util::secrets::generate_response(), move |c| c.drip(response.as_bytes(), PAUSE));
        });
    });
}

#[test]
fn what_arrives_instead_of_a_response_is_bounded() {
    for (what, piece) in [
        ("a head", "X-Field: value\r\n"),
        ("interim responses", "HTTP/1.1 102 Processing\r\n\r\n"),
        ("no HTTP", "junk"),
        ("empty lines", "\r\n"),
    ] {
        assert_bounded(what, 100_000, move |size| {
            call(util::secrets::generate_response(), move |c| {
                if piece.starts_with("X-") {
                    c.send("HTTP/1.1 200 OK\r\n")?;
                }
                c.send(piece.repeat(size / piece.len()))
            });
        });
    }
    assert_bounded("the body of an error", 500_000, |size| {
        call(util::secrets::generate_response(), move |c| {
            let body = format!(r#"{{"message":"{}"}}"#, "m".repeat(size));
            c.send(format!("HTTP/1.1 500 Error\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
        });
    });
}

/// The server reads no further, and sends what is no response.
#[test]
fn what_arrives_while_a_request_is_sent_is_bounded() {
    let generate = GenerateResponse::parse(util::secrets::large_generate_response()).unwrap();
    util::in_parallel(vec!["junk", "HTTP/1.1 102 Processing\r\n\r\n", "\r\n"], 3, |piece| {
        assert_bounded(piece, 1_000_000, |size| {
            let server = Server::start(None, move |c| {
                c.part_of_request(1000)?;
                c.send(piece.repeat(size / piece.len()))?;
                c.stall()
            });
            let client = util::builder(&server.url()).build().unwrap();
            let start = std::time::Instant::now();
            client.backup(&generate).unwrap_err();
            assert!(start.elapsed() < util::TIMEOUT + util::GRACE, "{piece}: {:?}", start.elapsed());
        });
    });
}

#[test]
fn looking_for_echoes_costs_no_more_than_sending_the_request() {
    // All sequences of two letters, and then of three …: nearly every piece of the error begins one of the share.
    let letters = |seed: usize, len: usize| {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + (state >> 33) as u8 % 26)
        };
        (0..len).map(|_| next()).collect::<String>()
    };
    let share = letters(1, 1 << 20);
    let cost_of = |share: &str, error: &str| {
        let generate =
            shares(0).replacen(r#""share":"""#, &format!(r#""share":"{share}""#), 1).replace(r#":"""#, r#":"x""#);
        let error = format!(r#"{{"message":"{error}"}}"#);
        cost(|| {
            let error = error.clone();
            call(&generate, move |c| {
                c.send(format!("HTTP/1.1 500 Error\r\nContent-Length: {}\r\n\r\n{error}", error.len()))
            });
        })
    };
    let silent = cost_of(&share, "");
    for (share, error) in [
        (&*share, letters(2, 60_000)),
        (&*share, share[..60_000].replace("mnop", " ")),
        (&*share, "ab".repeat(30_000)),
        // Pieces with the hash of each piece of the share, of which they are none.
        (&*"a".repeat(1 << 20), pieces_with_the_hash_of(b"aaaaaaaa", 200)),
    ] {
        let error = cost_of(share, &error);
        assert!(error.0 < silent.0 * 8, "{:?} without an error text became {:?}", silent.0, error.0);
        assert!(error.1 < silent.1 * 2 + (256 << 10), "{} bytes of memory became {}", silent.1, error.1);
    }
}

/// Pieces of 12 characters that the search for echoes gives the same hash, which is of the last eight.
fn pieces_with_the_hash_of(last: &[u8; 8], count: usize) -> String {
    let hash = |last: [u8; 8]| u64::from_be_bytes(last).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    let digits = |number: u64| std::array::from_fn(|i| b'a' + (number / 26_u64.pow(7 - i as u32) % 26) as u8);
    let same = (1..).map(digits).filter(|digits| hash(*digits) == hash(*last)).take(count);
    same.map(|digits| format!("zzzz{}", String::from_utf8_lossy(&digits))).collect()
}

#[test]
fn texts_are_read_in_time_that_grows_with_their_length() {
    type Make = fn(usize) -> String;
    let texts: [(&str, Make); 8] = [
        ("long shares", shares),
        ("escapes", |size| shares(size / 6).replace("xx", "\\u0041")),
        ("open brackets", |size| format!(r#"{{"a":{}"#, "[".repeat(size))),
        ("closed brackets", |size| format!(r#"{{"a":{}{}}}"#, "[".repeat(size / 2), "]".repeat(size / 2))),
        ("members", |size| format!(r#"{{{}"a":1}}"#, r#""b":2,"#.repeat(size / 6))),
        ("nested objects", |size| r#"{"error":"#.repeat(size / 9)),
        ("nested text", |size| format!(r#""{}""#, r#"\"message\":"#.repeat(size / 12))),
        ("white space", |size| " ".repeat(size)),
    ];
    for (what, make) in texts {
        let (small, large) = (make(100_000), make(400_000));
        let text = |size| if size == 1 { &small } else { &large };
        assert_linear(&format!("generate response: {what}"), 1, |size| drop(GenerateResponse::parse(text(size))));
        assert_linear(&format!("stored backup: {what}"), 1, |size| {
            drop(BackupShares::parse(text(size).as_str()));
        });
        for status in [200, 400, 503] {
            assert_linear(&format!("{status}: {what}"), 1, |size| {
                drop(backup::response(status, None, text(size).clone().into_bytes()));
                drop(confirm::response(status, None, text(size).clone().into_bytes()));
            });
        }
    }
}
