//! `POST /v1/backup`: a generate response in, two backup shares out.

use alloc::vec::Vec;

use super::confirm::StoredShares;
use super::failure::{Failure, RawResponse};
use super::mpc_share::{MpcShare, ShareForm};
use super::request::Request;
use super::share_pair::{self, SharePair};
use crate::invalid_input::InvalidInput;
use crate::outcome::{Call, debug_as};
use crate::redact::Redactor;
use crate::secret::{SecretBytes, SecretString};

/// Where Portal serves this call.
pub const BASE_URL: &str = "https://mpc-client.portalhq.io";

pub(crate) const PATH: &str = "/v1/backup";

/// The longest generate response that is accepted, in bytes; a real one has about 15 KB.
pub const MAX_GENERATE_RESPONSE: usize = 4 << 20;

/// The text that `generate` returned, checked, and sent verbatim; wiping it is its owner's.
pub struct GenerateResponse<'t> {
    text: &'t str,
    pair: SharePair,
}

impl<'t> GenerateResponse<'t> {
    /// Checks that `text` is one JSON object with `SECP256K1` and `ED25519`, each with a `share` and an `id` that are
    /// not empty.
    ///
    /// Other members are ignored, a share need not be base64, and the ids may be equal.
    ///
    /// # Errors
    ///
    /// - Longer than [`MAX_GENERATE_RESPONSE`], not JSON, a member missing, empty, of another type or there twice, an id of
    ///   more than 256 bytes, or something after the object: [`InvalidInput`], which says what is wrong and where, never a value.
    ///   Nothing was sent; pass the body of the generate call as it came.
    /// - UTF-16, a saved request, or both shares inside of another member such as `data`: the same, with what to do.
    ///
    /// ```
    /// use portal_backup::GenerateResponse;
    ///
    /// let error = GenerateResponse::parse(r#"{"SECP256K1":{"share":"s","id":"i"}}"#).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "generate response: ED25519 is missing (line 1, column 1)",
    /// );
    /// ```
    pub fn parse(text: &'t str) -> Result<Self, InvalidInput> {
        if text.len() > MAX_GENERATE_RESPONSE {
            return Err(InvalidInput::new("generate response: it is longer than 4 MiB"));
        }
        let pair =
            SharePair::find(text).map_err(|e| e.named("generate response", share_pair::hint(text.as_bytes())))?;
        Ok(Self { text, pair })
    }

    /// The two shares that are about to be sent, so that an error can leave out their echo.
    #[cfg(feature = "client")]
    pub(crate) fn shares(&self) -> [&str; 2] {
        self.pair.shares(self.text).map(|share| share.share)
    }
}

