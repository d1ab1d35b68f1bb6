//! What must hold for any input, told by serde_json where it can tell; for the property tests and the fuzz targets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails must stop")]
#![allow(dead_code, unreachable_pub, reason = "each user needs its part")]

use core::fmt;
use core::marker::PhantomData;

use portal_backup::wire::{Failure, Request, backup, confirm};
use portal_backup::{BackupShares, Error, GenerateResponse, MpcErrorResponse};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The documented response as serde reads it.
#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct MpcShareResponse {
    secp256k1: Object<MpcShare>,
    ed25519: Object<MpcShare>,
}

#[derive(Deserialize)]
struct MpcShare {
    share: String,
    id: String,
}

/// Derived structs can be read from an array, too, which is not documented.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FromMap<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for FromMap<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(FromMap(PhantomData)).map(Object)
    }
}

/// Both shares and their ids as serde_json finds them, if they are there and not empty.
fn four_of_serde(text: &[u8]) -> Option<[String; 4]> {
    // From a slice, serde_json would not look at the encoding of what it skips.
    let text = core::str::from_utf8(text).ok()?;
    let Object(found) = serde_json::from_str::<Object<MpcShareResponse>>(text).ok()?;
    let (Object(first), Object(second)) = (found.secp256k1, found.ed25519);
    let four = [first.share, first.id, second.share, second.id];
    four.iter().all(|text| !text.is_empty()).then_some(four)
}

fn four_of_ours(shares: &BackupShares) -> [String; 4] {
    let [first, second] = [shares.secp256k1(), shares.ed25519()];
    [first.expose_share(), first.id(), second.expose_share(), second.id()].map(String::from)
}

/// A response is accepted if serde_json accepts it, with the same four strings and two different short ids; whatever it
/// is, no byte is lost.
pub fn check_response(text: &[u8]) {
    let ours = match backup::response(200, None, text.to_vec()) {
        Ok(shares) => {
            assert_eq!(shares.expose_json().as_bytes(), text);
            for share in [shares.secp256k1(), shares.ed25519()] {
                if let Ok(decoded) = share.decode() {
                    assert_eq!(base64(decoded.expose(), false), share.expose_share().trim_end_matches('='));
                }
            }
            Some(four_of_ours(&shares))
        }
        Err(Failure::Unreadable(e)) => {
            assert_eq!(e.into_body(), text);
            None
        }
        Err(other) => panic!("a success is never {other:?}"),
    };
    assert_eq!(ours, BackupShares::parse(text).ok().as_ref().map(four_of_ours));
    let theirs = four_of_serde(text).filter(|four| four[1] != four[3]);
    // serde_json wants names that stand for text. JSON does not, and to us a name that does not is an unknown one.
    let may_hold_surrogate = || text.windows(3).any(|w| w.eq_ignore_ascii_case(br"\ud"));
    // Ids are bounded as they are written, where each byte may take six.
    let may_be_long = |four: &[String; 4]| [&four[1], &four[3]].into_iter().any(|id| id.len() > 256 / 6);
    if ours.is_none() && theirs.as_ref().is_some_and(may_be_long) {
        return;
    }
    if ours != theirs && !(theirs.is_none() && may_hold_surrogate()) {
        assert_eq!(ours, theirs, "serde_json says otherwise");
    }
}

/// A generate response is accepted if a response like it would be, but for equal ids, and leaves verbatim, as serde_json
/// would write it, through buffers of any sizes.
pub fn check_generate_response(text: &str, sizes: &[usize]) {
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct BackupRequest {
        generate_response: String,
    }

    let generate = GenerateResponse::parse(text);
    let same_ids = || BackupShares::parse(text).unwrap_err().to_string().contains("ED25519.id is the same as");
    assert!(generate.is_ok() == BackupShares::parse(text).is_ok() || generate.is_ok() && same_ids());
    if let Ok(generate) = generate {
        let request = backup::request(&generate);
        let read: BackupRequest = serde_json::from_slice(request.to_bytes().expose()).unwrap();
        assert_eq!(read.generate_response, text);
        check_body(&request, &serde_json::to_vec(&read).unwrap(), sizes);
    }
}

