//! The body of an error, whatever wrote it: the service, a framework, a proxy. What is fit to show is an id and a
//! message.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use memchr::memchr;

use super::json::{Path, Written, for_each_value};
use crate::redact::Redactor;
use crate::secret::SecretString;

/// Longest id and message that are kept, in characters, without the ellipsis of a longer one.
const MAX_ID: usize = 64;
const MAX_MESSAGE: usize = 300;

/// The members that are known to say something: two ids, of which `code` is the older name, three messages, of which
/// the first is the service's and the others are those of gateways, and what these may be in.
const NAMES: [&str; 7] = ["id", "code", "message", "error_description", "detail", "error", "errors"];
const IDS: usize = 2;
const TEXTS: usize = 5;
const ERROR: usize = 5;
const ERRORS: usize = 6;

/// Id and message of an error.
#[derive(Clone, Default)]
pub(crate) struct ErrorBody {
    pub(crate) id: Option<Box<str>>,
    pub(crate) message: Option<Box<str>>,
}

impl ErrorBody {
    /// Reads the known members of JSON, the title of a web page, or else the text.
    pub(super) fn parse(body: &[u8], redactor: &Redactor<'_>) -> Self {
        let found = Self::documented(body, redactor);
        if found.id.is_some() || found.message.is_some() {
            return found;
        }
        let text = match text_of(body) {
            // Members that are not known are not shown.
            json if json.trim_start().starts_with(['{', '[']) => return found,
            json => Written::of_json(json).and_then(Written::unescape).unwrap_or_else(|| lossy(body)),
        };
        Self { id: None, message: printed(text.expose(), MAX_MESSAGE, redactor) }
    }

    /// The same without the text of anything else, which may be a share.
    pub(super) fn documented(body: &[u8], redactor: &Redactor<'_>) -> Self {
        if let Some(title) = title(body) {
            return Self { id: None, message: printed(title.expose(), MAX_MESSAGE, redactor) };
        }
        let mut strings = Vec::new();
        // What stands before the end of a body that is cut is shown, too.
        _ = for_each_value(text_of(body), &mut Path::default(), &mut |path, value| {
            strings.extend(rank(path).zip(Written::new(value)));
        });
        // An id beside an error that is told in full is that of the request.
        let has_error = strings.iter().any(|((place, _), _)| *place == 0);
        strings.retain(|(rank, _)| !has_error || *rank != (1, 0));
        strings.sort_by_key(|(rank, _)| *rank);
        let mut found = Self::default();
        for same in strings.chunk_by(|a, b| a.0 == b.0) {
            let (_, name) = same[0].0;
            if name < IDS {
                found.id = found.id.or_else(|| printed(joined(&same[..1]).expose(), MAX_ID, redactor));
            } else {
                found.message =
                    found.message.or_else(|| printed(joined(same).expose(), MAX_MESSAGE, redactor));
            }
        }
        found
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        [&self.id, &self.message].into_iter().flatten().try_for_each(|text| write!(f, ", {text}"))
    }
}

/// The order of preference: first by the place, then by the name.
type Rank = (usize, usize);

fn rank(path: Path<'_>) -> Option<Rank> {
    Some(match path.map(|name| Some(Written::new(name)?.index_in(&NAMES))) {
        [Some(Some(ERROR)), Some(Some(text @ ..TEXTS))] => (0, text),
        [Some(Some(text @ ..TEXTS)), None] => (1, text),
        [Some(Some(ERRORS)), Some(Some(text @ ..TEXTS))] => (2, text),
        [Some(Some(ERRORS)), None] => (3, ERRORS),
        [Some(Some(ERROR)), None] => (4, ERROR),
        _ => return None,
    })
}

/// The texts of strings, of which those that stand for no text are left out.
fn joined(strings: &[(Rank, Written<'_>)]) -> SecretString {
    // The quotes around each take as much room as what is put between them.
    let mut all = SecretString::with_capacity(strings.iter().map(|(_, string)| string.text.len() + 2).sum());
    for text in strings.iter().filter_map(|(_, string)| string.unescape()) {
        all.push_within_capacity(if all.expose().is_empty() { "" } else { "; " });
        all.push_within_capacity(text.expose());
    }
    all
}

/// The text at the beginning of any bytes.
fn text_of(body: &[u8]) -> &str {
    without_bom(body.utf8_chunks().next().map_or("", |chunk| chunk.valid()))
}

pub(super) fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Text made fit to show; `None` when it shows nothing. JSON in it is left out: nobody knows what it holds.
fn printed(text: &str, limit: usize, redactor: &Redactor<'_>) -> Option<Box<str>> {
    let json = ["{", "[\"", "[\\", "[["].into_iter().filter_map(|start| text.find(start)).min();
    let shown = &text[..json.unwrap_or(text.len())];
    let mut out = String::new();
    // The quotes of a text that was put into JSON twice say nothing.
    if json.is_none() || shown.contains(char::is_alphanumeric) {
        redactor.push_printable(shown, limit, &mut out);
    }
    if json.is_some() && !out.is_empty() && !out.ends_with('…') {
        out.push('…');
    }
    (!out.is_empty()).then(|| out.into())
}

/// The beginning of any bytes; those that are not UTF-8 become `?`.
fn lossy(body: &[u8]) -> SecretString {
    let room = body.len().min(MAX_MESSAGE * 8);
    let mut text = SecretString::with_capacity(room);
    for chunk in body[..room].utf8_chunks() {
        text.push_within_capacity(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push_within_capacity("?");
        }
    }
    text
}

/// The title of a web page.
fn title(body: &[u8]) -> Option<SecretString> {
    let page = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body).trim_ascii_start();
    if page.first() != Some(&b'<') {
        return None;
    }
    let find = |page: &[u8], tag: &[u8]| page.windows(tag.len()).position(|w| w.eq_ignore_ascii_case(tag));
    let title = &page[find(page, b"<title")?..];
    let title = &title[memchr(b'>', title)? + 1..];
    Some(lossy(&title[..find(title, b"</title")?]))
}
