//! `controlplanes/<name>/proxy/…`: a whole API under one path of the cluster's own API server.
//!
//! What stands behind `proxy` is answered as if it had been asked of this server directly, so that a client with nothing but its
//! cluster's own address and credentials reaches `coordination.k8s.io` and every shared group by appending a path to its server
//! URL. The request is authorised twice: as `<verb> controlplanes/proxy` (whoever reaches this module may do that), and
//! again as what it really asks for, under the shared group's name (Z3). No request leaves this process.

use bytes::Bytes;
use helium_apimachinery::gvk::GroupResource;
use helium_apimachinery::status::Status;
use http::Response;

use super::{Handler, Head, deadline, respond};
use crate::authn::Identity;
use crate::backend::Body;
use crate::definitions::builtin::{CONTROL_PLANES, FLEET, HELIUM_GROUP, PROXY};
use crate::discovery::Audience;
use crate::request_info::{RequestInfo, ResourceTarget};

/// Segments before what is proxied: `apis/helium.dev/v1/controlplanes/<name>/proxy`.
const OUTER_SEGMENTS: usize = 6;

/// Whether a request is for what is behind a control plane.
pub(super) fn is_proxied(target: &ResourceTarget) -> bool {
    target.group == HELIUM_GROUP
        && target.resource == CONTROL_PLANES
        && target.subresource.as_deref() == Some(PROXY)
}

/// The path behind `proxy`, as it was sent.
fn inner_path(path: &str) -> String {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    let inner: Vec<&str> = segments.skip(OUTER_SEGMENTS).collect();
    format!("/{}", inner.join("/"))
}

impl Handler {
    /// Answers what is behind a control plane. The outer request has been authorised.
    pub(super) async fn answer_proxied<B>(
        &self,
        target: &ResourceTarget,
        identity: Identity,
        head: Head<'_>,
        body: B,
    ) -> Result<Response<Body>, Status>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let name = target.name.as_deref().unwrap_or_default();
        if name != FLEET {
            let resource = GroupResource::new(HELIUM_GROUP, CONTROL_PLANES);
            return Err(Status::not_found(&resource, name));
        }
        let info = RequestInfo::parse(&head.method, &inner_path(&head.info.path), &head.query);
        if info.target.as_ref().is_some_and(is_proxied) {
            return Err(Status::bad_request(
                "a control plane is not reached through another one: name its path once",
            ));
        }
        let limit = deadline(&head.query, self.limits.request_timeout)?;
        let lasting = info.is_long_running();
        let head = Head {
            info: &info,
            method: head.method,
            query: head.query,
            headers: head.headers,
            warnings: head.warnings,
            audience: Some(Audience::Direct),
        };
        let _place = self.enter(&identity, &info)?;
        let catalog = self.catalog.catalog();
        self.authorize(&identity, &head, &catalog).await?;
        let answer = async {
            match info.target.clone() {
                Some(target) => self.answer_resource(target, identity, head, body).await,
                None => Ok(self.answer_path(&identity, &head, &catalog).await),
            }
        };
        if lasting {
            return answer.await;
        }
        tokio::time::timeout(limit, answer)
            .await
            .unwrap_or_else(|_| {
                Ok(respond::status(&Status::timeout(
                    "request did not complete within the allotted timeout",
                    0,
                )))
            })
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn what_is_behind_is_a_path_of_its_own() {
        let base = "/apis/helium.dev/v1/controlplanes/fleet/proxy";
        let cases = [
            ("", "/"),
            ("/", "/"),
            ("/apis", "/apis"),
            ("/api/v1/namespaces/a%2Fb", "/api/v1/namespaces/a%2Fb"),
        ];
        for (behind, inner) in cases {
            let path = format!("{base}{behind}");
            let target = RequestInfo::parse(&Method::GET, &path, "").target;
            assert!(is_proxied(&target.unwrap()), "{path}");
            assert_eq!(inner_path(&path), inner);
        }
        for path in [
            "/apis/helium.dev/v1/controlplanes/fleet",
            "/apis/helium.dev/v1/members/a/proxy",
            "/apis/example.com/v1/controlplanes/fleet/proxy",
        ] {
            let target = RequestInfo::parse(&Method::GET, path, "").target;
            assert!(!is_proxied(&target.unwrap()), "{path}");
        }
    }
}
