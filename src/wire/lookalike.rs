//! Texts that are often passed in place of two shares.

use super::json::{Unescaped, inside, trim_start, unescape, walk, which};

/// The curves, by the names that the API gives them.
pub(super) const CURVES: [&str; 2] = ["SECP256K1", "ED25519"];

/// What an error of the API is called here.
pub(super) const ERROR: &str = "is an error that the API answered";

pub(super) const PAGE: &str = "is a web page";

/// What a text is that is not two shares, and what to do about it; `None` when it looks like nothing that is known.
pub(super) fn lookalike(text: &str) -> Option<[&'static str; 2]> {
    let first_line = text.lines().map(str::trim_start).find(|line| !line.is_empty())?;
    let mut words = first_line.split(' ');
    let is_method = words.next()?.bytes().all(|b| b.is_ascii_uppercase());
    let is_request = is_method && words.nth(1).is_some_and(|version| version.starts_with("HTTP/"));
    let mut start = trim_start(text).bytes();
    let two =
        (start.next().unwrap_or_default(), start.find(|b| !b.is_ascii_whitespace()).unwrap_or_default());
    Some(match two {
        _ if text.starts_with('\u{feff}') => ["begins with a byte order mark", "leave that out"],
        _ if first_line.starts_with("HTTP/") => ["is a whole HTTP answer", "pass its body alone"],
        _ if is_request => ["is a whole HTTP request", "pass what is inside of its body"],
        (b'{', b'\\') | (b'"', b'{') => {
            ["is a JSON string with the JSON text inside", "decode that once more"]
        }
        (b'\'' | b'`', b'{') => ["is in quotes", "take them away"],
        (b'<', _) => [PAGE, "pass what the API answered"],
        (b'[', b'{' | b'"') => ["is a JSON array", "pass the object inside it"],
        (b'{', _) => return object(text),
        _ if text.lines().any(|line| line.starts_with('{')) => {
            ["has other lines before the JSON object", "pass the object alone"]
        }
        _ => return None,
    })
}

fn object(text: &str) -> Option<[&'static str; 2]> {
    const NAMES: [&str; 8] =
        [CURVES[0], CURVES[1], "generateResponse", "backupResponse", "error", "errors", "message", "id"];
    // What says most comes first.
    let mut kind = usize::MAX;
    let is_json = walk(text, &mut |name, value| {
        kind = kind.min(match which(name, &NAMES) {
            Some(0 | 1) => 0,
            Some(2 | 3) => 1,
            _ if holds_both(value) => 2,
            Some(_) => 3,
            None => usize::MAX,
        });
    });
    Some(match kind {
        1 if is_json => ["is a saved request", "pass the text inside its `generateResponse` alone"],
        2 if is_json => {
            ["has its shares one level deeper, as under `data`", "pass that member's value alone"]
        }
        3 if is_json => [ERROR, "read its message: it holds no shares"],
        _ => return None,
    })
}

/// Whether a value is an object with both curves, or a string with the text of one.
fn holds_both(value: &str) -> bool {
    let unescaped = inside(value).and_then(unescape);
    let mut seen = [false; 2];
    walk(unescaped.as_ref().map_or(value, Unescaped::expose), &mut |name, _| {
        which(name, &CURVES).into_iter().for_each(|i| seen[i] = true);
    });
    seen == [true; 2]
}
