//! `PATCH /api/v3/clients/me/backup-share-pairs` of the Client API: the shares are stored.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use super::failure::{Failure, RawResponse};
use super::json::{self, Reader};
use super::request::Request;
use crate::invalid_input::InvalidInput;
use crate::outcome::Call;
use crate::redact::Redactor;
use crate::secret::SecretBytes;

/// Where Portal serves this call; another host than that of the backup.
pub const BASE_URL: &str = "https://api.portalhq.io";

pub(crate) const PATH: &str = "/api/v3/clients/me/backup-share-pairs";

/// The proof that two backup shares are stored: all that `confirm` takes.
///
/// Made by [`BackupShares::store`](crate::BackupShares::store) and `FileSlot::store` once the shares are stored. It holds
/// no secret: for a job queue serde writes it as `{"backupSharePairIds":["clu32l6c8008","clu32l931008"]}`, which is
/// stable, and checks the ids when it reads it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredShares {
    ids: [String; 2],
}

impl StoredShares {
    /// Resumes a confirmation in another process; only for ids whose shares were seen in storage.
    ///
    /// # Errors
    ///
    /// - An id is empty, or both are equal: [`InvalidInput`], nothing was sent; take the ids of one backup.
    pub fn from_share_pair_ids(ids: [&str; 2]) -> Result<Self, InvalidInput> {
        match ids {
            ["", _] | [_, ""] => Err(InvalidInput::new("a share pair id is empty")),
            [a, b] if a == b => Err(InvalidInput::new("both share pair ids are the same: a backup has two")),
            _ => Ok(Self::new(ids)),
        }
    }

    /// For ids that were checked.
    pub(super) fn new(ids: [&str; 2]) -> Self {
        Self { ids: ids.map(String::from) }
    }

    /// Both share pair ids, secp256k1 first; they are not secret.
    pub fn share_pair_ids(&self) -> [&str; 2] {
        self.ids.each_ref().map(String::as_str)
    }
}

const FIELD: &str = "backupSharePairIds";

impl Serialize for StoredShares {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(FIELD, &self.ids)])
    }
}

impl<'de> Deserialize<'de> for StoredShares {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = BTreeMap::<String, [String; 2]>::deserialize(deserializer)?;
        let ids = fields.get(FIELD).ok_or_else(|| D::Error::missing_field(FIELD))?;
        Self::from_share_pair_ids(ids.each_ref().map(String::as_str)).map_err(D::Error::custom)
    }
}

/// The request that says that the shares with these ids are stored.
pub fn request(share_pair_ids: [&str; 2]) -> Request<'_> {
    let [first, second] = share_pair_ids;
    let before = r#"{"status":"STORED_CLIENT_BACKUP_SHARE","backupSharePairIds":[""#;
    Request::new("PATCH", PATH, [before, first, r#"",""#, second, r#""]}"#, "", ""])
}

/// Reads the response: HTTP status, the value of `Retry-After` if there is one, and the body.
///
/// A 2xx confirms when its body is empty, as the service sends it, or JSON without an `error` or `errors` that says
/// something: null, false, white space and empty objects and lists say nothing.
///
/// # Errors
///
/// - 3xx, 4xx: [`Failure::Refused`]; read its id and message.
/// - 5xx, 408, and what is no HTTP status: [`Failure::Failed`]; repeat the call, it is idempotent.
/// - 2xx with anything else, such as a web page or an error: [`Failure::Unreadable`]; repeat the call.
pub fn response(status: u16, retry_after: Option<&str>, body: Vec<u8>) -> Result<(), Failure> {
    respond(RawResponse { status, retry_after, body: SecretBytes::new(body), redactor: &Redactor::default() })
}

pub(crate) fn respond(response: RawResponse<'_>) -> Result<(), Failure> {
    let response = response.check_status(Call::Confirm)?;
    why_unconfirmed(response.body.expose()).map_or(Ok(()), |what| Err(response.unreadable(Call::Confirm, what)))
}

/// Why the body of a success does not confirm; `None` when it does.
fn why_unconfirmed(body: &[u8]) -> Option<&'static str> {
    let Ok(text) = core::str::from_utf8(body.trim_ascii()) else { return Some("it is not UTF-8") };
    if json::check(text).is_err() {
        return (!text.is_empty()).then_some("it is not JSON");
    }
    let mut reader = Reader::new(text);
    while let Some(value) = reader.next_value() {
        let is_error = matches!(reader.path(), [Some("error" | "errors"), ..]);
        let says_nothing = matches!(value, "{" | "[" | "null" | "false") || value.trim_matches(['"', ' ']).is_empty();
        if is_error && !says_nothing {
            return Some("it is an error");
        }
    }
    None
}
