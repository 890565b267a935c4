//! The committed state at one journal slot.
//!
//! 1. State changes by [`State::apply`] alone, in slot order, so every replica of a journal is
//!    equal at every slot.
//! 2. A compaction takes effect at once: older revisions are refused from then on. What they held
//!    goes away in small steps afterwards ([`State::compact_step`]), so that no writer waits.
//! 3. Reads see one revision. Nothing here knows about time, except that each batch's [`Stamp`]
//!    is remembered to find the revision of a moment.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    Alarm, Batch, BatchBody, DecodeError, Epoch, Event, Incarnation, KeyRange, KeyValue, LeaseId,
    LeaseInfo, MemberId, Operation, RangeRequest, RangeResponse, Result, Revision, Stamp,
    TxnRequest, TxnResponse,
    history::{Changes, History},
    keyspace::Keyspace,
    range,
    side::Side,
};

mod compaction;
mod hash;

pub use hash::HashKv;

/// Why a batch can't follow a state. The entry is corrupt or out of order; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The slot is at or below that which was applied last.
    #[error("slot {found} does not follow slot {applied}")]
    SlotOrder {
        /// The slot that was applied last.
        applied: u64,
        /// The slot of the batch.
        found: u64,
    },
    /// The batch doesn't begin with the next revision.
    #[error("batch begins with revision {found} instead of {expected}")]
    RevisionGap {
        /// The next revision.
        expected: Revision,
        /// The batch's first.
        found: Revision,
    },
}

/// What a batch changed, for those who follow the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The first revision that the batch made, if it made any.
    pub first_revision: Revision,
    /// The state's revision now.
    pub last_revision: Revision,
    /// What happened to leases, in order.
    pub leases: Vec<LeaseChange>,
    /// The epoch and its owner, if the batch began one.
    pub epoch: Option<(Epoch, MemberId)>,
    /// The compact revision, if the batch moved it.
    pub compacted: Option<Revision>,
    /// The incarnation, if the batch began one.
    pub incarnation: Option<Incarnation>,
}

impl Applied {
    /// Whether the batch changed keys.
    #[must_use]
    pub fn has_events(&self) -> bool {
        self.first_revision <= self.last_revision
    }
}

/// What happened to a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseChange {
    /// It began.
    Granted {
        /// Its name.
        id: LeaseId,
        /// Its time to live in seconds.
        ttl: i64,
    },
    /// Its time to live starts again.
    Renewed {
        /// Which.
        id: LeaseId,
    },
    /// It ended.
    Revoked {
        /// Which.
        id: LeaseId,
    },
}

/// The committed state at one journal slot.
#[derive(Debug, Clone)]
pub struct State {
    side: Side,
    keyspace: Keyspace,
    history: History,
    /// The keys of each lease that has any, in the order in which a revocation deletes them.
    attached: HashMap<LeaseId, BTreeSet<Bytes>>,
    slot: u64,
    /// The last revision of each batch with where and when it was written, oldest first.
    stamps: VecDeque<(Revision, Stamp)>,
    compaction: compaction::Progress,
    /// The oldest revision whose changes, and all later ones, are known; compaction aside.
    oldest: Revision,
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// The state before the first entry: revision 1, no key, slot 0.
    #[must_use]
    pub fn new() -> Self {
        Self::at(Side::default(), 0)
    }

    fn at(side: Side, slot: u64) -> Self {
        Self {
            history: History::starting_at(side.marks.revision.next()),
            side,
            keyspace: Keyspace::default(),
            attached: HashMap::new(),
            slot,
            stamps: VecDeque::new(),
            compaction: compaction::Progress::default(),
            oldest: Revision::UNSET,
        }
    }

    /// Applies the entry of the next slot. Slots without an entry for this state may be left out,
    /// revisions may not.
    ///
    /// # Errors
    /// If the batch doesn't follow this state; then nothing is changed.
    pub fn apply(&mut self, stamp: Stamp, body: &BatchBody) -> Result<Applied, ApplyError> {
        if stamp.slot <= self.slot {
            return Err(ApplyError::SlotOrder {
                applied: self.slot,
                found: stamp.slot,
            });
        }
        let expected = self.revision().next();
        if body.first_revision() != expected {
            return Err(ApplyError::RevisionGap {
                expected,
                found: body.first_revision(),
            });
        }
        let before = self.side.marks;
        let mut leases = Vec::new();
        for transaction in body.transactions() {
            self.apply_operations(transaction.operations, &mut leases);
            if let Some(forward) = transaction.forward {
                self.side.forwarded(forward);
            }
        }
        self.slot = stamp.slot;
        let marks = self.side.marks;
        if marks.revision > before.revision {
            // Clocks of several writers: a later entry is never stamped before an earlier one.
            let at = self
                .stamps
                .back()
                .map_or(stamp.at, |(_, last)| stamp.at.max(last.at));
            self.stamps
                .push_back((marks.revision, Stamp { at, ..stamp }));
        }
        let moved = marks.compact_revision > before.compact_revision;
        Ok(Applied {
            first_revision: expected,
            last_revision: marks.revision,
            leases,
            epoch: (marks.epoch != before.epoch).then_some((marks.epoch, marks.owner)),
            compacted: moved.then_some(marks.compact_revision),
            incarnation: (marks.incarnation != before.incarnation).then_some(marks.incarnation),
        })
    }

