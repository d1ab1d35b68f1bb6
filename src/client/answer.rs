//! An HTTP answer as it arrived, read with patience: for what ureq does not take, and what was cut.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::ops::Range;

use memchr::memchr;

/// The longest head that is taken, in bytes, and its most fields.
pub(super) const MAX_HEAD: usize = 16 << 10;
const MAX_FIELDS: usize = 128;

/// What is known of an answer from the bytes that arrived.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) location: Option<String>,
    /// A coding other than `identity`, such as `gzip`.
    pub(super) coding: Option<String>,
    /// Whether the head says how long the body is.
    pub(super) is_announced: bool,
    /// Where the body is: in one piece, or chunk by chunk. As long as nobody can tell, everything behind the status line.
    pub(super) body: Vec<Range<usize>>,
    pub(super) end: End,
}

/// How the bytes that arrived end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With the end of the answer.
    Whole,
    /// Before it.
    Open,
    /// In its head.
    InHead,
    /// They are not HTTP: this is wrong.
    Odd(&'static str),
}

/// Reads an answer; `None` as long as its status line is not there or is none.
pub(super) fn read(received: &[u8]) -> Option<Answer> {
    let (status_line, first_field) = line(received, 0)?;
    let status = status_of(status_line)?;
    let mut answer = Answer {
        status,
        retry_after: None,
        location: None,
        coding: None,
        is_announced: false,
        body: Vec::new(),
        end: End::Open,
    };
    answer.end = if status_line.starts_with(b"HTTP/1.") {
        answer.read_on(received, first_field)
    } else {
        End::Odd("its version is not HTTP/1")
    };
    if matches!(answer.end, End::Odd(_) | End::InHead) {
        // Of a success everything is kept, of an error only what may be its message.
        let start = match status {
            200..=299 => first_field,
            _ => end_of_head(received).unwrap_or(received.len()),
        };
        answer.body.clear();
        answer.body.push(start..received.len());
    }
    Some(answer)
}

impl Answer {
    fn read_on(&mut self, received: &[u8], mut at: usize) -> End {
        let head = at;
        let (mut fields, mut length, mut is_chunked) = (0, None, false);
        loop {
            let Some((field, next)) = line(received, at) else {
                let is_long = received.len() - head > MAX_HEAD;
                return if is_long { End::Odd("its head is too long") } else { End::InHead };
            };
            at = next;
            if field.is_empty() {
                break;
            }
            fields += 1;
            if fields > MAX_FIELDS {
                return End::Odd("its head has too many fields");
            }
            if at - head > MAX_HEAD {
                return End::Odd("its head is too long");
            }
            let Some(colon) = memchr(b':', field) else { return End::Odd("a line of its head has no colon") };
            let (name, value) = (&field[..colon], field[colon + 1..].trim_ascii());
            if name.is_empty() || !name.iter().all(|&b| is_token(b)) {
                return End::Odd("a field of its head has a wrong name");
            }
            if value.iter().any(|&b| b < b' ' && b != b'\t' || b == 0x7f) {
                return End::Odd("a field of its head holds a control character");
            }
            let text = || String::from_utf8_lossy(value).to_string();
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
            if is("content-length") {
                match number(value, 10) {
                    Some(len) if length.is_none_or(|other| other == len) => length = Some(len),
                    _ => return End::Odd("its Content-Length is wrong"),
                }
            } else if is("transfer-encoding") {
                let last = value.rsplit(|&b| b == b',').next().unwrap_or_default().trim_ascii();
                is_chunked |= last.eq_ignore_ascii_case(b"chunked");
            } else if is("content-encoding") {
                self.coding = Some(text()).filter(|coding| !coding.eq_ignore_ascii_case("identity"));
            } else if is("retry-after") {
                self.retry_after = Some(text());
            } else if is("location") {
                self.location = Some(text());
            }
        }
        if matches!(self.status, 100..=199 | 204 | 304) {
            return End::Whole;
        }
        if is_chunked {
            return self.read_chunks(received, at);
        }
        self.is_announced = length.is_some();
        let end = length.and_then(|len| at.checked_add(len)).unwrap_or(usize::MAX);
        self.body.push(at..end.min(received.len()));
        if end <= received.len() { End::Whole } else { End::Open }
    }

