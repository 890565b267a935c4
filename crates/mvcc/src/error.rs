//! Why a request is refused: one variant for each error of the etcd v3 API that the state
//! machine can tell. The server maps them to status codes and texts.

use crate::Revision;

/// Shorthand for results of requests.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A request names no key.
    #[error("key is not provided")]
    EmptyKey,
    /// `ignore_value` or `ignore_lease` on a key that doesn't exist, or an operation of a
    /// transaction in which nothing is set.
    #[error("key not found")]
    KeyNotFound,
    /// `ignore_value` with a value.
    #[error("value is provided although it is to be ignored")]
    ValueProvided,
    /// `ignore_lease` with a lease.
    #[error("lease is provided although it is to be ignored")]
    LeaseProvided,
    /// More compares or operations than a transaction may have.
    #[error("too many operations in transaction")]
    TooManyOps,
    /// A transaction changes one key twice.
    #[error("transaction changes a key more than once")]
    DuplicateKey,
    /// A sort order or sort target that doesn't exist.
    #[error("invalid sort option")]
    InvalidSortOption,
    /// The revision is below the compact revision.
    #[error("revision is compacted, the store is compacted at {compact_revision}")]
    Compacted {
        /// The oldest revision that can still be read.
        compact_revision: Revision,
    },
    /// The revision is above the current one.
    #[error("revision is in the future, the store is at {revision}")]
    FutureRevision {
        /// The current revision.
        revision: Revision,
    },
    /// The lease doesn't exist.
    #[error("lease not found")]
    LeaseNotFound,
    /// A lease of that name exists.
    #[error("lease already exists")]
    LeaseExists,
    /// The time to live is above [`MAX_LEASE_TTL`](crate::MAX_LEASE_TTL).
    #[error("lease time to live is too large")]
    LeaseTtlTooLarge,
    /// An alarm says that the quota is used up.
    #[error("no space: the quota is used up")]
    NoSpace,
    /// An alarm says that members disagree about the data.
    #[error("corrupt: members disagree about the data")]
    Corrupt,
}

impl Error {
    /// Whether the request alone decides the error, whatever the store holds. Only such an error
    /// may be answered without confirming the state that it was evaluated on.
    #[must_use]
    pub fn is_independent_of_state(&self) -> bool {
        match self {
            Self::EmptyKey
            | Self::ValueProvided
            | Self::LeaseProvided
            | Self::TooManyOps
            | Self::DuplicateKey
            | Self::InvalidSortOption
            | Self::LeaseTtlTooLarge => true,
            Self::KeyNotFound
            | Self::Compacted { .. }
            | Self::FutureRevision { .. }
            | Self::LeaseNotFound
            | Self::LeaseExists
            | Self::NoSpace
            | Self::Corrupt => false,
        }
    }
}
