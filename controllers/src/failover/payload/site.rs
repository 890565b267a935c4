//! The member's own cluster, as a place for payloads.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use helium_failover::kind::{GROUP_LABEL, payload_label};
use helium_failover::machine::Phase;
use helium_failover::{Boot, ClusterName, GroupName, Token};
use kube::Client;
use parking_lot::Mutex;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::info;
use uuid::Uuid;

use super::footprint::{Footprints, Record, Store};
use super::kinds::{Kinds, served};
use super::object::{Place, text};
use super::trouble::{Asker, Failure, FailureReason};
use super::turn::Turn;
use super::wire::{As, Refused, Wire};
use crate::failover::clock;

/// Requests of one job at the same time.
pub(super) const WIDTH: usize = 8;
/// How often a compare is tried on what others have written.
const ATTEMPTS: usize = 5;

/// How a [`Site`] works.
#[derive(Debug, Clone)]
pub struct SiteOptions {
    /// The cluster's name; containers of payloads get it as `HELIUM_CLUSTER`.
    pub cluster: ClusterName,
    /// The longest that one request may take. A write near the end of a term gets less.
    pub request_timeout: Duration,
    /// How long a stop waits without being done before it says what it waits for.
    pub patience: Duration,
    /// Name of the service account in a MultiCluster's namespace whose rights count for its payload. `None`: the
    /// agent's own.
    pub service_account: Option<String>,
    /// What payloads with a dead-man's switch get. `None`: they are refused.
    pub watchdog: Option<Watchdog>,
    /// The boot clock.
    pub clock: fn() -> Boot,
}

/// The watchdog beside a payload's containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watchdog {
    /// Image with `helium-agent`.
    pub image: String,
    /// Where it listens in the pod.
    pub port: u16,
}

impl SiteOptions {
    /// Five seconds for a request, ten for a stop, with the agent's rights.
    #[must_use]
    pub fn new(cluster: ClusterName) -> Self {
        Self {
            cluster,
            request_timeout: Duration::from_secs(5),
            patience: Duration::from_secs(10),
            service_account: None,
            watchdog: None,
            clock: clock::now,
        }
    }
}

/// The own cluster. Clones are the same.
#[derive(Debug, Clone)]
pub struct Site {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) wire: Wire,
    pub(super) footprints: Store,
    pub(super) kinds: Kinds,
    pub(super) options: SiteOptions,
    turns: Mutex<HashMap<GroupName, Arc<Turn>>>,
}

/// How [`Site::forget`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForgetOutcome {
    /// There is no footprint any more.
    Forgotten,
    /// It isn't of a term that has stopped: a later one, or one that still runs.
    Kept,
    /// Another agent's id stands in it.
    Replaced {
        /// That id.
        by: String,
    },
    /// Not known.
    Failed(Failure),
}

/// Marked objects of one resource in one namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shelf {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) resource: String,
    pub(super) namespace: Option<String>,
}

impl Shelf {
    pub(super) fn of(place: &Place) -> Self {
        Self {
            group: place.group.clone(),
            version: place.version.clone(),
            kind: place.kind.clone(),
            resource: place.resource.clone(),
            namespace: place.namespace.clone(),
        }
    }

    /// A place on it.
    pub(super) fn place(&self, name: &str) -> Place {
        Place {
            group: self.group.clone(),
            version: self.version.clone(),
            kind: self.kind.clone(),
            resource: self.resource.clone(),
            namespace: self.namespace.clone(),
            name: name.to_owned(),
            uid: None,
        }
    }
}

/// Where marked objects may be. Two versions of a resource are one shelf.
pub(super) fn shelves<'a>(places: impl IntoIterator<Item = &'a Place>) -> Vec<Shelf> {
    let mut found = BTreeMap::new();
    for place in places {
        let key = (
            place.group.clone(),
            place.resource.clone(),
            place.namespace.clone(),
        );
        found.entry(key).or_insert_with(|| Shelf::of(place));
    }
    found.into_values().collect()
}

