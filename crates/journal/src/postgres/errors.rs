//! SQLSTATEs in the journal's terms.
//!
//! The rule: an error is *determinate* only if it is on a list of those with which a server tells
//! that the statement was rolled back. Everything else, and everything that breaks the connection,
//! leaves the outcome open (PostgreSQL, appendix A; YugabyteDB's and CockroachDB's notes on 40001,
//! 40003 and XX000).

use std::error::Error as _;

use tokio_postgres::error::{DbError, SqlState};

use crate::{Error, ErrorKind};

/// Describes an error of a statement that was, or may have been, sent.
pub(super) fn statement_error(action: &'static str, error: tokio_postgres::Error) -> Error {
    let Some(database) = error.as_db_error() else {
        return describe_local(action, error);
    };
    let (kind, determinate) = classify(database.code().code(), database.message());
    let described = Error::new(action, kind).with_code(database.code().code());
    // The server's answer says it all: the driver's own "db error" above it would add nothing.
    let described = match error.into_source() {
        Some(source) => described.with_source(source),
        None => described,
    };
    if determinate {
        described.determinate()
    } else {
        described
    }
}

/// Describes a failure to connect: nothing has been sent, so nothing has happened.
pub(super) fn connect_error(action: &'static str, error: tokio_postgres::Error) -> Error {
    if not_writable(&error) {
        return Error::new(action, ErrorKind::ReadOnly)
            .determinate()
            .with_source(error);
    }
    let described = statement_error(action, error).determinate();
    match described.kind() {
        ErrorKind::Unknown => {
            let code = described.code().to_owned();
            Error::new(action, ErrorKind::Unreachable)
                .determinate()
                .with_code(code)
                .with_source(described)
        }
        _ => described,
    }
}

/// The driver found the server to be a standby or read-only.
fn not_writable(error: &tokio_postgres::Error) -> bool {
    error
        .source()
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied)
}

fn describe_local(action: &'static str, error: tokio_postgres::Error) -> Error {
    let text = error.to_string();
    // The driver tells these apart only in its text: a parameter that can't be encoded is never
    // sent, a password that is missing never leaves.
    let (kind, determinate) = if error.is_closed() || text.starts_with("error communicating") {
        (ErrorKind::Unreachable, false)
    } else if text.starts_with("error encoding") {
        (ErrorKind::TooLarge, true)
    } else if text.starts_with("error serializing") {
        (ErrorKind::Refused, true)
    } else if text.starts_with("authentication") || text.starts_with("invalid configuration") {
        (ErrorKind::Denied, true)
    } else if text.starts_with("error deserializing") {
        (ErrorKind::Corrupt, false)
    } else if text.starts_with("error performing TLS") {
        (ErrorKind::Endpoint, true)
    } else if text.starts_with("error connecting") || text.starts_with("timeout") {
        (ErrorKind::Unreachable, false)
    } else {
        (ErrorKind::Unknown, false)
    };
    let described = Error::new(action, kind).with_source(error);
    if determinate {
        described.determinate()
    } else {
        described
    }
}

/// The kind of a SQLSTATE, and whether it proves that the statement did not happen.
pub(super) fn classify(code: &str, message: &str) -> (ErrorKind, bool) {
    match code {
        "25006" => (ErrorKind::ReadOnly, true),
        "3D000" => (ErrorKind::DatabaseMissing, true),
        "42501" => (ErrorKind::Denied, true),
        "53100" | "53200" => (ErrorKind::DiskFull, true),
        "53300" => (ErrorKind::Unreachable, true),
        "54000" | "54001" | "54023" => (ErrorKind::TooLarge, true),
        // Aborted because of others. 40003 is "completion unknown" and so is not among them.
        "40001" | "40P01" => (ErrorKind::Conflict, true),
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => (ErrorKind::Unreachable, false),
        // A standby that can't replay under the query's snapshot says 40001; a query that was cut
        // off by a cancel may have committed before.
        "57014" => (ErrorKind::Unknown, false),
        "YB001" => (ErrorKind::Conflict, false),
        "XX001" | "XX002" => (ErrorKind::Corrupt, false),
        "XX000" if is_yugabyte_conflict(message) => (ErrorKind::Conflict, false),
        _ => match code.get(..2) {
            Some("28") => (ErrorKind::Denied, true),
            Some("08") => (ErrorKind::Unreachable, false),
            Some("22" | "23" | "42" | "0A") => (ErrorKind::Refused, true),
            _ => (ErrorKind::Unknown, false),
        },
    }
}

/// Texts under which YugabyteDB reports what is elsewhere a 40001.
fn is_yugabyte_conflict(message: &str) -> bool {
    const TEXTS: [&str; 6] = [
        "schema version mismatch",
        "catalog version mismatch",
        "catalog snapshot used for this transaction has been invalidated",
        "restart read required",
        "conflicts with higher priority transaction",
        "could not serialize access",
    ];
    let message = message.to_ascii_lowercase();
    TEXTS.iter().any(|text| message.contains(text))
}

/// The row is there already.
pub(super) fn is_duplicate(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::UNIQUE_VIOLATION)
}

/// Two instances ran the same DDL at once, and this one came second: try again.
pub(super) fn is_migration_race(error: &tokio_postgres::Error) -> bool {
    let Some(database) = error.as_db_error() else {
        return false;
    };
    let (kind, _) = classify(database.code().code(), database.message());
    kind == ErrorKind::Conflict || is_catalog_race(database)
}

fn is_catalog_race(database: &DbError) -> bool {
    let code = database.code();
    *code == SqlState::UNIQUE_VIOLATION
        || *code == SqlState::DUPLICATE_TABLE
        || *code == SqlState::DUPLICATE_OBJECT
        || (*code == SqlState::INTERNAL_ERROR && database.message().contains("concurrently"))
}

/// The connection is of no more use: it is broken, its server is no primary any more, or the
/// statements prepared on it don't fit any more.
pub(super) fn is_fatal(error: &tokio_postgres::Error) -> bool {
    match error.code().map(SqlState::code) {
        None => true,
        Some("25006" | "25P03" | "26000" | "0A000") => true,
        Some(code) => matches!(code.get(..2), Some("08" | "57" | "58" | "XX")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_states_prove_that_nothing_happened() {
        let determinate = [
            "25006", "53100", "40001", "40P01", "22001", "23514", "42703", "28P01",
        ];
        for code in determinate {
            assert!(classify(code, "").1, "{code}");
        }
        let undecided = [
            "40003", "57P01", "57014", "08006", "25P03", "XX000", "YB001", "58030", "00",
        ];
        for code in undecided {
            assert!(!classify(code, "").1, "{code}");
        }
    }

    #[test]
    fn yugabytes_texts_are_conflicts() {
        let text = "Query error: schema version mismatch for table 1: expected 2, got 1";
        assert_eq!(classify("XX000", text).0, ErrorKind::Conflict);
        assert_eq!(
            classify("XX000", "Restart read required at: ...").0,
            ErrorKind::Conflict
        );
        assert_eq!(classify("XX000", "something else").0, ErrorKind::Unknown);
    }
}
