//! The errors of the etcd v3 API: the only place with gRPC status texts.
//!
//! Clients recognise an error by its exact text: the code alone is not enough, and decides only
//! whether they try again. Reads are repeated on `Unavailable`, streams reconnect on `Unavailable`
//! and `Internal`; so an outage of the database is always `Unavailable`, never `Unknown`.

use helium_journal::ErrorKind;
use tonic::{Code, Status};

use crate::replica;

/// Result of a gRPC call.
pub(crate) type Result<T, E = Status> = std::result::Result<T, E>;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident => $code:ident, $text:literal;)*) => {
        /// An error of the etcd v3 API, by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Refusal {
            $($(#[$doc])* $name,)*
        }

        impl Refusal {
            /// The status code and the text, as every etcd client knows them.
            pub(crate) const fn parts(self) -> (Code, &'static str) {
                match self {
                    $(Self::$name => (Code::$code, $text),)*
                }
            }
        }
    };
}

refusals! {
    /// A request names no key.
    EmptyKey => InvalidArgument, "etcdserver: key is not provided";
    /// `ignore_*` on a missing key, or an empty operation in a transaction.
    KeyNotFound => InvalidArgument, "etcdserver: key not found";
    /// `ignore_value` with a value.
    ValueProvided => InvalidArgument, "etcdserver: value is provided";
    /// `ignore_lease` with a lease.
    LeaseProvided => InvalidArgument, "etcdserver: lease is provided";
    /// More than 128 operations.
    TooManyOps => InvalidArgument, "etcdserver: too many operations in txn request";
    /// Two changes of one key in one transaction.
    DuplicateKey => InvalidArgument, "etcdserver: duplicate key given in txn request";
    /// The client's version header isn't text.
    InvalidClientApiVersion => InvalidArgument, "etcdserver: invalid client api version";
    /// A sort order or target that doesn't exist.
    InvalidSortOption => InvalidArgument, "etcdserver: invalid sort option";
    /// A request above the configured size.
    RequestTooLarge => InvalidArgument, "etcdserver: request is too large";
    /// A target version of a downgrade that isn't a version.
    WrongDowngradeVersion => InvalidArgument,
        "etcdserver: wrong downgrade target version format";
    /// A target version of a downgrade that isn't one minor version below.
    InvalidDowngradeVersion => InvalidArgument, "etcdserver: invalid downgrade target version";
    /// The revision is below the compact revision.
    Compacted => OutOfRange, "etcdserver: mvcc: required revision has been compacted";
    /// The revision is above the current one.
    FutureRevision => OutOfRange, "etcdserver: mvcc: required revision is a future revision";
    /// A time to live of more than 9,000,000,000 seconds.
    LeaseTtlTooLarge => OutOfRange, "etcdserver: too large lease TTL";
    /// No such lease.
    LeaseNotFound => NotFound, "etcdserver: requested lease not found";
    /// No such member.
    MemberNotFound => NotFound, "etcdserver: member not found";
    /// The quota is used up.
    NoSpace => ResourceExhausted, "etcdserver: mvcc: database space exceeded";
    /// The queue of requests is full.
    TooManyRequests => ResourceExhausted, "etcdserver: too many requests";
    /// A lease of that id exists.
    LeaseExists => FailedPrecondition, "etcdserver: lease already exists";
    /// Authentication can't be used: it is off.
    AuthNotEnabled => FailedPrecondition, "etcdserver: authentication is not enabled";
    /// Authentication can't be switched on without a root user.
    RootUserNotExist => FailedPrecondition, "etcdserver: root user does not exist";
    /// This instance isn't the leader.
    NotLeader => FailedPrecondition, "etcdserver: not leader";
    /// A leader can't be moved to the member named.
    BadLeaderTransferee => FailedPrecondition, "etcdserver: bad leader transferee";
    /// There is no downgrade to cancel.
    NoInflightDowngrade => FailedPrecondition, "etcdserver: no inflight downgrade job";
    /// Only learners can be promoted.
    NotLearner => FailedPrecondition, "etcdserver: can only promote a learner member";
    /// The data can't be trusted.
    Corrupt => DataLoss, "etcdserver: corrupt cluster";
    /// A watch stream was cancelled by its client.
    WatchCanceled => Cancelled, "etcdserver: watch canceled";
    /// The database can't be reached.
    NoLeader => Unavailable, "etcdserver: no leader";
    /// The state was dropped and is loaded again.
    LeaderChanged => Unavailable, "etcdserver: leader changed";
    /// This instance is stopping.
    Stopped => Unavailable, "etcdserver: server stopped";
    /// The database didn't answer in time; a write may have happened.
    TimedOut => Unavailable, "etcdserver: request timed out";
    /// The database's answer got lost; a write may have happened.
    ConnectionLost => Unavailable,
        "etcdserver: request timed out, possibly due to connection lost";
    /// Not part of what this server does: members are instances that share a database.
    MembershipFixed => Unimplemented,
        "kine-shim: members join by starting on the same database, and leave by stopping";
    /// Backups are the database's.
    NoSnapshots => Unimplemented,
        "kine-shim: back up the SQL database instead (pg_dump, or copy the SQLite file)";
    /// Users and roles are not served.
    NoUsers => Unimplemented,
        "kine-shim: users and roles are not supported, use client certificates";
    /// A compare with an unknown target or result.
    UnknownCompare => InvalidArgument, "kine-shim: unknown compare target or result";
    /// Options that a streamed range can't have.
    UnsupportedRangeStream => Unimplemented,
        "etcdserver: range stream supports neither sorting nor revision filters";
    /// A request that no client of this API sends.
    MalformedRequest => Internal, "kine-shim: malformed request message";
    /// No method of that name.
    UnknownMethod => Unimplemented, "kine-shim: unknown service or method";
    /// A compressed request, which the server doesn't offer to read.
    Compressed => Unimplemented, "kine-shim: compressed requests are not supported";
}

