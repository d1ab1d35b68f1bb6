//! JSON (RFC 8259) walked over without copying a value.
//!
//! A general parser copies strings into scratch buffers that nobody wipes, and quotes values in its errors.

use alloc::vec::Vec;

use memchr::{memchr_iter, memchr2, memrchr};

use super::json::has_control;
use crate::secret::SecretString;

/// Where a text stops being what it should be, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) what: &'static str,
    pub(super) offset: usize,
}

/// A string that was scanned: what is between its quotes.
#[derive(Clone, Copy)]
pub(super) struct JsonString<'t> {
    pub(super) inside: &'t str,
    /// Where `inside` begins in the scanned text.
    pub(super) offset: usize,
    pub(super) has_escape: bool,
}

impl JsonString<'_> {
    /// Copies the string without its escapes; `None` when it contains an unpaired surrogate.
    pub(super) fn unescape(&self) -> Option<SecretString> {
        // An escape is never shorter than what it stands for, so this never grows.
        let mut out = SecretString::with_capacity(self.inside.len());
        let mut rest = self.inside;
        // So much at the beginning of `rest` was looked at already.
        let mut seen = 0;
        while let Some(at) = find_special(&rest.as_bytes()[seen..]) {
            out.push_within_capacity(&rest[..seen + at]);
            rest = &rest[seen + at + 1..];
            let (&letter, mut after) = rest.as_bytes().split_first()?;
            seen = 0;
            let c = match letter {
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => {
                    let first = hex4(&mut after)?;
                    if (0xd800..0xdc00).contains(&first) {
                        after = after.strip_prefix(b"\\u")?;
                        let second = hex4(&mut after)?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                        char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)?
                    } else {
                        char::from_u32(first)?
                    }
                }
                // A quote, a backslash or a slash stands for itself.
                _ => {
                    seen = 1;
                    continue;
                }
            };
            out.push_within_capacity(c.encode_utf8(&mut [0; 4]));
            rest = rest.get(rest.len() - after.len()..)?;
        }
        out.push_within_capacity(rest);
        Some(out)
    }

    /// Whether the string stands for `name`.
    pub(super) fn is(&self, name: &str) -> bool {
        if self.has_escape {
            self.unescape().is_some_and(|text| text.expose() == name)
        } else {
            self.inside == name
        }
    }
}

/// The next quote or backslash.
fn find_special(bytes: &[u8]) -> Option<usize> {
    // Where one is, others are near: a call of `memchr` for each would take longer than looking.
    let near = bytes.len().min(16);
    match bytes[..near].iter().position(|b| matches!(b, b'"' | b'\\')) {
        None => memchr2(b'"', b'\\', &bytes[near..]).map(|at| near + at),
        found => found,
    }
}

