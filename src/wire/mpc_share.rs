//! `MpcShareResponse`: the object of two shares, as `generate` and `backup` answer it.

use core::fmt;
use core::ops::Range;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::json::{Fault, Scanner};
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
    /// - The share is not base64, such as one of the older form: use [`expose_share`](Self::expose_share) as it is.
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

impl Text {
    fn of<'a>(&'a self, json: &'a str) -> &'a str {
        match self {
            Self::Slice(range) => json.get(range.clone()).unwrap_or_default(),
            Self::Unescaped(text) => text.expose(),
        }
    }
}

/// Why a text does not hold two shares, and at which byte of it.
pub(crate) struct Mistake {
    curve: Option<&'static str>,
    field: Option<&'static str>,
    what: &'static str,
    pub(crate) offset: usize,
}

impl Mistake {
    const fn new(what: &'static str, offset: usize) -> Self {
        Self { curve: None, field: None, what, offset }
    }
}

impl From<Fault> for Mistake {
    fn from(fault: Fault) -> Self {
        Self::new(fault.what, fault.offset)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.curve, self.field) {
            (Some(curve), Some(field)) => write!(f, "{curve}.{field} {}", self.what),
            (Some(name), None) | (None, Some(name)) => write!(f, "{name} {}", self.what),
            (None, None) => write!(f, "it {}", self.what),
        }
    }
}

impl SharePair {
    /// Finds both shares; unknown members are fine, anything but white space around the object is not.
    pub(crate) fn find(json: &str) -> Result<Self, Mistake> {
        let mut scanner = Scanner::new(json);
        let found = two_members(&mut scanner, CURVES, Located::scan)
            .map_err(|(curve, mistake)| Mistake { curve, ..mistake })?;
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
        let [share, id] = two_members(scanner, ["share", "id"], Text::scan)
            .map_err(|(field, mistake)| Mistake { field, ..mistake })?;
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
            Ok(Self::Unescaped(text.ok_or(Mistake::new("holds half a surrogate pair", string.offset))?))
        } else {
            Ok(Self::Slice(string.offset..string.offset + string.inside.len()))
        }
    }
}

/// Scans an object that must hold both names, each once; a mistake comes with the member that it is in.
fn two_members<'t, T>(
    scanner: &mut Scanner<'t>,
    names: [&'static str; 2],
    mut scan: impl FnMut(&mut Scanner<'t>) -> Result<T, Mistake>,
) -> Result<[T; 2], (Option<&'static str>, Mistake)> {
    let start = scanner.offset();
    let mut found = [None, None];
    let mut inside = None;
    let scanned = scanner.object(|scanner, name| {
        inside = None;
        let Some(i) = names.iter().position(|wanted| name.is(wanted)) else {
            return Ok(scanner.skip_value()?);
        };
        inside = Some(names[i]);
        if found[i].is_some() {
            return Err(Mistake::new("is there twice", name.offset));
        }
        found[i] = Some(scan(scanner)?);
        inside = None;
        Ok(())
    });
    scanned.map_err(|mistake| (inside, mistake))?;
    let missing = |name| (Some(name), Mistake::new("is missing", start));
    let [first, second] = found;
    Ok([first.ok_or_else(|| missing(names[0]))?, second.ok_or_else(|| missing(names[1]))?])
}
