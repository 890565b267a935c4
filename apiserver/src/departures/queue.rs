//! What waits for the store: departures to be recorded and deletions that were promised, in order, in memory and on disk.
//!
//! One worker takes from the front ([`super::worker`]). What it works on stays in front until it is done, so that a crash
//! repeats it; everything that it does may be repeated.

use std::collections::VecDeque;
use std::sync::Arc;

use helium_telemetry::Chain;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::config::Config;
use crate::state_file::{Error, StateFile};

/// The file's name and version.
const KIND: &str = "departures v1";
/// Most entries: a cluster doesn't delete more namespaces than this while its store is down.
const LIMIT: usize = 10_000;

/// A cluster's own objects of one kind in a namespace that goes away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HomeObjects {
    /// Group under which the kind is stored.
    pub group: String,
    /// Plural name of the kind.
    pub resource: String,
    /// The namespace.
    pub namespace: String,
    /// When it was asked for.
    pub time: Timestamp,
    /// Their names and revisions at that time; `None` when they weren't known, so that their age must tell.
    pub known: Option<Vec<(String, i64)>>,
}

/// Something to be done in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Pending {
    /// The cluster left a namespace.
    Departure { namespace: String, time: Timestamp },
    /// The cluster has a namespace again.
    Return { namespace: String },
    /// The cluster's own objects go.
    HomeDeletion(HomeObjects),
}

impl Pending {
    fn is_departure_from(&self, from: &str) -> bool {
        matches!(self, Self::Departure { namespace, .. } if namespace == from)
    }

    /// The namespace whose presence in the cluster it is about.
    fn moves(&self) -> Option<&str> {
        match self {
            Self::Departure { namespace, .. } | Self::Return { namespace } => Some(namespace),
            Self::HomeDeletion(_) => None,
        }
    }

    /// Whether it says what the queue's items say already.
    fn adds_nothing_to(&self, items: &VecDeque<Self>) -> bool {
        if let Self::HomeDeletion(new) = self {
            return items.iter().any(|item| {
                matches!(item, Self::HomeDeletion(old)
                    if (&new.group, &new.resource, &new.namespace, &new.known)
                        == (&old.group, &old.resource, &old.namespace, &old.known))
            });
        }
        let mut newest_first = items.iter().rev();
        let last = newest_first.find(|item| item.moves() == self.moves());
        last.is_some_and(|last| std::mem::discriminant(last) == std::mem::discriminant(self))
    }
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// The queue. Its file, if it has one, is written by one thread at a time, and never with the memory's lock held.
pub(super) struct Queue {
    state: Mutex<State>,
    /// Told after every change.
    changed: watch::Sender<()>,
    file: Option<Arc<Mutex<Keeper>>>,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Pending>,
    /// Whether the worker is at the front item.
    working: bool,
    /// Counts changes.
    version: u64,
}

/// The file, and which version of the queue is in it.
#[derive(Debug)]
struct Keeper {
    file: StateFile,
    cluster: String,
    version: u64,
    failing: bool,
}

#[derive(Serialize)]
struct Written<'a> {
    cluster: &'a str,
    items: &'a VecDeque<Pending>,
}

#[derive(Deserialize)]
struct Read {
    cluster: String,
    items: VecDeque<Pending>,
}

impl Queue {
    /// The queue of a server, with what its state directory has. Blocks.
    pub(super) fn open(config: &Config) -> Self {
        let keeper = config.state_dir.as_deref().map(|directory| Keeper {
            file: StateFile::new(directory, KIND),
            cluster: config.cluster_name.clone(),
            version: 0,
            failing: false,
        });
        let items = keeper.as_ref().map(Keeper::read).unwrap_or_default();
        Self {
            state: Mutex::new(State {
                items,
                ..State::default()
            }),
            changed: watch::Sender::new(()),
            file: keeper.map(|keeper| Arc::new(Mutex::new(keeper))),
        }
    }

    /// Adds to the end; `false` if that is in the queue already.
    pub(super) fn push(&self, item: Pending) -> Result<bool, Full> {
        let mut state = self.state.lock();
        if item.adds_nothing_to(&state.items) {
            return Ok(false);
        }
        if state.items.len() >= LIMIT {
            return Err(Full);
        }
        state.items.push_back(item);
        state.version += 1;
        drop(state);
        self.changed.send_replace(());
        Ok(true)
    }

    /// Is told after every change.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Takes the front item in work.
    pub(super) fn begin(&self) -> Option<Pending> {
        let mut state = self.state.lock();
        let front = state.items.front().cloned();
        state.working = front.is_some();
        front
    }

    /// Ends the work on the front item, which goes if it is `done`.
    pub(super) fn end(&self, done: bool) {
        let mut state = self.state.lock();
        state.working = false;
        if done {
            state.items.pop_front();
            state.version += 1;
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// Whether a departure from the namespace waits.
    pub(super) fn is_leaving(&self, namespace: &str) -> bool {
        let state = self.state.lock();
        let mut items = state.items.iter();
        items.any(|item| item.is_departure_from(namespace))
    }

    /// Whether a return to the namespace is the last that is known of it.
    pub(super) fn is_returning(&self, namespace: &str) -> bool {
        let state = self.state.lock();
        let mut newest_first = state.items.iter().rev();
        let last = newest_first.find(|item| item.moves() == Some(namespace));
        matches!(last, Some(Pending::Return { .. }))
    }

    /// The namespaces from which departures wait.
    pub(super) fn leaving(&self) -> Vec<String> {
        let state = self.state.lock();
        let departures = state.items.iter().filter_map(|item| match item {
            Pending::Departure { namespace, .. } => Some(namespace.clone()),
            Pending::Return { .. } | Pending::HomeDeletion(_) => None,
        });
        departures.collect()
    }

    pub(super) fn has_promised(&self, group: &str, resource: &str, namespace: &str) -> bool {
        let state = self.state.lock();
        state.items.iter().any(|item| {
            matches!(item, Pending::HomeDeletion(objects)
                if objects.group == group && objects.resource == resource && objects.namespace == namespace)
        })
    }

    /// Takes out what waits of a cluster's departure from a namespace; waits while it is being recorded.
    pub(super) async fn cancel_departure(&self, namespace: &str) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if self.remove_departure(namespace) {
                self.changed.send_replace(());
                return;
            }
            // The sender is ours.
            let _ = changed.changed().await;
        }
    }