/// Why a watcher is refused, in the text that etcd puts into `cancel_reason`.
pub(crate) mod watch_reason {
    /// The id is in use on the stream.
    pub(crate) const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
    /// The range can't hold a key.
    pub(crate) const EMPTY_RANGE: &str = "mvcc: watcher range is empty";
    /// The start revision is negative.
    pub(crate) const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
}

/// The message that grpc-go servers send for a message above the receive limit.
pub(crate) fn message_too_large(size: usize, limit: usize) -> Status {
    Status::resource_exhausted(format!(
        "grpc: received message larger than max ({size} vs. {limit})"
    ))
}

/// The connection's certificate is not accepted (any more). Clients give up for good on this code,
/// which is right: only somebody who lets the cluster in again can help.
pub(crate) fn not_admitted(why: &impl std::fmt::Display) -> Status {
    Status::permission_denied(format!("kine-shim: {why}"))
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let (code, text) = refusal.parts();
        Self::new(code, text)
    }
}

impl From<helium_mvcc::Error> for Refusal {
    fn from(error: helium_mvcc::Error) -> Self {
        use helium_mvcc::Error;
        match error {
            Error::EmptyKey => Self::EmptyKey,
            Error::KeyNotFound => Self::KeyNotFound,
            Error::ValueProvided => Self::ValueProvided,
            Error::LeaseProvided => Self::LeaseProvided,
            Error::TooManyOps => Self::TooManyOps,
            Error::DuplicateKey => Self::DuplicateKey,
            Error::InvalidSortOption => Self::InvalidSortOption,
            Error::Compacted { .. } => Self::Compacted,
            Error::FutureRevision { .. } => Self::FutureRevision,
            Error::LeaseNotFound => Self::LeaseNotFound,
            Error::LeaseExists => Self::LeaseExists,
            Error::LeaseTtlTooLarge => Self::LeaseTtlTooLarge,
            Error::NoSpace => Self::NoSpace,
            Error::Corrupt => Self::Corrupt,
        }
    }
}

impl From<&replica::Error> for Refusal {
    fn from(error: &replica::Error) -> Self {
        use replica::Error;
        match error {
            Error::Refused(refused) => Self::from(*refused),
            Error::Determinate(source) => match source.kind() {
                ErrorKind::TooLarge => Self::RequestTooLarge,
                ErrorKind::DiskFull => Self::NoSpace,
                _ => Self::NoLeader,
            },
            Error::Journal(_) => Self::ConnectionLost,
            Error::Unavailable(_) => Self::LeaderChanged,
            Error::TimedOut => Self::TimedOut,
            Error::TooManyRequests => Self::TooManyRequests,
            Error::Halted(_) => Self::Corrupt,
            Error::Stopped => Self::Stopped,
        }
    }
}

/// The status of a replica's error. What went wrong inside is logged where it happened; clients
/// get the etcd text alone.
pub(crate) fn status(error: &replica::Error) -> Status {
    Refusal::from(error).into()
}

/// The status of a refusal by the state machine.
pub(crate) fn refused(error: helium_mvcc::Error) -> Status {
    Refusal::from(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_are_unavailable_so_that_clients_try_again() {
        for error in [
            replica::Error::TimedOut,
            replica::Error::Stopped,
            replica::Error::Unavailable("loading"),
        ] {
            assert_eq!(status(&error).code(), Code::Unavailable, "{error}");
        }
    }

    #[test]
    fn texts_of_the_contract_are_exact() {
        let compacted = refused(helium_mvcc::Error::Compacted {
            compact_revision: helium_mvcc::Revision(7),
        });
        assert_eq!(compacted.code(), Code::OutOfRange);
        assert_eq!(
            compacted.message(),
            "etcdserver: mvcc: required revision has been compacted"
        );
    }
}
