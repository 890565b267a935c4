//! SQLite's result codes (<https://www.sqlite.org/rescode.html>) in the journal's terms.

use sqlx::error::DatabaseError as _;
use sqlx::sqlite::SqliteError;

use crate::{Error, ErrorKind};

const PERM: i32 = 3;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READONLY: i32 = 8;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const AUTH: i32 = 23;
const NOTADB: i32 = 26;

fn code_of(error: &sqlx::Error) -> Option<i32> {
    let database = error
        .as_database_error()?
        .try_downcast_ref::<SqliteError>()?;
    database.code()?.parse().ok()
}

/// Somebody else holds the file.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    code_of(error).is_some_and(|code| matches!(code & 0xff, BUSY | LOCKED))
}

/// The kind of an error, and whether the statement is proved not to have happened. SQLite rolls a
/// statement back before it reports any of the codes listed as determinate; an I/O error may have
/// hit the fsync after the commit record was written, so it stays undecided.
pub(super) fn sqlite_error(action: &'static str, error: sqlx::Error) -> Error {
    let Some(code) = code_of(&error) else {
        let kind = match &error {
            sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) => ErrorKind::Unreachable,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => ErrorKind::Corrupt,
            _ => ErrorKind::Unknown,
        };
        return Error::new(action, kind).with_source(error);
    };
    let (kind, determinate) = match code & 0xff {
        PERM | AUTH => (ErrorKind::Denied, true),
        BUSY | LOCKED => (ErrorKind::Locked, true),
        READONLY => (ErrorKind::ReadOnly, true),
        CORRUPT | NOTADB => (ErrorKind::Corrupt, false),
        FULL => (ErrorKind::DiskFull, true),
        CANTOPEN => (ErrorKind::Endpoint, true),
        TOOBIG => (ErrorKind::TooLarge, true),
        CONSTRAINT => (ErrorKind::Refused, true),
        _ => (ErrorKind::Unknown, false),
    };
    let described = Error::new(action, kind)
        .with_code(code.to_string())
        .with_source(error);
    if determinate {
        described.determinate()
    } else {
        described
    }
}
