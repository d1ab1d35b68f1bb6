//! The wire layer against serde_json, on texts and bytes that nobody thought of; needs no feature of the crate.

#![allow(clippy::unwrap_used, reason = "a test that fails must stop")]

mod oracle;

use portal_backup::BackupShares;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn any_text_comes_out_of_the_request_as_it_went_in(
        first in text(),
        second in text(),
        sizes in vec(0..300_usize, 0..20),
    ) {
        oracle::check_confirm_request([&first, &second], &sizes);
    }

    #[test]
    fn any_generate_response_is_sent_verbatim(text in document(), sizes in vec(0..300_usize, 0..20)) {
        oracle::check_generate_response(&text, &sizes);
    }

    #[test]
    fn whatever_serde_json_accepts_is_accepted_with_the_same_strings_and_nothing_else(text in document()) {
        oracle::check_response(text.as_bytes());
    }

    #[test]
    fn a_damaged_document_is_what_serde_json_says(text in mutated(document())) {
        oracle::check_response(&text);
    }

    #[test]
    fn errors_of_any_shape_are_bounded_and_printable(
        body in near_error(),
        status in select(vec![200_u16, 302, 400, 408, 503]),
    ) {
        oracle::check_refusal(status, None, &body);
    }
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn any_bytes_are_responses_that_cause_no_panic(
        status in any::<u16>(),
        retry_after in proptest::option::of(any::<String>()),
        body in vec(any::<u8>(), 0..200),
    ) {
        oracle::check_refusal(status, retry_after.as_deref(), &body);
        oracle::check_refusal(400, retry_after.as_deref(), &body);
        oracle::check_response(&body);
    }

    #[test]
    fn long_texts_are_cut(text in "\\PC{0,8}|[\u{0}-\u{ff}]{0,8}", times in 0..400_usize) {
        let text = text.repeat(times);
        oracle::check_refusal(400, None, text.as_bytes());
        oracle::check_refusal(400, None, serde_json::json!({ "id": text, "message": text }).to_string().as_bytes());
    }

    #[test]
    fn decoding_undoes_encoding(bytes in vec(any::<u8>(), 1..100), pad in any::<bool>()) {
        prop_assert_eq!(decoded(&oracle::base64(&bytes, pad)), Some(bytes));
    }

    #[test]
    fn only_one_spelling_decodes_to_the_same_bytes(share in "[A-Za-z0-9+/]{1,12}={0,2}|[ -~]{1,8}") {
        if let Some(bytes) = decoded(&share) {
            prop_assert_eq!(oracle::base64(&bytes, false), share.trim_end_matches('='));
        }
    }
}

fn decoded(share: &str) -> Option<Vec<u8>> {
    let text = serde_json::json!({"SECP256K1": {"share": share, "id": "b"}, "ED25519": {"share": "c", "id": "d"}});
    let shares = BackupShares::parse(text.to_string()).unwrap();
    shares.secp256k1().decode().ok().map(|bytes| bytes.expose().to_vec())
}

type Texts = BoxedStrategy<String>;

/// A JSON text of any shape, mostly near the documented one.
fn document() -> Texts {
    let share = || member("share", string(), 0);
    let id = || member("id", string(), 0);
    let right = (vec(any_member(), 0..3), prop_oneof![(share(), id()), (id(), share())]).prop_map(
        |(mut members, (first, second))| {
            members.insert(0, first);
            members.push(second);
            object(&members)
        },
    );
    let some = vec(prop_oneof![2 => share(), 2 => id(), 1 => any_member()], 0..4);
    let pair = prop_oneof![40 => right, 2 => some.prop_map(|members| object(&members)), 1 => value()].boxed();
    let both = (member("SECP256K1", pair.clone(), 1), member("ED25519", pair.clone(), 1), vec(any_member(), 0..3))
        .prop_flat_map(|(first, second, mut members)| {
            members.extend([first, second]);
            Just(members).prop_shuffle()
        });
    let some = prop_oneof![member("SECP256K1", pair.clone(), 0), member("ED25519", pair, 0), any_member()];
    let members = prop_oneof![10 => both, 1 => vec(some, 0..5)];
    let text = prop_oneof![40 => members.prop_map(|members| object(&members)), 1 => value()];
    (space(), text, space()).prop_map(|(before, text, after)| before + &text + &after).boxed()
}

fn object(members: &[String]) -> String {
    format!("{{{}}}", members.join(","))
}

