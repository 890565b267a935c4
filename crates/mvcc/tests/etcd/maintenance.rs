//! Alarms, epochs, incarnations, order of entries.

use helium_mvcc::*;

use crate::store::*;

fn alarm(kind: AlarmKind) -> Alarm {
    Alarm {
        kind,
        member: MemberId(1),
    }
}

#[test]
fn without_space_only_growth_is_refused() {
    let mut store = Store::new();
    store.put("a", "1");
    let no_space = alarm(AlarmKind::NoSpace);
    store
        .run(Request::Alarm(AlarmRequest::Activate(no_space)))
        .expect("alarm");
    assert!(store.state.alarms().contains(&no_space));
    assert_eq!(
        store.run(Request::Put(PutRequest::new("a", ""))),
        Err(Error::NoSpace)
    );
    assert_eq!(
        store.txn(then(vec![nested(then(vec![put("a", "")]))])),
        Err(Error::NoSpace)
    );
    assert_eq!(store.grant(1, 60), Err(Error::NoSpace));
    assert_eq!(store.delete(single("a")).deleted, 1);
    store.compact(2).expect("compact");
    store
        .run(Request::Alarm(AlarmRequest::Deactivate(no_space)))
        .expect("alarm");
    store.put("a", "1");
    let again = store
        .run(Request::Alarm(AlarmRequest::Deactivate(no_space)))
        .expect("alarm");
    assert_eq!(
        again,
        Response::Alarm(AlarmResponse {
            revision: Revision(4),
            alarms: vec![]
        })
    );
}

#[test]
fn while_corrupt_every_write_is_refused_and_reads_go_on() {
    let mut store = Store::new();
    store.put("a", "1");
    let corrupt = alarm(AlarmKind::Corrupt);
    store
        .run(Request::Alarm(AlarmRequest::Activate(corrupt)))
        .expect("alarm");
    let delete_all = DeleteRangeRequest::new(KeyRange::all());
    assert_eq!(
        store.run(Request::Put(PutRequest::new("a", ""))),
        Err(Error::Corrupt)
    );
    assert_eq!(
        store.run(Request::DeleteRange(delete_all)),
        Err(Error::Corrupt)
    );
    assert_eq!(store.compact(2), Err(Error::Corrupt));
    assert_eq!(store.grant(1, 60), Err(Error::Corrupt));
    assert!(store.state.txn_read(&then(vec![get(single("a"))])).is_ok());
    assert!(store.get("a").is_some());
}

#[test]
fn an_epoch_is_taken_once_and_in_order() {
    let mut store = Store::new();
    let mut take = |owner, epoch| {
        let request = EpochTakeRequest {
            owner: MemberId(owner),
            epoch: Epoch(epoch),
        };
        match store.run(Request::EpochTake(request)).expect("take") {
            Response::EpochTake(response) => (response.taken, response.epoch.0, response.owner.0),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(take(5, 2), (false, 0, 0));
    assert_eq!(take(5, 1), (true, 1, 5));
    assert_eq!(take(6, 1), (false, 1, 5));
    assert_eq!(take(6, 2), (true, 2, 6));
    assert_eq!(
        (store.state.epoch(), store.state.owner()),
        (Epoch(2), MemberId(6))
    );
    assert_eq!(store.revision(), 1);
}

#[test]
fn an_incarnation_goes_on_above_what_was_exposed_and_one_is_enough() {
    let mut store = Store::new();
    store.put("a", "1");
    store.put("a", "2");
    store.delete(single("a"));
    store.put("b", "1");
    let request = |incarnation, bump_to| {
        let (incarnation, bump_to) = (Incarnation(incarnation), Revision(bump_to));
        Request::Incarnation(IncarnationRequest {
            incarnation,
            bump_to,
        })
    };
    let stream = store.hub.stream_open();
    store.watch(stream, "a", 0);
    store.poll(stream);
    let before = store.revision();
    assert_eq!(
        store.run(request(1, 100)).expect("incarnation").revision(),
        Revision(100)
    );
    assert_eq!(store.state.compact_revision(), Revision(100));
    assert_eq!(
        store.range_at(KeyRange::all(), 100).expect("range").count,
        1
    );
    assert!(store.range_at(KeyRange::all(), before).is_err());
    let ended = store.poll(stream);
    assert_eq!(
        ended
            .iter()
            .map(|message| &message.body)
            .collect::<Vec<_>>(),
        [&WatchBody::Compacted {
            compact_revision: Revision(100)
        }]
    );
    // Another instance noticed the same accident, and had shown less or more.
    assert_eq!(
        store.run(request(1, 90)).expect("incarnation").revision(),
        Revision(100)
    );
    assert_eq!(
        store.run(request(1, 120)).expect("incarnation").revision(),
        Revision(120)
    );
    assert_eq!(store.state.incarnation(), Incarnation(2));
    store.clean_up();
    assert_eq!(
        (store.state.version_count(), store.state.history_len()),
        (1, 0)
    );
    assert_eq!(store.put("c", "1"), 121);
    let stream = store.hub.stream_open();
    store.watch(stream, "c", 120);
    assert_eq!(seen(&store.poll(stream)), ["PUT c=1@121"]);
}

#[test]
fn an_incarnation_never_reuses_a_revision_that_others_wrote_meanwhile() {
    let mut store = Store::new();
    store.put("a", "1");
    let request = IncarnationRequest {
        incarnation: Incarnation(1),
        bump_to: Revision(2),
    };
    let response = store
        .run(Request::Incarnation(request))
        .expect("incarnation");
    assert_eq!(response.revision(), Revision(3));
}

#[test]
fn an_entry_that_does_not_follow_is_refused_and_changes_nothing() {
    let mut store = Store::new();
    store.put("a", "1");
    let mut batch = Batch::new(&store.state);
    batch
        .evaluate(&Request::Put(PutRequest::new("a", "2")))
        .expect("put");
    let late = batch.finish();
    store.put("a", "other");
    let next = Stamp { slot: 3, at: 0 };
    let gap = ApplyError::RevisionGap {
        expected: Revision(4),
        found: Revision(3),
    };
    assert_eq!(store.state.apply(next, &late), Err(gap));
    let again = Stamp { slot: 2, at: 0 };
    let order = ApplyError::SlotOrder {
        applied: 2,
        found: 2,
    };
    assert_eq!(
        store.state.apply(again, &BatchBody::empty(Revision(3))),
        Err(order)
    );
    assert_eq!(store.get("a").expect("a").value, "other");
    store
        .state
        .apply(next, &BatchBody::empty(Revision(3)))
        .expect("empty entry");
    assert_eq!((store.state.slot(), store.revision()), (3, 3));
}

#[test]
fn forwarded_requests_are_remembered_for_their_epoch() {
    let mut store = Store::new();
    let mut batch = Batch::new(&store.state);
    let forward = Forward {
        origin: 7,
        sequence: 3,
    };
    let put = Request::Put(PutRequest::new("a", "1"));
    batch.evaluate_forwarded(forward, &put).expect("put");
    let body = batch.finish();
    assert_eq!(
        body.transactions().next().expect("one").forward,
        Some(forward)
    );
    store.commit(&body);
    assert_eq!(store.state.last_sequence(7), Some(3));
    let restored = State::restore(&store.state.save_side(), 1, []).expect("restore");
    assert_eq!(restored.last_sequence(7), Some(3));
    let take = EpochTakeRequest {
        owner: MemberId(1),
        epoch: Epoch(1),
    };
    store.run(Request::EpochTake(take)).expect("take");
    assert_eq!(store.state.last_sequence(7), None);
}
