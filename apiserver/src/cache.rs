//! The watch cache: one per served resource, in every process.
//!
//! A cache lists its prefix once, then follows it. It serves every watch, every list and the gets that
//! ask for "at least revision N"; a list that asks for the latest state first learns the store's
//! current revision and waits until the cache has got there, so that it is as fresh as a read of the store and
//! costs the store one key.
//!
//! Invariants:
//! - **C1** The state at revision R is exactly the store's state at R, for the R that it claims. The claim grows
//!   only with events delivered in order or with the store's word that nothing is missing.
//! - **C2** A watcher sees every event after its start once, in revision order, or is told that it can't
//!   ([`Expired`]). It is a cursor into the shared window; nothing is queued per watcher, so a slow one delays
//!   nobody and costs nothing.
//! - **C3** A broken watch of the store resumes behind the last event applied. Only if that place is gone (compaction,
//!   or a store that went back in time) everything is listed again, as a new *epoch*, and all cursors
//!   of the old one are expired.
//! - **C4** With the store down the last state stays readable and watchable; only freshness can't be promised.
//! - **C5** The window is bounded by number and by bytes of its events.
//!
//! What it will not do: write, know selectors or versions, or keep a resource's history beyond its window. A watch
//! from before the window is caught up from the store itself, as long as the store has the history.

mod reflector;
mod state;
mod watcher;

use std::sync::Arc;
use std::time::Duration;

use helium_apimachinery::meta::Object;
use parking_lot::RwLock;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use state::{Entry, Event, Expired};
pub use watcher::{Step, Watcher};

use crate::storage::{Prefix, Record, Store};
use state::State;

/// How often a waiting reader reminds the store of the progress that it waits for.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Turns stored values into objects: the codec and whatever a resource's schema does on reading.
pub trait Decoder: Send + Sync + 'static {
    /// Decodes a record; the object carries the record's revision as its resourceVersion.
    fn decode(&self, record: &Record) -> Result<Object, DecodeError>;
}

/// A stored value that isn't an object of the resource.
#[derive(Debug, thiserror::Error)]
#[error("decode the stored object {key}: {reason}")]
pub struct DecodeError {
    /// The full key.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Bounds of a cache's window of events.
#[derive(Debug, Clone, Copy)]
pub struct WindowLimits {
    /// Most events.
    pub events: usize,
    /// Most bytes of stored values, over all events.
    pub bytes: usize,
}

impl Default for WindowLimits {
    fn default() -> Self {
        Self {
            events: 16_384,
            bytes: 64 << 20,
        }
    }
}

/// The cache can't answer as asked.
#[derive(Debug, thiserror::Error)]
pub enum Unready {
    /// It has not read the store yet.
    #[error("the cache has not been filled yet")]
    Loading,
    /// It has not reached the revision.
    #[error("the cache is at revision {current}, behind {wanted}")]
    Behind {
        /// The revision asked for.
        wanted: i64,
        /// The revision that it has reached.
        current: i64,
    },
}

/// Some of a resource's objects at one revision.
#[derive(Debug)]
pub struct Snapshot {
    /// In key order.
    pub entries: Vec<Arc<Entry>>,
    /// The revision of which this is the state.
    pub revision: i64,
}

/// A handle to a resource's cache. Clones share it; it is stopped by its token.
#[derive(Clone)]
pub struct Cache {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    prefix: Prefix,
    decoder: Box<dyn Decoder>,
    state: RwLock<State>,
    /// Told after every change of the state.
    changed: watch::Sender<()>,
    /// Rung by readers who wait for progress.
    progress_wanted: Notify,
    stop: CancellationToken,
}

impl Cache {
    /// Starts to fill and follow a cache of everything under `prefix`, until `stop` is cancelled. The returned
    /// future is the work itself: spawn it.
    pub fn start(
        store: Store,
        prefix: Prefix,
        decoder: Box<dyn Decoder>,
        limits: WindowLimits,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let shared = Arc::new(Shared {
            store,
            prefix,
            decoder,
            state: RwLock::new(State::new(limits)),
            changed: watch::Sender::new(()),
            progress_wanted: Notify::new(),
            stop,
        });
        let work = reflector::run(Arc::clone(&shared));
        (Self { shared }, work)
    }

