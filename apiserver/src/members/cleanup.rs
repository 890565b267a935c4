//! The end of a member: what the cluster leaves behind goes first, then the member.
//!
//! A member that is deleted keeps its finalizer until everything that is only its own is settled: its objects of
//! per-cluster kinds (their finalizers notwithstanding: nobody is left to heed them), its entries in the status of
//! definitions and of failover groups, its heartbeat, its departures from namespaces. What all clusters share stays.
//!
//! Every server does this, whichever notices: the cluster that leaves, or any other one when that is gone for good. It is made
//! of conditional writes, each of which may be done by anybody and again, so a server that stops in the middle leaves
//! work for the next and nothing else. The member goes when a look has found nothing any more, and not at once, so that
//! servers that learn late of the deletion have learnt of it.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use helium_apimachinery::meta::Object;
use helium_apimachinery::metadata_rules;
use helium_failover::kind::FAILOVER_GROUPS;
use helium_telemetry::Chain;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{FINALIZER, heartbeat};
use crate::cache::{Cache, Entry};
use crate::definitions::SharingScope;
use crate::definitions::builtin::{DEFINITIONS, HELIUM_GROUP, LEASE_GROUP};
use crate::departures::KindsSource;
use crate::failover;
use crate::storage::{Alongside, Beside, Prefix, Record, Result, Store, codec};

/// Records that are read at once.
const PAGE: i64 = 500;
/// How often it is looked again while a member leaves.
const RECHECK: Duration = Duration::from_secs(1);
/// How long a member that leaves is watched at least.
const SETTLE: Duration = Duration::from_secs(2);

/// Settles what members leave behind.
pub(crate) struct Cleanup {
    store: Store,
    members: Cache,
    kinds: KindsSource,
    /// Since when members have been seen to leave, by uid.
    leaving: HashMap<String, Instant>,
}

impl Cleanup {
    /// Looks at what the members' cache shows.
    pub(crate) fn new(store: Store, members: Cache, kinds: KindsSource) -> Self {
        Self {
            store,
            members,
            kinds,
            leaving: HashMap::new(),
        }
    }

