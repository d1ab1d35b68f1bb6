//! `PATCH /api/v3/clients/me/backup-share-pairs` of the Client API: the shares are stored.

use alloc::string::String;
use alloc::vec::Vec;

use super::json::Escaped;
use super::{Failure, Request, is_success, refusal};
use crate::invalid_input::InvalidInput;
use crate::redact::Redactor;
use crate::secret::SecretBytes;

/// Where Portal serves this call; it is another host than that of the backup.
pub const BASE_URL: &str = "https://api.portalhq.io";

pub(crate) const PATH: &str = "/api/v3/clients/me/backup-share-pairs";

/// The proof that two backup shares are stored: all that `confirm` takes.
///
/// Made by [`BackupShares::store`](crate::BackupShares::store) and `FileSlot::store` once the shares are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredShares {
    ids: [String; 2],
}

impl StoredShares {
    /// Takes up in another process, or later, a confirmation whose shares were stored before.
    ///
    /// Only for ids whose shares were seen in storage: from the confirmation on, the wallet is recovered from them.
    ///
    /// # Errors
    ///
    /// - An id is empty, or both are equal: [`InvalidInput`], nothing was sent; take the ids of one backup.
    pub fn from_share_pair_ids(ids: [&str; 2]) -> Result<Self, InvalidInput> {
        if ids.contains(&"") {
            return Err(InvalidInput::new("a share pair id is empty"));
        }
        if ids[0] == ids[1] {
            return Err(InvalidInput::new("both share pair ids are the same: a backup has two"));
        }
        Ok(Self::of(ids))
    }

    /// Of shares that were checked.
    pub(super) fn of(ids: [&str; 2]) -> Self {
        Self { ids: ids.map(String::from) }
    }

    /// Both share pair ids, secp256k1 first; they are not secret.
    #[must_use]
    pub fn share_pair_ids(&self) -> [&str; 2] {
        self.ids.each_ref().map(String::as_str)
    }
}

/// The request that says that the shares with these ids are stored.
#[must_use]
pub fn request(share_pair_ids: [&str; 2]) -> Request<'_> {
    const BEFORE: &[u8] = br#"{"status":"STORED_CLIENT_BACKUP_SHARE","backupSharePairIds":[""#;
    const BETWEEN: &[u8] = br#"",""#;
    const AFTER: &[u8] = br#""]}"#;
    let [first, second] = share_pair_ids.map(Escaped::new);
    let len = BEFORE.len() + first.len() + BETWEEN.len() + second.len() + AFTER.len();
    let mut body = Vec::with_capacity(len);
    body.extend_from_slice(BEFORE);
    first.write_to(&mut body);
    body.extend_from_slice(BETWEEN);
    second.write_to(&mut body);
    body.extend_from_slice(AFTER);
    debug_assert_eq!(body.len(), len, "sized wrongly");
    Request::new("PATCH", PATH, body)
}

/// Reads the answer: HTTP status, the value of `Retry-After` if there is one, and the body.
///
/// Any 2xx confirms; the service sends 204 without a body.
///
/// # Errors
///
/// - 3xx, 4xx: [`Failure::Refused`]; read its id and message.
/// - 5xx and anything else that is not an HTTP status: [`Failure::Failed`]; repeat the call, it is idempotent.
pub fn response(status: u16, retry_after: Option<&str>, body: Vec<u8>) -> Result<(), Failure> {
    respond(status, retry_after, SecretBytes::new(body), &Redactor::default())
}

pub(crate) fn respond(
    status: u16,
    retry_after: Option<&str>,
    body: SecretBytes,
    redactor: &Redactor<'_>,
) -> Result<(), Failure> {
    if is_success(status) { Ok(()) } else { Err(refusal(status, retry_after, &body, redactor)) }
}