    /// Whether no departure from the namespace is left.
    fn remove_departure(&self, namespace: &str) -> bool {
        let mut state = self.state.lock();
        let busy = state.working
            && state
                .items
                .front()
                .is_some_and(|item| item.moves() == Some(namespace));
        if busy {
            return false;
        }
        let before = state.items.len();
        state.items.retain(|item| item.moves() != Some(namespace));
        if state.items.len() != before {
            state.version += 1;
        }
        true
    }

    /// Writes the queue to its file, if it has one and the file has another version.
    pub(super) async fn keep(&self) {
        let Some(keeper) = self.file.clone() else {
            return;
        };
        let (items, version) = {
            let state = self.state.lock();
            (state.items.clone(), state.version)
        };
        let write = move || keeper.lock().write(&items, version);
        // Fails only when the process ends.
        let _ = tokio::task::spawn_blocking(write).await;
    }
}

impl Keeper {
    fn read(&self) -> VecDeque<Pending> {
        match self.try_read() {
            Ok(items) => items,
            Err(error) => {
                tracing::warn!(
                    error = %Chain(&error),
                    "what waited for the store is not known any more: departures from namespaces are forgotten, and the \
                     cluster's own objects in namespaces that it deleted while the store was down stay"
                );
                VecDeque::new()
            }
        }
    }

    fn try_read(&self) -> Result<VecDeque<Pending>, Error> {
        let Some(body) = self.file.read()? else {
            return Ok(VecDeque::new());
        };
        let read: Read = serde_json::from_slice(&body).map_err(|_| {
            self.file
                .broken("its content isn't what this version writes")
        })?;
        if read.cluster != self.cluster {
            return Err(self.file.broken("it is of another cluster"));
        }
        Ok(read.items)
    }

    fn write(&mut self, items: &VecDeque<Pending>, version: u64) {
        // Somebody who saw more was faster.
        if version <= self.version {
            return;
        }
        let written = Written {
            cluster: &self.cluster,
            items,
        };
        // Text keys only: this can't fail.
        let body = serde_json::to_vec(&written).unwrap_or_default();
        match self.file.write(&body) {
            Ok(()) => {
                self.version = version;
                self.failing = false;
            }
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::warn!(
                    error = %Chain(&error),
                    "what waits for the store can't be kept; it is lost if this process ends before the store is back"
                );
            }
            // Said before.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn departure(namespace: &str) -> Pending {
        Pending::Departure {
            namespace: namespace.to_owned(),
            time: Timestamp::UNIX_EPOCH,
        }
    }

    fn queue(directory: &std::path::Path) -> Queue {
        let keeper = Keeper {
            file: StateFile::new(directory, KIND),
            cluster: "c1".to_owned(),
            version: 0,
            failing: false,
        };
        Queue {
            state: Mutex::new(State {
                items: keeper.read(),
                ..State::default()
            }),
            changed: watch::Sender::new(()),
            file: Some(Arc::new(Mutex::new(keeper))),
        }
    }

    #[tokio::test]
    async fn what_waits_outlives_the_process_in_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let first = queue(dir.path());
        let objects = HomeObjects {
            group: "example.com".to_owned(),
            resource: "things".to_owned(),
            namespace: "b".to_owned(),
            time: Timestamp::UNIX_EPOCH,
            known: Some(vec![("x".to_owned(), 7)]),
        };
        for item in [
            departure("a"),
            Pending::HomeDeletion(objects.clone()),
            departure("a"),
            departure("b"),
        ] {
            first.push(item).unwrap();
        }
        first.keep().await;
        let second = queue(dir.path());
        assert!(second.has_promised("example.com", "things", "b"));
        assert_eq!(second.begin(), Some(departure("a")));
        second.end(true);
        assert_eq!(second.begin(), Some(Pending::HomeDeletion(objects)));
        second.end(false);
        second.keep().await;
        assert!(!queue(dir.path()).is_leaving("a"));
        assert!(queue(dir.path()).is_leaving("b"));
    }

    #[tokio::test]
    async fn a_departure_that_is_being_recorded_is_cancelled_after_that() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Arc::new(queue(dir.path()));
        queue.push(departure("a")).unwrap();
        queue.push(departure("b")).unwrap();
        queue.begin();
        queue.cancel_departure("b").await;
        assert!(!queue.is_leaving("b"));
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.cancel_departure("a").await }
        });
        tokio::task::yield_now().await;
        assert!(queue.is_leaving("a"));
        queue.end(true);
        waiting.await.unwrap();
        assert!(!queue.is_leaving("a"));
    }

    #[test]
    fn a_full_queue_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let queue = queue(dir.path());
        for at in 0..LIMIT {
            assert_eq!(queue.push(departure(&at.to_string())), Ok(true));
        }
        assert_eq!(queue.push(departure("more")), Err(Full));
        assert_eq!(queue.push(departure("7")), Ok(false));
    }
}