    /// RFC 9112, section 7.1; extensions are left out.
    fn read_chunks(&mut self, received: &[u8], mut at: usize) -> End {
        self.body.push(at..at);
        loop {
            let Some((size, next)) = line(received, at) else {
                let is_long = received.len() - at > MAX_HEAD;
                return if is_long { End::Odd("the size of a chunk is not one") } else { End::Open };
            };
            if received.get(next.saturating_sub(2)) != Some(&b'\r') {
                return End::Odd("the size of a chunk ends without a carriage return");
            }
            let size = size.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
            let Some(len) = number(size, 16) else { return End::Odd("the size of a chunk is not one") };
            at = next;
            if len == 0 {
                break;
            }
            let end = at.saturating_add(len);
            self.body.push(at..end.min(received.len()));
            match received.get(end..) {
                Some([b'\r', b'\n', ..]) => at = end + 2,
                Some([] | [b'\r']) | None => return End::Open,
                Some(_) => return End::Odd("a chunk is longer than its size"),
            }
        }
        // Trailer fields say nothing that is wanted here.
        while let Some((field, next)) = line(received, at) {
            at = next;
            if field.is_empty() {
                return End::Whole;
            }
        }
        End::Open
    }

    /// The body without what is around its chunks.
    pub(super) fn body<'r>(&self, received: &'r [u8]) -> impl Iterator<Item = &'r [u8]> {
        self.body.iter().map(move |range| received.get(range.clone()).unwrap_or_default())
    }
}

/// The status of an answer, once its first line is there.
pub(super) fn status(received: &[u8]) -> Option<u16> {
    line(received, 0).and_then(|(line, _)| status_of(line))
}

/// The status of `HTTP/1.1 200 OK`.
fn status_of(line: &[u8]) -> Option<u16> {
    let [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b' ', status @ ..] = line else { return None };
    let is_end = status.get(3).is_none_or(|&b| b == b' ');
    let is_status = major.is_ascii_digit() && minor.is_ascii_digit() && is_end;
    let status = status.get(..3).filter(|_| is_status)?;
    number(status, 10).filter(|&status| status >= 100).and_then(|status| u16::try_from(status).ok())
}

fn number(digits: &[u8], radix: u32) -> Option<usize> {
    // `from_str_radix` takes a sign.
    let is_number = digits.iter().all(|&b| char::from(b).is_digit(radix));
    core::str::from_utf8(digits)
        .ok()
        .filter(|_| is_number)
        .and_then(|text| usize::from_str_radix(text, radix).ok())
}

/// The line that begins at `at`, and where the next one does; it may end without a carriage return (RFC 9112, 2.2).
fn line(received: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = received.get(at..)?;
    let end = memchr(b'\n', rest)?;
    let line = &rest[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), at + end + 1))
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Whether more bytes may make a status line of what arrived.
pub(super) fn may_become_one(received: &[u8]) -> bool {
    let mark = b"HTTP/";
    let is_marked = mark.starts_with(received) || received.starts_with(mark);
    is_marked && received.len() < MAX_HEAD && memchr(b'\n', received).is_none()
}

/// Where the empty line behind a head ends.
pub(super) fn end_of_head(received: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some((line, next)) = line(received, at) {
        if line.is_empty() && at > 0 {
            return Some(next);
        }
        at = next;
    }
    None
}

/// How many bytes before the answer are none of it: empty lines (RFC 9112, section 2.2) and interim answers (RFC 9110,
/// section 15.2), but for one that switches protocols.
pub(super) fn before_the_answer(received: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = received.get(at..).unwrap_or_default();
        at += match rest {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => match end_of_head(rest) {
                Some(end) if matches!(status(rest), Some(100 | 102..=199)) => end,
                _ => return at,
            },
        };
    }
}

/// Puts each folded field of a head on one line, in place (RFC 9112, section 5.2).
pub(super) fn unfold(head: &mut [u8]) {
    for at in 1..head.len().saturating_sub(1) {
        if head[at] == b'\n' && matches!(head[at + 1], b' ' | b'\t') {
            head[at] = b' ';
            if head[at - 1] == b'\r' {
                head[at - 1] = b' ';
            }
        }
    }
}
