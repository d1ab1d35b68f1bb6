//! A response, taken out of what was received.

use httparse::Status::Complete;

/// What the wire layer wants to know of a response.
pub struct Response {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Vec<u8>,
}

impl Response {
    /// The response, if it is complete. If nothing more will come, also one that is cut or malformed: with every byte that
    /// may belong to its body, for the wire layer to judge.
    pub fn read(mut received: &[u8], is_all: bool) -> Option<Self> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Response::new(&mut headers);
            let parsed = head.parse(received);
            let status = head.code?;
            let Ok(Complete(len)) = parsed else {
                let behind_status = received.get("HTTP/1.1 200".len()..)?.to_vec();
                return is_all.then_some(Self { status, retry_after: None, body: behind_status });
            };
            received = &received[len..];
            // `100 Continue` and its like come before the response.
            if !(100..200).contains(&status) {
                return Self::with_head(status, head.headers, received, is_all);
            }
        }
    }

    fn with_head(status: u16, headers: &[httparse::Header<'_>], received: &[u8], is_all: bool) -> Option<Self> {
        let header = |name: &str| {
            let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok()
        };
        let length = header("Content-Length").and_then(|length| length.parse().ok());
        let complete = match (status, header("Transfer-Encoding"), length) {
            (204 | 304, ..) => Some(Vec::new()),
            (_, Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => dechunk(received),
            (_, None, Some(length)) => received.get(..length).map(<[u8]>::to_vec),
            // Up to the end of the connection.
            _ => None,
        };
        let body = complete.or_else(|| is_all.then(|| received.to_vec()))?;
        Some(Self { status, retry_after: header("Retry-After").map(String::from), body })
    }
}

/// The data of all chunks, if the last one is there. Sized once: a vector that grows leaves copies of the shares behind.
fn dechunk(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::with_capacity(chunks.len());
    loop {
        let Ok(Complete((start, size))) = httparse::parse_chunk_size(chunks) else { return None };
        let (size, rest) = (usize::try_from(size).ok()?, &chunks[start..]);
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        chunks = rest[size..].strip_prefix(b"\r\n")?;
    }
}
