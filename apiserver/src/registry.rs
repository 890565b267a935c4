//! From an authorised request for a resource to its answer.
//!
//! One generic implementation serves every kind, built-in or declared: what differs is in the resource's definition.
//! Reads come from the watch cache or the store, as their resourceVersion asks; writes are read-change-compare-and-swap
//! loops on one key; the rules of objects are `helium_apimachinery`'s.
//!
//! Invariants:
//! - **R1** A resourceVersion is the store's revision of the object's key; of a list or bookmark, the revision of the state
//!   that it shows. A write that changes nothing writes nothing.
//! - **R2** An update is never lost: it is a compare on the revision that it was computed from. The cache may be the first
//!   guess of that revision, never the last word on an error.
//! - **R3** "Not found" is said of a resource only when the definitions have been confirmed to be fresh.
//! - **R4** Every write carries the name of the cluster that it came through, as the server knows it (of a holder that was
//!   picked, the candidate's); what clients say of it is ignored.
//! - **R5** Acquiring a lease and its fencing token are one transaction, and so are a fenced write and the look at its lease, and
//!   a term of a failover group and what the group says of it.
//! - **R6** Whatever the store does, the answer is a `Status`: 503 when nothing happened, 504 when that isn't known.
//!
//! What it will not do: authorise, limit, or time requests out (the server half does), apply server-side, or merge
//! strategically.

mod act;
mod call;
mod candidate;
mod collection;
mod control_plane;
mod create;
mod delete;
mod detached;
mod error;
mod failover;
mod fence;
mod implied;
mod join;
mod leave;
mod live;
mod member;
mod negotiate;
mod owners;
mod read;
mod render;
mod scale;
mod term;
mod update;
mod watch;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use helium_apimachinery::lease::DurationLimits;
use helium_apimachinery::{ErrorList, Status};
use http::Response;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::{ApiRequest, Backend, Body};
use crate::cache::{Cache, WindowLimits};
use crate::config::Config;
use crate::coordinator::{self, Coordinator};
use crate::definitions::builtin::{
    self, CONTROL_PLANES, DEFINITIONS, HELIUM_GROUP, LEASE_CANDIDATES, LEASE_GROUP, LEASES, MEMBERS,
};
use crate::definitions::{Catalog, Controller, LastKnown, Resource};
use crate::departures::{Cascade, Departures, KindsSource};
use crate::failover::Setback;
use crate::guard::Guard;
use crate::members::cleanup::Cleanup;
use crate::members::{Members, identity};
use crate::storage::{self, Expiry, Store};
use call::Call;
use live::Live;

/// How long a request waits for a cache that is being filled or that has to catch up.
const CACHE_WAIT: Duration = Duration::from_secs(3);

