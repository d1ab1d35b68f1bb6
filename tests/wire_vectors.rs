//! Vectors for the wire layer, in tables; needs no feature of the crate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails must stop")]

extern crate alloc;

use std::thread;
use std::time::Duration;

use portal_backup::wire::{Failure, backup, confirm};
use portal_backup::{ApiKey, BackupShares, Error, GenerateResponse, Outcome, ShareForm, StoredShares};

const REAL: &str = include_str!("data/generate.json");
const REAL_IDS: [&str; 2] = ["clu32l6c8008wuvz52jokyo3r", "clu32l9310087evz5u5v9k1ao"];

mod oracle;

/// By itself, so that the clock can be set.
#[path = "../src/wire/retry_after.rs"]
mod retry_after;

mod documented {
    pub(super) const GENERATE_RESPONSE: &str = include_str!("data/documented/generate_response.json");
    pub(super) const BACKUP_REQUEST: &str = include_str!("data/documented/backup_request.json");
    pub(super) const BACKUP_200: &str = include_str!("data/documented/backup_200.json");
    pub(super) const BACKUP_400: &str = include_str!("data/documented/backup_400.json");
    pub(super) const BACKUP_401: &str = include_str!("data/documented/backup_401.txt");
    pub(super) const ERROR_GUIDE: &str = include_str!("data/documented/error_guide.json");
    pub(super) const CONFIRM_REQUEST: &str = include_str!("data/documented/confirm_request.json");
    pub(super) const CONFIRM_400: &str = include_str!("data/documented/confirm_400.json");
}

/// Two shares and their ids, in the order of the text.
type Four<'a> = [&'a str; 4];
const ABCD: Four<'_> = ["a", "b", "c", "d"];

