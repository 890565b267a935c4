//! Whatever the interleaving: a watcher sees exactly the changes of its range from its start on,
//! or is told of the compaction.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    Batch, CompactRequest, DeleteRangeRequest, Event, PutRequest, Request, Stamp, TxnOp, TxnRequest,
};

const KEYS: [&str; 5] = ["a", "a/1", "a/2", "b", "c"];

#[derive(Debug, Clone)]
enum Step {
    /// A batch of transactions, each of which puts the keys of a mask and deletes others.
    Write(Vec<(u8, u8)>),
    /// Compact so many revisions behind the newest one.
    Compact(i64),
    CleanUp(usize),
    /// On a stream, a watcher of a range, starting relative to the newest revision.
    Create {
        stream: usize,
        range: usize,
        start: Option<i64>,
        filter: u8,
    },
    Cancel {
        stream: usize,
        id: i64,
    },
    Progress(usize),
    Poll(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let stream = 0..3_usize;
    let range = 0..ranges().len();
    prop_oneof![
        30 => vec((any::<u8>(), any::<u8>()), 1..6).prop_map(Step::Write),
        2 => (0..12_i64).prop_map(Step::Compact),
        3 => (1..6_usize).prop_map(Step::CleanUp),
        12 => (stream.clone(), range, proptest::option::of(-14..5_i64), 0..4_u8).prop_map(
            |(stream, range, start, filter)| Step::Create { stream, range, start, filter }
        ),
        1 => (stream.clone(), 0..6_i64).prop_map(|(stream, id)| Step::Cancel { stream, id }),
        6 => stream.clone().prop_map(Step::Progress),
        12 => stream.prop_map(Step::Poll),
    ]
}

fn ranges() -> Vec<KeyRange> {
    vec![
        KeyRange::single("a"),
        KeyRange::single("b"),
        KeyRange::prefix("a"),
        KeyRange::prefix("a/"),
        KeyRange::all(),
        KeyRange::new("a/1".into(), "b".into()),
        KeyRange::from_key("a/2"),
    ]
}

/// What a watcher should see and what it has seen.
#[derive(Debug)]
struct Expected {
    range: KeyRange,
    no_put: bool,
    no_delete: bool,
    prev_kv: bool,
    start: Revision,
    created: bool,
    seen: Vec<Event>,
    compacted: Option<Revision>,
    cancelled: bool,
}

impl Expected {
    fn wanted(&self, log: &[Event]) -> Vec<Event> {
        log.iter()
            .filter(|event| self.range.contains(&event.kv.key) && event.revision() >= self.start)
            .filter(|event| match event.kind {
                crate::EventKind::Put => !self.no_put,
                crate::EventKind::Delete => !self.no_delete,
            })
            .cloned()
            .collect()
    }
}

struct World {
    state: State,
    hub: WatchHub,
    log: Vec<Event>,
    streams: Vec<StreamId>,
    watchers: Vec<BTreeMap<i64, Expected>>,
    finished: Vec<Expected>,
}

impl World {
    fn new() -> Self {
        let state = State::new();
        let mut hub = WatchHub::new(&state);
        hub.pending_max = 4;
        hub.poll_events = 6;
        let streams = (0..3).map(|_| hub.stream_open()).collect();
        let watchers = (0..3).map(|_| BTreeMap::new()).collect();
        Self {
            state,
            hub,
            log: Vec::new(),
            streams,
            watchers,
            finished: Vec::new(),
        }
    }

    fn commit(&mut self, requests: &[Request]) {
        let mut batch = Batch::new(&self.state);
        for request in requests {
            let _ = batch.evaluate(request);
        }
        let body = batch.finish();
        let from = self.state.revision().next();
        let stamp = Stamp {
            slot: self.state.slot() + 1,
            at: 0,
        };
        self.state.apply(stamp, &body).expect("next slot");
        self.log.extend(
            self.state
                .changes(from)
                .flat_map(|(_, events)| events.to_vec()),
        );
        self.hub.advance(&self.state, |_| {});
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(masks) => {
                let requests: Vec<Request> = masks.into_iter().map(transaction).collect();
                self.commit(&requests);
            }
            Step::Compact(behind) => {
                let revision = Revision(self.state.revision().0 - behind);
                self.commit(&[Request::Compact(CompactRequest { revision })]);
            }
            Step::CleanUp(budget) => {
                self.state.compact_step(budget);
            }
            Step::Create {
                stream,
                range,
                start,
                filter,
            } => {
                self.create(stream, range, start, filter);
            }
            Step::Cancel { stream, id } => {
                self.hub.watch_cancel(self.streams[stream], WatchId(id));
                if let Some(watcher) = self.watchers[stream].get_mut(&id) {
                    watcher.cancelled = true;
                }
                self.poll(stream);
            }
            Step::Progress(stream) => self.hub.progress_request(self.streams[stream]),
            Step::Poll(stream) => {
                self.poll(stream);
            }
        }
    }