/// The registry can't be started as configured.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store's configuration can't work.
    #[error("prepare the store's client")]
    Store(#[source] storage::Error),
    /// The certificate for the store is another cluster's.
    #[error("prepare the identity for the store")]
    Identity(#[source] identity::Error),
    /// A built-in kind has an invalid schema: a defect of this program.
    #[error("install the built-in kinds")]
    Builtin(#[source] ErrorList),
}

/// The resources that are served, with their caches, by group and plural name.
type LiveSet = HashMap<(String, String), Arc<Live>>;

/// Serves every declared resource from the shared store.
pub struct Registry {
    store: Store,
    cluster: String,
    guard: Guard,
    departures: Departures,
    members: Members,
    event_expiry: Expiry,
    lease_durations: DurationLimits,
    setback: Arc<Setback>,
    catalog: ArcSwap<Catalog>,
    live: ArcSwap<LiveSet>,
    generation: AtomicU64,
    changes: tokio::sync::watch::Sender<u64>,
    /// The revision of the definitions that the catalog shows.
    published: tokio::sync::watch::Sender<i64>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Registry {
    /// Starts the registry: connects in the background, so that it succeeds with the store down
    /// too. Everything that it spawns ends when `shutdown` is cancelled; [`Registry::stopped`]
    /// waits for that.
    pub fn start(config: &Config, shutdown: CancellationToken) -> Result<Arc<Self>, StartError> {
        let store = Store::open(&config.store).map_err(StartError::Store)?;
        identity::check(&config.cluster_name, &config.store).map_err(StartError::Identity)?;
        let builtins = builtin::resources(config.serve_namespaces).map_err(StartError::Builtin)?;
        let tasks = TaskTracker::new();
        let departures = Departures::start(config, store.clone(), &tasks, &shutdown);
        let registry = Arc::new(Self {
            store: store.clone(),
            cluster: config.cluster_name.clone(),
            guard: Guard::new(config),
            departures,
            members: Members::new(config),
            event_expiry: Expiry::after(config.rules.event_ttl),
            lease_durations: config.rules.lease_durations,
            setback: Arc::default(),
            catalog: ArcSwap::default(),
            live: ArcSwap::default(),
            generation: AtomicU64::new(0),
            changes: tokio::sync::watch::Sender::new(0),
            published: tokio::sync::watch::Sender::new(0),
            tasks,
            shutdown: shutdown.clone(),
        });
        registry.publish(builtins.clone(), false);

        let weak = Arc::downgrade(&registry);
        let publish = Box::new(move |resources, revision| {
            if let Some(registry) = Weak::upgrade(&weak) {
                registry.publish(resources, true);
                if let Some(revision) = revision {
                    registry.published.send_replace(revision);
                }
            }
        });
        if let Some(definitions) = registry.definitions() {
            let last_known = LastKnown::of(config);
            let controller =
                Controller::new(store.clone(), definitions, builtins, publish, last_known);
            controller.recall();
            registry.tasks.spawn(controller.run(shutdown.clone()));
        }
        if let Some(live) = registry.find(HELIUM_GROUP, MEMBERS) {
            let (members, cache) = (registry.members.clone(), live.cache.clone());
            let following = members.follow(cache, store.shut_out(), shutdown.clone());
            registry.tasks.spawn(following);
            let cleanup =
                Cleanup::new(store.clone(), live.cache.clone(), Self::kinds_of(&registry));
            registry.tasks.spawn(cleanup.run(shutdown.clone()));
        }
        if let Some(live) = registry.find(HELIUM_GROUP, CONTROL_PLANES) {
            let (store, stop) = (store.clone(), shutdown.clone());
            let cluster = registry.cluster.clone();
            registry.tasks.spawn(async move {
                control_plane::ensure(store, &live, &cluster, stop).await;
            });
        }
        let kinds = Self::kinds_of(&registry);
        let cascade = Cascade::new(
            registry.departures.clone(),
            registry.members.clone(),
            kinds,
            registry.changes.subscribe(),
        );
        registry.tasks.spawn(cascade.run(shutdown.clone()));
        registry.coordinate(&shutdown);
        registry.follow_setbacks();
        let interval = config.store.compaction_interval;
        registry
            .tasks
            .spawn(storage::run_compactor(store, interval, shutdown));
        Ok(registry)
    }

    /// Tells which kinds are served, for tasks that must not keep the registry.
    fn kinds_of(registry: &Arc<Self>) -> KindsSource {
        let weak = Arc::downgrade(registry);
        Box::new(move || {
            Weak::upgrade(&weak)
                .map(|registry| registry.catalog().resources().to_vec())
                .unwrap_or_default()
        })
    }

    /// Starts to pick holders among the candidates of leases.
    fn coordinate(self: &Arc<Self>, shutdown: &CancellationToken) {
        let cache = |plural| {
            self.find(LEASE_GROUP, plural)
                .map(|live| live.cache.clone())
        };
        if let (Some(leases), Some(candidates)) = (cache(LEASES), cache(LEASE_CANDIDATES)) {
            let writer = Arc::clone(self) as Arc<dyn coordinator::Writer>;
            let coordinator = Coordinator::new(
                Arc::downgrade(&writer),
                leases,
                candidates,
                self.lease_durations,
            );
            self.tasks.spawn(coordinator.run(shutdown.clone()));
        }
    }

    /// What is served right now. From memory; cheap enough to call for every request.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// Tells the generation of the catalog whenever it is replaced, for documents that are derived
    /// from it.
    #[must_use]
    pub fn catalog_changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Makes sure that the catalog is at least as new as this call, for whoever is about to say that a
    /// group or resource doesn't exist. 503 or 504 if the store can't confirm it.
    pub async fn confirm_catalog(&self) -> Result<(), Status> {
        if self.is_confirmed() {
            return self.catch_up().await;
        }
        // Nothing was read yet: who asks is told so soon, whatever the store's silence looks like.
        match tokio::time::timeout(CACHE_WAIT, self.catch_up()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(error::definitions_unread()),
        }
    }

    /// Whether the catalog was ever read from the store, and isn't only remembered.
    fn is_confirmed(&self) -> bool {
        *self.published.borrow() > 0 && self.members.are_known()
    }

    async fn catch_up(&self) -> Result<(), Status> {
        let Some(definitions) = self.definitions() else {
            return Err(error::definitions_unread());
        };
        let current = self.store.current_revision(definitions.prefix()).await?;
        let mut published = self.published.subscribe();
        definitions
            .wait_revision(current, CACHE_WAIT)
            .await
            .map_err(error::unready)?;
        let caught_up = async {
            drop(published.wait_for(|revision| *revision >= current).await);
            self.members.known().await;
        };
        tokio::time::timeout(CACHE_WAIT, caught_up)
            .await
            .map_err(|_| error::definitions_unread())
    }

    /// Whether the store answers.
    pub async fn store_health(&self) -> storage::Result<()> {
        self.store.health().await
    }

    /// Which clusters belong to the fleet. From memory.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Waits until everything that was spawned has ended, after the token was cancelled.
    pub async fn stopped(&self) {
        self.shutdown.cancelled().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn definitions(&self) -> Option<Cache> {
        self.find(HELIUM_GROUP, DEFINITIONS)
            .map(|live| live.cache.clone())
    }

    fn find(&self, group: &str, plural: &str) -> Option<Arc<Live>> {
        self.live
            .load()
            .get(&(group.to_owned(), plural.to_owned()))
            .cloned()
    }

    /// Finds the resource of a request; one that isn't known, or not in this version, is looked for in fresh definitions (R3).
    /// What is only remembered is good enough for a cluster that leaves a namespace, and for nobody else.
    async fn find_confirmed(&self, request: &ApiRequest) -> Result<Option<Arc<Live>>, Status> {
        let target = &request.target;
        let find = || {
            self.find(&target.group, &target.resource)
                .filter(|live| live.view(&target.version).is_some())
        };
        if let Some(live) = find()
            && (self.is_confirmed() || self.guard.leaves_namespace(request, &live.resource))
        {
            return Ok(Some(live));
        }
        self.confirm_catalog().await?;
        Ok(find())
    }

    /// Replaces catalog and caches. A cache stays as long as its resource's fingerprint does.
    fn publish(&self, resources: Vec<Arc<Resource>>, synced: bool) {
        let old = self.live.load_full();
        let mut new = LiveSet::with_capacity(resources.len());
        for resource in &resources {
            let key = (resource.group().to_owned(), resource.plural().to_owned());
            let live = match old.get(&key) {
                Some(live) if Arc::ptr_eq(&live.resource, resource) => Arc::clone(live),
                Some(live) if live.resource.fingerprint == resource.fingerprint => {
                    Arc::new(live.with_resource(Arc::clone(resource)))
                }
                _ => Arc::new(self.open(Arc::clone(resource))),
            };
            new.insert(key, live);
        }
        let unchanged = self.catalog.load().synced() == synced
            && old.len() == new.len()
            && new.iter().all(|(key, live)| {
                old.get(key)
                    .is_some_and(|old| Arc::ptr_eq(&old.resource, &live.resource))
            });
        if unchanged {
            return;
        }
        for (key, live) in old.iter() {
            let kept = new.get(key).is_some_and(|new| new.shares_cache_with(live));
            if !kept {
                live.stop();
            }
        }
        self.live.store(Arc::new(new));
        let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        self.catalog
            .store(Arc::new(Catalog::new(generation, synced, resources)));
        self.changes.send_replace(generation);
        tracing::debug!(generation, "published the catalog");
    }

    fn open(&self, resource: Arc<Resource>) -> Live {
        let stop = self.shutdown.child_token();
        let cluster = live::cluster_segment(&resource, &self.cluster);
        let prefix =
            self.store
                .keys()
                .resource(&resource.home_group, &resource.home_plural, cluster);
        let decoder = Box::new(live::Reader::new(&resource));
        let limits = WindowLimits::default();
        let (cache, work) = Cache::start(self.store.clone(), prefix, decoder, limits, stop.clone());
        self.tasks.spawn(work);
        Live::new(resource, cache, stop)
    }
}

#[async_trait]
impl Backend for Registry {
    async fn handle(&self, request: ApiRequest) -> Response<Body> {
        if let Some(why) = self.members.detached() {
            return self.answer_detached(&request, &why);
        }
        let found = self.find_confirmed(&request).await;
        // The first requests may have waited for the members, which know more.
        if let Some(why) = self.members.detached() {
            return self.answer_detached(&request, &why);
        }
        let unknown = match found {
            Ok(Some(live)) => match Call::new(self, live, &request) {
                Ok(Some(call)) => {
                    return call
                        .run()
                        .await
                        .unwrap_or_else(|status| error::response(&status));
                }
                Ok(None) => None,
                Err(status) => Some(status),
            },
            Ok(None) => None,
            Err(status) => Some(status),
        };
        unknown.map_or_else(error::unknown_path, |status| error::response(&status))
    }

    async fn join(&self, body: Bytes) -> Response<Body> {
        self.answer_join(&body)
            .await
            .unwrap_or_else(|status| error::response(&status))
    }

    fn is_started(&self) -> bool {
        self.catalog.load().synced()
    }
}
