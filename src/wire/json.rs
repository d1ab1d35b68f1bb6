//! JSON from outside, read by serde_json without a copy of any value.
//!
//! Strings and names stay as they are written, as slices of the text: one with an escape in it would be copied to a
//! buffer that serde_json does not wipe, and a value of the wrong type to the text of an error.

use core::ops::Range;

use memchr::{memchr, memchr_iter, memmem, memrchr};
use serde::de::Deserialize as _;
use serde_json::value::RawValue;

use crate::secret::SecretString;

/// The members that a value is in, from the outside in, with their names as they are written; the rest is empty.
pub(super) type Path<'t> = [&'t str; 2];

/// Calls `each` with each value of a JSON text and its path; `None` when the text is not JSON.
///
/// Objects are entered two levels deep; a deeper one is a value as a whole. Each element of an array is a value by itself,
/// with the path of the array. Before an object or array is entered, its bracket is passed as a value. After an error,
/// `path` is where it is.
pub(super) fn for_each_value<'t>(
    text: &'t str,
    path: &mut Path<'t>,
    each: &mut dyn FnMut(Path<'t>, &'t str),
) -> Option<()> {
    // How many objects are entered, and how many arrays inside of the last of them.
    let (mut depth, mut arrays) = (0, [0; 3]);
    let mut rest = trim_start(text);
    loop {
        let mut is_opened = true;
        match rest.bytes().next() {
            Some(b'[') => arrays[depth] += 1,
            Some(b'{') if depth < path.len() => depth += 1,
            _ => is_opened = false,
        }
        each(*path, if is_opened { take(&mut rest, 1) } else { take_value(&mut rest)? });
        // What comes next, behind the ends of objects and arrays.
        loop {
            let (is_array, is_object) = (arrays[depth] > 0, arrays[depth] == 0 && depth > 0);
            if is_object {
                path[depth - 1] = "";
            }
            match rest.bytes().next() {
                None if depth == 0 && !is_array => return Some(()),
                Some(b']') if is_array => arrays[depth] -= 1,
                Some(b'}') if is_object => depth -= 1,
                Some(b',') if !is_opened && (is_array || is_object) => {
                    take(&mut rest, 1);
                    break;
                }
                Some(_) if is_opened => break,
                _ => return None,
            }
            take(&mut rest, 1);
            is_opened = false;
        }
        if arrays[depth] == 0 {
            path[depth - 1] = take_value(&mut rest).filter(|name| name.starts_with('"'))?;
            rest = trim_start(rest.strip_prefix(':')?);
        }
    }
}

/// Takes a whole value, which serde_json checks.
fn take_value<'t>(rest: &mut &'t str) -> Option<&'t str> {
    let value = <&RawValue>::deserialize(&mut serde_json::Deserializer::from_str(rest)).ok()?;
    Some(take(rest, value.get().len()))
}

/// Takes so many bytes, and the white space behind them.
fn take<'t>(rest: &mut &'t str, len: usize) -> &'t str {
    let (taken, behind) = rest.split_at(len);
    *rest = trim_start(behind);
    taken
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\r', '\n'])
}

/// A string, as it is written between its quotes.
#[derive(Clone, Copy, Default)]
pub(super) struct Written<'t> {
    pub(super) text: &'t str,
    pub(super) has_escape: bool,
}

impl<'t> Written<'t> {
    /// Of a text that is one JSON string and nothing else.
    pub(super) fn of_json(text: &'t str) -> Option<Self> {
        Self::new(serde_json::from_str::<&RawValue>(text).ok()?.get())
    }

    /// `None` when the value is no string.
    pub(super) fn new(value: &'t str) -> Option<Self> {
        let text = value.strip_prefix('"')?.strip_suffix('"')?;
        Some(Self { text, has_escape: memchr(b'\\', text.as_bytes()).is_some() })
    }

    /// Whether it stands for text: half a surrogate pair does not.
    pub(super) fn is_text(self) -> bool {
        memmem::find(self.text.as_bytes(), b"\\u").is_none() || self.unescape().is_some()
    }

    /// Which of these it stands for.
    pub(super) fn index_in(self, names: &[&str]) -> Option<usize> {
        let unescaped = if self.has_escape { Some(self.unescape()?) } else { None };
        let text = unescaped.as_ref().map_or(self.text, SecretString::expose);
        names.iter().position(|name| *name == text)
    }

    /// Takes the escapes out; `None` when one is half a surrogate pair.
    pub(super) fn unescape(self) -> Option<SecretString> {
        // An escape is never shorter than what it stands for, so this never grows.
        let mut out = SecretString::with_capacity(self.text.len());
        // What was escaped and stands for itself is the first of `rest`, and `seen`.
        let (mut rest, mut seen) = (self.text, 0);
        while let Some(at) = memchr(b'\\', &rest.as_bytes()[seen..]) {
            out.push_within_capacity(&rest[..seen + at]);
            rest = &rest[seen + at + 1..];
            seen = 0;
            let mut len = 0;
            let c = match rest.bytes().next()? {
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => {
                    let units = ["u", "\\u"].into_iter().map_while(|prefix| {
                        let digits = rest.get(len..)?.strip_prefix(prefix)?.get(..4)?;
                        len += prefix.len() + digits.len();
                        u16::from_str_radix(digits, 16).ok()
                    });
                    char::decode_utf16(units).next()?.ok()?
                }
                _ => {
                    seen = 1;
                    continue;
                }
            };
            out.push_within_capacity(c.encode_utf8(&mut [0; 4]));
            rest = rest.get(len.max(1)..)?;
        }
        out.push_within_capacity(rest);
        Some(out)
    }
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
