//! PEM as files hold it (RFC 7468): sections with any bytes around them.

use alloc::vec::Vec;

use memchr::memmem;

use crate::secret::SecretBytes;

/// The sections, each from its first mark to that of the next, as `rustls_pki_types` reads them: one that is damaged
/// leaves the next alone, and lines begin with their first character.
///
/// A section begins a line, or stands right behind the one before it, as in files that were joined without a line
/// break.
pub(super) fn sections(text: &[u8]) -> Vec<SecretBytes> {
    let is_line_break = |b: &u8| matches!(b, b'\n' | b'\r');
    let is_start = |&at: &usize| {
        let before = text.get(..at).unwrap_or_default();
        // A byte order mark is not graphic.
        let is_first =
            !before.rsplit(is_line_break).next().unwrap_or_default().iter().any(u8::is_ascii_graphic);
        is_first || before.ends_with(b"-----")
    };
    let mut starts = Vec::from_iter(memmem::find_iter(text, b"-----BEGIN ").filter(is_start));
    starts.push(text.len());
    let sections = starts.windows(2).filter_map(|pair| text.get(pair[0]..pair[1]));
    let trimmed = |section: &[u8]| {
        let lines = Vec::from_iter(section.split(is_line_break).map(<[u8]>::trim_ascii));
        // Allocates once: growing would leave an unwiped copy of a key behind.
        SecretBytes::new(lines.join(&b'\n'))
    };
    sections.map(trimmed).collect()
}