    fn apply_operations(&mut self, operations: &[Operation], leases: &mut Vec<LeaseChange>) {
        // Nearly every transaction changes one key: no list for those.
        if let [Operation::Put(kv) | Operation::Delete(kv)] = operations {
            let event = self.apply_version(kv);
            self.record(Changes::One(event));
            return;
        }
        let mut events = Vec::new();
        for operation in operations {
            if let Some(kv) = operation.version() {
                events.push(self.apply_version(kv));
            } else {
                self.apply_aside(operation, leases);
            }
        }
        if let Some(changes) = Changes::new(events) {
            self.record(changes);
        }
    }

    fn record(&mut self, changes: Changes) {
        self.history.push(changes);
        self.side.marks.revision = self.side.marks.revision.next();
    }

    /// Gives a key its next version.
    fn apply_version(&mut self, kv: &Arc<KeyValue>) -> Event {
        let previous = self.keyspace.insert(Arc::clone(kv));
        let before = previous.as_ref().map_or(LeaseId::NONE, |kv| kv.lease);
        if before != kv.lease {
            self.detach(before, &kv.key);
            if kv.lease.is_some() && self.side.leases.contains_key(&kv.lease) {
                self.attached
                    .entry(kv.lease)
                    .or_default()
                    .insert(kv.key.clone());
            }
        }
        Event::new(Arc::clone(kv), previous)
    }

    fn detach(&mut self, lease: LeaseId, key: &Bytes) {
        if let Some(keys) = self.attached.get_mut(&lease) {
            keys.remove(key);
            if keys.is_empty() {
                self.attached.remove(&lease);
            }
        }
    }

    fn apply_aside(&mut self, operation: &Operation, leases: &mut Vec<LeaseChange>) {
        self.side.apply(operation);
        match *operation {
            Operation::LeaseGrant { id, ttl } => leases.push(LeaseChange::Granted { id, ttl }),
            Operation::LeaseRenew { id } => leases.push(LeaseChange::Renewed { id }),
            Operation::LeaseRevoke { id } => leases.push(LeaseChange::Revoked { id }),
            Operation::Incarnation { .. } => {
                let next = self.side.marks.revision.next();
                let past = std::mem::replace(&mut self.history, History::starting_at(next));
                self.compaction.retire(past);
                self.oldest = self.side.marks.revision;
            }
            _ => {}
        }
    }

