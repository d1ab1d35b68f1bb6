//! Both calls, and which of their failures are tried again.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;
use std::thread;
use std::time::Instant;

use ureq::http::{HeaderValue, Uri};
use zeroize::Zeroizing;

use super::connection::Limits;
use super::exchange::{Operation, Parse};
use super::pool::Pool;
use crate::error::Error;
use crate::invalid_input::InvalidInput;
use crate::outcome::{Call, Outcome};
use crate::redact::Redactor;
use crate::secret::ApiKey;
use crate::wire;
use crate::wire::backup::{BackupShares, GenerateResponse};
use crate::wire::confirm::StoredShares;

/// Makes both calls, and blocks until each is done.
///
/// A clone shares connections and settings; share one client among threads. In an async program, call it where
/// blocking is allowed, such as `spawn_blocking`.
#[derive(Clone)]
pub struct Client {
    pub(super) shared: Arc<Shared>,
    /// `Bearer `, and the key.
    pub(super) authorization: HeaderValue,
}

/// What clients with different keys share.
pub(super) struct Shared {
    pub(super) pool: Pool,
    pub(super) backup: Uri,
    pub(super) confirm: Uri,
}

const BEARER: &str = "Bearer ";

impl Client {
    /// A client with another key over the same connections, TLS sessions and settings: for a program that serves many
    /// wallets.
    ///
    /// Costs a copy of the key and no connection; a key belongs to a request, never to a connection. `self` keeps its
    /// own key.
    ///
    /// ```
    /// use portal_backup::{ApiKey, Client};
    ///
    /// let first = Client::new(ApiKey::new("0d7a11c8-first")?)?;
    /// let second = first.with_key(ApiKey::new("0d7a11c8-second")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_key(&self, key: ApiKey) -> Self {
        Self { shared: self.shared.clone(), authorization: authorization(&key) }
    }

    /// Makes backup shares: `POST /v1/backup`.
    ///
    /// Store them, with [`FileSlot`](crate::FileSlot) or [`BackupShares::store`], and then [`confirm`](Self::confirm).
    /// Make sure beforehand that they can be stored: [`FileSlot::reserve`](crate::FileSlot::reserve).
    ///
    /// # Errors
    ///
    /// - Name, connection, TLS, or the deadline before the request was out: [`Error::Transport`] with
    ///   [`Outcome::NotSent`]; call again when the cause is gone.
    /// - Connection or deadline after that: [`Error::Transport`] with [`Outcome::Unknown`]; call again, a lost pair of
    ///   shares stays unused.
    /// - Status 3xx or 4xx: [`Error::Refused`]; read its id and message.
    /// - Status 5xx, or 408 once the whole request was sent: [`Error::Failed`]; the service may have acted; call again.
    /// - A success that is not understood, too long, or cut short: [`Error::Unreadable`]; keep its body, call again.
    /// - `ureq_proto` is logged at TRACE: [`Error::InvalidInput`]; see
    ///   [`ClientBuilder::allow_trace_logging`](crate::ClientBuilder::allow_trace_logging).
    pub fn backup(&self, generate: &GenerateResponse<'_>) -> Result<BackupShares, Error> {
        self.repeat(Call::Backup, &wire::backup::request(generate), &generate.shares(), wire::backup::respond)
    }

    /// Tells Portal that the shares are stored: `PATCH /api/v3/clients/me/backup-share-pairs`.
    ///
    /// From here on the wallet is recovered from them. The call is idempotent.
    ///
    /// # Errors
    ///
    /// The shares stay stored in every case; another process may confirm them, with
    /// [`StoredShares::from_share_pair_ids`]. `NotSent` and `Refused` hold for all attempts, not only the last.
    ///
    /// - Name, connection, TLS, or the deadline before the request was out: [`Error::Transport`] with
    ///   [`Outcome::NotSent`]; call again when the cause is gone.
    /// - Connection or deadline after that: [`Error::Transport`] with [`Outcome::Unknown`]; call again.
    /// - Status 3xx or 4xx: [`Error::Refused`]; read its id and message.
    /// - Status 5xx, or 408 once the whole request was sent: [`Error::Failed`]; call again.
    /// - Status 2xx that is incomplete, or whose body is neither empty nor JSON without `error`: [`Error::Unreadable`];
    ///   call again.
    /// - `ureq_proto` is logged at TRACE: [`Error::InvalidInput`]; see
    ///   [`ClientBuilder::allow_trace_logging`](crate::ClientBuilder::allow_trace_logging).
    ///
    /// Confirming shares that were not stored does not compile:
    ///
    /// ```compile_fail,E0308
    /// # use portal_backup::{BackupShares, Client, Error};
    /// fn too_early(client: &Client, shares: &BackupShares) -> Result<(), Error> {
    ///     client.confirm(shares)
    /// }
    /// ```
    pub fn confirm(&self, stored: &StoredShares) -> Result<(), Error> {
        self.repeat(Call::Confirm, &wire::confirm::request(stored.share_pair_ids()), &[], wire::confirm::respond)
    }

    /// Makes attempts until one succeeds, their number or the time is used up, or another might do harm.
    fn repeat<T>(&self, call: Call, request: &wire::Request<'_>, shares: &[&str], parse: Parse<T>) -> Result<T, Error> {
        let Shared { pool, backup, confirm } = &*self.shared;
        let settings = &pool.options.settings;
        // ureq-proto writes heads and bodies to this target; no filter of ours could take that back.
        if !settings.allow_trace_logging && log::log_enabled!(target: "ureq_proto::util", log::Level::Trace) {
            let mistake = "`ureq_proto` logs shares at TRACE: turn that off, or call `allow_trace_logging(true)`";
            return Err(InvalidInput::new(mistake).into());
        }
        let deadline = Instant::now() + settings.timeout;
        let limits = Limits { call, deadline, max_body: settings.max_response_bytes };
        let uri = if call == Call::Backup { backup } else { confirm };
        let key = self.authorization.to_str().unwrap_or_default().trim_start_matches(BEARER);
        let redactor = Redactor::new(key, shares);
        let operation = Operation { uri, authorization: &self.authorization, request, redactor, limits, parse };
        let mut attempts = 0;
        // A later attempt that was not sent, or was refused, does not undo what an earlier one may have done.
        let mut may_have_acted: Option<Error> = None;
        loop {
            let result = operation.attempt(pool);
            let Err(error) = result else { return result };
            let is_unknown = error.outcome() == Outcome::Unknown;
            // 0.1 s, 0.2 s, 0.4 s, … to 6.4 s.
            let backoff = Duration::from_millis(100 << attempts.min(6));
            attempts += 1;
            let pause = match &error {
                Error::Transport(e) if e.is_transient => Some(backoff),
                Error::Refused(e) if e.status() == 429 => e.retry_after(),
                _ if call == Call::Confirm && is_unknown => Some(error.retry_after().unwrap_or(backoff)),
                _ => None,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(pause) = pause.filter(|&pause| attempts < settings.attempts && left.checked_sub(pause).is_some())
            else {
                return Err(may_have_acted.filter(|_| !is_unknown).unwrap_or(error));
            };
            log::info!(target: "portal_backup", "waiting {} s: {}", pause.as_secs_f32(), reason(&error));
            thread::sleep(pause);
            if is_unknown {
                may_have_acted = Some(error);
            }
        }
    }
}

/// Why an attempt failed, in a few words.
fn reason(error: &Error) -> String {
    match error {
        Error::Transport(e) => e.what.clone(),
        Error::Unreadable(_) => "the response could not be read".into(),
        _ => format!("the service said {}", error.status().unwrap_or_default()),
    }
}

/// The value of the `Authorization` header.
pub(super) fn authorization(key: &ApiKey) -> HeaderValue {
    // Allocates once: growing would leave an unwiped copy behind.
    let value = Zeroizing::new([BEARER, key.expose()].concat().into_bytes());
    // Shared by every header that it is put into, and wiped after the last.
    let value = HeaderValue::from_maybe_shared(bytes::Bytes::from_owner(value));
    // Cannot fail, since an `ApiKey` holds header characters only; the service would refuse the empty token.
    let mut value = value.unwrap_or(HeaderValue::from_static(BEARER));
    value.set_sensitive(true);
    value
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
