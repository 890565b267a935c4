//! Observation: what every cluster shows of the group while things are broken, written into the [`History`].
//!
//! Lease, group and members are watched, since their order is the store's and each change counts; what a view misses while its cluster is
//! cut off, others see. Payloads are looked at every [`LOOK_EVERY`] by consistent lists, since a look tells what a watch can't: that
//! something was there between its sending and its answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use helium_failover::GroupName;
use kube::api::{Api, DynamicObject, ListParams, WatchEvent, WatchParams};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clock::Clock;
use super::history::{Blind, GroupSeen, History, LeaseSeen, Moment, Presence, StateSeen};
use super::site::{self, Kind, Object, Site};

/// How often a payload is looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Pause after an answer that was none.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// A time without an answer that is longer than this is told.
const BLIND_FROM_MICROS: u64 = 500_000;

/// Where everything is written that is seen.
#[derive(Clone)]
pub(crate) struct Notebook {
    history: Arc<Mutex<History>>,
    pub(crate) clock: Clock,
}

impl Notebook {
    /// An empty one.
    pub(crate) fn new(history: History, clock: Clock) -> Self {
        Self {
            history: Arc::new(Mutex::new(history)),
            clock,
        }
    }

    /// What is written so far. Never held for longer than a line takes.
    pub(crate) fn open(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a cluster's payload has as token now, for its writer.
pub(crate) type Token = watch::Receiver<Option<i64>>;

/// Observes one cluster until it is cancelled, with tasks of its own.
pub(crate) fn observe(
    site: &Site,
    group: &GroupName,
    kinds: Vec<(Kind, String)>,
    notebook: &Notebook,
    tasks: &TaskTracker,
    cancel: &CancellationToken,
) -> Token {
    let objects = |of, version, plural| site.objects(of, version, plural, &group.namespace);
    let one = |name: &str| ListParams::default().fields(&format!("metadata.name={name}"));
    for (api, which, what) in [
        (
            objects("coordination.helium.dev", "v1", "leases"),
            one(&group.lease()),
            What::Lease,
        ),
        (
            objects("helium.dev", "v1", "failovergroups"),
            one(&group.callsign),
            What::Group,
        ),
        (
            objects("kube-vip.io", "v1alpha1", "multiclusters"),
            ListParams::default(),
            What::Member(group.callsign.clone()),
        ),
    ] {
        let (cluster, notebook) = (site.cluster.clone(), notebook.clone());
        let cancel = cancel.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = follow(api, which, |object| what.note(&cluster, object, &notebook)) => {}
            }
        });
    }
    let (sender, receiver) = watch::channel(None);
    let (site, group, notebook) = (site.clone(), group.clone(), notebook.clone());
    let cancel = cancel.clone();
    tasks.spawn(async move { look(site, group, kinds, notebook, sender, cancel).await });
    receiver
}

