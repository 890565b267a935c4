//! Clusters that leave a namespace, and what becomes of shared objects then.
//!
//! A namespace of the same name is one namespace in all clusters that have it. When a cluster deletes it, the cluster
//! *leaves*: its namespace controller is answered from memory ([`crate::guard`]), and the departure is written down in the
//! store, under `<prefix>/helium.dev/departures/<namespace>/<cluster>`. What a kind's policy makes of it:
//!
//! - *Detach*: nothing more. The record tells people who left.
//! - *Cascade*: when every member of the fleet has left, the objects in the namespace are deleted ([`cascade`]).
//! - *HomeOnly*: the cluster's own objects go with the namespace. While the store is down, that is promised at once and done
//!   when it is back.
//!
//! Invariants:
//! - **N1** One departure never deletes a shared object. Who deletes for all has read, at one revision, that every active member
//!   left; and it deletes only what was last written before the last of them left.
//! - **N2** A cluster that is back counts as not having left: its departure is withdrawn *before* the first write that goes
//!   through it into the namespace, and when the namespace is seen in it again. Each withdrawal also writes the key
//!   `<prefix>/helium.dev/returns`, on which every deletion of a cascade is conditional: one that was on its way stops.
//! - **N3** What a cluster was promised while the store was down is done once, in the order of the promises: it is kept in the
//!   state directory before it is promised, and every deletion is conditional on the revision that the object had then. A
//!   namespace that was made again meanwhile keeps what was written into it since.
//! - **N4** Nobody waits: recording is done in the background, and what can't be recorded is lost on the safe side (a
//!   cluster that counts as not having left).
//!
//! What it will not do: decide who may delete, look into other clusters, or let a namespace wait for shared objects.

mod cascade;
mod presence;
mod queue;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use helium_apimachinery::Status;
use helium_apimachinery::meta::{Object, time_text};
use jiff::Timestamp;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use cascade::{Cascade, KindsSource};
pub use queue::HomeObjects;

use crate::cache::{Cache, DecodeError, Decoder, WindowLimits};
use crate::config::Config;
use crate::storage::{self, Alongside, Beside, Record, Store, Written, codec};
use queue::{Full, Pending, Queue};

/// How long a write waits for the cluster's return to be known.
const RETURN_BOUND: Duration = Duration::from_secs(3);
/// How often a withdrawal is tried again because somebody else changed the record.
const ATTEMPTS: usize = 8;

/// The departures of this server's cluster, and those that it knows of. Clones share what they know.
#[derive(Clone)]
pub struct Departures {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    cluster: String,
    cache: Cache,
    queue: Queue,
}

/// Records are plain JSON.
struct Plain;

impl Decoder for Plain {
    fn decode(&self, record: &Record) -> Result<Object, DecodeError> {
        codec::decode(record)
    }
}

impl Departures {
    /// Reads what an earlier life promised, and starts what settles it. Everything ends with `stop`. Blocks for a small file.
    #[must_use]
    pub fn start(
        config: &Config,
        store: Store,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let prefix = store.keys().departures();
        let limits = WindowLimits::default();
        let (cache, follow) =
            Cache::start(store.clone(), prefix, Box::new(Plain), limits, stop.clone());
        tasks.spawn(follow);
        let departures = Self {
            shared: Arc::new(Shared {
                store,
                cluster: config.cluster_name.clone(),
                cache,
                queue: Queue::open(config),
            }),
        };
        tasks.spawn(worker::run(departures.clone(), stop.clone()));
        tasks.spawn(presence::run(
            departures.clone(),
            config.authentication.kubeconfig.clone(),
            stop.clone(),
        ));
        departures
    }

    /// The cluster leaves a namespace. Returns at once; what is known already is not recorded again.
    pub fn leave(&self, namespace: &str) {
        let shared = &self.shared;
        let known = shared.cache.is_filled() && shared.recorded(namespace);
        if known && !shared.queue.is_returning(namespace) {
            return;
        }
        let departure = Pending::Departure {
            namespace: namespace.to_owned(),
            time: Timestamp::now(),
        };
        match shared.queue.push(departure) {
            Ok(true) => tracing::info!(namespace, "the cluster leaves a namespace"),
            Ok(false) => {}
            Err(Full) => tracing::warn!(
                namespace,
                "too much waits for the store: that the cluster left the namespace will not be recorded"
            ),
        }
    }

