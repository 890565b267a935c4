//! Transactions that succeed.

use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::compare::{CompareResult, TargetUnion};
use helium_etcd_proto::etcdserverpb::response_op::Response;

use super::client::{
    answers, compare, everything, is_missing, op_delete, op_get, op_put, op_range, op_txn,
    revision, txn,
};
use super::target::Target;

pub(crate) async fn failed_compare_answers_the_else_branch(target: &Target) {
    let client = &target.client;
    client.put("a", "1").await;
    let request = txn(
        vec![is_missing("a")],
        vec![op_put("a", "2")],
        vec![op_get("a")],
    );
    let response = client.txn(request).await.expect("a transaction");
    assert!(!response.succeeded);
    assert_eq!(revision(response.header), 2, "nothing was written");
    let [Response::ResponseRange(range)] = &answers(response)[..] else {
        panic!("the answer of the else branch");
    };
    assert_eq!(&range.kvs[0].value[..], b"1");
    assert_eq!(client.revision().await, 2);
    let nothing = txn(vec![is_missing("a")], vec![op_put("a", "2")], vec![]);
    let response = client.txn(nothing).await.expect("a transaction");
    assert!(!response.succeeded && response.responses.is_empty());
}

pub(crate) async fn missing_key_compares_as_zero_and_has_no_value(target: &Target) {
    let client = &target.client;
    let results = [
        CompareResult::Equal,
        CompareResult::NotEqual,
        CompareResult::Less,
        CompareResult::Greater,
    ];
    for result in results {
        for value in ["", "x"] {
            let condition = compare("none", result, TargetUnion::Value(value.into()));
            let response = client
                .txn(txn(vec![condition], vec![], vec![]))
                .await
                .expect("a txn");
            assert!(
                !response.succeeded,
                "a value compare of nothing: {result:?} {value:?}"
            );
        }
    }
    for operand in [
        TargetUnion::Version(0),
        TargetUnion::CreateRevision(0),
        TargetUnion::ModRevision(0),
        TargetUnion::Lease(0),
    ] {
        for (result, holds) in [
            (CompareResult::Equal, true),
            (CompareResult::NotEqual, false),
            (CompareResult::Less, false),
            (CompareResult::Greater, false),
        ] {
            let condition = compare("none", result, operand.clone());
            let response = client
                .txn(txn(vec![condition], vec![], vec![]))
                .await
                .expect("a txn");
            assert_eq!(response.succeeded, holds, "{operand:?} {result:?}");
        }
    }
}

pub(crate) async fn compares_of_ranges_need_every_key(target: &Target) {
    let client = &target.client;
    client.put("a", "x").await;
    client.put("b", "x").await;
    client.put("b", "x").await;
    let over = |end: &'static str, operand| pb::Compare {
        range_end: end.into(),
        ..compare("a", CompareResult::Equal, operand)
    };
    for (condition, holds) in [
        (over("c", TargetUnion::Value("x".into())), true),
        (over("c", TargetUnion::Version(1)), false),
        (over("b", TargetUnion::Version(1)), true),
        (over("a", TargetUnion::Version(0)), true),
    ] {
        let response = client
            .txn(txn(vec![condition.clone()], vec![], vec![]))
            .await
            .expect("a txn");
        assert_eq!(response.succeeded, holds, "{condition:?}");
    }
}

pub(crate) async fn inner_headers_show_the_revision_of_their_operation(target: &Target) {
    let client = &target.client;
    client.put("a", "1").await;
    let operations = vec![
        op_get("a"),
        op_delete("nothing", ""),
        op_put("b", "1"),
        op_get("a"),
        op_delete("nothing", ""),
        op_delete("a", ""),
    ];
    let response = client
        .txn(txn(vec![], operations, vec![]))
        .await
        .expect("a transaction");
    assert_eq!(revision(response.header), 3);
    let revisions: Vec<i64> = answers(response)
        .into_iter()
        .map(|answer| match answer {
            Response::ResponseRange(range) => revision(range.header),
            Response::ResponsePut(put) => revision(put.header),
            Response::ResponseDeleteRange(delete) => revision(delete.header),
            Response::ResponseTxn(txn) => revision(txn.header),
        })
        .collect();
    assert_eq!(revisions, [2, 2, 3, 3, 3, 3]);
}

pub(crate) async fn operations_see_those_before_them(target: &Target) {
    let client = &target.client;
    client.put("old", "1").await;
    let operations = vec![
        op_put("a", "1"),
        op_get("a"),
        op_delete("old", ""),
        op_range(everything()),
    ];
    let response = client
        .txn(txn(vec![], operations, vec![]))
        .await
        .expect("a transaction");
    let answers = answers(response);
    let Response::ResponseRange(seen) = &answers[1] else {
        panic!("a range")
    };
    assert_eq!(
        seen.kvs[0].mod_revision, 3,
        "the put of the same transaction"
    );
    let Response::ResponseDeleteRange(deleted) = &answers[2] else {
        panic!("a deletion")
    };
    assert_eq!(deleted.deleted, 1);
    let Response::ResponseRange(left) = &answers[3] else {
        panic!("a range")
    };
    assert_eq!((left.count, &left.kvs[0].key[..]), (1, &b"a"[..]));
}

pub(crate) async fn nested_compares_see_the_state_before(target: &Target) {
    let client = &target.client;
    client.put("a", "before").await;
    let unchanged = compare(
        "a",
        CompareResult::Equal,
        TargetUnion::Value("before".into()),
    );
    let nested = txn(
        vec![unchanged],
        vec![op_get("a")],
        vec![op_put("wrong", "1")],
    );
    let request = txn(vec![], vec![op_put("a", "after"), op_txn(nested)], vec![]);
    let response = client.txn(request).await.expect("a transaction");
    assert_eq!(revision(response.header), 3);
    let answers_outer = answers(response);
    let Response::ResponseTxn(inner) = &answers_outer[1] else {
        panic!("a nested answer")
    };
    assert!(
        inner.succeeded,
        "compared with the state before the transaction"
    );
    let Response::ResponseRange(range) = &answers(inner.clone())[0] else {
        panic!("a range")
    };
    assert_eq!(
        &range.kvs[0].value[..],
        b"after",
        "but it reads what came before it"
    );
}

pub(crate) async fn empty_transaction_succeeds(target: &Target) {
    let response = target
        .client
        .txn(pb::TxnRequest::default())
        .await
        .expect("a transaction");
    assert!(response.succeeded && response.responses.is_empty());
    assert_eq!(revision(response.header), 1);
}
