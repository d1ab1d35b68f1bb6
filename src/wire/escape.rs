//! Text on its way into a JSON string (RFC 8259, section 7).

/// A part of a body that is still to be written.
#[derive(Clone)]
pub(super) struct Part<'t> {
    rest: &'t [u8],
    /// By how many bytes escapes make the whole part longer.
    extra: usize,
    /// How many bytes of the first escape are written already.
    begun: usize,
}

/// How many bytes are looked at together: so few that a count of them fits a byte.
const BLOCK: usize = 64;

impl<'t> Part<'t> {
    pub(super) fn new(text: &'t str, is_escaped: bool) -> Self {
        let rest = text.as_bytes();
        let extra = if is_escaped { rest.chunks(BLOCK).map(extra_for).sum() } else { 0 };
        Self { rest, extra, begun: 0 }
    }

    /// How many bytes it takes when nothing is written yet.
    pub(super) const fn len(&self) -> usize {
        self.rest.len() + self.extra
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Writes as much as there is room for, and returns how much that was.
    pub(super) fn write(&mut self, room: &mut [u8]) -> usize {
        let mut len = 0;
        while len < room.len() && !self.rest.is_empty() {
            let room = &mut room[len..];
            len += if self.extra > 0 { self.write_block(room) } else { self.copy(usize::MAX, room) };
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
        let short = [b'\\', short_escape(b).unwrap_or_default()];
        let all = match escape_len(b) {
            1 => &[b][..],
            2 => &short[..],
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

/// How many bytes of a block are quotes or backslashes, and the least of all: without a branch, so that it becomes
/// vector code.
fn quotes_and_least(block: &[u8]) -> (u8, u8) {
    block
        .iter()
        .fold((0, 0xff), |(quotes, least), &b| (quotes + u8::from((b == b'"') | (b == b'\\')), b.min(least)))
}

/// How many bytes escapes add to a block.
fn extra_for(block: &[u8]) -> usize {
    match quotes_and_least(block) {
        (_, 0..0x20) => block.iter().map(|&b| escape_len(b) - 1).sum(),
        (quotes, _) => quotes.into(),
    }
}

fn escape_len(b: u8) -> usize {
    match short_escape(b) {
        Some(_) => 2,
        None if b < 0x20 => 6,
        None => 1,
    }
}

/// What stands behind the backslash of an escape of two bytes.
fn short_escape(b: u8) -> Option<u8> {
    match b {
        b'"' | b'\\' => Some(b),
        8 => Some(b'b'),
        9 => Some(b't'),
        10 => Some(b'n'),
        12 => Some(b'f'),
        13 => Some(b'r'),
        _ => None,
    }
}