/// A member of this name, of which up to so many characters are escaped.
fn member(name: &'static str, value: Texts, escapes: usize) -> Texts {
    (vec(any::<Index>(), 0..=escapes), space(), value)
        .prop_map(move |(escaped, space, value)| {
            let mut name: Vec<_> = name.chars().map(String::from).collect();
            for at in escaped {
                let c = at.index(name.len());
                name[c] = name[c].chars().map(|c| format!("\\u{:04X}", u32::from(c))).collect();
            }
            format!("{space}\"{}\"{space}:{space}{value}{space}", name.concat())
        })
        .boxed()
}

fn any_member() -> Texts {
    (string(), value()).prop_map(|(name, value)| format!("{name}:{value}")).boxed()
}

fn value() -> Texts {
    const PLAIN: &[&str] = &["null", "true", "false", "0", "-0.5e-7", "1E+2", r#""\ud800""#];
    const WRONG: &[&str] = &["01", "nul", "-", "1.", "1e", "", "\"\t\""];
    let leaf = prop_oneof![
        60 => string(),
        20 => select(PLAIN).prop_map(String::from),
        20 => any::<i64>().prop_map(|n| n.to_string()),
        20 => any::<f64>().prop_map(|n| serde_json::json!(n).to_string()),
        1 => select(WRONG).prop_map(String::from),
    ];
    let inner = |inner: Texts| {
        let array = (vec(inner.clone(), 0..4), space())
            .prop_map(|(values, space)| format!("[{space}{}{space}]", values.join(",")));
        let member = (string(), inner).prop_map(|(name, value)| format!("{name}:{value}"));
        prop_oneof![array, vec(member, 0..4).prop_map(|members| object(&members))]
    };
    leaf.prop_recursive(3, 12, 4, inner).boxed()
}

/// A JSON string, some of its characters escaped in one of the ways there are.
fn string() -> Texts {
    const ESCAPES: &[&str] = &[r#"\""#, r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t", r"\u0000", r"\uD834\uDD1E"];
    let spelled = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
    let plain = |c: char| match c {
        '"' | '\\' | '\0'..' ' => String::new(),
        c => c.to_string(),
    };
    let piece = prop_oneof![
        6 => "[ -!#-\\[\\]-~]{1,6}",
        2 => any::<char>().prop_map(plain),
        1 => any::<char>().prop_map(spelled),
        1 => select(ESCAPES).prop_map(String::from),
    ];
    let pieces = prop_oneof![20 => vec(piece, 1..4), 1 => Just(Vec::new())];
    pieces.prop_map(|pieces| format!("\"{}\"", pieces.concat())).boxed()
}

fn space() -> Texts {
    prop_oneof![3 => Just(String::new()), 1 => "[ \t\r\n]{0,3}"].boxed()
}

/// Changes a text at a few places.
fn mutated(text: Texts) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<u8>().prop_map(|b| vec![b]),
        select(&b"{}[]\":,\\ 0-e.tu\n"[..]).prop_map(|b| vec![b]),
        Just(Vec::new()),
        Just(br#""share":"x","#.to_vec()),
    ];
    (text, vec((any::<Index>(), 0..3_usize, piece), 1..3)).prop_map(|(text, changes)| {
        let mut bytes = text.into_bytes();
        for (at, removed, piece) in changes {
            let at = at.index(bytes.len() + 1);
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, piece);
        }
        bytes
    })
}

/// Any text, mostly of what an escaper has to look at.
fn text() -> impl Strategy<Value = String> {
    let c = prop_oneof![
        3 => any::<char>(),
        3 => (0..0x80_u8).prop_map(char::from),
        2 => (0..0x20_u8).prop_map(char::from),
        2 => select(vec!['"', '\\', '/', '\u{7f}', '\u{2028}']),
    ];
    // Long ones as well: those are escaped in blocks.
    let plain = prop_oneof![Just(String::new()), "[a-z\"]{0,200}"];
    (plain.clone(), vec(c, 0..40), plain).prop_map(|(before, text, after)| before + &String::from_iter(text) + &after)
}

fn near_error() -> impl Strategy<Value = Vec<u8>> {
    let known = |value: Texts| {
        let names = ["id", "id", "message", "message", "code", "error", "error", "errors"];
        let names = [&names[..], &["errorCode", "error_description", "detail", "title"]].concat();
        prop_oneof![12 => select(names).prop_flat_map(move |name| member(name, value.clone(), 1)), 1 => any_member()]
    };
    let object_of = |value| vec(known(value), 0..4).prop_map(|members| object(&members)).boxed();
    let text = object_of(prop_oneof![value(), object_of(value())].boxed());
    prop_oneof![2 => text.clone().prop_map(String::into_bytes), 1 => mutated(text)]
}
