//! Transactions.

use bytes::Bytes;
use helium_mvcc::*;

use crate::store::*;

fn mod_is(key: &str, revision: i64) -> Compare {
    compare(
        key,
        CompareTarget::Mod(Revision(revision)),
        CompareResult::Equal,
    )
}

#[test]
fn a_failed_compare_reads_and_changes_nothing() {
    let mut store = Store::new();
    store.put("a", "1");
    let response = store
        .txn(TxnRequest {
            compare: vec![mod_is("a", 9)],
            success: vec![put("a", "2")],
            failure: vec![get(single("a"))],
        })
        .expect("txn");
    assert!(!response.succeeded);
    assert_eq!((response.revision, store.revision()), (Revision(2), 2));
    match &response.responses[..] {
        [TxnOpResponse::Range(range)] => assert_eq!(range.kvs[0].value, "1"),
        other => panic!("{other:?}"),
    }
    let empty = TxnRequest {
        compare: vec![mod_is("a", 9)],
        ..TxnRequest::default()
    };
    assert_eq!(store.txn(empty).expect("txn").responses, []);
}

#[test]
fn a_missing_key_compares_as_zero_and_its_value_as_nothing() {
    use CompareResult::*;
    let mut store = Store::new();
    let mut holds = |target: CompareTarget, result| {
        let compare = vec![compare("missing", target, result)];
        store
            .txn(TxnRequest {
                compare,
                ..TxnRequest::default()
            })
            .expect("txn")
            .succeeded
    };
    for result in [Equal, NotEqual, Less, Greater] {
        assert!(
            !holds(CompareTarget::Value(Bytes::new()), result),
            "{result:?}"
        );
    }
    assert!(holds(CompareTarget::Mod(Revision(0)), Equal));
    assert!(holds(CompareTarget::Create(Revision(0)), Equal));
    assert!(holds(CompareTarget::Version(0), Equal));
    assert!(holds(CompareTarget::Lease(LeaseId(0)), Equal));
    assert!(holds(CompareTarget::Version(1), Less));
    assert!(!holds(CompareTarget::Version(0), Greater));
}

#[test]
fn a_compare_over_a_range_is_about_every_key_of_it() {
    let mut store = Store::new();
    store.put("k1", "x");
    store.put("k2", "y");
    let mut holds = |range: KeyRange, target, result| {
        let compare = vec![Compare {
            range,
            target,
            result,
        }];
        store
            .txn(TxnRequest {
                compare,
                ..TxnRequest::default()
            })
            .expect("txn")
            .succeeded
    };
    let all = || KeyRange::prefix("k");
    assert!(holds(
        all(),
        CompareTarget::Version(1),
        CompareResult::Equal
    ));
    assert!(!holds(
        all(),
        CompareTarget::Value("x".into()),
        CompareResult::Equal
    ));
    assert!(holds(
        all(),
        CompareTarget::Mod(Revision(1)),
        CompareResult::Greater
    ));
    assert!(holds(
        KeyRange::prefix("z"),
        CompareTarget::Mod(Revision(0)),
        CompareResult::Equal
    ));
    assert!(!holds(
        KeyRange::prefix("z"),
        CompareTarget::Value("".into()),
        CompareResult::Equal
    ));
}

#[test]
fn inner_headers_have_the_new_revision_from_the_first_change_on() {
    let mut store = Store::new();
    store.put("a", "1");
    let response = store
        .txn(then(vec![
            get(single("a")),
            delete(single("nothing")),
            put("b", "1"),
            get(single("b")),
            delete(single("nothing")),
        ]))
        .expect("txn");
    let revisions: Vec<i64> = response
        .responses
        .iter()
        .map(|response| match response {
            TxnOpResponse::Range(response) => response.revision.0,
            TxnOpResponse::Put(response) => response.revision.0,
            TxnOpResponse::DeleteRange(response) => response.revision.0,
            TxnOpResponse::Txn(response) => response.revision.0,
        })
        .collect();
    assert_eq!(revisions, [2, 2, 3, 3, 3]);
    assert_eq!(response.revision, Revision(3));
}

