//! What can be asked of the store, in the terms of the etcd v3 API.

use bytes::Bytes;

use crate::{Alarm, Epoch, Error, Incarnation, KeyRange, LeaseId, MemberId, Result, Revision};

/// A request that may change the state, as it is queued for a [`Batch`](crate::Batch). Plain
/// reads go to [`State`](crate::State) instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Set a key.
    Put(PutRequest),
    /// Delete keys.
    DeleteRange(DeleteRangeRequest),
    /// Compare, then do one of two lists of operations.
    Txn(TxnRequest),
    /// Give up history.
    Compact(CompactRequest),
    /// Create a lease.
    LeaseGrant(LeaseGrantRequest),
    /// End a lease and delete its keys.
    LeaseRevoke(LeaseRevokeRequest),
    /// Restart a lease's time to live through the journal.
    LeaseRenew(LeaseRenewRequest),
    /// End a lease that the owner of the epoch found due.
    LeaseExpire(LeaseExpireRequest),
    /// Become the owner of the log.
    EpochTake(EpochTakeRequest),
    /// Continue after the database went back in time.
    Incarnation(IncarnationRequest),
    /// Raise or clear an alarm.
    Alarm(AlarmRequest),
}

/// In which order to answer a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortOrder {
    /// As they come: ascending by key, or ascending by a target other than the key.
    #[default]
    None,
    /// Lowest first.
    Ascend,
    /// Highest first.
    Descend,
}

/// What to sort a range by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// The version.
    Version,
    /// The create revision.
    Create,
    /// The mod revision.
    Mod,
    /// The value.
    Value,
}

impl TryFrom<i32> for SortOrder {
    type Error = Error;

    /// From the number of the wire format; [`Error::InvalidSortOption`] if there is none such.
    fn try_from(number: i32) -> Result<Self> {
        match number {
            0 => Ok(Self::None),
            1 => Ok(Self::Ascend),
            2 => Ok(Self::Descend),
            _ => Err(Error::InvalidSortOption),
        }
    }
}

impl TryFrom<i32> for SortTarget {
    type Error = Error;

    /// From the number of the wire format; [`Error::InvalidSortOption`] if there is none such.
    fn try_from(number: i32) -> Result<Self> {
        match number {
            0 => Ok(Self::Key),
            1 => Ok(Self::Version),
            2 => Ok(Self::Create),
            3 => Ok(Self::Mod),
            4 => Ok(Self::Value),
            _ => Err(Error::InvalidSortOption),
        }
    }
}

/// Read keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeRequest {
    /// Which keys.
    pub range: KeyRange,
    /// At which revision; zero or less is the current one.
    pub revision: Revision,
    /// The most to answer; zero or less is no limit.
    pub limit: i64,
    /// The order of the answer.
    pub sort_order: SortOrder,
    /// What to sort by.
    pub sort_target: SortTarget,
    /// Leave the values out.
    pub keys_only: bool,
    /// Answer only how many there are.
    pub count_only: bool,
    /// The lowest mod revision to answer; 0 is no bound.
    pub min_mod_revision: Revision,
    /// The highest mod revision to answer; 0 is no bound.
    pub max_mod_revision: Revision,
    /// The lowest create revision to answer; 0 is no bound.
    pub min_create_revision: Revision,
    /// The highest create revision to answer; 0 is no bound.
    pub max_create_revision: Revision,
    /// The client is content with this instance's memory. For the caller: it changes no answer.
    pub serializable: bool,
}

impl RangeRequest {
    /// All of `range` at the current revision.
    #[must_use]
    pub fn new(range: KeyRange) -> Self {
        Self {
            range,
            revision: Revision::UNSET,
            limit: 0,
            sort_order: SortOrder::None,
            sort_target: SortTarget::Key,
            keys_only: false,
            count_only: false,
            min_mod_revision: Revision::UNSET,
            max_mod_revision: Revision::UNSET,
            min_create_revision: Revision::UNSET,
            max_create_revision: Revision::UNSET,
            serializable: false,
        }
    }
}

/// Set a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PutRequest {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// The lease to attach the key to; none detaches it.
    pub lease: LeaseId,
    /// Answer the version before.
    pub prev_kv: bool,
    /// Keep the current value.
    pub ignore_value: bool,
    /// Keep the current lease.
    pub ignore_lease: bool,
}

impl PutRequest {
    /// A put without options.
    #[must_use]
    pub fn new(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            ..Self::default()
        }
    }
}

/// Delete keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRangeRequest {
    /// Which keys.
    pub range: KeyRange,
    /// Answer what was deleted.
    pub prev_kv: bool,
}

impl DeleteRangeRequest {
    /// A deletion without options.
    #[must_use]
    pub fn new(range: KeyRange) -> Self {
        Self {
            range,
            prev_kv: false,
        }
    }
}

