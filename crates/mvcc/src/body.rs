//! A batch of resolved transactions: what an entry of the journal says.
//!
//! *Resolved* means that nothing is left to decide: an operation says which version a key gets,
//! not which condition it depends on. So applying is one code path that can't fail, for the
//! writer's own entries, for other writers' and for a replay years later.

use std::sync::Arc;

use crate::{Alarm, Epoch, Forward, Incarnation, KeyValue, LeaseId, MemberId, Revision};

mod codec;

pub use codec::{DecodeError, ENCODING};
pub(crate) use codec::{read_alarm, write_alarm};

/// A resolved operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A key gets this version.
    Put(Arc<KeyValue>),
    /// A key gets this tombstone.
    Delete(Arc<KeyValue>),
    /// A lease begins.
    LeaseGrant {
        /// Its name.
        id: LeaseId,
        /// Its time to live in seconds.
        ttl: i64,
    },
    /// A lease ends. The deletions of its keys stand before it, as operations of their own.
    LeaseRevoke {
        /// Which.
        id: LeaseId,
    },
    /// A lease's time to live starts again.
    LeaseRenew {
        /// Which.
        id: LeaseId,
    },
    /// History below a revision is given up.
    Compact {
        /// The oldest revision that stays readable.
        revision: Revision,
    },
    /// An epoch begins.
    Epoch {
        /// Which.
        epoch: Epoch,
        /// Who owns it.
        owner: MemberId,
    },
    /// The store continues at `revision`, and everything older is compacted.
    Incarnation {
        /// Which.
        incarnation: Incarnation,
        /// Where the revisions go on.
        revision: Revision,
    },
    /// An alarm is raised.
    AlarmActivate(Alarm),
    /// An alarm is cleared.
    AlarmDeactivate(Alarm),
}

impl Operation {
    /// The version that the operation gives to a key, if it is about a key.
    #[must_use]
    pub fn version(&self) -> Option<&Arc<KeyValue>> {
        match self {
            Self::Put(kv) | Self::Delete(kv) => Some(kv),
            _ => None,
        }
    }
}

/// One resolved transaction of a batch: the operations of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction<'a> {
    /// Where the request came from, if it was forwarded.
    pub forward: Option<Forward>,
    /// What it does, in order. Those about keys share one revision.
    pub operations: &'a [Operation],
}

/// A batch of resolved transactions. Revisions are dense from [`first_revision`] on: each
/// transaction about keys takes the next one.
///
/// [`first_revision`]: BatchBody::first_revision
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchBody {
    base: Revision,
    last: Revision,
    operations: Vec<Operation>,
    ends: Vec<TransactionEnd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TransactionEnd {
    forward: Option<Forward>,
    operations: usize,
}

impl BatchBody {
    /// A batch without transactions, on a store at revision `base`. It decides a journal slot
    /// without changing anything.
    #[must_use]
    pub fn empty(base: Revision) -> Self {
        Self {
            base,
            last: base,
            operations: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// The revision after that of the store that the batch follows: the first that the batch
    /// makes, if it makes any.
    #[must_use]
    pub fn first_revision(&self) -> Revision {
        self.base.next()
    }

    /// The store's revision after the batch: one below [`first_revision`](Self::first_revision)
    /// if the batch changes no key.
    #[must_use]
    pub fn last_revision(&self) -> Revision {
        self.last
    }

    /// Whether the batch says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many transactions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The transactions in order.
    pub fn transactions(&self) -> impl Iterator<Item = Transaction<'_>> {
        let mut from = 0;
        self.ends.iter().map(move |end| {
            let operations = &self.operations[from..end.operations];
            from = end.operations;
            Transaction {
                forward: end.forward,
                operations,
            }
        })
    }

    /// Adds an operation to the transaction that [`seal`](Self::seal) will end.
    pub(crate) fn push(&mut self, operation: Operation) {
        self.operations.push(operation);
    }

    /// Ends a transaction, after which the store is at `revision`.
    pub(crate) fn seal(&mut self, forward: Option<Forward>, revision: Revision) {
        self.last = revision;
        self.ends.push(TransactionEnd {
            forward,
            operations: self.operations.len(),
        });
    }
}
