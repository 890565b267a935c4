//! Watches: who wants to see which changes, and what each has not seen yet.
//!
//! 1. A watcher sees every change of its range from its start revision on, once, in order, and
//!    whole revisions only; or it is told that what it needs is compacted.
//! 2. A watcher is *synced* or *lagging*. Synced ones are found through an index by key when
//!    changes arrive, so that a change costs only those whom it concerns. What they haven't
//!    fetched is pending, up to a bound; beyond it they lag.
//! 3. Lagging watchers read from the history of the state, in chunks, when their stream asks.
//!    They hold no place in memory and nobody waits for them.
//! 4. A progress message never promises a revision whose changes were not delivered before it.
//!
//! The hub holds no lock, channel or task. One task should own each stream: it passes the client's
//! requests in, calls [`poll`](WatchHub::poll) after each and whenever it is woken, and sends what
//! comes out before it goes on. Identifiers of watchers are given out here, per stream.
//!
//! What it will not do: split large messages (the server does, it knows the sizes on the wire) and
//! keep time (the server asks for progress messages when they are due).

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;

use crate::{KeyRange, Revision, State};

mod index;
mod message;
mod watcher;

use index::Index;
pub use message::{Poll, StreamId, WatchBody, WatchId, WatchMessage, WatchRefusal, WatchRequest};
use watcher::Watcher;

/// How many events may be pending for one watcher before it lags.
const PENDING_MAX: usize = 4096;
/// After how many events a poll stops handing out more.
const POLL_EVENTS: usize = 16 * 1024;
/// How many changes a poll looks at for lagging watchers.
const POLL_SCAN: usize = 16 * 1024;

/// Identifies a watcher in the hub; never used again.
type Serial = u64;

/// All streams with their watchers.
#[derive(Debug)]
pub struct WatchHub {
    /// The revision whose changes were taken in last.
    revision: Revision,
    compact_revision: Revision,
    streams: HashMap<StreamId, Stream>,
    watchers: HashMap<Serial, Watcher>,
    index: Index,
    last_stream: u64,
    last_serial: Serial,
    pending_max: usize,
    poll_events: usize,
}

#[derive(Debug, Default)]
struct Stream {
    watchers: BTreeMap<WatchId, Serial>,
    next_id: i64,
    /// Answers to the client's requests.
    answers: VecDeque<WatchMessage>,
    /// Watchers with pending events. Serials of cancelled ones may remain in both queues.
    ready: VecDeque<Serial>,
    /// Watchers that read from the history.
    lagging: VecDeque<Serial>,
    /// Watchers that are to be told the revision.
    ticked: Vec<Serial>,
    /// Whether the client asked for the revision.
    progress: bool,
    /// Whether the stream was woken since its last poll.
    woken: bool,
    closed: bool,
}

impl WatchHub {
    /// A hub that follows a state from its current revision on.
    #[must_use]
    pub fn new(state: &State) -> Self {
        Self {
            revision: state.revision(),
            compact_revision: state.compact_revision(),
            streams: HashMap::new(),
            watchers: HashMap::new(),
            index: Index::default(),
            last_stream: 0,
            last_serial: 0,
            pending_max: PENDING_MAX,
            poll_events: POLL_EVENTS,
        }
    }

    /// The revision whose changes were taken in last.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// How many streams there are.
    #[must_use]
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// How many watchers there are.
    #[must_use]
    pub fn watcher_count(&self) -> usize {
        self.watchers.len()
    }

    /// How many watchers lag.
    #[must_use]
    pub fn lagging_count(&self) -> usize {
        self.watchers
            .values()
            .filter(|watcher| !watcher.synced)
            .count()
    }

