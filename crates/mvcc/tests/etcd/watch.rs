//! Watches, as one stream sees them.

use bytes::Bytes;
use helium_mvcc::*;

use crate::store::*;

fn bodies(messages: &[WatchMessage]) -> Vec<(i64, &WatchBody)> {
    messages
        .iter()
        .map(|message| (message.id.0, &message.body))
        .collect()
}

fn progress(revision: i64) -> WatchMessage {
    let (id, revision) = (WatchId::STREAM, Revision(revision));
    WatchMessage {
        id,
        revision,
        body: WatchBody::Progress,
    }
}

#[test]
fn created_comes_before_any_event() {
    let mut store = Store::new();
    for round in 0..10 {
        store.put("a", &round.to_string());
    }
    let stream = store.hub.stream_open();
    store.watch(stream, "a", 1);
    store.put("a", "late");
    let messages = store.poll(stream);
    assert_eq!(
        (&messages[0].body, messages[0].revision),
        (&WatchBody::Created, Revision(11))
    );
    assert_eq!(seen(&messages).len(), 11);
}

#[test]
fn a_watch_without_start_sees_what_comes_after_its_creation() {
    let mut store = Store::new();
    store.put("a", "1");
    let stream = store.hub.stream_open();
    store.watch(stream, "a", 0);
    store.put("a", "2");
    store.put("b", "2");
    let messages = store.poll(stream);
    assert_eq!(messages[0].revision, Revision(2));
    assert_eq!(seen(&messages), ["PUT a=2@3"]);
    assert_eq!(messages[1].revision, Revision(4), "the store's revision");
}

#[test]
fn a_watch_from_the_future_gets_nothing_below_its_start_and_no_progress_before_it() {
    let mut store = Store::new();
    let stream = store.hub.stream_open();
    store.watch(stream, "a", 4);
    store.hub.progress_request(stream);
    assert_eq!(bodies(&store.poll(stream)), [(0, &WatchBody::Created)]);
    store.put("a", "2");
    store.hub.progress_request(stream);
    assert_eq!(store.poll(stream), []);
    store.put("a", "3");
    assert_eq!(store.poll(stream), []);
    store.put("a", "4");
    assert_eq!(seen(&store.poll(stream)), ["PUT a=4@4"]);
    store.hub.progress_request(stream);
    assert_eq!(store.poll(stream), [progress(4)]);
}

#[test]
fn progress_comes_after_every_event_and_is_never_about_a_past_revision() {
    let mut store = Store::new();
    let stream = store.hub.stream_open();
    store.watch(stream, "idle", 0);
    store.put("busy", "1");
    store.poll(stream);
    store.hub.progress_request(stream);
    assert_eq!(store.poll(stream), [progress(2)]);
    store.put("idle", "1");
    store.hub.progress_request(stream);
    let messages = store.poll(stream);
    assert_eq!(seen(&messages), ["PUT idle=1@3"]);
    assert_eq!(messages.last(), Some(&progress(3)));
    assert_eq!(store.poll(stream), []);
}

#[test]
fn progress_is_not_answered_without_watchers_or_while_one_catches_up() {
    let mut store = Store::new();
    let stream = store.hub.stream_open();
    store.hub.progress_request(stream);
    assert_eq!(store.poll(stream), []);
    for round in 0..2500 {
        store.put("a", &round.to_string());
    }
    store.watch(stream, "a", 2);
    store.hub.progress_request(stream);
    let mut got = Vec::new();
    let mut polls = 0;
    loop {
        let poll = store.hub.poll(stream, &store.state);
        got.extend(poll.messages);
        polls += 1;
        if !poll.more {
            break;
        }
    }
    assert!(polls >= 3, "a chunk is a thousand revisions");
    assert_eq!(seen(&got).len(), 2500);
    assert!(
        !got.iter()
            .any(|message| message.body == WatchBody::Progress)
    );
    store.hub.progress_request(stream);
    assert_eq!(store.poll(stream), [progress(2501)]);
}

