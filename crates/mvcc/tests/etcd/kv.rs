//! Puts, deletions and ranges.

use bytes::Bytes;
use helium_mvcc::*;

use crate::store::*;

#[test]
fn an_empty_store_is_at_revision_1_and_writes_count_from_2() {
    let mut store = Store::new();
    assert_eq!(store.revision(), 1);
    assert_eq!(store.put("a", "1"), 2);
    assert_eq!(store.put("b", "1"), 3);
}

#[test]
fn a_put_of_the_same_value_is_a_write() {
    let mut store = Store::new();
    store.put("a", "1");
    assert_eq!(store.put("a", "1"), 3);
    let kv = store.get("a").expect("a");
    assert_eq!(
        (kv.version, kv.create_revision, kv.mod_revision),
        (2, Revision(2), Revision(3))
    );
    assert_eq!(store.state.changes(Revision(3)).count(), 1);
}

#[test]
fn deleting_nothing_makes_no_revision_and_no_event() {
    let mut store = Store::new();
    store.put("a", "1");
    for nothing in [
        single("b"),
        range("b", "z"),
        range("b", "a"),
        range("a", "a"),
    ] {
        let response = store.delete(nothing);
        assert_eq!((response.deleted, response.revision), (0, Revision(2)));
    }
    assert_eq!(store.revision(), 2);
    assert_eq!(store.state.changes(Revision(2)).count(), 1);
}

#[test]
fn a_key_that_is_created_again_starts_over() {
    let mut store = Store::new();
    store.put("a", "1");
    store.put("a", "2");
    assert_eq!(store.delete(single("a")).deleted, 1);
    store.put("a", "3");
    let kv = store.get("a").expect("a");
    assert_eq!(
        (kv.version, kv.create_revision, kv.mod_revision),
        (1, Revision(5), Revision(5))
    );
    let (_, events) = store.state.changes(Revision(5)).next().expect("event");
    assert!(events[0].is_create());
    assert_eq!(events[0].prev_kv, None);
}

#[test]
fn a_tombstone_has_only_key_and_revision_and_brings_the_version_before() {
    let mut store = Store::new();
    store.grant(7, 60).expect("grant");
    store.put_leased("a", 7).expect("put");
    store.delete(single("a"));
    let (_, events) = store.state.changes(Revision(3)).next().expect("event");
    let event = &events[0];
    assert_eq!(
        *event.kv,
        KeyValue::tombstone(Bytes::from_static(b"a"), Revision(3))
    );
    let before = event.prev_kv.as_ref().expect("prev_kv");
    assert_eq!((before.lease, before.version), (LeaseId(7), 1));
    assert_eq!(before.create_revision, Revision(2));
}

#[test]
fn options_of_put_keep_what_they_say_and_need_a_key() {
    let mut store = Store::new();
    let ignore_value = PutRequest {
        ignore_value: true,
        ..PutRequest::new("a", "")
    };
    let ignore_lease = PutRequest {
        ignore_lease: true,
        ..PutRequest::new("a", "new")
    };
    assert_eq!(
        store.run(Request::Put(ignore_value.clone())),
        Err(Error::KeyNotFound)
    );
    assert_eq!(
        store.run(Request::Put(ignore_lease.clone())),
        Err(Error::KeyNotFound)
    );
    store.put("a", "old");
    let with_value = PutRequest {
        value: "x".into(),
        ..ignore_value.clone()
    };
    assert_eq!(
        store.run(Request::Put(with_value)),
        Err(Error::ValueProvided)
    );
    let with_lease = PutRequest {
        lease: LeaseId(1),
        ..ignore_lease.clone()
    };
    assert_eq!(
        store.run(Request::Put(with_lease)),
        Err(Error::LeaseProvided)
    );
    assert_eq!(
        store.run(Request::Put(PutRequest::new("", "x"))),
        Err(Error::EmptyKey)
    );
    store.run(Request::Put(ignore_value)).expect("put");
    assert_eq!(store.get("a").expect("a").value, "old");
    let prev_kv = PutRequest {
        prev_kv: true,
        ..ignore_lease
    };
    match store.run(Request::Put(prev_kv)).expect("put") {
        Response::Put(response) => assert_eq!(response.prev_kv.expect("prev").version, 2),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.get("a").expect("a").value, "new");
}

#[test]
fn a_pinned_range_answers_old_data_under_the_current_revision() {
    let mut store = Store::new();
    store.put("a", "1");
    store.put("a", "2");
    store.put("b", "1");
    let response = store.range_at(KeyRange::all(), 2).expect("range");
    assert_eq!(response.revision, Revision(4));
    assert_eq!((response.count, &response.kvs[0].value[..]), (1, &b"1"[..]));
    let future = store.range_at(single("a"), 5);
    assert_eq!(
        future,
        Err(Error::FutureRevision {
            revision: Revision(4)
        })
    );
}

