//! What can go wrong between a request and its answer.

use std::sync::Arc;

/// Result of a replica operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request got no answer, or which answer it got.
///
/// Cheap to clone: one failure often answers a whole batch.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The state machine refused the request. It did not happen.
    #[error("request refused")]
    Refused(#[source] helium_mvcc::Error),
    /// The database proved that it can't hold the entry of this request. It did not happen.
    #[error("writing the entry of this request")]
    Determinate(#[source] Arc<helium_journal::Error>),
    /// The database could not be asked, or did not say. A write may or may not have happened.
    #[error("asking the database")]
    Journal(#[source] Arc<helium_journal::Error>),
    /// The store can't serve now; a write may or may not have happened. Worth trying again.
    #[error("store is unavailable: {0}")]
    Unavailable(&'static str),
    /// The answer took longer than [`Options::request_timeout`](super::Options::request_timeout).
    /// A write may or may not have happened.
    #[error("request timed out")]
    TimedOut,
    /// Too many requests wait for the sequencer already. It did not happen.
    #[error("too many requests are waiting")]
    TooManyRequests,
    /// The journal holds something that this program must not guess about: an unknown format, or
    /// bytes that don't match their checksum. Nothing is served until a person has looked.
    #[error("journal can't be read")]
    Halted(#[source] Arc<Halt>),
    /// The replica has been stopped.
    #[error("replica is stopped")]
    Stopped,
}

/// What made a replica stop serving for good.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// An entry is in a format that this version doesn't know: upgrade this instance.
    #[error("slot {slot} is in format {enc}, which this version does not know: upgrade it")]
    Format {
        /// The slot of the entry.
        slot: i64,
        /// The format that it names.
        enc: i16,
    },
    /// The payload of an entry is damaged: restore the database.
    #[error("payload of slot {slot} is damaged")]
    Payload {
        /// The slot of the entry.
        slot: i64,
        /// What doesn't fit.
        #[source]
        source: helium_mvcc::DecodeError,
    },
    /// An entry doesn't fit to the state before it although the chain holds: restore the database.
    #[error("slot {slot} does not follow the state before it")]
    Sequence {
        /// The slot of the entry.
        slot: i64,
        /// What doesn't fit.
        #[source]
        source: helium_mvcc::ApplyError,
    },
    /// The checkpoint's side state is damaged: restore the database.
    #[error("checkpoint at slot {slot} is damaged")]
    Checkpoint {
        /// The slot of the checkpoint.
        slot: i64,
        /// What doesn't fit.
        #[source]
        source: helium_mvcc::DecodeError,
    },
}

impl From<helium_mvcc::Error> for Error {
    fn from(error: helium_mvcc::Error) -> Self {
        Self::Refused(error)
    }
}

impl From<helium_journal::Error> for Error {
    fn from(error: helium_journal::Error) -> Self {
        Self::Journal(Arc::new(error))
    }
}
