//! The state in memory and its place in the chain, all under one lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use helium_journal::{Entry, EntryId, Slot};
use helium_mvcc::{
    Applied, ApplyError, BatchBody, Epoch, Expiry, LeaseId, MemberId, Revision, Stamp, State,
};

use super::error::{Error, Halt, Result};
use super::status::Phase;

/// How many ids of applied entries are kept, to tell duplicates from differences and to learn what
/// became of an undecided append. At 100 entries a second it is more than ten minutes.
const IDS_KEPT: usize = 1 << 16;

/// The newest applied entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub slot: Slot,
    pub id: EntryId,
    /// Counts reloads: positions of different generations are on different chains.
    pub generation: u64,
}

/// Where an entry stands relative to what is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// It is the next one.
    Next,
    /// It is applied already.
    Duplicate,
    /// Entries between are missing.
    Ahead,
    /// It is not on our chain: the database, or whoever sent it, is on another one (I2).
    Differs,
}

/// The ids of the newest applied entries.
#[derive(Debug, Clone)]
pub(super) struct ChainIds {
    newest: Slot,
    ids: VecDeque<EntryId>,
    /// The newest entry was an orphan, see [`ChainIds::push_orphan`].
    ends_in_orphan: bool,
}

impl ChainIds {
    /// A chain that begins after `slot`, which holds `id`.
    pub(super) fn starting_at(slot: Slot, id: EntryId) -> Self {
        Self {
            newest: slot,
            ids: VecDeque::from([id]),
            ends_in_orphan: false,
        }
    }

    pub(super) fn slot(&self) -> Slot {
        self.newest
    }

    pub(super) fn id(&self) -> EntryId {
        self.ids.back().copied().unwrap_or(EntryId::NIL)
    }

    /// The id applied in a slot, if that is recent enough to be known.
    pub(super) fn id_at(&self, slot: Slot) -> Option<EntryId> {
        let back = usize::try_from(self.newest.0.checked_sub(slot.0)?).ok()?;
        let index = self.ids.len().checked_sub(back.checked_add(1)?)?;
        self.ids.get(index).copied()
    }

    /// The next entry is passed over: its `prev` is not the id in the slot before, so it was written
    /// behind entries that the database has lost. It takes its slot and holds no work.
    pub(super) fn push_orphan(&mut self, id: EntryId) {
        self.push(id);
        self.ends_in_orphan = true;
    }

    pub(super) fn push(&mut self, id: EntryId) {
        self.ends_in_orphan = false;
        if self.ids.len() == IDS_KEPT {
            self.ids.pop_front();
        }
        self.ids.push_back(id);
        self.newest = self.newest.next();
    }

    /// Where an entry stands on a chain whose state is at `revision`.
    ///
    /// What follows an orphan may be written by its own writer on the lost chain, or by somebody
    /// who passed the orphan over. Both name the orphan; only the latter goes on from `revision`,
    /// because an incarnation has lifted it above everything that was lost.
    pub(super) fn place(&self, entry: &Entry, revision: Revision) -> Placement {
        if entry.slot <= self.newest {
            match self.id_at(entry.slot) {
                Some(applied) if applied != entry.id => Placement::Differs,
                _ => Placement::Duplicate,
            }
        } else if entry.slot > self.newest.next() {
            Placement::Ahead
        } else if entry.prev != self.id()
            || (self.ends_in_orphan && entry.first_rev != revision.next().0)
        {
            Placement::Differs
        } else {
            Placement::Next
        }
    }
}

/// The state machine, its place in the chain, and whether it may be shown.
#[derive(Debug)]
pub(super) struct Core {
    state: State,
    chain: ChainIds,
    generation: u64,
    phase: Phase,
    halt: Option<Arc<Halt>>,
    expiry: Expiry,
}