debug_as!(GenerateResponse<'_>, self, "GenerateResponse({} bytes)", self.text.len());

/// The two backup shares of a wallet, verbatim as the service sent them.
///
/// They exist once: store them, then confirm with what [`store`](Self::store) returns. Wiped on drop; `Debug` shows ids
/// and lengths; there is no `Display`, `Clone` or `Serialize`.
///
/// ```compile_fail,E0277
/// # let text = r#"{"SECP256K1":{"share":"a","id":"b"},"ED25519":{"share":"c","id":"d"}}"#;
/// let shares = portal_backup::BackupShares::parse(text).unwrap();
/// serde_json::to_string(&shares).unwrap();
/// ```
#[must_use = "these shares exist once: store them, then confirm"]
pub struct BackupShares {
    json: SecretString,
    pair: SharePair,
}

impl BackupShares {
    /// Loads shares that were stored before; a `String` or `Vec<u8>` is taken over without a copy.
    ///
    /// # Errors
    ///
    /// - Not UTF-8, not one JSON object with both shares, or one id twice or longer than 256 bytes: [`InvalidInput`], which
    ///   says what is wrong and where; the stored text is damaged or is something else: load another copy.
    pub fn parse(text: impl Into<Vec<u8>>) -> Result<Self, InvalidInput> {
        Self::from_json(SecretBytes::new(text.into()))
            .map_err(|(json, mistake)| mistake.named("backup shares", share_pair::hint(json.expose())))
    }

    /// Gives the text back with the error, since it may hold shares.
    fn from_json(json: SecretBytes) -> Result<Self, (SecretBytes, InvalidInput)> {
        let json = SecretString::from_utf8(json).map_err(|json| (json, InvalidInput::new("it is not UTF-8")))?;
        let found = SharePair::find(json.expose()).and_then(|pair| match pair.shares(json.expose()) {
            [a, b] if a.id == b.id => Err(InvalidInput::new("ED25519.id is the same as SECP256K1.id")),
            _ => Ok(pair),
        });
        match found {
            Ok(pair) => Ok(Self { json, pair }),
            Err(mistake) => Err((json.into_bytes(), mistake)),
        }
    }

    /// The share on secp256k1.
    pub fn secp256k1(&self) -> MpcShare<'_> {
        self.pair.shares(self.expose_json())[0]
    }

    /// The share on ed25519.
    pub fn ed25519(&self) -> MpcShare<'_> {
        self.pair.shares(self.expose_json())[1]
    }

    /// Both share pair ids, secp256k1 first; they are not secret.
    pub fn share_pair_ids(&self) -> [&str; 2] {
        [self.secp256k1().id(), self.ed25519().id()]
    }

    /// The service's response, to the byte: what to store, and what `recover` takes as its `backupResponse`.
    pub fn expose_json(&self) -> &str {
        self.json.expose()
    }

    /// Checks that both shares are whole.
    ///
    /// A whole share is base64, with or without padding, or JSON itself as in older responses; and what begins with `{`
    /// when it is decoded is one whole JSON value. Anything else in the base64 is [`ShareForm::Unknown`]. Characters that
    /// are lost inside of a string and leave valid JSON cannot be seen: keep a checksum of your own.
    ///
    /// # Errors
    ///
    /// - A share that is neither base64 nor JSON, or whose JSON is cut short or broken: [`InvalidInput`], which names the
    ///   share; the copy is damaged: load another.
    ///
    /// ```
    /// use portal_backup::{BackupShares, ShareForm};
    ///
    /// let text = r#"{"SECP256K1":{"share":"eyJwIjoxfQ","id":"a"},"ED25519":{"share":"eyJwIjoyfQ","id":"b"}}"#;
    /// assert_eq!(BackupShares::parse(text)?.check()?, ShareForm::Known);
    /// let cut = text.replace("yfQ", "y");
    /// assert!(BackupShares::parse(cut)?.check().is_err());
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn check(&self) -> Result<ShareForm, InvalidInput> {
        let forms = [self.secp256k1().check("SECP256K1")?, self.ed25519().check("ED25519")?];
        Ok(if forms == [ShareForm::Known; 2] { ShareForm::Known } else { ShareForm::Unknown })
    }

    /// Stores the shares by any means of the caller's, and returns the proof that `confirm` asks for.
    ///
    /// `save` gets the text of [`expose_json`](Self::expose_json). It must not return `Ok` before the shares would
    /// outlive a power cut, and should read them back.
    ///
    /// # Errors
    ///
    /// - Whatever `save` returns; the shares are still in `self`, so store them elsewhere, or run the backup again.
    ///
    /// ```
    /// # let text = r#"{"SECP256K1":{"share":"a","id":"b"},"ED25519":{"share":"c","id":"d"}}"#;
    /// # let shares = portal_backup::BackupShares::parse(text)?;
    /// # struct Database;
    /// # impl Database { fn insert(&mut self, _: &str) -> Result<(), std::io::Error> { Ok(()) } }
    /// # let mut database = Database;
    /// let stored = shares.store(|json| database.insert(json))?;
    /// assert_eq!(stored.share_pair_ids(), shares.share_pair_ids());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn store<E>(&self, save: impl FnOnce(&str) -> Result<(), E>) -> Result<StoredShares, E> {
        save(self.expose_json())?;
        Ok(StoredShares::new(self.share_pair_ids()))
    }
}

debug_as!(BackupShares, self, "BackupShares({:?}, {:?})", self.secp256k1(), self.ed25519());

/// The request that makes backup shares: `{"generateResponse":"…"}`, made while it is read.
pub fn request<'t>(generate: &GenerateResponse<'t>) -> Request<'t> {
    // A share without an escape goes out as it is; one with escapes (its range is 0..0) with the text around it.
    let text = generate.text;
    let [a, b] = generate.pair.0.each_ref().map(|[share, _]| share.range.clone());
    let (a, b) = if a.start <= b.start { (a, b) } else { (b, a) };
    let [head, first, middle, second, tail] =
        [0..a.start, a.start..a.end, a.end..b.start, b.start..b.end, b.end..text.len()]
            .map(|range| text.get(range).unwrap_or_default());
    Request::new("POST", PATH, [r#"{"generateResponse":""#, head, first, middle, second, tail, r#""}"#])
}

/// Reads the response: HTTP status, the value of `Retry-After` if there is one, and the body.
///
/// The body is taken over without a copy.
///
/// # Errors
///
/// - 3xx, 4xx: [`Failure::Refused`]; read its id and message.
/// - 5xx, 408, and what is no HTTP status: [`Failure::Failed`]; the service may have acted, the call may be repeated.
/// - 2xx whose body is not the documented object, or has the same id twice or one of more than 256 bytes:
///   [`Failure::Unreadable`], which keeps the body; keep it too.
pub fn response(status: u16, retry_after: Option<&str>, body: Vec<u8>) -> Result<BackupShares, Failure> {
    respond(RawResponse { status, retry_after, body: SecretBytes::new(body), redactor: &Redactor::default() })
}

pub(crate) fn respond(response: RawResponse<'_>) -> Result<BackupShares, Failure> {
    let response = response.check_status(Call::Backup)?;
    BackupShares::from_json(response.body)
        .map_err(|(body, mistake)| RawResponse { body, ..response }.unreadable(Call::Backup, mistake))
}
