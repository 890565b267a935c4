//! What one check has found.

use serde::Serialize;

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Level {
    /// As it should be.
    Good,
    /// It couldn't be seen.
    Unknown,
    /// It works, but somebody should look at it.
    Warning,
    /// Something doesn't work.
    Problem,
}

/// What was found. Its name is that of a section in `docs/doctor.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    /// The check's name.
    pub(super) check: &'static str,
    /// How it stands.
    pub(super) level: Level,
    /// What is the case, in one line.
    pub(super) summary: String,
    /// Why, if it isn't as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
    /// Where more is said.
    pub(super) page: String,
}

impl Level {
    /// The mark at the beginning of a line.
    pub(super) fn mark(self) -> char {
        match self {
            Self::Good => '✓',
            Self::Unknown => '?',
            Self::Warning => '!',
            Self::Problem => '✗',
        }
    }
}

impl Finding {
    fn new(check: &'static str, level: Level, summary: String) -> Self {
        Self {
            check,
            level,
            summary,
            cause: None,
            remedy: None,
            page: format!("docs/doctor.md#{check}"),
        }
    }

    /// Something is as it should be.
    pub(super) fn good(check: &'static str, summary: impl Into<String>) -> Self {
        Self::new(check, Level::Good, summary.into())
    }

    /// Something couldn't be seen, and why.
    pub(super) fn unknown(
        check: &'static str,
        summary: impl Into<String>,
        cause: impl Into<String>,
    ) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(check, Level::Unknown, summary.into())
        }
    }

    /// Somebody should look at something.
    pub(super) fn warning(
        check: &'static str,
        summary: impl Into<String>,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            cause: Some(cause.into()),
            remedy: Some(remedy.into()),
            ..Self::new(check, Level::Warning, summary.into())
        }
    }

    /// Something doesn't work.
    pub(super) fn problem(
        check: &'static str,
        summary: impl Into<String>,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Problem,
            ..Self::warning(check, summary, cause, remedy)
        }
    }
}
