//! Which members there are: begins one for each MultiCluster that takes part, and tells each what concerns it.
//!
//! A group has one member at a time here, and a MultiCluster is a member of one group at a time: who gets another callsign begins
//! there when it has ended here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use helium_failover::GroupName;
use helium_telemetry::Chain;
use jiff::Timestamp;
use kube::core::DynamicObject;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::event::Subject;
use super::fleet::Fleet;
use super::member::{self, Inputs, Member, Seen, Shared};
use super::payload::Record;
use super::plan::{self, Plan, Problem};
use super::status::{self, ACCEPTED, Report, verdict};
use crate::membership::Alive;

/// How often what can't be written at once is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// A member that works.
struct Running {
    uid: String,
    inputs: watch::Sender<Inputs>,
}

/// What was last tried about an object that takes no part.
struct Tried {
    at: Instant,
    generation: Option<i64>,
    status: Value,
    done: bool,
}

enum Ended {
    Member(GroupName),
    Told(String, kube::Result<()>),
}

struct Supervisor<'a> {
    shared: &'a Shared,
    fleet: &'a Fleet,
    alive: watch::Receiver<Option<Arc<Alive>>>,
    members: BTreeMap<GroupName, Running>,
    tasks: JoinSet<Ended>,
    /// By uid.
    rejected: HashMap<String, Tried>,
    stop: CancellationToken,
}