    /// Whether two handles are of one cache.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// The prefix that it follows.
    #[must_use]
    pub fn prefix(&self) -> &Prefix {
        &self.shared.prefix
    }

    /// Whether it has been filled.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.shared.state.read().is_filled()
    }

    /// The revision that it has reached.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.shared.state.read().revision()
    }

    /// Is told whenever objects, revision or epoch change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.shared.changed.subscribe()
    }

    /// Waits until it is filled.
    pub async fn wait_filled(&self, bound: Duration) -> Result<(), Unready> {
        self.shared
            .wait(bound, State::is_filled)
            .await
            .map_err(|_| Unready::Loading)
    }

    /// Waits until it has reached a revision, asking the store for progress meanwhile.
    pub async fn wait_revision(&self, wanted: i64, bound: Duration) -> Result<(), Unready> {
        let reached = |state: &State| state.is_filled() && state.revision() >= wanted;
        self.shared
            .wait(bound, reached)
            .await
            .map_err(|current| match current {
                None => Unready::Loading,
                Some(current) => Unready::Behind { wanted, current },
            })
    }

    /// One object by its relative key, with the cache's revision.
    #[must_use]
    pub fn get(&self, relative: &str) -> (Option<Arc<Entry>>, i64) {
        let state = self.shared.state.read();
        (state.get(relative), state.revision())
    }

    /// All objects whose relative key begins with `scope` (empty = all), from `start` on.
    #[must_use]
    pub fn snapshot(&self, scope: &str, start: Option<&str>) -> Snapshot {
        let state = self.shared.state.read();
        Snapshot {
            entries: state.range(scope, start),
            revision: state.revision(),
        }
    }

    /// Follows from now: the objects of `scope`, and a watcher of everything after.
    #[must_use]
    pub fn watch_from_now(&self, scope: &str) -> (Snapshot, Watcher) {
        let changed = self.shared.changed.subscribe();
        let state = self.shared.state.read();
        let snapshot = Snapshot {
            entries: state.range(scope, None),
            revision: state.revision(),
        };
        let watcher = Watcher::at(
            Arc::clone(&self.shared),
            state.end(),
            snapshot.revision,
            changed,
        );
        (snapshot, watcher)
    }

    /// Follows from behind a revision. If that is before the window, the store's history
    /// fills the gap; [`Expired`] if it doesn't reach back so far either.
    pub async fn watch_after(&self, revision: i64) -> Result<Watcher, Expired> {
        let changed = self.shared.changed.subscribe();
        let at = self.shared.state.read().cursor_after(revision);
        match at {
            Ok(cursor) => Ok(Watcher::at(
                Arc::clone(&self.shared),
                cursor,
                revision,
                changed,
            )),
            Err(expired) => {
                Watcher::catching_up(Arc::clone(&self.shared), revision, expired, changed).await
            }
        }
    }
}

impl Shared {
    /// Waits for a condition; tells the revision reached (`None` before the first fill) if the bound passes.
    async fn wait(
        &self,
        bound: Duration,
        condition: impl Fn(&State) -> bool,
    ) -> Result<(), Option<i64>> {
        let mut changed = self.changed.subscribe();
        let deadline = Instant::now() + bound;
        loop {
            {
                let state = self.state.read();
                if condition(&state) {
                    return Ok(());
                }
                if Instant::now() >= deadline {
                    return Err(state.is_filled().then(|| state.revision()));
                }
            }
            self.progress_wanted.notify_one();
            let pause = (Instant::now() + PROGRESS_INTERVAL).min(deadline);
            let _ = tokio::time::timeout_at(pause, changed.changed()).await;
        }
    }
}