/// Texts that hold two shares, whatever else they hold.
const WHOLE: &[(&str, Four<'_>)] = &[
    (documented::GENERATE_RESPONSE, ["share", "shareId", "share", "shareId"]),
    (documented::BACKUP_200, ["eyJjbGl...", REAL_IDS[0], "eyJjbGl...", REAL_IDS[1]]),
    // Any order, of curves and of members.
    (r#"{"ED25519":{"id":"d","share":"c"},"SECP256K1":{"id":"b","share":"a"}}"#, ABCD),
    // White space wherever it may stand.
    (
        "\r\n\t {\n\"SECP256K1\" :\t{ \"share\"\r:\n\"a\" , \"id\" : \"b\" } , \"ED25519\":{\"share\":\"c\",\"id\":\"d\" } } ",
        ABCD,
    ),
    // Members that nobody asked for, at either level, twice and empty-named included.
    (
        r#"{"":0,"":1,"v":[1,{"share":2}],"SECP256K1":{"share":"a","id":"b","x":null},"ED25519":{"share":"c","id":"d"}}"#,
        ABCD,
    ),
    (
        r#"{"SECP256K1":{"c":"x","share":"a","id":"b"},"ED25519":{"share":"c","id":"d"},"BLS":{"share":{"id":"z"}}}"#,
        ABCD,
    ),
    // Names that only look like the documented ones, and names written with escapes.
    (r#"{"secp256k1":1,"ED25519":{"Share":1,"share":"c","ID":2,"id":"d"},"SECP256K1":{"share":"a","id":"b"}}"#, ABCD),
    (r#"{"\u0053ECP256K1":{"sh\u0061re":"a","\u0069\u0064":"b"},"ED\u00325519":{"share":"c","id":"d"}}"#, ABCD),
    // The older form: the share is a JSON text itself.
    (
        r#"{"SECP256K1":{"share":"{\"p\":\"1f\",\n\"q\":[]}","id":"b"},"ED25519":{"share":"{}","id":"d"}}"#,
        ["{\"p\":\"1f\",\n\"q\":[]}", "b", "{}", "d"],
    ),
    // Every escape there is.
    (
        r#"{"SECP256K1":{"share":"\"\\\/\b\f\n\r\t","id":"\u0000\u001f\u007F\u00e9\u20AC\ud834\udd1E"},"ED25519":{"share":"x\u0020","id":"\u0041"}}"#,
        ["\"\\/\u{8}\u{c}\n\r\t", "\0\u{1f}\u{7f}é€𝄞", "x ", "A"],
    ),
    // Characters that need none, even where they look odd.
    (
        "{\"SECP256K1\":{\"share\":\"\u{7f}\u{2028}\u{feff}é𝄞\",\"id\":\"'/'\"},\"ED25519\":{\"share\":\" \",\"id\":\"{\"}}",
        ["\u{7f}\u{2028}\u{feff}é𝄞", "'/'", " ", "{"],
    ),
];

const NO_STRING: &str = "SECP256K1.share is not a valid string";

/// Texts that do not hold two shares: what is said, and at which line and column.
const NOT_WHOLE: &[(&str, &str, usize, usize)] = &[
    // No JSON object.
    ("", "it ends too early", 1, 1),
    (" \n\t", "it ends too early", 2, 1),
    ("[]", "it is not a JSON object", 1, 1),
    ("\n  42", "it is not a JSON object", 2, 3),
    ("\u{a0}{}", "it is not JSON", 1, 1),
    ("{", "it ends too early", 1, 1),
    ("{]", "it is not JSON", 1, 2),
    (r#"{"a":}"#, "it is not JSON", 1, 6),
    (r#"{"a":1,"#, "it ends too early", 1, 7),
    (r#"{"a":1,}"#, "it is not JSON", 1, 8),
    (r#"{"a"#, "it ends too early", 1, 3),
    // A curve is missing, or no object.
    ("{}", "SECP256K1 is missing", 1, 1),
    (r#"{"ED25519":{"share":"c","id":"d"}}"#, "SECP256K1 is missing", 1, 1),
    (r#"{"SECP256K1":{"share":"a","id":"b"}}"#, "ED25519 is missing", 1, 1),
    (r#"{"SECP256K1":null}"#, "SECP256K1 is not a JSON object", 1, 14),
    (r#"{"SECP256K1":["a","b"],"ED25519":["c","d"]}"#, "SECP256K1 is not a JSON object", 1, 14),
    // A member is missing, empty or of another type.
    ("{\"SECP256K1\":{\"share\":\"a\",\"id\":\"b\"},\n \"ED25519\":\n  {}}", "ED25519.share is missing", 3, 3),
    (r#"{"SECP256K1":{"id":"b"}}"#, "SECP256K1.share is missing", 1, 14),
    (r#"{"SECP256K1":{"share":"a"}}"#, "SECP256K1.id is missing", 1, 14),
    (r#"{"SECP256K1":{"share":"","id":"b"}}"#, "SECP256K1.share is empty", 1, 23),
    (r#"{"SECP256K1":{"share":"a","id":""}}"#, "SECP256K1.id is empty", 1, 32),
    (r#"{"SECP256K1":{"share":1,"id":"b"}}"#, NO_STRING, 1, 23),
    (r#"{"SECP256K1":{"share":{"a":"b"},"id":"b"}}"#, NO_STRING, 1, 23),
    (r#"{"SECP256K1":{"share":"a","id":null}}"#, "SECP256K1.id is not a valid string", 1, 32),
    (r#"{"SECP256K1":{"share":"a","id": [] }}"#, "SECP256K1.id is not a valid string", 1, 33),
    (r#"{"SECP256K1":{"share":}}"#, "SECP256K1.share is not JSON", 1, 23),
    (r#"{"SECP256K1":{"share":"#, "SECP256K1.share ends too early", 1, 22),
    (r#"{"SECP256K1":{"share":"a"#, "SECP256K1.share ends too early", 1, 24),
    // The field that a text ends behind, or else the one around it.
    (r#"{"SECP256K1":{"share""#, "SECP256K1.share ends too early", 1, 21),
    (r#"{"SECP256K1":{"share"}"#, "SECP256K1.share is not JSON", 1, 22),
    (r#"{"SECP256K1":{"sha"#, "SECP256K1 ends too early", 1, 18),
    (r#"{"SECP256K1":{"x":["y""#, "SECP256K1 ends too early", 1, 22),
    (r#"{"x":1,"ED25519" :"#, "ED25519 ends too early", 1, 18),
    (r#"{"ED25519":{"x":nil}}"#, "ED25519 is not JSON", 1, 18),
    // There twice, however the name is written.
    (r#"{"SECP256K1":{"share":"a","share":"a","id":"b"}}"#, "SECP256K1.share appears twice", 1, 35),
    (r#"{"SECP256K1":{"share":"a","id":"b","i\u0064":"b"}}"#, "SECP256K1.id appears twice", 1, 46),
    ("{\"SECP256K1\":{\"share\":\"a\"},\n\"\\u0053ECP256K1\":{\"share\":\"a\"}}", "SECP256K1 appears twice", 2, 18),
    (r#"{"ED25519":{"share":"c","id":"d"},"ED25519":null}"#, "ED25519 appears twice", 1, 45),
    // Half a surrogate pair stands for no character.
    (r#"{"SECP256K1":{"share":"\ud834","id":"b"}}"#, NO_STRING, 1, 23),
    (r#"{"SECP256K1":{"share":"\udd1e\ud834","id":"b"}}"#, NO_STRING, 1, 23),
    (r#"{"SECP256K1":{"share":"\ud834\u0041","id":"b"}}"#, NO_STRING, 1, 23),
    (r#"{"SECP256K1":{"share":"\ud834+u0041","id":"b"}}"#, NO_STRING, 1, 23),
    (r#"{"SECP256K1":{"share":"a","id":"x\ud834\n"}}"#, "SECP256K1.id is not a valid string", 1, 32),
    // No escapes: the column is that of the byte at which serde_json saw it.
    (r#"{"SECP256K1":{"share":"\x41","id":"b"}}"#, "SECP256K1.share is not JSON", 1, 25),
    // Behind the end.
    (r#"{"SECP256K1":{"share":"a","id":"b"},"ED25519":{"share":"c","id":"d"}}}"#, "it is not JSON", 1, 70),
    ("{}\n\n {}", "it is not JSON", 3, 2),
    // Columns count bytes, from the last line feed.
    ("{\"é\":\r\n\"é\", x", "it is not JSON", 2, 7),
];

const UTF16: &str = "it is UTF-16, save it as UTF-8";
const SAVED_REQUEST: &str = "it is a saved request, pass the text of its `generateResponse` alone";
const INSIDE: &str = "both are in another member, pass the value of that alone";

/// Texts that are something else that is known: what is wrong, and what to do.
const SOMETHING_ELSE: &[(&str, &str, &str)] = &[
    (documented::BACKUP_REQUEST, MISSING, SAVED_REQUEST),
    (r#"{"x":1,"generate\u0052esponse":"{}"}"#, MISSING, SAVED_REQUEST),
    (r#"{"data":{"SECP256K1":{"share":"a","id":"b"},"ED25519":{"share":"c","id":"d"}}}"#, MISSING, INSIDE),
    (r#"{"id":"x","result":{"ED25519":1}}"#, MISSING, INSIDE),
    ("{\0\"\0", "it is not JSON (line 1, column 2)", UTF16),
    ("\0{\0", "it is not JSON (line 1, column 1)", UTF16),
];
const MISSING: &str = "SECP256K1 is missing (line 1, column 1)";

#[track_caller]
fn mistake_in_generate(text: &str) -> portal_backup::InvalidInput {
    GenerateResponse::parse(text).expect_err("it should have been refused")
}

#[track_caller]
fn unreadable(status: u16, body: &[u8]) -> portal_backup::Unreadable {
    match backup::response(status, None, body.to_vec()) {
        Err(Failure::Unreadable(e)) => e,
        other => panic!("expected an unreadable success, got {other:?}"),
    }
}

#[track_caller]
fn refused(status: u16, retry_after: Option<&str>, body: &[u8]) -> portal_backup::MpcErrorResponse {
    match backup::response(status, retry_after, body.to_vec()) {
        Err(Failure::Refused(e)) => e,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn four(shares: &BackupShares) -> Four<'_> {
    let [first, second] = [shares.secp256k1(), shares.ed25519()];
    [first.expose_share(), first.id(), second.expose_share(), second.id()]
}

fn around(value: &str) -> String {
    format!(r#"{{"x":{value},"SECP256K1":{{"share":"a","y":[{value}],"id":"b"}},"ED25519":{{"share":"c","id":"d"}}}}"#)
}

fn with_share(share: &str) -> BackupShares {
    let text = format!(r#"{{"SECP256K1":{{"share":"{share}","id":"b"}},"ED25519":{{"share":"c","id":"d"}}}}"#);
    BackupShares::parse(text).unwrap()
}

// Generate responses and responses of a backup

#[test]
fn whole_texts_are_accepted_by_all_three_parsers() {
    for &(text, expected) in WHOLE {
        GenerateResponse::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        if expected[1] == expected[3] {
            continue;
        }
        let shares = BackupShares::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(four(&shares), expected, "{text}");
        for status in [200, 201, 202, 204, 226, 299] {
            let shares = backup::response(status, None, text.into()).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(four(&shares), expected, "{text}");
            assert_eq!(shares.share_pair_ids(), [expected[1], expected[3]], "{text}");
            assert_eq!(shares.expose_json(), text, "verbatim, white space included");
        }
    }
}

#[test]
fn a_text_of_real_size_is_what_its_maker_put_in_and_is_not_copied() {
    let body = Vec::from(REAL);
    let whole = body.as_ptr_range();
    let shares = backup::response(200, None, body).unwrap();
    assert_eq!(shares.share_pair_ids(), REAL_IDS);
    assert_eq!(shares.expose_json().as_bytes().as_ptr_range(), whole);
    for slice in four(&shares).map(|slice| slice.as_bytes().as_ptr_range()) {
        assert!(whole.start <= slice.start && slice.end <= whole.end);
    }
    for (share, len) in [(shares.secp256k1(), 5800), (shares.ed25519(), 5801)] {
        let decoded = share.decode().unwrap();
        assert_eq!(decoded.len(), len);
        assert_ne!(share.expose_share().len() % 4, 0, "the padding is left out");
        let json: serde_json::Value = serde_json::from_slice(decoded.expose()).unwrap();
        assert_eq!(json["madeUp"], true, "nobody's wallet");
    }
    let loaded = String::from(REAL);
    let was_at = loaded.as_ptr();
    assert_eq!(BackupShares::parse(loaded).unwrap().expose_json().as_ptr(), was_at);
}

#[test]
fn mistakes_are_named_with_line_and_column_and_never_a_value_and_a_success_keeps_every_byte() {
    for &(text, what, line, column) in NOT_WHOLE {
        let what = format!("{what} (line {line}, column {column})");
        let e = mistake_in_generate(text);
        assert_eq!(e.to_string(), format!("generate response: {what}"), "{text}");
        assert_eq!((e.outcome(), e.position()), (Outcome::NotSent, Some((line, column))));
        assert_eq!(BackupShares::parse(text).expect_err(text).to_string(), format!("backup shares: {what}"), "{text}");

        let body = text.as_bytes().to_vec();
        let was_at = body.as_ptr();
        let Err(Failure::Unreadable(e)) = backup::response(299, None, body) else { panic!("{text}") };
        let response = format!("backup: the response (status 299, {} bytes) could not be read", text.len());
        let advice = "shares may have been made, and may be in its body; the call may be repeated";
        assert_eq!(e.to_string(), format!("{response}: {what}; {advice}"));
        assert_eq!((e.status(), e.expose_body(), e.is_raw()), (299, text.as_bytes(), false));
        let body = e.into_body();
        assert_eq!(body, text.as_bytes());
        assert!(text.is_empty() || body.as_ptr() == was_at, "taken over, not copied");
    }
}

#[test]
fn what_is_often_passed_instead_is_told_by_name() {
    for &(text, what, advice) in SOMETHING_ELSE {
        let (what, at) = what.split_at(what.find(" (").unwrap());
        let e = mistake_in_generate(text);
        assert_eq!(e.to_string(), format!("generate response: {what}: {advice}{at}"));
        let e = BackupShares::parse(text).expect_err(text);
        assert_eq!(e.to_string(), format!("backup shares: {what}: {advice}{at}"));
        // A response was not passed by anybody.
        let e = unreadable(200, text.as_bytes());
        assert!(e.to_string().contains(&format!("could not be read: {what}{at}")), "{e}");
    }
    // Not when a curve is there: then what is missing from it says more.
    let e = mistake_in_generate(r#"{"ED25519":{"share":"c","id":"d"},"data":{"SECP256K1":1}}"#);
    assert_eq!(e.to_string(), "generate response: SECP256K1 is missing (line 1, column 1)");
}

#[test]
fn a_success_that_is_an_error_says_what_the_service_said() {
    let missing = "SECP256K1 is missing (line 1, column 1)";
    for (body, said) in [
        (documented::BACKUP_400, format!("{missing}, BAD_REQUEST, Can't parse the request body")),
        (documented::ERROR_GUIDE, format!("{missing}, OPERATION_IN_PROGRESS, Another operation is in progress")),
        (r#"{"error":"no\u001b wallet"}"#, format!("{missing}, no\\u{{1b}} wallet")),
        ("<html><title>Log in</title>", "it is not JSON (line 1, column 1), Log in".into()),
        // What is not known to be an error may be a share.
        ("share", "it is not JSON (line 1, column 1)".into()),
        (r#"{"share":"share"}"#, missing.into()),
    ] {
        let e = unreadable(200, body.as_bytes());
        assert!(e.to_string().contains(&format!("could not be read: {said}; ")), "{e}");
        assert_eq!(e.expose_body(), body.as_bytes());
    }
}

#[test]
fn a_backup_has_two_different_ids() {
    for text in [
        documented::GENERATE_RESPONSE,
        r#"{"ED25519":{"share":"c","id":"shareId"},"SECP256K1":{"share":"a","id":"share\u0049d"}}"#,
    ] {
        GenerateResponse::parse(text).unwrap();
        let e = BackupShares::parse(text).unwrap_err();
        assert_eq!(e.to_string(), "backup shares: ED25519.id is the same as SECP256K1.id");
        let e = unreadable(200, text.as_bytes());
        assert!(e.to_string().contains("could not be read: ED25519.id is the same as SECP256K1.id; "), "{e}");
        assert_eq!(e.into_body(), text.as_bytes());
    }
}

#[test]
fn an_id_has_at_most_256_bytes() {
    for (len, fits) in [(256, true), (257, false)] {
        let text = documented::BACKUP_200.replacen(REAL_IDS[1], &"i".repeat(len), 1);
        assert_eq!(GenerateResponse::parse(&text).is_ok(), fits);
        match BackupShares::parse(&*text) {
            Ok(_) => assert!(fits),
            Err(e) => assert!(!fits && e.to_string().contains("ED25519.id is longer than 256 bytes"), "{e}"),
        }
    }
    // A share has no bound.
    _ = with_share(&"s".repeat(100_000));
}

#[test]
fn a_truncated_success_is_unreadable_at_every_byte() {
    for whole in WHOLE.iter().map(|(text, _)| text.trim_end()).chain([REAL]) {
        for len in 0..whole.len() {
            let part = &whole.as_bytes()[..len];
            let e = unreadable(200, part);
            assert_eq!(e.expose_body(), part);
            assert_eq!(e.into_body(), part);
            if let Ok(part) = core::str::from_utf8(part) {
                mistake_in_generate(part);
            }
        }
    }
}

#[test]
fn a_success_that_is_not_utf8_is_unreadable_and_kept() {
    const PAIR: &str = r#""SECP256K1":{"share":"a","id":"b"},"ED25519":{"share":"c","id":"d"}}"#;
    let in_share = PAIR.replacen(r#":"a"#, r#":"a@"#, 1);
    let texts = [format!("{{{PAIR}@"), format!(r#"{{"x":"@",{PAIR}"#), format!("{{{in_share}")];
    let broken = [&b"\xff"[..], b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80"];
    for bytes in broken {
        for (before, after) in texts.iter().map(|text| text.split_once('@').unwrap()) {
            let body = [before.as_bytes(), bytes, after.as_bytes()].concat();
            let e = unreadable(200, &body);
            assert!(e.to_string().contains("could not be read: it is not UTF-8; "), "{e}");
            assert_eq!(e.into_body(), body);
            assert_eq!(BackupShares::parse(body).unwrap_err().to_string(), "backup shares: it is not UTF-8");
        }
    }
    for utf16 in [&b"\xff\xfe{\0"[..], b"\xfe\xff\0{", b"\0{\0\xff", b"{\0\xff\0"] {
        let e = BackupShares::parse(utf16).unwrap_err();
        assert_eq!(e.to_string(), "backup shares: it is not UTF-8: it is UTF-16, save it as UTF-8");
    }
}

#[test]
fn three_hundred_thousand_brackets_need_no_stack() {
    const DEPTH: usize = 300_000;
    let on_a_small_stack = || {
        for (open, close) in [("[", "]"), (r#"{"":"#, "}")] {
            let open = open.repeat(DEPTH);
            let text = around(&format!("{open}1{}", close.repeat(DEPTH)));
            GenerateResponse::parse(&text).unwrap();
            assert_eq!(four(&backup::response(200, None, text.into()).unwrap()), ["a", "b", "c", "d"]);

            mistake_in_generate(&open);
            for text in [format!(r#"{{"x":{open}"#), format!(r#"{{"SECP256K1":{open}"#)] {
                unreadable(200, text.as_bytes());
            }
            for text in [format!(r#"{{"error":{open}"#), open] {
                refused(400, None, text.as_bytes());
            }
        }
    };
    thread::Builder::new().stack_size(128 << 10).spawn(on_a_small_stack).unwrap().join().unwrap();
}

#[test]
fn a_generate_response_may_have_four_mebibytes_and_no_more() {
    assert_eq!(backup::MAX_GENERATE_RESPONSE, 4 << 20);
    let mut text = documented::GENERATE_RESPONSE.to_string();
    text.push_str(&" ".repeat(backup::MAX_GENERATE_RESPONSE - text.len()));
    GenerateResponse::parse(&text).unwrap();
    text.push(' ');
    let e = mistake_in_generate(&text);
    assert_eq!(e.to_string(), "generate response: it is longer than 4 MiB");
    assert_eq!(e.position(), None);
}

#[test]
fn debug_shows_ids_and_lengths() {
    let generate = GenerateResponse::parse(documented::GENERATE_RESPONSE).unwrap();
    assert_eq!(format!("{generate:?}"), "GenerateResponse(89 bytes)");
    assert_eq!(
        format!("{:?}", backup::request(&generate)),
        r#"Request { method: "POST", path: "/v1/backup", body: Body(132 bytes to be read) }"#
    );
    assert_eq!(format!("{:?}", backup::request(&generate).body()), "Body(132 bytes to be read)");
    let shares = BackupShares::parse(documented::BACKUP_200).unwrap();
    assert_eq!(
        format!("{shares:?}"),
        r#"BackupShares(MpcShare("clu32l6c8008wuvz52jokyo3r", 10 bytes), MpcShare("clu32l9310087evz5u5v9k1ao", 10 bytes))"#
    );
    let e = unreadable(200, b"secret");
    assert!(format!("{e:?}").starts_with(&e.to_string()));
    let bytes = portal_backup::SecretBytes::new(b"secret".to_vec());
    assert!(!bytes.is_empty() && format!("{bytes:?}") == "SecretBytes(6 bytes)");
    assert!(portal_backup::SecretBytes::new(Vec::new()).is_empty());
}

// Requests

#[test]
fn the_request_body_is_the_documented_one() {
    let request = backup::request(&GenerateResponse::parse(documented::GENERATE_RESPONSE).unwrap());
    assert_eq!((request.method(), request.path()), ("POST", "/v1/backup"));
    assert_eq!(request.to_bytes().expose(), documented::BACKUP_REQUEST.as_bytes());
    assert_eq!(backup::BASE_URL, "https://mpc-client.portalhq.io");
    assert_eq!(portal_backup::wire::CONTENT_TYPE, "application/json");
}

#[test]
fn the_generate_response_is_sent_verbatim() {
    for text in WHOLE.iter().map(|(text, _)| *text).chain([REAL]) {
        let request = backup::request(&GenerateResponse::parse(text).unwrap());
        let body: serde_json::Value = serde_json::from_slice(request.to_bytes().expose()).unwrap();
        assert_eq!(body, serde_json::json!({ "generateResponse": text }));
    }
    let text = "\t{\"SECP256K1\":\r\n{\"share\":\"\\\\\\u00e9/é\u{7f}\u{2028}𝄞\",\"id\":\"b\"},\"ED25519\":{\"share\":\"c\",\"id\":\"d\"}}\n";
    let request = backup::request(&GenerateResponse::parse(text).unwrap());
    let expected = concat!(
        r#"{"generateResponse":"\t{\"SECP256K1\":\r\n{\"share\":\"\\\\\\u00e9/é"#,
        "\u{7f}\u{2028}𝄞",
        r#"\",\"id\":\"b\"},\"ED25519\":{\"share\":\"c\",\"id\":\"d\"}}\n"}"#,
    );
    assert_eq!(core::str::from_utf8(request.to_bytes().expose()).unwrap(), expected);
}

#[test]
fn the_confirm_request_is_the_documented_one() {
    let shares = BackupShares::parse(documented::BACKUP_200).unwrap();
    let stored = shares.store(|_| Ok::<(), ()>(())).unwrap();
    let request = confirm::request(stored.share_pair_ids());
    assert_eq!((request.method(), request.path()), ("PATCH", "/api/v3/clients/me/backup-share-pairs"));
    assert_eq!(request.to_bytes().expose(), documented::CONFIRM_REQUEST.as_bytes());
    assert_eq!(confirm::BASE_URL, "https://api.portalhq.io");
}

#[test]
fn every_character_is_escaped_as_json_asks() {
    for c in (0..0x80_u8).map(char::from) {
        oracle::check_confirm_request([&format!("{c}{c}é"), &format!("a{c}")], &[1, 2, 3, 4, 5, 7, 100]);
    }
}

// Refusals

#[test]
fn the_status_alone_decides_what_a_response_is() {
    let whole = documented::BACKUP_200;
    for status in 0..=999 {
        let backups = [whole, ""].map(|body| backup::response(status, None, body.into()).map(drop));
        let confirmations = [whole, ""].map(|body| confirm::response(status, None, body.into()));
        if let 200..=299 = status {
            assert!(backups[0].is_ok() && confirmations.iter().all(Result::is_ok), "{status}");
            assert!(matches!(backups[1], Err(Failure::Unreadable(_))), "{status}");
            continue;
        }
        for failure in backups.into_iter().chain(confirmations).map(Result::unwrap_err) {
            let refuses = matches!(status, 300..=407 | 409..=499);
            assert_eq!(failure.outcome(), if refuses { Outcome::Refused } else { Outcome::Unknown });
            match failure {
                Failure::Refused(e) if refuses => assert_eq!(e.status(), status),
                Failure::Failed(e) if !refuses => assert_eq!(e.status(), status),
                other => panic!("{status}: {other}"),
            }
        }
    }
}

/// Bodies of a 2xx that confirm.
const CONFIRMED: &str = r#"|{}| {"updated":2} |null|true|"OK"|[]|{"id":"x","message":"done"}|{"error":null,"errors":[]}|
    {"error":false}|{"error":"","errors":{"a":{},"b":[],"c":[null]}}|{"error":" ","errors":{"a":{ "b" : { } }}}|
    {"data":{"error":"deeper"}}"#;

/// Bodies of a 2xx that do not: what is said.
const NOT_CONFIRMED: &[(&str, &[u8])] = &[
    ("it is not JSON", b"no|\0|OK|{|{}{}|{\"a\":1|<p>Log in</p>|\xef\xbb\xbf{}"),
    ("it is not JSON, Log in", b"<html><title>Log in</title></html>"),
    ("it is not UTF-8", b"\xff|\x1f\x8b\x08\0"),
    ("it is an error, BAD_REQUEST, m", br#"{"error":{"id":"BAD_REQUEST","message":"m"}}"#),
    ("it is an error, no such pair", br#"{"error":"no such pair"}"#),
    ("it is an error", br#"{"err\u006fr":true}|{"error":{"a":{"b":[{"c":0}]}}}|{"errors":[[0]]}|[{"error":1}]"#),
    ("it is an error, x", br#"[[{"error":"x"}]]"#),
    ("it is an error, m", br#"{"errors":[{"message":"m"}]}"#),
    ("it is an error, a; b", br#"{"error":null,"errors":["a","b"]}"#),
];

#[test]
fn a_success_confirms_unless_its_body_says_otherwise() {
    for status in [200, 202, 204, 299] {
        for body in CONFIRMED.split('|').chain([" \r\n\t\u{c}", documented::BACKUP_200]) {
            confirm::response(status, Some("soon"), body.into()).unwrap_or_else(|e| panic!("{body}: {e}"));
        }
        let rows = NOT_CONFIRMED.iter().flat_map(|(what, row)| row.split(|b| *b == b'|').map(move |body| (what, body)));
        for (what, body) in rows {
            let Err(Failure::Unreadable(e)) = confirm::response(status, None, body.to_vec()) else { panic!("{what}") };
            assert_eq!(e.outcome(), Outcome::Unknown);
            let len = body.len();
            assert_eq!(
                e.to_string(),
                format!(
                    "confirm: the response (status {status}, {len} bytes) could not be read: {what}; \
                     the shares may be confirmed or not; the call may be repeated"
                )
            );
            assert_eq!(e.into_body(), body);
        }
    }
}

#[test]
fn an_error_says_which_call_failed_and_what_to_do() {
    const REPEAT: &str = "it may have acted, and the call may be repeated";
    const CHECK: &str = "check the key before you call again";
    const READ: &str = "read its message before you call again";
    let said = br#"{"id":"A","message":"b"}"#;
    for (status, retry_after, body, outcome, text) in [
        (400, None, &said[..], "refused", format!("the service refused: status 400, A, b; {READ}")),
        (401, None, b"no", "refused", format!("the service refused: status 401, no; {CHECK}")),
        (409, Some(7), said, "refused", format!("the service refused: status 409, A, b, retry after 7 s; {READ}")),
        (425, None, b"no", "refused", "the service refused: status 425, no; try again later".into()),
        (429, Some(7), b"", "refused", "the service refused: status 429, retry after 7 s; try again later".into()),
        (408, None, b"", "unknown", format!("the service failed: status 408; {REPEAT}")),
        (503, Some(7), said, "unknown", format!("the service failed: status 503, A, b, retry after 7 s; {REPEAT}")),
    ] {
        let after = retry_after.map(|seconds: u64| seconds.to_string());
        let backup = backup::response(status, after.as_deref(), body.to_vec()).map(drop);
        let confirm = confirm::response(status, after.as_deref(), body.to_vec());
        for (call, failure) in [("backup", backup), ("confirm", confirm)] {
            let failure = failure.unwrap_err();
            assert_eq!(failure.to_string(), format!("{call}: {text}"));
            assert_eq!(format!("{failure:?}"), failure.to_string());
            let e = Error::from(failure);
            assert_eq!((e.to_string(), format!("{e:?}")), (format!("{call}: {text}"), format!("{call}: {text}")));
            assert_eq!((e.status(), e.retry_after()), (Some(status), retry_after.map(Duration::from_secs)));
            assert_eq!(serde_json::to_value(e.outcome()).unwrap(), outcome);
            let (Error::Refused(inner) | Error::Failed(inner)) = &e else { panic!("{e}") };
            assert_eq!(matches!(e, Error::Refused(_)), outcome == "refused", "{e}");
            assert_eq!(format!("{inner:?}"), inner.to_string());
            assert_eq!(inner.to_string(), e.to_string());
        }
    }
    let e = Error::from(backup::response(200, None, Vec::new()).unwrap_err());
    assert!(matches!(e, Error::Unreadable(_)));
    assert_eq!((e.status(), e.retry_after(), e.outcome()), (Some(200), None, Outcome::Unknown));
}

/// Bodies of refusals: the id and the message that are made of them, and each with `|` between them.
const REFUSALS: &str = r#"
The documented object: members missing, others there, in any order.
A/ => {"id":"A"}|{"code":320,"id":"A"}|{"error":null,"id":"A"}|{"error":{},"id":"A"}
/m => {"message":"m"}|{"id":null,"message":"m"}|{"id":"\ud800","message":"m"}
A/m => {"x":[{"id":"no"}],"message":"m","y":{"message":"no"},"id":"A"}| { "id" : "A" , "message" : "m" }
A/é 𝄞 "q" => {"\u0069d":"A","m\u0065ssage":"\u00e9 \ud834\udd1e \"q\""}
/m n => {"message":"  m \n\t n\r\n"}
Under `error`, with the deprecated `code`; that beats what is beside it.
A/m => {"error":{"id":"A","message":"m"}}|{"error":{"code":"A","message":"m"}}|{"error":{"message":"m"},"id":"A"}
A/m => {"id":"req-1","message":"n","error":{"id":"A","message":"m"}}|{"message":"m","error":{"id":"A"}}
A/ => {"error":{"code":"B","id":"A"}}|{"error":{"id":"A","code":"B"}}|{"error":{"error":{"id":"deeper"},"id":"A"}}
A text under `error` says least, in any order; other members of gateways; RFC 9457.
/m => {"error":"m"}|{"statusCode":401,"message":"m","error":"Unauthorized"}|{"error":"Unauthorized","message":"m"}
/m => {"error":"invalid_token","error_description":"m"}|{"error":"m","message":[]}|{"message":"","detail":"m","id":""}
/m => {"error":"Bad Request","message":[1,"m",null]}|{"type":"about:blank","title":"No","status":403,"detail":"m"}
Lists; one in a list is read like one list.
/a must be set; b is no id => {"error":"Bad Request","message":["a must be set","b is no id"]}
A/m; n => {"errors":[{"code":"A","message":"m"},{"code":"B","message":"n"}]}
/m; n => {"errors":["m","n"]}|{"errors":["","m","n",""]}
/m => {"errors":[{"title":"t","detail":"m"}]}|{"message":"m","errors":[{"message":"n"}]}|{"error":"n","errors":["m"]}
/m => {"error":{"message":[{"id":"A"},"m",[{"id":"A"}]]}}
A/m => {"errors":[[{"id":"A"}],"n"],"message":[["m"],[[]]]}
JSON that is not all, or is cut short, and a string.
A/ => {"id":"A"} trailing
A/m => {"id":"A","message":"m","reason":"s
/a "text". => "a \"text\"\u002e"
Something else: its title, or its text.
/no end => <title>no end
/502 Bad Gateway => <html><head><title>502 Bad Gateway</title></head></html>
/a<title>b => a<title>b
What could move a cursor or turn a line round is escaped.
A\u{1b}[1m\u{202e}/\u{2066}\u{feff} \u{8} => {"id":"A\u001b[1m\u202e","message":"\u2066\ufeff\r\n\u0008"}
What says nothing that is known to be a message: nothing, other JSON, members that nobody knows.
/ => | |{}| {} |null| 17 |true|[]|["share"]|{"reason":"s|{"id":1,"message":{"m":1}}|{"error":{"error":"m"}}
/ => {"reason":"r","title":"t","errorCode":"c","share":"s"}|{"message":{"message":"m","x":"m"},"data":{"id":"A"}}
/ => {"error":{"x":"m","\u0078":"m"},"errors":[{"x":"m"},[{"y":"A"}]]}|{"error":{"errors":["m"],"x":{"message":"m"}}}
"#;

/// The same of bodies that are no text to be written here.
const OTHER_REFUSALS: &[(&str, &str, &[u8])] = &[
    ("BAD_REQUEST", "Can't parse the request body", documented::BACKUP_400.as_bytes()),
    ("", "Authorization header is missing", documented::BACKUP_401.as_bytes()),
    ("OPERATION_IN_PROGRESS", "Another operation is in progress", documented::ERROR_GUIDE.as_bytes()),
    ("", "", documented::CONFIRM_400.as_bytes()),
    ("A", "", b"{\"id\":\"A\",\"message\":\"\xff\"}"),
    ("", "", b"\xff\xfe"),
    ("", "a b", b" <title lang=\"en\">a\nb</TITLE>"),
    ("", "Acc", b"<html><title>Acc\xe8s refus\xe9</title></html>"),
    ("", "not UTF-8:", b"not UTF-8: \xc3."),
    ("", "a b", b"a\r\n\t b\n"),
    ("", r"\u{1b}[2Jx\u{0}\u{7}\u{7f}", b"\x1b[2Jx\0\x07\x7f"),
    ("", r"a\u{9b}\u{85}\u{ad}b", "a\u{9b}\u{85}\u{ad}b".as_bytes()),
];

#[test]
fn refusals_tell_as_much_as_is_safe_to_show() {
    let mut rows = OTHER_REFUSALS.to_vec();
    for (said, bodies) in REFUSALS.lines().filter_map(|line| line.split_once(" => ")) {
        let (id, message) = said.split_once('/').unwrap();
        rows.extend(bodies.split('|').map(|body| (id, message, body.as_bytes())));
    }
    assert_eq!(rows.len(), 71);
    for (id, message, body) in rows {
        let [id, message] = [id, message].map(|text| Some(text).filter(|text| !text.is_empty()));
        let shown = String::from_utf8_lossy(body);
        for status in [0, 199, 300, 400, 401, 408, 429, 500, 503, 999] {
            let backup = backup::response(status, None, body.into()).map(drop);
            for result in [backup, confirm::response(status, None, body.into())] {
                let Err(Failure::Refused(e) | Failure::Failed(e)) = result else { panic!("{shown}") };
                assert_eq!((e.status(), e.id(), e.message()), (status, id, message), "{shown}");
                let texts: String = [id, message].into_iter().flatten().map(|text| format!(", {text}")).collect();
                assert!(e.to_string().contains(&format!(": status {status}{texts}; ")), "{shown}: {e}");
            }
        }
    }
}

#[test]
fn every_character_that_is_escaped_is_one_that_does_not_print() {
    let must = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    // Behind a brace, there may be JSON.
    let looked_at = ('\0'..'\u{3000}').chain('\u{fe00}'..'\u{10100}').chain('\u{e0000}'..'\u{e0100}');
    for c in looked_at.filter(|c| *c != '{') {
        let e = refused(400, None, format!("a{c}b").as_bytes());
        let expected = match c {
            ' ' | '\t' | '\r' | '\n' => "a b".into(),
            _ if must(c) => format!("a{}b", c.escape_unicode()),
            _ => format!("a{c}b"),
        };
        assert_eq!(e.message(), Some(&*expected), "{:x}", u32::from(c));
    }
}

#[test]
fn json_inside_of_a_text_is_not_shown() {
    let hidden = r#"{"share":"12 34 hush","\u0030":[1]}"#;
    let quoted = serde_json::to_string(hidden).unwrap();
    let twice = serde_json::to_string(&quoted).unwrap();
    for inner in [hidden, &*quoted, &*twice, r#"["hush"]"#, r#"[["hush"]]"#] {
        let json = |text: &str| serde_json::to_string(text).unwrap();
        for (body, expected) in [
            (inner.to_string(), None),
            (format!("\u{feff}{inner}"), None),
            (json(inner), None),
            (json(&json(inner)), None),
            (format!(r#"{{"message":{}}}"#, json(inner)), None),
            (format!(r#"{{"error":{{"detail":{}}}}}"#, json(inner)), None),
            (format!("failed: {inner}"), Some("failed:")),
            (format!(r#"{{"message":{}}}"#, json(&format!("failed: {inner}"))), Some("failed:")),
        ] {
            for status in [400, 500] {
                let failure = backup::response(status, None, body.clone().into_bytes()).unwrap_err();
                let line = failure.to_string();
                assert!(!line.contains("hush"), "{body}: {line}");
                assert!(expected.is_none_or(|text| line.contains(text)), "{body}: {line}");
            }
            let line = backup::response(200, None, body.clone().into_bytes()).unwrap_err().to_string();
            assert!(!line.contains("hush"), "{body}: {line}");
        }
    }
    let e = refused(400, None, br#"{"message":"\"generateResponse\" is required"}"#);
    assert_eq!(e.message(), Some(r#""generateResponse" is required"#));
}

#[test]
fn text_from_the_network_is_cut() {
    let long = "a.".repeat(1 << 20);
    let json = |id: &str, message: &str| format!(r#"{{"id":"{id}","message":"{message}"}}"#);
    let cut = |text: &str, len: usize| text.chars().take(len).chain(['…']).collect::<String>();
    let spaces = " ".repeat(4000);
    let wide = "𝄞".repeat(1 << 20);
    for (body, id, message) in [
        (long.clone(), None, Some(cut(&long, 300))),
        (json(&long[..20_000], &long[..20_000]), Some(cut(&long, 64)), Some(cut(&long, 300))),
        (json(&long[..64], &long[..300]), Some(long[..64].into()), Some(long[..300].into())),
        // Characters are counted, not bytes, those of an escape included.
        ("é𝄞".repeat(400), None, Some(cut(&"é𝄞".repeat(400), 300))),
        ("\u{202e}".repeat(400), None, Some(r"\u{202e}".repeat(37) + "…")),
        // A body of megabytes is not read as JSON, and no piece of a cut character is shown.
        (wide.clone(), None, Some(cut(&wide, 300))),
        (format!(" {wide}"), None, Some(cut(&wide, 300))),
        (format!("  {wide}"), None, Some(cut(&wide, 300))),
        (format!("   {wide}"), None, Some(cut(&wide, 300))),
        // What is looked at ends inside of a character.
        (json("", &format!("a{}", "€".repeat(1000))), None, Some(format!("a{}…", "€".repeat(299)))),
        (json(&format!("a{spaces}b"), &format!("a{spaces}b")), Some("a…".into()), Some("a…".into())),
        (format!(r#"{{"id":"A","x":"{long}"}}"#), Some("A".into()), None),
        // JSON behind a text is cut away, too, with one ellipsis.
        (r#"see {"a":1}"#.into(), None, Some("see…".into())),
        (format!(r#"{}{{"a":1}}"#, &long[..400]), None, Some(cut(&long, 300))),
    ] {
        let e = refused(400, None, body.as_bytes());
        assert_eq!((e.id(), e.message()), (id.as_deref(), message.as_deref()), "{} bytes", body.len());
    }
}

#[test]
fn what_looks_like_a_share_is_not_shown() {
    let share: String = REAL.split('"').find(|text| text.len() > 5000).unwrap().into();
    for (text, message) in [
        (format!("bad share {share}"), "bad share [redacted]…".to_string()),
        (format!("{}, then", &share[..64]), "[redacted], then".into()),
        (format!("{} stays", &share[..63]), format!("{} stays", &share[..63])),
        (format!("x {} y {} z", &share[..64], &share[1..90]), "x [redacted] y [redacted] z".into()),
    ] {
        assert_eq!(refused(400, None, text.as_bytes()).message(), Some(&*message), "{text}");
    }
}

#[test]
fn retry_after_counts_in_seconds() {
    let seconds = ["0", "1", "120", "007", " 5\t", "4294967295", "4294967296", "99999999999999999999999999"];
    let counts = [0, 1, 120, 7, 5, u32::MAX, u32::MAX, u32::MAX].map(Some);
    let wrong = ["", " ", "-1", "+1", "1.5", "1s", "1 2", "0x10", "１", "soon", "Wed, 21 Okt 2015 07:28:00 GMT"];
    for (value, seconds) in seconds.into_iter().zip(counts).chain(wrong.map(|value| (value, None))) {
        for status in [302, 429, 503] {
            let backup = backup::response(status, Some(value), b"slow".to_vec()).unwrap_err();
            let confirm = confirm::response(status, Some(value), b"slow".to_vec()).unwrap_err();
            for failure in [backup, confirm] {
                let (Failure::Refused(e) | Failure::Failed(e)) = failure else { panic!("{value:?}") };
                assert_eq!(e.retry_after(), seconds.map(|s| Duration::from_secs(s.into())), "{value:?}");
                let after = seconds.map(|s| format!(", retry after {s} s")).unwrap_or_default();
                assert!(e.to_string().contains(&format!(": status {status}, slow{after}; ")), "{e}");
            }
        }
    }
}

/// Dates, beside `now` as 784111777 (1994-11-06 08:49:37), and what they come to.
const DATES: &[(&str, Option<u32>)] = &[
    ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
    ("Sun, 06 Nov 1994 08:49:38 GMT", Some(1)),
    (" Sun, 06 Nov 1994 08:50:37 GMT\t", Some(60)),
    // Past.
    ("Sun, 06 Nov 1994 08:49:36 GMT", Some(0)),
    ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
    // Days that are counted wrongly without leap years, and a leap second.
    ("Wed, 28 Feb 1996 08:49:37 GMT", Some(41_385_600)),
    ("Thu, 29 Feb 1996 08:49:37 GMT", Some(41_472_000)),
    ("Fri, 01 Mar 1996 08:49:37 GMT", Some(41_558_400)),
    ("Tue, 01 Mar 2005 00:00:00 GMT", Some(325_523_423)),
    ("Sat, 31 Dec 1994 23:59:60 GMT", Some(4_806_623)),
    ("Sun, 01 Jan 1995 00:00:00 GMT", Some(4_806_623)),
    // Far away.
    ("Fri, 31 Dec 9999 23:59:59 GMT", Some(u32::MAX)),
];

/// The two obsolete forms, and what is no date.
const NO_DATES: &str = "Sunday, 06-Nov-94 08:49:40 GMT|Sun Nov  6 08:49:41 1994|Sun, 06 Nov 1994 08:49:37|\
    Sun, 06 Nov 1994 08:49:37 CET|Sun, 06 Nov 1994 24:49:37 GMT|Sun, 06 Nov 1994 08:60:37 GMT|Sun, 06 Nov 1994 08:49 GMT|\
    Sun, 06 Nov 1994 8:49:37 GMT|Sun, 06 Nov 1994 08:49:37:00 GMT|Sun, 00 Nov 1994 08:49:37 GMT|\
    Sun, 32 Nov 1994 08:49:37 GMT|Sun, 06 Nov 994 08:49:37 GMT|Sun, 06 Nov 19940 08:49:37 GMT|\
    Sun, 06 Nov 1969 08:49:37 GMT|Sat, 01 Jan 0000 00:00:00 GMT|Sun, 06 nov 1994 08:49:37 GMT|1994-11-06T08:49:37Z|\
    a b c d e f g h";

#[test]
fn retry_after_may_be_a_date() {
    for (value, seconds) in DATES.iter().copied().chain(NO_DATES.split('|').map(|value| (value, None))) {
        assert_eq!(retry_after::seconds(value, Some(784_111_777)), seconds, "{value}");
        assert_eq!(retry_after::seconds(value, None), None, "without a clock: {value}");
    }
    // With the clock of this machine.
    let (Failure::Refused(e) | Failure::Failed(e)) =
        backup::response(429, Some("Fri, 31 Dec 9999 23:59:59 GMT"), Vec::new()).unwrap_err()
    else {
        panic!("not refused")
    };
    let expected = cfg!(feature = "client").then(|| Duration::from_secs(u32::MAX.into()));
    assert_eq!(e.retry_after(), expected);
}

// What is no secret, for logs and queues

#[test]
fn what_is_no_secret_is_serialized_in_a_stable_form() {
    fn json(value: &impl serde::Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }
    assert_eq!(
        [Outcome::NotSent, Outcome::Refused, Outcome::Unknown].map(|outcome| json(&outcome)),
        [r#""notSent""#, r#""refused""#, r#""unknown""#]
    );
    let refused = backup::response(429, Some("7"), br#"{"id":"A","message":"\"m\""}"#.to_vec()).map(drop);
    let failed = backup::response(503, None, b"{}".to_vec()).map(drop);
    for (result, expected) in [
        (
            refused,
            r#"{"call":"backup","outcome":"refused","error":"@","status":429,"id":"A","message":"\"m\"","retryAfter":7}"#,
        ),
        (failed, r#"{"call":"backup","outcome":"unknown","error":"@","status":503}"#),
        (
            confirm::response(200, None, b"no".to_vec()),
            r#"{"call":"confirm","outcome":"unknown","error":"@","status":200}"#,
        ),
    ] {
        let e = Error::from(result.unwrap_err());
        assert_eq!(json(&e), expected.replace("\"@\"", &json(&e.to_string())));
    }
    let e = Error::from(ApiKey::new("").unwrap_err());
    assert_eq!(json(&e), r#"{"outcome":"notSent","error":"the client API key is empty; nothing was sent"}"#);
    assert_eq!((e.status(), e.retry_after(), e.outcome()), (None, None, Outcome::NotSent));

    let stored = StoredShares::from_share_pair_ids(["\"a", "b"]).unwrap();
    let text = json(&stored);
    assert_eq!(text, r#"{"backupSharePairIds":["\"a","b"]}"#);
    let read = |text: &str| serde_json::from_str::<StoredShares>(text);
    assert_eq!(read(&text).unwrap(), stored);
    let wrong_ids = r#"["a"]|["a","b","c"]|["a",1]|["a","a"]|["a",""]"#.split('|');
    let wrong_ids = wrong_ids.map(|ids| format!(r#"{{"backupSharePairIds":{ids}}}"#));
    for wrong in ["{}", "[]", "null", r#"[["a","b"]]"#].map(String::from).into_iter().chain(wrong_ids) {
        assert!(read(&wrong).is_err(), "{wrong}");
    }
    let e = read(r#"{"backupSharePairIds":["a","a"]}"#).unwrap_err();
    assert!(e.to_string().starts_with("both share pair ids are the same"), "{e}");
}

// Shares

#[test]
fn shares_decode_with_and_without_padding() {
    // The vectors of RFC 4648, section 10, and the two digits that the url-safe alphabet has otherwise.
    let cases =
        r"Zg=f|Zg===f|Zm8=fo|Zm8==fo|Zm9v=foo|Zm9vYg=foob|Zm9vYg===foob|Zm9vYmE=fooba|Zm9vYmE==fooba|\u005am8=fo";
    let cases = cases.split('|').map(|case| case.rsplit_once('=').unwrap());
    let cases = cases.map(|(share, text)| (share, text.as_bytes()));
    for (share, expected) in cases.chain([("+/+/", &b"\xfb\xff\xbf"[..]), ("+\\/+/", b"\xfb\xff\xbf")]) {
        assert_eq!(with_share(share).secp256k1().decode().unwrap().expose(), expected, "{share}");
    }
}

#[test]
fn what_is_not_base64_does_not_decode() {
    let broken =
        "Z|Zg===|Zm8==|Zm9v=|Zm9v====|=|====|Zg==Zg==|Zm=v|Zm9v Zg| Zm9v|Zm9v\\n|-_-_|Zh|Zh==|Zm9|Zm9=|eyJjbGl...|{}|é";
    for share in broken.split('|') {
        let e = with_share(share).secp256k1().decode().unwrap_err();
        assert_eq!(e.to_string(), "the share is not base64", "{share}");
    }
}

#[test]
fn shares_that_are_cut_or_have_foreign_characters_are_damaged() {
    let json = br#"{"p":"1f","q":[1,2]}"#;
    let base64 = oracle::base64(json, false);
    let padded = oracle::base64(json, true);
    let quoted = r#"{\"p\":\"1f\"}"#;
    let unknown = ["Zg", "W10", "IiI", "IHt9", &oracle::base64(b"\xff\x80", true)].map(String::from);
    let known = [base64.clone(), padded.clone(), quoted.into(), "{}".into()];
    let with_bytes = |bytes: &[u8]| oracle::base64(&[br#"{"p":""#, bytes, br#""}"#].concat(), false);
    let broken =
        [base64.replacen("IjoiMW", "????", 1), base64.replacen('I', "-", 1), with_bytes(b"\xff"), with_bytes(b"\0")];
    let ends = [format!("{base64}\\n"), oracle::base64(b"{} {}", false), oracle::base64(b"{", true)];
    let clear = [&*format!(" {base64}"), "{", " {}", &quoted.replace('}', ""), &format!("{quoted}}}"), "eyJjbGl..."];
    let mut damaged: Vec<_> = broken.into_iter().chain(ends).chain(clear.map(String::from)).collect();
    // A text that is cut has no closing brace, wherever that is; nothing but its first bytes may be something else.
    damaged.extend((3..base64.len()).map(|len| base64[..len].to_string()));
    let check = |[first, second]: [&str; 2]| {
        let text =
            format!(r#"{{"SECP256K1":{{"share":"{first}","id":"b"}},"ED25519":{{"share":"{second}","id":"d"}}}}"#);
        BackupShares::parse(text).unwrap().check()
    };
    for share in &known {
        assert_eq!(check([share, &base64]).unwrap(), ShareForm::Known, "{share}");
    }
    for share in &unknown {
        for shares in [[&**share, &base64], [&base64, share], [share, share]] {
            assert_eq!(check(shares).unwrap(), ShareForm::Unknown, "{share}");
        }
    }
    for share in &damaged {
        for (shares, curve) in [([&**share, &base64], "SECP256K1"), ([&unknown[0], share], "ED25519")] {
            let e = check(shares).expect_err(share).to_string();
            assert!(e.starts_with(&format!("{curve}.share is damaged: it")), "{share}: {e}");
        }
    }
}

#[test]
fn only_storing_or_resuming_makes_stored_shares() {
    let shares = BackupShares::parse(documented::BACKUP_200).unwrap();
    assert_eq!(shares.store(|_| Err::<(), _>("disk full")).unwrap_err(), "disk full");
    let is_verbatim = |json: &str| if json == documented::BACKUP_200 { Ok(()) } else { Err(()) };
    let stored = shares.store(is_verbatim).unwrap();
    assert_eq!(stored.share_pair_ids(), REAL_IDS);
    assert_eq!(StoredShares::from_share_pair_ids(REAL_IDS).unwrap(), stored);
}

// Keys and buffers

#[test]
fn a_key_is_a_bearer_token_of_at_most_4096_bytes() {
    let all = "0123456789-._~+/ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz===";
    for key in ["k", "0d7a11c8-demo", "eyJh.eyJz.a_b-c~", "Zm8=", all, &"k".repeat(4096)] {
        let key_made = ApiKey::new(key).unwrap();
        assert_eq!(key_made.expose(), key);
        assert_eq!(format!("{key_made:?}"), "ApiKey(redacted)");
    }
}

/// What is no key, and what is said about it.
const NO_KEYS: &[(&str, &[&str])] = &[
    ("is empty", &["", " \n"]),
    ("is in quotes: take them away", &["\"k\"", "'k'", "`k`\n", "\u{201c}k\u{201d}", "k\""]),
    ("begins with `Bearer `: take that away", &["Bearer k", "bearer k\n", "BEARER  k"]),
    (
        "is a line for a shell: pass what follows the equals sign alone",
        &["PORTAL_CLIENT_API_KEY=k", "export PORTAL_CLIENT_API_KEY=k", "PORTAL_CLIENT_API_KEY = \u{2032}k", "k=k.k"],
    ),
    (CHARACTER, &["k\n", "k\r\n", " k", "k k", "\u{feff}k", "=", "===", "a.b=c", "Bearerk:", "k\0", "k\u{7f}"]),
    (CHARACTER, &["k\u{1b}[2J", "k\u{e9}", "k:k", "${KEY}", "{\"key\":1}"]),
];
const CHARACTER: &str = "holds a character that no key has: it is made of letters, digits, -._~+/, and = at its end";

#[test]
fn what_is_no_key_is_refused_with_what_to_take_away() {
    let (long, too_long) = ("k".repeat(4095) + ":", "k".repeat(4097));
    let long = [(CHARACTER, &[&*long][..]), ("is longer than 4096 bytes", &[&*too_long])];
    for (what, key) in NO_KEYS.iter().chain(&long).flat_map(|(what, keys)| keys.iter().map(move |key| (what, key))) {
        let e = ApiKey::new(key).unwrap_err();
        assert_eq!(e.to_string(), format!("the client API key {what}"), "{key:?}");
        assert_eq!((e.outcome(), e.position()), (Outcome::NotSent, None));
    }
}
