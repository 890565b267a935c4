//! Writes that the server makes by itself, as requests like any other: with their rules, terms and tokens.

use async_trait::async_trait;
use bytes::Bytes;
use helium_apimachinery::Status;
use helium_apimachinery::status::Result;
use http::{HeaderMap, HeaderValue, Method, header};

use super::Registry;
use super::call::Call;
use crate::authn::UserInfo;
use crate::backend::{ApiRequest, WarningSink};
use crate::coordinator::{Act, Writer};
use crate::members::Members;
use crate::request_info::RequestInfo;

const MERGE: HeaderValue = HeaderValue::from_static("application/merge-patch+json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

#[async_trait]
impl Writer for Registry {
    async fn act(&self, act: &Act) -> Result<()> {
        let request = request(act)?;
        let target = &request.target;
        let unknown = || Status::service_unavailable("the built-in kinds are not served yet");
        let live = self.find(&target.group, &target.resource);
        let live = live.ok_or_else(unknown)?;
        let mut call = Call::new(self, live, &request)?.ok_or_else(unknown)?;
        call.origin = &act.origin;
        call.run().await.map(|_| ())
    }

    fn members(&self) -> &Members {
        Registry::members(self)
    }
}

fn request(act: &Act) -> Result<ApiRequest> {
    let info = RequestInfo::parse(&act.method, &act.path, "");
    let target = info
        .target
        .ok_or_else(|| Status::internal("a write of the server's own names no resource"))?;
    let media = if act.method == Method::PATCH {
        MERGE
    } else {
        JSON
    };
    Ok(ApiRequest {
        verb: info.verb,
        target,
        administers: false,
        user: UserInfo::new(act.user, []),
        query: String::new(),
        headers: HeaderMap::from_iter([(header::CONTENT_TYPE, media)]),
        body: Bytes::from(act.body.to_string()),
        warnings: WarningSink::default(),
    })
}
