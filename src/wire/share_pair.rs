//! `MpcShareResponse`: the object of two shares, as `generate` and `backup` answer it.

use alloc::format;
use core::fmt;
use core::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error_body::not_text;
use super::json::{has_escape, inside, line_and_column, range_of, trim_start, unescape_to, which};
use super::lookalike::{CURVES, ERROR, PAGE, lookalike};
use super::mpc_share::MpcShare;
use crate::invalid_input::InvalidInput;
use crate::secret::SecretString;

const FIELDS: [&str; 2] = ["share", "id"];

/// Where share and id of each curve stand in the text that holds them.
pub(super) struct SharePair([[Text; 2]; 2]);

/// A string that is not empty: where it stands between its quotes, and what it stands for if it holds an escape.
enum Text {
    Plain(Range<usize>),
    Escaped(Range<usize>, Option<SecretString>),
}

impl Text {
    fn of<'a>(&'a self, json: &'a str) -> &'a str {
        match self {
            Self::Plain(range) | Self::Escaped(range, None) => json.get(range.clone()).unwrap_or_default(),
            Self::Escaped(_, Some(text)) => text.expose(),
        }
    }
}

impl SharePair {
    /// Finds both shares; unknown members are fine, anything but white space around the object is not.
    ///
    /// Without `copy`, strings with escapes stay as they are written.
    pub(super) fn find(text: &str, copy: bool) -> Result<Self, Mistake> {
        let found = [(); 2].map(|()| [(); 2].map(|()| Text::Plain(0..0)));
        let mut reader = Reader { text, copy, found, path: [None; 2], mistake: None };
        let mut json = serde_json::Deserializer::from_str(text);
        let start = trim_start(text);
        let read = reader
            .must_begin(start, b'{', "is not a JSON object")
            .and_then(|()| Object { start, curve: None, reader: &mut reader }.deserialize(&mut json));
        let mistake = match read.map(|()| json.end()) {
            Ok(Ok(())) => return Ok(Self(reader.found)),
            Ok(Err(e)) => return Err(reader.mistake_of(&e, "is followed by something else")),
            Err(e) => reader.mistake_of(&e, "is not JSON"),
        };
        drop(json); // it may hold as many brackets as are open
        Err(mistake.or_lookalike(text))
    }

    /// The same of a backup, whose ids must differ.
    pub(super) fn received(text: &str) -> Result<Self, Mistake> {
        let pair = Self::find(text, true)?;
        let [[_, first], [_, second]] = &pair.0;
        if first.of(text) != second.of(text) {
            return Ok(pair);
        }
        let (Text::Plain(place) | Text::Escaped(place, _)) = second;
        let position = line_and_column(text, place.start);
        let (path, what) = ([Some(CURVES[1]), Some(FIELDS[1])], "is the same as SECP256K1.id");
        Err(Mistake { path, what, advice: "", position: Some(position) })
    }

    /// Cuts the text at its shares: the second and the fourth part are shares, and hold nothing that JSON escapes.
    pub(super) fn cut<'t>(&self, text: &'t str) -> [&'t str; 5] {
        let [a, b] = self.0.each_ref().map(|[share, _]| match share {
            Text::Plain(range) => range.clone(),
            Text::Escaped(..) => 0..0,
        });
        let (a, b) = if a.start <= b.start { (a, b) } else { (b, a) };
        [0..a.start, a.start..a.end, a.end..b.start, b.start..b.end, b.end..text.len()]
            .map(|range| text.get(range).unwrap_or_default())
    }

    pub(super) fn debug(&self, name: &str, text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [secp256k1, ed25519] = self.views(text);
        f.debug_struct(name).field(CURVES[0], &secp256k1).field(CURVES[1], &ed25519).finish()
    }

    pub(super) fn views<'a>(&'a self, text: &'a str) -> [MpcShare<'a>; 2] {
        self.0.each_ref().map(|[share, id]| MpcShare { share: share.of(text), id: id.of(text) })
    }
}

/// Why a text does not hold two shares, and where, if that has a line and column.
pub(super) struct Mistake {
    path: Path,
    what: &'static str,
    /// What to do about it, where that is known.
    advice: &'static str,
    position: Option<(usize, usize)>,
}

