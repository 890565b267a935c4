//! Which clusters belong to the fleet, and what this server's own standing among them is.
//!
//! A `Member` (group `helium.dev`, cluster-scoped) is a cluster; all of them together are the fleet's trust bundle. Every
//! server follows the members through a watch cache and derives from them the [`Roster`], one immutable snapshot. Whoever
//! needs to know who belongs, asks the roster; it never asks the store, so that a revocation is heeded, and the
//! host cluster served, while the store is down.
//!
//! Invariants:
//! - **M1** A fleet is *open* while no member lists an authority: then nobody is shut out, and everything works as if there
//!   were no members. It closes with the first authority.
//! - **M2** What is known stays known: a store that is lost changes nothing about who is a member.
//! - **M3** Only a cluster itself speaks for itself (its authorities once set, labels, status); only others can shut it out ([`rules`]).
//!   "Itself" is the server's own `--cluster-name`, never anything that a client sends.
//! - **M4** A cluster that is shut out is *detached*, not broken: discovery and health go on, its namespaces can be
//!   deleted, its garbage collector deletes nothing, and everything else is refused with the reason.
//!
//! How a cluster joins is [`join`]'s, what becomes of it when it leaves [`cleanup`]'s. What they will not do: judge certificates (the store's servers do that when a connection is made), or change
//! anything in a cluster.

mod authorities;
pub(crate) mod cleanup;
pub mod identity;
pub(crate) mod join;
mod roster;
pub mod rules;
pub mod tokens;

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use roster::{Member, Roster, Standing};

use crate::cache::Cache;
use crate::config::Config;

/// Finalizer of every `Member`: what the cluster leaves behind is settled first.
pub const FINALIZER: &str = "helium.dev/member-cleanup";

/// The members as this server knows them. Clones share what they know.
#[derive(Debug, Clone)]
pub struct Members {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cluster: String,
    require_member: bool,
    roster: watch::Sender<Arc<Roster>>,
}

impl Members {
    /// Knows nobody until [`Members::follow`] runs.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            shared: Arc::new(Shared {
                cluster: config.cluster_name.clone(),
                require_member: config.require_member,
                roster: watch::Sender::new(Arc::default()),
            }),
        }
    }

    /// The cluster of this server: the origin of every write through it.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.shared.cluster
    }

    /// Who belongs right now. From memory; cheap enough to call for every request.
    #[must_use]
    pub fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.shared.roster.borrow())
    }

    /// Tells each new roster.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<Roster>> {
        self.shared.roster.subscribe()
    }

    /// Why this server's cluster is shut out (M4), if it is.
    #[must_use]
    pub fn detached(&self) -> Option<String> {
        self.detached_by(&self.shared.roster.borrow())
    }

    /// For what lasts, and must end when this server's cluster is shut out.
    #[must_use]
    pub fn detachment(&self) -> Detachment {
        Detachment {
            members: self.clone(),
            changes: self.changes(),
        }
    }

    fn detached_by(&self, roster: &Roster) -> Option<String> {
        let cluster = &self.shared.cluster;
        match roster.standing(cluster) {
            Standing::Unknown | Standing::Open | Standing::Member => None,
            Standing::Revoked { reason: "" } => Some(format!("cluster {cluster} was revoked")),
            Standing::Revoked { reason } => {
                Some(format!("cluster {cluster} was revoked: {reason}"))
            }
            Standing::Leaving if self.shared.require_member => {
                Some(format!("cluster {cluster} is leaving the fleet"))
            }
            Standing::Absent if self.shared.require_member => Some(format!(
                "cluster {cluster} is not a member of the fleet: it left or never joined"
            )),
            Standing::Leaving | Standing::Absent => None,
        }
    }

    /// Follows the members through their cache until `stop` is cancelled.
    pub async fn follow(self, cache: Cache, stop: CancellationToken) {
        let mut changed = cache.changes();
        let mut seen: Option<Vec<(String, i64)>> = None;
        loop {
            changed.borrow_and_update();
            if cache.is_filled() {
                let snapshot = cache.snapshot("", None);
                let versions = snapshot
                    .entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.revision));
                let versions: Vec<_> = versions.collect();
                // Most changes are progress alone.
                if seen.as_ref() != Some(&versions) {
                    let objects = snapshot.entries.iter().map(|entry| &entry.object);
                    self.publish(Roster::new(objects, snapshot.revision));
                    seen = Some(versions);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                // The sender lives as long as the cache that we hold.
                _ = changed.changed() => {}
            }
        }
    }

    fn publish(&self, roster: Roster) {
        let before = self.detached();
        let after = self.detached_by(&roster);
        match (&before, &after) {
            (before, Some(why)) if before.as_ref() != Some(why) => {
                tracing::warn!(cluster = self.cluster(), why, "detached from the fleet");
            }
            (Some(_), None) => tracing::info!(cluster = self.cluster(), "part of the fleet again"),
            _ => {}
        }
        tracing::debug!(
            members = roster.members().len(),
            open = roster.is_open(),
            "the members changed"
        );
        self.shared.roster.send_replace(Arc::new(roster));
    }
}

/// Tells when this server's cluster is shut out.
#[derive(Debug)]
pub struct Detachment {
    members: Members,
    changes: watch::Receiver<Arc<Roster>>,
}

impl Detachment {
    /// Waits until the cluster is shut out and tells why. Can be dropped and called again at any time.
    pub async fn happened(&mut self) -> String {
        loop {
            let found = self.members.detached_by(&self.changes.borrow_and_update());
            if let Some(why) = found {
                return why;
            }
            if self.changes.changed().await.is_err() {
                // The sender lives as long as the members that we hold.
                return std::future::pending().await;
            }
        }
    }
}
