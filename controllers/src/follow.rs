//! A kind of object of one API server, followed into memory.
//!
//! The objects are listed and then watched; a watch that ends is resumed where it was, and only history that the
//! server has forgotten makes a new list. While the server is away what it last said stays (A1): a new list replaces
//! the old objects only when it is complete.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, pin_mut};
use helium_telemetry::Chain;
use kube::runtime::watcher::{self, Event};
use kube::{Resource, ResourceExt};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Pause after the first failure; it doubles with each that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause: what a server that comes back has to say is heard within it.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// After that long without an error a server that was away counts as back: one that is silent is an error sooner.
const QUIET: Duration = Duration::from_secs(40);
/// Length of one watch, in seconds. A connection that has silently died is noticed a little later.
pub(crate) const WATCH_SECONDS: u32 = 25;

/// How followed kinds are listed and watched.
pub(crate) fn settings() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

/// The objects of one kind, as last heard.
#[derive(Debug)]
pub(crate) struct Follow<K> {
    what: &'static str,
    /// Whether keys are names alone, or namespace and name.
    namespaced: bool,
    /// Whether the kind may not be served at all, which is no trouble.
    optional: bool,
    state: Mutex<State<K>>,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct State<K> {
    objects: Arc<BTreeMap<String, Arc<K>>>,
    synced: bool,
    connected: bool,
}

impl<K> Follow<K>
where
    K: Resource + Debug + Clone + Send + Sync + 'static,
{
    /// Nothing is known yet. `what` names the kind and its server in the log; `changed` is told of each change.
    pub(crate) fn new(what: &'static str, changed: Arc<Notify>) -> Self {
        Self {
            what,
            namespaced: false,
            optional: false,
            state: Mutex::new(State {
                objects: Arc::default(),
                synced: false,
                connected: false,
            }),
            changed,
        }
    }

    /// The same for a kind in many namespaces: objects go by `namespace/name`.
    pub(crate) fn namespaced(what: &'static str, changed: Arc<Notify>) -> Self {
        Self {
            namespaced: true,
            ..Self::new(what, changed)
        }
    }

    /// The same for a kind that the server may not have, or not yet: that is waited for quietly.
    pub(crate) fn optional(self) -> Self {
        Self {
            optional: true,
            ..self
        }
    }

    fn key(&self, object: &K) -> String {
        match object.namespace() {
            Some(namespace) if self.namespaced => format!("{namespace}/{}", object.name_any()),
            _ => object.name_any(),
        }
    }

    /// The objects by name, or `None` before they were read once.
    pub(crate) fn objects(&self) -> Option<Arc<BTreeMap<String, Arc<K>>>> {
        let state = self.state.lock();
        state.synced.then(|| Arc::clone(&state.objects))
    }

    /// Whether the server answered when it was last asked.
    pub(crate) fn connected(&self) -> bool {
        self.state.lock().connected
    }

    /// Follows until stopped.
    pub(crate) async fn run(
        &self,
        events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
        stop: CancellationToken,
    ) {
        pin_mut!(events);
        let mut listed = BTreeMap::new();
        let mut failures: u32 = 0;
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = events.next() => event,
                // An open watch without changes says nothing at all.
                () = tokio::time::sleep(QUIET), if failures > 0 => {
                    self.connect(failures);
                    failures = 0;
                    continue;
                }
            };
            match event {
                // Watchers don't end; if one did, nothing more would be heard.
                None => return,
                Some(Ok(event)) => {
                    // The start of a list comes before the server was asked.
                    if !matches!(event, Event::Init) {
                        self.connect(failures);
                        failures = 0;
                    }
                    self.take(event, &mut listed);
                }
                Some(Err(error)) => {
                    self.disconnect(&error, failures);
                    let pause = FIRST_PAUSE * 2_u32.saturating_pow(failures.min(8));
                    failures = failures.saturating_add(1);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause.min(LONGEST_PAUSE)) => {}
                    }
                }
            }
        }
    }

    fn take(&self, event: Event<K>, listed: &mut BTreeMap<String, Arc<K>>) {
        let mut state = self.state.lock();
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                listed.insert(self.key(&object), Arc::new(object));
            }
            Event::InitDone => {
                state.objects = Arc::new(std::mem::take(listed));
                state.synced = true;
                self.changed.notify_one();
            }
            Event::Apply(object) => {
                let key = self.key(&object);
                Arc::make_mut(&mut state.objects).insert(key, Arc::new(object));
                self.changed.notify_one();
            }
            Event::Delete(object) => {
                Arc::make_mut(&mut state.objects).remove(&self.key(&object));
                self.changed.notify_one();
            }
        }
    }

    fn connect(&self, failures: u32) {
        let first = !std::mem::replace(&mut self.state.lock().connected, true);
        if first {
            info!(what = self.what, "connected");
        } else if failures > 0 {
            debug!(what = self.what, failures, "connected again");
        }
    }

    fn disconnect(&self, error: &watcher::Error, failures: u32) {
        // History that is gone is the server's right, and a new list follows.
        if matches!(error, watcher::Error::WatchError(status) if status.code == 410) {
            debug!(what = self.what, "history is gone, listing again");
            return;
        }
        let absent = matches!(
            error,
            watcher::Error::InitialListFailed(kube::Error::Api(status))
                | watcher::Error::WatchStartFailed(kube::Error::Api(status))
                if status.code == 404
        );
        if absent && self.optional {
            debug!(what = self.what, "the server doesn't have the kind");
            return;
        }
        let error = Chain(error);
        let mut state = self.state.lock();
        if failures == 0 {
            debug!(what = self.what, %error, "the watch failed, resuming");
            return;
        }
        if std::mem::replace(&mut state.connected, false) || failures == 1 {
            warn!(what = self.what, %error, "the server is away; what it said last holds");
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::Status;
    use tokio::sync::mpsc;
    use tokio_util::sync::DropGuard;

    use super::*;

    type Events = mpsc::Sender<watcher::Result<Event<ConfigMap>>>;

    fn object(name: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object
    }

    fn start() -> (Arc<Follow<ConfigMap>>, Arc<Notify>, Events, DropGuard) {
        let changed = Arc::new(Notify::new());
        let follow = Arc::new(Follow::new("test", Arc::clone(&changed)));
        let (sender, receiver) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let events = futures_util::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|event| (event, receiver))
        });
        let running = Arc::clone(&follow);
        let token = stop.clone();
        tokio::spawn(async move { running.run(events, token).await });
        (follow, changed, sender, stop.drop_guard())
    }

    fn names(follow: &Follow<ConfigMap>) -> Option<Vec<String>> {
        Some(follow.objects()?.keys().cloned().collect())
    }

    #[tokio::test]
    async fn a_list_counts_only_when_it_is_complete() {
        let (follow, changed, events, _stop) = start();
        events.send(Ok(Event::Init)).await.unwrap();
        events
            .send(Ok(Event::InitApply(object("a"))))
            .await
            .unwrap();
        assert_eq!(names(&follow), None);
        events.send(Ok(Event::InitDone)).await.unwrap();
        changed.notified().await;
        assert_eq!(names(&follow), Some(vec!["a".to_owned()]));
        // A second list that breaks off half-way leaves what was known.
        events.send(Ok(Event::Init)).await.unwrap();
        events
            .send(Ok(Event::InitApply(object("b"))))
            .await
            .unwrap();
        let error = || Err(watcher::Error::NoResourceVersion);
        events.send(error()).await.unwrap();
        events.send(Ok(Event::Init)).await.unwrap();
        assert_eq!(names(&follow), Some(vec!["a".to_owned()]));
        events.send(Ok(Event::InitDone)).await.unwrap();
        changed.notified().await;
        assert_eq!(names(&follow), Some(Vec::new()));
    }

    #[tokio::test]
    async fn objects_of_one_name_in_two_namespaces_are_two() {
        let follow = Follow::<ConfigMap>::namespaced("test", Arc::default()).optional();
        let mut listed = BTreeMap::new();
        for namespace in ["a", "b"] {
            let mut made = object("x");
            made.metadata.namespace = Some(namespace.to_owned());
            follow.take(Event::InitApply(made), &mut listed);
        }
        follow.take(Event::InitDone, &mut listed);
        assert_eq!(names(&follow).unwrap(), ["a/x", "b/x"]);
    }

    #[tokio::test(start_paused = true)]
    async fn objects_stay_while_the_server_is_away() {
        let (follow, changed, events, _stop) = start();
        events.send(Ok(Event::Init)).await.unwrap();
        events
            .send(Ok(Event::InitApply(object("a"))))
            .await
            .unwrap();
        events.send(Ok(Event::InitDone)).await.unwrap();
        changed.notified().await;
        assert!(follow.connected());
        for _ in 0..3 {
            let refused = Status::failure("away", "ServiceUnavailable").with_code(503);
            let error = watcher::Error::WatchError(refused.boxed());
            events.send(Err(error)).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!follow.connected());
        assert_eq!(names(&follow), Some(vec!["a".to_owned()]));
        events.send(Ok(Event::Apply(object("b")))).await.unwrap();
        changed.notified().await;
        assert!(follow.connected());
        assert_eq!(names(&follow).map(|names| names.len()), Some(2));
        events.send(Ok(Event::Delete(object("a")))).await.unwrap();
        changed.notified().await;
        assert_eq!(names(&follow), Some(vec!["b".to_owned()]));
    }
}
