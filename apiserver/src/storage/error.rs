//! What can go wrong between us and the store.

use tonic::Code;

/// Result of a call to the store.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed call to the store. A lost compare isn't one: see [`super::Written`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration can't work.
    #[error("configure the store's endpoints: {reason}")]
    Config {
        /// What is wrong with it.
        reason: String,
    },
    /// The TLS files of the store's client can't be used.
    #[error("load the store's client certificates")]
    Tls(#[source] helium_tls::Error),
    /// Nobody answered, or the connection broke.
    #[error("{doing}: no endpoint answered")]
    Unavailable {
        /// The call.
        doing: &'static str,
        /// Whether it is known that the call changed nothing.
        outcome_known: bool,
        /// What the last endpoint said.
        #[source]
        source: Box<tonic::Status>,
    },
    /// No answer in time.
    #[error("{doing}: no answer in time")]
    Timeout {
        /// The call.
        doing: &'static str,
        /// Whether it is known that the call changed nothing.
        outcome_known: bool,
    },
    /// The revision asked for is gone.
    #[error("the revision has been compacted")]
    Compacted {
        /// The oldest revision that is still there, or 0 if the store didn't say.
        oldest: i64,
    },
    /// The revision asked for has not happened yet.
    #[error("the revision is in the future")]
    FutureRevision,
    /// The value is larger than the store takes.
    #[error("the object is too large for the store")]
    TooLarge,
    /// The store refused, or answered something that makes no sense.
    #[error("{doing}: the store refused: {reason}")]
    Refused {
        /// The call.
        doing: &'static str,
        /// What it said.
        reason: String,
    },
}

impl Error {
    pub(super) fn from_status(doing: &'static str, writes: bool, status: tonic::Status) -> Self {
        let text = status.message();
        match status.code() {
            Code::OutOfRange if text.contains("compacted") => Self::Compacted { oldest: 0 },
            Code::OutOfRange if text.contains("future revision") => Self::FutureRevision,
            Code::InvalidArgument if text.contains("too large") => Self::TooLarge,
            Code::ResourceExhausted if text.contains("larger than max") => Self::TooLarge,
            Code::DeadlineExceeded => Self::Timeout {
                doing,
                outcome_known: !writes,
            },
            // What a broken or missing connection looks like through gRPC.
            Code::Unavailable | Code::Cancelled | Code::Unknown | Code::Aborted => {
                let outcome_known = !writes || never_connected(&status);
                Self::Unavailable {
                    doing,
                    outcome_known,
                    source: Box::new(status),
                }
            }
            _ => Self::Refused {
                doing,
                reason: text.to_owned(),
            },
        }
    }

    /// Whether trying again, perhaps at another endpoint, may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Timeout { .. })
    }
}

/// Whether the request can't have left this process, because there was no connection.
fn never_connected(status: &tonic::Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        cause = error.source();
    }
    false
}