fn hex4(rest: &mut &[u8]) -> Option<u32> {
    let (digits, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    digits.iter().try_fold(0, |sum, &d| Some(sum * 16 + char::from(d).to_digit(16)?))
}

/// Walks over a JSON text, value by value.
pub(super) struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// Where the next value begins, or the end of the text.
    pub(super) fn offset(&mut self) -> usize {
        self.skip_white_space();
        self.at
    }

    pub(super) fn at_string(&mut self) -> bool {
        self.next_token() == Some(b'"')
    }

    pub(super) fn at_object(&mut self) -> bool {
        self.next_token() == Some(b'{')
    }

    /// Scans an object; `member` is called after each name and must scan its value.
    pub(super) fn object<E: From<SyntaxError>>(
        &mut self,
        mut member: impl FnMut(&mut Self, JsonString<'t>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.next_token() {
            Some(b'{') => self.at += 1,
            Some(_) => return Err(self.error("is not a JSON object").into()),
            None => return Err(self.unexpected().into()),
        }
        if self.next_token() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let name = self.name()?;
            member(self, name)?;
            match self.next_token() {
                Some(b',') => self.at += 1,
                Some(b'}') => break self.at += 1,
                _ => return Err(self.unexpected().into()),
            }
        }
        Ok(())
    }

    /// Scans a string.
    pub(super) fn string(&mut self) -> Result<JsonString<'t>, SyntaxError> {
        if self.next_token() != Some(b'"') {
            return Err(if self.at == self.text.len() {
                self.unexpected()
            } else {
                self.error("is not a string")
            });
        }
        let bytes = self.text.as_bytes();
        let offset = self.at + 1;
        self.at = offset;
        let mut has_escape = false;
        loop {
            match find_special(&bytes[self.at..]) {
                None => {
                    self.at = bytes.len();
                    return Err(self.unexpected());
                }
                Some(plain) => self.at += plain,
            }
            if bytes[self.at] == b'"' {
                break;
            }
            has_escape = true;
            self.at += match bytes.get(self.at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                Some(b'u') if hex4(&mut &bytes[self.at + 2..]).is_some() => 6,
                _ => return Err(self.error("is not JSON")),
            };
        }
        // Both ends are at a quote, hence at the boundary of a character.
        let inside = self.text.get(offset..self.at).unwrap_or_default();
        if has_control(inside.as_bytes()) {
            return Err(self.error("is not JSON"));
        }
        self.at += 1;
        Ok(JsonString { inside, offset, has_escape })
    }

    /// Scans any value, however deep, without recursion.
    pub(super) fn skip_value(&mut self) -> Result<(), SyntaxError> {
        let mut open = Vec::new();
        loop {
            match self.next_token() {
                Some(b @ (b'{' | b'[')) => {
                    let close = b + 2; // in ASCII, for both
                    self.at += 1;
                    if self.next_token() == Some(close) {
                        self.at += 1;
                    } else {
                        open.push(close);
                        if close == b'}' {
                            self.name()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => _ = self.string()?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                Some(b'n') => self.literal("null")?,
                _ => return Err(self.unexpected()),
            }
            loop {
                let Some(&close) = open.last() else { return Ok(()) };
                match self.next_token() {
                    Some(b',') => {
                        self.at += 1;
                        if close == b'}' {
                            self.name()?;
                        }
                        break;
                    }
                    Some(b) if b == close => {
                        self.at += 1;
                        open.pop();
                    }
                    _ => return Err(self.unexpected()),
                }
            }
        }
    }

    /// Nothing but white space may be left.
    pub(super) fn end(&mut self) -> Result<(), SyntaxError> {
        match self.next_token() {
            None => Ok(()),
            Some(_) => Err(self.error("is followed by something else")),
        }
    }

    fn name(&mut self) -> Result<JsonString<'t>, SyntaxError> {
        if self.next_token() != Some(b'"') {
            return Err(self.unexpected());
        }
        let name = self.string()?;
        if self.next_token() != Some(b':') {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(name)
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        self.skip_if(|b| b == b'-');
        if !self.skip_if(|b| b == b'0') {
            self.digits()?;
        }
        if self.skip_if(|b| b == b'.') {
            self.digits()?;
        }
        if self.skip_if(|b| matches!(b, b'e' | b'E')) {
            self.skip_if(|b| matches!(b, b'+' | b'-'));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), SyntaxError> {
        if !self.skip_if(|b| b.is_ascii_digit()) {
            return Err(self.unexpected());
        }
        while self.skip_if(|b| b.is_ascii_digit()) {}
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<(), SyntaxError> {
        for expected in word.bytes() {
            if !self.skip_if(|b| b == expected) {
                return Err(self.unexpected());
            }
        }
        Ok(())
    }

    fn skip_if(&mut self, wanted: impl Fn(u8) -> bool) -> bool {
        let found = self.text.as_bytes().get(self.at).is_some_and(|&b| wanted(b));
        self.at += usize::from(found);
        found
    }

    fn skip_white_space(&mut self) {
        while self.skip_if(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {}
    }

    fn next_token(&mut self) -> Option<u8> {
        self.skip_white_space();
        self.text.as_bytes().get(self.at).copied()
    }

    fn unexpected(&self) -> SyntaxError {
        self.error(if self.at >= self.text.len() { "ends too early" } else { "is not JSON" })
    }

    fn error(&self, what: &'static str) -> SyntaxError {
        SyntaxError { what, offset: self.at }
    }
}

/// Line and column of a byte offset, both from 1, the column in bytes.
pub(super) fn line_and_column(text: &[u8], offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line_start = memrchr(b'\n', before).map_or(0, |at| at + 1);
    (1 + memchr_iter(b'\n', before).count(), 1 + before.len() - line_start)
}
