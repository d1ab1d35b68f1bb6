//! JSON from outside: serde_json checks it, and what is read of it are slices of the text.
//!
//! Read by serde_json, a string with an escape in it would be copied to a buffer that nobody wipes, and a value of the
//! wrong type to the text of an error.

use core::ops::Range;

use memchr::{memchr, memchr2};
use serde_json::value::RawValue;

use crate::secret::SecretString;

/// Checks that a text is one JSON value.
pub(super) fn check(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<&RawValue>(text).map(drop)
}

/// The names of the members around a value, outermost first; the third may be any from the third level down.
pub(super) type MemberPath<'a> = [Option<&'a str>; 3];

/// Splits JSON into values: each with the path of the members that it is in, and the elements of an array with that of the
/// array. Text that is not JSON gives arbitrary values.
pub(super) struct Reader<'t> {
    text: &'t str,
    rest: &'t str,
    names: [Option<JsonString>; 3],
    /// How many objects the rest is in.
    depth: usize,
}

impl<'t> Reader<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, rest: text, names: [const { None }; 3], depth: 0 }
    }

    /// The path of the value that was read last.
    pub(super) fn path(&self) -> MemberPath<'_> {
        self.names.each_ref().map(|name| name.as_ref().map(|name| name.as_str(self.text)))
    }

    /// The next value as it is written; of an object or array the bracket, and then what is in it.
    pub(super) fn next_value(&mut self) -> Option<&'t str> {
        loop {
            let start = self.rest.trim_start_matches([' ', '\t', '\r', '\n', ',', ':', ']']);
            let before = &self.rest[..self.rest.len() - start.len()];
            let (token, rest) = start.split_at(token_len(start));
            self.rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
            // A text that is cut may end with a name.
            let is_name = self.rest.starts_with(':') || self.rest.is_empty() && !before.contains(':');
            match token.bytes().next()? {
                b'}' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.names.iter_mut().skip(self.depth).for_each(|name| *name = None);
                }
                b'"' if self.depth > 0 && is_name => {
                    // A name with an unpaired surrogate becomes empty, which equals no known name.
                    self.names[self.depth.min(3) - 1] = Some(JsonString::new(token, self.text).unwrap_or_default());
                }
                b'{' => {
                    self.depth += 1;
                    return Some(token);
                }
                _ => return Some(token),
            }
        }
    }
}

fn token_len(text: &str) -> usize {
    match text.bytes().next() {
        Some(b'{' | b'}' | b'[') => 1,
        Some(b'"') => {
            let mut end = 1 + memchr2(b'"', b'\\', &text.as_bytes()[1..]).unwrap_or(text.len());
            while text.as_bytes().get(end) == Some(&b'\\') {
                // In a string with an escape, the next is near: no search in blocks.
                let rest = text.as_bytes().get(end + 2..).unwrap_or_default();
                end += 2 + rest.iter().position(|b| matches!(b, b'"' | b'\\')).unwrap_or(rest.len());
            }
            text.len().min(end + 1)
        }
        _ => text.find([' ', '\t', '\r', '\n', ',', ':', '{', '}', '[', ']', '"']).unwrap_or(text.len()),
    }
}

/// A JSON string without its quotes and escapes: a part of the text that it is in, unless it holds an escape.
#[derive(Default)]
pub(super) struct JsonString {
    pub(super) range: Range<usize>,
    unescaped: Option<SecretString>,
}

impl JsonString {
    /// Reads a JSON value; `None` when it is no string, or one with half a surrogate pair, which stands for no text.
    pub(super) fn new(value: &str, text: &str) -> Option<Self> {
        let written = value.strip_prefix('"')?.strip_suffix('"')?;
        match memchr(b'\\', written.as_bytes()) {
            Some(_) => Some(Self { range: 0..0, unescaped: Some(unescape(written)?) }),
            None => Some(Self { range: range_of(written, text), unescaped: None }),
        }
    }

    pub(super) fn as_str<'a>(&'a self, text: &'a str) -> &'a str {
        let written = || text.get(self.range.clone()).unwrap_or_default();
        self.unescaped.as_ref().map_or_else(written, SecretString::expose)
    }
}

fn unescape(mut written: &str) -> Option<SecretString> {
    // An escape is never shorter than what it stands for, so this never grows.
    let mut out = SecretString::with_capacity(written.len());
    let mut from = 0;
    while let Some(at) = written.as_bytes().get(from..)?.iter().position(|b| *b == b'\\') {
        out.push_within_capacity(&written[..from + at]);
        written = &written[from + at + 1..];
        let (c, len) = match written.bytes().next()? {
            b'b' => ('\u{8}', 1),
            b'f' => ('\u{c}', 1),
            b'n' => ('\n', 1),
            b'r' => ('\r', 1),
            b't' => ('\t', 1),
            b'u' => {
                let unit = |at: usize| u16::from_str_radix(written.get(at..at + 4)?, 16).ok();
                let second = written.get(5..7).filter(|next| *next == "\\u").and_then(|_| unit(7));
                let c = char::decode_utf16([unit(1)?].into_iter().chain(second)).next()?.ok()?;
                (c, if c > '\u{ffff}' { 11 } else { 5 })
            }
            _ => {
                // Stands for itself, a backslash too.
                from = 1;
                continue;
            }
        };
        out.push_within_capacity(c.encode_utf8(&mut [0; 4]));
        (written, from) = (written.get(len..)?, 0);
    }
    out.push_within_capacity(written);
    Some(out)
}

/// Where a slice of `text` stands in it.
pub(super) fn range_of(part: &str, text: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    start..start.wrapping_add(part.len())
}
