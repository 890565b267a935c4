//! One watcher: a cursor into the window, or, before that, a stream of the store's own history.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use helium_apimachinery::meta::Object;
use tokio::sync::watch;

use super::state::{Cursor, Event, Expired, buried};
use super::{PROGRESS_INTERVAL, Shared};
use crate::storage::{Change, Update, WatchStream};

/// Events that are taken out of the window at once.
const BATCH: usize = 256;

/// How long the store may take to tell whether it has the history asked for.
const HISTORY_BOUND: Duration = Duration::from_secs(5);

/// What a watcher learns next.
#[derive(Debug)]
pub enum Step {
    /// Events in revision order, at least one.
    Events(Vec<Arc<Event>>),
    /// Nothing happened up to this revision.
    Progress(i64),
}

/// Follows a cache. Dropping it ends it.
pub struct Watcher {
    shared: Arc<Shared>,
    source: Source,
    /// Everything up to here was handed out.
    revision: i64,
    changed: watch::Receiver<()>,
}

enum Source {
    Window(Cursor),
    History(Box<History>),
}

/// The store's history, up to where the window begins.
struct History {
    stream: WatchStream,
    pending: VecDeque<Change>,
}

impl Watcher {
    pub(super) fn at(
        shared: Arc<Shared>,
        cursor: Cursor,
        revision: i64,
        changed: watch::Receiver<()>,
    ) -> Self {
        Self {
            shared,
            source: Source::Window(cursor),
            revision,
            changed,
        }
    }

    /// Begins in the store's history. Tells at once whether that reaches back far enough.
    pub(super) async fn catching_up(
        shared: Arc<Shared>,
        revision: i64,
        expired: Expired,
        changed: watch::Receiver<()>,
    ) -> Result<Self, Expired> {
        let stream = shared
            .store
            .watch(&shared.prefix, revision + 1)
            .await
            .map_err(|_| expired)?;
        let mut history = Box::new(History {
            stream,
            pending: VecDeque::new(),
        });
        // A compacted start is refused after the confirmation, so the first thing behind that decides.
        let first = tokio::time::timeout(HISTORY_BOUND, history.update()).await;
        if let Update::Changes(changes) = first.map_err(|_| expired)?.map_err(|_| expired)? {
            history.pending.extend(changes);
        }
        Ok(Self {
            shared,
            source: Source::History(history),
            revision,
            changed,
        })
    }

    /// The revision up to which everything has been handed out.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Waits for the next step. Safe to cancel. [`Expired`] is final.
    pub async fn next(&mut self) -> Result<Step, Expired> {
        loop {
            self.changed.borrow_and_update();
            match &mut self.source {
                Source::Window(cursor) => {
                    if let Some(step) = read_window(&self.shared, cursor, &mut self.revision)? {
                        return Ok(step);
                    }
                    // The sender lives in `shared`, so this can't fail.
                    let _ = self.changed.changed().await;
                }
                Source::History(history) => {
                    let joined = self.shared.state.read().cursor_after(self.revision);
                    if let Ok(cursor) = joined {
                        self.source = Source::Window(cursor);
                        continue;
                    }
                    let step = history.next(&self.shared, self.revision).await?;
                    self.revision = match &step {
                        Step::Events(events) => events
                            .last()
                            .map_or(self.revision, |event| event.revision()),
                        Step::Progress(revision) => *revision,
                    };
                    return Ok(step);
                }
            }
        }
    }
}

fn read_window(
    shared: &Shared,
    cursor: &mut Cursor,
    revision: &mut i64,
) -> Result<Option<Step>, Expired> {
    let state = shared.state.read();
    let Some((events, next, complete)) = state.read(*cursor, BATCH) else {
        return Err(Expired {
            asked: *revision,
            oldest: state.oldest(),
        });
    };
    *cursor = next;
    if events.is_empty() && complete <= *revision {
        return Ok(None);
    }
    // A watch may start in the future; what lies before its start isn't told.
    let start = *revision;
    *revision = complete.max(start);
    let events: Vec<_> = events
        .into_iter()
        .filter(|e| e.revision() > start)
        .collect();
    Ok(Some(if events.is_empty() {
        Step::Progress(*revision)
    } else {
        Step::Events(events)
    }))
}

impl History {
    /// The next changes or progress. Progress is asked for again and again: between the last change and the window
    /// there may be nothing else to learn the revision from.
    async fn update(&mut self) -> crate::storage::Result<Update> {
        loop {
            match tokio::time::timeout(PROGRESS_INTERVAL, self.stream.next()).await {
                Ok(Ok(Update::Started { .. })) | Err(_) => self.stream.request_progress(),
                Ok(update) => return update,
            }
        }
    }

    async fn next(&mut self, shared: &Shared, known: i64) -> Result<Step, Expired> {
        let expired = || Expired {
            asked: known,
            oldest: shared.state.read().oldest(),
        };
        if self.pending.is_empty() {
            match self.update().await.map_err(|_| expired())? {
                Update::Changes(changes) => self.pending.extend(changes),
                Update::Progress { revision } => return Ok(Step::Progress(revision.max(known))),
                Update::Started { .. } => return Ok(Step::Progress(known)),
            }
        }
        let last = self.pending.back().map_or(known, Change::revision);
        let changes = self.pending.drain(..);
        let events: Vec<_> = changes
            .filter_map(|change| event(shared, change))
            .map(Arc::new)
            .collect();
        Ok(if events.is_empty() {
            Step::Progress(last.max(known))
        } else {
            Step::Events(events)
        })
    }
}

/// An event from the store's own words.
fn event(shared: &Shared, change: Change) -> Option<Event> {
    match change {
        Change::Put { record, previous } => {
            let before = previous
                .and_then(|record| shared.entry(&record))
                .map(Arc::new);
            Some(Event::Put {
                before,
                now: Arc::new(shared.entry(&record)?),
            })
        }
        Change::Delete {
            revision, previous, ..
        } => {
            let last = shared.entry(&previous?)?;
            Some(Event::Deleted {
                last: Arc::new(buried(&last, revision)),
            })
        }
    }
}

/// An object as compact JSON.
pub(super) fn encode(object: &Object) -> Bytes {
    // A map with string keys always serialises.
    serde_json::to_vec(object)
        .map(Bytes::from)
        .unwrap_or_default()
}
