//! `MpcShareResponse`: the object of two shares, as `generate` and `backup` send it.

use alloc::format;

use serde_json::value::RawValue;

use super::json::{Path, Written, for_each_value, line_and_column, range_of};
use crate::invalid_input::InvalidInput;

/// The curves, by the names that the API gives them.
pub(super) const CURVES: [&str; 2] = ["SECP256K1", "ED25519"];
const FIELDS: [&str; 2] = ["share", "id"];

/// Longest id in bytes: ids are shown to people and logged, and what is documented is short.
const MAX_ID: usize = 256;

/// Share and id of each curve.
pub(super) type SharePair<'t> = [[Written<'t>; 2]; 2];

/// Finds both shares; unknown members are fine, anything but white space around the object is not.
pub(super) fn find(text: &str) -> Result<SharePair<'_>, InvalidInput> {
    let mut path = Path::default();
    let mut found = Found { text, objects: [None; 2], strings: [[None; 2]; 2], mistake: None, hint: "" };
    let read = for_each_value(text, &mut path, &mut |path, value| found.add(path, value));
    if let Some(mistake) = found.mistake {
        return Err(mistake);
    }
    if let (None, Err(e)) = (read, serde_json::from_str::<&RawValue>(text)) {
        let what = if e.is_eof() { "ends too early" } else { or_utf16(text.as_bytes(), "is not JSON") };
        return Err(mistake(known(path), what).at(Some((e.line(), e.column().max(1)))));
    }
    found.pair()
}

/// What a text is that is not UTF-8.
pub(super) fn not_utf8(bytes: &[u8]) -> InvalidInput {
    mistake([None; 2], or_utf16(bytes, "is not UTF-8"))
}

fn or_utf16(bytes: &[u8], otherwise: &'static str) -> &'static str {
    // With its mark, or with a zero in the first character.
    let is_utf16 = matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..]);
    if is_utf16 { "is UTF-16: save it as UTF-8" } else { otherwise }
}

/// Which members a path names.
type Known = [Option<usize>; 2];

fn known([curve, field]: Path<'_>) -> Known {
    [index_of(curve, &CURVES), index_of(field, &FIELDS)]
}

fn index_of(name: &str, names: &[&str]) -> Option<usize> {
    Written::new(name)?.index_in(names)
}

fn mistake(path: Known, what: &str) -> InvalidInput {
    InvalidInput::new(match path {
        [Some(curve), Some(field)] => format!("{}.{} {what}", CURVES[curve], FIELDS[field]),
        [Some(curve), None] => format!("{} {what}", CURVES[curve]),
        [None, _] => format!("it {what}"),
    })
}

struct Found<'t> {
    text: &'t str,
    /// The first bracket of each curve's object.
    objects: [Option<&'t str>; 2],
    strings: [[Option<Written<'t>>; 2]; 2],
    /// The first one.
    mistake: Option<InvalidInput>,
    /// What the text is if it holds no curve.
    hint: &'static str,
}

impl<'t> Found<'t> {
    fn add(&mut self, path: Path<'t>, value: &'t str) {
        let known = known(path);
        let what = match known {
            [None, _] => match path {
                ["", _] if value != "{" => "is not a JSON object",
                [name, _] if index_of(name, &["generateResponse"]).is_some() => {
                    return self.hint =
                        ": it is a saved request, pass the text of its `generateResponse` alone";
                }
                [_, name] if index_of(name, &CURVES).is_some() => {
                    return self.hint = ": both are inside of another member, pass the value of that alone";
                }
                _ => return,
            },
            [Some(curve), None] => match self.objects[curve] {
                _ if !path[1].is_empty() => return,
                Some(_) => "appears twice",
                None if value != "{" => "is not a JSON object",
                None => return self.objects[curve] = Some(value),
            },
            [Some(curve), Some(field)] => match Written::new(value) {
                _ if self.strings[curve][field].is_some() => "appears twice",
                None => "is not a string",
                Some(string) if string.text.is_empty() => "is empty",
                Some(string) if string.text.len() > MAX_ID && FIELDS[field] == "id" => {
                    "is longer than 256 bytes"
                }
                Some(string) if string.has_escape && !string.is_text() => "contains an unpaired surrogate",
                Some(string) => return self.strings[curve][field] = Some(string),
            },
        };
        self.mistake.get_or_insert_with(|| mistake(known, what).at(position(self.text, value)));
    }

    fn pair(self) -> Result<SharePair<'t>, InvalidInput> {
        let mut pair = [[Written::default(); 2]; 2];
        for (curve, object) in self.objects.into_iter().enumerate() {
            let Some(object) = object else {
                let hint = if self.objects == [None; 2] { self.hint } else { "" };
                let missing = mistake([Some(curve), None], &format!("is missing{hint}"));
                return Err(missing.at(position(self.text, self.text.trim_start())));
            };
            for (field, string) in self.strings[curve].into_iter().enumerate() {
                pair[curve][field] = string.ok_or_else(|| {
                    mistake([Some(curve), Some(field)], "is missing").at(position(self.text, object))
                })?;
            }
        }
        Ok(pair)
    }
}

fn position(text: &str, part: &str) -> Option<(usize, usize)> {
    Some(line_and_column(text, range_of(part, text).start))
}
