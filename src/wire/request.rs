//! A request, and its body as it is made while it is read.

use core::fmt;

use super::escape::Part;
use crate::secret::SecretBytes;

/// The media type of both requests.
pub const CONTENT_TYPE: &str = "application/json";

/// An HTTP request without its host and headers; it borrows the caller's text.
pub struct Request<'t> {
    method: &'static str,
    path: &'static str,
    body: Body<'t>,
}

impl<'t> Request<'t> {
    /// Of the texts, every second is escaped.
    pub(super) fn new(method: &'static str, path: &'static str, texts: [&'t str; 7]) -> Self {
        let mut is_escaped = true;
        let mut remaining = 0;
        let parts = texts.map(|text| {
            is_escaped = !is_escaped;
            let part = Part::new(text, is_escaped);
            remaining += part.len();
            part
        });
        Self { method, path, body: Body { parts, remaining } }
    }

    /// The HTTP method.
    pub const fn method(&self) -> &'static str {
        self.method
    }

    /// The path, from its first slash.
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// The length of the JSON body in bytes, for `Content-Length`.
    pub const fn body_len(&self) -> usize {
        self.body.remaining
    }

    /// The JSON body, from its start; that of a backup holds the wallet's signing shares.
    pub fn body(&self) -> Body<'t> {
        self.body.clone()
    }

    /// The whole body in a buffer that is wiped, for a transport that wants a slice.
    pub fn to_bytes(&self) -> SecretBytes {
        let mut bytes = SecretBytes::zeroed(self.body_len());
        self.body().read(bytes.expose_mut());
        bytes
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {}, {} bytes)", self.method, self.path, self.body_len())
    }
}

/// Reads the body of a [`Request`], escaping straight from the caller's text into the buffer that it is given.
#[derive(Clone)]
pub struct Body<'t> {
    parts: [Part<'t>; 7],
    remaining: usize,
}

impl Body<'_> {
    /// Fills the buffer, which may have any size, from its start, and returns how many bytes it wrote: fewer than there
    /// is room for only at the end, 0 when all was read.
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        let mut len = 0;
        for part in &mut self.parts {
            len += part.write(&mut buffer[len..]);
        }
        self.remaining -= len;
        len
    }

    /// How many bytes are still to be read.
    pub const fn remaining(&self) -> usize {
        self.remaining
    }
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes to be read)", self.remaining)
    }
}
