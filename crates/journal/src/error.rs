//! What went wrong, and whether the statement may have happened all the same.

use std::borrow::Cow;
use std::fmt;

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whether a failed statement can have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is proved that this attempt did not take effect and will not.
    Determinate,
    /// It may have happened, or may still happen. The default.
    Indeterminate,
}

/// What a caller can do something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No connection, or it broke.
    Unreachable,
    /// Wrong password, unknown role, or a missing privilege.
    Denied,
    /// The database does not exist and could not be created.
    DatabaseMissing,
    /// A standby or a read-only server: not the primary.
    ReadOnly,
    /// No space, or another resource of the server is exhausted.
    DiskFull,
    /// The entry is larger than the database takes.
    TooLarge,
    /// Another process holds the database.
    Locked,
    /// A newer program has migrated the schema.
    SchemaTooNew,
    /// The file is not a database, or what was read makes no sense.
    Corrupt,
    /// The database aborted the statement because of others; try again.
    Conflict,
    /// The endpoint or its TLS files can't be used.
    Endpoint,
    /// The database refuses the statement itself.
    Refused,
    /// The database said that a commit may not be replicated, or anything not known better.
    Unknown,
    /// The journal was closed.
    Closed,
}

impl ErrorKind {
    /// A short name for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::DatabaseMissing => "database_missing",
            Self::ReadOnly => "read_only",
            Self::DiskFull => "disk_full",
            Self::TooLarge => "too_large",
            Self::Locked => "locked",
            Self::SchemaTooNew => "schema_too_new",
            Self::Corrupt => "corrupt",
            Self::Conflict => "conflict",
            Self::Endpoint => "endpoint",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "database unreachable",
            Self::Denied => "access denied",
            Self::DatabaseMissing => "database missing",
            Self::ReadOnly => "database is read-only or a standby",
            Self::DiskFull => "database out of space",
            Self::TooLarge => "entry too large for the database",
            Self::Locked => "database locked by another process",
            Self::SchemaTooNew => "schema is newer than this program",
            Self::Corrupt => "data is corrupt",
            Self::Conflict => "aborted by concurrent work",
            Self::Endpoint => "endpoint unusable",
            Self::Refused => "refused by the database",
            Self::Unknown => "outcome unknown",
            Self::Closed => "journal closed",
        })
    }
}

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A journal call that failed.
#[derive(Debug, thiserror::Error)]
#[error("{action}: {detail}")]
pub struct Error {
    action: &'static str,
    detail: Cow<'static, str>,
    kind: ErrorKind,
    outcome: Outcome,
    code: Option<String>,
    source: Option<Source>,
}

impl Error {
    /// An error of a kind, indeterminate until said otherwise.
    #[must_use]
    pub fn new(action: &'static str, kind: ErrorKind) -> Self {
        Self {
            action,
            detail: Cow::Owned(kind.to_string()),
            kind,
            outcome: Outcome::Indeterminate,
            code: None,
            source: None,
        }
    }

    /// The statement is proved not to have happened.
    #[must_use]
    pub fn determinate(mut self) -> Self {
        self.outcome = Outcome::Determinate;
        self
    }

    /// The statement may have happened after all.
    #[must_use]
    pub fn indeterminate(mut self) -> Self {
        self.outcome = Outcome::Indeterminate;
        self
    }

    /// Replaces the text behind the action.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = detail.into();
        self
    }

    /// The database's own code, for metrics and people.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// The error below.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What can be done about it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether it may have happened.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The statement is proved not to have happened.
    #[must_use]
    pub const fn is_determinate(&self) -> bool {
        matches!(self.outcome, Outcome::Determinate)
    }

    /// The database's code, or the kind's name.
    #[must_use]
    pub fn code(&self) -> &str {
        self.code.as_deref().unwrap_or_else(|| self.kind.name())
    }
}

/// An error with everything below it, for a log line.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        below = cause.source();
    }
    text
}
