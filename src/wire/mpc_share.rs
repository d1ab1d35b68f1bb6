//! `MpcShare`: one share, as a program sees it.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::IgnoredAny;

use crate::invalid_input::InvalidInput;
use crate::outcome::debug_as;
use crate::secret::SecretBytes;

/// What [`BackupShares::check`](crate::BackupShares::check) finds in shares that it does not call damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShareForm {
    /// Both shares are whole JSON, as the service makes them.
    Known,
    /// At least one is base64 of something else, of which nobody can tell whether it is whole.
    Unknown,
}

/// One share of a wallet, for one curve: a view into [`BackupShares`](crate::BackupShares).
#[derive(Clone, Copy)]
pub struct MpcShare<'a> {
    pub(super) share: &'a str,
    pub(super) id: &'a str,
}

impl<'a> MpcShare<'a> {
    /// The share pair id: short opaque text, not secret.
    pub const fn id(&self) -> &'a str {
        self.id
    }

    /// The share as the service wrote it: base64 of a JSON text of about 5.8 KB, or in older responses
    /// that JSON text itself.
    pub const fn expose_share(&self) -> &'a str {
        self.share
    }

    /// Decodes the share from base64 (standard alphabet, RFC 4648 section 4, with or without padding) into a buffer
    /// that is wiped.
    ///
    /// # Errors
    ///
    /// - The share is not base64, as in older responses: [`InvalidInput`]; use [`expose_share`](Self::expose_share) as it
    ///   is.
    pub fn decode(&self) -> Result<SecretBytes, InvalidInput> {
        const BASE64: GeneralPurpose = GeneralPurpose::new(
            &base64::alphabet::STANDARD,
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
        );
        let mut out = SecretBytes::zeroed(base64::decoded_len_estimate(self.share.len()));
        let len = BASE64.decode_slice(self.share, out.expose_mut());
        out.truncate(len.map_err(|_| InvalidInput::new("the share is not base64"))?);
        Ok(out)
    }

    /// Whether the share is whole; see [`BackupShares::check`](crate::BackupShares::check).
    pub(super) fn check(&self, curve: &str) -> Result<ShareForm, InvalidInput> {
        let damaged = |what| InvalidInput::new(alloc::format!("{curve}.share is damaged: {what}"));
        let decode = || self.decode().map_err(|_| damaged("it is not base64"));
        let decoded = if self.share.starts_with('{') { None } else { Some(decode()?) };
        let text = decoded.as_ref().map_or(self.share.as_bytes(), SecretBytes::expose);
        if text.first() != Some(&b'{') {
            return Ok(ShareForm::Unknown);
        }
        // From a slice, serde_json would not look at the encoding of what it skips.
        let json = core::str::from_utf8(text).ok().map(serde_json::from_str::<IgnoredAny>);
        json.and_then(Result::ok).map(|_| ShareForm::Known).ok_or_else(|| damaged("its JSON is not whole"))
    }
}

debug_as!(MpcShare<'_>, self, "MpcShare({:?}, {} bytes)", self.id, self.share.len());
