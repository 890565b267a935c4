//! Kinds that a payload brings itself: their objects wait until they are served.

use super::plan::Planned;
use super::{Halt, Job, PAUSE};
use crate::failover::payload::kinds::Resolved;
use crate::failover::payload::trouble::{Failure, FailureReason};

impl Job<'_> {
    /// Waits until every promised kind is served.
    pub(super) async fn definitions_served(&self, planned: &[Planned]) -> Result<(), Halt> {
        for one in planned.iter().filter(|one| one.is_promised) {
            let place = &one.place;
            let gvk = (
                place.group.as_str(),
                place.version.as_str(),
                place.kind.as_str(),
            );
            loop {
                let bound = self.limits.bound().map_err(|failure| {
                    let message = format!(
                        "{failure}; kind {} of the payload's own definition isn't served yet",
                        place.kind
                    );
                    Failure::new(failure.reason, message)
                })?;
                let path = place.collection();
                let resolved = self.site.kinds.resolve(&self.site.wire, gvk, bound).await;
                // Discovery is a little ahead of what serves the objects.
                if matches!(resolved, Ok(Resolved::Known(_))) {
                    let served = self
                        .site
                        .wire
                        .list(self.who(), &path, Some(("none", "none")), bound)
                        .await;
                    match served {
                        Ok(_) => break,
                        // Rights are judged with the objects.
                        Err(refused) if refused.code() == Some(403) => break,
                        Err(refused) if refused.code() == Some(401) => {
                            let message = "the agent's credentials aren't accepted".to_owned();
                            return Err(Failure::new(FailureReason::Unauthorized, message).into());
                        }
                        Err(_) => self.site.kinds.forget(&place.group, &place.version),
                    }
                }
                self.limits.pause(PAUSE).await;
            }
        }
        Ok(())
    }
}
