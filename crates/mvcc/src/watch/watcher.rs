//! One watcher: what it wants and what it has not seen yet.

use std::sync::Arc;

use super::{StreamId, WatchBody, WatchId, WatchMessage};
use crate::{Event, EventKind, KeyRange, Revision, State};

/// How many revisions with changes for the watcher a chunk has at most, as in etcd.
const CHUNK_REVISIONS: usize = 1000;

#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) stream: StreamId,
    pub(super) id: WatchId,
    pub(super) range: KeyRange,
    pub(super) no_put: bool,
    pub(super) no_delete: bool,
    pub(super) prev_kv: bool,
    pub(super) progress_notify: bool,
    /// The start revision that was asked for; unset if it is wherever the store stood.
    pub(super) start: Revision,
    /// While lagging, the next revision to read. While synced, the first that it wants at all.
    pub(super) next: Revision,
    /// Whether changes come in through the index.
    pub(super) synced: bool,
    /// Changes that came in and weren't fetched, oldest first. While lagging, all are below
    /// `next`.
    pub(super) pending: Vec<Event>,
    /// No event was sent since the last tick.
    pub(super) quiet: bool,
}

impl Watcher {
    /// Whether a synced watcher of the key is to see the event.
    pub(super) fn wants(&self, event: &Event) -> bool {
        self.synced && event.revision() >= self.next && self.passes(event)
    }

    fn passes(&self, event: &Event) -> bool {
        match event.kind {
            EventKind::Put => !self.no_put,
            EventKind::Delete => !self.no_delete,
        }
    }

    /// Whether every change up to a revision was sent. As in etcd, one that starts in the future
    /// has seen nothing before the store gets there, not even what it doesn't want.
    pub(super) fn has_seen(&self, revision: Revision) -> bool {
        self.synced && self.pending.is_empty() && self.start <= revision
    }

    /// Reads from the history from now on.
    pub(super) fn lag_from(&mut self, next: Revision) {
        self.synced = false;
        self.next = next;
    }

    /// Forgets the pending events of a revision, because not all of them fit.
    pub(super) fn drop_pending(&mut self, revision: Revision) {
        let whole = self
            .pending
            .partition_point(|event| event.revision() < revision);
        self.pending.truncate(whole);
    }

    /// The next chunk of changes up to a revision. Once that is reached, the watcher is synced.
    /// What was looked at is taken from `budget`.
    pub(super) fn catch_up(
        &mut self,
        state: &State,
        upto: Revision,
        budget: &mut usize,
    ) -> Vec<Event> {
        let events = if self.range.is_single() {
            let events = self.read_key(state, upto);
            *budget = budget.saturating_sub(events.len().max(1));
            events
        } else {
            self.read_history(state, upto, budget)
        };
        self.synced = self.next > upto;
        events
    }

    /// From the key's own versions, however many revisions have passed.
    fn read_key(&mut self, state: &State, upto: Revision) -> Vec<Event> {
        let mut events = Vec::new();
        let from = std::mem::replace(&mut self.next, upto.next());
        let Some(node) = state.keyspace().node(self.range.key()) else {
            return events;
        };
        let mut previous = None;
        for kv in node.versions() {
            let prev_kv = previous.replace(kv);
            if kv.mod_revision < from || kv.mod_revision > upto {
                continue;
            }
            let prev_kv = prev_kv.filter(|kv| !kv.is_tombstone()).map(Arc::clone);
            let event = Event::new(Arc::clone(kv), prev_kv);
            if !self.passes(&event) {
                continue;
            }
            if events.len() == CHUNK_REVISIONS {
                self.next = kv.mod_revision;
                break;
            }
            events.push(event);
        }
        events
    }

    /// From the changes of all keys.
    fn read_history(&mut self, state: &State, upto: Revision, budget: &mut usize) -> Vec<Event> {
        let mut wanted = Vec::new();
        let mut revisions = 0;
        let first = state.history_first().max(self.next);
        for (revision, events) in state.changes(first) {
            if revision > upto {
                break;
            }
            if *budget == 0 || revisions == CHUNK_REVISIONS {
                self.next = revision;
                return wanted;
            }
            *budget = budget.saturating_sub(events.len());
            let before = wanted.len();
            let ours = events
                .iter()
                .filter(|event| self.range.contains(&event.kv.key));
            wanted.extend(ours.filter(|event| self.passes(event)).cloned());
            revisions += usize::from(wanted.len() > before);
        }
        self.next = upto.next();
        wanted
    }

    /// The message that brings events, if there are any.
    pub(super) fn message(
        &mut self,
        mut events: Vec<Event>,
        revision: Revision,
        compact_revision: Revision,
    ) -> Option<WatchMessage> {
        if events.is_empty() {
            return None;
        }
        self.quiet = false;
        for event in &mut events {
            // The version before a change at the compact revision is compacted.
            if !self.prev_kv || event.revision() <= compact_revision {
                event.prev_kv = None;
            }
        }
        Some(WatchMessage {
            id: self.id,
            revision,
            body: WatchBody::Events(events),
        })
    }
}