/// A body comes whole, through buffers of these sizes in turn, and the same each time.
fn check_body(request: &Request<'_>, expected: &[u8], sizes: &[usize]) {
    assert_eq!(request.body_len(), expected.len());
    assert_eq!(request.to_bytes().expose(), expected);
    let mut body = request.body();
    let mut left = expected;
    for size in sizes.iter().copied().filter(|size| *size > 0).chain([1, 2, 3, 5, 7, 64, 127, 128, 129]).cycle() {
        let mut buffer = vec![0xee; size];
        let len = body.read(&mut buffer);
        assert_eq!(len, size.min(left.len()), "it stops at the end alone");
        let (now, after) = left.split_at(len);
        assert_eq!(&buffer[..len], now);
        assert!(buffer[len..].iter().all(|&b| b == 0xee), "behind what it says that it wrote");
        left = after;
        assert_eq!(body.remaining(), left.len());
        if len == 0 {
            break;
        }
    }
    assert!(left.is_empty());
    assert_eq!(request.body().remaining(), expected.len(), "each begins at the start");
}

/// Any two ids leave as serde_json would write them.
pub fn check_confirm_request(ids: [&str; 2], sizes: &[usize]) {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ConfirmRequest<'a> {
        status: &'a str,
        backup_share_pair_ids: [&'a str; 2],
    }

    let expected = ConfirmRequest { status: "STORED_CLIENT_BACKUP_SHARE", backup_share_pair_ids: ids };
    check_body(&confirm::request(ids), &serde_json::to_vec(&expected).unwrap(), sizes);
}

/// Any response with any status is either a success, or told in bounds and without a character that does not print.
pub fn check_refusal(status: u16, retry_after: Option<&str>, body: &[u8]) {
    let backup = backup::response(status, retry_after, body.to_vec()).map(drop);
    let confirm = confirm::response(status, retry_after, body.to_vec());
    let is_success = (200..300).contains(&status);
    let json = serde_json::from_slice::<serde_json::Value>(body);
    match json.as_ref().map(|json| (json.get("error"), json.get("errors"))) {
        Ok((None, None)) => assert_eq!(confirm.is_ok(), is_success),
        // serde_json does not take any number or depth for a value.
        Ok(_) | Err(_) => assert!(is_success || confirm.is_err()),
    }
    assert!(confirm.is_ok() || !is_success || !body.trim_ascii().is_empty());
    for failure in [backup, confirm].into_iter().filter_map(Result::err) {
        match &failure {
            Failure::Refused(e) | Failure::Failed(e) => {
                assert_eq!(matches!(failure, Failure::Refused(_)), (300..500).contains(&status) && status != 408);
                assert_eq!(e.status(), status);
                check_shown(e);
            }
            Failure::Unreadable(e) => {
                assert!((200..300).contains(&status));
                assert_eq!(e.expose_body(), body);
            }
            other => panic!("unknown {other:?}"),
        }
        let shown = failure.to_string() + &Error::from(failure).to_string();
        assert!(!shown.contains(char::is_control), "{shown}");
    }
}

fn check_shown(e: &MpcErrorResponse) {
    for (text, limit) in [(e.id(), 64), (e.message(), 300)] {
        let Some(text) = text else { continue };
        assert!(!text.is_empty() && text == text.trim_matches(' '), "{text:?}");
        assert!(text.strip_suffix('…').unwrap_or(text).chars().count() <= limit, "{text:?}");
    }
    for shown in [e.to_string(), format!("{e:?}")] {
        assert!(shown.len() < 4096);
        assert!(!shown.contains(char::is_control), "{shown}");
        assert!(!shown.contains(['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{2028}']), "{shown}");
    }
}

/// RFC 4648, section 4, by the book.
pub fn base64(bytes: &[u8], pad: bool) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | usize::from(*group.get(i).unwrap_or(&0)));
        for i in 0..4 {
            if i <= group.len() {
                text.push(char::from(ALPHABET[bits >> (18 - 6 * i) & 63]));
            } else if pad {
                text.push('=');
            }
        }
    }
    text
}
