//! A request, and its body as it is made while it is read.

use crate::outcome::debug_as;
use crate::secret::SecretBytes;

/// The media type of both requests.
pub const CONTENT_TYPE: &str = "application/json";

/// An HTTP request without its host and headers; it borrows the caller's text.
#[derive(Debug)]
pub struct Request<'t> {
    method: &'static str,
    path: &'static str,
    body: Body<'t>,
}

impl<'t> Request<'t> {
    /// Texts at odd indexes are escaped for JSON, those at even ones go out as they are.
    pub(super) fn new(method: &'static str, path: &'static str, texts: [&'t str; 7]) -> Self {
        let texts = texts.map(str::as_bytes);
        let escaped_len = |text: &[u8]| text.iter().map(|b| escaped(b).len()).sum();
        let lens = texts.iter().enumerate().map(|(i, text)| if i % 2 == 0 { text.len() } else { escaped_len(text) });
        Self { method, path, body: Body { remaining: lens.sum(), texts, escape_offset: 0 } }
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

/// Reads the body of a [`Request`], escaping straight from the caller's text into the buffer that it is given.
#[derive(Clone)]
pub struct Body<'t> {
    /// What is still to be read.
    texts: [&'t [u8]; 7],
    /// How many bytes of the escape at the front were read already.
    escape_offset: usize,
    remaining: usize,
}

impl Body<'_> {
    /// Fills the buffer, which may have any size, from its start, and returns how many bytes it wrote: fewer than there
    /// is room for only at the end, 0 when all was read.
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        let mut len = 0;
        for (i, text) in self.texts.iter_mut().enumerate() {
            if i % 2 == 0 {
                let (now, later) = text.split_at(text.len().min(buffer.len() - len));
                buffer[len..len + now.len()].copy_from_slice(now);
                len += now.len();
                *text = later;
                continue;
            }
            while let (Some((b, later)), Some(out)) = (text.split_first(), buffer.get_mut(len)) {
                let escaped = escaped(b);
                *out = escaped[self.escape_offset];
                len += 1;
                self.escape_offset += 1;
                if self.escape_offset == escaped.len() {
                    (*text, self.escape_offset) = (later, 0);
                }
            }
        }
        self.remaining -= len;
        len
    }

    /// How many bytes are still to be read.
    pub const fn remaining(&self) -> usize {
        self.remaining
    }
}

debug_as!(Body<'_>, self, "Body({} bytes to be read)", self.remaining);

/// A byte of text as it stands in a JSON string (RFC 8259, section 7).
fn escaped(b: &u8) -> &[u8] {
    const ESCAPES: [&str; 32] = [
        r"\u0000", r"\u0001", r"\u0002", r"\u0003", r"\u0004", r"\u0005", r"\u0006", r"\u0007", r"\b", r"\t", r"\n",
        r"\u000b", r"\f", r"\r", r"\u000e", r"\u000f", r"\u0010", r"\u0011", r"\u0012", r"\u0013", r"\u0014",
        r"\u0015", r"\u0016", r"\u0017", r"\u0018", r"\u0019", r"\u001a", r"\u001b", r"\u001c", r"\u001d", r"\u001e",
        r"\u001f",
    ];
    match b {
        b'"' => br#"\""#,
        b'\\' => br"\\",
        0..32 => ESCAPES[usize::from(*b)].as_bytes(),
        _ => core::slice::from_ref(b),
    }
}
