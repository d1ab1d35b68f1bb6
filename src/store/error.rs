//! What can go wrong with the file for the shares.

use alloc::boxed::Box;
use core::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::outcome::Outcome;
use crate::redact::printable;

/// The file for the shares could not be made, written, published or loaded.
pub struct StoreError(Box<Failure>);

struct Failure {
    step: &'static str,
    cause: Option<Cause>,
    path: PathBuf,
    outcome: Outcome,
    advice: &'static str,
    /// A name under which the shares are still there, though they are not stored.
    left: Option<PathBuf>,
}

type Cause = Box<dyn core::error::Error + Send + Sync>;

pub(super) const EXISTS: &str = "exists already, and nothing is replaced";

/// A step that failed, and why.
pub(super) type Failed = (&'static str, io::Error);

impl StoreError {
    pub(super) fn not_reserved(path: &Path, step: &'static str, cause: Option<io::Error>) -> Self {
        let cause = cause.map(Cause::from);
        let advice = "nothing was sent; choose another path or fix the folder";
        Self(Box::new(Failure {
            step,
            cause,
            path: path.into(),
            outcome: Outcome::NotSent,
            advice,
            left: None,
        }))
    }

    pub(super) fn not_loaded(path: &Path, step: &'static str, cause: impl Into<Cause>) -> Self {
        let cause = Some(cause.into());
        let advice = "nothing was sent; take another copy of the shares";
        Self(Box::new(Failure {
            step,
            cause,
            path: path.into(),
            outcome: Outcome::NotSent,
            advice,
            left: None,
        }))
    }

    pub(super) fn not_stored(path: PathBuf, (step, cause): Failed, left: Option<PathBuf>) -> Self {
        let cause = Some(cause.into());
        let advice = "the shares are not stored there; store them elsewhere, or run the backup again";
        Self(Box::new(Failure { step, cause, path, outcome: Outcome::Unknown, advice, left }))
    }

    /// Where the shares were to go, or to be loaded from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether [`FileSlot::reserve`](crate::FileSlot::reserve) found the name taken: perhaps by the shares of an earlier
    /// run, which [`FileSlot::load`](crate::FileSlot::load) takes up again.
    #[must_use]
    pub fn already_exists(&self) -> bool {
        self.0.step == EXISTS
    }

    /// [`Outcome::Unknown`] from storing, when the shares exist; else [`Outcome::NotSent`].
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { step, cause, path, advice, left, .. } = &*self.0;
        let shown = |path: &Path| printable(&path.to_string_lossy(), 4096);
        write!(f, "{}: {step}", shown(path))?;
        if let Some(cause) = cause {
            write!(f, " ({cause})")?;
        }
        if let Some(left) = left {
            write!(f, "; {} holds the shares and can neither be removed nor emptied", shown(left))?;
        }
        write!(f, "; {advice}")
    }
}

impl core::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.0.cause.as_ref().map(|cause| &**cause as _)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
