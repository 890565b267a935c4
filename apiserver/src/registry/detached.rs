//! What a cluster gets that is shut out of the fleet: enough to go on by itself, and nothing else.
//!
//! Its namespace controller finds nothing and deletes nothing, so that its namespaces can go; its garbage collector is
//! refused like everybody else, so that it takes no answer for proof that an owner is gone. All of it from memory (M4).

use helium_apimachinery::GroupResource;
use helium_apimachinery::Status;
use http::Response;

use super::call::Call;
use super::{Registry, error};
use crate::backend::{ApiRequest, Body};

impl Registry {
    /// Answers a request that comes while the cluster is shut out.
    pub(super) fn answer_detached(&self, request: &ApiRequest, why: &str) -> Response<Body> {
        let target = &request.target;
        let refused = || {
            let resource = GroupResource::new(target.group.clone(), target.resource.clone());
            let name = target.name.as_deref().unwrap_or_default();
            Status::forbidden(&resource, name, why)
        };
        let live = self.find(&target.group, &target.resource);
        let leaves = live.filter(|live| self.guard.leaves_namespace(request, &live.resource));
        let answer = match leaves.map(|live| Call::new(self, live, request)) {
            Some(Ok(Some(call))) => call.nothing_there(),
            Some(Err(status)) => Err(status),
            Some(Ok(None)) | None => Err(refused()),
        };
        answer.unwrap_or_else(|status| error::response(&status))
    }
}