    fn create(&mut self, stream: usize, range: usize, start: Option<i64>, filter: u8) {
        let range = ranges()[range].clone();
        let revision = self.state.revision();
        let start_revision = start.map_or(Revision::UNSET, |start| {
            Revision((revision.0 + start).max(1))
        });
        let (no_put, no_delete, prev_kv) = (filter == 1, filter == 2, filter == 3);
        let request = WatchRequest {
            start_revision,
            no_put,
            no_delete,
            prev_kv,
            ..WatchRequest::new(range.clone())
        };
        self.hub.watch_create(self.streams[stream], request);
        let id = self.hub.streams[&self.streams[stream]].next_id - 1;
        let start = if start_revision == Revision::UNSET {
            revision.next()
        } else {
            start_revision
        };
        let expected = Expected {
            range,
            no_put,
            no_delete,
            prev_kv,
            start,
            created: false,
            seen: Vec::new(),
            compacted: None,
            cancelled: false,
        };
        assert!(self.watchers[stream].insert(id, expected).is_none());
    }

    fn poll(&mut self, stream: usize) -> bool {
        let poll = self.hub.poll(self.streams[stream], &self.state);
        assert!(!poll.closed);
        for message in poll.messages {
            self.take(stream, message);
        }
        poll.more
    }

    fn take(&mut self, stream: usize, message: WatchMessage) {
        let watchers = &mut self.watchers[stream];
        let newest = self.state.revision();
        if message.id == WatchId::STREAM {
            assert_eq!(
                (message.body, message.revision),
                (WatchBody::Progress, newest)
            );
            assert!(!watchers.is_empty());
            for watcher in watchers.values() {
                assert_eq!(watcher.seen.len(), watcher.wanted(&self.log).len());
                assert!(watcher.start <= newest.next());
            }
            return;
        }
        let watcher = watchers
            .get_mut(&message.id.0)
            .expect("a message for a known watcher");
        match message.body {
            WatchBody::Created => assert!(!std::mem::replace(&mut watcher.created, true)),
            WatchBody::Events(events) => {
                assert!(watcher.created && !events.is_empty());
                assert!(message.revision >= events.last().expect("not empty").revision());
                // Revisions are never split between messages.
                let first = events[0].revision();
                assert!(
                    watcher
                        .seen
                        .last()
                        .is_none_or(|event| event.revision() < first)
                );
                watcher.seen.extend(events);
            }
            WatchBody::Canceled => {
                assert!(watcher.cancelled);
                self.finished.extend(watchers.remove(&message.id.0));
            }
            WatchBody::Compacted { compact_revision } => {
                assert_eq!(compact_revision, self.state.compact_revision());
                watcher.compacted = Some(compact_revision);
                self.finished.extend(watchers.remove(&message.id.0));
            }
            WatchBody::Refused(refusal) => panic!("{refusal}"),
            WatchBody::Progress => panic!("nobody asked"),
        }
    }

    fn finish(mut self) {
        for stream in 0..self.streams.len() {
            while self.poll(stream) {}
        }
        assert_eq!((self.hub.lagging_count(), self.hub.pending_count()), (0, 0));
        let alive = self.watchers.into_iter().flat_map(BTreeMap::into_values);
        for watcher in self
            .finished
            .iter_mut()
            .chain(&mut alive.collect::<Vec<_>>())
        {
            let wanted = watcher.wanted(&self.log);
            let pairs = watcher.seen.iter().zip(&wanted);
            for (seen, wanted) in pairs {
                assert_eq!((seen.kind, &seen.kv), (wanted.kind, &wanted.kv));
                // The version before may be compacted away, and is never another.
                if !watcher.prev_kv {
                    assert_eq!(seen.prev_kv, None);
                } else if seen.prev_kv.is_some() {
                    assert_eq!(seen.prev_kv, wanted.prev_kv);
                }
            }
            assert!(watcher.seen.len() <= wanted.len());
            match (wanted.get(watcher.seen.len()), watcher.compacted) {
                _ if watcher.cancelled => {}
                (None, None) => {}
                // What it misses is younger than where it stood, which is below the floor.
                (_, Some(floor)) => {
                    assert!(watcher.start < floor);
                    assert!(
                        watcher
                            .seen
                            .last()
                            .is_none_or(|event| event.revision() < floor)
                    );
                }
                (Some(missed), None) => panic!("{watcher:?} missed {missed:?}"),
            }
        }
    }
}

fn transaction((put, delete): (u8, u8)) -> Request {
    let mut success = Vec::new();
    for (bit, key) in KEYS.iter().enumerate() {
        if put >> bit & 1 == 1 {
            success.push(TxnOp::Put(PutRequest::new(*key, vec![put])));
        } else if delete >> bit & 1 == 1 {
            success.push(TxnOp::DeleteRange(DeleteRangeRequest::new(
                KeyRange::single(*key),
            )));
        }
    }
    Request::Txn(TxnRequest {
        success,
        ..TxnRequest::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_watcher_sees_all_of_its_changes_or_is_told(steps in vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.finish();
    }
}
