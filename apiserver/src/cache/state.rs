//! What a cache knows: objects, the window of recent events, and the revision up to which it knows all.
//!
//! Plain data without I/O, so that C1, C2 and C5 can be tested step by step.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use helium_apimachinery::meta::Object;

use super::WindowLimits;

/// An object as of a revision.
#[derive(Debug)]
pub struct Entry {
    /// Key relative to the cache's prefix: `[<namespace>/]<name>`.
    pub key: String,
    /// Revision of its last change.
    pub revision: i64,
    /// The object in its stored version, with its resourceVersion.
    pub object: Object,
    size: usize,
    json: OnceLock<Bytes>,
}

impl Entry {
    /// An object of which the store keeps `size` bytes.
    #[must_use]
    pub fn new(key: String, revision: i64, object: Object, size: usize) -> Self {
        Self {
            key,
            revision,
            object,
            size,
            json: OnceLock::new(),
        }
    }

    /// The object as JSON; encoded once, however many watchers send it.
    pub fn json(&self) -> &Bytes {
        self.json
            .get_or_init(|| super::watcher::encode(&self.object))
    }
}

/// A change of one object.
#[derive(Debug, Clone)]
pub enum Event {
    /// Created (nothing before) or updated.
    Put {
        /// The object before.
        before: Option<Arc<Entry>>,
        /// The object now.
        now: Arc<Entry>,
    },
    /// Deleted.
    Deleted {
        /// The last state, with the revision of the deletion.
        last: Arc<Entry>,
    },
}

impl Event {
    /// The revision of the change.
    #[must_use]
    pub fn revision(&self) -> i64 {
        match self {
            Self::Put { now, .. } => now.revision,
            Self::Deleted { last } => last.revision,
        }
    }

    /// The relative key.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put { now, .. } => &now.key,
            Self::Deleted { last } => &last.key,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Put { now, .. } => now.size,
            Self::Deleted { last } => last.size,
        }
    }
}

/// Events after the revision asked for are no longer known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("events after revision {asked} are gone; the oldest known are after {oldest}")]
pub struct Expired {
    /// The revision after which events were wanted.
    pub asked: i64,
    /// The oldest revision after which all events are known.
    pub oldest: i64,
}

/// A place in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    epoch: u64,
    sequence: u64,
}

/// A decoded change, as it comes from the store.
#[derive(Debug)]
pub(super) enum Incoming {
    Put(Entry),
    Delete { key: String, revision: i64 },
}

#[derive(Debug)]
pub(super) struct State {
    limits: WindowLimits,
    /// Counts fills; 0 = never filled.
    epoch: u64,
    revision: i64,
    objects: BTreeMap<String, Arc<Entry>>,
    window: VecDeque<Arc<Event>>,
    window_bytes: usize,
    /// Sequence number of the first event of the window.
    first: u64,
    /// All events after this revision are in the window.
    oldest: i64,
}

impl State {
    pub(super) fn new(limits: WindowLimits) -> Self {
        Self {
            limits,
            epoch: 0,
            revision: 0,
            objects: BTreeMap::new(),
            window: VecDeque::new(),
            window_bytes: 0,
            first: 0,
            oldest: 0,
        }
    }

    pub(super) fn is_filled(&self) -> bool {
        self.epoch > 0
    }

    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    /// All events after this revision are in the window.
    pub(super) fn oldest(&self) -> i64 {
        self.oldest
    }

    /// Begins a new epoch with a whole state.
    pub(super) fn fill(&mut self, entries: Vec<Entry>, revision: i64) {
        self.epoch += 1;
        self.objects = entries
            .into_iter()
            .map(|e| (e.key.clone(), Arc::new(e)))
            .collect();
        self.first += self.window.len() as u64;
        self.window.clear();
        self.window_bytes = 0;
        self.revision = revision;
        self.oldest = revision;
    }

    /// Applies changes in order. What was applied before (a resumed watch may overlap) is dropped.
    pub(super) fn apply(&mut self, changes: Vec<Incoming>) {
        let known = self.revision;
        for change in changes {
            let event = match change {
                Incoming::Put(entry) if entry.revision > known => {
                    let now = Arc::new(entry);
                    let before = self.objects.insert(now.key.clone(), Arc::clone(&now));
                    Event::Put { before, now }
                }
                Incoming::Delete { key, revision } if revision > known => {
                    self.revision = self.revision.max(revision);
                    let Some(last) = self.objects.remove(&key) else {
                        continue;
                    };
                    Event::Deleted {
                        last: Arc::new(buried(&last, revision)),
                    }
                }
                Incoming::Put(_) | Incoming::Delete { .. } => continue,
            };
            self.revision = self.revision.max(event.revision());
            self.push(event);
        }
    }

    /// Notes that nothing is missing up to a revision.
    pub(super) fn progress(&mut self, revision: i64) {
        self.revision = self.revision.max(revision);
    }

