//! JSON from outside, read by serde_json without a copy of any value.
//!
//! Strings and names stay as they are written, as slices of the text: one with an escape in it would be copied to a
//! buffer that serde_json does not wipe, and a value of the wrong type to the text of an error.

use core::fmt;
use core::ops::Range;

use memchr::{memchr, memchr_iter, memmem, memrchr};
use serde::de::{Deserialize as _, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::secret::SecretString;

/// The members that a value is in, from the outside in, with their names as they are written; the rest is empty.
pub(super) type Path<'t> = [&'t str; 2];

/// Calls `each` with each value of a JSON text and its path.
///
/// Objects are entered two levels deep; a deeper one is a value as a whole. Each element of an array is a value by itself,
/// with the path of the array. Before an object or array is entered, its bracket is passed as a value. After an error,
/// `path` is where it is.
pub(super) fn for_each_value<'t>(
    text: &'t str,
    path: &mut Path<'t>,
    each: &mut dyn FnMut(Path<'t>, &'t str),
) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    Values { text, value: trim_start(text), depth: 0, path, each }.deserialize(&mut json)?;
    json.end()
}

struct Values<'a, 't> {
    text: &'t str,
    /// The text from the first byte of the value on.
    value: &'t str,
    depth: usize,
    path: &'a mut Path<'t>,
    each: &'a mut dyn FnMut(Path<'t>, &'t str),
}

impl<'t> DeserializeSeed<'t> for Values<'_, 't> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<(), D::Error> {
        // serde_json would quote a value of another type.
        match self.value.get(..1) {
            Some(bracket @ "{") if self.depth < 2 => {
                (self.each)(*self.path, bracket);
                deserializer.deserialize_map(self)
            }
            Some(bracket @ "[") => {
                (self.each)(*self.path, bracket);
                deserializer.deserialize_seq(self)
            }
            _ => {
                let value = <&RawValue>::deserialize(deserializer)?;
                (self.each)(*self.path, value.get());
                Ok(())
            }
        }
    }
}

impl<'t> Visitor<'t> for Values<'_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or array")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { text, depth, path, each, .. } = self;
        while let Some(name) = members.next_key::<&RawValue>()?.map(RawValue::get) {
            path[depth] = name;
            let value = trim_start(text.get(range_of(name, text).end..).unwrap_or_default());
            // Without a colon, serde_json says what is wrong.
            let value = trim_start(value.strip_prefix(':').unwrap_or_default());
            members.next_value_seed(Values { text, value, depth: depth + 1, path, each })?;
            path[depth] = "";
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<&RawValue>()? {
            let value = element.get();
            if value.starts_with('{') && self.depth < 2 {
                let mut json = serde_json::Deserializer::from_str(value);
                let (path, each) = (&mut *self.path, &mut *self.each);
                // What is wrong with it was found before.
                _ = Values { text: value, value, depth: self.depth, path, each }.deserialize(&mut json);
            } else {
                (self.each)(*self.path, value);
            }
        }
        Ok(())
    }
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