    /// The current revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.side.marks.revision
    }

    /// The oldest revision that can be read; [`Revision::NEVER_COMPACTED`] at first.
    #[must_use]
    pub fn compact_revision(&self) -> Revision {
        self.side.marks.compact_revision
    }

    /// The slot that was applied last.
    #[must_use]
    pub fn slot(&self) -> u64 {
        self.slot
    }

    /// The current epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.side.marks.epoch
    }

    /// Who owns the current epoch; zero for nobody.
    #[must_use]
    pub fn owner(&self) -> MemberId {
        self.side.marks.owner
    }

    /// How often the store has continued after its database went back in time.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.side.marks.incarnation
    }

    /// The alarms that are raised.
    #[must_use]
    pub fn alarms(&self) -> &BTreeSet<Alarm> {
        &self.side.alarms
    }

    /// The last sequence of a forwarding origin that the state answers, in this epoch.
    #[must_use]
    pub fn last_sequence(&self, origin: u64) -> Option<u64> {
        self.side.forwards.get(&origin).copied()
    }

    /// Reads keys.
    ///
    /// # Errors
    /// [`Error::EmptyKey`](crate::Error::EmptyKey), or a revision that is compacted or in the
    /// future.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse> {
        crate::validate::range(request)?;
        range::answer(self, request)
    }

    /// Reads with a transaction: what it would answer on this state. Meant for transactions that
    /// [only read](TxnRequest::is_read_only); others need a [`Batch`] to have an effect.
    ///
    /// # Errors
    /// As [`Batch::evaluate`].
    pub fn txn_read(&self, request: &TxnRequest) -> Result<TxnResponse> {
        Batch::new(self).evaluate_txn(request)
    }

    /// A key's current version.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Arc<KeyValue>> {
        self.keyspace.get(key, crate::keyspace::LATEST)
    }

    /// The changes from a revision on, oldest first; from the oldest known if that is younger.
    pub fn changes(&self, from: Revision) -> impl Iterator<Item = (Revision, &[Event])> {
        self.history
            .iter_from(from)
            .map(|(revision, changes)| (revision, changes.events()))
    }

    /// The oldest revision that a watch can start from: the compact revision, unless the changes
    /// at that revision are in a checkpoint that this state was restored from.
    #[must_use]
    pub fn oldest_watchable(&self) -> Revision {
        self.oldest.max(self.compact_revision())
    }

    /// What is known of a lease.
    #[must_use]
    pub fn lease(&self, id: LeaseId) -> Option<LeaseInfo> {
        self.side.leases.get(&id).map(|&ttl| LeaseInfo { id, ttl })
    }

    /// The keys that are attached to a lease, in order.
    pub fn lease_keys(&self, id: LeaseId) -> impl Iterator<Item = &Bytes> {
        self.attached.get(&id).into_iter().flatten()
    }

    /// All leases.
    pub fn leases(&self) -> impl ExactSizeIterator<Item = LeaseInfo> {
        self.side
            .leases
            .iter()
            .map(|(&id, &ttl)| LeaseInfo { id, ttl })
    }

    /// How many keys exist.
    #[must_use]
    pub fn key_count(&self) -> u64 {
        self.keyspace.live()
    }

    /// How many versions of keys are held, tombstones included.
    #[must_use]
    pub fn version_count(&self) -> u64 {
        self.keyspace.versions()
    }

    /// About how many bytes the versions of keys take in memory.
    #[must_use]
    pub fn bytes_in_use(&self) -> u64 {
        self.keyspace.bytes()
    }

    /// How many revisions the history for watches holds.
    #[must_use]
    pub fn history_len(&self) -> usize {
        self.history.len()
    }

    /// The revision at a moment (microseconds since the Unix epoch, by the writers' clocks) with
    /// the slot that made it; `None` if that is compacted.
    #[must_use]
    pub fn revision_at(&self, at: i64) -> Option<(Revision, Stamp)> {
        let later = self.stamps.partition_point(|(_, stamp)| stamp.at <= at);
        self.stamps.get(later.checked_sub(1)?).copied()
    }

    /// The side state for a checkpoint at this slot; the keys are those of
    /// [`rows`](Self::rows).
    #[must_use]
    pub fn save_side(&self) -> Bytes {
        self.side.encode()
    }

    /// Every key that exists, in order.
    pub fn rows(&self) -> impl Iterator<Item = &Arc<KeyValue>> {
        let all = &*EVERYTHING;
        self.keyspace
            .iter(all)
            .filter_map(|node| node.live_at(crate::keyspace::LATEST))
    }

    /// The first revision that [`changes`](Self::changes) can show.
    pub(crate) fn history_first(&self) -> Revision {
        self.history.first()
    }

    pub(crate) fn side(&self) -> &Side {
        &self.side
    }

    pub(crate) fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }
}

static EVERYTHING: std::sync::LazyLock<KeyRange> = std::sync::LazyLock::new(KeyRange::all);

/// Builds the state of a checkpoint, row by row.
///
/// The history of a restored state starts after its revision, so that is where its compaction
/// floor is, too. A checkpoint should therefore end *below* the compact revision: then replay
/// brings the floor to where it was, with the changes at the floor known.
#[derive(Debug)]
pub struct Restore {
    state: State,
}

impl Restore {
    /// Starts from the side state of the checkpoint at `slot`.
    ///
    /// # Errors
    /// If the bytes aren't a side state.
    pub fn begin(side: &[u8], slot: u64) -> Result<Self, DecodeError> {
        let mut side = Side::decode(side)?;
        side.marks.compact_revision = side.marks.revision;
        let mut state = State::at(side, slot);
        // The changes of the checkpoint's own revision are in its rows, and only there.
        state.oldest = state.revision().next();
        Ok(Self { state })
    }

    /// Adds a row, whose bytes are copied. One that is newer than the side state was left by an
    /// unfinished later checkpoint: it is skipped, replay brings it back.
    pub fn row(&mut self, kv: KeyValue) {
        if !kv.is_tombstone() && kv.mod_revision <= self.state.revision() {
            let key = Bytes::copy_from_slice(&kv.key);
            let value = Bytes::copy_from_slice(&kv.value);
            let kv = KeyValue { key, value, ..kv };
            self.state.apply_version(&Arc::new(kv));
        }
    }

    /// The state of the checkpoint.
    #[must_use]
    pub fn finish(self) -> State {
        self.state
    }
}

impl State {
    /// The state of a checkpoint: [`Restore`] in one go.
    ///
    /// # Errors
    /// If `side` isn't a side state.
    pub fn restore(
        side: &[u8],
        slot: u64,
        rows: impl IntoIterator<Item = KeyValue>,
    ) -> Result<Self, DecodeError> {
        let mut restore = Restore::begin(side, slot)?;
        rows.into_iter().for_each(|row| restore.row(row));
        Ok(restore.finish())
    }
}