    fn push(&mut self, event: Event) {
        self.window_bytes += event.size();
        self.window.push_back(Arc::new(event));
        while self.window.len() > self.limits.events
            || (self.window_bytes > self.limits.bytes && self.window.len() > 1)
        {
            let Some(dropped) = self.window.pop_front() else {
                break;
            };
            self.window_bytes -= dropped.size();
            self.first += 1;
            self.oldest = dropped.revision();
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.objects.get(key).cloned()
    }

    pub(super) fn range(&self, scope: &str, start: Option<&str>) -> Vec<Arc<Entry>> {
        let from = start.filter(|start| *start > scope).unwrap_or(scope);
        self.objects
            .range::<str, _>((Bound::Included(from), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(scope))
            .map(|(_, entry)| Arc::clone(entry))
            .collect()
    }

    /// Behind the newest event.
    pub(super) fn end(&self) -> Cursor {
        Cursor {
            epoch: self.epoch,
            sequence: self.first + self.window.len() as u64,
        }
    }

    /// In front of the first event after a revision.
    pub(super) fn cursor_after(&self, revision: i64) -> Result<Cursor, Expired> {
        if revision < self.oldest {
            return Err(Expired {
                asked: revision,
                oldest: self.oldest,
            });
        }
        let skipped = self
            .window
            .partition_point(|event| event.revision() <= revision);
        Ok(Cursor {
            epoch: self.epoch,
            sequence: self.first + skipped as u64,
        })
    }

    /// Up to `max` events from a cursor on, where the next call continues, and up to which
    /// revision the reader then knows all. `None`: the cursor's place is gone.
    pub(super) fn read(&self, at: Cursor, max: usize) -> Option<(Vec<Arc<Event>>, Cursor, i64)> {
        if at.epoch != self.epoch || at.sequence < self.first {
            return None;
        }
        let skip = usize::try_from(at.sequence - self.first).ok()?;
        let events: Vec<_> = self.window.iter().skip(skip).take(max).cloned().collect();
        let next = Cursor {
            epoch: at.epoch,
            sequence: at.sequence + events.len() as u64,
        };
        let complete = next == self.end();
        let revision = match events.last() {
            Some(last) if !complete => last.revision(),
            _ => self.revision,
        };
        Some((events, next, revision))
    }
}

/// The last state of a deleted object: its resourceVersion is that of the deletion.
pub(super) fn buried(last: &Entry, revision: i64) -> Entry {
    let mut object = last.object.clone();
    object.set_resource_version(&revision.to_string());
    Entry::new(last.key.clone(), revision, object, last.size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, revision: i64) -> Incoming {
        let mut object = Object::default();
        object.set_name(key);
        object.set_resource_version(&revision.to_string());
        Incoming::Put(Entry::new(key.to_owned(), revision, object, 10))
    }

    fn delete(key: &str, revision: i64) -> Incoming {
        Incoming::Delete {
            key: key.to_owned(),
            revision,
        }
    }

    fn state(events: usize) -> State {
        let mut state = State::new(WindowLimits {
            events,
            bytes: 1000,
        });
        state.fill(Vec::new(), 5);
        state
    }

    fn revisions(events: &[Arc<Event>]) -> Vec<i64> {
        events.iter().map(|event| event.revision()).collect()
    }

    #[test]
    fn a_reader_sees_each_event_once_in_order() {
        let mut state = state(100);
        let start = state.cursor_after(5).unwrap();
        state.apply(vec![put("a", 6), put("b", 7)]);
        state.apply(vec![put("b", 7), delete("a", 9)]);
        let (events, next, complete) = state.read(start, 2).unwrap();
        assert_eq!((revisions(&events), complete), (vec![6, 7], 7));
        let (events, next, complete) = state.read(next, 2).unwrap();
        assert_eq!((revisions(&events), complete), (vec![9], 9));
        state.progress(12);
        assert_eq!(state.read(next, 2).unwrap().2, 12);
    }

    #[test]
    fn a_deletion_carries_the_last_state_with_its_own_revision() {
        let mut state = state(100);
        state.apply(vec![put("a", 6), delete("a", 8), delete("never-there", 9)]);
        let (events, _, _) = state.read(state.cursor_after(6).unwrap(), 10).unwrap();
        let [event] = events.as_slice() else {
            panic!("one event, not {events:?}")
        };
        let Event::Deleted { last } = &**event else {
            panic!("a deletion, not {event:?}")
        };
        assert_eq!(
            (last.object.name(), last.object.resource_version()),
            ("a", "8")
        );
        assert_eq!(state.revision(), 9);
    }

    #[test]
    fn readers_behind_the_window_are_expired() {
        let mut state = state(2);
        let start = state.cursor_after(5).unwrap();
        state.apply((6..10).map(|revision| put("a", revision)).collect());
        assert!(state.read(start, 10).is_none());
        assert_eq!(
            state.cursor_after(6),
            Err(Expired {
                asked: 6,
                oldest: 7
            })
        );
        assert!(state.cursor_after(7).is_ok());
    }

    #[test]
    fn a_new_epoch_expires_all_cursors() {
        let mut state = state(100);
        let old = state.end();
        state.fill(Vec::new(), 50);
        assert!(state.read(old, 1).is_none());
        assert!(state.read(state.end(), 1).is_some());
    }

    #[test]
    fn the_window_is_bounded_by_bytes_too() {
        let mut state = state(1_000_000);
        state.apply((6..1000).map(|revision| put("a", revision)).collect());
        assert_eq!(state.window.len(), 100);
        assert_eq!(state.oldest(), 899);
    }

    #[test]
    fn ranges_stay_inside_their_scope() {
        let mut state = state(100);
        state.apply(vec![
            put("ns/a", 6),
            put("ns/b", 7),
            put("ns-2/a", 8),
            put("nt/a", 9),
        ]);
        let keys = |scope: &str, start: Option<&str>| -> Vec<String> {
            state
                .range(scope, start)
                .iter()
                .map(|entry| entry.key.clone())
                .collect()
        };
        assert_eq!(keys("ns/", None), ["ns/a", "ns/b"]);
        assert_eq!(keys("ns/", Some("ns/a\0")), ["ns/b"]);
        assert_eq!(keys("", None), ["ns-2/a", "ns/a", "ns/b", "nt/a"]);
    }
}
