//! The little that has to be known of a response's head before ureq reads it, and of one that ureq refuses.

use memchr::{memchr, memchr_iter};

/// The longest head that is taken, in bytes.
pub(super) const MAX_HEAD: usize = 16 << 10;

/// The status in `HTTP/1.1 200 OK`, and where that line ends; `None` if it is incomplete, or no status line.
///
/// It need not be quite what ureq accepts, since a success that ureq refuses may hold shares.
pub(super) fn status_line(received: &[u8]) -> Option<(u16, usize)> {
    let len = memchr(b'\n', received)? + 1;
    let mut words = received[..len].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let is_http = words.next()?.get(..5)?.eq_ignore_ascii_case(b"HTTP/");
    let [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] = words.next()? else { return None };
    let status = [a, b, c].into_iter().fold(0, |status, digit| status * 10 + u16::from(digit & 0xf));
    is_http.then_some((status, len))
}

/// Where the empty line behind a head ends.
pub(super) fn head_len(received: &[u8]) -> Option<usize> {
    memchr_iter(b'\n', received).find_map(|end| match received[end + 1..] {
        [b'\n', ..] => Some(end + 2),
        [b'\r', b'\n', ..] => Some(end + 3),
        _ => None,
    })
}

/// How many bytes before a response are none of it: empty lines (RFC 9112, section 2.2) and interim responses (RFC
/// 9110, section 15.2), but for one that switches protocols.
pub(super) fn interim_len(received: &[u8]) -> usize {
    let mut len = 0;
    loop {
        let rest = &received[len..];
        len += match rest {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => match (status_line(rest), head_len(rest)) {
                (Some((100 | 102..=199, _)), Some(head)) => head,
                _ => return len,
            },
        };
    }
}