    /// How many events are pending.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.watchers
            .values()
            .map(|watcher| watcher.pending.len())
            .sum()
    }

    /// Opens a stream without watchers.
    pub fn stream_open(&mut self) -> StreamId {
        self.last_stream += 1;
        let id = StreamId(self.last_stream);
        self.streams.insert(id, Stream::default());
        id
    }

    /// Ends a stream and its watchers.
    pub fn stream_close(&mut self, stream: StreamId) {
        for serial in self
            .streams
            .remove(&stream)
            .into_iter()
            .flat_map(|s| s.watchers)
        {
            self.forget(serial.1);
        }
    }

    /// Adds a watcher, or refuses it; the next poll tells.
    pub fn watch_create(&mut self, stream: StreamId, request: WatchRequest) {
        let Some(target) = self
            .streams
            .get_mut(&stream)
            .filter(|target| !target.closed)
        else {
            return;
        };
        let range = if request.range.key().is_empty() {
            KeyRange::new(Bytes::from_static(&[0]), request.range.range_end().clone())
        } else {
            request.range
        };
        let id = match target.new_id(request.id) {
            _ if range.is_empty() => Err(WatchRefusal::EmptyRange),
            _ if request.start_revision.0 < 0 => Err(WatchRefusal::NegativeStart),
            id => id,
        };
        let revision = self.revision;
        let id = match id {
            Ok(id) => id,
            Err(refusal) => {
                let body = WatchBody::Refused(refusal);
                target.answers.push_back(WatchMessage {
                    id: WatchId::STREAM,
                    revision,
                    body,
                });
                return;
            }
        };
        target.answers.push_back(WatchMessage {
            id,
            revision,
            body: WatchBody::Created,
        });
        self.last_serial += 1;
        let serial = self.last_serial;
        target.watchers.insert(id, serial);
        let start = request.start_revision;
        let next = if start == Revision::UNSET {
            revision.next()
        } else {
            start
        };
        let synced = next > revision;
        if !synced {
            target.lagging.push_back(serial);
        }
        self.index.insert(serial, &range);
        let watcher = Watcher {
            stream,
            id,
            range,
            no_put: request.no_put,
            no_delete: request.no_delete,
            prev_kv: request.prev_kv,
            progress_notify: request.progress_notify,
            start,
            next,
            synced,
            pending: Vec::new(),
            quiet: true,
        };
        self.watchers.insert(serial, watcher);
    }

    /// Ends a watcher; the next poll confirms it. An unknown one is ignored.
    pub fn watch_cancel(&mut self, stream: StreamId, id: WatchId) {
        let Some(target) = self.streams.get_mut(&stream) else {
            return;
        };
        let Some(serial) = target.watchers.remove(&id) else {
            return;
        };
        let message = WatchMessage {
            id,
            revision: self.revision,
            body: WatchBody::Canceled,
        };
        target.answers.push_back(message);
        self.forget(serial);
    }

    /// The client asks for the revision that all of the stream's watchers have seen. The next
    /// poll answers, unless one of them still lags then: the client asks again.
    pub fn progress_request(&mut self, stream: StreamId) {
        if let Some(target) = self.streams.get_mut(&stream) {
            target.progress = true;
        }
    }

    /// The interval of progress messages is over: the next poll has one for each watcher that
    /// wants them and got no event since the last tick.
    pub fn progress_tick(&mut self, stream: StreamId) {
        let Some(target) = self.streams.get_mut(&stream) else {
            return;
        };
        target.ticked.clear();
        for serial in target.watchers.values() {
            if let Some(watcher) = self.watchers.get_mut(serial)
                && watcher.progress_notify
                && std::mem::replace(&mut watcher.quiet, true)
            {
                target.ticked.push(*serial);
            }
        }
    }

    /// Takes in what was applied to the state since the last call, and wakes the streams that it
    /// concerns. To be called after every [`apply`](State::apply), before
    /// [`compact_step`](State::compact_step).
    pub fn advance(&mut self, state: &State, mut wake: impl FnMut(StreamId)) {
        self.compact_revision = state.compact_revision();
        let from = self.revision.next();
        self.revision = state.revision();
        let Self {
            streams,
            watchers,
            index,
            pending_max,
            ..
        } = self;
        let mut wake = |stream: &mut Stream, id: StreamId| {
            if !std::mem::replace(&mut stream.woken, true) {
                wake(id);
            }
        };
        if from < state.history_first() && from <= state.revision() {
            // There are changes that nobody can be shown any more.
            for (serial, watcher) in watchers.iter_mut().filter(|(_, watcher)| watcher.synced) {
                watcher.lag_from(watcher.next.max(from));
                if let Some(stream) = streams.get_mut(&watcher.stream) {
                    stream.lagging.push_back(*serial);
                    wake(stream, watcher.stream);
                }
            }
            return;
        }
        for (revision, events) in state.changes(from) {
            for event in events {
                index.find(&event.kv.key, |serial| {
                    let Some(watcher) = watchers.get_mut(&serial) else {
                        return;
                    };
                    if !watcher.wants(event) {
                        return;
                    }
                    let Some(stream) = streams.get_mut(&watcher.stream) else {
                        return;
                    };
                    if watcher.pending.len() >= *pending_max {
                        watcher.drop_pending(revision);
                        watcher.lag_from(revision);
                        stream.lagging.push_back(serial);
                    } else {
                        if watcher.pending.is_empty() {
                            stream.ready.push_back(serial);
                        }
                        watcher.pending.push(event.clone());
                    }
                    wake(stream, watcher.stream);
                });
            }
        }
    }

    /// Takes a stream's messages, and lets its lagging watchers catch up some way. `state` is the
    /// one that was passed to [`advance`](Self::advance) last, or a later one.
    pub fn poll(&mut self, stream: StreamId, state: &State) -> Poll {
        let Some(target) = self.streams.get_mut(&stream) else {
            return Poll {
                messages: Vec::new(),
                more: false,
                closed: true,
            };
        };
        target.woken = false;
        let mut messages: Vec<WatchMessage> = target.answers.drain(..).collect();
        if target.closed {
            return Poll {
                messages,
                more: false,
                closed: true,
            };
        }
        self.take_pending(stream, &mut messages);
        self.catch_up(stream, state, &mut messages);
        let more = self.take_progress(stream, &mut messages);
        Poll {
            messages,
            more,
            closed: false,
        }
    }

    /// The state was dropped: every stream ends, and the hub goes on from `state`.
    pub fn reset(&mut self, state: &State, mut wake: impl FnMut(StreamId)) {
        self.revision = state.revision();
        self.compact_revision = state.compact_revision();
        self.watchers.clear();
        self.index = Index::default();
        for (id, stream) in &mut self.streams {
            *stream = Stream {
                closed: true,
                woken: true,
                ..Stream::default()
            };
            wake(*id);
        }
    }

    fn take_pending(&mut self, stream: StreamId, messages: &mut Vec<WatchMessage>) {
        let Some(target) = self.streams.get_mut(&stream) else {
            return;
        };
        let mut count = 0;
        while count < self.poll_events
            && let Some(serial) = target.ready.pop_front()
        {
            let Some(watcher) = self.watchers.get_mut(&serial) else {
                continue;
            };
            let events = std::mem::take(&mut watcher.pending);
            count += events.len();
            messages.extend(watcher.message(events, self.revision, self.compact_revision));
        }
    }

    fn catch_up(&mut self, stream: StreamId, state: &State, messages: &mut Vec<WatchMessage>) {
        // Each of them once: how long a poll takes must not depend on how far one is behind.
        let lagging = self
            .streams
            .get(&stream)
            .map_or(0, |target| target.lagging.len());
        let mut budget = POLL_SCAN;
        for _ in 0..lagging {
            if budget == 0 {
                return;
            }
            let Some(target) = self.streams.get_mut(&stream) else {
                return;
            };
            let Some(serial) = target.lagging.pop_front() else {
                return;
            };
            let Some(watcher) = self.watchers.get_mut(&serial) else {
                continue;
            };
            if !watcher.pending.is_empty() {
                // It is in the queue of those that are ready: first come the older events.
                target.lagging.push_back(serial);
                continue;
            }
            let oldest = state.oldest_watchable();
            if watcher.next < oldest {
                let body = WatchBody::Compacted {
                    compact_revision: oldest,
                };
                let id = watcher.id;
                messages.push(WatchMessage {
                    id,
                    revision: Revision::UNSET,
                    body,
                });
                target.watchers.remove(&id);
                self.forget(serial);
                continue;
            }
            let events = watcher.catch_up(state, self.revision, &mut budget);
            messages.extend(watcher.message(events, self.revision, self.compact_revision));
            if !watcher.synced {
                target.lagging.push_back(serial);
            }
        }
    }

    /// Answers what was asked about progress, now that events are out, and tells whether another
    /// poll has more to do.
    fn take_progress(&mut self, stream: StreamId, messages: &mut Vec<WatchMessage>) -> bool {
        let (revision, watchers) = (self.revision, &self.watchers);
        let Some(target) = self.streams.get_mut(&stream) else {
            return false;
        };
        let has_seen_all = |serial: &Serial| {
            watchers
                .get(serial)
                .filter(|watcher| watcher.has_seen(revision))
        };
        for serial in target.ticked.drain(..) {
            if let Some(watcher) = has_seen_all(&serial) {
                messages.push(WatchMessage {
                    id: watcher.id,
                    revision,
                    body: WatchBody::Progress,
                });
            }
        }
        let more = !target.ready.is_empty() || !target.lagging.is_empty();
        // Pending events come with the next poll, and the answer after them; a lagging watcher
        // may take long, so the client gets no answer.
        if target.progress && (target.ready.is_empty() || !target.lagging.is_empty()) {
            target.progress = false;
            let all = target
                .watchers
                .values()
                .all(|serial| has_seen_all(serial).is_some());
            if all && !target.watchers.is_empty() {
                let (id, body) = (WatchId::STREAM, WatchBody::Progress);
                messages.push(WatchMessage { id, revision, body });
            }
        }
        more
    }

    fn forget(&mut self, serial: Serial) {
        if let Some(watcher) = self.watchers.remove(&serial) {
            self.index.remove(serial, &watcher.range);
        }
    }
}

impl Stream {
    /// The identifier that was asked for, or the next unused one.
    fn new_id(&mut self, asked: WatchId) -> Result<WatchId, WatchRefusal> {
        if asked != WatchId::AUTO {
            let used = self.watchers.contains_key(&asked);
            return if used {
                Err(WatchRefusal::DuplicateId)
            } else {
                Ok(asked)
            };
        }
        while self.watchers.contains_key(&WatchId(self.next_id)) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = WatchId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        Ok(id)
    }
}

#[cfg(test)]
mod tests;
