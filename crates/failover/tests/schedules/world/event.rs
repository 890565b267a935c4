//! What happens in a world, in its order.

use helium_failover::lease::LeaseView;
use helium_failover::machine::{Action, Candidate, Footprint, GroupView, Own, StoreDone};
use helium_failover::{Boot, Token};

use super::super::Time;
use super::super::faults::Fault;

#[derive(Debug, Clone)]
pub(super) enum Event {
    Wake {
        due: u64,
    },
    /// A request reaches the store.
    Reach {
        life: u32,
        id: u64,
        sent: Boot,
        action: Action,
        answered: bool,
    },
    Answer {
        life: u32,
        id: u64,
        sent: Boot,
        done: StoreDone,
    },
    SeeLease {
        life: u32,
        lease: Option<LeaseView>,
    },
    SeeGroup {
        life: u32,
        group: GroupView,
        version: u64,
    },
    SeeOwn {
        life: u32,
        own: Option<Own>,
    },
    EntryReach {
        version: u64,
        entry: Candidate,
        life: u32,
    },
    EntryDone {
        life: u32,
        version: Option<u64>,
        entry: Candidate,
    },
    /// A write of a payload's object reaches the own API server, whatever became of its sender.
    Lands {
        token: Token,
        object: usize,
    },
    /// The same for the footprint.
    Written {
        life: u32,
        footprint: Footprint,
    },
    /// The open job in the own cluster goes on.
    Job {
        life: u32,
        job: u64,
    },
    Gone {
        object: usize,
        token: Token,
    },
    Beat,
    Fault(Fault),
    Resume,
    Restart,
    Calm,
}

pub(super) struct Entry {
    pub(super) at: Time,
    pub(super) number: u64,
    pub(super) whose: usize,
    pub(super) event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Where a job in the own cluster stands.
#[derive(Debug, Clone)]
pub(super) enum Job {
    /// The footprint is being written, or this object is to be sent next.
    Apply {
        token: Token,
        footprint: Footprint,
        until: Boot,
        next: usize,
    },
    Stop {
        token: Token,
        footprint: Option<Footprint>,
        deleting: bool,
    },
}

/// What of the store changed.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    Lease,
    Group,
    /// The lease, and the record in the group.
    Term,
    All,
}
