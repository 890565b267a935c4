//! The state beside the keys: what a checkpoint keeps in one small value.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::{
    Alarm, DecodeError, Epoch, Forward, Incarnation, LeaseId, MemberId, Operation, Revision,
    body::{read_alarm, write_alarm},
    wire::{Reader, Writer},
};

const FORMAT: u8 = 1;

/// The single numbers of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) revision: Revision,
    pub(crate) compact_revision: Revision,
    pub(crate) epoch: Epoch,
    pub(crate) owner: MemberId,
    pub(crate) incarnation: Incarnation,
}

impl Default for Marks {
    fn default() -> Self {
        Self {
            revision: Revision::FIRST,
            compact_revision: Revision::NEVER_COMPACTED,
            epoch: Epoch(0),
            owner: MemberId(0),
            incarnation: Incarnation(0),
        }
    }
}

/// Everything of a state but the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) marks: Marks,
    pub(crate) leases: BTreeMap<LeaseId, i64>,
    pub(crate) alarms: BTreeSet<Alarm>,
    /// The last sequence of each origin in this epoch.
    pub(crate) forwards: BTreeMap<u64, u64>,
}

impl Side {
    /// Takes in an operation; operations about keys change nothing here.
    pub(crate) fn apply(&mut self, operation: &Operation) {
        let marks = &mut self.marks;
        match operation {
            Operation::Put(_) | Operation::Delete(_) | Operation::LeaseRenew { .. } => {}
            Operation::LeaseGrant { id, ttl } => {
                self.leases.insert(*id, *ttl);
            }
            Operation::LeaseRevoke { id } => {
                self.leases.remove(id);
            }
            Operation::Compact { revision } => {
                // Never above the present, whatever an entry says: reads at the current revision
                // must stay possible.
                let floor = (*revision).min(marks.revision);
                marks.compact_revision = marks.compact_revision.max(floor);
            }
            Operation::Epoch { epoch, owner } => {
                marks.epoch = *epoch;
                marks.owner = *owner;
                // Forwards of older epochs are dropped, so nobody asks for their numbers again.
                self.forwards.clear();
            }
            Operation::Incarnation {
                incarnation,
                revision,
            } => {
                marks.incarnation = *incarnation;
                marks.revision = marks.revision.max(*revision);
                marks.compact_revision = marks.revision;
            }
            Operation::AlarmActivate(alarm) => {
                self.alarms.insert(*alarm);
            }
            Operation::AlarmDeactivate(alarm) => {
                self.alarms.remove(alarm);
            }
        }
    }

    /// Remembers that a forwarded request is answered by the state.
    pub(crate) fn forwarded(&mut self, forward: Forward) {
        let last = self.forwards.entry(forward.origin).or_default();
        *last = (*last).max(forward.sequence);
    }

    pub(crate) fn encode(&self) -> Bytes {
        let size = 64 + 12 * (self.leases.len() + self.alarms.len() + self.forwards.len());
        let mut out = Writer::with_capacity(size, FORMAT);
        out.varint(self.marks.revision.0 as u64);
        out.zigzag(self.marks.compact_revision.0);
        out.varint(self.marks.epoch.0);
        out.varint(self.marks.owner.0);
        out.varint(self.marks.incarnation.0);
        out.varint(self.leases.len() as u64);
        for (id, ttl) in &self.leases {
            out.zigzag(id.0);
            out.zigzag(*ttl);
        }
        out.varint(self.alarms.len() as u64);
        for alarm in &self.alarms {
            write_alarm(&mut out, *alarm);
        }
        out.varint(self.forwards.len() as u64);
        for (origin, sequence) in &self.forwards {
            out.varint(*origin);
            out.varint(*sequence);
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::open(bytes)?;
        if from.format() != FORMAT {
            return Err(DecodeError::UnknownFormat(from.format()));
        }
        let mut side = Self {
            marks: Marks {
                revision: Revision(from.varint()? as i64),
                compact_revision: Revision(from.zigzag()?),
                epoch: Epoch(from.varint()?),
                owner: MemberId(from.varint()?),
                incarnation: Incarnation(from.varint()?),
            },
            ..Self::default()
        };
        if side.marks.revision < Revision::FIRST {
            return Err(DecodeError::Malformed("revision out of range"));
        }
        for _ in 0..from.varint()? {
            side.leases.insert(LeaseId(from.zigzag()?), from.zigzag()?);
        }
        for _ in 0..from.varint()? {
            side.alarms.insert(read_alarm(&mut from)?);
        }
        for _ in 0..from.varint()? {
            side.forwards.insert(from.varint()?, from.varint()?);
        }
        from.end()?;
        Ok(side)
    }
}
