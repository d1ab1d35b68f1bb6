//! Secrets that can be recognized wherever they turn up.

use std::fmt::Write as _;
use std::sync::OnceLock;

/// The client API key of all tests; it could be a host name, too.
pub const KEY: &str = "KEYMARK-0d7a11c8-KEYMARK-6e1f-KEYMARK";
/// Every piece of a share that is worth stealing holds this.
const SENT: &str = "SENTMARK";
const MADE: &str = "MADEMARK";
const KEY_MARK: &str = "KEYMARK";

/// What goes to the service: two shares of real size.
pub fn generate_response() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| two_shares(SENT, "generate", 0, 15_400))
}

/// As much as a request can hold: more than the kernels of both ends take while nobody reads.
pub fn large_generate_response() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let text = two_shares(SENT, "generate", 0, 15_400);
        // Each of these takes two bytes once it is in a string.
        format!("{{{}{}", "\n".repeat((4 << 20) - text.len()), &text[1..])
    })
}

/// What the service responds: two other shares of real size; each number makes others.
pub fn backup_response(number: usize) -> String {
    backup_response_of(15_400, number)
}

/// The same with shares of about that length together.
pub fn backup_response_of(len: usize, number: usize) -> String {
    two_shares(MADE, "backup", number, len)
}

fn two_shares(mark: &str, id: &str, number: usize, len: usize) -> String {
    let share = |curve| format!("{mark}{curve}{number}").repeat((len / 2 / (mark.len() + 2)).max(1));
    format!(
        r#"{{"SECP256K1":{{"share":"{}","id":"{id}-secp-{number}"}},"ED25519":{{"share":"{}","id":"{id}-ed-{number}"}}}}"#,
        share("S"),
        share("E"),
    )
}

/// Fails when `text` holds the key or a share, or a recognizable part of one in any form that Rust prints bytes in.
#[track_caller]
pub fn assert_none_in(what: &str, text: &str) {
    for mark in [KEY_MARK, SENT, MADE] {
        // Half a mark is enough to be one: `Debug` of bytes is cut at any place.
        let mark = &mark[..6];
        let decimal: Vec<_> = mark.bytes().map(|b| b.to_string()).collect();
        let mut hex = String::new();
        mark.bytes().for_each(|b| write!(hex, "{b:02x}").unwrap());
        for form in [mark.into(), mark.to_lowercase(), decimal.join(", "), decimal.join(","), hex.to_uppercase(), hex] {
            if let Some(at) = text.find(&form) {
                panic!("{what} shows a secret ({form}): {}", line_around(text, at));
            }
        }
    }
}

fn line_around(text: &str, at: usize) -> String {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    text[start..].lines().next().unwrap_or_default().chars().take(2000).collect()
}
