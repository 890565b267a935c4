//! Failover: each MultiCluster of this cluster is a member of a group, and the member that leads has its payload in its own cluster.
//!
//! ```text
//! fleet      MultiClusters, groups, leases, followed      plan      which object is whose member
//! member     one member, alive: the loop around its machine (helium-failover)
//! store      the group's Lease, one bounded request       record    its text
//! group      the FailoverGroup and our entry in it        status    the MultiCluster's status
//! payload    the payload in the own cluster               switch    the dead-man's switch of its pods
//! memory     what outlives the process                    clock     the boot clock
//! event      Events for people                            metrics   for dashboards
//! ```
//!
//! The machine decides, everything here only sees and does. Beside F1–F5 of `helium-failover`, and A1 of all controllers:
//! - **R1** A member's loop waits for nothing but news and time. Requests about leases, jobs in the own cluster and words for people are
//!   tasks of their own, so a slow payload of one group delays no renewal of another.
//! - **R2** Nothing of a term is begun before the footprints of earlier agents were read (F4), which asks the own cluster only: an agent
//!   that starts while the store is away stops what is left, by its own deadline.
//! - **R3** Nothing is begun for a MultiCluster that could vanish: it carries our finalizer first.
//! - **R4** When the agent ends, what is on its way is answered or has timed out before the process goes.
//!
//! What it will not do: ask another cluster anything, decide who is alive (the membership controller's Members say so), or change a
//! payload that another agent of this cluster has taken over.

pub mod clock;
mod event;
mod fleet;
mod group;
mod member;
mod memory;
mod metrics;
pub mod payload;
mod plan;
mod record;
mod status;
mod store;
mod supervisor;
pub mod switch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use uuid::Uuid;

pub(crate) use metrics::FailoverMetrics;

use crate::ClusterName;
use crate::endpoint::Endpoint;
use crate::membership::Alive;
use fleet::Fleet;
use member::Shared;
use memory::Memory;
use payload::{Record, Site, SiteOptions, Watchdog};

/// Pause between two looks for footprints while the own cluster is away.
const FOOTPRINTS_RETRY: Duration = Duration::from_secs(1);

/// What becomes of terms when the agent is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum OnShutdown {
    /// They go on until their deadline, for the agent that comes next.
    #[default]
    Keep,
    /// They are given up, and their payloads deleted.
    Release,
}

/// What the failover controller is told.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The cluster.
    pub(crate) cluster: ClusterName,
    /// Namespace of footprints.
    pub(crate) namespace: String,
    /// Folder for what outlives the process.
    pub(crate) state_dir: Option<PathBuf>,
    /// Service account whose rights count for payloads.
    pub(crate) service_account: Option<String>,
    /// What becomes of terms at the end.
    pub(crate) on_shutdown: OnShutdown,
    /// What payloads with a dead-man's switch get.
    pub(crate) watchdog: Option<Watchdog>,
}

/// Runs the cluster's members.
pub(crate) struct Failover {
    settings: Settings,
    own: Client,
    fleet: Endpoint,
    alive: watch::Receiver<Option<Arc<Alive>>>,
    memory: Memory,
    agent: Uuid,
    metrics: FailoverMetrics,
    /// Cancelled when the process ends, and not when only the agents' lease is lost.
    ending: CancellationToken,
}

impl Failover {
    /// A controller for the cluster behind `own`, with the control plane behind `fleet`. `ending` is cancelled when the process
    /// shall end.
    pub(crate) fn new(
        settings: Settings,
        own: Client,
        fleet: Endpoint,
        alive: watch::Receiver<Option<Arc<Alive>>>,
        metrics: FailoverMetrics,
        ending: CancellationToken,
    ) -> Self {
        let memory = Memory::open(settings.state_dir.as_deref(), settings.cluster.as_str());
        Self {
            settings,
            own,
            fleet,
            alive,
            memory,
            agent: Uuid::new_v4(),
            metrics,
            ending,
        }
    }

    /// Works until stopped, and then until nothing is on its way. May be run again after that.
    pub(crate) async fn run(&mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            Box::pin(self.work(stop)).await;
        }
    }

    async fn work(&mut self, stop: &CancellationToken) {
        let me = helium_failover::ClusterName(self.settings.cluster.as_str().to_owned());
        let options = SiteOptions {
            service_account: self.settings.service_account.clone(),
            watchdog: self.settings.watchdog.clone(),
            ..SiteOptions::new(me.clone())
        };
        let site = Site::new(
            self.own.clone(),
            &self.settings.namespace,
            self.agent,
            options,
        );
        let Some(left) = self.footprints(&site, stop).await else {
            return;
        };
        let (clients, receiver) = watch::channel(None);
        let (recorder, mut events) = event::recorder(self.settings.cluster.as_str());
        let changed = Arc::new(Notify::new());
        let fleet = Fleet::new(&changed);
        let shared = Shared {
            me,
            site,
            own: self.own.clone(),
            clients: receiver.clone(),
            recorder,
            memory: self.memory.clone(),
            metrics: self.metrics.clone(),
            release: self.settings.on_shutdown == OnShutdown::Release,
            ending: self.ending.clone(),
        };
        // What members need to end well goes on until they have.
        let ended = CancellationToken::new();
        let sessions = self.fleet.sessions(&ended, async |client, stop| {
            clients.send_replace(Some(client.clone()));
            Box::pin(fleet.run(client, &stop)).await;
            clients.send_replace(None);
        });
        let work = async {
            let alive = self.alive.clone();
            supervisor::run(&shared, &fleet, alive, &changed, left, stop).await;
            ended.cancel();
        };
        tokio::join!(
            Box::pin(sessions),
            Box::pin(work),
            self.memory.keep(&ended),
            events.run(receiver.clone(), &ended),
        );
    }

    /// What earlier agents have left in the own cluster (R2); `None` if stopped before.
    async fn footprints(&self, site: &Site, stop: &CancellationToken) -> Option<Vec<Record>> {
        let mut complained = false;
        loop {
            let found = tokio::select! {
                () = stop.cancelled() => return None,
                found = site.footprints() => found,
            };
            match found {
                Ok(found) => {
                    for failure in &found.unreadable {
                        error!(%failure, "a footprint can't be read: what it is about may run here unwatched");
                    }
                    return Some(found.records);
                }
                Err(failure) if !std::mem::replace(&mut complained, true) => {
                    warn!(%failure, "the footprints can't be read; no group is served before they are");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(FOOTPRINTS_RETRY) => {}
            }
        }
    }
}
