//! What can go wrong with the file for the shares.

use alloc::{boxed::Box, string::String};
use core::fmt;
use std::path::{Path, PathBuf};

use crate::outcome::{Outcome, debug_as};
use crate::redact::escape_controls;

/// The file for the shares could not be made, written, published or loaded.
pub struct StoreError(Box<Inner>);

struct Inner {
    path: PathBuf,
    step: &'static str,
    cause: Option<Cause>,
    outcome: Outcome,
    advice: String,
}

type Cause = Box<dyn core::error::Error + Send + Sync>;

/// A step that failed, and why.
pub(super) type FailedStep = (&'static str, Option<Cause>);

pub(super) const EXISTS: &str = "exists already and is not replaced: FileSlot::load or --resume takes it up";

/// For `map_err`: the step that failed, with the error as its cause.
pub(super) fn failed_step<E: Into<Cause>>(step: &'static str) -> impl FnOnce(E) -> FailedStep {
    move |cause| (step, Some(cause.into()))
}

impl StoreError {
    pub(super) fn new(failed_step: FailedStep, path: &Path, outcome: Outcome, advice: &str) -> Self {
        let (step, cause) = failed_step;
        Self(Box::new(Inner { path: path.into(), step, cause, outcome, advice: advice.into() }))
    }

    /// Where the shares were to go, or to be loaded from.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether [`FileSlot::reserve`](crate::FileSlot::reserve) found the name taken: perhaps by the shares of an earlier
    /// run, which [`FileSlot::load`](crate::FileSlot::load) takes up again.
    pub fn already_exists(&self) -> bool {
        self.0.step == EXISTS
    }

    /// [`Outcome::Unknown`] from storing, when the shares exist; else [`Outcome::NotSent`].
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }
}

pub(super) fn display_path(path: &Path) -> String {
    escape_controls(&path.to_string_lossy(), 4096)
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { path, step, cause, advice, .. } = &*self.0;
        write!(f, "{}: {step}", display_path(path))?;
        if let Some(cause) = cause {
            write!(f, " ({cause})")?;
        }
        write!(f, "; {advice}")
    }
}

impl core::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.0.cause.as_ref().map(|cause| &**cause as _)
    }
}

debug_as!(StoreError, self, "{self}");
