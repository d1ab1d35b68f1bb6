//! Both calls, and which of their failures are tried again.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;
use std::thread;
use std::time::Instant;

use ureq::http::{HeaderValue, Uri};

use super::connection::Limits;
use super::exchange::{BodyError, Operation, Response, exchange, is_success};
use super::pool::Pool;
use crate::error::Error;
use crate::invalid_input::InvalidInput;
use crate::outcome::{Call, Outcome};
use crate::redact::Redactor;
use crate::secret::{ApiKey, SecretBytes};
use crate::wire::backup::{BackupShares, GenerateResponse};
use crate::wire::confirm::StoredShares;
use crate::wire::{self, Failure, RawResponse};

/// Makes both calls, and blocks until each is done.
///
/// A clone shares connections and settings; share one client among threads. In an async program, call it where
/// blocking is allowed, such as `spawn_blocking`.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    key: Arc<Key>,
}

/// What clients with different keys share.
pub(super) struct Shared {
    pub(super) pool: Pool,
    pub(super) backup: Uri,
    pub(super) confirm: Uri,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
    pub(super) max_response_bytes: usize,
    pub(super) allow_trace_logging: bool,
}

/// A key, and the header that it travels in.
struct Key {
    key: ApiKey,
    authorization: HeaderValue,
}

impl Client {
    pub(super) fn assemble(shared: Shared, key: ApiKey) -> Self {
        Self { shared: Arc::new(shared), key: Arc::new(Key::new(key)) }
    }

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
    #[must_use]
    pub fn with_key(&self, key: ApiKey) -> Self {
        Self { shared: self.shared.clone(), key: Arc::new(Key::new(key)) }
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
        let redactor = Redactor::new(self.key.key.expose(), &generate.shares());
        let request = wire::backup::request(generate);
        self.repeat(Call::Backup, &request, &redactor, |response| {
            let (status, retry_after, body) = response.take();
            let raw = RawResponse { status, retry_after: retry_after.as_deref(), body, redactor: &redactor };
            // Without a length, the closing brace tells that nothing is missing.
            let may_be_whole =
                matches!(response.error, None | Some(BodyError::Truncated { has_content_length: false, .. }));
            if is_success(status) && !may_be_whole {
                return Err(raw.unreadable(Call::Backup, ""));
            }
            wire::backup::respond(raw)
        })
    }

