//! Answers. Every one carries the `revision` of its response header: the store's revision when
//! it was served, not the one that was asked for.

use std::sync::Arc;

use crate::{Alarm, Epoch, Incarnation, KeyValue, LeaseId, MemberId, Revision};

/// What a [`Batch`](crate::Batch) answers to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The answer.
    pub response: Response,
    /// Whether the request put anything into the batch. An answer without a write is a read: it
    /// may be given only once the prefix that it was evaluated on is confirmed.
    pub wrote: bool,
}

/// The answer to a [`Request`](crate::Request), variant for variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// A key was set.
    Put(PutResponse),
    /// Keys were deleted.
    DeleteRange(DeleteRangeResponse),
    /// A transaction ran.
    Txn(TxnResponse),
    /// History was given up.
    Compact(CompactResponse),
    /// A lease was created.
    LeaseGrant(LeaseGrantResponse),
    /// A lease was ended.
    LeaseRevoke(LeaseRevokeResponse),
    /// A lease was restarted.
    LeaseRenew(LeaseRenewResponse),
    /// A due lease was ended.
    LeaseExpire(LeaseExpireResponse),
    /// The log has an owner.
    EpochTake(EpochTakeResponse),
    /// The store continues.
    Incarnation(IncarnationResponse),
    /// An alarm was raised or cleared.
    Alarm(AlarmResponse),
}

impl Response {
    /// The revision of the response header.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            Self::Put(response) => response.revision,
            Self::DeleteRange(response) => response.revision,
            Self::Txn(response) => response.revision,
            Self::Compact(response) => response.revision,
            Self::LeaseGrant(response) => response.revision,
            Self::LeaseRevoke(response) => response.revision,
            Self::LeaseRenew(response) => response.revision,
            Self::LeaseExpire(response) => response.revision,
            Self::EpochTake(response) => response.revision,
            Self::Incarnation(response) => response.revision,
            Self::Alarm(response) => response.revision,
        }
    }
}

/// Keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RangeResponse {
    /// The header's revision.
    pub revision: Revision,
    /// The keys asked for. With `keys_only` they come without value and lease.
    pub kvs: Vec<Arc<KeyValue>>,
    /// Whether the limit cut something off.
    pub more: bool,
    /// How many keys the range has at that revision, whatever limit and filters say.
    pub count: i64,
}

/// A key was set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PutResponse {
    /// The header's revision: that of the put.
    pub revision: Revision,
    /// The version before, if it was asked for and there was one.
    pub prev_kv: Option<Arc<KeyValue>>,
}

/// Keys were deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteRangeResponse {
    /// The header's revision: that of the deletion, if there was one.
    pub revision: Revision,
    /// How many.
    pub deleted: i64,
    /// What was deleted, in key order, if it was asked for.
    pub prev_kvs: Vec<Arc<KeyValue>>,
}

/// A transaction ran.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TxnResponse {
    /// The header's revision: the one after the transaction; zero in a nested transaction.
    pub revision: Revision,
    /// Whether every compare held.
    pub succeeded: bool,
    /// The answers of the operations that were done, one for one.
    pub responses: Vec<TxnOpResponse>,
}

/// The answer of an operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnOpResponse {
    /// Keys.
    Range(RangeResponse),
    /// A key was set.
    Put(PutResponse),
    /// Keys were deleted.
    DeleteRange(DeleteRangeResponse),
    /// A nested transaction ran.
    Txn(TxnResponse),
}

/// History was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompactResponse {
    /// The header's revision.
    pub revision: Revision,
}

/// A lease was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeaseGrantResponse {
    /// The header's revision.
    pub revision: Revision,
    /// Its name.
    pub id: LeaseId,
    /// Its time to live in seconds, as granted.
    pub ttl: i64,
}

/// A lease was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeaseRevokeResponse {
    /// The header's revision: that of the deletion of its keys, if there were any.
    pub revision: Revision,
}

/// A lease was restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeaseRenewResponse {
    /// The header's revision.
    pub revision: Revision,
    /// The lease.
    pub id: LeaseId,
    /// Its full time to live in seconds; 0 if there is no such lease.
    pub ttl: i64,
}

/// A due lease was ended, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeaseExpireResponse {
    /// The header's revision.
    pub revision: Revision,
    /// Whether it was ended by this request.
    pub expired: bool,
}

/// What the state knows of a lease; how long it has left is [`Expiry`](crate::Expiry)'s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseInfo {
    /// The lease.
    pub id: LeaseId,
    /// Its time to live in seconds, as granted.
    pub ttl: i64,
}

/// The log has an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EpochTakeResponse {
    /// The header's revision.
    pub revision: Revision,
    /// Whether the asker became the owner by this request.
    pub taken: bool,
    /// The current epoch.
    pub epoch: Epoch,
    /// The current owner.
    pub owner: MemberId,
}

/// The store continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IncarnationResponse {
    /// The header's revision: the one that the store continues from.
    pub revision: Revision,
    /// The current incarnation.
    pub incarnation: Incarnation,
}

/// An alarm was raised or cleared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlarmResponse {
    /// The header's revision.
    pub revision: Revision,
    /// The alarm; empty if one was to be cleared that wasn't raised.
    pub alarms: Vec<Alarm>,
}