#[test]
fn filters_and_order_come_before_the_limit_and_leave_the_count_alone() {
    let mut store = Store::new();
    for key in ["d", "b", "a", "c"] {
        store.put(key, key);
    }
    // The pattern of lock queues: the youngest key that is older than mine.
    let request = RangeRequest {
        limit: 1,
        sort_order: SortOrder::Descend,
        sort_target: SortTarget::Create,
        max_create_revision: Revision(4),
        ..RangeRequest::new(KeyRange::all())
    };
    let response = store.state.range(&request).expect("range");
    assert_eq!(keys(&response.kvs), ["a"]);
    assert_eq!((response.count, response.more), (4, true));
    let oldest = RangeRequest {
        max_create_revision: Revision(2),
        ..request
    };
    let response = store.state.range(&oldest).expect("range");
    assert_eq!(keys(&response.kvs), ["d"]);
    assert_eq!((response.count, response.more), (4, false));
}

#[test]
fn an_unordered_sort_target_sorts_only_what_the_limit_fetched() {
    let mut store = Store::new();
    for (key, value) in [("a", "3"), ("b", "2"), ("c", "1")] {
        store.put(key, value);
    }
    let request = RangeRequest {
        limit: 1,
        sort_target: SortTarget::Value,
        ..RangeRequest::new(KeyRange::all())
    };
    assert_eq!(
        keys(&store.state.range(&request).expect("range").kvs),
        ["b"]
    );
    let sorted = RangeRequest {
        sort_order: SortOrder::Ascend,
        ..request
    };
    assert_eq!(keys(&store.state.range(&sorted).expect("range").kvs), ["c"]);
}

#[test]
fn limits_counts_and_keys_only() {
    let mut store = Store::new();
    store.grant(7, 60).expect("grant");
    for key in ["a", "b", "c"] {
        store.put_leased(key, 7).expect("put");
    }
    let all = || RangeRequest::new(KeyRange::all());
    let with_limit = |limit| {
        store
            .state
            .range(&RangeRequest { limit, ..all() })
            .expect("range")
    };
    for (limit, length, more) in [(2, 2, true), (3, 3, false), (4, 3, false), (-1, 3, false)] {
        let response = with_limit(limit);
        assert_eq!(
            (response.kvs.len(), response.more, response.count),
            (length, more, 3)
        );
    }
    let counted = RangeRequest {
        count_only: true,
        keys_only: true,
        limit: 1,
        ..all()
    };
    let response = store.state.range(&counted).expect("range");
    assert_eq!(
        (response.kvs.len(), response.more, response.count),
        (0, false, 3)
    );
    let keys_only = RangeRequest {
        keys_only: true,
        ..all()
    };
    let response = store.state.range(&keys_only).expect("range");
    assert!(
        response
            .kvs
            .iter()
            .all(|kv| kv.value.is_empty() && kv.lease == LeaseId::NONE)
    );
    let by_value = RangeRequest {
        sort_target: SortTarget::Value,
        ..keys_only
    };
    let response = store.state.range(&by_value).expect("range");
    assert!(response.kvs.iter().all(|kv| kv.lease == LeaseId(7)));
    for empty in [range("c", "c"), range("d", "b")] {
        let response = store.range_at(empty, 0).expect("range");
        assert_eq!(
            (response.kvs.len(), response.count, response.more),
            (0, 0, false)
        );
    }
    assert_eq!(store.range_at(single(""), 0), Err(Error::EmptyKey));
}

#[test]
fn keys_are_bytes_in_byte_order() {
    let mut store = Store::new();
    let raw: [&[u8]; 6] = [b"\0", b"a\0", b"/a/x", b"/ab", "é".as_bytes(), b"\xff"];
    for key in raw {
        store
            .run(Request::Put(PutRequest::new(key, "")))
            .expect("put");
    }
    let all = store.range_at(KeyRange::all(), 0).expect("range");
    let order: Vec<&[u8]> = all.kvs.iter().map(|kv| &kv.key[..]).collect();
    assert_eq!(
        order,
        [&b"\0"[..], b"/a/x", b"/ab", b"a\0", "é".as_bytes(), b"\xff"]
    );
    assert_eq!(
        store
            .range_at(KeyRange::prefix("/a/"), 0)
            .expect("range")
            .count,
        1
    );
    assert_eq!(
        store
            .range_at(KeyRange::prefix(&b"\xff"[..]), 0)
            .expect("range")
            .count,
        1
    );
    assert_eq!(
        store
            .range_at(KeyRange::from_key("a"), 0)
            .expect("range")
            .count,
        3
    );
}

#[test]
fn unknown_sort_options_are_refused() {
    assert_eq!(SortOrder::try_from(3), Err(Error::InvalidSortOption));
    assert_eq!(SortTarget::try_from(-1), Err(Error::InvalidSortOption));
    assert_eq!(SortTarget::try_from(3), Ok(SortTarget::Mod));
}
