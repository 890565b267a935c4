//! Keeps clusters from harming each other's shared objects, without their meaning to.
//!
//! A cluster's own controllers treat whatever its API shows as the cluster's: its namespace controller deletes everything
//! in a namespace that goes away, its garbage collector deletes objects whose owners it can't find. Both are
//! told by their user names; what they ask is answered in a way that lets the *cluster* go on while the shared
//! objects stay.
//!
//! Invariants:
//! - **G1** Only those identities are guarded: what an administrator asks, an administrator gets.
//! - **G2** What a guard answers for a namespace that a cluster leaves is answered from memory, so that no cluster's
//!   namespaces hang when the store is down. What follows from it is [`crate::departures`]' business.
//! - **G3** Where a cluster runs all its controllers under one identity, the kind of call tells them apart: calls on
//!   a collection inside a namespace are the namespace controller's, those on single objects the garbage collector's.
//! - **G4** No collector's haste costs another cluster its own objects: the finalizer `orphan` of a shared owner falls only after
//!   every collector has had time to act on it ([`orphaning`]).
//!
//! What it will not do: decide who may do what; requests were authorised before.

mod orphaning;

use std::sync::Arc;

use tokio::time::Instant;

use crate::authn::UserInfo;
use crate::backend::ApiRequest;
use crate::config::Config;
use crate::definitions::{NamespaceDeletion, Resource};
use crate::request_info::Verb;
use orphaning::Orphaning;

/// The identity of a controller manager whose controllers don't have their own.
const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";

/// What is to be done about a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: serve it.
    Pass,
    /// The cluster leaves a namespace: answer as if there was nothing to list or delete.
    Leaves,
    /// The cluster's own objects go with its namespace; without the store, as soon as it is back.
    TakesHome {
        /// Whether the caller can be no other controller than the namespace controller.
        sure: bool,
    },
    /// The objects keep the namespace: refuse their deletion, if there are any.
    Blocks,
}

/// Knows the identities that are guarded.
#[derive(Debug, Clone)]
pub struct Guard {
    namespace_controllers: Vec<String>,
    garbage_collectors: Vec<String>,
    orphaning: Arc<Orphaning>,
}

impl Guard {
    /// A guard for the identities that the configuration names.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            namespace_controllers: config.namespace_controllers.clone(),
            garbage_collectors: config.garbage_collectors.clone(),
            orphaning: Arc::default(),
        }
    }

    /// Judges a request for a resource.
    #[must_use]
    pub fn judge(&self, request: &ApiRequest, resource: &Resource) -> Verdict {
        if !self.leaves_namespace(request, resource) {
            return Verdict::Pass;
        }
        match resource.sharing.namespace_deletion {
            NamespaceDeletion::Detach | NamespaceDeletion::Cascade => Verdict::Leaves,
            NamespaceDeletion::HomeOnly => Verdict::TakesHome {
                sure: self.is_namespace_controller(&request.user),
            },
            NamespaceDeletion::Block => Verdict::Blocks,
        }
    }

    /// Whether a user is one of the cluster's own controllers that are guarded.
    #[must_use]
    pub fn knows(&self, user: &UserInfo) -> bool {
        self.is_collector(user) || self.namespace_controllers.contains(&user.name)
    }

    /// Whether a request is a namespace controller's that empties a namespace which the cluster leaves.
    #[must_use]
    pub fn leaves_namespace(&self, request: &ApiRequest, resource: &Resource) -> bool {
        let namespaced = resource.definition.scope.is_namespaced();
        if !namespaced || request.target.namespace.is_none() {
            return false;
        }
        let own_identity = self.is_namespace_controller(&request.user);
        match request.verb {
            Verb::DeleteCollection | Verb::List => {
                own_identity || request.user.name == CONTROLLER_MANAGER
            }
            Verb::Delete => own_identity,
            _ => false,
        }
    }

    /// Whether a collector may let an owner of this uid go, whose dependents are to be orphaned (G4). The first time that it is
    /// asked of an owner it may not.
    #[must_use]
    pub fn may_end_orphaning(&self, uid: &str) -> bool {
        self.orphaning.is_due(uid, Instant::now())
    }

    /// Whether a user is the namespace controller and can be no other.
    fn is_namespace_controller(&self, user: &UserInfo) -> bool {
        user.name != CONTROLLER_MANAGER && self.namespace_controllers.contains(&user.name)
    }

    /// Whether a user is a cluster's garbage collector (or may be, where identities are shared).
    #[must_use]
    pub fn is_collector(&self, user: &UserInfo) -> bool {
        user.name == CONTROLLER_MANAGER || self.garbage_collectors.contains(&user.name)
    }
}
