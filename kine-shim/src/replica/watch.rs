//! Watch streams: the state machine's hub, and a bell for each stream.
//!
//! An applied entry rings only the streams that it concerns. Messages wait in the hub, shared and
//! bounded, until a stream takes them; a slow stream's watchers read history later.

use std::collections::HashMap;
use std::sync::Arc;

use helium_mvcc::{Poll, State, StreamId, WatchHub, WatchId, WatchRequest};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::error::{Error, Result};
use super::shared::Shared;
use super::status::{Phase, WatchCounts};

/// All streams of a replica. Locked after the core, if both are needed.
#[derive(Debug)]
pub(super) struct Streams {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    hub: WatchHub,
    bells: HashMap<StreamId, Arc<Notify>>,
}

impl Streams {
    pub(super) fn new() -> Self {
        let hub = WatchHub::new(&State::new());
        Self {
            inner: Mutex::new(Inner {
                hub,
                bells: HashMap::new(),
            }),
        }
    }

    /// Takes in what was just applied. The caller holds the core.
    pub(super) fn advance(&self, state: &State) {
        let mut inner = self.inner.lock();
        let Inner { hub, bells } = &mut *inner;
        hub.advance(state, |stream| ring(bells, stream));
    }

    /// Goes on from a freshly loaded state. The caller holds the core.
    pub(super) fn restart(&self, state: &State) {
        let mut inner = self.inner.lock();
        let Inner { hub, bells } = &mut *inner;
        hub.reset(state, |stream| ring(bells, stream));
    }

    /// Ends every stream.
    pub(super) fn end_all(&self) {
        self.restart(&State::new());
    }

    pub(super) fn counts(&self) -> WatchCounts {
        let inner = self.inner.lock();
        WatchCounts {
            streams: inner.hub.stream_count(),
            watchers: inner.hub.watcher_count(),
            lagging: inner.hub.lagging_count(),
            pending_events: inner.hub.pending_count(),
        }
    }
}

fn ring(bells: &HashMap<StreamId, Arc<Notify>>, stream: StreamId) {
    if let Some(bell) = bells.get(&stream) {
        bell.notify_one();
    }
}

/// One client's watchers. Closed when dropped.
///
/// Watch identifiers are this stream's own; the hub gives them out and refuses duplicates.
#[derive(Debug)]
pub struct WatchStream {
    shared: Arc<Shared>,
    id: StreamId,
    bell: Arc<Notify>,
}

impl WatchStream {
    pub(super) fn open(shared: &Arc<Shared>) -> Result<Self> {
        // Held, so that no reload comes between the check and the stream.
        let core = shared.core.read();
        core.serving()?;
        let bell = Arc::new(Notify::new());
        let mut inner = shared.streams.inner.lock();
        let id = inner.hub.stream_open();
        inner.bells.insert(id, Arc::clone(&bell));
        drop(inner);
        drop(core);
        Ok(Self {
            shared: Arc::clone(shared),
            id,
            bell,
        })
    }

    /// Adds a watcher. Its first message says that it was created, or why not.
    pub fn create(&self, request: WatchRequest) {
        self.with_hub(|hub, id| hub.watch_create(id, request));
    }

    /// Ends a watcher. Its last message confirms that; an unknown one is ignored.
    pub fn cancel(&self, watch: WatchId) {
        self.with_hub(|hub, id| hub.watch_cancel(id, watch));
    }

    /// Asks for the revision that all watchers have seen. Not answered while one of them lags.
    pub fn progress_request(&self) {
        self.with_hub(WatchHub::progress_request);
    }

    /// The interval of progress messages is over.
    pub fn progress_tick(&self) {
        self.with_hub(WatchHub::progress_tick);
    }

    /// Waits for messages, or for the end of the stream (`closed`).
    ///
    /// May be dropped and called again without losing anything.
    pub async fn next(&self) -> Result<Poll> {
        loop {
            let poll = {
                let core = self.shared.core.read();
                self.shared
                    .streams
                    .inner
                    .lock()
                    .hub
                    .poll(self.id, core.state())
            };
            if poll.closed {
                match self.shared.phase() {
                    Phase::Stopped => return Err(Error::Stopped),
                    _ => return Ok(poll),
                }
            }
            if !poll.messages.is_empty() {
                return Ok(poll);
            }
            if poll.more {
                // A lagging watcher found nothing for it in this stretch of history.
                tokio::task::yield_now().await;
            } else {
                self.bell.notified().await;
            }
        }
    }

    fn with_hub(&self, change: impl FnOnce(&mut WatchHub, StreamId)) {
        change(&mut self.shared.streams.inner.lock().hub, self.id);
        self.bell.notify_one();
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        let mut inner = self.shared.streams.inner.lock();
        inner.bells.remove(&self.id);
        inner.hub.stream_close(self.id);
    }
}
