//! Compaction.

use helium_mvcc::*;

use crate::store::*;

fn compacted(at: i64) -> Error {
    Error::Compacted {
        compact_revision: Revision(at),
    }
}

#[test]
fn compacting_at_a_deletion_keeps_it_for_watches_only() {
    for clean_up in [false, true] {
        let mut store = Store::new();
        store.put("a", "1");
        store.put("a", "2");
        store.delete(single("a"));
        store.put("b", "1");
        store.compact(4).expect("compact");
        if clean_up {
            store.clean_up();
        }
        assert_eq!(store.range_at(single("a"), 4).expect("range").count, 0);
        assert_eq!(store.range_at(single("a"), 3), Err(compacted(4)));
        let stream = store.hub.stream_open();
        store.watch(stream, "a", 4);
        store.watch(stream, "a", 3);
        let messages = store.poll(stream);
        assert_eq!(seen(&messages), ["DELETE a@4"]);
        let ended = messages.iter().find(|message| {
            message.id == WatchId(1)
                && message.body
                    == WatchBody::Compacted {
                        compact_revision: Revision(4),
                    }
        });
        assert!(ended.is_some(), "{messages:?}");
        // The version before the deletion is compacted.
        let deletion = messages.iter().find_map(|message| match &message.body {
            WatchBody::Events(events) => events.first(),
            _ => None,
        });
        assert_eq!(deletion.expect("deletion").prev_kv, None);
    }
}

#[test]
fn compaction_gives_up_old_versions_and_then_the_memory() {
    let mut store = Store::new();
    for round in 0..10 {
        store.put("a", &round.to_string());
        store.put("b", &round.to_string());
    }
    store.delete(single("b"));
    assert_eq!(
        (store.state.version_count(), store.state.key_count()),
        (21, 1)
    );
    store.compact(22).expect("compact");
    store.clean_up();
    // One version of a, and b's tombstone at the compact revision.
    assert_eq!(
        (store.state.version_count(), store.state.history_len()),
        (2, 1)
    );
    store.put("c", "");
    store.compact(23).expect("compact");
    store.clean_up();
    assert_eq!(
        (store.state.version_count(), store.state.key_count()),
        (2, 2)
    );
    let sizes: usize = store.state.rows().map(|kv| kv.size()).sum();
    assert_eq!(store.state.bytes_in_use(), sizes as u64);
    assert_eq!(store.get("a").expect("a").version, 10);
}

#[test]
fn compaction_errors() {
    let mut store = Store::new();
    assert_eq!(store.state.compact_revision(), Revision(-1));
    assert_eq!(store.compact(0).expect("compact").revision(), Revision(1));
    assert_eq!(store.compact(0), Err(compacted(0)));
    assert_eq!(store.compact(-1), Err(compacted(0)));
    store.put("a", "1");
    store.put("a", "2");
    assert_eq!(
        store.compact(4),
        Err(Error::FutureRevision {
            revision: Revision(3)
        })
    );
    assert_eq!(store.compact(3).expect("compact").revision(), Revision(3));
    assert_eq!(store.compact(3), Err(compacted(3)));
    assert_eq!(store.compact(2), Err(compacted(3)));
    assert_eq!(store.range_at(single("a"), 3).expect("range").count, 1);
    assert_eq!(store.revision(), 3);
}

#[test]
fn a_compaction_counts_at_once_for_later_requests_of_its_batch() {
    let mut store = Store::new();
    store.put("a", "1");
    store.put("a", "2");
    let mut batch = Batch::new(&store.state);
    let compact = Request::Compact(CompactRequest {
        revision: Revision(3),
    });
    batch.evaluate(&compact).expect("compact");
    assert_eq!(batch.evaluate(&compact), Err(compacted(3)));
    let pinned = RangeRequest {
        revision: Revision(2),
        ..RangeRequest::new(single("a"))
    };
    let read = Request::Txn(then(vec![TxnOp::Range(pinned)]));
    assert_eq!(batch.evaluate(&read), Err(compacted(3)));
}

#[test]
fn a_step_never_does_much_more_than_its_budget() {
    let mut store = Store::new();
    for round in 0..500 {
        store.put(&format!("key{}", round % 50), "x");
    }
    store.compact(501).expect("compact");
    let before = store.state.version_count();
    assert!(store.state.compact_step(10));
    assert!(before - store.state.version_count() <= 10 * 10);
    let mut steps = 0;
    while store.state.compact_step(10) {
        steps += 1;
        store.put("busy", "x");
    }
    assert!(steps >= 40, "{steps}");
    assert_eq!(
        store
            .range_at(KeyRange::prefix("key"), 501)
            .expect("range")
            .count,
        50
    );
}

#[test]
fn the_checksum_depends_on_the_compact_revision_and_not_on_the_clean_up() {
    let mut store = Store::new();
    store.put("a", "1");
    store.put("a", "2");
    store.put("b", "2");
    store.delete(single("b"));
    let old = store.state.hash_kv(Revision(3)).expect("hash");
    assert_ne!(
        old.hash,
        store.state.hash_kv(Revision(0)).expect("hash").hash
    );
    store.compact(3).expect("compact");
    let before = store.state.hash_kv(Revision(4)).expect("hash");
    store.clean_up();
    assert_eq!(store.state.hash_kv(Revision(4)).expect("hash"), before);
    assert_eq!(
        (before.hash_revision, before.revision),
        (Revision(4), Revision(5))
    );
    assert_eq!(store.state.hash_kv(Revision(2)), Err(compacted(3)));
    let future = Error::FutureRevision {
        revision: Revision(5),
    };
    assert_eq!(store.state.hash_kv(Revision(6)), Err(future));
}

#[test]
fn the_moment_of_a_revision_is_known_until_it_is_compacted() {
    let mut state = State::new();
    // The third writer's clock is behind.
    for (slot, at) in [(1, 100), (2, 200), (3, 150), (4, 300)] {
        let mut batch = Batch::new(&state);
        batch
            .evaluate(&Request::Put(PutRequest::new("a", "")))
            .expect("put");
        let body = batch.finish();
        state.apply(Stamp { slot, at }, &body).expect("apply");
    }
    let revision_at = |state: &State, at| state.revision_at(at).map(|(revision, _)| revision.0);
    assert_eq!(revision_at(&state, 99), None);
    assert_eq!(revision_at(&state, 100), Some(2));
    assert_eq!(revision_at(&state, 199), Some(2));
    assert_eq!(revision_at(&state, 200), Some(4));
    assert_eq!(revision_at(&state, i64::MAX), Some(5));
    let mut batch = Batch::new(&state);
    let compact = Request::Compact(CompactRequest {
        revision: Revision(4),
    });
    batch.evaluate(&compact).expect("compact");
    let body = batch.finish();
    state
        .apply(Stamp { slot: 5, at: 400 }, &body)
        .expect("apply");
    while state.compact_step(1) {}
    assert_eq!(revision_at(&state, 199), None);
    assert_eq!(revision_at(&state, 250), Some(4));
}
