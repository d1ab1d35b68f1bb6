//! Text from outside, made fit to show: bounded, without control characters, without a secret.

use alloc::{string::String, vec::Vec};

use zeroize::Zeroizing;

/// Knows what a shown text must not repeat: the key and the shares that were sent.
///
/// Without the client they are not known, and only what looks like a share is hidden.
#[derive(Default)]
pub(crate) struct Redactor<'a> {
    /// Each secret, and how many of its characters in a row count as an echo of it.
    secrets: Vec<(&'a str, usize)>,
}

#[cfg(feature = "client")]
impl<'a> Redactor<'a> {
    /// Any 8 characters of a key in a row are an echo of it, and 12 of a share: shorter ones meet ordinary words.
    pub(crate) fn new(key: &'a str, shares: &[&'a str]) -> Self {
        let secrets = [(key, 8)].into_iter().chain(shares.iter().map(|share| (*share, 12)));
        let secrets = secrets.map(|(secret, len)| (secret, significant(secret).take(len).count()));
        // A "secret" of three characters is a placeholder, and hiding each of its occurrences hides the message.
        Self { secrets: secrets.filter(|(_, len)| *len >= 4).collect() }
    }
}

impl Redactor<'_> {
    /// Appends `text` to `out` with control characters escaped, white space folded, whatever echoes or looks like a
    /// secret replaced, and what is beyond `limit` characters cut to an ellipsis.
    pub(crate) fn push_redacted(&self, text: &str, limit: usize, out: &mut String) {
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
        let mut hidden = alloc::vec![false; text.len()];
        self.secrets.iter().for_each(|(secret, len)| hide_echoes(secret, *len, text, &mut hidden));
        let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || b"+/-_=".contains(b);
        let mut start = 0;
        for run in text.as_bytes().chunk_by(|a, b| is_base64(a) == is_base64(b)) {
            let end = start + run.len();
            if run.len() >= 64 && is_base64(&run[0]) {
                hidden[start..end].fill(true);
            }
            start = end;
        }
        hidden
    }
}

/// Marks each piece of `len` characters, at most 16, that `text` has in common with `secret`.
///
/// The secret may be megabytes long: each of its pieces is looked for by one hash, and if that is there by one binary
/// search, whatever is in the text.
fn hide_echoes(secret: &str, len: usize, text: &str, hidden: &mut [bool]) {
    const HASHES: usize = 1 << 16;
    // Of the last eight characters.
    let hash = |piece: u128| ((piece as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize;
    // Before `len` characters, a piece has a zero byte on top, so it equals none of the text's.
    let mask = u128::MAX >> (128 - 8 * len);
    let next = |piece: u128, byte: u8| ((piece << 8) + u128::from(byte)) & mask;

    // What these hold may be the secret itself: wiped, and never grown.
    let mut chars = Zeroizing::new(Vec::with_capacity(text.len()));
    chars.extend(significant(text));
    let piece_of = |chars: &[(usize, usize, u8)]| chars.iter().fold(0, |piece, c| next(piece, c.2));
    let mut pieces = Zeroizing::new(Vec::with_capacity(chars.len()));
    pieces.extend(chars.windows(len).map(piece_of));
    pieces.sort_unstable();
    pieces.dedup();
    let (mut has_hash, mut is_echo) = (alloc::vec![false; HASHES], alloc::vec![false; pieces.len()]);
    pieces.iter().for_each(|piece| has_hash[hash(*piece)] = true);
    let mut piece = 0;
    for (.., byte) in significant(secret) {
        piece = next(piece, byte);
        if has_hash[hash(piece)] {
            pieces.binary_search(&piece).into_iter().for_each(|at| is_echo[at] = true);
        }
    }
    for window in chars.windows(len) {
        if pieces.binary_search(&piece_of(window)).is_ok_and(|at| is_echo[at]) {
            hidden[window[0].0..window[len - 1].1].fill(true);
        }
    }
}

/// The characters by which an echo is known, each with its start and end in the text: visible ASCII, however often it was
/// escaped for JSON. What was put into a JSON text and that into another one is found all the same.
fn significant(text: &str) -> impl Iterator<Item = (usize, usize, u8)> {
    let mut at = 0;
    core::iter::from_fn(move || {
        let (mut start, mut is_escaped) = (at, false);
        loop {
            let mut byte = *text.as_bytes().get(at)?;
            at += 1;
            if is_escaped && byte == b'u' {
                let code = text.get(at..at + 4).and_then(|digits| u16::from_str_radix(digits, 16).ok());
                at += if code.is_some() { 4 } else { 0 };
                byte = code.map_or(byte, |code| code.try_into().unwrap_or_default());
            } else if is_escaped && b"bfnrt".contains(&byte) {
                byte = 0;
            }
            is_escaped = byte == b'\\';
            if !is_escaped && byte.is_ascii_graphic() {
                return Some((start, at, byte));
            }
            start = if is_escaped { start } else { at };
        }
    })
}

/// Text that the user wrote, such as a path: control characters escaped, cut to `limit` characters, nothing hidden.
#[cfg(feature = "client")]
pub(crate) fn escape_controls(text: &str, limit: usize) -> String {
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
