//! The body of an error, whatever wrote it: the service, a framework, a proxy. What is fit to show is an id and a
//! message.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::fmt;

use zeroize::Zeroizing;

use super::json::{self, JsonString, MemberPath, Reader};
use crate::redact::Redactor;

/// Longest body that is looked at, in bytes: documented errors have less than a hundred.
pub(crate) const MAX_ERROR_BODY: usize = 64 << 10;

/// Longest id and message that are kept, in characters, without the ellipsis of a longer one.
const MAX_ID: usize = 64;
const MAX_MESSAGE: usize = 300;

/// The members that are known to say something: ids, of which `code` is the older name, and messages, of which the first
/// is the service's and the others are those of gateways.
const NAMES: [&str; 5] = ["id", "code", "message", "error_description", "detail"];
const IDS: usize = 2;

/// Id and message of an error.
#[derive(Clone, Default)]
pub(crate) struct ErrorBody {
    pub(crate) id: Option<Box<str>>,
    pub(crate) message: Option<Box<str>>,
}

impl ErrorBody {
    /// Reads the title of a web page, the known members of JSON, or, unless it may be a share, the text.
    pub(super) fn parse(body: &[u8], may_be_share: bool, redactor: &Redactor<'_>) -> Self {
        let body = body.get(..MAX_ERROR_BODY).unwrap_or(body);
        let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
        // What stands before the end of a body that is cut, or before bytes that are no text, is shown, too.
        let text = body.utf8_chunks().next().map_or("", |chunk| chunk.valid()).trim_ascii();
        if let Some(title) = title(text) {
            return Self { id: None, message: printed(title, MAX_MESSAGE, redactor) };
        }
        let mut found = Self::default();
        let is_object = text.starts_with(['{', '[']);
        let (mut reader, mut strings) = (Reader::new(if is_object { text } else { "" }), Vec::new());
        while let Some(value) = reader.next_value() {
            strings.extend(rank(reader.path()).zip(JsonString::new(value, text)));
        }
        strings.sort_by_key(|(rank, _)| *rank);
        for same in strings.chunk_by(|a, b| a.0 == b.0) {
            let ((_, name), first) = &same[0];
            if *name < IDS {
                found.id = found.id.or_else(|| printed(first.as_str(text), MAX_ID, redactor));
            } else {
                let texts = same.iter().map(|(_, string)| string.as_str(text)).filter(|text| !text.is_empty());
                // `join` allocates once: growing would leave an unwiped copy.
                let joined = Zeroizing::new(texts.collect::<Vec<_>>().join("; "));
                found.message = found.message.or_else(|| printed(&joined, MAX_MESSAGE, redactor));
            }
        }
        if found.id.is_none() && found.message.is_none() && !may_be_share {
            // Of other JSON, nothing but a string is known to say something.
            let string = JsonString::new(text, text);
            let shown = match &string {
                Some(string) => string.as_str(text),
                None if is_object || json::check(text).is_ok() => "",
                None => text,
            };
            found.message = printed(shown, MAX_MESSAGE, redactor);
        }
        found
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        [&self.id, &self.message].into_iter().flatten().try_for_each(|text| write!(f, ", {text}"))
    }
}

/// The order of preference: first by the member that it is in, then by its own name.
fn rank(path: MemberPath<'_>) -> Option<(usize, usize)> {
    let (parent, name) = match path {
        [Some("error"), Some(name), None] => (0, name),
        [Some("errors"), Some(name), None] => (2, name),
        [Some("errors"), None, _] => (3, "message"),
        [Some("error"), None, _] => (4, "message"),
        [Some(name), None, _] => (1, name),
        _ => return None,
    };
    Some((parent, NAMES.iter().position(|known| *known == name)?))
}

/// Text made fit to show; `None` when it shows nothing. JSON in it is left out: nobody knows what it holds.
fn printed(text: &str, limit: usize, redactor: &Redactor<'_>) -> Option<Box<str>> {
    let json = ["{", "[\"", "[\\", "[["].into_iter().filter_map(|start| text.find(start)).min();
    let mut out = String::new();
    redactor.push_redacted(&text[..json.unwrap_or(text.len())], limit, &mut out);
    if json.is_some() && !out.is_empty() && !out.ends_with('…') {
        out.push('…');
    }
    (!out.is_empty()).then(|| out.into())
}

/// The title of a web page.
fn title(page: &str) -> Option<&str> {
    let find = |text: &str, tag: &[u8]| text.as_bytes().windows(tag.len()).position(|w| w.eq_ignore_ascii_case(tag));
    let start = find(page, b"<title").filter(|_| page.starts_with('<'))?;
    let (_, title) = page[start..].split_once('>')?;
    Some(&title[..find(title, b"</title").unwrap_or(title.len())])
}
