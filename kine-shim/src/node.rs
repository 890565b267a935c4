//! What every service of one server shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use helium_mvcc::Revision;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::{Refusal, Result};
use crate::metrics::Metrics;
use crate::replica::{Phase, Replica};

/// The header of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) cluster_id: u64,
    pub(crate) member_id: u64,
    pub(crate) revision: i64,
    pub(crate) raft_term: u64,
}

impl From<Header> for helium_etcd_proto::etcdserverpb::ResponseHeader {
    fn from(header: Header) -> Self {
        Self {
            cluster_id: header.cluster_id,
            member_id: header.member_id,
            revision: header.revision,
            raft_term: header.raft_term,
        }
    }
}

/// What the services need to know beside the replica.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// This instance, for people and for `MemberList`.
    pub(crate) name: String,
    /// Where clients reach it.
    pub(crate) advertise_client_urls: Vec<String>,
    /// Largest write request, in bytes. Requests of any kind may have 512 KiB more.
    pub(crate) max_request_bytes: usize,
    /// Pause between two progress notifications of a watcher that asked for them.
    pub(crate) watch_progress_interval: Duration,
    /// The etcd version that clients are told, three numbers with dots.
    pub(crate) version: String,
    /// How long the database may be out of reach before calls that require a leader fail.
    pub(crate) leader_timeout: Duration,
}

impl Settings {
    /// The version with zero as its last number.
    pub(crate) fn cluster_version(&self) -> String {
        let minor: Vec<&str> = self.version.splitn(3, '.').take(2).collect();
        format!("{}.0", minor.join("."))
    }

    /// Largest request of any kind, in bytes.
    pub(crate) fn receive_limit(&self) -> usize {
        const OVERHEAD: usize = 512 << 10;
        self.max_request_bytes.saturating_add(OVERHEAD)
    }
}

/// One server: its replica, its settings, its counters.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) replica: Replica,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    /// Cancelled when the server stops: streams end.
    pub(crate) stopping: CancellationToken,
    term: AtomicU64,
    leader: watch::Sender<bool>,
}

/// How often a node looks whether the database answers.
const LEADER_INTERVAL: Duration = Duration::from_millis(250);

impl Node {
    pub(crate) fn new(
        replica: Replica,
        settings: Settings,
        metrics: Metrics,
        stopping: CancellationToken,
    ) -> Arc<Self> {
        let node = Self {
            replica,
            settings,
            metrics,
            stopping,
            term: AtomicU64::new(1),
            leader: watch::Sender::new(true),
        };
        node.look();
        Arc::new(node)
    }

    /// The header of an answer at `revision`.
    pub(crate) fn header(&self, revision: Revision) -> Header {
        Header {
            cluster_id: self.replica.cluster_id(),
            member_id: self.replica.member_id().0,
            revision: revision.0,
            raft_term: self.term.load(Ordering::Relaxed),
        }
    }

    /// The store's revision as this instance knows it.
    pub(crate) fn revision(&self) -> Result<Revision> {
        let revision = self.replica.read(|state| state.revision());
        revision.map_err(|error| crate::error::status(&error))
    }

    /// Refuses a call that requires a leader while the database is out of reach.
    pub(crate) fn require_leader(&self) -> Result<()> {
        if *self.leader.borrow() {
            Ok(())
        } else {
            Err(Refusal::NoLeader.into())
        }
    }

    /// Ends when the database has been out of reach for too long.
    pub(crate) async fn leader_lost(&self) {
        let mut leader = self.leader.subscribe();
        // The sender lives as long as this node, so the wait ends by the condition alone.
        if leader.wait_for(|has_leader| !has_leader).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Follows epoch and health until the server stops.
    pub(crate) async fn observe(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(LEADER_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                _ = ticks.tick() => self.look(),
            }
        }
    }

    fn look(&self) {
        let status = self.replica.status();
        self.term.store(status.epoch.0.max(1), Ordering::Relaxed);
        let health = self.replica.health();
        let limit = self.settings.leader_timeout;
        let seen = health.database_seen.is_some_and(|age| age < limit);
        let decided = health.undecided.is_none_or(|age| age < limit);
        let has_leader = match health.phase {
            Phase::Serving => seen && decided,
            Phase::Starting | Phase::Recovering => true,
            Phase::Halted | Phase::Stopped => false,
        };
        self.leader.send_if_modified(|current| {
            let changed = *current != has_leader;
            *current = has_leader;
            changed
        });
    }
}