#[test]
fn ticks_reach_the_quiet_watchers_that_want_them() {
    let mut store = Store::new();
    let stream = store.hub.stream_open();
    let wanted = |key: &'static str| WatchRequest {
        progress_notify: true,
        ..WatchRequest::new(KeyRange::single(key))
    };
    store.hub.watch_create(stream, wanted("quiet"));
    store.hub.watch_create(stream, wanted("busy"));
    store.watch(stream, "silent", 0);
    store.put("busy", "1");
    store.poll(stream);
    store.hub.progress_tick(stream);
    assert_eq!(bodies(&store.poll(stream)), [(0, &WatchBody::Progress)]);
    store.hub.progress_tick(stream);
    let messages = store.poll(stream);
    assert_eq!(
        bodies(&messages),
        [(0, &WatchBody::Progress), (1, &WatchBody::Progress)]
    );
    assert!(
        messages
            .iter()
            .all(|message| message.revision == Revision(2))
    );
}

#[test]
fn a_transaction_is_one_message_in_the_order_of_its_operations() {
    let mut store = Store::new();
    store.put("k3", "old");
    let stream = store.hub.stream_open();
    let all = WatchRequest::new(KeyRange::prefix("k"));
    store.hub.watch_create(stream, all.clone());
    let ops = vec![
        put("k2", "x"),
        put("other", "x"),
        put("k1", "x"),
        delete(single("k3")),
    ];
    store.txn(then(ops)).expect("txn");
    let expected = ["PUT k2=x@3", "PUT k1=x@3", "DELETE k3@3"];
    let messages = store.poll(stream);
    assert_eq!(
        (messages.len(), seen(&messages)),
        (2, expected.map(String::from).to_vec())
    );
    store.hub.watch_create(
        stream,
        WatchRequest {
            start_revision: Revision(3),
            ..all
        },
    );
    assert_eq!(seen(&store.poll(stream)), expected);
}

#[test]
fn identifiers_are_given_out_per_stream() {
    let mut store = Store::new();
    let stream = store.hub.stream_open();
    let create = |store: &mut Store, id, range: KeyRange, start| {
        let (id, start_revision) = (WatchId(id), Revision(start));
        let request = WatchRequest {
            id,
            start_revision,
            ..WatchRequest::new(range)
        };
        store.hub.watch_create(stream, request);
        let messages = store.poll(stream);
        assert_eq!(messages.len(), 1);
        (messages[0].id.0, messages[0].body.clone())
    };
    let a = || single("a");
    let created = |id| (id, WatchBody::Created);
    let refused = |refusal| (-1, WatchBody::Refused(refusal));
    assert_eq!(create(&mut store, 0, a(), 0), created(0));
    assert_eq!(create(&mut store, 0, a(), 0), created(1));
    assert_eq!(create(&mut store, 2, a(), 0), created(2));
    assert_eq!(create(&mut store, 5, a(), 0), created(5));
    assert_eq!(create(&mut store, 0, a(), 0), created(3));
    assert_eq!(
        create(&mut store, 5, a(), 0),
        refused(WatchRefusal::DuplicateId)
    );
    assert_eq!(
        create(&mut store, 0, range("b", "a"), 0),
        refused(WatchRefusal::EmptyRange)
    );
    assert_eq!(
        create(&mut store, 0, range("b", "b"), 0),
        refused(WatchRefusal::EmptyRange)
    );
    assert_eq!(
        create(&mut store, 0, a(), -1),
        refused(WatchRefusal::NegativeStart)
    );
    store.hub.watch_cancel(stream, WatchId(5));
    store.hub.watch_cancel(stream, WatchId(77));
    assert_eq!(bodies(&store.poll(stream)), [(5, &WatchBody::Canceled)]);
    assert_eq!(create(&mut store, 5, a(), 0), created(5));
    let other = store.hub.stream_open();
    store.watch(other, "a", 0);
    assert_eq!(bodies(&store.poll(other)), [(0, &WatchBody::Created)]);
}

