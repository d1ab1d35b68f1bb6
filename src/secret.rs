//! Buffers that are wiped when dropped and never printed, and the client API key.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use memchr::memmem;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::{Error, InvalidInput};

/// Bytes that nobody else may see: wiped on drop, redacted in `Debug`.
///
/// There is one door to the content, [`expose`](Self::expose). The type has no `Display`, `Clone` or `Serialize`.
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes the bytes over without copying them.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes themselves.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are; this is not secret.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// That many zeroes, to be written over.
    pub(crate) fn zeroed(len: usize) -> Self {
        Self(alloc::vec![0; len])
    }

    pub(crate) fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Cuts the end off; it stays in the buffer and is wiped with it.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Hands the bytes out; wiping them is the caller's from here on.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<u8> {
        core::mem::take(&mut self.0)
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        // The whole allocation, what `truncate` left behind included. `Vec`'s own `zeroize` goes byte by byte.
        self.0.clear();
        self.0.spare_capacity_mut().zeroize();
    }
}

impl ZeroizeOnDrop for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.0.len())
    }
}

/// Text that nobody else may see: UTF-8 by type, otherwise as [`SecretBytes`].
pub(crate) struct SecretString(String);

impl SecretString {
    /// Empty, with room for what is to be pushed.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(String::with_capacity(capacity))
    }

    /// Takes the bytes over without copying them; gives them back with the offset of the first that is not UTF-8.
    pub(crate) fn from_utf8(bytes: SecretBytes) -> Result<Self, (SecretBytes, usize)> {
        String::from_utf8(bytes.into_vec()).map(Self).map_err(|e| {
            let valid = e.utf8_error().valid_up_to();
            (SecretBytes::new(e.into_bytes()), valid)
        })
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Appends text for which there is room: growing would leave an unwiped copy behind.
    pub(crate) fn push_within_capacity(&mut self, text: &str) {
        debug_assert!(self.0.len() + text.len() <= self.0.capacity(), "sized too small");
        self.0.push_str(text);
    }

    pub(crate) fn into_bytes(mut self) -> SecretBytes {
        SecretBytes::new(core::mem::take(&mut self.0).into_bytes())
    }
}

impl Drop for SecretString {
    fn drop(&mut self) {
        drop(SecretBytes::new(core::mem::take(&mut self.0).into_bytes()));
    }
}

/// A client API key or a client session token of Portal, sent as the bearer token of both calls.
///
/// The text is wiped on drop and can be neither printed nor read back: `Debug` redacts, and there is no `Display`,
/// `Clone` or `Serialize`.
///
/// ```
/// let key = portal_backup::ApiKey::new("0d7a11c8-demo")?;
/// assert_eq!(format!("{key:?}"), "ApiKey(redacted)");
/// assert!(portal_backup::ApiKey::new("two words").is_err());
/// # Ok::<(), portal_backup::Error>(())
/// ```
pub struct ApiKey(SecretString);

impl ApiKey {
    /// Copies a key, 1 to 4096 visible ASCII characters, into a buffer that is wiped.
    ///
    /// # Errors
    ///
    /// - Empty, longer than 4096 bytes, or holding a space, a line break, a control character or anything beyond
    ///   ASCII: [`Error::InvalidInput`], nothing was sent; correct the key (a trailing line break from a file is the
    ///   usual cause).
    pub fn new(key: &str) -> Result<Self, Error> {
        let mistake = if key.is_empty() {
            "the client API key is empty"
        } else if key.len() > 4096 {
            "the client API key is longer than 4096 bytes"
        } else if !key.bytes().all(|b| b.is_ascii_graphic()) {
            "the client API key holds a space, a line break, a control character or a non-ASCII character"
        } else {
            return Ok(Self(SecretString(key.into())));
        };
        Err(InvalidInput::new(mistake).into())
    }

    /// Reads the key from an environment variable, such as `PORTAL_CLIENT_API_KEY`.
    ///
    /// The environment itself keeps its copy: it cannot be wiped from here.
    ///
    /// # Errors
    ///
    /// - The variable is not set, is not UTF-8 or is no key (see [`ApiKey::new`]): [`Error::InvalidInput`], nothing
    ///   was sent; set it.
    #[cfg(feature = "client")]
    pub fn from_env(name: &str) -> Result<Self, Error> {
        // `var_os` panics on neither of these names but cannot find them either.
        let value = std::env::var_os(name).ok_or_else(|| {
            let mistake = InvalidInput::new("the environment variable for the client API key is not set");
            // What is no name may be the key itself, in the wrong place.
            let is_name = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
            if is_name { mistake.about(name) } else { mistake }
        })?;
        match SecretString::from_utf8(SecretBytes::new(value.into_encoded_bytes())) {
            Ok(key) => Self::new(key.expose()),
            Err(_) => Err(InvalidInput::new("the client API key is not ASCII").into()),
        }
    }

    /// The key, for the header of one's own transport: `Authorization: Bearer KEY`.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(redacted)")
    }
}

/// What a text from the network may not repeat: the key and the shares that were sent.
#[derive(Default)]
pub(crate) struct Echoes<'a> {
    secrets: Vec<(&'a [u8], usize)>,
}

impl<'a> Echoes<'a> {
    /// Any 8 characters of a key in a row are an echo of it.
    #[cfg(feature = "client")]
    pub(crate) fn of_key(key: &'a ApiKey) -> Self {
        let mut echoes = Self::default();
        echoes.add(key.expose().as_bytes(), 8);
        echoes
    }

    /// Any 12 characters of a share in a row are an echo of it: shorter ones meet ordinary words.
    #[cfg(feature = "client")]
    pub(crate) fn add_share(&mut self, share: &'a [u8]) {
        self.add(share, 12);
    }

    #[cfg(feature = "client")]
    fn add(&mut self, secret: &'a [u8], window: usize) {
        let window = window.min(secret.len());
        // A "secret" of three characters is a placeholder, and hiding each of its occurrences hides the message.
        if window >= 4 {
            self.secrets.push((secret, window));
        }
    }

    /// Whether an id repeats so much of a secret that it is none; an id may well be part of a share.
    #[cfg(feature = "client")]
    pub(crate) fn are_id(&self, id: &str) -> bool {
        self.secrets.iter().any(|&(secret, window)| {
            let enough = if window == 8 { window } else { 64 };
            // Both are short, so that preparing a search would take longer than looking.
            let is_in_secret = |piece: &[u8]| {
                secret.windows(enough).any(|part| part.first() == piece.first() && part == piece)
            };
            window >= 8 && id.as_bytes().windows(enough).any(is_in_secret)
        })
    }

    /// Appends `text` to `out` with control characters escaped, white space folded, whatever echoes or looks like a
    /// secret replaced, and what is beyond `limit` characters cut to an ellipsis.
    pub(crate) fn print(&self, text: &str, limit: usize, out: &mut String) {
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
        for &(secret, window) in &self.secrets {
            for (start, piece) in text.windows(window).enumerate() {
                if memmem::find(secret, piece).is_some() {
                    hidden[start..start + window].fill(true);
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

fn is_base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_' | b'=')
}

/// What could move a terminal's cursor, or make a line read otherwise than it was written.
fn must_be_escaped(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
