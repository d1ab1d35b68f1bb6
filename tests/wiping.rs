//! Nothing that holds a key or a share is given back to the allocator before it is wiped.
//!
//! The allocator of this program looks into each block that is freed. A server would have such blocks of its own, so it
//! runs in another process.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails must stop")]

#[cfg(all(feature = "client", feature = "ring"))]
mod util;

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::fmt::{Debug, Display, Write as _};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

use memchr::memmem;
use portal_backup::wire::{Failure, backup, confirm};
use portal_backup::{ApiKey, BackupShares, GenerateResponse, SecretBytes};

/// What the secrets of these tests are full of.
const KEY: &str = "key-MARK-7f21a";
/// In clear, as a share is when it is decoded. It begins at another third of a base64 group each time.
const PLAIN: &[u8] = b"share-MARK-9c0d4,";
/// Both, and what base64 makes of `are-MARK-` in each of the three places.
const MARKS: [&[u8]; 5] = [b"key-MARK-7f21a", b"share-MARK-9c0d4", b"YXJlLU1BUkst", b"hcmUtTUFSSy", b"FyZS1NQVJLL"];

struct Watching;

#[global_allocator]
static WATCHING: Watching = Watching;

static IS_ON: AtomicBool = AtomicBool::new(false);
static FOUND: Mutex<Vec<(usize, Backtrace)>> = Mutex::new(Vec::new());

thread_local! {
    static IS_REPORTING: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: blocks are those of the system's allocator; `realloc` is the default one, which moves each block, so that
// what a growing buffer leaves behind is seen.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Nothing that an earlier owner left is taken for the next one's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if IS_ON.load(Ordering::Relaxed) && !IS_REPORTING.get() {
            // SAFETY: the block is still ours, and was zeroed as a whole when it was made.
            let freed = unsafe { std::slice::from_raw_parts(black_box(block), layout.size()) };
            if MARKS.iter().any(|mark| memmem::find(freed, mark).is_some()) {
                IS_REPORTING.set(true);
                FOUND.lock().unwrap().push((layout.size(), Backtrace::force_capture()));
                IS_REPORTING.set(false);
            }
        }
        unsafe { System.dealloc(block, layout) }
    }
}

/// One watcher at a time: blocks of all threads are looked into.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How many blocks with a mark are freed while `act` runs, and by whom.
fn freed(act: impl FnOnce()) -> Vec<(usize, Backtrace)> {
    IS_ON.store(true, Ordering::SeqCst);
    act();
    IS_ON.store(false, Ordering::SeqCst);
    std::mem::take(&mut *FOUND.lock().unwrap())
}

#[track_caller]
fn assert_wiped(what: impl Display, act: impl FnOnce()) {
    let found = freed(act);
    let mut report = String::new();
    for (size, by) in &found {
        let by = by.to_string();
        let lines = by.lines().skip_while(|line| !line.contains("dealloc"));
        let of_interest = |line: &&str| line.contains("::") && !line.contains("wiping::");
        let lines: Vec<_> = lines.filter(of_interest).take(14).map(str::trim).collect();
        write!(report, "\n{size} bytes, by\n    {}", lines.join("\n    ")).unwrap();
    }
    assert!(found.is_empty(), "{what}: {} blocks were not wiped:{report}", found.len());
}

fn base64(text: &[u8]) -> String {
    use base64::Engine as _;
    let mut out = vec![0; text.len() * 2];
    let len = base64::engine::general_purpose::STANDARD_NO_PAD.encode_slice(text, &mut out).unwrap();
    String::from_utf8(out[..len].to_vec()).unwrap()
}

/// Static, as all texts that the tests begin with, so that none is a block to be freed.
fn two_shares(share: &str) -> &'static str {
    format!(r#"{{"SECP256K1":{{"share":"{share}","id":"id-1"}},"ED25519":{{"share":"{share}","id":"id-2"}}}}"#).leak()
}

