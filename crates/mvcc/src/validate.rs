//! What can be refused from the request alone, before anything is evaluated.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::{
    DeleteRangeRequest, Error, KeyRange, LeaseGrantRequest, LeaseId, Limits, MAX_LEASE_TTL,
    PutRequest, RangeRequest, Request, Result, TxnOp, TxnRequest,
};

impl Request {
    /// Refuses what no state would accept. [`Batch::evaluate`](crate::Batch::evaluate) does it
    /// too; doing it earlier saves a place in the queue.
    ///
    /// # Errors
    /// One that [is independent of the state](Error::is_independent_of_state), or
    /// [`Error::KeyNotFound`] for an operation in which nothing is set.
    pub fn validate(&self, limits: &Limits) -> Result<()> {
        match self {
            Self::Put(request) => put(request),
            Self::DeleteRange(request) => delete_range(request),
            Self::Txn(request) => txn(request, limits),
            Self::LeaseGrant(request) => lease_grant(request),
            Self::Compact(_)
            | Self::LeaseRevoke(_)
            | Self::LeaseRenew(_)
            | Self::LeaseExpire(_)
            | Self::EpochTake(_)
            | Self::Incarnation(_)
            | Self::Alarm(_) => Ok(()),
        }
    }
}

pub(crate) fn range(request: &RangeRequest) -> Result<()> {
    key(request.range.key())
}

pub(crate) fn put(request: &PutRequest) -> Result<()> {
    key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(Error::ValueProvided);
    }
    if request.ignore_lease && request.lease.is_some() {
        return Err(Error::LeaseProvided);
    }
    Ok(())
}

pub(crate) fn delete_range(request: &DeleteRangeRequest) -> Result<()> {
    key(request.range.key())
}

pub(crate) fn lease_grant(request: &LeaseGrantRequest) -> Result<()> {
    if request.ttl > MAX_LEASE_TTL {
        return Err(Error::LeaseTtlTooLarge);
    }
    if request.id == LeaseId::NONE {
        return Err(Error::LeaseNotFound);
    }
    Ok(())
}

pub(crate) fn txn(request: &TxnRequest, limits: &Limits) -> Result<()> {
    operations(request, limits.max_txn_ops)?;
    // A branch with one operation that is no transaction can't change a key twice.
    for branch in [&request.success, &request.failure] {
        if !matches!(
            &branch[..],
            [] | [TxnOp::Put(_) | TxnOp::Range(_) | TxnOp::DeleteRange(_)]
        ) {
            Writes::of(branch)?;
        }
    }
    Ok(())
}

fn key(key: &Bytes) -> Result<()> {
    if key.is_empty() {
        Err(Error::EmptyKey)
    } else {
        Ok(())
    }
}

/// Each operation by itself. The longest list counts against the budget, and a nested transaction
/// gets what is left of it.
fn operations(request: &TxnRequest, budget: usize) -> Result<()> {
    let TxnRequest {
        compare,
        success,
        failure,
    } = request;
    let longest = compare.len().max(success.len()).max(failure.len());
    let left = budget.checked_sub(longest).ok_or(Error::TooManyOps)?;
    compare
        .iter()
        .try_for_each(|compare| key(compare.range.key()))?;
    success
        .iter()
        .chain(failure)
        .try_for_each(|operation| match operation {
            TxnOp::Range(request) => range(request),
            TxnOp::Put(request) => put(request),
            TxnOp::DeleteRange(request) => delete_range(request),
            TxnOp::Txn(request) => operations(request, left),
            TxnOp::Unset => Err(Error::KeyNotFound),
        })
}

/// The keys that a list of operations may put and delete, with all that is nested in it.
#[derive(Default)]
struct Writes<'a> {
    puts: BTreeSet<&'a Bytes>,
    deletes: Vec<&'a KeyRange>,
}

impl<'a> Writes<'a> {
    /// Collects them, unless one run of the list could put a key twice, or both put and delete
    /// it. Deleting twice is fine, and so is anything in the two branches of one nested
    /// transaction, of which only one runs.
    fn of(operations: &'a [TxnOp]) -> Result<Self> {
        let mut all = Self::default();
        for operation in operations {
            match operation {
                TxnOp::Put(request) => {
                    let puts = BTreeSet::from([&request.key]);
                    all.add(Self {
                        puts,
                        deletes: Vec::new(),
                    })?;
                }
                TxnOp::DeleteRange(request) => {
                    let deletes = vec![&request.range];
                    all.add(Self {
                        puts: BTreeSet::new(),
                        deletes,
                    })?;
                }
                TxnOp::Txn(nested) => {
                    let mut either = Self::of(&nested.success)?;
                    let otherwise = Self::of(&nested.failure)?;
                    either.puts.extend(otherwise.puts);
                    either.deletes.extend(otherwise.deletes);
                    all.add(either)?;
                }
                TxnOp::Range(_) | TxnOp::Unset => {}
            }
        }
        Ok(all)
    }

    fn add(&mut self, more: Self) -> Result<()> {
        let twice = more.puts.iter().any(|key| self.puts.contains(key));
        if twice || self.deletes_any(&more.puts) || more.deletes_any(&self.puts) {
            return Err(Error::DuplicateKey);
        }
        self.puts.extend(more.puts);
        self.deletes.extend(more.deletes);
        Ok(())
    }

    fn deletes_any(&self, puts: &BTreeSet<&Bytes>) -> bool {
        self.deletes.iter().any(|range| {
            // The first put at or above the range's lower bound is the only one to look at.
            puts.range::<&Bytes, _>(range.key()..)
                .next()
                .is_some_and(|key| range.contains(key))
        })
    }
}
