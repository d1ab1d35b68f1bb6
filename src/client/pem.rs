//! PEM as files hold it (RFC 7468): sections between two marks, with any bytes around them.

use alloc::vec::Vec;
use core::iter;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;

use crate::secret::SecretBytes;

/// What stands between `-----BEGIN label-----` and the end that belongs to it.
pub(super) struct Section<'a> {
    pub(super) label: &'a [u8],
    /// The base64 text; `None` when the end is missing.
    body: Option<&'a [u8]>,
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// All sections, in their order. A section begins a line, or stands right behind the one before it, as in files that
/// were joined without a line break between them.
pub(super) fn sections(text: &[u8]) -> impl Iterator<Item = Section<'_>> {
    // Where to look on, and where the line begins at the earliest.
    let (mut next, mut floor) = (0, 0);
    iter::from_fn(move || {
        loop {
            let begin = next + memmem::find(text.get(next..)?, BEGIN)?;
            next = begin + BEGIN.len();
            let line = text.get(floor..begin)?.rsplit(is_line_break).next()?.trim_ascii();
            let label_len = memmem::find(text.get(next..)?, DASHES)?;
            let label = text.get(next..next + label_len)?;
            if !(line.is_empty() || line == BYTE_ORDER_MARK) || label.iter().any(is_line_break) {
                floor = begin;
                continue;
            }
            let body = text.get(next + label_len + DASHES.len()..)?;
            let body_len = memmem::find(body, DASHES).unwrap_or(body.len());
            let (body, end) = body.split_at(body_len);
            let rest = end.strip_prefix(END).and_then(|end| end.strip_prefix(label)?.strip_prefix(DASHES));
            next = text.len() - rest.unwrap_or(end).len();
            floor = next;
            return Some(Section { label, body: rest.map(|_| body) });
        }
    })
}

fn is_line_break(b: &u8) -> bool {
    matches!(b, b'\n' | b'\r')
}

impl Section<'_> {
    /// Whether this is a key that only a password opens: of PKCS#8, or of the older forms with their `Proc-Type`.
    pub(super) fn is_encrypted(&self) -> bool {
        let body = self.body.unwrap_or_default();
        self.label == b"ENCRYPTED PRIVATE KEY" || memmem::find(body, b",ENCRYPTED").is_some()
    }

    /// The bytes that the base64 text stands for.
    pub(super) fn decode(&self) -> Option<SecretBytes> {
        const BASE64: GeneralPurpose = GeneralPurpose::new(
            &base64::alphabet::STANDARD,
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
        );
        // A copy of its final size from the start: growing would leave an unwiped one behind.
        let body = self.body?;
        let mut text = Vec::with_capacity(body.len());
        text.extend(body.iter().filter(|b| !b.is_ascii_whitespace()));
        let text = SecretBytes::new(text);
        let mut bytes = SecretBytes::zeroed(base64::decoded_len_estimate(text.len()));
        let len = BASE64.decode_slice(text.expose(), bytes.expose_mut()).ok()?;
        bytes.truncate(len);
        Some(bytes)
    }
}