    /// The cluster has a namespace again. Returns at once; what is known already is not recorded again.
    fn come_back(&self, namespace: &str) {
        let shared = &self.shared;
        let away = shared.recorded(namespace) || shared.queue.is_leaving(namespace);
        if !away && shared.cache.is_filled() {
            return;
        }
        let back = Pending::Return {
            namespace: namespace.to_owned(),
        };
        if shared.queue.push(back) == Err(Full) {
            tracing::warn!(
                namespace,
                "too much waits for the store: that the cluster has the namespace again will be recorded when it writes into it"
            );
        }
    }

    /// Promises the deletion of the cluster's own objects of a kind in a namespace, for when the store is back. It is kept
    /// when this returns.
    ///
    /// # Errors
    /// 503 when too much was promised already.
    pub async fn promise(&self, objects: HomeObjects) -> Result<(), Status> {
        let namespace = objects.namespace.clone();
        match self.shared.queue.push(Pending::HomeDeletion(objects)) {
            Ok(true) => {
                tracing::info!(
                    namespace,
                    "the cluster's own objects go with a namespace when the store is back"
                );
                self.shared.queue.keep().await;
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(Full) => Err(Status::service_unavailable(
                "the shared store can't be reached, and too many deletions wait for it already",
            )
            .with_retry_after(10)),
        }
    }

    /// Whether the deletion of the cluster's own objects of a kind in a namespace was promised and isn't done yet.
    #[must_use]
    pub fn has_promised(&self, group: &str, resource: &str, namespace: &str) -> bool {
        self.shared.queue.has_promised(group, resource, namespace)
    }

    /// The cluster is back in a namespace, as far as it had left: to be called before a write into it (N2).
    ///
    /// # Errors
    /// 503 or 504 when that can't be made known; nothing may be written then.
    pub async fn return_to(&self, namespace: &str) -> Result<(), Status> {
        let shared = &self.shared;
        let away = shared.recorded(namespace) || shared.queue.is_leaving(namespace);
        if !away && shared.cache.is_filled() {
            return Ok(());
        }
        if shared.queue.is_leaving(namespace) {
            let cancelled = shared.queue.cancel_departure(namespace);
            if tokio::time::timeout(RETURN_BOUND, cancelled).await.is_err() {
                return Err(Status::service_unavailable(
                    "the cluster's return to the namespace can't be recorded yet",
                )
                .with_retry_after(1));
            }
        }
        shared.withdraw(namespace).await?;
        Ok(())
    }
}

impl Shared {
    /// Whether the cluster's departure is in the store, as far as is known.
    fn recorded(&self, namespace: &str) -> bool {
        self.cache.get(&self.relative(namespace)).0.is_some()
    }

    fn relative(&self, namespace: &str) -> String {
        format!("{namespace}/{}", self.cluster)
    }

    fn record(&self, namespace: &str, time: Timestamp) -> Bytes {
        let record = json!({
            "cluster": self.cluster,
            "namespace": namespace,
            "time": time_text(time),
        });
        Bytes::from(record.to_string())
    }

    /// Takes the cluster's departure out of the store, if it is there.
    async fn withdraw(&self, namespace: &str) -> storage::Result<()> {
        let key = self.cache.prefix().key(&self.relative(namespace));
        for _ in 0..ATTEMPTS {
            let Some(record) = self.store.get(&key).await? else {
                return Ok(());
            };
            if let Some(revision) = self.withdraw_at(namespace, &key, record.revision).await? {
                // So that leaving again right away is noticed. The store has it, whatever the cache says.
                let _ = self.cache.wait_revision(revision, RETURN_BOUND).await;
                return Ok(());
            }
        }
        Err(storage::Error::Refused {
            doing: "withdraw a departure",
            reason: "the record changes all the time".to_owned(),
        })
    }

    /// Withdraws the departure if it is at a revision; the revision of the withdrawal, or `None` if it isn't at that.
    async fn withdraw_at(
        &self,
        namespace: &str,
        key: &str,
        revision: i64,
    ) -> storage::Result<Option<i64>> {
        let value = self.record(namespace, Timestamp::now());
        let along = Alongside {
            besides: vec![Beside::Put(self.store.keys().returns(), value)],
            ..Alongside::default()
        };
        match self.store.delete_with(key, revision, &along).await? {
            Written::Done { revision } => {
                tracing::info!(namespace, "the cluster is back in a namespace");
                Ok(Some(revision))
            }
            Written::Conflict { .. } | Written::Fenced { .. } | Written::Moved { .. } => Ok(None),
        }
    }
}