/// Calls for each state that is shown, for ever.
async fn follow(api: Api<DynamicObject>, which: ListParams, mut each: impl FnMut(&Value)) {
    let params = WatchParams {
        field_selector: which.field_selector.clone(),
        ..WatchParams::default()
    };
    loop {
        if let Ok(list) = api.list(&which).await {
            let version = list.metadata.resource_version.clone().unwrap_or_default();
            for object in &list {
                each(&serde_json::to_value(object).unwrap_or_default());
            }
            if let Ok(events) = api.watch(&params, &version).await {
                let mut events = std::pin::pin!(events);
                while let Some(Ok(event)) = events.next().await {
                    match event {
                        WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                            each(&serde_json::to_value(&object).unwrap_or_default());
                        }
                        WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
                        WatchEvent::Error(_) => break,
                    }
                }
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// What is watched.
enum What {
    Lease,
    Group,
    /// With this callsign.
    Member(String),
}

impl What {
    /// Writes down what has changed.
    fn note(&self, cluster: &str, object: &Value, notebook: &Notebook) {
        let at = notebook.clock.now();
        let version = object["metadata"]["resourceVersion"].as_str();
        let version = version.and_then(|text| text.parse().ok()).unwrap_or(0);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let mut history = notebook.open();
        match self {
            Self::Lease => {
                let (holder, token) = site::lease_term(object);
                let seen = LeaseSeen {
                    view: cluster.to_owned(),
                    at,
                    version,
                    holder,
                    token,
                };
                let last = history.leases.iter().rfind(|last| last.view == cluster);
                if !last.is_some_and(|last| last.holder == seen.holder && last.token == seen.token)
                {
                    history.leases.push(seen);
                }
            }
            Self::Group => {
                let status = &object["status"];
                let seen = GroupSeen {
                    view: cluster.to_owned(),
                    at,
                    version,
                    leader: text(&status["leader"]).filter(|leader| !leader.is_empty()),
                    address: text(&status["leaderAddress"]),
                    token: status["token"].as_i64(),
                    reason: text(&status["reason"]),
                };
                let last = history.groups.iter().rfind(|last| last.view == cluster);
                if !last.is_some_and(|last| {
                    (&last.leader, &last.address, last.token)
                        == (&seen.leader, &seen.address, seen.token)
                }) {
                    history.groups.push(seen);
                }
            }
            Self::Member(callsign) => {
                if object["spec"]["callsign"] != callsign.as_str() {
                    return;
                }
                let member = site::member(object);
                let seen = StateSeen {
                    cluster: cluster.to_owned(),
                    at,
                    state: member.state,
                    reason: text(&object["status"]["reason"]).unwrap_or_default(),
                    token: member.token,
                    leading: member.leading,
                };
                let last = history.states.iter().rfind(|last| last.cluster == cluster);
                if !last.is_some_and(|last| {
                    (&last.state, last.token, last.leading)
                        == (&seen.state, seen.token, seen.leading)
                }) {
                    history.states.push(seen);
                }
            }
        }
    }
}

async fn look(
    site: Site,
    group: GroupName,
    kinds: Vec<(Kind, String)>,
    notebook: Notebook,
    token: watch::Sender<Option<i64>>,
    cancel: CancellationToken,
) {
    let mut track = Track::new(&site.cluster);
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            _tick = every.tick() => {}
        }
        let sent = notebook.clock.now();
        let Ok(objects) = site.payload(&group, &kinds).await else {
            continue;
        };
        let answered = notebook.clock.now();
        let newest = objects.iter().filter_map(|object| object.token).max();
        token.send_if_modified(|now| std::mem::replace(now, newest) != newest);
        let (closed, blind) = track.look(sent, answered, &objects);
        if !closed.is_empty() || blind.is_some() {
            let mut history = notebook.open();
            history.presences.extend(closed);
            history.blind.extend(blind);
        }
    }
    let left = track.close();
    notebook.open().presences.extend(left);
}

/// What was seen of one cluster's payload, look by look.
#[derive(Debug)]
struct Track {
    cluster: String,
    /// Sending of the last look that was answered.
    last: Option<Moment>,
    here: BTreeMap<Object, Presence>,
}

impl Track {
    fn new(cluster: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            last: None,
            here: BTreeMap::new(),
        }
    }

    /// Takes in what one look has shown; returns what is over by it.
    fn look(
        &mut self,
        sent: Moment,
        answered: Moment,
        objects: &[Object],
    ) -> (Vec<Presence>, Option<Blind>) {
        let gone: Vec<Object> = self
            .here
            .keys()
            .filter(|object| !objects.contains(object))
            .cloned()
            .collect();
        let over = gone.iter().filter_map(|object| self.here.remove(object));
        let over = over
            .map(|presence| Presence {
                gone: Some(answered),
                ..presence
            })
            .collect();
        for object in objects {
            let after = self.last;
            let presence = self.here.entry(object.clone()).or_insert_with(|| Presence {
                cluster: self.cluster.clone(),
                object: object.name.clone(),
                uid: object.uid.clone(),
                token: object.token,
                after,
                first: answered,
                last: sent,
                gone: None,
            });
            presence.last = sent;
        }
        let blind = self
            .last
            .filter(|last| answered.0.saturating_sub(last.0) > BLIND_FROM_MICROS)
            .map(|from| Blind {
                cluster: self.cluster.clone(),
                from,
                to: answered,
            });
        self.last = Some(sent);
        (over, blind)
    }

    /// What is still there.
    fn close(self) -> impl Iterator<Item = Presence> {
        self.here.into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(token: i64) -> Object {
        Object {
            name: "ConfigMap a/b".to_owned(),
            uid: "u".to_owned(),
            token: Some(token),
        }
    }

    #[test]
    fn a_thing_is_certain_between_the_answer_and_the_sending_of_looks() {
        let mut track = Track::new("a");
        let at = Moment;
        assert_eq!(track.look(at(0), at(10), &[]), (vec![], None));
        assert_eq!(track.look(at(50), at(60), &[object(1)]), (vec![], None));
        assert_eq!(track.look(at(100), at(110), &[object(1)]), (vec![], None));
        let (over, _blind) = track.look(at(150), at(160), &[object(2)]);
        let [over] = over.as_slice() else {
            panic!("{over:?}")
        };
        assert_eq!(
            (over.after, over.first, over.last, over.gone, over.token),
            (Some(at(0)), at(60), at(100), Some(at(160)), Some(1))
        );
        let left: Vec<Presence> = track.close().collect();
        assert_eq!(
            (left.len(), left[0].after, left[0].gone),
            (1, Some(at(100)), None)
        );
    }

    #[test]
    fn long_times_without_an_answer_are_noted() {
        let mut track = Track::new("a");
        track.look(Moment(0), Moment(10), &[]);
        let (_over, blind) = track.look(Moment(700_000), Moment(700_010), &[]);
        let blind = blind.expect("noted");
        assert_eq!((blind.from, blind.to), (Moment(0), Moment(700_010)));
    }
}