#[test]
fn operations_see_the_ones_before_but_not_their_revision_by_number() {
    let mut store = Store::new();
    store.put("z1", "");
    store.put("z2", "");
    let response = store
        .txn(then(vec![
            put("a", "1"),
            get(single("a")),
            delete(KeyRange::prefix("z")),
        ]))
        .expect("txn");
    match &response.responses[..] {
        [
            _,
            TxnOpResponse::Range(read),
            TxnOpResponse::DeleteRange(deleted),
        ] => {
            assert_eq!(read.kvs[0].mod_revision, Revision(4));
            assert_eq!((deleted.deleted, deleted.revision), (2, Revision(4)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.revision(), 4);
    let pinned = RangeRequest {
        revision: Revision(5),
        ..RangeRequest::new(single("a"))
    };
    let refused = store.txn(then(vec![put("a", "2"), TxnOp::Range(pinned)]));
    assert_eq!(
        refused,
        Err(Error::FutureRevision {
            revision: Revision(4)
        })
    );
    assert_eq!(
        (store.revision(), store.get("a").expect("a").version),
        (4, 1)
    );
}

#[test]
fn all_compares_are_decided_before_anything_is_done() {
    let mut store = Store::new();
    let inner = TxnRequest {
        compare: vec![mod_is("a", 0)],
        success: vec![put("b", "before")],
        failure: vec![put("b", "after")],
    };
    let response = store
        .txn(then(vec![put("a", "1"), nested(inner)]))
        .expect("txn");
    assert_eq!(store.get("b").expect("b").value, "before");
    assert_eq!(store.revision(), 2);
    match &response.responses[..] {
        [TxnOpResponse::Put(_), TxnOpResponse::Txn(inner)] => {
            assert!(inner.succeeded);
            assert_eq!(inner.revision, Revision(0));
            assert_eq!(inner.responses.len(), 1);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_may_be_changed_once_and_deletions_may_overlap() {
    let dup = Err(Error::DuplicateKey);
    let in_then = |ops: Vec<TxnOp>| nested(then(ops));
    let in_both = |success: Vec<TxnOp>, failure: Vec<TxnOp>| {
        nested(TxnRequest {
            compare: vec![mod_is("x", 0)],
            success,
            failure,
        })
    };
    let p = || put("abc", "1");
    let d = || delete(single("abc"));
    let d_in = || delete(range("a", "b"));
    let d_out = || delete(range("abb", "abc"));
    let rows: Vec<(Vec<TxnOp>, bool)> = vec![
        (vec![p(), p()], false),
        (vec![p(), d()], false),
        (vec![d(), p()], false),
        (vec![p(), d_in()], false),
        (vec![d(), d_in(), d(), d_in()], true),
        (vec![p(), d_out()], true),
        (vec![in_then(vec![d_in()]), p()], false),
        (vec![p(), in_then(vec![d_in()])], false),
        (vec![p(), in_then(vec![p()])], false),
        (vec![in_then(vec![p()]), in_then(vec![p()])], false),
        (vec![in_then(vec![d()]), in_then(vec![p()])], false),
        (vec![in_both(vec![p()], vec![p()])], true),
        (vec![in_both(vec![p()], vec![d()])], true),
        (vec![in_both(vec![p()], vec![p()]), p()], false),
        (vec![in_both(vec![p(), d_in()], vec![])], false),
        (vec![d(), in_both(vec![d_in()], vec![d_out()])], true),
        (vec![get(single("abc")), get(KeyRange::all()), p()], true),
    ];
    for (index, (ops, allowed)) in rows.into_iter().enumerate() {
        let mut store = Store::new();
        let in_success = store.txn(then(ops.clone()));
        assert_eq!(in_success.is_ok(), allowed, "row {index}: {in_success:?}");
        if !allowed {
            assert_eq!(in_success, dup, "row {index}");
        }
        // The branch that isn't taken is checked, too.
        let in_failure = TxnRequest {
            failure: ops,
            ..TxnRequest::default()
        };
        assert_eq!(store.txn(in_failure).is_ok(), allowed, "row {index}");
    }
}

#[test]
fn an_error_in_the_chosen_branch_undoes_all_and_in_the_other_does_not_matter() {
    let mut store = Store::new();
    let leased = TxnOp::Put(PutRequest {
        lease: LeaseId(9),
        ..PutRequest::new("b", "")
    });
    let ignoring = TxnOp::Put(PutRequest {
        ignore_value: true,
        ..PutRequest::new("b", "")
    });
    for (bad, error) in [
        (leased, Error::LeaseNotFound),
        (ignoring, Error::KeyNotFound),
    ] {
        let revision = store.revision();
        assert_eq!(store.txn(then(vec![put("a", ""), bad.clone()])), Err(error));
        assert_eq!(
            store.txn(then(vec![put("a", ""), nested(then(vec![bad.clone()]))])),
            Err(error)
        );
        assert_eq!((store.revision(), store.get("b")), (revision, None));
        let other = TxnRequest {
            compare: vec![],
            success: vec![put("a", "")],
            failure: vec![put("c", ""), bad],
        };
        assert!(store.txn(other).expect("txn").succeeded);
    }
    // Within a batch, too, nothing of the failed transaction is left.
    let mut batch = Batch::new(&store.state);
    let leased = PutRequest {
        lease: LeaseId(9),
        ..PutRequest::new("y", "")
    };
    let failing = then(vec![put("x", ""), TxnOp::Put(leased)]);
    assert!(batch.evaluate(&Request::Txn(failing)).is_err());
    assert!(batch.is_empty());
    assert_eq!(batch.finish().transactions().count(), 0);
}

#[test]
fn a_transaction_has_128_operations_and_nested_ones_what_is_left() {
    let mut store = Store::new();
    let gets = |count: usize| (0..count).map(|_| get(single("a"))).collect::<Vec<_>>();
    assert!(store.txn(then(gets(128))).is_ok());
    assert_eq!(store.txn(then(gets(129))), Err(Error::TooManyOps));
    let failure = TxnRequest {
        failure: gets(129),
        ..TxnRequest::default()
    };
    assert_eq!(store.txn(failure), Err(Error::TooManyOps));
    let compare = (0..129).map(|_| mod_is("a", 0)).collect();
    let compares = TxnRequest {
        compare,
        ..TxnRequest::default()
    };
    assert_eq!(store.txn(compares), Err(Error::TooManyOps));
    let mut outer = gets(99);
    outer.push(nested(then(gets(28))));
    assert!(store.txn(then(outer.clone())).is_ok());
    outer.push(nested(then(gets(28))));
    assert_eq!(store.txn(then(outer)), Err(Error::TooManyOps));
    assert_eq!(store.txn(then(vec![TxnOp::Unset])), Err(Error::KeyNotFound));
    assert_eq!(store.txn(then(vec![put("", "")])), Err(Error::EmptyKey));
}

#[test]
fn deep_nesting_ends_with_the_budget() {
    let mut store = Store::new();
    let deep = |depth: usize| (0..depth).fold(then(vec![]), |inner, _| then(vec![nested(inner)]));
    assert!(store.txn(deep(128)).is_ok());
    assert_eq!(store.txn(deep(129)), Err(Error::TooManyOps));
}

#[test]
fn a_read_only_transaction_is_one_snapshot_and_no_write() {
    let mut store = Store::new();
    store.put("a", "1");
    let request = then(vec![get(single("a")), get(single("b"))]);
    assert!(request.is_read_only());
    assert!(!request.is_serializable());
    let response = store.state.txn_read(&request).expect("txn");
    assert_eq!(
        (response.revision, response.responses.len()),
        (Revision(2), 2)
    );
    assert!(!then(vec![nested(TxnRequest::default())]).is_read_only());
}

#[test]
fn requests_of_a_batch_see_each_other_and_get_dense_revisions() {
    let mut store = Store::new();
    store.put("a", "0");
    let mut batch = Batch::new(&store.state);
    let cas = |revision, value: &str| {
        Request::Txn(TxnRequest {
            compare: vec![mod_is("a", revision)],
            success: vec![put("a", value)],
            failure: vec![get(single("a"))],
        })
    };
    let won = batch.evaluate(&cas(2, "1")).expect("txn");
    let lost = batch.evaluate(&cas(2, "2")).expect("txn");
    let next = batch.evaluate(&cas(3, "3")).expect("txn");
    assert_eq!([won.wrote, lost.wrote, next.wrote], [true, false, true]);
    let revisions = [won, lost, next].map(|outcome| outcome.response.revision().0);
    assert_eq!(revisions, [3, 3, 4]);
    assert_eq!(
        store.get("a").expect("a").value,
        "0",
        "the state is untouched"
    );
    let body = batch.finish();
    assert_eq!(
        (body.first_revision(), body.last_revision()),
        (Revision(3), Revision(4))
    );
    assert_eq!(body.len(), 2);
    store.commit(&body);
    assert_eq!(store.get("a").expect("a").value, "3");
}
