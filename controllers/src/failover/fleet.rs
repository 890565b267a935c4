//! What of the fleet is followed for failover: the cluster's own MultiClusters, the groups, and their leases.
//!
//! What was last heard stays while the control plane is away, and when the credentials change.

use std::collections::BTreeMap;
use std::sync::Arc;

use helium_failover::GroupName;
use helium_failover::kind::GROUP_LABEL;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::group;
use super::member::{self, Seen};
use crate::follow::{self, Follow};

/// Objects by `namespace/name`, once they were read.
pub(super) type Objects = Option<Arc<BTreeMap<String, Arc<DynamicObject>>>>;

/// The followed kinds.
#[derive(Debug)]
pub(super) struct Fleet {
    members: Follow<DynamicObject>,
    groups: Follow<DynamicObject>,
    leases: Follow<DynamicObject>,
}

impl Fleet {
    /// Nothing is known yet; `changed` is told of each change.
    pub(super) fn new(changed: &Arc<Notify>) -> Self {
        let follow = |what| Follow::namespaced(what, Arc::clone(changed)).optional();
        Self {
            members: follow("the cluster's MultiClusters"),
            groups: follow("the failover groups"),
            leases: follow("the failover groups' leases"),
        }
    }

    /// Follows all with a client of the control plane until stopped. May be run again.
    pub(super) async fn run(&self, client: Client, stop: &CancellationToken) {
        let kind = GroupVersionKind::gvk("coordination.helium.dev", "v1", "Lease");
        let leases = ApiResource::from_gvk_with_plural(&kind, "leases");
        let watch = |client: &Client, resource: &ApiResource, config| {
            watcher::watcher(Api::all_with(client.clone(), resource), config)
        };
        let labelled = follow::settings().labels(GROUP_LABEL);
        let all = follow::settings;
        tokio::join!(
            self.members
                .run(watch(&client, &member::resource(), all()), stop.clone()),
            self.groups
                .run(watch(&client, &group::resource(), all()), stop.clone()),
            self.leases
                .run(watch(&client, &leases, labelled), stop.clone()),
        );
    }

    /// The cluster's MultiClusters.
    pub(super) fn multi_clusters(&self) -> Objects {
        self.members.objects()
    }

    /// A group and its lease.
    pub(super) fn group(&self, name: &GroupName) -> (Seen, Seen) {
        let seen = |objects: Objects, name: &str, namespace: &str| match objects {
            None => Seen::Unread,
            Some(objects) => Seen::of(objects.get(&format!("{namespace}/{name}"))),
        };
        let namespace = &name.namespace;
        (
            seen(self.groups.objects(), &name.callsign, namespace),
            seen(self.leases.objects(), &name.lease(), namespace),
        )
    }
}
