//! The numbers that order and name things: revisions, leases, epochs, members, alarms.

use std::fmt;

/// A point in the store's one global order of changes.
///
/// An empty store is at revision 1 and the first write makes revision 2; every request that
/// changes keys adds exactly 1. Zero means "not set" in requests ("the current one").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub i64);

impl Revision {
    /// "Not set": in requests, the current revision.
    pub const UNSET: Self = Self(0);
    /// The revision of a store that nobody has written to.
    pub const FIRST: Self = Self(1);
    /// The compact revision of a store that was never compacted, as etcd reports it.
    pub const NEVER_COMPACTED: Self = Self(-1);

    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The revision before this one.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// The name of a lease. Any value but zero names one, negative ones too; zero is "no lease".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LeaseId(pub i64);

impl LeaseId {
    /// "No lease".
    pub const NONE: Self = Self(0);

    /// Whether this names a lease.
    #[must_use]
    pub fn is_some(self) -> bool {
        self.0 != 0
    }
}

/// The number of an ownership of the log. Epoch 0 has no owner; each takeover adds 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch that a takeover of this one starts.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The number of a server instance. Zero is "nobody".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MemberId(pub u64);

/// How often the store has been declared to continue after its database went back in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// The incarnation after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// What an alarm says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmKind {
    /// The quota is used up: puts and lease grants are refused.
    NoSpace,
    /// Members disagree about the data: every write is refused.
    Corrupt,
}

/// An alarm that a member raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alarm {
    /// What it says.
    pub kind: AlarmKind,
    /// Who raised it.
    pub member: MemberId,
}

/// Where a forwarded request came from: the sender's process and its running number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Forward {
    /// Random per process start of the sender.
    pub origin: u64,
    /// Counts up per origin.
    pub sequence: u64,
}

/// Where in the journal a batch stands, and what its writer's clock said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    /// The journal slot.
    pub slot: u64,
    /// The writer's wall clock in microseconds since the Unix epoch; never used for safety.
    pub at: i64,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for LeaseId {
    /// Hexadecimal, as etcd's tools print lease names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for MemberId {
    /// Hexadecimal, as etcd's tools print member names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}
