//! Failover groups and their leases, as far as they differ from other objects ([`crate::failover`]).

use helium_apimachinery::Status;
use helium_apimachinery::meta::Object;
use helium_apimachinery::status::Result;

use super::call::Call;
use crate::definitions::Special;
use crate::failover::{self, Refusal};

impl Call<'_> {
    /// Completes and judges a lease that is a group's; others are fine.
    pub(super) fn admit_group_lease(&self, lease: &mut Object, old: Option<&Object>) -> Result<()> {
        match failover::admit_lease(lease, old, self.origin) {
            Ok(()) => Ok(()),
            Err(Refusal::Invalid(errors)) => {
                Err(Status::invalid(&self.group_kind(), lease.name(), &errors))
            }
            Err(Refusal::Forbidden(why)) => {
                Err(Status::forbidden(&self.group_resource(), lease.name(), why))
            }
        }
    }

    /// Refuses to delete what a group can't do without.
    pub(super) fn check_group_deletion(&self, stored: &Object) -> Result<()> {
        let why = match self.live.resource.special {
            Special::Lease => {
                failover::refuse_lease_deletion(stored, &|cluster| self.is_gone(cluster))
            }
            _ => None,
        };
        why.map_or(Ok(()), |why| {
            Err(Status::forbidden(
                &self.group_resource(),
                stored.name(),
                why,
            ))
        })
    }

    /// Whether a cluster is known to have left the fleet: there are members, and it is none, or was shut out.
    fn is_gone(&self, cluster: &str) -> bool {
        let roster = self.registry.members.roster();
        !roster.members().is_empty()
            && roster
                .get(cluster)
                .is_none_or(|member| member.revoked.is_some())
    }
}
