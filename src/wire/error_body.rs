//! The body of an error, whatever wrote it: the service, a framework, a proxy. What is fit to show is an id and a
//! message.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use memchr::memchr;

use super::json::{Unescaped, inside, unescape, walk, which};
use crate::redact::Redactor;
use crate::secret::SecretString;

/// Longest id and message that are kept, in characters, without the ellipsis of a longer one.
const MAX_ID: usize = 64;
const MAX_MESSAGE: usize = 300;

/// Id and message of an error.
#[derive(Clone, Default)]
pub(super) struct Said {
    pub(super) id: Option<Box<str>>,
    pub(super) message: Option<Box<str>>,
}

impl Said {
    /// Reads JSON, the title of a web page, or else the text as it is.
    pub(super) fn by(body: &[u8], redactor: &Redactor<'_>) -> Self {
        if is_compressed(body) {
            return Self::compressed();
        }
        let message = || printed(lossy(body).expose(), MAX_MESSAGE, redactor);
        Self::found_in(body, redactor).unwrap_or_else(|| Self { id: None, message: message() })
    }

    pub(super) fn compressed() -> Self {
        Self { id: None, message: Some(alloc::format!("it {COMPRESSED}").into()) }
    }

    /// `None` when the body is neither a JSON object that says something nor a web page with a title.
    pub(super) fn found_in(body: &[u8], redactor: &Redactor<'_>) -> Option<Self> {
        Self::by_json(body, redactor).or_else(|| {
            let message = Some(printed(title(body)?.expose(), MAX_MESSAGE, redactor)?);
            Some(Self { id: None, message })
        })
    }

    /// `None` when the body is no JSON object, or one that says nothing.
    fn by_json(body: &[u8], redactor: &Redactor<'_>) -> Option<Self> {
        let text = without_bom(core::str::from_utf8(body).ok()?);
        let outer = members(text)?;
        // In full under `error`, as in the error guide, or in a list.
        let [_, code, error_code, message, description, detail, title, error, errors] = outer;
        let inner = error.and_then(members).unwrap_or_default();
        let listed = errors.and_then(first_of).and_then(members).unwrap_or_default();

        // An id beside an error that is told in full is that of the request.
        let id = outer[0].filter(|_| inner[..7].iter().all(Option::is_none));
        let ids = [&inner[..3], &[id, code, error_code], &listed[..3]];
        let last = [errors, title, error];
        let messages = [&inner[3..8], &[message, description, detail], &listed[3..7], &last];

        let first = |texts: &[&[Option<&str>]], limit| {
            let mut texts = texts.iter().copied().flatten().flatten();
            texts.find_map(|text| printed(text_of(text)?.expose(), limit, redactor))
        };
        let said = Self { id: first(&ids, MAX_ID), message: first(&messages, MAX_MESSAGE) };
        // `{}`, as the Client API answers, says nothing; any other object is shown as it is.
        let is_empty = text.trim() == "{}";
        (said.id.is_some() || said.message.is_some() || is_empty).then_some(said)
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        [&self.id, &self.message].into_iter().flatten().try_for_each(|text| write!(f, ", {text}"))
    }
}

/// The members of an object that may say something of an error, as they are written.
fn members(object: &str) -> Option<[Option<&str>; 9]> {
    // Ids first: `code` is what the error guide called `id` before. Of the messages, the first is the service's and most
    // frameworks', the next OAuth's, then come those of RFC 9457.
    const NAMES: [&str; 9] =
        ["id", "code", "errorCode", "message", "error_description", "detail", "title", "error", "errors"];
    let mut found = [None; 9];
    let is_json = walk(object, &mut |name, value| {
        which(name, &NAMES).into_iter().for_each(|at| found[at] = Some(value));
    });
    is_json.then_some(found)
}

fn first_of(list: &str) -> Option<&str> {
    let mut found = None;
    walk(list, &mut |_, value| _ = found.get_or_insert(value));
    found
}

/// The text of a string, or of a list of strings; `None` for anything else.
fn text_of(value: &str) -> Option<Unescaped<'_>> {
    if let Some(inside) = inside(value) {
        return unescape(inside);
    }
    if !value.starts_with('[') {
        return None;
    }
    // Quotes and commas take as much room as what is put between the texts.
    let mut all = SecretString::with_capacity(value.len());
    walk(value, &mut |_, element| {
        if let Some(text) = inside(element).and_then(unescape) {
            all.push_within_capacity(if all.expose().is_empty() { "" } else { "; " });
            all.push_within_capacity(text.expose());
        }
    });
    Some(Unescaped::Copy(all))
}

pub(super) fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// What a body is that is not UTF-8.
pub(super) fn not_text(body: &[u8]) -> &'static str {
    if is_compressed(body) { COMPRESSED } else { "is not UTF-8" }
}

const COMPRESSED: &str = "is compressed, which was not asked for";

/// Whether it begins as gzip, zstd or zlib do, and no text does.
fn is_compressed(body: &[u8]) -> bool {
    matches!(body, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x78, 0x01 | 0x9c | 0xda, ..])
}

/// Text made fit to show; `None` when it shows nothing.
fn printed(text: &str, limit: usize, redactor: &Redactor<'_>) -> Option<Box<str>> {
    let mut out = String::new();
    redactor.push_printable(text, limit, &mut out);
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
    let page = body.trim_ascii_start().strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    if page.first() != Some(&b'<') {
        return None;
    }
    let find = |page: &[u8], tag: &[u8]| page.windows(tag.len()).position(|w| w.eq_ignore_ascii_case(tag));
    let title = &page[find(page, b"<title")?..];
    let title = &title[memchr(b'>', title)? + 1..];
    Some(lossy(&title[..find(title, b"</title")?]))
}
