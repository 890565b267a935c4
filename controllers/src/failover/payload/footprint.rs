//! What was begun, written into the own cluster before it is begun (P1).
//!
//! One ConfigMap for each group that has, or may have, objects here. Each write is a compare on the version that was read; it names the
//! agent that may touch the payload, so an agent that takes it over ends the rights of the one before (P5).

use std::time::Duration;

use helium_failover::kind::{DeadManSwitch, Mode, payload_label};
use helium_failover::machine::{Footprint, Phase};
use helium_failover::{Boot, GroupName, Timing, Token};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::object::{Owner, Place, text};
use super::trouble::{Failure, FailureReason};
use super::wire::{As, Refused, Wire};

/// Label of footprints; its value is that of the payload's objects.
pub(super) const LABEL: &str = "helium.dev/failover-footprint";
/// Key of the record in the ConfigMap.
const KEY: &str = "footprint.json";
/// Others write ConfigMaps too: labels, for example.
const ATTEMPTS: usize = 8;

/// A footprint's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Namespace of the group.
    pub namespace: String,
    /// The group's callsign.
    pub callsign: String,
    /// The MultiCluster.
    pub owner: Owner,
    /// The agent that may touch the payload.
    pub agent: String,
    /// The term.
    pub token: Token,
    /// Its mode.
    pub mode: Mode,
    /// Its switch.
    pub dead_man: DeadManSwitch,
    /// T, in milliseconds.
    pub lease_millis: u64,
    /// The stop budget, in milliseconds.
    pub stop_budget_millis: u64,
    /// The longest bound of one write, in milliseconds: a process that ended in the middle may have had one on its way.
    pub request_millis: u64,
    /// Identifies the payload: [`Payload::hash`](super::Payload::hash).
    pub payload: String,
    /// How far it has come.
    pub phase: Phase,
    /// Every object of the payload.
    pub inventory: Vec<Place>,
    /// What it had earlier in this term, and may still be ending; a stop waits for these, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Place>,
}

impl Record {
    /// The group.
    #[must_use]
    pub fn group(&self) -> GroupName {
        GroupName {
            namespace: self.namespace.clone(),
            callsign: self.callsign.clone(),
        }
    }

    /// Every object that may be there.
    pub(super) fn everything(&self) -> impl Iterator<Item = &Place> + Clone {
        self.inventory.iter().chain(&self.dropped)
    }

    /// What the machine is told of it. `sent`: when the last acknowledged renewal was sent, if that is known.
    #[must_use]
    pub fn footprint(&self, sent: Option<Boot>) -> Footprint {
        Footprint {
            token: self.token,
            timing: Timing {
                lease: Duration::from_millis(self.lease_millis),
                stop_budget: Duration::from_millis(self.stop_budget_millis),
            },
            mode: self.mode,
            payload: self.payload.clone(),
            dead_man: self.dead_man,
            phase: self.phase,
            sent,
        }
    }
}

/// A record, and the version that the next write is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) record: Record,
    pub(super) uid: String,
    pub(super) version: String,
}

/// All footprints of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Footprints {
    /// Those that this agent has taken over.
    pub records: Vec<Record>,
    /// Those that can't be read, with what to do. Their objects may be there.
    pub unreadable: Vec<Failure>,
}

/// How a write ended.
#[derive(Debug)]
pub(super) enum Put {
    /// It stands there.
    Done(Box<Stored>),
    /// Another agent's id stands there.
    Replaced(String),
    /// Neither is known.
    Failed(Failure),
}

/// The footprints of a cluster.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) wire: Wire,
    pub(super) namespace: String,
    pub(super) agent: String,
}

/// Name of a group's footprint.
pub(super) fn name(group: &GroupName) -> String {
    format!(
        "failover-{}",
        payload_label(&group.namespace, &group.callsign)
    )
}

impl Store {
    fn collection(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps", self.namespace)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.collection())
    }

