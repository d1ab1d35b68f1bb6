//! Text from outside, made fit to show: bounded, without control characters, without a secret.

use alloc::string::String;
use alloc::vec::Vec;

use zeroize::Zeroizing;

/// Knows what a text from the network may not repeat: the key and the shares that were sent.
///
/// A transport that is not ours does not tell them: there, only what looks like a share is hidden.
#[derive(Default)]
pub(crate) struct Redactor<'a> {
    /// Each with the number of its characters that in a row are an echo of it.
    secrets: Vec<(&'a str, usize)>,
}

#[cfg(feature = "client")]
impl<'a> Redactor<'a> {
    /// Any 8 characters of a key in a row are an echo of it.
    pub(crate) fn of_key(key: &'a str) -> Self {
        let mut redactor = Self::default();
        redactor.add(key, 8);
        redactor
    }

    /// Any 12 characters of a share in a row are an echo of it: shorter ones meet ordinary words.
    pub(crate) fn add_share(&mut self, share: &'a str) {
        self.add(share, 12);
    }

    fn add(&mut self, secret: &'a str, len: usize) {
        let len = significant(secret).take(len).count();
        // A "secret" of three characters is a placeholder, and hiding each of its occurrences hides the message.
        if len >= 4 {
            self.secrets.push((secret, len));
        }
    }
}

impl Redactor<'_> {
    /// Appends `text` to `out` with control characters escaped, white space folded, whatever echoes or looks like a
    /// secret replaced, and what is beyond `limit` characters cut to an ellipsis.
    pub(crate) fn push_printable(&self, text: &str, limit: usize, out: &mut String) {
        // Everything past this is cut away in any case; looking at all of a megabyte would be work for nothing.
        let end = text.char_indices().nth(limit.saturating_mul(8)).map_or(text.len(), |(at, _)| at);
        let hidden = self.hidden(&text[..end]);
        let (mut left, mut after_hidden, mut space) = (limit, false, "");
        for (at, c) in text[..end].char_indices() {
            let is_hidden = hidden[at];
            if !is_hidden && matches!(c, ' ' | '\t' | '\r' | '\n') {
                space = if left < limit { " " } else { "" };
            } else if !(is_hidden && after_hidden) {
                let shown = if is_hidden { "[redacted]".into() } else { printable_char(c) };
                if !push_within(out, &[space, &shown], &mut left) {
                    return;
                }
                space = "";
            }
            after_hidden = is_hidden;
        }
        if end < text.len() {
            out.push('…');
        }
    }

    /// For each byte of `text`, whether it belongs to an echo, or to a run so long that it may be a share.
    fn hidden(&self, text: &str) -> Vec<bool> {
        const SHORTEST_SUSPECT: usize = 64;
        let mut hidden = alloc::vec![false; text.len()];
        // Only the client adds secrets: a firmware needs no room for the search.
        if cfg!(feature = "client") {
            for &(secret, len) in &self.secrets {
                hide_echoes(secret, len, text, &mut hidden);
            }
        }
        let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || b"+/-_=".contains(b);
        let mut start = 0;
        for run in text.as_bytes().chunk_by(|a, b| is_base64(a) == is_base64(b)) {
            let end = start + run.len();
            if run.len() >= SHORTEST_SUSPECT && is_base64(&run[0]) {
                hidden[start..end].fill(true);
            }
            start = end;
        }
        hidden
    }
}

/// Marks each piece of `len` characters that `text` has in common with `secret`.
///
/// The secret may be megabytes long: it is walked over once, and a piece is taken out of the table when it is found, so
/// that repeated ones cost no more.
fn hide_echoes(secret: &str, len: usize, text: &str, hidden: &mut [bool]) {
    const HASHES: usize = 1 << 13;
    // Of the last eight characters.
    let hash =
        |piece: u128| ((piece as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HASHES.ilog2())) as usize;
    // The last characters, as a number: `len` is at most 12. While there are fewer, the number begins with a zero, and
    // is equal to no piece.
    let mask = u128::MAX >> (128 - 8 * len);
    let next = |piece: &mut u128, byte: u8| {
        *piece = ((*piece << 8) + u128::from(byte)) & mask;
        *piece
    };

    let (mut places, mut piece) = (Vec::new(), 0);
    // What it holds may be the secret itself: wiped, and never grown.
    let mut pieces = Zeroizing::new(Vec::with_capacity(text.len()));
    for (start, end, byte) in significant(text) {
        places.push((start, end));
        pieces.push(next(&mut piece, byte));
    }
    // A hash table: the pieces with a hash are a chain, from `links[hash]` on over `links[HASHES + i]` of each. A link is
    // one more than the index of the next piece, or 0 at the end.
    let mut links = alloc::vec![0; HASHES + pieces.len()];
    for (i, &piece) in pieces.iter().enumerate().skip(len - 1) {
        links[HASHES + i] = core::mem::replace(&mut links[hash(piece)], i + 1);
    }
    let mut piece = 0;
    for (.., byte) in significant(secret) {
        let piece = next(&mut piece, byte);
        let mut at = hash(piece);
        while let Some(i) = usize::checked_sub(links[at], 1) {
            if pieces[i] == piece {
                hidden[places[i + 1 - len].0..places[i].1].fill(true);
                links[at] = links[HASHES + i];
            } else {
                at = HASHES + i;
            }
        }
    }
}

/// The characters by which an echo is known, each with its start and end in the text: visible ASCII, however often it was
/// escaped for JSON. What was put into a JSON text and that into another one is found all the same.
fn significant(text: &str) -> impl Iterator<Item = (usize, usize, u8)> {
    let text = text.as_bytes();
    let (mut at, mut escape) = (0, None);
    core::iter::from_fn(move || {
        loop {
            let mut byte = *text.get(at)?;
            let start = escape.unwrap_or(at);
            at += 1;
            if escape.take().is_some() {
                byte = match byte {
                    b'u' => match text.get(at..at + 4).and_then(hex) {
                        Some(unit) => {
                            at += 4;
                            unit.try_into().unwrap_or_default()
                        }
                        None => byte,
                    },
                    b'b' | b'f' | b'n' | b'r' | b't' => 0,
                    _ => byte,
                };
            }
            if byte == b'\\' {
                escape = Some(start);
            } else if byte.is_ascii_graphic() {
                return Some((start, at, byte));
            }
        }
    })
}

fn hex(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |number, &digit| Some(number * 16 + char::from(digit).to_digit(16)? as u16))
}

/// Text that the user wrote, such as a path: control characters escaped, cut to `limit` characters, nothing hidden.
#[cfg(feature = "client")]
pub(crate) fn printable(text: &str, limit: usize) -> String {
    let (mut out, mut left) = (String::new(), limit);
    _ = text.chars().all(|c| push_within(&mut out, &[&printable_char(c)], &mut left));
    out
}

/// Appends pieces for which so many characters are `left`, or else an ellipsis; returns whether they fit.
fn push_within(out: &mut String, pieces: &[&str], left: &mut usize) -> bool {
    let len: usize = pieces.iter().map(|piece| piece.chars().count()).sum();
    if len > *left {
        out.push('…');
        return false;
    }
    *left -= len;
    out.extend(pieces.iter().copied());
    true
}

/// A character as it is, or escaped if it could move a terminal's cursor, or make a line read otherwise than it was
/// written.
fn printable_char(c: char) -> String {
    let moves = c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    if moves { c.escape_unicode().collect() } else { c.into() }
}
