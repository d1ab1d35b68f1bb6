//! What was received, taken apart.

/// What the wire layer wants to know of an answer.
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The answer, if it is whole. If nothing more will come, also one that is cut, or framed in a way that cannot be
    /// read: with every byte that may belong to its body, which is then for the wire layer to judge.
    pub fn read(mut received: &[u8], is_all: bool) -> Option<Self> {
        loop {
            let status = received.strip_prefix(b"HTTP/1.")?.get(2..5)?;
            let status = std::str::from_utf8(status).ok()?.parse().ok()?;
            let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
                return is_all.then(|| Self { status, retry_after: None, body: received[12..].to_vec() });
            };
            let (head, rest) = received.split_at(end + 4);
            // `100 Continue` and its like come before the answer.
            if !(100..200).contains(&status) {
                return Self::with_head(status, &String::from_utf8_lossy(head), rest, is_all);
            }
            received = rest;
        }
    }

    fn with_head(status: u16, head: &str, rest: &[u8], is_all: bool) -> Option<Self> {
        let field = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(':'));
            fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        };
        let length = field("Content-Length").and_then(|length| length.parse().ok());
        let whole = match (status, field("Transfer-Encoding"), length) {
            (204 | 304, ..) => Some(Vec::new()),
            (_, Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => {
                chunks(rest).map(|all| all.concat())
            }
            (_, None, Some(length)) => rest.get(..length).map(<[u8]>::to_vec),
            // Up to the end of the connection.
            _ => None,
        };
        let body = whole.or_else(|| is_all.then(|| rest.to_vec()))?;
        Some(Self { status, retry_after: field("Retry-After").map(String::from), body })
    }
}

/// The data of each chunk, if the last one is there (RFC 9112, section 7.1).
fn chunks(mut rest: &[u8]) -> Option<Vec<&[u8]>> {
    let mut chunks = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..end)?).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        rest = rest.get(end + 2..)?;
        if size == 0 {
            return Some(chunks);
        }
        chunks.push(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}
