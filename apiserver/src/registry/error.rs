//! Failures of the layers below as API errors.

use bytes::Bytes;
use helium_apimachinery::Status;
use helium_telemetry::Chain;
use http::{HeaderValue, Response, StatusCode, header};

use crate::backend::Body;
use crate::cache::{DecodeError, Unready};
use crate::storage::Error;

/// Seconds after which a client may try again.
const RETRY_AFTER: u32 = 1;
// What went wrong between us and the store is for the log; these are for whoever asked.
const UNREACHABLE: &str = "the shared store can't be reached, so nothing was changed; try again, and if this lasts, \
    have the store that this API server's --etcd-servers name looked at";
const SILENT: &str = "the shared store didn't answer in time; try again, and if this lasts, \
    have the store that this API server's --etcd-servers name looked at";
const LEASE_GONE: &str = "the store has just lost what the object should expire with";
const UNDECIDED: &str = "the shared store didn't confirm the write, which may have happened or not; \
    read the object before you try again";

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable {
                outcome_known: true,
                ..
            } => {
                tracing::debug!(error = %Chain(&error), "no store for a request");
                Self::service_unavailable(UNREACHABLE).with_retry_after(RETRY_AFTER)
            }
            Error::Timeout {
                outcome_known: true,
                ..
            } => {
                tracing::debug!(error = %Chain(&error), "no store for a request");
                Self::timeout(SILENT, RETRY_AFTER)
            }
            Error::Unavailable {
                outcome_known: false,
                ..
            }
            | Error::Timeout {
                outcome_known: false,
                ..
            }
            | Error::Overtaken { .. } => {
                tracing::debug!(error = %Chain(&error), "a write with an unknown outcome");
                Self::timeout_undecided(UNDECIDED)
            }
            Error::LeaseGone => Self::service_unavailable(LEASE_GONE).with_retry_after(RETRY_AFTER),
            Error::NotAdmitted(_) => {
                tracing::debug!(error = %Chain(&error), "no store for a request");
                Self::service_unavailable(error.to_string()).with_retry_after(RETRY_AFTER)
            }
            Error::Compacted { .. } => Self::expired_list(),
            Error::FutureRevision => Self::timeout("Too large resource version", 1),
            Error::TooLarge => Self::too_large("the object is larger than the store takes"),
            Error::Refused { .. } | Error::Config { .. } | Error::Tls(_) => {
                tracing::warn!(%error, "the store refused a request");
                Self::internal(error)
            }
        }
    }
}

/// A store that is known to be down.
pub(super) fn unreachable() -> Status {
    Status::service_unavailable(UNREACHABLE).with_retry_after(RETRY_AFTER)
}

/// A cache that can't answer yet.
pub(super) fn unready(unready: Unready) -> Status {
    match unready {
        Unready::Loading => Status::service_unavailable("the shared store has not been read yet")
            .with_retry_after(RETRY_AFTER),
        Unready::Behind { wanted, current } => too_large_version(wanted, current),
    }
}

/// A cache that is behind the store, for what must be fresh.
pub(super) fn lagging() -> Status {
    Status::service_unavailable("the cache has not caught up with the shared store")
        .with_retry_after(RETRY_AFTER)
}

/// Definitions that aren't known yet, so that nothing can be called unknown.
pub(super) fn definitions_unread() -> Status {
    Status::service_unavailable("the definitions have not been read yet")
        .with_retry_after(RETRY_AFTER)
}

/// A resourceVersion that hasn't been reached.
pub(super) fn too_large_version(wanted: i64, current: i64) -> Status {
    Status::resource_version_too_large(wanted.unsigned_abs(), current.unsigned_abs())
}

/// A stored object that can't be read.
pub(super) fn unreadable(error: &DecodeError) -> Status {
    tracing::warn!(%error, "a stored object can't be read");
    Status::internal(error)
}

/// A resourceVersion as a revision; what no revision can be is in the future.
pub(super) fn revision(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

/// The answer that is a `Status`.
pub(super) fn response(status: &Status) -> Response<Body> {
    let body = serde_json::to_vec(&status.to_value()).unwrap_or_default();
    let code = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(code, Bytes::from(body));
    if let Some(seconds) = status.retry_after_seconds() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The answer for a path that certainly means nothing.
pub(super) fn unknown_path() -> Response<Body> {
    let mut response = Response::new(Body::from("404 page not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// A whole JSON answer.
pub(super) fn json(code: StatusCode, body: Bytes) -> Response<Body> {
    with_type(code, "application/json", Body::from(body))
}

/// An answer of a media type.
pub(super) fn with_type(code: StatusCode, media: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