/// The member that is read, from the outside in.
type Path = [Option<&'static str>; 2];

const MISSING: &str = "is missing";

impl Mistake {
    pub(super) fn not_text(body: &[u8]) -> Self {
        Self { path: [None; 2], what: not_text(body), advice: "", position: None }
    }

    pub(super) fn in_input(&self, name: &str) -> InvalidInput {
        let separator = if self.advice.is_empty() { "" } else { ": " };
        InvalidInput::new(format!("{name}: {self}{separator}{}", self.advice)).at(self.position)
    }

    /// Says what else a text is, unless it holds a curve.
    fn or_lookalike(self, text: &str) -> Self {
        let has_none = self.path == [None; 2] || self.path == [Some(CURVES[0]), None] && self.what == MISSING;
        match has_none.then(|| lookalike(text)).flatten() {
            Some([what, advice]) => Self { path: [None; 2], what, advice, ..self },
            None => self,
        }
    }

    /// Whether the text is of a kind that says in words what is wrong.
    pub(super) fn is_told(&self) -> bool {
        [ERROR, PAGE].contains(&self.what)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path {
            [Some(curve), Some(field)] => write!(f, "{curve}.{field} {}", self.what),
            [Some(name), None] => write!(f, "{name} {}", self.what),
            _ => write!(f, "it {}", self.what),
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    copy: bool,
    found: [[Text; 2]; 2],
    path: Path,
    /// What is wrong with a text that is JSON.
    mistake: Option<Mistake>,
}

impl<'t> Reader<'t> {
    fn mistake_at<E: Error>(&mut self, part: &str, what: &'static str) -> E {
        let position = line_and_column(self.text, range_of(part, self.text).start);
        self.mistake = Some(Mistake { path: self.path, what, advice: "", position: Some(position) });
        E::custom("")
    }

    /// Of serde_json's error nothing is taken but the kind and the position.
    fn mistake_of(&mut self, e: &serde_json::Error, what: &'static str) -> Mistake {
        let (what, position) = match e.is_eof() {
            true => ("ends too early", line_and_column(self.text, self.text.len())),
            false => (what, (e.line(), e.column().max(1))),
        };
        self.mistake.take().unwrap_or(Mistake { path: self.path, what, advice: "", position: Some(position) })
    }

    /// Checks the type of a value before serde_json reads it, since its error would quote the value.
    fn must_begin<E: Error>(&mut self, value: &str, with: u8, otherwise: &'static str) -> Result<(), E> {
        match value.bytes().next() {
            Some(found) if found != with => Err(self.mistake_at(value, otherwise)),
            _ => Ok(()),
        }
    }

    /// What follows a name and its colon.
    fn value_of(&self, name: &str) -> Option<&'t str> {
        let after = trim_start(self.text.get(range_of(name, self.text).end..)?);
        after.strip_prefix(':').map(trim_start)
    }

    fn text<E: Error>(&mut self, string: &str) -> Result<Text, E> {
        let inside = inside(string).unwrap_or_default();
        let place = range_of(inside, self.text);
        if inside.is_empty() {
            return Err(self.mistake_at(inside, "is empty"));
        }
        if !has_escape(inside) {
            return Ok(Text::Plain(place));
        }
        // An escape is never shorter than what it stands for, so this never grows.
        let mut copy = self.copy.then(|| SecretString::with_capacity(inside.len()));
        let keep = |text: &str| copy.iter_mut().for_each(|copy| copy.push_within_capacity(text));
        match unescape_to(inside, keep) {
            Some(()) => Ok(Text::Escaped(place, copy)),
            None => Err(self.mistake_at(inside, "contains an unpaired surrogate")),
        }
    }
}

/// Reads the outer object, or the one of a curve, each of which must hold both of its names once.
struct Object<'r, 't> {
    reader: &'r mut Reader<'t>,
    /// The text from its first brace on.
    start: &'t str,
    curve: Option<usize>,
}

impl<'t> DeserializeSeed<'t> for Object<'_, 't> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'t> Visitor<'t> for Object<'_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { reader, start, curve } = self;
        let (depth, names) = if curve.is_some() { (1, FIELDS) } else { (0, CURVES) };
        let mut seen = [false; 2];
        while let Some(name) = members.next_key::<&RawValue>()?.map(RawValue::get) {
            let wanted = which(name, &names);
            // Without a colon, serde_json says what is wrong.
            let (Some(i), Some(value)) = (wanted, reader.value_of(name)) else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            reader.path[depth] = Some(names[i]);
            if seen[i] {
                return Err(reader.mistake_at(inside(name).unwrap_or_default(), "appears twice"));
            }
            seen[i] = true;
            if let Some(curve) = curve {
                reader.must_begin(value, b'"', "is not a string")?;
                let string = members.next_value::<&RawValue>()?;
                reader.found[curve][i] = reader.text(string.get())?;
            } else {
                reader.must_begin(value, b'{', "is not a JSON object")?;
                members.next_value_seed(Object { reader, start: value, curve: Some(i) })?;
            }
            reader.path[depth] = None;
        }
        let Some(i) = seen.iter().position(|seen| !seen) else { return Ok(()) };
        reader.path[depth] = Some(names[i]);
        Err(reader.mistake_at(start, MISSING))
    }
}
