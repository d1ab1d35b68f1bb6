//! `MpcShareResponse`: the object of two shares, as `generate` and `backup` answer it.

use core::fmt;
use core::ops::Range;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::scanner::{Scanner, SyntaxError};
use crate::secret::{SecretBytes, SecretString};

/// The curves, by the names that the API gives them.
const CURVES: [&str; 2] = ["SECP256K1", "ED25519"];

/// One share of a wallet, for one curve: a view into [`BackupShares`](crate::BackupShares).
#[derive(Clone, Copy)]
pub struct MpcShare<'a> {
    share: &'a str,
    id: &'a str,
}

impl<'a> MpcShare<'a> {
    /// The share pair id: short opaque text, not secret.
    #[must_use]
    pub const fn id(&self) -> &'a str {
        self.id
    }

    /// The share as the service wrote it: base64 of a JSON text of about 5.8 KB, or in older answers
    /// that JSON text itself.
    #[must_use]
    pub const fn expose_share(&self) -> &'a str {
        self.share
    }

    /// Decodes the share from base64 (standard alphabet, RFC 4648 section 4, with or without padding) into a buffer
    /// that is wiped.
    ///
    /// # Errors
    ///
    /// - The share is not base64, as in older answers: [`NotBase64`]; use [`expose_share`](Self::expose_share) as it
    ///   is.
    pub fn decode(&self) -> Result<SecretBytes, NotBase64> {
        const BASE64: GeneralPurpose = GeneralPurpose::new(
            &base64::alphabet::STANDARD,
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
        );
        let room = base64::decoded_len_estimate(self.share.len());
        let mut out = SecretBytes::zeroed(room);
        let len = BASE64.decode_slice(self.share, out.expose_mut()).map_err(|_| NotBase64)?;
        out.truncate(len);
        Ok(out)
    }
}

impl fmt::Debug for MpcShare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MpcShare")
            .field("id", &self.id)
            .field("share", &format_args!("{} bytes", self.share.len()))
            .finish()
    }
}

/// The share is not base64 in the standard alphabet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotBase64;

impl fmt::Display for NotBase64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the share is not base64 in the standard alphabet")
    }
}

impl core::error::Error for NotBase64 {}

/// Where the two shares stand in the text that holds them.
pub(crate) struct SharePair([Located; 2]);

struct Located {
    share: Text,
    id: Text,
}

/// The value of a JSON string: a slice of its text, or a copy without escapes where it really holds one.
enum Text {
    Slice(Range<usize>),
    Unescaped(SecretString),
}

/// Why a text does not hold two shares, and at which byte of it.
pub(crate) struct Mistake {
    /// The member that it is in, from the outside in.
    path: [Option<&'static str>; 2],
    what: &'static str,
    pub(crate) offset: usize,
}

impl Mistake {
    const fn new(what: &'static str, offset: usize) -> Self {
        Self { path: [None, None], what, offset }
    }

    const fn inside(mut self, name: &'static str) -> Self {
        self.path = [Some(name), self.path[0]];
        self
    }
}

impl From<SyntaxError> for Mistake {
    fn from(e: SyntaxError) -> Self {
        Self::new(e.what, e.offset)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path {
            [Some(curve), Some(field)] => write!(f, "{curve}.{field} {}", self.what),
            [Some(name), None] => write!(f, "{name} {}", self.what),
            _ => write!(f, "it {}", self.what),
        }
    }
}

impl SharePair {
    /// Finds both shares; unknown members are fine, anything but white space around the object is not.
    pub(crate) fn find(json: &str) -> Result<Self, Mistake> {
        let mut scanner = Scanner::new(json);
        let found = two_members(&mut scanner, CURVES, Located::scan)?;
        scanner.end()?;
        Ok(Self(found))
    }

    /// Cuts the text at its shares: the second and the fourth part are shares, and hold nothing that JSON escapes.
    pub(crate) fn cut<'a>(&self, json: &'a str) -> [&'a str; 5] {
        let [a, b] = self.0.each_ref().map(|found| match &found.share {
            Text::Slice(range) => range.clone(),
            Text::Unescaped(_) => 0..0,
        });
        let (a, b) = if a.start <= b.start { (a, b) } else { (b, a) };
        [0..a.start, a.start..a.end, a.end..b.start, b.start..b.end, b.end..json.len()]
            .map(|range| json.get(range).unwrap_or_default())
    }

    pub(crate) fn views<'a>(&'a self, json: &'a str) -> [MpcShare<'a>; 2] {
        self.0.each_ref().map(|found| MpcShare { share: found.share.of(json), id: found.id.of(json) })
    }
}

impl Located {
    fn scan(scanner: &mut Scanner<'_>) -> Result<Self, Mistake> {
        let [share, id] = two_members(scanner, ["share", "id"], Text::scan)?;
        Ok(Self { share, id })
    }
}

impl Text {
    fn scan(scanner: &mut Scanner<'_>) -> Result<Self, Mistake> {
        let string = scanner.string()?;
        if string.inside.is_empty() {
            Err(Mistake::new("is empty", string.offset))
        } else if string.has_escape {
            let text = string.unescape();
            Ok(Self::Unescaped(text.ok_or(Mistake::new("contains an unpaired surrogate", string.offset))?))
        } else {
            Ok(Self::Slice(string.offset..string.offset + string.inside.len()))
        }
    }

    fn of<'a>(&'a self, json: &'a str) -> &'a str {
        match self {
            Self::Slice(range) => json.get(range.clone()).unwrap_or_default(),
            Self::Unescaped(text) => text.expose(),
        }
    }
}

/// Scans an object that must hold both names, each once.
fn two_members<'t, T>(
    scanner: &mut Scanner<'t>,
    names: [&'static str; 2],
    mut scan: impl FnMut(&mut Scanner<'t>) -> Result<T, Mistake>,
) -> Result<[T; 2], Mistake> {
    let start = scanner.offset();
    let mut found = [None, None];
    scanner.object(|scanner, name| {
        let Some(i) = names.iter().position(|wanted| name.is(wanted)) else {
            return Ok(scanner.skip_value()?);
        };
        if found[i].is_some() {
            return Err(Mistake::new("appears twice", name.offset).inside(names[i]));
        }
        found[i] = Some(scan(scanner).map_err(|mistake| mistake.inside(names[i]))?);
        Ok(())
    })?;
    let missing = |i: usize| Mistake::new("is missing", start).inside(names[i]);
    let [first, second] = found;
    Ok([first.ok_or_else(|| missing(0))?, second.ok_or_else(|| missing(1))?])
}