    /// A group's footprint as it is now.
    pub(super) async fn read(
        &self,
        group: &GroupName,
        bound: Duration,
    ) -> Result<Option<Stored>, Failure> {
        let path = self.path(&name(group));
        match self.wire.get_opt(As::Agent, &path, bound).await {
            Ok(None) => Ok(None),
            Ok(Some(object)) => stored(&object).map(Some),
            Err(refused) => Err(self.failure("reading", &name(group), &refused)),
        }
    }

    /// The names of all footprints.
    pub(super) async fn names(&self, bound: Duration) -> Result<Vec<String>, Failure> {
        let path = format!(
            "{}?labelSelector={}",
            self.collection(),
            LABEL.replace('/', "%2F")
        );
        let items = self.wire.list(As::Agent, &path, None, bound).await;
        let items = items.map_err(|refused| self.failure("listing", "footprints", &refused))?;
        let names = items
            .iter()
            .filter_map(|item| text(item, "/metadata/name").map(str::to_owned));
        Ok(names.collect())
    }

    /// A footprint by its own name.
    pub(super) async fn read_named(
        &self,
        name: &str,
        bound: Duration,
    ) -> Result<Option<Stored>, Failure> {
        match self.wire.get_opt(As::Agent, &self.path(name), bound).await {
            Ok(None) => Ok(None),
            Ok(Some(object)) => stored(&object).map(Some),
            Err(refused) => Err(self.failure("reading", name, &refused)),
        }
    }

    /// Replaces one version by a record: a compare and nothing else.
    pub(super) async fn replace(
        &self,
        before: &Stored,
        record: Record,
        bound: Duration,
    ) -> Result<Stored, Refused> {
        let name = name(&record.group());
        let mut object = self.object(&record);
        object["metadata"]["uid"] = before.uid.clone().into();
        object["metadata"]["resourceVersion"] = before.version.clone().into();
        let path = self.path(&name);
        self.send(Method::PUT, &path, &object, record, bound).await
    }

    async fn create(&self, record: Record, bound: Duration) -> Result<Stored, Refused> {
        let object = self.object(&record);
        let path = self.collection();
        self.send(Method::POST, &path, &object, record, bound).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        object: &Value,
        record: Record,
        bound: Duration,
    ) -> Result<Stored, Refused> {
        let path = format!("{path}?fieldManager=helium-agent");
        let (_, answer) = self
            .wire
            .write(As::Agent, method, &path, "application/json", object, bound)
            .await?;
        let word = |pointer| text(&answer, pointer).unwrap_or_default().to_owned();
        Ok(Stored {
            record,
            uid: word("/metadata/uid"),
            version: word("/metadata/resourceVersion"),
        })
    }

