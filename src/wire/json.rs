//! JSON from outside, read by serde_json without a copy of any value.
//!
//! Strings and names stay as they are written, as slices of the text: one with an escape in it would be copied to a
//! buffer that serde_json does not wipe, and a value of the wrong type to the text of an error.

use core::fmt;
use core::ops::Range;

use memchr::{memchr, memchr_iter, memrchr};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::secret::SecretString;

/// Calls `each` with the name and value of each member of an object, or with `""` and each element of an array, as they
/// are written; returns whether the text is an object or array, and nothing else.
pub(super) fn walk<'t>(text: &'t str, each: &mut dyn FnMut(&'t str, &'t str)) -> bool {
    let mut json = serde_json::Deserializer::from_str(text);
    // Only what begins rightly is handed over.
    let walked = match trim_start(text).bytes().next() {
        Some(b'{') => json.deserialize_map(Walk(each)),
        Some(b'[') => json.deserialize_seq(Walk(each)),
        _ => return false,
    };
    walked.is_ok() && json.end().is_ok()
}

struct Walk<'a, 't>(&'a mut dyn FnMut(&'t str, &'t str));

impl<'t> Visitor<'t> for Walk<'_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or array")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some((name, value)) = members.next_entry::<&RawValue, &RawValue>()? {
            (self.0)(name.get(), value.get());
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(value) = elements.next_element::<&RawValue>()? {
            (self.0)("", value.get());
        }
        Ok(())
    }
}

pub(super) fn trim_start(text: &str) -> &str {
    let space = text.bytes().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
    &text[space..]
}

/// What a string, as it is written, has between its quotes; `None` when it is another value.
pub(super) fn inside(string: &str) -> Option<&str> {
    string.strip_prefix('"')?.strip_suffix('"')
}

/// Which of these a name, as it is written, stands for.
pub(super) fn which(name: &str, wanted: &[&str]) -> Option<usize> {
    let name = inside(name)?;
    wanted.iter().position(|wanted| {
        let mut left = Some(*wanted);
        let is_text = unescape_to(name, |piece| left = left.and_then(|left| left.strip_prefix(piece)));
        is_text.is_some() && left == Some("")
    })
}

/// What a string stands for: a slice of its text, or a copy without escapes where it really holds one.
pub(crate) enum Unescaped<'t> {
    Slice(&'t str),
    Copy(SecretString),
}

impl Unescaped<'_> {
    pub(crate) fn expose(&self) -> &str {
        match self {
            Self::Slice(text) => text,
            Self::Copy(text) => text.expose(),
        }
    }
}

pub(super) fn has_escape(inside: &str) -> bool {
    memchr(b'\\', inside.as_bytes()).is_some()
}

/// Takes the escapes out of what is between two quotes; `None` when it holds an unpaired surrogate.
pub(super) fn unescape(inside: &str) -> Option<Unescaped<'_>> {
    if !has_escape(inside) {
        return Some(Unescaped::Slice(inside));
    }
    // An escape is never shorter than what it stands for, so this never grows.
    let mut out = SecretString::with_capacity(inside.len());
    unescape_to(inside, |text| out.push_within_capacity(text))?;
    Some(Unescaped::Copy(out))
}

/// The same, piece by piece.
pub(super) fn unescape_to(inside: &str, mut out: impl FnMut(&str)) -> Option<()> {
    // A quote, a backslash or a slash that was escaped is the first of `rest`, and `seen`.
    let (mut rest, mut seen) = (inside, 0);
    while let Some(at) = find_escape(&rest.as_bytes()[seen..]) {
        out(&rest[..seen + at]);
        rest = &rest[seen + at + 1..];
        seen = 0;
        let c = match rest.bytes().next()? {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let mut digits = rest;
                let units = core::iter::from_fn(|| {
                    let (unit, after) =
                        digits.strip_prefix(if seen == 0 { "u" } else { "\\u" })?.split_at_checked(4)?;
                    (digits, seen) = (after, rest.len() - after.len());
                    u16::from_str_radix(unit, 16).ok()
                });
                char::decode_utf16(units).next()?.ok()?
            }
            _ => {
                seen = 1;
                continue;
            }
        };
        out(c.encode_utf8(&mut [0; 4]));
        rest = &rest[seen.max(1)..];
        seen = 0;
    }
    out(rest);
    Some(())
}

fn find_escape(bytes: &[u8]) -> Option<usize> {
    // Where one is, others are near: a call of `memchr` for each would take longer than looking.
    let near = bytes.len().min(16);
    let found = bytes[..near].iter().position(|&b| b == b'\\');
    found.or_else(|| memchr(b'\\', &bytes[near..]).map(|at| near + at))
}

/// Where a slice of `text` stands in it.
pub(super) fn range_of(part: &str, text: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    start..start.wrapping_add(part.len())
}

/// Line and column of a byte offset, both from 1, the column in bytes.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = memrchr(b'\n', before).map_or(0, |at| at + 1);
    (1 + memchr_iter(b'\n', before).count(), 1 + before.len() - line_start)
}