#[test]
fn a_cancelled_watcher_gets_nothing_more() {
    let mut store = Store::new();
    let stream = store.hub.stream_open();
    store.watch(stream, "a", 0);
    store.put("a", "1");
    store.hub.watch_cancel(stream, WatchId(0));
    store.put("a", "2");
    let messages = store.poll(stream);
    assert_eq!(
        bodies(&messages),
        [(0, &WatchBody::Created), (0, &WatchBody::Canceled)]
    );
    assert_eq!(store.hub.watcher_count(), 0);
}

#[test]
fn filters_drop_events_and_progress_still_advances() {
    let mut store = Store::new();
    let stream = store.hub.stream_open();
    let request = || WatchRequest::new(single("a"));
    store.hub.watch_create(
        stream,
        WatchRequest {
            no_delete: true,
            ..request()
        },
    );
    store.hub.watch_create(
        stream,
        WatchRequest {
            no_put: true,
            ..request()
        },
    );
    store.poll(stream);
    store.put("a", "1");
    store.delete(single("a"));
    let messages = store.poll(stream);
    let ids: Vec<i64> = messages.iter().map(|message| message.id.0).collect();
    assert_eq!(ids, [0, 1]);
    assert_eq!(seen(&messages), ["PUT a=1@2", "DELETE a@3"]);
    store.delete(single("a"));
    store.put("b", "1");
    assert_eq!(store.poll(stream), [], "nothing to say, no empty message");
    store.hub.progress_request(stream);
    assert_eq!(store.poll(stream), [progress(4)]);
    // Catching up filters as well.
    let start_revision = Revision(2);
    store.hub.watch_create(
        stream,
        WatchRequest {
            start_revision,
            no_put: true,
            ..request()
        },
    );
    assert_eq!(seen(&store.poll(stream)), ["DELETE a@3"]);
}

#[test]
fn the_version_before_comes_along_if_asked_for() {
    let mut store = Store::new();
    store.put("a", "1");
    store.put("a", "2");
    store.delete(single("a"));
    store.put("a", "3");
    let stream = store.hub.stream_open();
    for (range, prev_kv) in [
        (single("a"), true),
        (KeyRange::prefix("a"), true),
        (single("a"), false),
    ] {
        let start_revision = Revision(2);
        let request = WatchRequest {
            start_revision,
            prev_kv,
            ..WatchRequest::new(range)
        };
        store.hub.watch_create(stream, request);
        let messages = store.poll(stream);
        let before: Vec<Option<i64>> = messages
            .iter()
            .filter_map(|message| match &message.body {
                WatchBody::Events(events) => Some(events),
                _ => None,
            })
            .flatten()
            .map(|event| event.prev_kv.as_ref().map(|kv| kv.version))
            .collect();
        let expected = if prev_kv {
            [None, Some(1), Some(2), None]
        } else {
            [None; 4]
        };
        assert_eq!(before, expected);
    }
}

#[test]
fn an_empty_key_watches_from_the_lowest_key_on() {
    let mut store = Store::new();
    let stream = store.hub.stream_open();
    let everything = KeyRange::new(Bytes::new(), Bytes::from_static(b"\0"));
    store
        .hub
        .watch_create(stream, WatchRequest::new(everything));
    store.put("a", "1");
    assert_eq!(seen(&store.poll(stream)), ["PUT a=1@2"]);
}

#[test]
fn ranges_of_every_shape_find_their_keys() {
    let mut store = Store::new();
    let stream = store.hub.stream_open();
    let ranges = [
        single("b"),
        KeyRange::prefix("b"),
        range("a", "c"),
        KeyRange::from_key("b"),
        KeyRange::all(),
        range("bb", "d"),
    ];
    for range in ranges.clone() {
        store.hub.watch_create(stream, WatchRequest::new(range));
    }
    store.poll(stream);
    for key in ["a", "b", "b1", "bb", "c", "d"] {
        store.put(key, "");
    }
    let messages = store.poll(stream);
    for (id, range) in ranges.iter().enumerate() {
        let mine = messages
            .iter()
            .filter(|message| message.id.0 == id as i64)
            .cloned();
        let expected: Vec<String> = ["a", "b", "b1", "bb", "c", "d"]
            .iter()
            .enumerate()
            .filter(|(_, key)| range.contains(key.as_bytes()))
            .map(|(index, key)| format!("PUT {key}=@{}", index + 2))
            .collect();
        assert_eq!(seen(&mine.collect::<Vec<_>>()), expected, "{range:?}");
    }
    for id in 0..ranges.len() {
        store.hub.watch_cancel(stream, WatchId(id as i64));
    }
    store.poll(stream);
    store.put("b", "");
    assert_eq!(store.poll(stream), []);
}