impl Core {
    pub(super) fn new() -> Self {
        Self {
            state: State::new(),
            chain: ChainIds::starting_at(Slot::ZERO, EntryId::NIL),
            generation: 0,
            phase: Phase::Starting,
            halt: None,
            expiry: Expiry::default(),
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn slot(&self) -> Slot {
        self.chain.slot()
    }

    pub(super) fn id_at(&self, slot: Slot) -> Option<EntryId> {
        self.chain.id_at(slot)
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn position(&self) -> Position {
        Position {
            slot: self.chain.slot(),
            id: self.chain.id(),
            generation: self.generation,
        }
    }

    /// Nothing, if requests may be answered; else why not.
    pub(super) fn serving(&self) -> Result<()> {
        match self.phase {
            Phase::Serving => Ok(()),
            Phase::Starting => Err(Error::Unavailable("the state is being loaded")),
            Phase::Recovering => Err(Error::Unavailable("the state is being loaded again")),
            Phase::Halted => Err(self.halt.clone().map_or(Error::Stopped, Error::Halted)),
            Phase::Stopped => Err(Error::Stopped),
        }
    }

    pub(super) fn halt_reason(&self) -> Option<Arc<Halt>> {
        self.halt.clone()
    }

    pub(super) fn place(&self, entry: &Entry) -> Placement {
        self.chain.place(entry, self.state.revision())
    }

    /// Applies the next entry. The caller has placed it.
    pub(super) fn apply(
        &mut self,
        entry: &Entry,
        body: &BatchBody,
        now: Duration,
    ) -> Result<Applied, ApplyError> {
        let applied = self.state.apply(stamp(entry), body)?;
        self.chain.push(entry.id);
        self.expiry.apply(now, &applied);
        Ok(applied)
    }

    /// One bounded piece of pending compaction; whether more is left.
    pub(super) fn compact_step(&mut self, budget: usize) -> bool {
        self.state.compact_step(budget)
    }

    /// Stops showing the state and drops it. What it was is returned, so that the memory is freed
    /// outside the lock.
    pub(super) fn forget(&mut self) -> (State, Position) {
        let position = self.position();
        self.phase = Phase::Recovering;
        self.generation += 1;
        let state = std::mem::replace(&mut self.state, State::new());
        self.chain = ChainIds::starting_at(Slot::ZERO, EntryId::NIL);
        self.expiry = Expiry::default();
        (state, position)
    }

    /// Shows a freshly loaded state. Every lease starts at its full TTL: what was left of it at
    /// the time of loading is not known, and late is allowed.
    pub(super) fn install(&mut self, state: State, chain: ChainIds, now: Duration) {
        self.expiry.restart_all(now, state.leases());
        self.state = state;
        self.chain = chain;
        self.phase = Phase::Serving;
    }

    pub(super) fn halt(&mut self, halt: Arc<Halt>) {
        if self.phase != Phase::Stopped {
            self.phase = Phase::Halted;
            self.halt = Some(halt);
        }
    }

    pub(super) fn stop(&mut self) {
        self.phase = Phase::Stopped;
    }

    /// Whether `member` owns the current epoch, and which epoch that is.
    pub(super) fn owned_epoch(&self, member: MemberId) -> Option<Epoch> {
        (self.state.owner() == member && member.0 != 0).then(|| self.state.epoch())
    }

    pub(super) fn lease_is_due(&self, now: Duration, id: LeaseId) -> bool {
        self.expiry.is_due(now, id)
    }

    pub(super) fn leases_due(&self, now: Duration, max: usize) -> Vec<LeaseId> {
        self.expiry.due(now, max)
    }

    pub(super) fn lease_renew(&mut self, now: Duration, id: LeaseId) {
        self.expiry.renew(now, id);
    }

    pub(super) fn lease_remaining(&self, now: Duration, id: LeaseId) -> Option<i64> {
        self.state.lease(id)?;
        let left = self.expiry.remaining(now, id).unwrap_or_default();
        Some(i64::try_from(left.as_secs()).unwrap_or(i64::MAX))
    }
}

/// What the state machine is told of an entry's place.
pub(super) fn stamp(entry: &Entry) -> Stamp {
    Stamp {
        slot: entry.slot.0.unsigned_abs(),
        at: entry.at_micros,
    }
}

/// The batch of an entry, or why this program must not go on.
pub(super) fn decode(entry: &Entry) -> Result<BatchBody, Halt> {
    let slot = entry.slot.0;
    if entry.enc != helium_mvcc::ENCODING {
        return Err(Halt::Format {
            slot,
            enc: entry.enc,
        });
    }
    BatchBody::decode(&entry.payload).map_err(|source| Halt::Payload { slot, source })
}

#[cfg(test)]
mod tests {
    use helium_journal::WriterId;

    use super::*;

    fn id(n: u8) -> EntryId {
        EntryId([n; 16])
    }

    fn entry(slot: i64, own: u8, prev: u8) -> Entry {
        Entry {
            slot: Slot(slot),
            id: id(own),
            prev: id(prev),
            writer: WriterId(1),
            epoch: helium_journal::Epoch(1),
            at_micros: 0,
            first_rev: 6,
            last_rev: 6,
            enc: helium_mvcc::ENCODING,
            payload: bytes::Bytes::new(),
        }
    }

    #[test]
    fn entries_are_placed_by_slot_id_and_prev() {
        let mut chain = ChainIds::starting_at(Slot(10), id(10));
        chain.push(id(11));
        chain.push(id(12));
        let place = |slot, own, prev| chain.place(&entry(slot, own, prev), Revision(5));
        assert_eq!(place(13, 13, 12), Placement::Next);
        assert_eq!(place(13, 13, 99), Placement::Differs);
        assert_eq!(place(14, 14, 13), Placement::Ahead);
        assert_eq!(place(11, 11, 10), Placement::Duplicate);
        assert_eq!(place(11, 99, 10), Placement::Differs);
        assert_eq!(place(10, 10, 9), Placement::Duplicate);
        // Too old to be known: nothing can be said against it.
        assert_eq!(place(5, 5, 4), Placement::Duplicate);
    }

    #[test]
    fn after_an_orphan_only_the_revision_tells_the_chains_apart() {
        let mut chain = ChainIds::starting_at(Slot(10), id(10));
        chain.push_orphan(id(11));
        assert_eq!(
            chain.place(&entry(12, 12, 11), Revision(5)),
            Placement::Next
        );
        assert_eq!(
            chain.place(&entry(12, 12, 11), Revision(1_000_005)),
            Placement::Differs
        );
        chain.push(id(12));
        assert_eq!(
            chain.place(&entry(13, 13, 12), Revision(5)),
            Placement::Next
        );
    }

    #[test]
    fn old_ids_are_forgotten_in_order() {
        let mut chain = ChainIds::starting_at(Slot::ZERO, EntryId::NIL);
        for _ in 0..IDS_KEPT + 5 {
            chain.push(EntryId::random());
        }
        assert_eq!(chain.id_at(Slot(5)), None);
        assert!(chain.id_at(Slot(6)).is_some());
        assert_eq!(chain.id_at(chain.slot()), Some(chain.id()));
        assert_eq!(chain.id_at(chain.slot().next()), None);
    }
}
