//! Folding journal entries into the rows of a checkpoint, without a state in memory.
//!
//! A checkpoint is a side state at a slot plus one row per key. Entries are folded in slot order;
//! what they leave of the rows (the last version of each key) is taken out in between, as often
//! as the caller likes, and written before the side state that it belongs to.
//!
//! Fold only entries whose last revision is *below* the compact revision: see
//! [`Restore`](crate::Restore).

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use crate::{BatchBody, DecodeError, KeyValue, Operation, Revision, side::Side, state::ApplyError};

/// What becomes of a key's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// It is written.
    Upsert(Arc<KeyValue>),
    /// It goes away.
    Delete(Bytes),
}

impl Row {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Upsert(kv) => &kv.key,
            Self::Delete(key) => key,
        }
    }
}

/// A checkpoint on its way from one slot to a later one.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    side: Side,
    rows: BTreeMap<Bytes, Arc<KeyValue>>,
}

impl Fold {
    /// From before the first entry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From the side state of the checkpoint before.
    ///
    /// # Errors
    /// If the bytes aren't a side state.
    pub fn load(side: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            side: Side::decode(side)?,
            rows: BTreeMap::new(),
        })
    }

    /// Folds the next entry in.
    ///
    /// # Errors
    /// If its revisions don't follow; then nothing is changed.
    pub fn apply(&mut self, body: &BatchBody) -> Result<(), ApplyError> {
        let expected = self.revision().next();
        if body.first_revision() != expected {
            return Err(ApplyError::RevisionGap {
                expected,
                found: body.first_revision(),
            });
        }
        for transaction in body.transactions() {
            let mut changed = false;
            for operation in transaction.operations {
                if let Operation::Put(kv) | Operation::Delete(kv) = operation {
                    self.rows.insert(kv.key.clone(), Arc::clone(kv));
                    changed = true;
                } else {
                    self.side.apply(operation);
                }
            }
            if changed {
                self.side.marks.revision = self.side.marks.revision.next();
            }
            if let Some(forward) = transaction.forward {
                self.side.forwarded(forward);
            }
        }
        Ok(())
    }

    /// The revision that the fold has come to.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.side.marks.revision
    }

    /// How many rows wait to be taken.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// Takes what the entries since the last call leave of the rows, in key order.
    pub fn take_rows(&mut self) -> Vec<Row> {
        let rows = std::mem::take(&mut self.rows).into_iter();
        rows.map(|(key, kv)| {
            if kv.is_tombstone() {
                Row::Delete(key)
            } else {
                Row::Upsert(kv)
            }
        })
        .collect()
    }

    /// The side state at the slot of the last entry. It is the checkpoint's once all rows taken
    /// so far are written.
    #[must_use]
    pub fn save(&self) -> Bytes {
        self.side.encode()
    }
}
