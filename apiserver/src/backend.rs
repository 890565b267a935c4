//! The seam between the server half and the registry half.
//!
//! The server half hands over requests that are authenticated, authorised and within limits;
//! the registry half turns them into answers. Neither knows how the other works.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Response};
use parking_lot::Mutex;

use crate::authn::UserInfo;
use crate::request_info::{ResourceTarget, Verb};

/// Body of every answer: whole, or a stream for watches.
pub type Body = axum::body::Body;

/// A request for a resource that has passed authentication and authorization.
#[derive(Debug, Clone)]
pub struct ApiRequest {
    /// The verb that was authorised.
    pub verb: Verb,
    /// The resource that was authorised.
    pub target: ResourceTarget,
    /// Whether the user may decide who belongs to the fleet: the verb `administer` on the member. Asked for writes of members
    /// only, and false for everything else.
    pub administers: bool,
    /// Who asks. Groups include `system:authenticated` unless the user is anonymous.
    pub user: UserInfo,
    /// Raw query string, without the question mark.
    pub query: String,
    /// Request headers, with credentials and identity headers removed.
    pub headers: HeaderMap,
    /// The whole body; at most the configured limit.
    pub body: Bytes,
    /// Where warnings for the client go; they become `Warning` headers of the answer.
    pub warnings: WarningSink,
}

/// What answers requests for resources.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Answers one request. Errors are answers too: a `Status` body with its HTTP code.
    ///
    /// A resource that nobody serves is a plain-text 404 (`404 page not found`) if that is certain,
    /// else 503. Dropping the future cancels the request; an answer whose body is a stream ends when the
    /// body is dropped.
    async fn handle(&self, request: ApiRequest) -> Response<Body>;

    /// Answers a request to join the fleet, whose body it is; nobody was authenticated. Where nobody can join, the path
    /// means nothing.
    async fn join(&self, _body: Bytes) -> Response<Body> {
        crate::handler::respond::page_not_found()
    }

    /// Whether everything that the server will serve is installed. While false, the server answers
    /// 503 for all but health. Once true it stays true.
    fn is_started(&self) -> bool;
}

/// Collects warnings for the client of one request.
#[derive(Debug, Clone, Default)]
pub struct WarningSink(Arc<Mutex<Vec<String>>>);

impl WarningSink {
    /// Adds a warning; one that was added before is dropped.
    pub fn add(&self, text: impl Into<String>) {
        let text = text.into();
        let mut warnings = self.0.lock();
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// Takes all warnings, in the order in which they were added.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}