    /// Tells Portal that the shares are stored: `PATCH /api/v3/clients/me/backup-share-pairs`.
    ///
    /// From here on the wallet is recovered from them. The call is idempotent.
    ///
    /// # Errors
    ///
    /// The shares stay stored in every case; another process may confirm them, with
    /// [`StoredShares::from_share_pair_ids`].
    ///
    /// - Name, connection, TLS, or the deadline before the request was out: [`Error::Transport`] with
    ///   [`Outcome::NotSent`]; call again when the cause is gone.
    /// - Connection or deadline after that: [`Error::Transport`] with [`Outcome::Unknown`]; call again.
    /// - Status 3xx or 4xx: [`Error::Refused`]; read its id and message. If an earlier try may have arrived, its error.
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
        let redactor = Redactor::new(self.key.key.expose(), &[]);
        let request = wire::confirm::request(stored.share_pair_ids());
        self.repeat(Call::Confirm, &request, &redactor, |response| {
            let (status, retry_after, body) = response.take();
            let raw = RawResponse { status, retry_after: retry_after.as_deref(), body, redactor: &redactor };
            if is_success(status) && response.error.is_some() {
                return Err(raw.unreadable(Call::Confirm, ""));
            }
            wire::confirm::respond(raw)
        })
    }

    /// Makes attempts until one succeeds, the time is up, or another might do harm.
    fn repeat<T>(
        &self,
        call: Call,
        request: &wire::Request<'_>,
        redactor: &Redactor<'_>,
        read: impl Fn(&mut Response) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let shared = &*self.shared;
        // ureq-proto writes heads and bodies to this target; no filter of ours could take that back.
        if !shared.allow_trace_logging && log::log_enabled!(target: "ureq_proto::util", log::Level::Trace) {
            let mistake = "`ureq_proto` is logged at TRACE, which would write shares to the log: \
                           turn that off, or call `allow_trace_logging(true)`";
            return Err(InvalidInput::new(mistake).into());
        }
        let uri = match call {
            Call::Backup => &shared.backup,
            Call::Confirm => &shared.confirm,
        };
        let operation = Operation { call, uri, authorization: &self.key.authorization, request, redactor };
        let is_idempotent = call == Call::Confirm;
        let limits = Limits {
            deadline: Instant::now() + shared.timeout,
            max_body: shared.max_response_bytes,
            wants_body: call == Call::Backup,
        };
        let mut attempt = 1;
        // A later attempt that was not sent, or was refused, does not undo what an earlier one may have done.
        let mut may_have_acted: Option<Error> = None;
        loop {
            let error = match self.attempt(&operation, limits, &read) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let is_unknown = error.outcome() == Outcome::Unknown;
            // 0.1 s, 0.2 s, 0.4 s, … to 6.4 s.
            let backoff = Duration::from_millis(100 << (attempt - 1).min(6));
            let pause = match &error {
                Error::Transport(e) if e.is_transient => Some(backoff),
                Error::Refused(e) if e.status() == 429 => e.retry_after(),
                _ if is_idempotent && is_unknown => Some(error.retry_after().unwrap_or(backoff)),
                _ => None,
            };
            let left = limits.deadline.saturating_duration_since(Instant::now());
            let Some(pause) = pause.filter(|&pause| attempt < shared.attempts && pause < left) else {
                return Err(match may_have_acted.filter(|_| !is_unknown) {
                    Some(earlier) => earlier.with_later_failure(&error),
                    None => error,
                });
            };
            log::info!(target: "portal_backup", "waiting {} s: {}", pause.as_secs_f32(), reason(&error));
            thread::sleep(pause);
            if is_unknown {
                may_have_acted = Some(error);
            }
            attempt += 1;
        }
    }

    fn attempt<T>(
        &self,
        operation: &Operation<'_>,
        limits: Limits,
        read: impl Fn(&mut Response) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let mut response = exchange(&self.shared.pool, operation, limits)?;
        let result = read(&mut response).map_err(|failure| response.explain(failure, operation.redactor));
        response.put_back(&self.shared.pool);
        result
    }
}

/// Why an attempt failed, in a few words.
fn reason(error: &Error) -> String {
    match (error, error.status()) {
        (Error::Transport(e), _) => e.what.clone(),
        (Error::Unreadable(_), _) => "the response could not be read".into(),
        (_, Some(status)) => format!("the service said {status}"),
        (_, None) => error.to_string(),
    }
}

impl Key {
    fn new(key: ApiKey) -> Self {
        let prefix = b"Bearer ";
        let mut value = SecretBytes::zeroed(prefix.len() + key.expose().len());
        let (before, rest) = value.expose_mut().split_at_mut(prefix.len());
        before.copy_from_slice(prefix);
        rest.copy_from_slice(key.expose().as_bytes());
        // Shared by every header that it is put into, and wiped after the last.
        let value = bytes::Bytes::from_owner(Header(value));
        // A key has only characters that a header may have: the service would say what is wrong with an empty one.
        let mut authorization =
            HeaderValue::from_maybe_shared(value).unwrap_or(HeaderValue::from_static("Bearer"));
        authorization.set_sensitive(true);
        Self { key, authorization }
    }
}

struct Header(SecretBytes);

impl AsRef<[u8]> for Header {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |uri: &Uri| uri.host().map(String::from).unwrap_or_default();
        f.debug_struct("Client")
            .field("backup", &host(&self.shared.backup))
            .field("confirm", &host(&self.shared.confirm))
            .finish_non_exhaustive()
    }
}