impl Site {
    /// A cluster that `client` reaches. Footprints stand in `namespace`; `agent` tells this process from every other.
    #[must_use]
    pub fn new(client: Client, namespace: &str, agent: Uuid, options: SiteOptions) -> Self {
        let wire = Wire::new(client);
        let footprints = Store {
            wire: wire.clone(),
            namespace: namespace.to_owned(),
            agent: agent.to_string(),
        };
        let inner = Inner {
            wire,
            footprints,
            kinds: Kinds::default(),
            options,
            turns: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// All footprints of the cluster, each taken over: no other agent touches their objects any more (P5). To be called at the
    /// start, before anything else.
    ///
    /// # Errors
    /// [`Failure`] when it isn't known which there are: to be tried again.
    pub async fn footprints(&self) -> Result<Footprints, Failure> {
        let mut found = Footprints::default();
        let bound = self.inner.options.request_timeout;
        for name in self.inner.footprints.names(bound).await? {
            match self.take_over(&name).await {
                Ok(Some(record)) => found.records.push(record),
                Ok(None) => {}
                Err(failure) if failure.reason == FailureReason::Unreadable => {
                    found.unreadable.push(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(found)
    }

    async fn take_over(&self, name: &str) -> Result<Option<Record>, Failure> {
        let inner = &self.inner;
        let bound = inner.options.request_timeout;
        for _ in 0..ATTEMPTS {
            let Some(stored) = inner.footprints.read_named(name, bound).await? else {
                return Ok(None);
            };
            let group = stored.record.group();
            let turn = inner.turn(&group);
            if stored.record.agent == inner.footprints.agent {
                let record = stored.record.clone();
                turn.remember(Some(stored));
                return Ok(Some(record));
            }
            let mut record = stored.record.clone();
            let before = std::mem::replace(&mut record.agent, inner.footprints.agent.clone());
            match inner.footprints.replace(&stored, record, bound).await {
                Ok(stored) => {
                    info!(%group, token = %stored.record.token, phase = ?stored.record.phase, before,
                        "took over what is left of an earlier agent");
                    // What it had on its way may still land.
                    if stored.record.phase != Phase::Running {
                        let bound = Duration::from_millis(stored.record.request_millis);
                        let _stays = turn.depart((inner.options.clock)(), bound);
                    }
                    let record = stored.record.clone();
                    turn.remember(Some(stored));
                    return Ok(Some(record));
                }
                // The next look says who was faster, or that it was us.
                Err(
                    Refused::Answer {
                        code: 404 | 409, ..
                    }
                    | Refused::NoAnswer(_),
                ) => {}
                Err(refused) => {
                    return Err(inner.footprints.failure("taking over", name, &refused));
                }
            }
        }
        Err(Failure::new(
            FailureReason::Busy,
            format!(
                "ConfigMap {name} is changed by others all the time: do two agents run in this cluster?"
            ),
        ))
    }

    /// Removes the footprint of a term that is over and acknowledged.
    pub async fn forget(&self, group: &GroupName, token: Token) -> ForgetOutcome {
        let turn = self.inner.turn(group);
        // Never cancelled: jobs of a group end by themselves.
        let Some(_place) = turn.take(&CancellationToken::new()).await else {
            return ForgetOutcome::Kept;
        };
        let bound = self.inner.options.request_timeout;
        for _ in 0..ATTEMPTS {
            let stored = match self.inner.footprints.read(group, bound).await {
                Ok(None) => {
                    turn.remember(None);
                    return ForgetOutcome::Forgotten;
                }
                Ok(Some(stored)) => stored,
                Err(failure) => return ForgetOutcome::Failed(failure),
            };
            if stored.record.agent != self.inner.footprints.agent {
                return ForgetOutcome::Replaced {
                    by: stored.record.agent,
                };
            }
            if stored.record.token > token || stored.record.phase != Phase::Stopping {
                return ForgetOutcome::Kept;
            }
            match self.inner.footprints.remove(&stored, bound).await {
                Ok(true) => {
                    turn.remember(None);
                    return ForgetOutcome::Forgotten;
                }
                Ok(false) => {}
                Err(failure) => return ForgetOutcome::Failed(failure),
            }
        }
        ForgetOutcome::Kept
    }
}

impl Inner {
    pub(super) fn turn(&self, group: &GroupName) -> Arc<Turn> {
        let mut turns = self.turns.lock();
        let turn = turns
            .entry(group.clone())
            .or_insert_with(|| Arc::new(Turn::new()));
        Arc::clone(turn)
    }

    /// The user whose rights count for a group's payload.
    pub(super) fn user(&self, group: &GroupName) -> Option<String> {
        let account = self.options.service_account.as_ref()?;
        Some(format!(
            "system:serviceaccount:{}:{account}",
            group.namespace
        ))
    }

    /// The same, for advice.
    pub(super) fn asker<'a>(&'a self, group: &'a GroupName) -> Asker<'a> {
        Asker {
            group,
            account: self.options.service_account.as_deref(),
        }
    }

    /// The group's footprint as it is now, which must name this agent.
    pub(super) async fn confirm(&self, group: &GroupName) -> Result<Standing, Failure> {
        let bound = self.options.request_timeout;
        Ok(match self.footprints.read(group, bound).await? {
            None => Standing::None,
            Some(stored) if stored.record.agent == self.footprints.agent => Standing::Own,
            Some(stored) => Standing::Replaced(stored.record.agent),
        })
    }

    /// Metadata of the objects on a shelf that carry the group's label. What isn't served has no objects; a version that
    /// isn't any more gives way to one that is.
    pub(super) async fn labelled(
        &self,
        who: As<'_>,
        group: &GroupName,
        shelf: &Shelf,
    ) -> Result<Vec<(Place, Value)>, Refused> {
        let label = payload_label(&group.namespace, &group.callsign);
        let selector = Some((GROUP_LABEL, label.as_str()));
        let bound = self.options.request_timeout;
        let mut shelf = shelf.clone();
        let mut tried = BTreeSet::new();
        loop {
            let path = shelf.place("").collection();
            match self.wire.list(who, &path, selector, bound).await {
                Ok(items) => {
                    let named = items.into_iter().filter_map(|item| {
                        let mut place = shelf.place(text(&item, "/metadata/name")?);
                        place.uid = text(&item, "/metadata/uid").map(str::to_owned);
                        Some((place, item))
                    });
                    return Ok(named.collect());
                }
                Err(refused) if refused.is_not_found() => {
                    tried.insert(std::mem::take(&mut shelf.version));
                    let versions = served(&self.wire, &shelf.group, bound).await?;
                    let next = versions
                        .into_iter()
                        .flatten()
                        .find(|version| !tried.contains(version));
                    match next {
                        Some(version) => shelf.version = version,
                        None => return Ok(Vec::new()),
                    }
                }
                Err(refused) => return Err(refused),
            }
        }
    }

    /// The same for many shelves at once; the first refusal ends it, with the shelf that it is about.
    pub(super) async fn all_labelled(
        &self,
        user: Option<&str>,
        group: &GroupName,
        shelves: &[Shelf],
    ) -> Result<Vec<(Place, Value)>, (Shelf, Refused)> {
        let who = user.map_or(As::Agent, As::User);
        let lists = stream::iter(
            shelves
                .iter()
                .map(|shelf| async move {
                    let found = self.labelled(who, group, shelf).await;
                    found.map_err(|refused| (shelf.clone(), refused))
                })
                .collect::<Vec<_>>(),
        );
        let mut lists = lists.buffer_unordered(WIDTH);
        let mut all = Vec::new();
        while let Some(list) = lists.next().await {
            all.extend(list?);
        }
        Ok(all)
    }
}

/// Whose a footprint is.
#[derive(Debug)]
pub(super) enum Standing {
    /// There is none.
    None,
    /// This agent's.
    Own,
    /// Another agent's.
    Replaced(String),
}
