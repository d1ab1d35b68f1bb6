//! Text on its way into a JSON string (RFC 8259, section 7).

/// A part of a body that is still to be written, and how.
#[derive(Clone)]
pub(super) struct Part<'t> {
    rest: &'t [u8],
    has_escapes: bool,
    /// So many bytes of the first escape were written already.
    begun: usize,
}

/// How many bytes are looked at together: so few that a count of them fits a byte.
const BLOCK: usize = 64;

impl<'t> Part<'t> {
    /// Text that is written as it is.
    pub(super) const fn plain(text: &'t str) -> Self {
        Self { rest: text.as_bytes(), has_escapes: false, begun: 0 }
    }

    /// Text that is escaped, and how many bytes it then takes.
    pub(super) fn escaped(text: &'t str) -> (Self, usize) {
        let rest = text.as_bytes();
        let extra: usize = rest.chunks(BLOCK).map(extra_for).sum();
        (Self { rest, has_escapes: extra > 0, begun: 0 }, rest.len() + extra)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Writes as much as there is room for, and returns how much that was.
    pub(super) fn write(&mut self, room: &mut [u8]) -> usize {
        let mut len = 0;
        while len < room.len() && !self.rest.is_empty() {
            let room = &mut room[len..];
            len += if self.has_escapes { self.write_block(room) } else { self.copy(usize::MAX, room) };
        }
        len
    }

    fn copy(&mut self, at_most: usize, room: &mut [u8]) -> usize {
        let len = self.rest.len().min(room.len()).min(at_most);
        let (now, rest) = self.rest.split_at(len);
        room[..len].copy_from_slice(now);
        self.rest = rest;
        len
    }

    fn write_block(&mut self, room: &mut [u8]) -> usize {
        let mut block = &self.rest[..self.rest.len().min(BLOCK)];
        let (quotes, least) = quotes_and_least(block);
        if least < 0x20 {
            block = &block[..block.iter().position(|&b| b < 0x20).unwrap_or_default()];
        }
        let Some(room) =
            room.first_chunk_mut::<{ 2 * BLOCK }>().filter(|_| !block.is_empty() && self.begun == 0)
        else {
            return self.write_one(room);
        };
        if quotes == 0 {
            return self.copy(block.len(), room);
        }
        self.rest = &self.rest[block.len()..];
        let mut len = 0;
        for &b in block {
            // No branch: the next byte overwrites a backslash that is not needed. The index is never out of bounds, and
            // this says so.
            room[len % (2 * BLOCK)] = b'\\';
            len += usize::from(b == b'"') + usize::from(b == b'\\');
            room[len % (2 * BLOCK)] = b;
            len += 1;
        }
        len
    }

    /// Writes one byte, or as much of its escape as there is room for.
    fn write_one(&mut self, room: &mut [u8]) -> usize {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let Some((&b, rest)) = self.rest.split_first() else { return 0 };
        let long = [b'\\', b'u', b'0', b'0', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]];
        let short = [b'\\', short_escape(b).unwrap_or(b)];
        let all = match escape_len(b) {
            1 => &short[1..],
            2 => &short,
            _ => &long[..],
        };
        let left = &all[self.begun..];
        let len = left.len().min(room.len());
        room[..len].copy_from_slice(&left[..len]);
        self.begun += len;
        if self.begun == all.len() {
            (self.rest, self.begun) = (rest, 0);
        }
        len
    }
}

fn is_quote(b: u8) -> bool {
    (b == b'"') | (b == b'\\')
}

/// How many bytes of a block are quotes or backslashes, and the least of all: without a branch, so that it becomes
/// vector code.
fn quotes_and_least(block: &[u8]) -> (u8, u8) {
    block.iter().fold((0, 0xff), |(quotes, least), &b| (quotes + u8::from(is_quote(b)), b.min(least)))
}

/// How many bytes escapes add to a block.
fn extra_for(block: &[u8]) -> usize {
    match quotes_and_least(block) {
        (_, 0..0x20) => block.iter().map(|&b| escape_len(b) - 1).sum(),
        (quotes, _) => quotes.into(),
    }
}

fn escape_len(b: u8) -> usize {
    match b {
        _ if is_quote(b) || short_escape(b).is_some() => 2,
        0..0x20 => 6,
        _ => 1,
    }
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
