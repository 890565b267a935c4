//! Transactions: decide every branch on the state before, check the chosen operations, then do
//! them in order, all at one revision.

use std::ops::ControlFlow;

use super::Batch;
use crate::{
    Compare, CompareResult, CompareTarget, KeyValue, Result, Revision, TxnOp, TxnOpResponse,
    TxnRequest, TxnResponse, keyspace::LATEST, range, view::View,
};

/// Which branches are taken: that of the transaction, then those of the nested transactions in
/// the chosen branch, depth first.
type Path = Vec<bool>;

impl Batch<'_> {
    /// Runs a transaction that was validated.
    pub(super) fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse> {
        if !request.is_read_only() {
            self.check_alarms(has_put(request))?;
        }
        let mut path = Path::new();
        self.decide(request, &mut path);
        self.check(request, &mut path.iter().copied())?;
        let mut response = self.execute(request, &mut path.iter().copied());
        response.revision = View::revision(self);
        Ok(response)
    }

    fn decide(&self, request: &TxnRequest, path: &mut Path) {
        let succeeded = request.compare.iter().all(|compare| holds(self, compare));
        path.push(succeeded);
        for operation in branch(request, succeeded) {
            if let TxnOp::Txn(nested) = operation {
                self.decide(nested, path);
            }
        }
    }

    /// Refuses what a chosen operation can't do; those of other branches don't matter.
    fn check(&self, request: &TxnRequest, path: &mut impl Iterator<Item = bool>) -> Result<()> {
        for operation in branch(request, path.next().unwrap_or_default()) {
            match operation {
                TxnOp::Range(request) => range::check(self, request)?,
                TxnOp::Put(request) => self.check_put(request)?,
                TxnOp::Txn(nested) => self.check(nested, path)?,
                TxnOp::DeleteRange(_) | TxnOp::Unset => {}
            }
        }
        Ok(())
    }

    /// Does the chosen operations; nothing can go wrong any more.
    fn execute(
        &mut self,
        request: &TxnRequest,
        path: &mut impl Iterator<Item = bool>,
    ) -> TxnResponse {
        let succeeded = path.next().unwrap_or_default();
        let operations = branch(request, succeeded);
        let mut responses = Vec::with_capacity(operations.len());
        for operation in operations {
            responses.push(match operation {
                TxnOp::Range(request) => TxnOpResponse::Range(range::read(self, request)),
                TxnOp::Put(request) => TxnOpResponse::Put(self.do_put(request)),
                TxnOp::DeleteRange(request) => {
                    TxnOpResponse::DeleteRange(self.do_delete_range(request))
                }
                TxnOp::Txn(nested) => TxnOpResponse::Txn(self.execute(nested, path)),
                TxnOp::Unset => continue,
            });
        }
        TxnResponse {
            revision: Revision::UNSET,
            succeeded,
            responses,
        }
    }
}

fn branch(request: &TxnRequest, succeeded: bool) -> &[TxnOp] {
    if succeeded {
        &request.success
    } else {
        &request.failure
    }
}

/// Whether either branch could take up space.
fn has_put(request: &TxnRequest) -> bool {
    request
        .success
        .iter()
        .chain(&request.failure)
        .any(|operation| match operation {
            TxnOp::Put(_) => true,
            TxnOp::Txn(nested) => has_put(nested),
            TxnOp::Range(_) | TxnOp::DeleteRange(_) | TxnOp::Unset => false,
        })
}

/// Whether all keys of the range meet the condition.
fn holds(view: &impl View, compare: &Compare) -> bool {
    if compare.range.is_single() {
        return match view.get(compare.range.key(), LATEST) {
            Some(kv) => meets(compare, kv),
            None => missing_meets(compare),
        };
    }
    let mut any = false;
    let mut all = true;
    view.scan(&compare.range, LATEST, &mut |kv| {
        any = true;
        all = meets(compare, kv);
        if all {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    if any { all } else { missing_meets(compare) }
}

fn meets(compare: &Compare, kv: &KeyValue) -> bool {
    let ordering = match &compare.target {
        CompareTarget::Version(version) => kv.version.cmp(version),
        CompareTarget::Create(revision) => kv.create_revision.cmp(revision),
        CompareTarget::Mod(revision) => kv.mod_revision.cmp(revision),
        CompareTarget::Lease(lease) => kv.lease.cmp(lease),
        CompareTarget::Value(value) => kv.value.cmp(value),
    };
    match compare.result {
        CompareResult::Equal => ordering.is_eq(),
        CompareResult::Greater => ordering.is_gt(),
        CompareResult::Less => ordering.is_lt(),
        CompareResult::NotEqual => ordering.is_ne(),
    }
}

/// A missing key has the number 0 for everything but the value, and no value to compare with.
fn missing_meets(compare: &Compare) -> bool {
    if matches!(compare.target, CompareTarget::Value(_)) {
        return false;
    }
    meets(
        compare,
        &KeyValue::tombstone(bytes::Bytes::new(), Revision::UNSET),
    )
}
