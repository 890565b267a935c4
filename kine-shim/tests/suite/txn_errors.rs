//! Transactions that are refused, and leave nothing behind.

use helium_etcd_proto::etcdserverpb as pb;
use tonic::Code;

use super::client::{is_missing, one, op, op_delete, op_get, op_put, op_range, op_txn, txn};
use super::target::Target;

pub(crate) async fn duplicate_keys_are_refused(target: &Target) {
    let client = &target.client;
    let nested = |success, failure| op_txn(txn(vec![], success, failure));
    let refused = [
        vec![op_put("a", "1"), op_put("a", "2")],
        vec![op_put("a", "1"), op_delete("a", "")],
        vec![op_delete("a", "b"), op_put("a", "1")],
        vec![op_put("a", "1"), nested(vec![op_put("a", "2")], vec![])],
        vec![nested(vec![op_put("a", "2")], vec![]), op_put("a", "1")],
        vec![op_put("b", "1"), nested(vec![op_delete("a", "c")], vec![])],
        vec![
            nested(vec![op_delete("a", "c")], vec![]),
            nested(vec![op_put("b", "1")], vec![]),
        ],
    ];
    for operations in refused {
        let status = client
            .txn(txn(vec![], operations.clone(), vec![]))
            .await
            .expect_err("a duplicate key");
        assert_eq!(
            (status.code(), status.message()),
            (
                Code::InvalidArgument,
                "etcdserver: duplicate key given in txn request"
            ),
            "{operations:?}"
        );
    }
    let status = client
        .txn(txn(
            vec![],
            vec![],
            vec![op_put("a", "1"), op_put("a", "2")],
        ))
        .await
        .expect_err("the other branch is checked too");
    assert_eq!(
        status.message(),
        "etcdserver: duplicate key given in txn request"
    );
    assert_eq!(client.revision().await, 1);
    let allowed = [
        vec![op_delete("a", "c"), op_delete("b", "d")],
        vec![nested(vec![op_put("a", "1")], vec![op_put("a", "2")])],
        vec![op_get("a"), op_put("a", "1"), op_get("a")],
        vec![op_put("a", "1"), op_delete("b", "c")],
    ];
    for operations in allowed {
        client
            .txn(txn(vec![], operations, vec![]))
            .await
            .expect("allowed");
    }
}

pub(crate) async fn future_revision_inside_rolls_back_everything(target: &Target) {
    let client = &target.client;
    client.put("a", "1").await;
    let future = pb::RangeRequest {
        revision: 3,
        ..one("b")
    };
    let status = client
        .txn(txn(
            vec![],
            vec![op_put("b", "1"), op_range(future)],
            vec![],
        ))
        .await
        .expect_err("the revision that this transaction would make is in the future");
    assert_eq!(status.code(), Code::OutOfRange);
    assert_eq!(
        status.message(),
        "etcdserver: mvcc: required revision is a future revision"
    );
    assert!(client.get("b").await.is_none());
    assert_eq!(client.revision().await, 2);
}

pub(crate) async fn error_in_the_chosen_branch_rolls_back_everything(target: &Target) {
    let client = &target.client;
    let leased = || {
        let put = pb::PutRequest {
            key: "l".into(),
            lease: 404,
            ..Default::default()
        };
        op(pb::request_op::Request::RequestPut(put))
    };
    let kept = || {
        let put = pb::PutRequest {
            key: "k".into(),
            ignore_value: true,
            ..Default::default()
        };
        op(pb::request_op::Request::RequestPut(put))
    };
    for (bad, text) in [
        (leased(), "etcdserver: requested lease not found"),
        (kept(), "etcdserver: key not found"),
    ] {
        let request = txn(vec![], vec![op_put("a", "1"), bad], vec![]);
        let status = client.txn(request).await.expect_err("refused");
        assert_eq!(status.message(), text);
    }
    assert_eq!(client.revision().await, 1);
    let other = txn(
        vec![is_missing("a")],
        vec![op_put("a", "1")],
        vec![leased(), kept()],
    );
    assert!(
        client
            .txn(other)
            .await
            .expect("the other branch isn't run")
            .succeeded
    );
}

pub(crate) async fn operations_are_limited(target: &Target) {
    let client = &target.client;
    let puts = |count: usize| -> Vec<pb::RequestOp> {
        (0..count)
            .map(|number| op_put(format!("k{number}"), "v"))
            .collect()
    };
    let too_many = "etcdserver: too many operations in txn request";
    for request in [
        txn(vec![], puts(129), vec![]),
        txn(vec![], vec![], puts(129)),
        txn(
            (0..129)
                .map(|number| is_missing(format!("k{number}")))
                .collect(),
            vec![],
            vec![],
        ),
        txn(
            vec![],
            {
                let mut operations = vec![op_txn(txn(vec![], puts(127), vec![]))];
                operations.push(op_get("a"));
                operations
            },
            vec![],
        ),
    ] {
        let status = client.txn(request).await.expect_err("too many");
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, too_many)
        );
    }
    client
        .txn(txn(vec![], puts(128), vec![]))
        .await
        .expect("128 are allowed");
    let nested = txn(vec![], vec![op_txn(txn(vec![], puts(127), vec![]))], vec![]);
    client
        .txn(nested)
        .await
        .expect("a nested one has what its parent leaves");
}

pub(crate) async fn empty_operations_are_refused(target: &Target) {
    let client = &target.client;
    for (request, text) in [
        (
            txn(vec![], vec![pb::RequestOp { request: None }], vec![]),
            "etcdserver: key not found",
        ),
        (
            txn(vec![is_missing("")], vec![], vec![]),
            "etcdserver: key is not provided",
        ),
        (
            txn(vec![], vec![op_put("", "v")], vec![]),
            "etcdserver: key is not provided",
        ),
        (
            txn(vec![], vec![], vec![op_get("")]),
            "etcdserver: key is not provided",
        ),
    ] {
        let status = client.txn(request).await.expect_err("refused");
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, text)
        );
    }
}
