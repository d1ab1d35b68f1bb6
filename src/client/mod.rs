//! The client over ureq and rustls; nothing outside of this folder names either.

mod config;
mod connection;
mod gather;
mod tls;
mod transport;

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;
use std::thread;
use std::time::Instant;

pub use config::ClientBuilder;
use ureq::Agent;

use self::transport::{Answer, Endpoint};
use crate::error::Error;
use crate::invalid_input::InvalidInput;
use crate::outcome::Outcome;
use crate::redact::Redactor;
use crate::secret::ApiKey;
use crate::wire::backup::{BackupShares, GenerateResponse};
use crate::wire::confirm::StoredShares;
use crate::wire::{self, Failure, Unreadable};

/// Makes both calls, and blocks until each is done.
///
/// A clone shares connections and settings; share one client among threads. In an async program, call it where
/// blocking is allowed, such as `spawn_blocking`.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    agent: Agent,
    key: Arc<ApiKey>,
    backup: Endpoint,
    confirm: Endpoint,
    timeout: Duration,
    attempts: u32,
    max_response_bytes: usize,
    allow_trace_logging: bool,
}

impl Client {
    /// A client with the defaults of [`ClientBuilder`].
    ///
    /// # Errors
    ///
    /// - No crypto provider (the feature `ring` is off and the program installed none): [`Error::InvalidInput`],
    ///   nothing was sent; enable `ring`, or call rustls' `CryptoProvider::install_default` first.
    pub fn new(key: ApiKey) -> Result<Self, Error> {
        ClientBuilder::new(key).build()
    }

    /// Starts building a client.
    pub fn builder(key: ApiKey) -> ClientBuilder {
        ClientBuilder::new(key)
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
    /// - Status 5xx: [`Error::Failed`]; the service may have acted; call again.
    /// - A success that is not understood, too long, or cut short: [`Error::Unreadable`]; keep its body, call again.
    /// - `ureq_proto` is logged at TRACE: [`Error::InvalidInput`]; see [`ClientBuilder::allow_trace_logging`].
    pub fn backup(&self, generate: &GenerateResponse<'_>) -> Result<BackupShares, Error> {
        let deadline = self.deadline();
        let sent = generate.shares();
        let mut redactor = Redactor::of_key(self.0.key.expose());
        for share in &sent {
            redactor.add_share(share.expose().as_bytes());
        }
        let request = wire::backup::request(generate);
        self.repeat(deadline, &self.0.backup, &request, &redactor, false, |answer| {
            let Answer { status, retry_after, body, cut, .. } = answer;
            if let (Some(why), 200..=299) = (cut, status) {
                return Err(Failure::Unreadable(Unreadable::new(status, why, body)));
            }
            let shares = wire::backup::respond(status, retry_after.as_deref(), body, &redactor)?;
            // Ids are shown to people and logged; what is documented is short and no secret.
            if shares.share_pair_ids().iter().any(|id| id.len() > 256 || redactor.is_in_id(id)) {
                let what = "an id is very long, or repeats a secret that was sent";
                return Err(Failure::Unreadable(Unreadable::new(status, what, shares.into_json())));
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
    /// - Status 5xx: [`Error::Failed`]; call again.
    /// - `ureq_proto` is logged at TRACE: [`Error::InvalidInput`]; see [`ClientBuilder::allow_trace_logging`].
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
        let deadline = self.deadline();
        let redactor = Redactor::of_key(self.0.key.expose());
        let request = wire::confirm::request(stored.share_pair_ids());
        self.repeat(deadline, &self.0.confirm, &request, &redactor, true, |answer| {
            wire::confirm::respond(answer.status, answer.retry_after.as_deref(), answer.body, &redactor)
        })
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.0.timeout
    }

    /// Tries a call until it is answered, its time is up, or repeating it might do harm.
    fn repeat<T>(
        &self,
        deadline: Instant,
        endpoint: &Endpoint,
        request: &wire::Request<'_>,
        redactor: &Redactor<'_>,
        is_idempotent: bool,
        read: impl Fn(Answer) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let shared = &*self.0;
        // ureq-proto writes heads and bodies to this target; no filter of ours could take that back.
        if !shared.allow_trace_logging && log::log_enabled!(target: "ureq_proto::util", log::Level::Trace) {
            let mistake = "`ureq_proto` is logged at TRACE, which would write shares to the log: \
                           turn that off, or call `allow_trace_logging(true)`";
            return Err(InvalidInput::new(mistake).into());
        }
        let mut attempt = 1;
        // A later try that was not sent, or was refused, does not undo what an earlier one may have done.
        let mut may_have_acted = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // The agent's own timeout is as good at first, and spares the request settings of its own.
            let is_begun = shared.timeout.saturating_sub(left) > Duration::from_millis(1);
            let tried = transport::exchange(
                &shared.agent,
                endpoint,
                request,
                is_begun.then_some(left),
                shared.max_response_bytes,
                redactor,
            )
            .map_err(Error::Transport)
            .and_then(|mut answer| {
                let location = answer.location_host.take();
                read(answer).map_err(|failure| name_redirect(failure.into(), location.as_deref(), redactor))
            });
            let error = match tried {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            // 0.1 s, 0.2 s, 0.4 s, … to 6.4 s.
            let backoff = Duration::from_millis(100 << (attempt - 1).min(6));
            let pause = match &error {
                Error::Transport(e) if e.is_repeatable() => Some(backoff),
                Error::Transport(_) if is_idempotent && error.outcome() == Outcome::Unknown => Some(backoff),
                Error::Failed(e) if is_idempotent => Some(e.retry_after().unwrap_or(backoff)),
                Error::Refused(e) if e.status() == 429 => e.retry_after(),
                _ => None,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            match pause {
                Some(pause) if attempt < shared.attempts && pause < left => thread::sleep(pause),
                _ if error.outcome() == Outcome::Unknown => return Err(error),
                _ => return Err(may_have_acted.unwrap_or(error)),
            }
            if error.outcome() == Outcome::Unknown {
                may_have_acted = Some(error);
            }
            attempt += 1;
        }
    }
}

fn name_redirect(mut error: Error, host: Option<&str>, redactor: &Redactor<'_>) -> Error {
    if let (Error::Refused(refusal), Some(host)) = (&mut error, host) {
        if refusal.status() < 400 {
            refusal.name_redirect(host, redactor);
        }
    }
    error
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |endpoint: &Endpoint| endpoint.uri.host().map(String::from).unwrap_or_default();
        f.debug_struct("Client")
            .field("backup", &host(&self.0.backup))
            .field("confirm", &host(&self.0.confirm))
            .finish_non_exhaustive()
    }
}

/// Makes backup shares with all defaults: the whole job for a program that wants nothing else.
///
/// Store them, then confirm with a [`Client`].
///
/// # Errors
///
/// - A key or generate response that cannot be used: [`Error::InvalidInput`], nothing was sent; correct it.
/// - No crypto provider: see [`Client::new`].
/// - Everything of [`Client::backup`].
///
/// ```no_run
/// # let (api_key, generate_response) = ("", "");
/// let shares = portal_backup::backup(api_key, generate_response)?;
/// # Ok::<(), portal_backup::Error>(())
/// ```
pub fn backup(api_key: &str, generate_response: &str) -> Result<BackupShares, Error> {
    Client::new(ApiKey::new(api_key)?)?.backup(&GenerateResponse::parse(generate_response)?)
}