/// Compare, then do one of two lists of operations, as one change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TxnRequest {
    /// All of these must hold for `success`.
    pub compare: Vec<Compare>,
    /// Done if every compare holds.
    pub success: Vec<TxnOp>,
    /// Done otherwise.
    pub failure: Vec<TxnOp>,
}

impl TxnRequest {
    /// Whether neither branch can change anything. A nested transaction counts as a change,
    /// whatever is in it.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.operations().all(|op| matches!(op, TxnOp::Range(_)))
    }

    /// Whether the client is content with this instance's memory: every operation, in both
    /// branches, is a serializable range.
    #[must_use]
    pub fn is_serializable(&self) -> bool {
        self.operations()
            .all(|op| matches!(op, TxnOp::Range(range) if range.serializable))
    }

    fn operations(&self) -> impl Iterator<Item = &TxnOp> {
        self.success.iter().chain(&self.failure)
    }
}

/// An operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnOp {
    /// Read keys.
    Range(RangeRequest),
    /// Set a key.
    Put(PutRequest),
    /// Delete keys.
    DeleteRange(DeleteRangeRequest),
    /// A transaction within the transaction.
    Txn(Box<TxnRequest>),
    /// The client set nothing: refused as [`Error::KeyNotFound`].
    Unset,
}

/// A condition on every key of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    /// Which keys. All must meet the condition; a range without keys counts as a missing key,
    /// whose numbers are 0 and whose value equals, exceeds, undercuts and differs from nothing.
    pub range: KeyRange,
    /// What is compared with what.
    pub target: CompareTarget,
    /// How.
    pub result: CompareResult,
}

/// What a condition is about, with the operand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompareTarget {
    /// The version.
    Version(i64),
    /// The create revision.
    Create(Revision),
    /// The mod revision.
    Mod(Revision),
    /// The value.
    Value(Bytes),
    /// The lease.
    Lease(LeaseId),
}

/// How a condition compares the key's property (left) with the operand (right).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareResult {
    /// Left = right.
    Equal,
    /// Left > right.
    Greater,
    /// Left < right.
    Less,
    /// Left ≠ right.
    NotEqual,
}

/// Give up the history below a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactRequest {
    /// The oldest revision that is still readable afterwards.
    pub revision: Revision,
}

/// Create a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseGrantRequest {
    /// Its name. The caller replaces a client's 0 with a random positive number.
    pub id: LeaseId,
    /// Its time to live in seconds, raised to the minimum of [`Limits`](crate::Limits).
    pub ttl: i64,
}

/// End a lease and delete its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseRevokeRequest {
    /// Which.
    pub id: LeaseId,
}

/// Restart a lease's time to live through the journal: the owner of the epoch restarts it when
/// it applies the entry. No revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseRenewRequest {
    /// Which.
    pub id: LeaseId,
}

/// End a lease that the owner of the epoch found due. Does nothing if the lease is gone, or if
/// the epoch has passed on meanwhile. Whether the lease is *still* due is the caller's to check
/// again before every evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseExpireRequest {
    /// Which.
    pub id: LeaseId,
    /// The epoch that the asker owns.
    pub epoch: Epoch,
}

/// Become the owner of the log. Does nothing unless `epoch` is the one after the current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochTakeRequest {
    /// Who.
    pub owner: MemberId,
    /// The epoch to start.
    pub epoch: Epoch,
}

/// Continue after the database went back in time: no revision that anyone may have seen is used
/// again, and everything older is compacted.
///
/// Does nothing if the state already is at that incarnation (or a later one) and at or beyond
/// that revision: of several instances that notice the same accident one is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncarnationRequest {
    /// The incarnation to start: the one after that which the asker had reloaded.
    pub incarnation: Incarnation,
    /// The least revision to continue from: above every revision that was ever exposed.
    pub bump_to: Revision,
}

/// Raise or clear an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmRequest {
    /// Raise it.
    Activate(Alarm),
    /// Clear it.
    Deactivate(Alarm),
}

impl Request {
    /// About how many bytes the request adds to a batch, for capping batches.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Put(put) => put.size(),
            Self::DeleteRange(delete) => delete.size(),
            Self::Txn(txn) => txn.size(),
            _ => OVERHEAD,
        }
    }
}

const OVERHEAD: usize = 32;

impl PutRequest {
    fn size(&self) -> usize {
        self.key.len() + self.value.len() + OVERHEAD
    }
}

impl DeleteRangeRequest {
    fn size(&self) -> usize {
        self.range.key().len() + OVERHEAD
    }
}

impl TxnRequest {
    fn size(&self) -> usize {
        let branch = |ops: &[TxnOp]| ops.iter().map(TxnOp::size).sum::<usize>();
        branch(&self.success).max(branch(&self.failure))
    }
}

impl TxnOp {
    fn size(&self) -> usize {
        match self {
            Self::Put(put) => put.size(),
            Self::DeleteRange(delete) => delete.size(),
            Self::Txn(txn) => txn.size(),
            Self::Range(_) | Self::Unset => 0,
        }
    }
}
