//! What every error tells: whether the service can have acted, and one line for people.

use serde::ser::{Serialize, Serializer};

/// Whether the service can have acted on a call that failed.
///
/// `Unknown` whenever it is not provably one of the others. serde's `Serialize` writes `"notSent"`,
/// `"refused"` or `"unknown"`, which is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The request was not sent completely: the service cannot have acted. Call again when the cause is gone.
    NotSent,
    /// The service did not act. Read its message before you call again.
    Refused,
    /// The service may have acted. `backup` may be run again: it makes a new pair of shares, and the lost pair stays
    /// unused; `confirm` may be repeated as it is.
    Unknown,
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::NotSent => "notSent",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        })
    }
}

/// Which of the two calls an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Backup,
    Confirm,
}

impl Call {
    /// The name that errors begin with, and that serde writes.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Confirm => "confirm",
        }
    }
}

/// Implements `Debug` by a format string of its own: derived, it could print a secret.
macro_rules! debug_as {
    ($type:ty, $self:ident, $($format:tt)+) => {
        impl core::fmt::Debug for $type {
            fn fmt(&$self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, $($format)+)
            }
        }
    };
}
pub(crate) use debug_as;

/// `Error` without a source. `Debug` prints what `Display` does, because a `main` that returns a `Result` prints `Debug`.
macro_rules! error_is_display {
    ($type:ty) => {
        crate::outcome::debug_as!($type, self, "{self}");
        impl core::error::Error for $type {}
    };
}
pub(crate) use error_is_display;