/// Texts of two shares: base64 as today, JSON as before, and with escapes in names and values.
fn texts() -> &'static [&'static str] {
    static TEXTS: OnceLock<[&str; 3]> = OnceLock::new();
    TEXTS.get_or_init(|| {
        let clear = String::from_utf8(PLAIN.repeat(340)).unwrap();
        let escaped = format!(r#"{{\"made\":\"{clear}\",\n\"\u0075p\":\"{clear}\"}}"#);
        let names = two_shares(&escaped).replace("share\":", "sh\\u0061re\":").replace("ED25519", "\\u0045D25519");
        [two_shares(&base64(clear.as_bytes())), two_shares(&escaped), names.leak()]
    })
}

fn key() -> &'static str {
    "key-MARK-7f21a.key-MARK-7f21a.key-MARK-7f21a"
}

/// Goes through all that formats a value, of errors `Display`, too; the texts are looked into when they are freed.
fn show(value: &dyn Debug) {
    drop(black_box(format!("{value:?} {value:#?}")));
}

// The watcher itself

#[test]
fn the_watcher_sees_what_is_not_wiped() {
    let _turn = turn();
    let (text, key) = (texts()[0], key());
    assert_eq!(freed(|| drop(black_box(text.as_bytes().to_vec()))).len(), 1);
    assert_eq!(freed(|| drop(black_box(key.to_string()))).len(), 1);
    assert_eq!(freed(|| drop(black_box(PLAIN.to_vec()))).len(), 1);
    let grow = |mut grown: Vec<u8>| {
        grown.push(0);
        grown.fill(0);
    };
    assert_eq!(freed(|| grow(black_box(PLAIN.to_vec()))).len(), 1, "the smaller block that it grew out of");
    let decoded = BackupShares::parse(text).unwrap().secp256k1().decode().unwrap().into_vec();
    assert_eq!(freed(|| drop(decoded)).len(), 1, "what is in a share is known in clear, too");
    assert!(MARKS[2..].iter().all(|mark| memmem::find(text.as_bytes(), mark).is_some()));
}

// The wire layer and the buffers

#[test]
fn buffers_are_wiped_with_all_their_room() {
    let _turn = turn();
    assert_wiped("a buffer", || drop(SecretBytes::new(PLAIN.repeat(50))));
    for len in [3, 0] {
        assert_wiped("what was cut off", || {
            let mut bytes = PLAIN.repeat(50);
            bytes.truncate(len);
            show(&SecretBytes::new(bytes));
        });
    }
    assert_wiped("what was taken out and put back", || {
        let bytes = SecretBytes::new(PLAIN.repeat(50)).into_vec();
        drop(SecretBytes::new(bytes));
    });
    assert_wiped("a key", || show(&ApiKey::new(key()).unwrap()));
}

#[test]
fn a_refused_key_is_not_kept() {
    let _turn = turn();
    let texts = "@\n|@ @|\"@\"|Bearer @|export K=@|\u{feff}@|@\u{e9}".split('|').map(|text| text.replace('@', KEY));
    for mistake in texts.chain([KEY.repeat(400)]).map(String::leak) {
        assert_wiped("a key", || show(&ApiKey::new(mistake).unwrap_err()));
    }
}

#[test]
fn a_request_is_wiped() {
    let _turn = turn();
    for text in texts() {
        assert_wiped("a request", || {
            let generate = GenerateResponse::parse(text).unwrap();
            let request = backup::request(&generate);
            assert!(request.body_len() > text.len());
            let (mut body, mut buffer) = (request.body(), vec![0; 100]);
            while body.read(&mut buffer) > 0 {}
            show(&(&generate, &request, request.to_bytes(), &body, SecretBytes::new(buffer)));
        });
        let part = &text[..text.len() / 2];
        assert_wiped("a refused text", || show(&GenerateResponse::parse(part).unwrap_err()));
    }
}

#[test]
fn a_response_is_wiped() {
    let _turn = turn();
    for text in texts() {
        assert_wiped("a response", || {
            let shares = backup::response(200, None, text.as_bytes().to_vec()).unwrap();
            show(&shares);
            for share in [shares.secp256k1(), shares.ed25519()] {
                show(&share);
                if let Ok(decoded) = share.decode() {
                    show(&decoded);
                    assert!(decoded.expose().starts_with(PLAIN));
                }
            }
            show(&shares.store(|json| Err::<(), _>(json.len())).unwrap_err());
            show(&shares.store(|_| Ok::<(), ()>(())).unwrap());
            drop(BackupShares::parse(shares.expose_json().to_string()).unwrap());
        });
    }
    // Decoded for the most part when it is found not to be base64.
    let broken = &*texts()[0].replace("\",\"id\"", "-\",\"id\"").leak();
    assert_wiped("a share that is not base64", || {
        let shares = BackupShares::parse(broken).unwrap();
        assert!(shares.secp256k1().decode().is_err());
    });
}

