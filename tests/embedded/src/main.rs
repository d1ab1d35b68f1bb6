//! Takes a backup through the wire layer on a microcontroller without an operating system, and checks every step.
//!
//! A check that fails panics, which ends QEMU with an exit code that is not zero.

#![no_std]
#![no_main]

extern crate alloc;

mod heap;

use alloc::format;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use cortex_m_semihosting::{debug, hprintln};
use panic_semihosting as _;
use portal_backup::wire::{self, Failure};
use portal_backup::{ApiKey, BackupShares, GenerateResponse, Outcome, StoredShares, Unreadable};

const GENERATE: &str = include_str!(concat!(env!("OUT_DIR"), "/generate.json"));
const BACKUP: &str = include_str!(concat!(env!("OUT_DIR"), "/backup.json"));
const SECP256K1: &str = include_str!(concat!(env!("OUT_DIR"), "/secp256k1.json"));
const ED25519: &str = include_str!(concat!(env!("OUT_DIR"), "/ed25519.json"));
const IDS: [&str; 2] = ["clu32l6c8008wuvz52jokyo3r", "clu32l9310087evz5u5v9k1ao"];

const REFUSAL: &str = r#"{"id":"BAD_REQUEST","message":"Can't parse the request body"}"#;

#[cortex_m_rt::entry]
fn main() -> ! {
    heap::init();

    take_backup();
    heap::step("refusals", 24_000, read_refusals);
    heap::step("wrong input", 1024, refuse_wrong_input);
    heap::step("hostile responses", 42_000, keep_unreadable_responses);

    assert_eq!(heap::used(), 0, "memory leaked");
    assert_eq!(heap::unwiped(), 0, "memory was freed with a share in it");
    hprintln!("samples: {} bytes", GENERATE.len() + BACKUP.len() + SECP256K1.len() + ED25519.len());
    debug::exit(debug::EXIT_SUCCESS);
    unreachable!("semihosting is off");
}

