//! Text from outside, made fit to show: bounded, without control characters, without a secret.

use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;

/// Knows what a text from the network may not repeat: the key and the shares that were sent.
///
/// Who brings a transport of their own does not tell them, so there only what looks like a share is hidden.
#[derive(Default)]
pub(crate) struct Redactor<'a> {
    #[cfg(feature = "client")]
    secrets: Vec<Secret<'a>>,
    lifetime: PhantomData<&'a [u8]>,
}

#[cfg(feature = "client")]
struct Secret<'a> {
    text: &'a [u8],
    /// So many bytes of it in a row are an echo.
    window: usize,
    /// The same in an id.
    id_window: usize,
}

impl<'a> Redactor<'a> {
    /// Any 8 characters of a key in a row are an echo of it.
    #[cfg(feature = "client")]
    pub(crate) fn of_key(key: &'a str) -> Self {
        let mut redactor = Self::default();
        redactor.add(key.as_bytes(), 8, 8);
        redactor
    }

    /// Any 12 characters of a share in a row are an echo of it: shorter ones meet ordinary words. In an id it takes
    /// 64, since an id may well be part of a share.
    #[cfg(feature = "client")]
    pub(crate) fn add_share(&mut self, share: &'a [u8]) {
        self.add(share, 12, 64);
    }

    #[cfg(feature = "client")]
    fn add(&mut self, text: &'a [u8], window: usize, id_window: usize) {
        let window = window.min(text.len());
        // A "secret" of three characters is a placeholder, and hiding each of its occurrences hides the message.
        if window >= 4 {
            self.secrets.push(Secret { text, window, id_window });
        }
    }

    /// Whether an id repeats so much of a secret that it cannot be shown.
    #[cfg(feature = "client")]
    pub(crate) fn is_in_id(&self, id: &str) -> bool {
        self.secrets.iter().any(|secret| {
            // Both are short as a rule, so that preparing a search would take longer than looking.
            let is_in_secret = |piece: &[u8]| {
                let mut parts = secret.text.windows(secret.id_window);
                parts.any(|part| part.first() == piece.first() && part == piece)
            };
            id.as_bytes().windows(secret.id_window).any(is_in_secret)
        })
    }

    /// Appends `text` to `out` with control characters escaped, white space folded, whatever echoes or looks like a
    /// secret replaced, and what is beyond `limit` characters cut to an ellipsis.
    pub(crate) fn push_printable(&self, text: &str, limit: usize, out: &mut String) {
        // Everything past this is cut away in any case; looking at all of a megabyte would be work for nothing.
        let mut end = text.len().min(limit.saturating_mul(8));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let (text, mut cut) = (&text[..end], end < text.len());
        let hidden = self.hidden(text.as_bytes());
        let mut shown = 0;
        let mut after_hidden = false;
        let mut after_space = false;
        let mut piece = String::new();
        for (at, c) in text.char_indices() {
            let is_hidden = hidden.get(at).copied().unwrap_or_default();
            if is_hidden && after_hidden {
                continue;
            }
            if !is_hidden && matches!(c, ' ' | '\t' | '\r' | '\n') {
                (after_hidden, after_space) = (false, shown > 0);
                continue;
            }
            piece.clear();
            piece.extend(after_space.then_some(' '));
            if is_hidden {
                piece.push_str("[redacted]");
            } else if must_be_escaped(c) {
                piece.extend(c.escape_unicode());
            } else {
                piece.push(c);
            }
            let width = piece.chars().count();
            if shown + width > limit {
                cut = true;
                break;
            }
            shown += width;
            out.push_str(&piece);
            (after_hidden, after_space) = (is_hidden, false);
        }
        if cut {
            out.push('…');
        }
    }

    /// For each byte of `text`, whether it belongs to an echo, or to a run so long that it may be a share.
    fn hidden(&self, text: &[u8]) -> Vec<bool> {
        const SHORTEST_SUSPECT: usize = 64;
        let mut hidden = alloc::vec![false; text.len()];
        #[cfg(feature = "client")]
        for secret in &self.secrets {
            // The secret may be megabytes long: it is walked over once.
            use alloc::collections::BTreeSet;
            let pieces: BTreeSet<_> = text.windows(secret.window).collect();
            let echoed = secret.text.windows(secret.window).filter(|piece| pieces.contains(piece));
            let echoed: BTreeSet<_> = echoed.collect();
            for (start, piece) in text.windows(secret.window).enumerate() {
                if echoed.contains(piece) {
                    hidden[start..start + secret.window].fill(true);
                }
            }
        }
        let mut start = 0;
        for run in text.split_inclusive(|&b| !is_base64(b)) {
            let len = run.iter().take_while(|&&b| is_base64(b)).count();
            if len >= SHORTEST_SUSPECT {
                hidden[start..start + len].fill(true);
            }
            start += run.len();
        }
        hidden
    }
}

/// Text that the user wrote, such as a path: control characters escaped, cut to `limit` characters, nothing hidden.
#[cfg(feature = "client")]
pub(crate) fn printable(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut shown = 0;
    for c in text.chars() {
        let escaped = must_be_escaped(c).then(|| c.escape_unicode());
        shown += escaped.as_ref().map_or(1, ExactSizeIterator::len);
        if shown > limit {
            out.push('…');
            break;
        }
        match escaped {
            Some(escaped) => out.extend(escaped),
            None => out.push(c),
        }
    }
    out
}

fn is_base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_' | b'=')
}

/// What could move a terminal's cursor, or make a line read otherwise than it was written.
fn must_be_escaped(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