/// Runs members until stopped and all of them have ended. `left`: what earlier agents have left in the own cluster. A member that
/// breaks ends them all: what it has left is known only from the own cluster, which is read at the beginning.
pub(super) async fn run(
    shared: &Shared,
    fleet: &Fleet,
    alive: watch::Receiver<Option<Arc<Alive>>>,
    changed: &Notify,
    left: Vec<Record>,
    stop: &CancellationToken,
) {
    let mut supervisor = Supervisor {
        shared,
        fleet,
        alive,
        members: BTreeMap::new(),
        tasks: JoinSet::new(),
        rejected: HashMap::new(),
        stop: stop.child_token(),
    };
    for record in &left {
        let (group, uid) = (record.group(), record.owner.uid.clone());
        supervisor.begin(group, uid, Some(record));
    }
    loop {
        let waits = supervisor.round();
        if supervisor.stop.is_cancelled() && supervisor.members.is_empty() {
            return;
        }
        let pause = async {
            match waits {
                true => tokio::time::sleep(RETRY).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed.notified() => {}
            Ok(()) = supervisor.alive.changed() => {}
            Some(ended) = supervisor.tasks.join_next() => supervisor.ended(ended),
            () = stop.cancelled(), if supervisor.members.is_empty() => {}
            () = pause => {}
        }
    }
}

impl Supervisor<'_> {
    /// Looks at everything once. Returns whether something is to be tried again.
    fn round(&mut self) -> bool {
        let objects = self.fleet.multi_clusters();
        let plan = objects.as_deref().map(plan::plan);
        if let Some(plan) = &plan
            && !self.stop.is_cancelled()
        {
            for (group, object) in &plan.members {
                self.consider(group, object);
            }
        }
        self.inform(plan.as_ref());
        match plan {
            Some(plan) if !self.stop.is_cancelled() => self.reject(plan),
            _ => false,
        }
    }

    /// Begins a member, unless there is one of the group, or the object is a member elsewhere still.
    fn consider(&mut self, group: &GroupName, object: &Arc<DynamicObject>) {
        let uid = object.metadata.uid.clone().unwrap_or_default();
        let busy = self.members.contains_key(group)
            || self.members.values().any(|running| running.uid == uid);
        // One that goes without having been held needs nothing.
        let gone = plan::is_deleted(object) && !plan::is_held(object);
        if !busy && !gone {
            self.begin(group.clone(), uid, None);
        }
    }

    fn begin(&mut self, group: GroupName, uid: String, left: Option<&Record>) {
        let (sender, inputs) = watch::channel(Inputs::default());
        let member = Member::new(
            self.shared.clone(),
            group.clone(),
            uid.clone(),
            left,
            inputs,
        );
        let stop = self.stop.clone();
        let name = group.clone();
        self.tasks.spawn(async move {
            Box::pin(member.run(&stop)).await;
            Ended::Member(name)
        });
        let running = Running {
            uid,
            inputs: sender,
        };
        self.members.insert(group, running);
    }

    /// Tells each member what concerns it.
    fn inform(&mut self, plan: Option<&Plan>) {
        let alive = self.alive.borrow_and_update().clone();
        for (name, running) in &self.members {
            let (group, lease) = self.fleet.group(name);
            let own =
                match plan {
                    None => Seen::Unread,
                    Some(plan) => Seen::of(plan.members.get(name).filter(|object| {
                        object.metadata.uid.as_deref() == Some(running.uid.as_str())
                    })),
                };
            let inputs = Inputs {
                own,
                group,
                lease,
                alive: alive.clone(),
            };
            running.inputs.send_if_modified(|before| {
                let news = !before.is(&inputs);
                if news {
                    *before = inputs;
                }
                news
            });
        }
    }

    /// Says of objects that take no part why, and lets those go that are deleted. Returns whether something is left to do.
    fn reject(&mut self, plan: Plan) -> bool {
        let Some(client) = self.shared.clients.borrow().clone() else {
            return !plan.rejected.is_empty();
        };
        let now = Instant::now();
        let uids: Vec<_> = plan
            .rejected
            .iter()
            .filter_map(|(object, _)| object.metadata.uid.clone())
            .collect();
        self.rejected.retain(|uid, _| uids.contains(uid));
        let mut left = false;
        for (object, problem) in plan.rejected {
            let uid = object.metadata.uid.clone().unwrap_or_default();
            // It was a member until now: its end comes first.
            if self.members.values().any(|running| running.uid == uid) {
                continue;
            }
            let old = object.data.get("status").cloned();
            let wanted = status::with(old.as_ref(), &report(&object, &problem), Timestamp::now());
            let held = plan::is_deleted(&object) && plan::is_held(&object);
            let generation = object.metadata.generation;
            let tried = self.rejected.get(&uid);
            if tried.is_none_or(|tried| tried.generation != generation) {
                let subject = Subject::of(&object);
                self.shared
                    .recorder
                    .tell(&subject, true, problem.reason, "Read", &problem.message);
            }
            let settled = tried.is_some_and(|tried| tried.done && tried.status == wanted && !held);
            if settled || (old.as_ref() == Some(&wanted) && !held) {
                self.rejected.entry(uid).or_insert(Tried {
                    at: now,
                    generation,
                    status: wanted,
                    done: true,
                });
                continue;
            }
            left = true;
            if tried.is_some_and(|tried| {
                now.duration_since(tried.at) < RETRY && tried.generation == generation
            }) {
                continue;
            }
            let tried = Tried {
                at: now,
                generation,
                status: wanted.clone(),
                done: false,
            };
            self.rejected.insert(uid.clone(), tried);
            let client = client.clone();
            self.tasks.spawn(async move {
                let done = if held {
                    member::hold(client, &object, false).await
                } else {
                    member::put_status(client, &object, old.as_ref(), &wanted).await
                };
                Ended::Told(uid, done)
            });
        }
        left
    }

    fn ended(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok(Ended::Member(group)) => {
                self.members.remove(&group);
            }
            Ok(Ended::Told(uid, done)) => {
                if let Err(error) = &done {
                    debug!(error = %Chain(error), "a MultiCluster couldn't be told what is wrong with it");
                }
                if let Some(tried) = self.rejected.get_mut(&uid) {
                    tried.done = done.is_ok();
                }
            }
            Err(error) => {
                error!(%error, "a task of failover broke; all begin anew");
                self.stop.cancel();
                self.members
                    .retain(|_, running| !running.inputs.is_closed());
            }
        }
    }
}

fn report(object: &DynamicObject, problem: &Problem) -> Report {
    Report {
        state: "Standby".to_owned(),
        reason: "Invalid".to_owned(),
        conditions: vec![(
            ACCEPTED,
            verdict(false, problem.reason, problem.message.clone()),
        )],
        generation: object.metadata.generation,
        ..Report::default()
    }
}
