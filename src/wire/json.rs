//! Text on its way into a JSON string (RFC 8259, section 7).

use alloc::vec::Vec;

use memchr::memchr2;

/// A text on its way into a JSON string: sized first, so that its buffer is allocated once.
pub(super) struct Escaped<'t> {
    text: &'t str,
    len: usize,
    has_control: bool,
}

impl<'t> Escaped<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let bytes = text.as_bytes();
        let has_control = has_control(bytes);
        let extra: usize = bytes.chunks(BLOCK).map(|block| extra_for(block, has_control)).sum();
        Self { text, len: bytes.len() + extra, has_control }
    }

    /// How many bytes the text takes between the quotes.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Appends it to a buffer that has room for it.
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        let mut rest = self.text.as_bytes();
        while let Some(plain) = memchr2(b'"', b'\\', rest) {
            self.write_unquoted(&rest[..plain], out);
            // Where one is, others are near: a search for each would take longer than looking.
            let (cluster, after) = rest[plain..].split_at((rest.len() - plain).min(NEAR));
            if self.has_control && has_control(cluster) {
                for part in cluster.split_inclusive(|b| matches!(b, b'"' | b'\\')) {
                    let (unquoted, quote) = part.split_at(part.len() - 1);
                    self.write_unquoted(unquoted, out);
                    out.extend(matches!(quote, [b'"' | b'\\']).then_some(b'\\'));
                    self.write_unquoted(quote, out);
                }
            } else {
                quote(cluster, out);
            }
            rest = after;
        }
        self.write_unquoted(rest, out);
    }

    fn write_unquoted(&self, bytes: &[u8], out: &mut Vec<u8>) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        if !self.has_control {
            out.extend_from_slice(bytes);
            return;
        }
        for block in bytes.chunks(BLOCK) {
            if !has_control(block) {
                out.extend_from_slice(block);
                continue;
            }
            for &b in block {
                match (short_escape(b), b) {
                    (Some(letter), _) => out.extend_from_slice(&[b'\\', letter]),
                    (None, 0..0x20) => {
                        let digits = [HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]];
                        out.extend_from_slice(b"\\u00");
                        out.extend_from_slice(&digits);
                    }
                    (None, _) => out.push(b),
                }
            }
        }
    }
}

/// How many bytes are looked at one by one.
const NEAR: usize = 64;

/// Appends bytes with a backslash before each quote and backslash.
fn quote(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len() + extra_for(bytes, false), 0);
    let room = &mut out[start..];
    let mut len = 0;
    for &b in bytes {
        // No branch: the next byte overwrites a backslash that is not needed.
        room[len] = b'\\';
        len += usize::from((b == b'"') | (b == b'\\'));
        room[len] = b;
        len += 1;
    }
}

pub(super) fn has_control(bytes: &[u8]) -> bool {
    // A minimum has no branch, so that long blocks become vector code.
    bytes.chunks(4096).any(|block| block.iter().fold(0xff, |least, &b| b.min(least)) < 0x20)
}

/// So much at a time that a count fits a byte.
const BLOCK: usize = 128;

/// How many bytes escapes add to a block.
fn extra_for(block: &[u8], maybe_control: bool) -> usize {
    // No branch: this is vector code too.
    let quotes = block.iter().fold(0, |n, &b| n + u8::from((b == b'"') | (b == b'\\')));
    let controls =
        || block.iter().filter(|&&b| b < 0x20).map(|&b| if short_escape(b).is_some() { 1 } else { 5 });
    usize::from(quotes) + if maybe_control { controls().sum() } else { 0 }
}

fn short_escape(control: u8) -> Option<u8> {
    match control {
        8 => Some(b'b'),
        9 => Some(b't'),
        10 => Some(b'n'),
        12 => Some(b'f'),
        13 => Some(b'r'),
        _ => None,
    }
}
