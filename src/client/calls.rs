//! Both calls, and which of their failures are tried again.

use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use ureq::http::{HeaderValue, Uri};

use super::connect::ConnectOptions;
use super::exchange::{Call, Cut, Line, Reply, exchange};
use crate::error::Error;
use crate::invalid_input::InvalidInput;
use crate::outcome::{self, Outcome};
use crate::redact::Redactor;
use crate::secret::{ApiKey, SecretBytes};
use crate::wire::backup::{BackupShares, GenerateResponse};
use crate::wire::confirm::StoredShares;
use crate::wire::{self, Failure, Unreadable};

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
    pub(super) connect_options: Arc<ConnectOptions>,
    pub(super) backup: Uri,
    pub(super) confirm: Uri,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
    pub(super) keep_alive: Duration,
    pub(super) max_response_bytes: usize,
    pub(super) allow_trace_logging: bool,
    pub(super) idle: Mutex<Vec<Line>>,
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
        let sent = generate.shares();
        let mut redactor = Redactor::of_key(self.key.key.expose());
        for share in &sent {
            redactor.add_share(share.expose().as_bytes());
        }
        let request = wire::backup::request(generate);
        let task =
            Task { uri: &self.shared.backup, request: &request, redactor: &redactor, is_idempotent: false };
        self.repeat(&task, |reply| {
            let Reply { status, retry_after, body, cut, .. } = reply;
            if let (
                Some(cut @ (Cut::NotHttp(_) | Cut::TooLong(_) | Cut::Short { is_announced: true, .. })),
                200..=299,
            ) = (&cut, status)
            {
                return Err(Failure::Unreadable(Unreadable::new(
                    outcome::Call::Backup,
                    status,
                    cut.to_string(),
                    body,
                )));
            }
            // Without a length, the closing brace tells that nothing is missing.
            let shares = wire::backup::respond(status, retry_after.as_deref(), body, &redactor)
                .map_err(|failure| because(failure, cut))?;
            // Ids are shown to people and logged; what is documented is short and no secret.
            if shares.share_pair_ids().iter().any(|id| id.len() > 256 || redactor.is_in_id(id)) {
                let what = "an id is very long, or repeats a secret that was sent";
                return Err(Failure::Unreadable(Unreadable::new(
                    outcome::Call::Backup,
                    status,
                    what,
                    shares.into_json(),
                )));
            }
            Ok(shares)
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
    /// - Status 2xx with a body that is neither empty nor JSON without `error`: [`Error::Unreadable`]; call again.
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
        let redactor = Redactor::of_key(self.key.key.expose());
        let request = wire::confirm::request(stored.share_pair_ids());
        let task =
            Task { uri: &self.shared.confirm, request: &request, redactor: &redactor, is_idempotent: true };
        self.repeat(&task, |reply| {
            let Reply { status, retry_after, body, cut, .. } = reply;
            if let (Some(cut @ Cut::NotHttp(_)), 200..=299) = (&cut, status) {
                return Err(Failure::Unreadable(Unreadable::new(
                    outcome::Call::Confirm,
                    status,
                    cut.to_string(),
                    body,
                )));
            }
            wire::confirm::respond(status, retry_after.as_deref(), body, &redactor)
                .map_err(|failure| because(failure, cut))
        })
    }

    /// Tries a call until it is answered, its time is up, or repeating it might do harm.
    fn repeat<T>(&self, task: &Task<'_>, read: impl Fn(Reply) -> Result<T, Failure>) -> Result<T, Error> {
        let shared = &*self.shared;
        let until = Instant::now() + shared.timeout;
        // ureq-proto writes heads and bodies to this target; no filter of ours could take that back.
        if !shared.allow_trace_logging && log::log_enabled!(target: "ureq_proto::util", log::Level::Trace) {
            let mistake = "`ureq_proto` is logged at TRACE, which would write shares to the log: \
                           turn that off, or call `allow_trace_logging(true)`";
            return Err(InvalidInput::new(mistake).into());
        }
        let mut attempt = 1;
        // A later try that was not sent, or was refused, does not undo what an earlier one may have done.
        let mut may_have_acted: Option<Error> = None;
        loop {
            let error = match self.try_once(task, until, &read) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            // 0.1 s, 0.2 s, 0.4 s, … to 6.4 s.
            let backoff = Duration::from_millis(100 << (attempt - 1).min(6));
            let pause = match &error {
                Error::Transport(e) if e.is_transient => Some(backoff),
                Error::Transport(_) if task.is_idempotent && error.outcome() == Outcome::Unknown => {
                    Some(backoff)
                }
                Error::Failed(e) if task.is_idempotent => Some(e.retry_after().unwrap_or(backoff)),
                Error::Refused(e) if e.status() == 429 => e.retry_after(),
                _ => None,
            };
            let left = until.saturating_duration_since(Instant::now());
            let pause = pause.filter(|&pause| attempt < shared.attempts && pause < left);
            if let Some(pause) = pause {
                thread::sleep(pause);
            } else if error.outcome() == Outcome::Unknown {
                return Err(error);
            } else {
                return Err(match may_have_acted {
                    Some(earlier) => earlier.then(&error),
                    None => error,
                });
            }
            if error.outcome() == Outcome::Unknown {
                may_have_acted = Some(error);
            }
            attempt += 1;
        }
    }

    fn try_once<T>(
        &self,
        task: &Task<'_>,
        until: Instant,
        read: impl Fn(Reply) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let call = Call {
            uri: task.uri,
            authorization: &self.key.authorization,
            request: task.request,
            until,
            max_response_bytes: self.shared.max_response_bytes,
            wants_body: !task.is_idempotent,
        };
        let line = self.shared.take_line();
        let replied = exchange(&line, &call, task.redactor);
        self.shared.put_back(line);
        let mut reply = replied?;
        let (is_sent, location) = (reply.is_sent, reply.location_host.take());
        let coding = reply.coding.take();
        // What can be read is not compressed, whatever its head says.
        read(reply).map_err(|failure| match compressed(failure, coding.as_deref(), task.redactor) {
            Failure::Refused(mut refusal) => {
                if let (300..=399, Some(host)) = (refusal.status(), location) {
                    refusal.name_redirect(&host, task.redactor);
                }
                Error::Refused(refusal)
            }
            // The status is about the time that the request took: nobody can have acted on a part of it.
            Failure::Failed(e) if e.status() == 408 && !is_sent => Error::Refused(e),
            other => other.into(),
        })
    }
}

