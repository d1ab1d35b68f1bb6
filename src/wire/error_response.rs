//! Every answer that is not a success, made into an `MpcErrorResponse`.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::error_body::Said;
use super::retry_after;
use crate::outcome::{Outcome, debug_is_display};
use crate::redact::Redactor;

/// Longest body that is looked at, in bytes: documented errors have less than a hundred.
pub(crate) const MAX_ERROR_BODY: usize = 64 << 10;

/// What the service says when it does not do what was asked.
///
/// Ids are stable upper-case texts such as `BAD_REQUEST`; messages are for people. Both come from the network: they are
/// cut to a bound, control characters are escaped, and whatever repeats the key or a share is replaced by
/// `[redacted]`.
///
/// For logs and queues it implements serde's `Serialize`, in this form, which is stable; `id`, `message` and `retryAfter`
/// (seconds) are left out where there is none:
///
/// ```
/// # use portal_backup::wire::{backup, Failure};
/// # let body = br#"{"id":"OPERATION_IN_PROGRESS","message":"Try again"}"#.to_vec();
/// # let Err(Failure::Refused(refused)) = backup::response(429, Some("7"), body) else { panic!() };
/// assert_eq!(
///     serde_json::to_string(&refused)?,
///     r#"{"status":429,"id":"OPERATION_IN_PROGRESS","message":"Try again","retryAfter":7}"#,
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct MpcErrorResponse {
    status: u16,
    said: Said,
    retry_after: Option<u32>,
    /// What a later try of the same call ended with.
    then: Option<Box<str>>,
}

impl MpcErrorResponse {
    /// Whether the service can have acted: [`Outcome::Refused`] for 3xx and 4xx, except 408; else
    /// [`Outcome::Unknown`].
    pub const fn outcome(&self) -> Outcome {
        if matches!(self.status, 300..=407 | 409..=499) { Outcome::Refused } else { Outcome::Unknown }
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The service's error id, if it sent one: at most 64 characters, and an ellipsis if it was longer.
    pub fn id(&self) -> Option<&str> {
        self.said.id.as_deref()
    }

    /// The service's message, or of another body the title of the web page or the text: at most 300 characters, and an
    /// ellipsis if it was longer.
    pub fn message(&self) -> Option<&str> {
        self.said.message.as_deref()
    }

    /// How long to wait before the next try, if the service said so (RFC 9110, section 10.2.3): in seconds, or as a date,
    /// which is read with feature `client` only, since without `std` there is no clock.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after.map(|seconds| Duration::from_secs(seconds.into()))
    }

    pub(crate) fn read(status: u16, retry_after: Option<&str>, body: &[u8], redactor: &Redactor<'_>) -> Self {
        #[cfg(feature = "client")]
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().ok().map(|since| since.as_secs());
        #[cfg(not(feature = "client"))]
        let now = None;
        let retry_after = retry_after.and_then(|value| retry_after::seconds(value, now));
        let said = Said::by(&body[..body.len().min(MAX_ERROR_BODY)], redactor);
        Self { status, said, retry_after, then: None }
    }

    #[cfg(feature = "client")]
    pub(crate) fn then(&mut self, later: &str) {
        self.then = Some(later.into());
    }

    /// Leaves out a body that the head says is compressed.
    #[cfg(feature = "client")]
    pub(crate) fn compressed(self) -> Self {
        Self { said: Said::compressed(), ..self }
    }

    /// The refusal of a redirect, which is never followed, with the host that it points to.
    #[cfg(feature = "client")]
    pub(crate) fn name_redirect(&mut self, host: &str, redactor: &Redactor<'_>) {
        let mut message = alloc::string::String::from("a redirect, not followed, to ");
        redactor.push_printable(host, 100, &mut message);
        self.said.message = Some(message.into());
    }
}

impl Serialize for MpcErrorResponse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { status, said: Said { id, message }, retry_after, .. } = self;
        let mut fields = serializer.serialize_map(None)?;
        fields.serialize_entry("status", status)?;
        id.iter().try_for_each(|id| fields.serialize_entry("id", id))?;
        message.iter().try_for_each(|message| fields.serialize_entry("message", message))?;
        retry_after.iter().try_for_each(|seconds| fields.serialize_entry("retryAfter", seconds))?;
        fields.end()
    }
}

debug_is_display!(MpcErrorResponse);

impl fmt::Display for MpcErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}{}", self.status, self.said)?;
        if let Some(seconds) = self.retry_after {
            write!(f, ", retry after {seconds} s")?;
        }
        if let Some(then) = &self.then {
            write!(f, "; then: {then}")?;
        }
        Ok(())
    }
}
