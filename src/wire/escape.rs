//! Text on its way into a JSON string (RFC 8259, section 7).

/// A part of a body that is still to be written.
#[derive(Clone)]
pub(super) struct Part<'t> {
    rest: &'t [u8],
    is_escaped: bool,
    /// How many bytes of the first escape are written already.
    begun: usize,
}

impl<'t> Part<'t> {
    pub(super) const fn new(text: &'t str, is_escaped: bool) -> Self {
        Self { rest: text.as_bytes(), is_escaped, begun: 0 }
    }

    /// How many bytes it takes when nothing is written yet.
    pub(super) fn len(&self) -> usize {
        let extra = |&b: &u8| if is_plain(b) { 0 } else { escape(b).1 - 1 };
        self.rest.len() + if self.is_escaped { self.rest.iter().map(extra).sum() } else { 0 }
    }

    /// Writes as much as there is room for, and returns how much that was.
    pub(super) fn write(&mut self, room: &mut [u8]) -> usize {
        let mut len = 0;
        if !self.is_escaped {
            len = self.rest.len().min(room.len());
            room[..len].copy_from_slice(&self.rest[..len]);
            self.rest = &self.rest[len..];
            return len;
        }
        while let (Some((&b, rest)), Some(place)) = (self.rest.split_first(), room.get_mut(len)) {
            len += 1;
            let end = if is_plain(b) {
                *place = b;
                1
            } else {
                let (bytes, end) = escape(b);
                *place = bytes[self.begun];
                end
            };
            self.begun += 1;
            if self.begun == end {
                (self.rest, self.begun) = (rest, 0);
            }
        }
        len
    }
}

const fn is_plain(b: u8) -> bool {
    b >= 0x20 && b != b'"' && b != b'\\'
}

/// The escape of a byte, and how long it is.
fn escape(b: u8) -> ([u8; 6], usize) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = |c| ([b'\\', c, 0, 0, 0, 0], 2);
    match b {
        b'"' | b'\\' => short(b),
        8 => short(b'b'),
        9 => short(b't'),
        10 => short(b'n'),
        12 => short(b'f'),
        13 => short(b'r'),
        _ => ([b'\\', b'u', b'0', b'0', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]], 6),
    }
}
