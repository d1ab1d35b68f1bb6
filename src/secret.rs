//! Buffers that are wiped when dropped and never printed, and the client API key.

use alloc::{format, string::String, vec::Vec};

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::invalid_input::InvalidInput;
use crate::outcome::debug_as;

/// Bytes that nobody else may see: wiped on drop, redacted in `Debug`, without `Display`, `Clone` or `Serialize`.
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes the bytes over without copying them.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are; this is not secret.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
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

debug_as!(SecretBytes, self, "SecretBytes({} bytes)", self.0.len());

/// Text that nobody else may see: UTF-8 by type, otherwise as [`SecretBytes`].
pub(crate) struct SecretString(String);

impl SecretString {
    /// Empty, with room for what is to be pushed.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(String::with_capacity(capacity))
    }

    /// Takes the bytes over without copying them, or gives them back if they are not UTF-8.
    pub(crate) fn from_utf8(bytes: SecretBytes) -> Result<Self, SecretBytes> {
        String::from_utf8(bytes.into_vec()).map(Self).map_err(|e| SecretBytes::new(e.into_bytes()))
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
/// Wiped on drop, redacted in `Debug`, without `Display`, `Clone` or `Serialize`.
///
/// ```compile_fail,E0277
/// # let key = portal_backup::ApiKey::new("0d7a11c8-demo").unwrap();
/// serde_json::to_string(&key).unwrap();
/// ```
pub struct ApiKey(SecretString);

impl ApiKey {
    /// Copies a key into a buffer that is wiped: the characters of a bearer token (RFC 6750, section 2.1), which are
    /// letters, digits and `-._~+/`, then `=` any number of times; at most 4096.
    ///
    /// # Errors
    ///
    /// - Anything else: [`InvalidInput`], which says what to take away, such as quotes, `Bearer ` or a line break;
    ///   nothing was sent.
    pub fn new(key: &str) -> Result<Self, InvalidInput> {
        match mistake_in(key) {
            None => Ok(Self(SecretString(key.into()))),
            Some(what) => Err(InvalidInput::new(format!("the client API key {what}"))),
        }
    }

    /// Reads the key from an environment variable, such as `PORTAL_CLIENT_API_KEY`, whose own copy cannot be wiped.
    ///
    /// # Errors
    ///
    /// - The variable is not set or holds no key (see [`ApiKey::new`]): [`InvalidInput`], nothing was sent; set it.
    #[cfg(feature = "client")]
    pub fn from_env(name: &str) -> Result<Self, InvalidInput> {
        // `var_os` does not panic on an impossible name: it returns `None`.
        let value = std::env::var_os(name).ok_or_else(|| {
            let mistake = InvalidInput::new("the environment variable for the client API key is not set");
            // What does not look like a name may be the key itself, passed by mistake.
            let is_name = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
            if is_name { mistake.about(name) } else { mistake }
        })?;
        // What is not UTF-8 is no key either.
        let value = SecretString::from_utf8(SecretBytes::new(value.into_encoded_bytes()));
        Self::new(value.as_ref().map_or("\u{fffd}", SecretString::expose))
    }

    /// The key, for the header of your own transport: `Authorization: Bearer KEY`.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// What is wrong with a key; never a part of it.
fn mistake_in(key: &str) -> Option<&'static str> {
    const QUOTES: &[char] = &['"', '\'', '`', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}'];
    let is_token_byte = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
    let token = key.trim_end_matches('=');
    if !token.is_empty() && token.bytes().all(is_token_byte) && key.len() <= 4096 {
        return None;
    }
    let line = key.trim();
    let name = line.split_once('=').and_then(|(before, _)| before.split_whitespace().next_back());
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let is_bearer = line.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer "));
    Some(match line {
        "" => "is empty",
        _ if is_bearer => "begins with `Bearer `: take that away",
        _ if line.starts_with(QUOTES) || line.ends_with(QUOTES) => "is in quotes: take them away",
        _ if name.is_some_and(is_name) => "is a line for a shell: pass what follows the equals sign alone",
        _ if key.len() > 4096 => "is longer than 4096 bytes",
        _ => "holds a character that no key has: it is made of letters, digits, -._~+/, and = at its end",
    })
}

debug_as!(ApiKey, self, "ApiKey(redacted)");
