//! Buffers that are wiped when dropped and never printed, and the client API key.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::invalid_input::InvalidInput;

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
/// The text is wiped on drop. `Debug` redacts it, and there is no `Display`, `Clone` or `Serialize`:
/// [`expose`](Self::expose) is the only way to it.
///
/// ```
/// let key = portal_backup::ApiKey::new("0d7a11c8-demo")?;
/// assert_eq!(format!("{key:?}"), "ApiKey(redacted)");
/// assert!(portal_backup::ApiKey::new("two words").is_err());
/// # Ok::<(), portal_backup::InvalidInput>(())
/// ```
pub struct ApiKey(SecretString);

impl ApiKey {
    /// Copies a key, 1 to 4096 visible ASCII characters, into a buffer that is wiped.
    ///
    /// # Errors
    ///
    /// - Empty, longer than 4096 bytes, or holding a space, a line break, a control character or anything beyond
    ///   ASCII: [`InvalidInput`], nothing was sent; correct the key (a trailing line break from a file is the
    ///   usual cause).
    pub fn new(key: &str) -> Result<Self, InvalidInput> {
        let mistake = if key.is_empty() {
            "the client API key is empty"
        } else if key.len() > 4096 {
            "the client API key is longer than 4096 bytes"
        } else if !key.bytes().all(|b| b.is_ascii_graphic()) {
            "the client API key holds a space, a line break, a control character or a non-ASCII character"
        } else {
            return Ok(Self(SecretString(key.into())));
        };
        Err(InvalidInput::new(mistake))
    }

    /// Reads the key from an environment variable, such as `PORTAL_CLIENT_API_KEY`.
    ///
    /// The environment itself keeps its copy: it cannot be wiped from here.
    ///
    /// # Errors
    ///
    /// - The variable is not set, is not UTF-8 or is no key (see [`ApiKey::new`]): [`InvalidInput`], nothing was
    ///   sent; set it.
    #[cfg(feature = "client")]
    pub fn from_env(name: &str) -> Result<Self, InvalidInput> {
        // `var_os` does not panic on a name that cannot be one: it finds nothing under it.
        let value = std::env::var_os(name).ok_or_else(|| {
            let mistake = InvalidInput::new("the environment variable for the client API key is not set");
            // What is no name may be the key itself, in the wrong place.
            let is_name = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
            if is_name { mistake.about(name) } else { mistake }
        })?;
        match SecretString::from_utf8(SecretBytes::new(value.into_encoded_bytes())) {
            Ok(key) => Self::new(key.expose()),
            Err(_) => Err(InvalidInput::new("the client API key is not ASCII")),
        }
    }

    /// The key, for the header of your own transport: `Authorization: Bearer KEY`.
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
