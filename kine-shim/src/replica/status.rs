//! Where a replica stands, for Status, health endpoints and people.

use std::time::Duration;

use helium_journal::{Slot, StoreSize, WriterId};
use helium_mvcc::{Epoch, Incarnation, MemberId, Revision};

use super::shared::Shared;

/// What a replica is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Loading the checkpoint and replaying the journal for the first time.
    Starting,
    /// Answering requests.
    Serving,
    /// Loading again, because the journal moved away or the database went back in time.
    Recovering,
    /// Stopped serving for good: the journal holds what this program can't read.
    Halted,
    /// Stopped on request.
    Stopped,
}

/// Where a replica stands.
#[derive(Debug, Clone)]
pub struct Status {
    /// What it is doing.
    pub phase: Phase,
    /// The store's revision.
    pub revision: Revision,
    /// The oldest readable revision, −1 if nothing was ever compacted.
    pub compact_revision: Revision,
    /// The current epoch: etcd's Raft term, at least 1 once an owner has been seen.
    pub epoch: Epoch,
    /// Who owns it: etcd's leader. Zero if nobody does.
    pub owner: MemberId,
    /// How often the database went back in time.
    pub incarnation: Incarnation,
    /// This instance.
    pub member_id: WriterId,
    /// The log.
    pub cluster_id: u64,
    /// The newest applied slot: etcd's Raft index.
    pub applied: Slot,
    /// The newest slot that a head query has shown.
    pub newest: Slot,
    /// Size of the database, as it was last asked.
    pub size: StoreSize,
}

/// Whether a replica can serve.
#[derive(Debug, Clone)]
pub struct Health {
    /// What it is doing.
    pub phase: Phase,
    /// Time since the last successful head query; `None` before the first.
    pub database_seen: Option<Duration>,
    /// How long an append has been waiting for its outcome; `None` when none is.
    pub undecided: Option<Duration>,
    /// Whether the log has an owner whose heartbeat was seen to move in time.
    pub has_owner: bool,
    /// Why it halted, if it did.
    pub halted: Option<String>,
}

/// How much watching goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatchCounts {
    /// Open streams.
    pub streams: usize,
    /// Watchers on them.
    pub watchers: usize,
    /// Watchers that read history, because they lag or have just begun.
    pub lagging: usize,
    /// Events that wait to be taken by their streams.
    pub pending_events: usize,
}

/// One instance of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Its id.
    pub id: WriterId,
    /// Its name.
    pub name: String,
    /// The URLs that it advertises.
    pub client_urls: Vec<String>,
}

pub(super) fn status(shared: &Shared) -> Status {
    let core = shared.core.read();
    let state = core.state();
    Status {
        phase: core.phase(),
        revision: state.revision(),
        compact_revision: state.compact_revision(),
        epoch: state.epoch(),
        owner: state.owner(),
        incarnation: state.incarnation(),
        member_id: shared.member_id,
        cluster_id: shared.cluster_id,
        applied: core.slot(),
        newest: shared.sight.lock().newest.max(core.slot()),
        size: *shared.size.lock(),
    }
}

pub(super) fn health(shared: &Shared) -> Health {
    let now = shared.clock.now();
    let owner = shared.core.read().state().owner();
    let sight = shared.sight.lock();
    Health {
        phase: shared.phase(),
        database_seen: sight.seen_at.map(|at| now.saturating_sub(at)),
        undecided: sight.undecided_since.map(|at| now.saturating_sub(at)),
        has_owner: owner.0 == shared.member_id.0
            || shared.members.lock().is_alive(now, WriterId(owner.0)),
        halted: shared.halted().map(|halt| helium_journal::chain(&*halt)),
    }
}
