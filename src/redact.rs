//! Text from outside, made fit to show: bounded, without control characters, without a secret.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

/// Knows what a text from the network may not repeat: the key and the shares that were sent.
///
/// A transport that is not ours does not tell them: there, only what looks like a share is hidden.
#[derive(Default)]
pub(crate) struct Redactor<'a> {
    /// Each with the number of its bytes that in a row are an echo of it, in a text and in an id.
    secrets: Vec<(&'a [u8], usize, usize)>,
}

#[cfg(feature = "client")]
impl<'a> Redactor<'a> {
    /// Any 8 characters of a key in a row are an echo of it.
    pub(crate) fn of_key(key: &'a str) -> Self {
        let mut redactor = Self::default();
        redactor.add(key.as_bytes(), 8, 8);
        redactor
    }

    /// Any 12 characters of a share in a row are an echo of it: shorter ones meet ordinary words. In an id it takes
    /// 64, since an id may well be part of a share.
    pub(crate) fn add_share(&mut self, share: &'a [u8]) {
        self.add(share, 12, 64);
    }

    fn add(&mut self, secret: &'a [u8], in_text: usize, in_id: usize) {
        // A "secret" of three characters is a placeholder, and hiding each of its occurrences hides the message.
        if secret.len() >= 4 {
            self.secrets.push((secret, in_text.min(secret.len()), in_id));
        }
    }

    /// Whether an id repeats so much of a secret that it cannot be shown.
    pub(crate) fn is_in_id(&self, id: &str) -> bool {
        self.secrets.iter().any(|&(secret, _, len)| {
            id.as_bytes().windows(len).any(|piece| memchr::memmem::find(secret, piece).is_some())
        })
    }
}

impl Redactor<'_> {
    /// Appends `text` to `out` with control characters escaped, white space folded, whatever echoes or looks like a
    /// secret replaced, and what is beyond `limit` characters cut to an ellipsis.
    pub(crate) fn push_printable(&self, text: &str, limit: usize, out: &mut String) {
        // Everything past this is cut away in any case; looking at all of a megabyte would be work for nothing.
        let mut end = text.len().min(limit.saturating_mul(8));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let hidden = self.hidden(&text.as_bytes()[..end]);
        let (mut left, mut after_hidden, mut space) = (limit, false, "");
        for (at, c) in text[..end].char_indices() {
            let is_hidden = hidden.get(at).copied().unwrap_or_default();
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
    fn hidden(&self, text: &[u8]) -> Vec<bool> {
        const SHORTEST_SUSPECT: usize = 64;
        let mut hidden = alloc::vec![false; text.len()];
        // Only the client adds secrets: a firmware needs no room for the search.
        let secrets = if cfg!(feature = "client") { &self.secrets[..] } else { &[] };
        for &(secret, len, _) in secrets {
            // The secret may be megabytes long: it is walked over once.
            let pieces: BTreeSet<_> = text.windows(len).collect();
            let echoed: BTreeSet<_> = secret.windows(len).filter(|piece| pieces.contains(piece)).collect();
            for (start, _) in text.windows(len).enumerate().filter(|(_, piece)| echoed.contains(piece)) {
                hidden[start..start + len].fill(true);
            }
        }
        let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || b"+/-_=".contains(b);
        let mut start = 0;
        for run in text.chunk_by(|a, b| is_base64(a) == is_base64(b)) {
            let end = start + run.len();
            if run.len() >= SHORTEST_SUSPECT && is_base64(&run[0]) {
                hidden[start..end].fill(true);
            }
            start = end;
        }
        hidden
    }
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
