//! What is wrong with an input, and where; never the input itself.

use alloc::borrow::Cow;
use core::fmt;

use crate::outcome::{Outcome, error_is_display};
#[cfg(feature = "client")]
use crate::redact::escape_controls;

/// A key, share text, id or setting that cannot be used; nothing was sent.
///
/// Names what is wrong and where, never the value.
pub struct InvalidInput {
    what: Cow<'static, str>,
    position: Option<(usize, usize)>,
}

impl InvalidInput {
    pub(crate) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), position: None }
    }

    pub(crate) fn at(self, line: usize, column: usize) -> Self {
        Self { position: Some((line, column)), ..self }
    }

    /// Puts the name of the text before the mistake, and a hint behind it.
    pub(crate) fn named(self, text: &str, hint: &str) -> Self {
        Self { what: alloc::format!("{text}: {}{hint}", self.what).into(), ..self }
    }

    /// Adds the name of a setting or a variable, or another text that is no secret.
    #[cfg(feature = "client")]
    pub(crate) fn about(self, name: &str) -> Self {
        Self { what: alloc::format!("{}: {}", self.what, escape_controls(name, 200)).into(), ..self }
    }

    /// Always [`Outcome::NotSent`].
    pub const fn outcome(&self) -> Outcome {
        Outcome::NotSent
    }

    /// Line and column of the mistake in the text that was parsed, both from 1, the column in bytes; `None` for a
    /// mistake without a position.
    pub const fn position(&self) -> Option<(usize, usize)> {
        self.position
    }
}

impl fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some((line, column)) = self.position {
            write!(f, " (line {line}, column {column})")?;
        }
        Ok(())
    }
}

error_is_display!(InvalidInput);