/// What a device does that brings its own transport.
fn take_backup() {
    let key = ApiKey::new("0d7a11c8-made-up").unwrap();
    assert_eq!(format!("Bearer {}", key.expose()), "Bearer 0d7a11c8-made-up");

    let request = heap::step("the request", 512, || {
        let request = wire::backup::request(&GenerateResponse::parse(GENERATE).unwrap());
        check_backup_body(request.body());
        request
    });
    assert_eq!((request.method(), request.path()), ("POST", "/v1/backup"));

    let shares = heap::step("the response", BACKUP.len() + 1024, || {
        wire::backup::response(200, None, BACKUP.as_bytes().to_vec()).unwrap()
    });
    assert_eq!(shares.share_pair_ids(), IDS);
    assert_eq!(shares.expose_json(), BACKUP);
    for (share, expected) in [(shares.secp256k1(), SECP256K1), (shares.ed25519(), ED25519)] {
        assert_eq!(share.expose_share().len(), (expected.len() * 4).div_ceil(3));
        let decoded = heap::step("a decoded share", expected.len() + 256, || share.decode().unwrap());
        assert_eq!(decoded.expose(), expected.as_bytes());
    }
    let shown = format!("{shares:?}");
    assert!(holds(&shown, IDS[0]) && shown.len() < 200, "{shown}");

    let stored = shares.store(|json| if json == BACKUP { Ok(()) } else { Err(()) }).unwrap();
    drop(shares);
    heap::step("the confirmation", 512, || {
        let request = wire::confirm::request(stored.share_pair_ids());
        assert_eq!((request.method(), request.path()), ("PATCH", "/api/v3/clients/me/backup-share-pairs"));
        let mut body = [0; 256];
        let len = request.body().read(&mut body);
        let inside = body[..len].strip_prefix(br#"{"status":"STORED_CLIENT_BACKUP_SHARE","backupSharePairIds":[""#);
        let inside = inside.unwrap().strip_suffix(br#""]}"#).unwrap();
        assert!(inside.split(|&b| b == b',').count() == 2 && inside.starts_with(IDS[0].as_bytes()));
        wire::confirm::response(204, None, Vec::new()).unwrap();
    });
}

/// The generate response is in there to the byte, once its quotes are unescaped; it is read as a small device would send
/// it.
fn check_backup_body(mut body: wire::Body<'_>) {
    const BEFORE: &[u8] = br#"{"generateResponse":""#;
    let mut expected = BEFORE.iter().chain(GENERATE.as_bytes()).chain(br#""}"#).copied().enumerate();
    let escaped = BEFORE.len()..BEFORE.len() + GENERATE.len();
    let mut left = body.remaining();
    let mut buffer = [0; 100];
    let mut is_escape = false;
    while let n @ 1.. = body.read(&mut buffer) {
        left -= n;
        assert_eq!(body.remaining(), left);
        for &b in &buffer[..n] {
            if b == b'\\' && !is_escape {
                is_escape = true;
                continue;
            }
            let (at, wanted) = expected.next().unwrap();
            assert!(b == wanted && is_escape == (b == b'"' && escaped.contains(&at)));
            is_escape = false;
        }
    }
    assert!(left == 0 && expected.next().is_none());
}

/// `contains` of the standard library would take a kilobyte of the flash that is measured.
fn holds(text: &str, part: &str) -> bool {
    text.as_bytes().windows(part.len()).any(|window| window == part.as_bytes())
}

fn read_refusals() {
    let response = wire::backup::response(400, None, REFUSAL.into());
    let Err(Failure::Refused(refusal)) = response else { panic!("{response:?}") };
    assert_eq!(refusal.status(), 400);
    assert_eq!(refusal.id(), Some("BAD_REQUEST"));
    assert_eq!(refusal.message(), Some("Can't parse the request body"));

    let response = wire::backup::response(401, None, "Authorization header is missing".into());
    let Err(Failure::Refused(refusal)) = response else { panic!("{response:?}") };
    assert_eq!(refusal.id(), None);
    assert_eq!(refusal.message(), Some("Authorization header is missing"));

    let response = wire::backup::response(429, Some("7"), Vec::new());
    let Err(Failure::Refused(refusal)) = response else { panic!("{response:?}") };
    assert_eq!(refusal.retry_after().unwrap().as_secs(), 7);

    let response = wire::confirm::response(503, None, Vec::new());
    let error = portal_backup::Error::from(response.unwrap_err());
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(error.to_string().starts_with("confirm: the service failed: status 503"), "{error}");

    // A refusal that says too much: cut, and without what may be a share.
    let response = wire::backup::response(400, None, BACKUP.into());
    let Err(Failure::Refused(refusal)) = response else { panic!("{response:?}") };
    assert!(!holds(refusal.message().unwrap_or_default(), &BACKUP[40..60]));
}

fn refuse_wrong_input() {
    let wrong = [
        "",
        "null",
        "{}",
        r#"{"SECP256K1":{"share":"s","id":"i"}}"#,
        r#"{"SECP256K1":{"share":"s","id":"i"},"ED25519":{"share":"s"}}"#,
        r#"{"SECP256K1":{"share":"s","id":"i"},"ED25519":{"share":"","id":"i"}}"#,
        r#"{"SECP256K1":{"share":"s","id":"i"},"ED25519":{"share":1,"id":"i"}}"#,
        r#"{"SECP256K1":{"share":"s","id":"i"},"ED25519":{"share":"s","id":"i"}} x"#,
    ];
    for text in wrong {
        let error = GenerateResponse::parse(text).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent, "{text}");
        assert!(BackupShares::parse(text).is_err(), "{text}");
    }
    for cut in (0..GENERATE.len()).step_by(509) {
        assert!(GenerateResponse::parse(&GENERATE[..cut]).is_err(), "cut at {cut}");
    }
    let shares = BackupShares::parse(r#"{"SECP256K1":{"share":"Zg","id":"a"},"ED25519":{"share":"{}","id":"b"}}"#);
    let shares = shares.unwrap();
    assert_eq!(shares.secp256k1().decode().unwrap().expose(), b"f");
    assert!(shares.ed25519().decode().is_err());

    assert!(ApiKey::new("two words").is_err());
    // Ids from elsewhere cannot break out of the JSON.
    let stored = StoredShares::from_share_pair_ids(["\"", "\n"]).unwrap();
    assert!(wire::confirm::request(stored.share_pair_ids()).to_bytes().expose().ends_with(br#"["\"","\n"]}"#));
}

fn keep_unreadable_responses() {
    let whole = BACKUP.as_bytes();
    for body in [&whole[..whole.len() - 1], b"", b"\xff", b"{}"] {
        assert_eq!(unreadable(body.to_vec()).expose_body(), body);
    }
    // As long as a real response, and nested as deep as that allows.
    let mut deep = Vec::with_capacity(whole.len());
    deep.extend(br#"{"x":"#);
    deep.resize(whole.len(), b'[');
    assert_eq!(unreadable(deep).expose_body().len(), whole.len());
}

fn unreadable(body: Vec<u8>) -> Unreadable {
    let error = portal_backup::Error::from(wire::backup::response(200, None, body).unwrap_err());
    assert_eq!(error.outcome(), Outcome::Unknown);
    let portal_backup::Error::Unreadable(unreadable) = error else { panic!("{error:?}") };
    unreadable
}
