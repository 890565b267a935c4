//! Owner references, and what the garbage collectors of the clusters may do about them.
//!
//! Every cluster runs a garbage collector that looks owners up in *its* API and deletes whatever refers to
//! owners that it can't find. So a shared object may only refer to owners that all clusters find; and a collector is
//! believed only as far as the shared store confirms that the owner is gone.

use std::sync::Arc;

use helium_apimachinery::GroupVersion;
use helium_apimachinery::Status;
use helium_apimachinery::field::{ErrorList, FieldError, Path};
use helium_apimachinery::meta::{FINALIZER_FOREGROUND, FINALIZER_ORPHAN, Object, OwnerReference};
use helium_apimachinery::status::Result;
use serde_json::Value;

use super::call::Call;
use super::error;
use crate::definitions::{Exposure, OwnerReferences, Resource, SharingScope};
use crate::storage::Prefix;

/// What the store knows of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// It is there.
    Present,
    /// It is there, being deleted, and lets its dependents go first.
    Leaving,
    /// It is there, being deleted, and gives its dependents up.
    Orphaning,
    /// It certainly isn't there.
    Absent,
    /// Its kind isn't shared: nobody here can tell.
    Unknown,
    /// Its kind is the cluster's own, and so is this object: the cluster knows best.
    Local,
}