    /// Writes what `change` makes of the record that is there, unless another agent's id stands in it. `known`: what was last
    /// read or written. `bound` is asked before each request.
    pub(super) async fn put(
        &self,
        group: &GroupName,
        known: Option<Stored>,
        bound: impl Fn() -> Result<Duration, Failure>,
        change: impl Fn(Option<&Record>) -> Record,
    ) -> Put {
        let mut current = known;
        let mut read = current.is_some();
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let limit = match bound() {
                Ok(limit) => limit,
                Err(failure) => return Put::Failed(failure),
            };
            if !read {
                current = match self.read(group, limit).await {
                    Ok(current) => current,
                    Err(failure) => return Put::Failed(failure),
                };
                read = true;
                continue;
            }
            if let Some(stored) = &current
                && stored.record.agent != self.agent
            {
                return Put::Replaced(stored.record.agent.clone());
            }
            let record = change(current.as_ref().map(|stored| &stored.record));
            if let Some(stored) = &current
                && stored.record == record
            {
                return Put::Done(Box::new(stored.clone()));
            }
            let done = match &current {
                Some(before) => self.replace(before, record, limit).await,
                None => self.create(record, limit).await,
            };
            match done {
                Ok(stored) => return Put::Done(Box::new(stored)),
                // Written by somebody, or perhaps by us: what stands there decides.
                Err(refused) if is_undecided(&refused) => {
                    last = Some(self.failure("writing", &name(group), &refused));
                    read = false;
                }
                Err(refused) => {
                    return Put::Failed(self.failure("writing", &name(group), &refused));
                }
            }
        }
        Put::Failed(last.unwrap_or_else(|| {
            let message = format!(
                "ConfigMap {}/{} is changed by others all the time",
                self.namespace,
                name(group)
            );
            Failure::new(FailureReason::Busy, message)
        }))
    }

    /// Removes a footprint at the version that was read. Returns whether it is gone; not, if it was changed meanwhile.
    pub(super) async fn remove(&self, stored: &Stored, bound: Duration) -> Result<bool, Failure> {
        let name = name(&stored.record.group());
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {"uid": stored.uid, "resourceVersion": stored.version}});
        let done = self
            .wire
            .write(
                As::Agent,
                Method::DELETE,
                &self.path(&name),
                "application/json",
                &options,
                bound,
            )
            .await;
        match done {
            Ok(_) => Ok(true),
            Err(refused) if refused.is_not_found() => Ok(true),
            Err(refused) if refused.is_conflict() => Ok(false),
            Err(refused) => Err(self.failure("removing", &name, &refused)),
        }
    }

    fn object(&self, record: &Record) -> Value {
        let group = record.group();
        let label = payload_label(&group.namespace, &group.callsign);
        let text = serde_json::to_string(record).unwrap_or_default();
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name(&group),
                "namespace": self.namespace,
                "labels": {LABEL: label, "app.kubernetes.io/managed-by": "helium"},
                "annotations": {"helium.dev/description":
                    "What a failover group has in this cluster. Without it an agent can't know what to stop: don't remove it by hand."},
            },
            "data": {KEY: text},
        })
    }

    /// A failed request about a footprint, in words.
    pub(super) fn failure(&self, doing: &str, name: &str, refused: &Refused) -> Failure {
        let what = format!("{doing} ConfigMap {}/{name}", self.namespace);
        match refused {
            Refused::NotSent(words) | Refused::NoAnswer(words) => Failure::new(
                FailureReason::Away,
                format!(
                    "{what}: the cluster's API server doesn't answer ({words}); it is tried again"
                ),
            ),
            Refused::Answer { code, body } => {
                let said = text(body, "/message").unwrap_or("no reason given");
                match code {
                    401 => Failure::new(
                        FailureReason::Unauthorized,
                        format!("{what}: {said}; look at the agent's token or kubeconfig"),
                    ),
                    403 | 404 => Failure::new(
                        FailureReason::Forbidden,
                        format!(
                            "{what}: {said}; the namespace must be there, and the agent needs get, list, create, update and delete on configmaps in it"
                        ),
                    ),
                    429 => Failure::new(FailureReason::Busy, format!("{what}: {said}")),
                    _ => Failure::new(FailureReason::Away, format!("{what}: {said}")),
                }
            }
        }
    }
}

/// Whether it may have been written, or something else was.
fn is_undecided(refused: &Refused) -> bool {
    match refused {
        Refused::NoAnswer(_) => true,
        Refused::NotSent(_) => false,
        // Gone meanwhile, there meanwhile, or changed meanwhile; or a server that isn't sure.
        Refused::Answer { code, .. } => matches!(code, 404 | 409 | 500..),
    }
}

fn stored(object: &Value) -> Result<Stored, Failure> {
    let word = |pointer| text(object, pointer).unwrap_or_default().to_owned();
    let content = object["data"][KEY].as_str().unwrap_or_default();
    let record: Record = serde_json::from_str(content).map_err(|error| {
        let message = format!(
            "ConfigMap {}/{} isn't a footprint that this version understands ({error}): delete what carries its label {LABEL} as {}, then the ConfigMap",
            word("/metadata/namespace"),
            word("/metadata/name"),
            helium_failover::kind::GROUP_LABEL,
        );
        Failure::new(FailureReason::Unreadable, message)
    })?;
    Ok(Stored {
        record,
        uid: word("/metadata/uid"),
        version: word("/metadata/resourceVersion"),
    })
}
