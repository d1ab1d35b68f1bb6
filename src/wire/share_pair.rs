//! `MpcShareResponse`: the object of two shares, as `generate` and `backup` send it.

use alloc::format;

use memchr::{memchr_iter, memrchr};

use super::json::{self, JsonString, MemberPath, Reader, range_of};
use super::mpc_share::MpcShare;
use crate::invalid_input::InvalidInput;

/// What must be there; `it` is the whole text.
const MEMBERS: [&str; 7] =
    ["it", "SECP256K1", "SECP256K1.share", "SECP256K1.id", "ED25519", "ED25519.share", "ED25519.id"];
/// For each member, the index of the object that it is in.
const PARENTS: [usize; 7] = [0, 0, 1, 1, 0, 4, 4];

/// Longest id in bytes, as it is written: ids are shown to people and logged, and what is documented is short.
const MAX_ID: usize = 256;

/// Share and id of each curve.
pub(super) struct SharePair(pub(super) [[JsonString; 2]; 2]);

impl SharePair {
    /// Finds both shares; unknown members are fine, anything but white space around the object is not.
    pub(super) fn find(text: &str) -> Result<Self, InvalidInput> {
        let mistake = |member: usize, what, at: usize| {
            let before = &text.as_bytes()[..at.min(text.len())];
            let column = before.len() - memrchr(b'\n', before).map_or(0, |at| at + 1) + 1;
            let line = memchr_iter(b'\n', before).count() + 1;
            InvalidInput::new(format!("{} {what}", MEMBERS[member])).at(line, column)
        };
        if let Err(e) = json::check(text) {
            let lines_before = text.split_inclusive('\n').take(e.line().saturating_sub(1)).map(str::len).sum::<usize>();
            let at = lines_before + e.column().saturating_sub(1);
            let (what, end) = if e.is_eof() { ("ends too early", text.len()) } else { ("is not JSON", at) };
            let mut reader = Reader::new(text.get(..end).unwrap_or_default());
            while reader.next_value().is_some() {}
            let [outer, inner, _] = reader.path();
            let nearest = member([outer, inner, None]).or(member([outer, None, None]));
            return Err(mistake(nearest.unwrap_or(0), what, at));
        }
        let (mut reader, mut found) = (Reader::new(text), [None; 7]);
        while let Some(value) = reader.next_value() {
            match member(reader.path()) {
                Some(member) if found[member].is_none() => found[member] = Some(value),
                // What follows a bracket is its elements.
                Some(member) if found[member] != Some("[") => {
                    return Err(mistake(member, "appears twice", range_of(value, text).start));
                }
                _ => {}
            }
        }
        let mut strings = [const { None }; 7];
        for (member, value) in found.into_iter().enumerate() {
            let (is_object, is_id) = (PARENTS.contains(&member), MEMBERS[member].ends_with(".id"));
            strings[member] = value.and_then(|value| JsonString::new(value, text));
            let what = match (value, &strings[member]) {
                (None, _) => "is missing",
                (Some("{"), _) if is_object => continue,
                _ if is_object => "is not a JSON object",
                (Some("\"\""), _) => "is empty",
                (Some(id), _) if is_id && id.len() > MAX_ID + 2 => "is longer than 256 bytes",
                // A string with half a surrogate pair stands for no text.
                (_, None) => "is not a valid string",
                (_, Some(_)) => continue,
            };
            let nearest = value.or(found[PARENTS[member]]).unwrap_or(text);
            return Err(mistake(member, what, range_of(nearest, text).start));
        }
        let [_, _, first_share, first_id, _, second_share, second_id] = strings.map(Option::unwrap_or_default);
        Ok(Self([[first_share, first_id], [second_share, second_id]]))
    }

    /// The two shares, as slices of the text in which they were found.
    pub(super) fn shares<'a>(&'a self, text: &'a str) -> [MpcShare<'a>; 2] {
        self.0.each_ref().map(|[share, id]| MpcShare { share: share.as_str(text), id: id.as_str(text) })
    }
}

fn member(path: MemberPath<'_>) -> Option<usize> {
    // The text itself is in no member.
    let names = |member: &'static str| member.split('.').filter(|name| *name != MEMBERS[0]);
    MEMBERS.iter().position(|member| names(member).eq(path.into_iter().flatten()))
}

/// What to do with an input that is no share pair, when it is one of the things that are often passed instead.
pub(super) fn hint(input: &[u8]) -> &'static str {
    // UTF-16: a byte order mark, or a zero byte in the first ASCII character.
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] = input {
        return ": it is UTF-16, save it as UTF-8";
    }
    let (mut hint, mut reader) = ("", Reader::new(core::str::from_utf8(input).unwrap_or_default()));
    while reader.next_value().is_some() {
        hint = match reader.path() {
            // What is missing from it says more.
            [Some("SECP256K1" | "ED25519"), ..] => return "",
            [Some("generateResponse"), ..] => ": it is a saved request, pass the text of its `generateResponse` alone",
            [_, Some("SECP256K1" | "ED25519"), _] => ": both are in another member, pass the value of that alone",
            _ => hint,
        };
    }
    hint
}