#[test]
fn an_unreadable_response_is_wiped() {
    let _turn = turn();
    for text in texts() {
        for len in (0..text.len()).step_by(97).chain(text.len() - 20..text.len()) {
            let part = &text.as_bytes()[..len];
            assert_wiped(len, || {
                let failure = backup::response(200, None, part.to_vec()).unwrap_err();
                show(&failure);
                show(&portal_backup::Error::from(failure));
            });
            assert_wiped(len, || show(&BackupShares::parse(part).unwrap_err()));
        }
        let behind = &*[*text, text].concat().leak();
        assert_wiped("bytes behind the end", || drop(backup::response(200, None, behind.into())));
        let twice = &*text.replace("\"id\"", "\"share\"").leak();
        assert_wiped("a share twice", || drop(BackupShares::parse(twice)));
        let half = &*text.replace("\",\"id\"", "\\ud800\",\"id\"").leak();
        assert_wiped("half a surrogate pair", || drop(BackupShares::parse(half)));
        let not_utf8: &[u8] = Vec::leak([text.as_bytes(), b"\xff"].concat());
        assert_wiped("not UTF-8", || show(&BackupShares::parse(not_utf8).unwrap_err()));
        assert_wiped("not UTF-8", || show(&backup::response(200, None, not_utf8.into()).unwrap_err()));
        assert_wiped("kept", || {
            let Err(Failure::Unreadable(e)) = backup::response(200, None, not_utf8.into()) else { panic!() };
            // Wiping what was taken out is the caller's.
            drop(SecretBytes::new(e.into_body()));
        });
    }
}