/// One of the two calls.
struct Task<'a> {
    uri: &'a Uri,
    request: &'a wire::Request<'a>,
    redactor: &'a Redactor<'a>,
    is_idempotent: bool,
}

/// Says of an answer that cannot be read how it is compressed, if its head tells.
fn compressed(failure: Failure, coding: Option<&str>, redactor: &Redactor<'_>) -> Failure {
    let Some(coding) = coding else { return failure };
    match failure {
        Failure::Refused(e) => Failure::Refused(e.compressed()),
        Failure::Failed(e) => Failure::Failed(e.compressed()),
        Failure::Unreadable(e) => {
            let mut what = String::from("it is compressed, though that was not asked for: ");
            redactor.push_printable(coding, 40, &mut what);
            Failure::Unreadable(e.because(what))
        }
    }
}

/// Says why an answer cannot be read: not what is missing from it, but why it is.
fn because(failure: Failure, cut: Option<Cut>) -> Failure {
    match (failure, cut) {
        (Failure::Unreadable(e), Some(cut)) => Failure::Unreadable(e.because(cut.to_string())),
        (failure, _) => failure,
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

/// How many lines wait for their next use: one for each thread of a large program.
const MAX_IDLE: usize = 32;

impl Shared {
    /// The line that was used last, whose connection is the most likely to be open.
    fn take_line(&self) -> Line {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = Instant::now().checked_sub(self.keep_alive);
        idle.retain(|line| oldest.is_none_or(|oldest| line.last_use >= oldest));
        idle.pop().unwrap_or_else(|| Line::new(self.connect_options.clone(), self.keep_alive))
    }

    fn put_back(&self, mut line: Line) {
        line.last_use = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE && !self.keep_alive.is_zero() {
            idle.push(line);
        }
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
