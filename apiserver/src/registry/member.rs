//! Members and join tokens, as far as they differ from other objects.

use helium_apimachinery::Status;
use helium_apimachinery::field::ErrorList;
use helium_apimachinery::meta::Object;
use helium_apimachinery::status::Result;
use std::sync::atomic::Ordering;

use super::call::Call;
use super::collection::Freshness;
use super::error;
use crate::definitions::Special;
use crate::members::rules::{self, Origin};
use crate::members::{Roster, heartbeat};

impl Call<'_> {
    /// Brings what is known of the members to the store's present before one of them is written: its rules look at
    /// all of them.
    pub(super) async fn refresh_members(&self) -> Result<()> {
        if self.live.resource.special != Special::Member {
            return Ok(());
        }
        match self.make_cache_fresh().await {
            Ok(()) => Ok(()),
            Err(Freshness::Lagging) => Err(error::lagging()),
            Err(Freshness::Failed(status)) => Err(status),
        }
    }

    /// Completes and judges a member that is written through this cluster.
    pub(super) fn admit_member(
        &self,
        object: &mut Object,
        old: Option<&Object>,
    ) -> std::result::Result<(), ErrorList> {
        let snapshot = self.live.cache.snapshot("", None);
        let objects = snapshot.entries.iter().map(|entry| &entry.object);
        let roster = Roster::new(objects, snapshot.revision);
        let origin = Origin {
            cluster: &self.registry.cluster,
            administers: self.request.administers,
            roster: &roster,
        };
        let admitted = rules::admit(object, old, origin)?;
        let judged_at = if admitted.trust_changed {
            snapshot.revision
        } else {
            0
        };
        self.members_judged_at.store(judged_at, Ordering::Relaxed);
        Ok(())
    }

    /// Refuses to write another member's heartbeat.
    pub(super) fn check_heartbeat(&self, lease: &str) -> Result<()> {
        if self.live.resource.special != Special::Lease {
            return Ok(());
        }
        let roster = self.registry.members.roster();
        match heartbeat::refused(&self.namespace, lease, &self.registry.cluster, &roster) {
            None => Ok(()),
            Some(why) => Err(Status::forbidden(&self.group_resource(), lease, why)),
        }
    }

    /// The condition that no member has changed since the write was judged, if that matters: two members must not
    /// come to list one authority.
    pub(super) fn members_unmoved(&self) -> Option<(String, i64)> {
        let at = self.members_judged_at.load(Ordering::Relaxed);
        (at > 0).then(|| (self.key(""), at))
    }
}