#[test]
fn what_serde_json_reads_leaves_no_copy() {
    let _turn = turn();
    let share = base64(&PLAIN.repeat(340));
    let escaped = format!(r#"\"{share}\n{share}\u0041"#);
    let whole = texts()[0];
    let quoted = serde_json::json!(whole).to_string();
    let spelled = whole.replace("ED25519", r"ED\u00325519").replace("share\":", "s\\u0068are\":");
    for text in [
        // In names and values that are passed over, at each level.
        whole.replacen('{', &format!(r#"{{"{escaped}":"{escaped}","x":["{escaped}",{{"{escaped}":0}}],"#), 1),
        whole.replacen(r#":{"#, &format!(r#":{{"{escaped}":"{escaped}","#), 1),
        spelled.clone(),
        // Of a wrong type, or in a wrong place.
        format!(r#"{{"SECP256K1":"{escaped}"}}"#),
        format!(r#"{{"SECP256K1":{quoted},"ED25519":{quoted}}}"#),
        format!(r#"{{"SECP256K1":{{"share":["{escaped}"],"id":"b"}}}}"#),
        format!(r#"{{"SECP256K1":{{"share":"a","id":{{"{escaped}":"{escaped}"}}}}}}"#),
        format!(r#""{escaped}""#),
        format!(r#"["{escaped}"]"#),
        format!(r#"{{"{escaped}" "{escaped}"}}"#),
        format!(r#"{{"{escaped}":"{escaped}",}}"#),
        // Passed over when something else is looked for.
        quoted.clone(),
        format!(r#"{{"data":{whole}}}"#),
        format!(r#"{{"{escaped}":1,"data":{quoted},"message":"{escaped}"}}"#),
        format!(r#"{{"generateResponse":{quoted}}}"#),
        format!(r#"{{"error":{{"message":["{escaped}","{escaped}"]}},"errors":["{escaped}"]}}"#),
        format!(r#"{{"errors":[{{"{escaped}":1,"message":"{escaped}"}}]}}"#),
        format!("HTTP/1.1 200 OK\r\n\r\n{spelled}"),
        format!("<title>{share} &amp; {share}</title>"),
    ] {
        let text = &*text.leak();
        let what = &text[..text.len().min(40)];
        assert_wiped(what, || show(&GenerateResponse::parse(text)));
        for status in [200, 400] {
            assert_wiped(what, || show(&backup::response(status, None, text.into())));
            assert_wiped(what, || show(&confirm::response(status, None, text.into())));
        }
        assert_wiped(what, || show(&BackupShares::parse(text)));
    }
}

#[test]
fn a_refusal_is_wiped() {
    let _turn = turn();
    let share = base64(&PLAIN.repeat(340));
    let quoted = serde_json::json!(texts()[0]).to_string();
    let spelled = share.bytes().take(1000).fold(String::new(), |text, b| text + &format!("\\u{b:04x}"));
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    for text in [
        format!(r#"{{"id":"{share}","message":"{share}"}}"#),
        format!(r#"{{"error":{{"code":"\n{share}","message":"\n{share}"}}}}"#),
        format!(r#"{{"error":"\"{share}"}}"#),
        format!(r#"{{"message":"{spelled}"}}"#),
        format!(r#"{{"message":{quoted}}}"#),
        format!(r#"{{"m\u0065ssage{spelled}":1,"other":{quoted}}}"#),
        format!("<html>{share}</html>"),
        format!("{}{share}", " ".repeat(1000)),
        format!("{}{share}", "word ".repeat(600)),
        share.repeat(20),
        texts()[0].into(),
    ] {
        bodies.push([text.as_bytes(), b"\xff"].concat());
        bodies.push(text.into_bytes());
    }
    for body in bodies {
        let body: &[u8] = body.leak();
        for status in [302, 400, 503] {
            assert_wiped(String::from_utf8_lossy(body), || {
                show(&backup::response(status, Some("1"), body.to_vec()).unwrap_err());
                show(&confirm::response(status, Some("1"), body.to_vec()).unwrap_err());
            });
        }
    }
    assert_wiped("a confirmation", || confirm::response(204, None, texts()[0].into()).unwrap());
}

#[cfg(all(feature = "client", feature = "ring"))]
mod with_client {
    #[cfg(unix)]
    use std::ffi::OsStr;
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;
    use std::{env, fs};

    use portal_backup::{Client, ClientBuilder, Error, FileSlot, StoredShares};

    use super::util::server::Connection;
    use super::*;

    #[test]
    fn the_store_keeps_nothing() {
        let _turn = turn();
        let folder = tempfile::tempdir().unwrap();
        for (number, text) in texts().iter().enumerate() {
            let reserve = |name| {
                let path = folder.path().join(format!("{number} {name}"));
                (FileSlot::reserve(&path).unwrap(), path)
            };
            assert_wiped("stored", || show(&reserve("shares").0.store(&BackupShares::parse(*text).unwrap()).unwrap()));
            assert_wiped("stored", || reserve("bytes").0.store_bytes(text.as_bytes()).unwrap());
            assert_wiped("not stored", || {
                let (slot, path) = reserve("taken");
                fs::write(path, "theirs").unwrap();
                show(&slot.store(&BackupShares::parse(*text).unwrap()).unwrap_err());
            });
        }
    }

    #[test]
    fn a_key_from_the_environment_is_read_and_wiped() {
        let _turn = turn();
        let mut process = this_test("a_process_with_a_key_in_its_environment");
        process.env("WIPING_KEY", key()).env("WIPING_NO_KEY", format!("{KEY} {KEY}"));
        #[cfg(unix)]
        process.env("WIPING_NO_TEXT", std::os::unix::ffi::OsStrExt::from_bytes(b"key-MARK-7f21a\xff") as &OsStr);
        assert!(process.status().unwrap().success());
    }

    #[test]
    #[ignore = "run by another test, in a process of its own"]
    fn a_process_with_a_key_in_its_environment() {
        if env::var_os("WIPING_KEY").is_none() {
            return;
        }
        let _turn = turn();
        assert_wiped("a key", || assert_eq!(ApiKey::from_env("WIPING_KEY").unwrap().expose(), key()));
        let no_text = cfg!(unix).then_some("WIPING_NO_TEXT");
        for name in ["WIPING_NO_KEY"].into_iter().chain(no_text) {
            let refused = || ApiKey::from_env(name).unwrap_err().to_string();
            assert_wiped(name, || assert!(refused().contains("a character that no key has")));
        }
    }

    #[test]
    fn a_client_frees_nothing_unwiped_whatever_the_response_is() {
        let _turn = turn();
        let server = Server::start();
        for (scenario, _, _, expected) in SCENARIOS {
            let texts = if *scenario == "announced" { texts() } else { &texts()[..1] };
            for text in texts {
                let generate = GenerateResponse::parse(text).unwrap();
                assert_wiped(scenario, || {
                    let client = server.builder(scenario).build().unwrap();
                    for _ in 0..2 {
                        let result = client.backup(&generate);
                        show(&result);
                        assert_eq!(result.as_ref().map_or_else(name, |_| "ok"), *expected, "{scenario}");
                        show(&client.confirm(&StoredShares::from_share_pair_ids(["id-1", "id-2"]).unwrap()));
                    }
                    show(&client);
                    drop(client);
                });
            }
        }
    }

    fn name(e: &Error) -> &'static str {
        match e {
            Error::Unreadable(_) => "Unreadable",
            Error::Refused(_) => "Refused",
            Error::Failed(_) => "Failed",
            Error::Transport(_) => "Transport",
            _ => "something else",
        }
    }

    #[test]
    fn a_request_that_does_not_get_through_is_wiped() {
        let _turn = turn();
        let server = Server::start();
        let shut = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let large = texts()[0].replacen('{', &format!("{{{}", "\n".repeat((4 << 20) - texts()[0].len())), 1);
        let generate = GenerateResponse::parse(&large).unwrap();
        for url in [format!("http://{shut}"), server.url("reads nothing"), server.url("reads a little")] {
            assert_wiped(&url, || {
                let client = server.builder("").base_url(&url).timeout(Duration::from_millis(300)).build().unwrap();
                show(&client.backup(&generate).unwrap_err());
            });
        }
    }

    #[test]
    fn a_head_that_is_too_long_is_wiped_with_the_key_in_it() {
        let _turn = turn();
        let server = Server::start();
        let generate = GenerateResponse::parse(texts()[0]).unwrap();
        // Of some of these, all but the end of the head fits.
        let url = |len| format!("{}/{}", server.url("announced"), "p".repeat(len));
        let urls: Vec<_> = (16_200..16_700).map(url).collect();
        assert_wiped("a long head", || {
            for url in &urls {
                show(&server.builder("").base_url(url).build().unwrap().backup(&generate));
            }
        });
    }

    #[test]
    fn settings_are_wiped() {
        let _turn = turn();
        let base64 = base64(&PLAIN.repeat(40));
        let pem = &*format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n").leak();
        let key = key();
        assert_wiped("a builder that is dropped", || {
            drop(Client::builder(ApiKey::new(key).unwrap()).client_cert_pem(pem).proxy(key));
        });
        assert_wiped("a setting that is none", || {
            show(&Client::builder(ApiKey::new(key).unwrap()).attempts(0).build().unwrap_err());
        });
    }

    /// The response, whether the connection is then left open, and what it comes to.
    const SCENARIOS: &[(&str, &str, bool, &str)] = &[
        ("announced", "200 S\r\nContent-Length: <len>\r\n\r\n<shares>", true, "ok"),
        ("not kept alive", "200 S\r\nContent-Length: <len>\r\nConnection: close\r\n\r\n<shares>", false, "ok"),
        ("in chunks", "200 S\r\nTransfer-Encoding: chunked\r\n\r\n<chunks>0\r\n\r\n", true, "ok"),
        ("until the end", "200 S\r\n\r\n<shares>", false, "ok"),
        ("after another", "103 S\r\n\r\nHTTP/1.1 200 S\r\nContent-Length: <len>\r\n\r\n<shares>", true, "ok"),
        ("cut", "200 S\r\nContent-Length: 9<len>\r\n\r\n<shares>", false, "Unreadable"),
        ("silent in the body", "200 S\r\nContent-Length: 9<len>\r\n\r\n<shares>", true, "Unreadable"),
        ("cut in a chunk", "200 S\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n<shares>", false, "ok"),
        ("not a chunk", "200 S\r\nTransfer-Encoding: chunked\r\n\r\n<chunks><shares>\r\n\r\n", false, "Unreadable"),
        ("too long", "200 S\r\nContent-Length: 9999999\r\n\r\n<many>", true, "Unreadable"),
        ("no shares", "200 S\r\n\r\n{<shares>", false, "Unreadable"),
        ("no status", "<shares>\r\n\r\n", false, "Transport"),
        ("no head", "200 S\r\n<shares>\r\n\r\n", false, "Unreadable"),
        ("silent in the head", "200 S\r\nX: <shares>", true, "Unreadable"),
        ("refused", "400 S\r\nContent-Length: <len>\r\n\r\n<shares>", true, "Refused"),
        ("elsewhere", "307 S\r\nLocation: https://x/\r\nContent-Length: <len>\r\n\r\n<shares>", true, "Refused"),
        ("failed", "503 S\r\nTransfer-Encoding: chunked\r\n\r\n<chunks>0\r\n\r\n", true, "Failed"),
        ("silent", "", true, "Transport"),
        ("closed", "", false, "Transport"),
    ];

    fn this_test(name: &str) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--ignored", "--exact", &format!("with_client::{name}"), "--nocapture"]);
        command.stdout(Stdio::null());
        command
    }

    /// The server, in a process of its own, which ends when its input is closed.
    struct Server {
        process: Child,
        url: String,
    }

    impl Server {
        fn start() -> Self {
            let mut command = this_test("serve");
            command.env("WIPING_SERVES", "1").stdin(Stdio::piped()).stderr(Stdio::piped());
            let mut process = command.spawn().unwrap();
            let mut url = String::new();
            BufReader::new(process.stderr.take().unwrap()).read_line(&mut url).unwrap();
            Self { process, url: url.trim().into() }
        }

        fn url(&self, scenario: &str) -> String {
            format!("{}/{}", self.url, scenario.replace(' ', "-"))
        }

        fn builder(&self, scenario: &str) -> ClientBuilder {
            let url = self.url(scenario);
            Client::builder(ApiKey::new(key()).unwrap())
                .base_url(&url)
                .client_api_url(&url)
                .timeout(Duration::from_millis(if scenario.starts_with("silent") { 150 } else { 2000 }))
                .max_response_bytes(100_000)
                .attempts(2)
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }

    #[test]
    #[ignore = "run by the other tests, in a process of its own"]
    fn serve() {
        if env::var_os("WIPING_SERVES").is_none() {
            return;
        }
        let server = util::server::Server::start(None, respond);
        writeln!(std::io::stderr(), "{}", server.url()).unwrap();
        let _ = std::io::stdin().read(&mut [0]);
    }

    fn respond(c: &mut Connection) -> std::io::Result<()> {
        let shares = texts()[0];
        let chunk = |at: usize| &shares[at..shares.len().min(at + 1000)];
        let chunks = (0..shares.len()).step_by(1000).map(chunk);
        let chunks: String = chunks.map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
        loop {
            c.part_of_request(30)?;
            if c.received().starts_with(b"POST /reads-nothing") {
                return c.stall();
            }
            if c.received().starts_with(b"POST /reads-a-little") {
                c.part_of_request(9000)?;
                return c.stall();
            }
            let request = c.request_unrecorded()?;
            let head = String::from_utf8_lossy(&request);
            let scenario = head.split('/').nth(1).unwrap().replace('-', " ");
            let (_, response, stays, _) = SCENARIOS.iter().find(|(name, ..)| *name == scenario).unwrap();
            let head = if response.is_empty() { "" } else { "HTTP/1.1 " };
            let response = response
                .replace("<chunks>", &chunks)
                .replace("<len>", &shares.len().to_string())
                .replace("<many>", &shares.repeat(20))
                .replace("<shares>", shares);
            // In pieces, so that no read of the client gets all.
            c.send(head)?;
            c.pieces(response.as_bytes().chunks(7000), Duration::from_millis(1))?;
            if !stays {
                return Ok(());
            }
        }
    }
}