impl Call<'_> {
    /// What is wrong with the owners that an object refers to. References that it had before are left alone.
    pub(super) fn check_owners(&self, new: &Object, old: Option<&Object>) -> ErrorList {
        let mut errors = ErrorList::new();
        let sharing = self.live.resource.sharing;
        if sharing.owner_references == OwnerReferences::LocalAllowed {
            return errors;
        }
        let before = old.map(references).unwrap_or_default();
        let metadata = Path::new("metadata");
        let list = metadata.child("ownerReferences");
        for (at, owner) in references(new).iter().enumerate() {
            if before.iter().any(|known| same_owner(known, owner)) {
                continue;
            }
            if let Some(why) = self.unfit_owner(owner, new) {
                let value = format!("{}, Kind={}", owner.api_version, owner.kind);
                errors.push(FieldError::invalid(&list.index(at), value, why));
            }
        }
        errors
    }

    fn unfit_owner(&self, owner: &OwnerReference, dependent: &Object) -> Option<String> {
        let group = GroupVersion::parse(&owner.api_version).ok()?.group;
        let catalog = self.registry.catalog();
        // A kind that only this server's own endpoint serves is, in a cluster's own API, that cluster's.
        let shared = |resource: &&Arc<Resource>| resource.exposure == Exposure::Shared;
        let Some(resource) = catalog.find_kind(&group, &owner.kind).filter(shared) else {
            return Some(
                "the owner's kind is not shared by the fleet: the garbage collectors of other clusters would not find the owner and delete this object for everybody. Refer only to shared kinds"
                    .to_owned(),
            );
        };
        if resource.sharing.scope != SharingScope::Fleet {
            return Some(
                "the owner's kind has objects of its own in each cluster: other clusters would not find the owner and delete this object for everybody. Refer only to kinds of scope Fleet"
                    .to_owned(),
            );
        }
        if dependent.namespace().is_empty() && resource.definition.scope.is_namespaced() {
            return Some(
                "an object without a namespace can't be owned by one in a namespace".to_owned(),
            );
        }
        None
    }

    /// Refuses a garbage collector's deletion unless all owners are confirmed to be gone (or going).
    pub(super) async fn check_collector_delete(&self, object: &Object) -> Result<()> {
        if !self.registry.guard.is_collector(&self.request.user) {
            return Ok(());
        }
        for owner in references(object) {
            match self.look_up(&owner, object).await? {
                Owner::Absent | Owner::Leaving | Owner::Local => {}
                found => return Err(self.refuse_collector(object, &owner, found)),
            }
        }
        Ok(())
    }

    /// Refuses a garbage collector's update that drops references to owners that are there.
    pub(super) async fn check_collector_update(&self, old: &Object, new: &Object) -> Result<()> {
        if !self.registry.guard.is_collector(&self.request.user) {
            return Ok(());
        }
        self.check_orphaning(old, new)?;
        let kept = references(new);
        for owner in references(old) {
            if kept.iter().any(|other| same_owner(other, &owner)) {
                continue;
            }
            match self.look_up(&owner, old).await? {
                Owner::Absent | Owner::Leaving | Owner::Orphaning | Owner::Local => {}
                found => return Err(self.refuse_collector(old, &owner, found)),
            }
        }
        Ok(())
    }

    /// Refuses for a while that a shared owner goes whose dependents are to stay: other clusters have dependents too.
    fn check_orphaning(&self, old: &Object, new: &Object) -> Result<()> {
        let orphans = |object: &Object| object.finalizers().contains(&FINALIZER_ORPHAN);
        let shared = self.live.resource.sharing.scope == SharingScope::Fleet;
        let ends = shared && orphans(old) && !orphans(new);
        if !ends || self.is_alone() || self.registry.guard.may_end_orphaning(old.uid()) {
            return Ok(());
        }
        let why = "the garbage collectors of other clusters are given time to release their dependents first; try again";
        Err(Status::conflict(&self.group_resource(), old.name(), why))
    }

    /// Whether the fleet is known to have no other cluster.
    fn is_alone(&self) -> bool {
        let members = &self.registry.members;
        let roster = members.roster();
        let mut others = roster.active().filter(|name| *name != members.cluster());
        others.next().is_none() && roster.active().next().is_some()
    }

    fn refuse_collector(&self, object: &Object, owner: &OwnerReference, found: Owner) -> Status {
        tracing::info!(
            resource = %self.group_resource(),
            namespace = object.namespace(),
            name = object.name(),
            owner = owner.name,
            ?found,
            "kept an object from a garbage collector"
        );
        let why = format!(
            "the owner {} {:?} is not confirmed to be gone from the fleet",
            owner.kind, owner.name
        );
        Status::conflict(&self.group_resource(), object.name(), why)
    }

    /// Looks an owner up in the shared store, linearizably.
    async fn look_up(&self, owner: &OwnerReference, dependent: &Object) -> Result<Owner> {
        let Ok(version) = GroupVersion::parse(&owner.api_version) else {
            return Ok(Owner::Unknown);
        };
        let catalog = self.registry.catalog();
        let Some(resource) = catalog.find_kind(&version.group, &owner.kind) else {
            let local =
                self.live.resource.sharing.owner_references == OwnerReferences::LocalAllowed;
            return Ok(if local { Owner::Local } else { Owner::Unknown });
        };
        let Some(live) = self.registry.find(resource.group(), resource.plural()) else {
            return Ok(Owner::Unknown);
        };
        let namespaced = resource.definition.scope.is_namespaced();
        let namespace = namespaced.then(|| dependent.namespace());
        let key = live
            .cache
            .prefix()
            .key(&Prefix::relative(namespace, &owner.name));
        let Some(record) = self.registry.store.get(&key).await? else {
            return Ok(Owner::Absent);
        };
        let found = live
            .decode(&record)
            .map_err(|error| error::unreadable(&error))?;
        if found.uid() != owner.uid {
            return Ok(Owner::Absent);
        }
        let has = |finalizer: &str| {
            let list = found.meta("finalizers").and_then(Value::as_array);
            list.is_some_and(|list| list.iter().any(|entry| entry == finalizer))
        };
        Ok(if found.meta("deletionTimestamp").is_none() {
            Owner::Present
        } else if has(FINALIZER_FOREGROUND) {
            Owner::Leaving
        } else if has(FINALIZER_ORPHAN) {
            Owner::Orphaning
        } else {
            Owner::Present
        })
    }
}

fn references(object: &Object) -> Vec<OwnerReference> {
    let list = object.meta("ownerReferences").and_then(Value::as_array);
    list.map(|list| list.iter().map(OwnerReference::from_value).collect())
        .unwrap_or_default()
}

fn same_owner(a: &OwnerReference, b: &OwnerReference) -> bool {
    (&a.api_version, &a.kind, &a.name, &a.uid) == (&b.api_version, &b.kind, &b.name, &b.uid)
}
