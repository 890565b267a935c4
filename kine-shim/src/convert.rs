//! Requests of the wire format as requests of the state machine. (Answers are in `encode`.)

use helium_etcd_proto::etcdserverpb as pb;
use helium_mvcc::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, KeyRange, LeaseId, PutRequest,
    RangeRequest, Revision, SortOrder, SortTarget, TxnOp, TxnRequest,
};

use crate::error::Refusal;

type Result<T> = std::result::Result<T, Refusal>;

/// A range, with its sort options checked. The key is checked where the range is read.
pub(crate) fn range(request: pb::RangeRequest) -> Result<RangeRequest> {
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    Ok(RangeRequest {
        range: KeyRange::new(request.key, request.range_end),
        revision: Revision(request.revision),
        limit: request.limit,
        sort_order: SortOrder::try_from(request.sort_order)?,
        sort_target: SortTarget::try_from(request.sort_target)?,
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod_revision: Revision(request.min_mod_revision),
        max_mod_revision: Revision(request.max_mod_revision),
        min_create_revision: Revision(request.min_create_revision),
        max_create_revision: Revision(request.max_create_revision),
        serializable: request.serializable,
    })
}

/// A put.
pub(crate) fn put(request: pb::PutRequest) -> PutRequest {
    PutRequest {
        key: request.key,
        value: request.value,
        lease: LeaseId(request.lease),
        prev_kv: request.prev_kv,
        ignore_value: request.ignore_value,
        ignore_lease: request.ignore_lease,
    }
}

/// A deletion.
pub(crate) fn delete_range(request: pb::DeleteRangeRequest) -> DeleteRangeRequest {
    DeleteRangeRequest {
        range: KeyRange::new(request.key, request.range_end),
        prev_kv: request.prev_kv,
    }
}

/// A transaction, with everything nested in it.
pub(crate) fn txn(request: pb::TxnRequest) -> Result<TxnRequest> {
    Ok(TxnRequest {
        compare: request
            .compare
            .into_iter()
            .map(compare)
            .collect::<Result<_>>()?,
        success: request
            .success
            .into_iter()
            .map(operation)
            .collect::<Result<_>>()?,
        failure: request
            .failure
            .into_iter()
            .map(operation)
            .collect::<Result<_>>()?,
    })
}

fn operation(op: pb::RequestOp) -> Result<TxnOp> {
    use pb::request_op::Request;
    Ok(match op.request {
        Some(Request::RequestRange(request)) => TxnOp::Range(range(request)?),
        Some(Request::RequestPut(request)) => TxnOp::Put(put(request)),
        Some(Request::RequestDeleteRange(request)) => TxnOp::DeleteRange(delete_range(request)),
        Some(Request::RequestTxn(request)) => TxnOp::Txn(Box::new(txn(request)?)),
        None => TxnOp::Unset,
    })
}

/// A compare. An operand of another kind than the target, or none, counts as zero or empty.
fn compare(compare: pb::Compare) -> Result<Compare> {
    use pb::compare::{CompareResult as Results, CompareTarget as Targets, TargetUnion as Operand};
    let operand = compare.target_union;
    let target = Targets::try_from(compare.target).map_err(|_unknown| Refusal::UnknownCompare)?;
    let target = match target {
        Targets::Version => CompareTarget::Version(match operand {
            Some(Operand::Version(version)) => version,
            _ => 0,
        }),
        Targets::Create => CompareTarget::Create(Revision(match operand {
            Some(Operand::CreateRevision(revision)) => revision,
            _ => 0,
        })),
        Targets::Mod => CompareTarget::Mod(Revision(match operand {
            Some(Operand::ModRevision(revision)) => revision,
            _ => 0,
        })),
        Targets::Value => CompareTarget::Value(match operand {
            Some(Operand::Value(value)) => value,
            _ => bytes::Bytes::new(),
        }),
        Targets::Lease => CompareTarget::Lease(LeaseId(match operand {
            Some(Operand::Lease(lease)) => lease,
            _ => 0,
        })),
    };
    let result = Results::try_from(compare.result).map_err(|_unknown| Refusal::UnknownCompare)?;
    Ok(Compare {
        range: KeyRange::new(compare.key, compare.range_end),
        target,
        result: match result {
            Results::Equal => CompareResult::Equal,
            Results::Greater => CompareResult::Greater,
            Results::Less => CompareResult::Less,
            Results::NotEqual => CompareResult::NotEqual,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operand_of_another_kind_counts_as_zero() {
        let wire = pb::Compare {
            key: "a".into(),
            target: pb::compare::CompareTarget::Mod as i32,
            target_union: Some(pb::compare::TargetUnion::Version(7)),
            ..pb::Compare::default()
        };
        let compare = compare(wire).expect("a known target");
        assert_eq!(compare.target, CompareTarget::Mod(Revision::UNSET));
    }

    #[test]
    fn unknown_sort_options_are_refused() {
        let request = pb::RangeRequest {
            key: "a".into(),
            sort_order: 3,
            ..Default::default()
        };
        assert_eq!(range(request), Err(Refusal::InvalidSortOption));
    }
}