    /// Works until cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut changed = self.members.changes();
        loop {
            changed.borrow_and_update();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.round() => {}
            }
            let again = !self.leaving.is_empty();
            tokio::select! {
                () = stop.cancelled() => return,
                // The sender lives as long as the cache that we hold.
                _ = changed.changed(), if !again => {}
                () = tokio::time::sleep(RECHECK), if again => {}
            }
        }
    }

    async fn round(&mut self) {
        let entries = self.members.snapshot("", None).entries;
        let mut leaving = HashMap::new();
        for entry in entries.iter().filter(|entry| waits(&entry.object)) {
            let uid = entry.object.uid().to_owned();
            let since = self.leaving.get(&uid).copied();
            let since = since.unwrap_or_else(Instant::now);
            leaving.insert(uid, since);
            let settled = since.elapsed() >= SETTLE;
            if let Err(error) = self.settle(entry, settled).await {
                tracing::debug!(member = entry.key, error = %Chain(&error), "settling failed");
            }
        }
        self.leaving = leaving;
    }

    /// Goes on with one member; lets it go if nothing is left and enough time has passed.
    async fn settle(&self, member: &Entry, settled: bool) -> Result<()> {
        let cluster = member.object.name();
        let definitions = self.read_definitions().await?;
        let mut found = 0;
        for prefix in self.own_objects(cluster, &definitions) {
            found += self.delete_all(&prefix, |_| true).await?;
        }
        found += self.forget_in(&definitions, cluster).await?;
        found += self.forget_in_groups(cluster).await?;
        found += self.delete_heartbeat(cluster).await?;
        let departed = format!("/{cluster}");
        let departures = self.store.keys().departures();
        found += self
            .delete_all(&departures, |key| key.ends_with(&departed))
            .await?;
        if found > 0 {
            tracing::info!(cluster, found, "settled what a member left behind");
            return Ok(());
        }
        if settled {
            self.release(member).await?;
        }
        Ok(())
    }

    /// All definitions as the store has them now; what can't be read has no objects.
    async fn read_definitions(&self) -> Result<Vec<(Record, Object)>> {
        let prefix = self.store.keys().resource(HELIUM_GROUP, DEFINITIONS, None);
        let mut definitions = Vec::new();
        let mut portions = Portions::of(&self.store, &prefix);
        while let Some(records) = portions.next().await? {
            for record in records {
                if let Ok(object) = codec::decode(&record) {
                    definitions.push((record, object));
                }
            }
        }
        Ok(definitions)
    }

    /// Where a cluster's own objects are: of every kind that is declared, served or not, and of those that are built in.
    fn own_objects(&self, cluster: &str, definitions: &[(Record, Object)]) -> Vec<Prefix> {
        let served = (self.kinds)();
        let built_in = served
            .iter()
            .filter(|kind| kind.sharing.scope == SharingScope::PerCluster)
            .map(|kind| (kind.home_group.clone(), kind.home_plural.clone()));
        let declared = definitions.iter().filter_map(|(_, object)| {
            let spec = object.get("spec")?;
            let text = |pointer: &str| spec.pointer(pointer).and_then(Value::as_str);
            (text("/sharing/scope") == Some("PerCluster")).then(|| {
                Some((
                    text("/group")?.to_owned(),
                    text("/names/plural")?.to_owned(),
                ))
            })?
        });
        let kinds: BTreeSet<_> = built_in.chain(declared).collect();
        let keys = self.store.keys();
        kinds
            .iter()
            .map(|(group, plural)| keys.resource(group, plural, Some(cluster)))
            .collect()
    }

    /// Deletes what is under a prefix and meant; tells how much that was.
    async fn delete_all(
        &self,
        prefix: &Prefix,
        meant: impl Fn(&str) -> bool + Send,
    ) -> Result<usize> {
        let mut found = 0;
        let mut portions = Portions::of(&self.store, prefix);
        while let Some(records) = portions.next().await? {
            for record in records {
                if let Ok(key) = std::str::from_utf8(&record.key)
                    && meant(key)
                {
                    found += 1;
                    self.store.delete(key, record.revision).await?;
                }
            }
        }
        Ok(found)
    }

    /// Removes the cluster's entry from the status of definitions; tells how many had one.
    async fn forget_in(&self, definitions: &[(Record, Object)], cluster: &str) -> Result<usize> {
        let mut found = 0;
        for (record, object) in definitions {
            let mut object = object.clone();
            let Some(status) = object.get("status") else {
                continue;
            };
            let mut status = status.clone();
            let Some(entries) = status.get_mut("clusters").and_then(Value::as_array_mut) else {
                continue;
            };
            let before = entries.len();
            entries.retain(|entry| entry["name"] != cluster);
            if entries.len() == before {
                continue;
            }
            found += 1;
            object.set("status", status);
            let Ok(key) = std::str::from_utf8(&record.key) else {
                continue;
            };
            let value = codec::encode(&object);
            // Whoever was faster made it new: it is read again.
            self.store.update(key, record.revision, value).await?;
        }
        Ok(found)
    }

    /// Removes the cluster's entry from the status of failover groups; tells how many had one. Who leads stays: that is the
    /// lease's to say.
    async fn forget_in_groups(&self, cluster: &str) -> Result<usize> {
        let mut found = 0;
        let keys = self.store.keys();
        let prefix = keys.resource(HELIUM_GROUP, FAILOVER_GROUPS, None);
        let mut portions = Portions::of(&self.store, &prefix);
        while let Some(records) = portions.next().await? {
            for record in records {
                let (Ok(mut group), Ok(key)) =
                    (codec::decode(&record), std::str::from_utf8(&record.key))
                else {
                    continue;
                };
                failover::complete(&mut group, record.revision);
                if failover::forget(&mut group, cluster) {
                    found += 1;
                    let value = codec::encode(&group);
                    self.store.update(key, record.revision, value).await?;
                }
            }
        }
        Ok(found)
    }

    /// Deletes the lease that the cluster renewed, with its term.
    async fn delete_heartbeat(&self, cluster: &str) -> Result<usize> {
        let name = heartbeat::name(cluster);
        let keys = self.store.keys();
        let leases = keys.resource(LEASE_GROUP, "leases", None);
        let key = leases.key(&Prefix::relative(Some(heartbeat::NAMESPACE), &name));
        let Some(record) = self.store.get(&key).await? else {
            return Ok(0);
        };
        let along = Alongside {
            besides: vec![Beside::Delete(keys.term(heartbeat::NAMESPACE, &name))],
            ..Alongside::default()
        };
        self.store
            .delete_with(&key, record.revision, &along)
            .await?;
        Ok(1)
    }

    /// Drops our finalizer, and the member if it was the last.
    async fn release(&self, member: &Entry) -> Result<()> {
        let key = self.members.prefix().key(&member.key);
        let mut object = member.object.clone();
        let kept: Vec<String> = object
            .finalizers()
            .into_iter()
            .filter(|finalizer| *finalizer != FINALIZER)
            .map(str::to_owned)
            .collect();
        object.set_finalizers(&kept);
        if metadata_rules::completes_deletion(&object) {
            self.store.delete(&key, member.revision).await?;
            tracing::info!(cluster = member.key, "a cluster has left the fleet");
        } else {
            let value = codec::encode(&object);
            self.store.update(&key, member.revision, value).await?;
        }
        Ok(())
    }
}

/// Reads what is under a prefix in portions, as of one revision.
struct Portions<'a> {
    store: &'a Store,
    prefix: &'a Prefix,
    start: Option<Vec<u8>>,
    revision: i64,
    done: bool,
}

impl<'a> Portions<'a> {
    fn of(store: &'a Store, prefix: &'a Prefix) -> Self {
        Self {
            store,
            prefix,
            start: None,
            revision: 0,
            done: false,
        }
    }

    /// The next portion; `None` behind the last.
    async fn next(&mut self) -> Result<Option<Vec<Record>>> {
        if self.done {
            return Ok(None);
        }
        let (scope, start) = (self.prefix.as_str(), self.start.as_deref());
        let page = self.store.page(scope, start, PAGE, self.revision).await?;
        self.revision = page.revision;
        self.done = page.remaining == 0;
        let last = page.records.last();
        self.start = last.map(|record| [&record.key[..], b"\0"].concat());
        Ok(Some(page.records))
    }
}

/// Whether a member is being deleted and waits for us.
fn waits(member: &Object) -> bool {
    member.is_terminating() && member.finalizers().contains(&FINALIZER)
}
