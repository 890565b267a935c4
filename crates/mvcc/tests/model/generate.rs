//! Random requests over few keys, leases and revisions, so that they meet.

use bytes::Bytes;
use helium_mvcc::*;
use proptest::{collection::vec, prelude::*};

const KEYS: [&[u8]; 7] = [b"a", b"a\0", b"ab", b"b", b"c", b"\xff", b"\xff\xff"];

/// Ranges of every form.
pub(crate) fn ranges() -> Vec<KeyRange> {
    let mut ranges = vec![
        KeyRange::all(),
        KeyRange::prefix("a"),
        KeyRange::prefix(&b"\xff"[..]),
        KeyRange::from_key("b"),
        KeyRange::new("a".into(), "b".into()),
        KeyRange::new("ab".into(), "c".into()),
        KeyRange::new("c".into(), "c".into()),
        KeyRange::new("c".into(), "a".into()),
    ];
    ranges.extend(KEYS.map(KeyRange::single));
    ranges
}

fn key() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        40 => prop::sample::select(&KEYS[..]).prop_map(Bytes::from_static),
        1 => Just(Bytes::new()),
    ]
}

fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        20 => prop::sample::select(ranges()),
        1 => Just(KeyRange::single("")),
    ]
}

fn value() -> impl Strategy<Value = Bytes> {
    prop::sample::select(&["", "x", "y", "zz"][..]).prop_map(Bytes::from)
}

fn lease() -> impl Strategy<Value = LeaseId> {
    (-1..4_i64).prop_map(LeaseId)
}

/// Small numbers: around the revisions that a run gets to.
fn revision() -> impl Strategy<Value = Revision> {
    (-1..40_i64).prop_map(Revision)
}

fn range_request() -> impl Strategy<Value = RangeRequest> {
    let rarely = || prop::bool::weighted(0.15);
    let bound = || prop_oneof![5 => Just(Revision(0)), 1 => revision()];
    let order = prop_oneof![
        2 => Just(SortOrder::None),
        1 => Just(SortOrder::Ascend),
        1 => Just(SortOrder::Descend)
    ];
    let target = prop_oneof![
        Just(SortTarget::Key),
        Just(SortTarget::Version),
        Just(SortTarget::Create),
        Just(SortTarget::Mod),
        Just(SortTarget::Value),
    ];
    let pinned = prop_oneof![3 => Just(Revision(0)), 1 => revision()];
    let shape = (range(), pinned, -1..5_i64, order, target);
    let bounds = (bound(), bound(), bound(), bound());
    (shape, bounds, rarely(), rarely()).prop_map(|(shape, bounds, keys_only, count_only)| {
        let (range, revision, limit, sort_order, sort_target) = shape;
        let (min_mod_revision, max_mod_revision, min_create_revision, max_create_revision) = bounds;
        RangeRequest {
            range,
            revision,
            limit,
            sort_order,
            sort_target,
            keys_only,
            count_only,
            min_mod_revision,
            max_mod_revision,
            min_create_revision,
            max_create_revision,
            serializable: false,
        }
    })
}

fn put_request() -> impl Strategy<Value = PutRequest> {
    let lease = prop_oneof![3 => Just(LeaseId::NONE), 2 => lease()];
    let rarely = || prop::bool::weighted(0.1);
    (key(), value(), lease, any::<bool>(), rarely(), rarely()).prop_map(
        |(key, value, lease, prev_kv, ignore_value, ignore_lease)| PutRequest {
            key,
            // Mostly what goes together, sometimes what is refused.
            value: if ignore_value && value != "zz" {
                Bytes::new()
            } else {
                value
            },
            lease: if ignore_lease && lease.0 != 3 {
                LeaseId::NONE
            } else {
                lease
            },
            prev_kv,
            ignore_value,
            ignore_lease,
        },
    )
}

fn delete_request() -> impl Strategy<Value = DeleteRangeRequest> {
    (range(), any::<bool>()).prop_map(|(range, prev_kv)| DeleteRangeRequest { range, prev_kv })
}

fn compare() -> impl Strategy<Value = Compare> {
    let target = prop_oneof![
        (0..4_i64).prop_map(CompareTarget::Version),
        revision().prop_map(CompareTarget::Create),
        revision().prop_map(CompareTarget::Mod),
        value().prop_map(CompareTarget::Value),
        lease().prop_map(CompareTarget::Lease),
    ];
    let result = prop_oneof![
        Just(CompareResult::Equal),
        Just(CompareResult::Greater),
        Just(CompareResult::Less),
        Just(CompareResult::NotEqual),
    ];
    (range(), target, result).prop_map(|(range, target, result)| Compare {
        range,
        target,
        result,
    })
}

fn txn_request() -> impl Strategy<Value = TxnRequest> {
    let leaf = prop_oneof![
        3 => range_request().prop_map(TxnOp::Range),
        5 => put_request().prop_map(TxnOp::Put),
        2 => delete_request().prop_map(TxnOp::DeleteRange),
    ];
    let txn = |op: BoxedStrategy<TxnOp>| {
        (vec(compare(), 0..3), vec(op.clone(), 0..4), vec(op, 0..4)).prop_map(
            |(compare, success, failure)| TxnRequest {
                compare,
                success,
                failure,
            },
        )
    };
    let op = leaf.prop_recursive(2, 12, 3, move |inner| {
        prop_oneof![
            3 => inner.clone(),
            1 => txn(inner).prop_map(|request| TxnOp::Txn(Box::new(request))),
        ]
    });
    txn(op.boxed())
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        10 => put_request().prop_map(Request::Put),
        4 => delete_request().prop_map(Request::DeleteRange),
        12 => txn_request().prop_map(Request::Txn),
        2 => revision().prop_map(|revision| Request::Compact(CompactRequest { revision })),
        3 => (lease(), -1..5_i64)
            .prop_map(|(id, ttl)| Request::LeaseGrant(LeaseGrantRequest { id, ttl })),
        2 => lease().prop_map(|id| Request::LeaseRevoke(LeaseRevokeRequest { id })),
        1 => lease().prop_map(|id| Request::LeaseRenew(LeaseRenewRequest { id })),
        1 => (lease(), 0..2_u64).prop_map(|(id, epoch)| {
            Request::LeaseExpire(LeaseExpireRequest { id, epoch: Epoch(epoch) })
        }),
    ]
}
