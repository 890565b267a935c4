//! Slots, entries and what an append or a head query answers.

use std::fmt;

use bytes::Bytes;
use rand::RngCore as _;

/// The journal that a handle works on: one per logical etcd endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogId(pub i32);

/// The place of an entry in its journal. The first entry has slot 1; 0 means "before any entry".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Slot(pub i64);

impl Slot {
    /// Before any entry: the floor of a journal without a checkpoint.
    pub const ZERO: Self = Self(0);

    /// The slot after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The random name of one entry. An append that is retried keeps it, so that its writer can tell
/// "my row is there" from "somebody else's row is there".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub [u8; 16]);

impl EntryId {
    /// The `prev` of the very first entry.
    pub const NIL: Self = Self([0; 16]);

    /// A new random id.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryId({self})")
    }
}

/// The number of a reign: who owns it is named by entries, not by this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub i64);

/// An instance that writes, random per process start; also its member id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriterId(pub u64);

impl WriterId {
    /// A new random id, never zero.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::rng().next_u64().max(1))
    }

    /// As SQL stores it: the same 64 bits, signed.
    #[must_use]
    pub const fn to_sql(self) -> i64 {
        self.0.cast_signed()
    }

    /// From the signed number that SQL stores.
    #[must_use]
    pub const fn from_sql(stored: i64) -> Self {
        Self(stored.cast_unsigned())
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// One row of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it sits, at least 1.
    pub slot: Slot,
    /// Its random name.
    pub id: EntryId,
    /// The id of the entry in the slot before; [`EntryId::NIL`] for slot 1.
    pub prev: EntryId,
    /// Who wrote it.
    pub writer: WriterId,
    /// The writer's epoch.
    pub epoch: Epoch,
    /// The writer's wall clock, microseconds since 1970 UTC. For people; never for safety.
    pub at_micros: i64,
    /// First store revision that the payload creates.
    pub first_rev: i64,
    /// Last store revision that the payload creates; `first_rev - 1` when it creates none.
    pub last_rev: i64,
    /// The payload's format, chosen by the layer above.
    pub enc: i16,
    /// Opaque content.
    pub payload: Bytes,
}

impl Entry {
    /// Slot 1 names [`EntryId::NIL`]: nothing else is before it.
    pub(crate) fn is_first_after_something(&self) -> bool {
        self.slot <= Slot::ZERO.next() && self.prev != EntryId::NIL
    }

    /// What became of this entry: what its insert did, and what was read behind it, in one
    /// statement: the floor, and the id in the slot before.
    ///
    /// At the floor and above it the slot before holds a row (J3), so that what is missing there is
    /// lost and not trimmed.
    pub(crate) fn appended(
        &self,
        inserted: Inserted,
        floor: Slot,
        before: Option<EntryId>,
    ) -> Appended {
        let is_first = self.slot <= Slot::ZERO.next();
        if floor >= self.slot {
            return Appended::BelowFloor { floor };
        }
        if inserted == Inserted::Nothing || !(is_first || before == Some(self.prev)) {
            return Appended::Diverged { found: before };
        }
        match inserted {
            Inserted::Row => Appended::Committed,
            Inserted::Nothing | Inserted::Duplicate => Appended::SlotTaken,
        }
    }
}

/// What the insert of an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It made the row.
    Row,
    /// It made none, because the entry before was not there.
    Nothing,
    /// The slot had a row.
    Duplicate,
}

/// What became of an append whose outcome is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// The row is durable behind the entry that it names, and the floor was below its slot
    /// afterwards: acknowledge it.
    Committed,
    /// Another append holds the slot, the floor is below it, and the entry before is the one that
    /// was named. Read the slot: the same id means that an earlier attempt of this very entry was
    /// committed.
    SlotTaken,
    /// The slot before does not hold the entry that this one names, though the floor says that it
    /// should (J8): the database has lost entries that the caller knows, as an asynchronous failover
    /// does, or the caller is on another chain. Reload. Nothing may be acknowledged, and nothing may
    /// be said not to have happened: what counts is in the reloaded state.
    Diverged {
        /// The id in the slot before, read with the floor; `None` when no row is there.
        found: Option<EntryId>,
    },
    /// The slot is at or below the floor and so does not exist: reload from the checkpoint. Nothing
    /// may be acknowledged. A row with this entry's id may or may not be there; if an *earlier*
    /// attempt of this entry was undecided, only the reloaded state can tell whether it counted.
    BelowFloor {
        /// The floor that was read.
        floor: Slot,
    },
}

/// The answer of one head query: all of it from the same instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Newest slot and the id in it; `None` when the journal holds no entry.
    pub newest: Option<(Slot, EntryId)>,
    /// The id stored at the slot that the asker has applied; `None` when no row is there or the
    /// slot is below the floor. A different id, or `None` though `floor <= applied` and
    /// `applied > 0`, means that the database went back in time.
    pub at_applied: Option<EntryId>,
    /// The checkpoint's slot, zero without one. An asker below it reloads.
    pub floor: Slot,
}

/// What a listing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// Entries in ascending order without a gap, the first at `after + 1`; empty at the end.
    Entries(Vec<Entry>),
    /// The asker is below the floor and has to reload.
    BelowFloor {
        /// The floor that was read.
        floor: Slot,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writer_ids_survive_the_signed_column() {
        for id in [1, u64::MAX, 1 << 63, 42] {
            assert_eq!(WriterId::from_sql(WriterId(id).to_sql()), WriterId(id));
        }
    }
}
