//! Lease candidates: whose they are.
//!
//! A candidate's name is its identity: a coordinator that picks it writes that name into the lease, and whoever has that name
//! believes to lead. So a name belongs to the cluster that used it first, for as long as the candidate is there. From
//! elsewhere only metadata can be changed (a priority, say), and the candidate deleted.

use helium_apimachinery::Status;
use helium_apimachinery::meta::Object;
use helium_apimachinery::status::Result;

use super::call::Call;
use crate::definitions::Special;
use crate::origin::origin;

impl Call<'_> {
    /// Whether objects of this kind belong to the cluster that made them, whoever changes them.
    pub(super) fn keeps_origin(&self) -> bool {
        self.live.resource.special == Special::LeaseCandidate
    }

    /// Refuses a change of another cluster's candidate.
    pub(super) fn check_candidate(&self, new: &Object, old: &Object) -> Result<()> {
        if !self.keeps_origin() || new.get("spec") == old.get("spec") {
            return Ok(());
        }
        let owner = origin(old);
        if owner.is_empty() || owner == self.origin {
            return Ok(());
        }
        let why = format!(
            "the candidate belongs to cluster {owner:?}, and this is cluster {:?}: a candidate's name is its identity, which must \
             differ between clusters; put the cluster's name into it",
            self.origin
        );
        Err(Status::forbidden(&self.group_resource(), old.name(), why))
    }
}
