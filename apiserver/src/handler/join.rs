//! `POST /join` on the wire: who may ask, and how often. What it means is [`crate::members::join`]'s.

use bytes::Bytes;
use helium_apimachinery::gvk::GroupResource;
use helium_apimachinery::status::Status;
use http::{HeaderValue, Method, Response, StatusCode, header};

use super::{Handler, Head, respond};
use crate::authn::peer::Peer;
use crate::backend::Body;
use crate::members::join::gate::Closed;
use crate::members::join::{MAX_BODY_BYTES, PATH};

/// Whether a path is the one where clusters join.
pub(super) fn is_join(path: &str) -> bool {
    path.trim_end_matches('/') == PATH
}

impl Handler {
    /// Answers a request to join, before anybody is asked who they are: the token that it shows is its credential.
    pub(super) async fn answer_join<B>(
        &self,
        peer: &Peer,
        head: &Head<'_>,
        body: B,
    ) -> Result<Response<Body>, Status>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        if head.method != Method::POST {
            let mut response =
                respond::text(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n");
            let post = HeaderValue::from_static("POST");
            response.headers_mut().insert(header::ALLOW, post);
            return Ok(response);
        }
        // Whoever comes through a cluster's own API is somebody already, and that cluster's, not a new one's.
        if self.authenticator.is_front_proxy(peer) {
            let why =
                "clusters join on this server's own endpoint, not through a cluster's API server";
            return Err(Status::forbidden(&GroupResource::default(), "", why));
        }
        let address = peer.address().map(|address| address.ip());
        let _place = self.join.enter(address).map_err(|closed| match closed {
            Closed::Full => {
                Status::too_many_requests("others are joining just now, please try again later.", 1)
            }
            Closed::TooOften(seconds) => Status::too_many_requests(
                format!("too many wrong tokens from this address; try again in {seconds} s"),
                seconds,
            ),
        })?;
        let body = self.read(body, MAX_BODY_BYTES).await?;
        if !self.backend.is_started() {
            return Ok(respond::starting());
        }
        let response = self.backend.join(body).await;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.join.was_wrong(address);
        }
        Ok(response)
    }
}