#[test]
fn a_slow_watcher_catches_up_or_is_told_of_the_compaction() {
    for compact in [false, true] {
        let mut store = Store::new();
        let stream = store.hub.stream_open();
        let other = store.hub.stream_open();
        store
            .hub
            .watch_create(stream, WatchRequest::new(KeyRange::prefix("a")));
        store.watch(other, "b", 0);
        for round in 0..10_000 {
            store.put("a", &round.to_string());
        }
        assert_eq!(store.hub.lagging_count(), 1);
        assert!(store.hub.pending_count() < 5000);
        if compact {
            store.compact(10_001).expect("compact");
            store.clean_up();
        }
        let mut got = Vec::new();
        loop {
            let poll = store.hub.poll(stream, &store.state);
            got.extend(poll.messages);
            if !poll.more {
                break;
            }
        }
        let seen = seen(&got);
        let ended = got.iter().any(|message| {
            message.body
                == WatchBody::Compacted {
                    compact_revision: Revision(10_001),
                }
        });
        assert_eq!(ended, compact);
        assert_eq!(seen.len() == 10_000, !compact);
        for (index, line) in seen.iter().enumerate() {
            assert_eq!(*line, format!("PUT a={index}@{}", index + 2), "no gap");
        }
        store.put("b", "1");
        assert_eq!(super::store::seen(&store.poll(other)), ["PUT b=1@10002"]);
    }
}

#[test]
fn a_compaction_in_the_batch_of_the_changes_costs_no_synced_watcher_anything() {
    let mut store = Store::new();
    let stream = store.hub.stream_open();
    store.watch(stream, "a", 0);
    let mut batch = Batch::new(&store.state);
    for value in ["1", "2"] {
        batch
            .evaluate(&Request::Put(PutRequest::new("a", value)))
            .expect("put");
    }
    let compact = Request::Compact(CompactRequest {
        revision: Revision(3),
    });
    batch.evaluate(&compact).expect("compact");
    let body = batch.finish();
    store.commit(&body);
    assert_eq!(seen(&store.poll(stream)), ["PUT a=1@2", "PUT a=2@3"]);
}

#[test]
fn only_streams_with_something_new_are_woken_and_only_once() {
    let mut store = Store::new();
    let (busy, idle) = (store.hub.stream_open(), store.hub.stream_open());
    store.watch(busy, "a", 0);
    store.watch(idle, "b", 0);
    store.poll(busy);
    store.poll(idle);
    let mut woken = Vec::new();
    for slot in 1..=3 {
        let mut batch = Batch::new(&store.state);
        batch
            .evaluate(&Request::Put(PutRequest::new("a", "x")))
            .expect("put");
        let body = batch.finish();
        store
            .state
            .apply(Stamp { slot, at: 0 }, &body)
            .expect("apply");
        store.hub.advance(&store.state, |stream| woken.push(stream));
    }
    assert_eq!(woken, [busy]);
    assert_eq!(seen(&store.poll(busy)).len(), 3);
}

#[test]
fn a_reset_ends_every_stream() {
    let mut store = Store::new();
    let stream = store.hub.stream_open();
    store.watch(stream, "a", 0);
    let fresh = State::new();
    let mut woken = Vec::new();
    store.hub.reset(&fresh, |stream| woken.push(stream));
    assert_eq!(woken, [stream]);
    let poll = store.hub.poll(stream, &fresh);
    assert!(poll.closed && poll.messages.is_empty());
    store.hub.stream_close(stream);
    assert!(store.hub.poll(stream, &fresh).closed);
    assert_eq!(store.hub.stream_count(), 0);
}
