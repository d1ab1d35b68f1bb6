//! Texts that are often passed in place of two shares.

use super::json::{first, inside, trim_start, unescape, walk, which};

/// The curves, by the names that the API gives them.
pub(super) const CURVES: [&str; 2] = ["SECP256K1", "ED25519"];

/// What an error of the API is called here.
pub(super) const ERROR: &str = "is an error that the API answered";

/// What a text is that is not two shares, and what to do about it; `None` when it looks like nothing that is known.
pub(super) fn lookalike(text: &str) -> Option<[&'static str; 2]> {
    let first_line = text.lines().map(str::trim_start).find(|line| !line.is_empty())?;
    let mut start = trim_start(text).bytes();
    let two =
        (start.next().unwrap_or_default(), start.find(|b| !b.is_ascii_whitespace()).unwrap_or_default());
    Some(match two {
        _ if text.starts_with('\u{feff}') => ["begins with a byte order mark", "leave that out"],
        _ if first_line.starts_with("HTTP/") => ["is a whole HTTP answer", "pass its body alone"],
        _ if first_line.contains(" HTTP/") => ["is a whole HTTP request", "pass what is inside of its body"],
        (b'{', b'\\') | (b'"', b'{') => {
            ["is a JSON string with the JSON text inside", "decode that once more"]
        }
        (b'\'' | b'`', b'{') => ["is in quotes", "take them away"],
        (b'<', _) => ["is a web page", "pass what the API answered"],
        (b'[', b'{' | b'"') => ["is a JSON array", "pass the object inside it"],
        (b'{', _) => return object(text),
        _ if text.contains("\n{") => ["has other lines before the JSON object", "pass the object alone"],
        _ => return None,
    })
}

fn object(text: &str) -> Option<[&'static str; 2]> {
    const NAMES: [&str; 6] = ["generateResponse", "backupResponse", "error", "errors", "message", "id"];
    let (mut has_curve, mut is_request, mut is_wrapped, mut is_error) = (false, false, false, false);
    let is_json = walk(text, &mut |name, value| match which(name, &NAMES) {
        Some(0 | 1) => is_request = true,
        None if which(name, &CURVES).is_some() => has_curve = true,
        _ if holds_both(value) => is_wrapped = true,
        Some(_) => is_error = true,
        None => {}
    });
    match (is_request, is_wrapped, is_error) {
        _ if !is_json || has_curve => None,
        (true, ..) => Some(["is a saved request", "pass the text inside its `generateResponse` alone"]),
        (_, true, _) => {
            Some(["has its shares one level deeper, as under `data`", "pass that member's value alone"])
        }
        (.., true) => Some([ERROR, "read its message: it holds no shares"]),
        _ => None,
    }
}

/// Whether a value is an object with both curves, or a string with the text of one.
fn holds_both(value: &str) -> bool {
    let mut seen = [false; 2];
    let mut see = |name: &str, _: &str| {
        if let Some(i) = which(name, &CURVES) {
            seen[i] = true;
        }
    };
    match first(value) {
        Some(b'{') => _ = walk(value, &mut see),
        Some(b'"') => {
            let Some(text) = inside(value).and_then(unescape) else { return false };
            walk(text.expose(), &mut see);
        }
        _ => {}
    }
    seen == [true; 2]
}
