//! Responses of the service as the benchmarks need them: any length, either form of share.

use std::fmt;

/// How a share is written.
#[derive(Clone, Copy)]
pub(crate) enum Share {
    /// Base64, as the service sends today: nothing in it needs an escape.
    Base64,
    /// JSON text, as it sent before: every other byte or so is escaped.
    #[allow(dead_code, reason = "not every benchmark looks at it")]
    Json,
}

/// A response of about this many bytes.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) len: usize,
    pub(crate) share: Share,
}

#[allow(dead_code, reason = "not every benchmark walks over them")]
pub(crate) const CASES: [Case; 4] = [
    Case { len: 1_500, share: Share::Base64 },
    Case { len: 15_500, share: Share::Base64 },
    Case { len: 260_000, share: Share::Base64 },
    Case { len: 15_500, share: Share::Json },
];

impl Case {
    /// The text of `generate` and of `backup`: two shares, each with its id.
    pub(crate) fn text(self) -> String {
        let frame = self.frame("", "").len();
        let share = self.share(self.len.saturating_sub(frame) / 2);
        self.frame(&share, &share)
    }

    fn frame(self, secp256k1: &str, ed25519: &str) -> String {
        format!(
            r#"{{"SECP256K1":{{"share":"{secp256k1}","id":"clu32l6c8008wuvz52jokyo3r"}},"ED25519":{{"share":"{ed25519}","id":"clu32l6c8009xuvz5hw2qd7ns"}}}}"#
        )
    }

    fn share(self, len: usize) -> String {
        match self.share {
            Share::Base64 => {
                const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
                // A linear congruential generator: the text only has to have no pattern.
                let mut state = 1_u64;
                let mut next = || {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    char::from(ALPHABET[(state >> 58) as usize])
                };
                (0..len).map(|_| next()).collect()
            }
            Share::Json => {
                let member = r#"\"p\":\"1f\","#;
                format!(r"{{{}\n}}", member.repeat(len / member.len()))
            }
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares = match self.share {
            Share::Base64 => "base64",
            Share::Json => "escapes",
        };
        write!(f, "{} KB {shares}", self.len as f64 / 1000.0)
    }
}
