//! `controlplanes/<name>/proxy/…`: a whole API under one path of the cluster's own API server.
//!
//! What stands behind `proxy` is answered as if it had been asked of this server directly, so that a client with nothing but its
//! cluster's own address and credentials reaches `coordination.k8s.io` and every shared group by appending a path to its server
//! URL. The request is authorised twice: as `<verb> controlplanes/proxy` (whoever reaches this module may do that), and
//! again as what it really asks for, under the shared group's name (Z3). No request leaves this process.

use bytes::Bytes;
use helium_apimachinery::gvk::GroupResource;
use helium_apimachinery::status::Status;
use http::{Method, Response};

use super::{Handler, Head};
use crate::authn::Identity;
use crate::backend::Body;
use crate::definitions::builtin::{CONTROL_PLANES, FLEET, HELIUM_GROUP, PROXY};
use crate::discovery::Audience;
use crate::request_info::{RequestInfo, ResourceTarget};

/// Segments before what is proxied: `apis/helium.dev/v1/controlplanes/<name>/proxy`.
const OUTER_SEGMENTS: usize = 6;

/// What a request asks for behind a control plane, if it is for one's proxy.
pub(super) fn behind(info: &RequestInfo, method: &Method, query: &str) -> Option<RequestInfo> {
    let target = info.target.as_ref()?;
    is_proxied(target).then(|| RequestInfo::parse(method, &inner_path(&info.path), query))
}

fn is_proxied(target: &ResourceTarget) -> bool {
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
    /// Answers what is behind a control plane. The way there has been authorised.
    pub(super) async fn answer_behind<B>(
        &self,
        behind: &RequestInfo,
        identity: Identity,
        head: Head<'_>,
        body: B,
    ) -> Result<Response<Body>, Status>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let outer = head.info.target.as_ref();
        let name = outer.and_then(|outer| outer.name.as_deref());
        if name != Some(FLEET) {
            let resource = GroupResource::new(HELIUM_GROUP, CONTROL_PLANES);
            return Err(Status::not_found(&resource, name.unwrap_or_default()));
        }
        if behind.target.as_ref().is_some_and(is_proxied) {
            return Err(Status::bad_request(
                "a control plane is not reached through another one: name its path once",
            ));
        }
        let head = Head {
            info: behind,
            audience: Some(Audience::Direct),
            ..head
        };
        let _place = self.enter(&identity, behind)?;
        let catalog = self.catalog.catalog();
        self.authorize(&identity, &head, &catalog).await?;
        match behind.target.clone() {
            Some(target) => self.answer_resource(target, identity, head, body).await,
            None => Ok(self.answer_path(&identity, &head, &catalog).await),
        }
    }
}

#[cfg(test)]
mod tests {
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
