//! What a person can do about a server that didn't start.

use helium_journal::ErrorKind;

use crate::listener::BindError;
use crate::server::StartError;

/// What to do, in the words of the command line; `None` if the error says it already.
pub(crate) const fn on(error: &StartError) -> Option<&'static str> {
    match error {
        StartError::Bind(BindError::InUse { .. }) | StartError::Load(_) => None,
        StartError::Bind(BindError::Failed { .. }) => {
            Some("correct --listen-address or --metrics-bind-address")
        }
        StartError::Tls(_) => Some(
            "correct --server-cert-file, --server-key-file and --trusted-ca-file, and the files for \
             peers if there are any",
        ),
        StartError::Storage(error) => on_database(error.kind()),
    }
}

const fn on_database(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Unreachable => Some(
            "check that the database runs and that --endpoint names its host and port, or wait \
             longer for it with --startup-timeout",
        ),
        ErrorKind::Denied => {
            Some("check user and password in --endpoint, and what this user may do")
        }
        ErrorKind::DatabaseMissing => {
            Some("create it, or give the user of --endpoint the right to create databases")
        }
        ErrorKind::ReadOnly => Some("let --endpoint name the primary"),
        ErrorKind::DiskFull => Some("make room for the database"),
        ErrorKind::Locked => Some("stop whatever uses it, or let --endpoint name another"),
        ErrorKind::SchemaTooNew => Some("upgrade this program"),
        ErrorKind::Corrupt => {
            Some("let --endpoint name a database that was made by this program, or a new one")
        }
        ErrorKind::Endpoint => {
            Some("let --endpoint name a file that can be made and written, or a database server")
        }
        ErrorKind::TooLarge
        | ErrorKind::Conflict
        | ErrorKind::Refused
        | ErrorKind::Unknown
        | ErrorKind::Closed => None,
    }
}
