//! What can go wrong between us and the store.

use std::fmt;

use tonic::Code;

/// What stands before the reason when kine-shim shuts somebody out.
const GATE: &str = "kine-shim: ";
/// The TLS alert that a revoked certificate gets, as rustls prints it.
const REVOKED: &str = "CertificateRevoked";

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
        source: Reply,
    },
    /// No answer in time.
    #[error("{doing}: no answer in time")]
    Timeout {
        /// The call.
        doing: &'static str,
        /// Whether it is known that the call changed nothing.
        outcome_known: bool,
    },
    /// The answer to an earlier attempt was lost, and what it would have written over has changed since: by it or by somebody
    /// else, who can say.
    #[error("{doing}: the answer was lost, and the key has changed since")]
    Overtaken {
        /// The call.
        doing: &'static str,
    },
    /// The store doesn't accept this server's certificate (any more); nothing happened.
    #[error("the store doesn't let this cluster in: {0}")]
    NotAdmitted(Refusal),
    /// The revision asked for is gone.
    #[error("the revision has been compacted")]
    Compacted {
        /// The oldest revision that is still there, or 0 if the store didn't say.
        oldest: i64,
    },
    /// The revision asked for has not happened yet.
    #[error("the revision is in the future")]
    FutureRevision,
    /// The lease that an object is to live with is gone.
    #[error("the object's lease is gone from the store")]
    LeaseGone,
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
        if let Some(refusal) = Refusal::of(&status) {
            return Self::NotAdmitted(refusal);
        }
        match status.code() {
            Code::OutOfRange if text.contains("compacted") => Self::Compacted { oldest: 0 },
            Code::OutOfRange if text.contains("future revision") => Self::FutureRevision,
            Code::NotFound if text.contains("lease not found") => Self::LeaseGone,
            Code::InvalidArgument if text.contains("too large") => Self::TooLarge,
            Code::ResourceExhausted if text.contains("larger than max") => Self::TooLarge,
            Code::DeadlineExceeded => Self::Timeout {
                doing,
                outcome_known: !writes,
            },
            // What a broken or missing connection looks like through gRPC.
            Code::Unavailable | Code::Cancelled | Code::Unknown | Code::Aborted => {
                Self::broken(doing, writes, status)
            }
            // An answer has no source: this is HTTP/2 that broke, which has no better code.
            Code::Internal if std::error::Error::source(&status).is_some() => {
                Self::broken(doing, writes, status)
            }
            _ => Self::Refused {
                doing,
                reason: text.to_owned(),
            },
        }
    }

    fn broken(doing: &'static str, writes: bool, status: tonic::Status) -> Self {
        let outcome_known = !writes || never_connected(&status);
        Self::Unavailable {
            doing,
            outcome_known,
            source: Reply(Box::new(status)),
        }
    }

    /// Whether trying again, perhaps at another endpoint, may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Timeout { .. } | Self::NotAdmitted(_)
        )
    }
}

/// What a store says to a cluster that it doesn't let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The reason, as an open connection is told when it ends.
    Said(String),
    /// The certificate was revoked: a new connection is told no more than that, by a TLS alert.
    Revoked,
}

impl Refusal {
    fn of(status: &tonic::Status) -> Option<Self> {
        if status.code() == Code::PermissionDenied {
            let reason = status.message().strip_prefix(GATE)?;
            return Some(Self::Said(reason.to_owned()));
        }
        let mut cause = std::error::Error::source(status);
        while let Some(error) = cause {
            if error.to_string().contains(REVOKED) {
                return Some(Self::Revoked);
            }
            cause = error.source();
        }
        None
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(reason) => f.write_str(reason),
            Self::Revoked => f.write_str("its certificate was revoked"),
        }
    }
}

/// An endpoint's last word: its own, or, where there is a source, that of the connection to it.
///
/// A plain gRPC status prints its sources as program text; this one leaves them to whoever prints the chain.
#[derive(Debug)]
pub struct Reply(Box<tonic::Status>);

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.message() {
            "" => write!(f, "{}", self.0.code()),
            message => f.write_str(message),
        }
    }
}

impl std::error::Error for Reply {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.0)
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;

    fn internal(source: Option<io::ErrorKind>) -> tonic::Status {
        let mut status = tonic::Status::internal("h2 protocol error: http2 error");
        if let Some(kind) = source {
            status.set_source(Arc::new(io::Error::from(kind)));
        }
        status
    }

    #[test]
    fn a_connection_that_breaks_in_a_request_is_no_refusal() {
        // It once was: a store that restarted gave 500, of writes too that had happened.
        let reset = Some(io::ErrorKind::ConnectionReset);
        for writes in [true, false] {
            let error = Error::from_status("try", writes, internal(reset));
            assert!(error.is_transient(), "{error}");
            assert!(
                matches!(error, Error::Unavailable { outcome_known, .. } if outcome_known != writes)
            );
        }
        let answer = Error::from_status("try", true, internal(None));
        assert!(matches!(answer, Error::Refused { .. }), "{answer}");
    }

    #[test]
    fn a_store_that_shuts_us_out_says_why() {
        let text = "kine-shim: cluster c2 was revoked: stolen";
        let error = Error::from_status("try", true, tonic::Status::permission_denied(text));
        assert!(
            matches!(&error, Error::NotAdmitted(Refusal::Said(reason)) if reason == "cluster c2 was revoked: stolen"),
            "{error}"
        );
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRevoked);
        let mut status = tonic::Status::unavailable("transport error");
        status.set_source(Arc::new(io::Error::new(io::ErrorKind::InvalidData, alert)));
        let error = Error::from_status("try", true, status);
        assert!(
            matches!(error, Error::NotAdmitted(Refusal::Revoked)),
            "{error}"
        );
        // Rights inside of an etcd are another matter.
        let text = "etcdserver: permission denied";
        let error = Error::from_status("try", true, tonic::Status::permission_denied(text));
        assert!(matches!(error, Error::Refused { .. }), "{error}");
    }

    #[test]
    fn a_write_that_never_left_changed_nothing() {
        let mut status = tonic::Status::unavailable("tcp connect error");
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        status.set_source(Arc::new(refused));
        let error = Error::from_status("try", true, status);
        assert!(matches!(
            error,
            Error::Unavailable {
                outcome_known: true,
                ..
            }
        ));
    }
}
