//! Checkpoints: folding entries, restoring a state, replaying the rest.

use helium_mvcc::*;

use crate::store::*;

/// The entries of some requests, one for each, from the first on.
fn journal(requests: &[Request]) -> Vec<BatchBody> {
    let mut store = Store::new();
    let mut entries = Vec::new();
    for request in requests {
        let mut batch = Batch::new(&store.state);
        batch.evaluate(request).expect("request");
        entries.push(batch.finish());
        store.commit(&entries[entries.len() - 1]);
    }
    entries
}

fn put_leased(key: &'static str, lease: i64) -> Request {
    Request::Put(PutRequest {
        lease: LeaseId(lease),
        ..PutRequest::new(key, "x")
    })
}

fn grant(id: i64) -> Request {
    Request::LeaseGrant(LeaseGrantRequest {
        id: LeaseId(id),
        ttl: 60,
    })
}

fn upserted(rows: Vec<Row>) -> Vec<KeyValue> {
    let kv = |row| match row {
        Row::Upsert(kv) => Some((*kv).clone()),
        Row::Delete(_) => None,
    };
    rows.into_iter().filter_map(kv).collect()
}

fn replay(mut state: State, entries: &[BatchBody]) -> State {
    for body in entries {
        let stamp = Stamp {
            slot: state.slot() + 1,
            at: 0,
        };
        state.apply(stamp, body).expect("replay");
    }
    state
}

#[test]
fn a_fold_keeps_the_last_row_of_each_key() {
    let entries = journal(&[
        Request::Put(PutRequest::new("a", "1")),
        Request::Put(PutRequest::new("b", "1")),
        Request::Put(PutRequest::new("a", "2")),
        Request::DeleteRange(DeleteRangeRequest::new(single("b"))),
    ]);
    let mut fold = Fold::new();
    entries
        .iter()
        .for_each(|body| fold.apply(body).expect("next"));
    assert_eq!((fold.revision(), fold.row_count()), (Revision(5), 2));
    let rows = fold.take_rows();
    match &rows[..] {
        [Row::Upsert(kv), Row::Delete(key)] => {
            assert_eq!(
                (&kv.value[..], kv.version, &key[..]),
                (&b"2"[..], 2, &b"b"[..])
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fold.take_rows(), []);
    let gap = ApplyError::RevisionGap {
        expected: Revision(6),
        found: Revision(5),
    };
    assert_eq!(fold.apply(&entries[3]), Err(gap));
    let mut later = Fold::load(&fold.save()).expect("own side state");
    assert_eq!((later.revision(), later.take_rows()), (Revision(5), vec![]));
}

#[test]
fn rows_of_an_unfinished_later_checkpoint_are_left_to_the_replay() {
    let requests = [
        Request::Put(PutRequest::new("a", "old")),
        grant(1),
        put_leased("a", 1),
        put_leased("b", 1),
    ];
    let entries = journal(&requests);
    let mut fold = Fold::new();
    fold.apply(&entries[0]).expect("next");
    let side = fold.save();
    fold.take_rows();
    entries[1..]
        .iter()
        .for_each(|body| fold.apply(body).expect("next"));
    // The rows were written, the side state was not.
    let restored = State::restore(&side, 1, upserted(fold.take_rows())).expect("restore");
    assert_eq!(restored.key_count(), 0);
    let state = replay(restored, &entries[1..]);
    assert_eq!(keys(state.rows()), ["a", "b"]);
    assert_eq!(state.lease_keys(LeaseId(1)).count(), 2);
    assert_eq!(state.get(b"a").expect("a").version, 2);
}

#[test]
fn a_restored_state_knows_its_leases_and_refuses_the_past() {
    let entries = journal(&[grant(1), put_leased("a", 1), put_leased("b", 1)]);
    let mut fold = Fold::new();
    entries
        .iter()
        .for_each(|body| fold.apply(body).expect("next"));
    let rows = upserted(fold.take_rows());
    let mut store = Store::new();
    store.state = State::restore(&fold.save(), 3, rows).expect("restore");
    store.hub = WatchHub::new(&store.state);
    assert_eq!((store.state.slot(), store.revision()), (3, 3));
    assert_eq!(store.state.compact_revision(), Revision(3));
    let past = store.range_at(single("a"), 2);
    assert_eq!(
        past,
        Err(Error::Compacted {
            compact_revision: Revision(3)
        })
    );
    assert_eq!(store.range_at(KeyRange::all(), 3).expect("range").count, 2);
    // The changes at the checkpoint's own revision are not known any more.
    let stream = store.hub.stream_open();
    store.watch(stream, "b", 3);
    store.watch(stream, "b", 4);
    store.revoke(1).expect("revoke");
    let messages = store.poll(stream);
    let compact_revision = Revision(4);
    let ended = WatchBody::Compacted { compact_revision };
    assert!(
        messages
            .iter()
            .any(|message| message.id.0 == 0 && message.body == ended)
    );
    assert_eq!(seen(&messages), ["DELETE b@4"]);
}

#[test]
fn bytes_that_are_no_side_state_are_refused() {
    let side = Fold::new().save();
    assert!(State::restore(&side, 0, []).is_ok());
    for cut in 0..side.len() {
        assert!(State::restore(&side[..cut], 0, []).is_err());
        let mut changed = side.to_vec();
        changed[cut] ^= 1;
        assert!(Fold::load(&changed).is_err());
    }
}
