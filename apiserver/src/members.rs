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
pub(crate) mod heartbeat;
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
use crate::storage::Refusal;

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
    /// Why this server's cluster is shut out, if it is.
    detached: watch::Sender<Option<String>>,
    /// Whether the members were read, and the cluster judged by them.
    known: watch::Sender<bool>,
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
                detached: watch::Sender::new(None),
                known: watch::Sender::new(false),
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

    /// Why this server's cluster is shut out (M4), if it is. From memory; cheap enough to call for every request.
    #[must_use]
    pub fn detached(&self) -> Option<String> {
        self.shared.detached.borrow().clone()
    }

    /// Whether the members were ever read: before that, not being shut out means nothing.
    #[must_use]
    pub fn are_known(&self) -> bool {
        *self.shared.known.borrow()
    }

    /// Waits until [`Members::are_known`].
    pub async fn known(&self) {
        // The sender lives as long as we do.
        let mut known = self.shared.known.subscribe();
        drop(known.wait_for(|known| *known).await);
    }

    /// For what lasts, and must end when this server's cluster is shut out.
    #[must_use]
    pub fn detachment(&self) -> Detachment {
        Detachment {
            why: self.shared.detached.subscribe(),
        }
    }

    /// Follows the members through their cache, and whether the store lets this cluster in at all, until `stop` is
    /// cancelled.
    ///
    /// Both are needed: a store that judges by the members itself may end the connection before the news comes over it.
    pub async fn follow(
        self,
        cache: Cache,
        mut shut_out: watch::Receiver<Option<Refusal>>,
        stop: CancellationToken,
    ) {
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
            let refused = shut_out.borrow_and_update().clone();
            self.judge(refused.as_ref());
            if seen.is_some() {
                self.shared
                    .known
                    .send_if_modified(|known| !std::mem::replace(known, true));
            }
            tokio::select! {
                () = stop.cancelled() => return,
                // Both senders live as long as the cache that we hold.
                _ = changed.changed() => {}
                Ok(()) = shut_out.changed() => {}
            }
        }
    }

    fn publish(&self, roster: Roster) {
        tracing::debug!(
            members = roster.members().len(),
            open = roster.is_open(),
            "the members changed"
        );
        self.shared.roster.send_replace(Arc::new(roster));
    }

    /// Finds out whether the cluster is shut out, and tells if that is new.
    fn judge(&self, refused: Option<&Refusal>) {
        let now = self.why_detached(refused);
        let before = self.detached();
        if before == now {
            return;
        }
        let cluster = self.cluster();
        match &now {
            Some(why) => tracing::warn!(cluster, why, "detached from the fleet"),
            None => tracing::info!(cluster, "part of the fleet again"),
        }
        self.shared.detached.send_replace(now);
    }

    fn why_detached(&self, refused: Option<&Refusal>) -> Option<String> {
        let cluster = &self.shared.cluster;
        let revoked = format!("cluster {cluster} was revoked");
        match refused {
            Some(Refusal::Said(reason)) if reason.starts_with(&revoked) => {
                return Some(reason.clone());
            }
            Some(Refusal::Said(reason)) if self.shared.require_member => {
                return Some(format!(
                    "the fleet's store doesn't accept cluster {cluster}: {reason}"
                ));
            }
            // What was said before says more.
            Some(Refusal::Revoked) => {
                let known = self.detached().filter(|why| why.starts_with(&revoked));
                return known.or(Some(revoked));
            }
            Some(Refusal::Said(_)) | None => {}
        }
        let roster = self.roster();
        match roster.standing(cluster) {
            Standing::Unknown | Standing::Open | Standing::Member => None,
            Standing::Revoked { reason: "" } => Some(revoked),
            Standing::Revoked { reason } => Some(format!("{revoked}: {reason}")),
            Standing::Leaving if self.shared.require_member => {
                Some(format!("cluster {cluster} is leaving the fleet"))
            }
            Standing::Absent if self.shared.require_member => Some(format!(
                "cluster {cluster} is not a member of the fleet: it left or never joined"
            )),
            Standing::Leaving | Standing::Absent => None,
        }
    }
}

/// Tells when this server's cluster is shut out.
#[derive(Debug)]
pub struct Detachment {
    why: watch::Receiver<Option<String>>,
}

impl Detachment {
    /// Waits until the cluster is shut out and tells why. Can be dropped and called again at any time.
    pub async fn happened(&mut self) -> String {
        let found = match self.why.wait_for(Option::is_some).await {
            Ok(why) => why.clone(),
            Err(_) => None,
        };
        match found {
            Some(why) => why,
            // Nobody knows any more: nothing will change.
            None => std::future::pending().await,
        }
    }
}
