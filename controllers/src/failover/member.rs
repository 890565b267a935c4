//! One member of one group, alive: it tells its machine what is seen, and does what the machine asks for.
//!
//! The loop never waits for a request: each is a task of its own, of each kind one at a time ([`slot`]). After every wake the
//! machine is asked with the boot clock's time before anything is sent, so a member that was paused stops before it does
//! anything else (F2). While a term is lived it wakes often, since timers of the runtime stand still when the machine is suspended.

mod inputs;
mod jobs;
mod look;
mod parting;
mod report;
mod requests;
mod slot;
mod sweeping;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use helium_failover::kind::{DeadManSwitch, MemberEntry};
use helium_failover::lease::LeaseView;
use helium_failover::machine::{ClusterDone, Machine, Phase, Reason, State, Transition as Change};
use helium_failover::{Boot, ClusterName, GroupName, Timing, Token};
use jiff::Timestamp;
use kube::Client;
use kube::core::DynamicObject;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub(super) use inputs::{Inputs, Seen};
pub(super) use jobs::{hold, put_status, resource};

use super::clock;
use super::event::{Recorder, Subject};
use super::group::Group;
use super::memory::Memory;
use super::metrics::FailoverMetrics;
use super::payload::{Owner, Payload, Readiness, Record, Site};
use super::plan::{self, Problem};
use super::status::Transition;
use jobs::Finished;
use slot::Slot;

/// The longest pause of a member that lives a term: a machine that was suspended is noticed within it.
const WATCHFUL: Duration = Duration::from_millis(250);
/// The longest pause of one that doesn't.
const IDLE: Duration = Duration::from_secs(5);
/// Records that an action may still name.
const RECORDS: usize = 8;
/// How long a member that ends may take to give its lease up beyond its stop budget.
const LEAVE_EXTRA: Duration = Duration::from_secs(5);
/// How long what is open may take to end when the agent ends.
const LAST: Duration = Duration::from_secs(6);

/// What all members of an agent share.
#[derive(Clone)]
pub(super) struct Shared {
    /// The cluster.
    pub(super) me: ClusterName,
    /// The cluster, as the payload's place.
    pub(super) site: Site,
    /// Client of the own cluster.
    pub(super) own: Client,
    /// Client of the control plane, while there is one.
    pub(super) clients: watch::Receiver<Option<Client>>,
    pub(super) recorder: Recorder,
    pub(super) memory: Memory,
    pub(super) metrics: FailoverMetrics,
    /// Whether terms are given up when the agent ends.
    pub(super) release: bool,
    /// Cancelled when the process ends.
    pub(super) ending: CancellationToken,
}

/// How the payload stands in the own cluster, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Standing {
    /// It isn't to be there.
    #[default]
    Absent,
    Applying,
    Applied(usize),
    /// Reason and text.
    Rejected(&'static str, String),
    Failed(String),
    Stopping,
    StopFailed(String),
}

/// One member of one group.
pub(super) struct Member {
    shared: Shared,
    group: GroupName,
    machine: Machine,
    inputs: watch::Receiver<Inputs>,
    seen: Inputs,
    /// The group as it was last understood.
    view: Option<Group>,
    group_problem: Option<Problem>,
    subject: Subject,
    uid: String,
    /// The object of this member, as last seen; gone with it.
    own: Option<Arc<DynamicObject>>,
    payload: Option<Arc<Payload>>,
    /// The text that `payload` was made of.
    text: Option<String>,
    /// What is wrong with the object.
    problem: Option<Problem>,
    rank: i64,
    address: Option<String>,
    /// The object can't vanish any more without us.
    leaving: bool,
    /// Records of the lease by version, the newest last.
    records: VecDeque<(String, Value)>,
    timing: Option<Timing>,
    jobs: JoinSet<Finished>,
    store: Slot,
    cluster: Slot,
    /// Which job in the own cluster counts; a stop replaces what ran before.
    cluster_round: u64,
    cluster_cancel: CancellationToken,
    entry: Slot,
    making: Slot,
    status: Slot,
    holding: Slot,
    readiness: Slot,
    forgetting: Slot,
    sweeping: Slot,
    entry_written: Option<Option<MemberEntry>>,
    /// The group's version when the entry was written last.
    entry_version: Option<String>,
    /// The last term that is over.
    ended: Option<Token>,
    status_written: Option<Value>,
    standing: Standing,
    ready: Option<Readiness>,
    since: Timestamp,
    joined: Option<Timestamp>,
    transition: Option<Transition>,
    /// Why the present term began.
    began: Option<Reason>,
    /// The footprint may be in the own cluster.
    footprint: bool,
    told: Vec<(String, String)>,
    stopping_since: Option<Boot>,
    /// What the payload's watchdogs are told: for which term, and the last acknowledged renewal's sending.
    alive: Option<(Token, watch::Sender<Option<Boot>>)>,
    /// Keeps it; ends by itself when `alive` is gone.
    local: JoinSet<()>,
}

impl Member {
    /// A member of a group, for the MultiCluster with that uid; with what an earlier agent has left in the own cluster.
    pub(super) fn new(
        shared: Shared,
        group: GroupName,
        uid: String,
        left: Option<&Record>,
        inputs: watch::Receiver<Inputs>,
    ) -> Self {
        let footprint = left.map(|record| {
            let sent = shared.memory.sent(&group, record.token);
            record.footprint(sent)
        });
        let subject = left.map_or_else(Subject::default, |record| Subject {
            namespace: record.owner.namespace.clone(),
            name: record.owner.name.clone(),
            uid: record.owner.uid.clone(),
        });
        let timing = footprint.as_ref().map(|footprint| footprint.timing);
        let switch = footprint.as_ref().and_then(|footprint| {
            let has_switch = footprint.dead_man == DeadManSwitch::Probe;
            has_switch.then_some((footprint.token, footprint.timing))
        });
        let mut member = Self {
            machine: Machine::new(shared.me.clone(), footprint),
            shared,
            group,
            inputs,
            seen: Inputs::default(),
            view: None,
            group_problem: None,
            subject,
            uid,
            own: None,
            payload: None,
            text: None,
            problem: None,
            rank: 0,
            address: None,
            leaving: false,
            records: VecDeque::new(),
            timing,
            jobs: JoinSet::new(),
            store: Slot::default(),
            cluster: Slot::default(),
            cluster_round: 0,
            cluster_cancel: CancellationToken::new(),
            entry: Slot::default(),
            making: Slot::default(),
            status: Slot::default(),
            holding: Slot::default(),
            readiness: Slot::default(),
            sweeping: Slot::default(),
            forgetting: Slot::default(),
            entry_written: None,
            entry_version: None,
            ended: None,
            status_written: None,
            standing: Standing::default(),
            ready: None,
            since: Timestamp::now(),
            joined: None,
            transition: None,
            began: None,
            footprint: left.is_some(),
            told: Vec::new(),
            stopping_since: None,
            alive: None,
            local: JoinSet::new(),
        };
        if member.machine.reason() == Reason::Resumed {
            // Nothing is applied anew, so nothing else would say this.
            if let Some(record) = left.filter(|record| record.phase == Phase::Running) {
                member.standing = Standing::Applied(record.inventory.len());
            }
            member.began = Some(Reason::Resumed);
            if let Some((token, timing)) = switch {
                member.keep_alive(token, timing);
            }
        }
        member
    }

    /// Works until nothing of this member is left, or until stopped.
    pub(super) async fn run(mut self, stop: &CancellationToken) {
        info!(group = %self.group, state = %self.machine.state(), "a member of a failover group");
        self.shared.metrics.state(&self.group, self.machine.state());
        if self.machine.state().has_term() {
            // What an earlier agent has left: no change of state, and yet somebody should know.
            let state = self.machine.state();
            self.note(&Change {
                from: state,
                to: state,
                reason: self.machine.reason(),
                token: self.machine.token(),
                at: clock::now(),
            });
        }
        let mut until = None;
        loop {
            self.look();
            let now = clock::now();
            let next = self.machine.next(now);
            self.note_transitions();
            for action in next.actions {
                self.act(action);
            }
            self.write_down();
            if until.is_some() && !self.machine.state().has_term() {
                break;
            }
            if until.is_none() && self.is_over() {
                return self.end(stop).await;
            }
            let now = clock::now();
            let left = self.machine.deadline().map(|deadline| {
                deadline.since(now).as_secs_f64() - now.since(deadline).as_secs_f64()
            });
            self.shared.metrics.deadline(&self.group, left);
            let pause = self.pause(next.wake, now);
            tokio::select! {
                () = stop.cancelled(), if until.is_none() => {
                    if !(self.shared.release && self.shared.ending.is_cancelled()) {
                        break;
                    }
                    // Leading is given up; what the machine makes of that is what it makes of `ready: false`.
                    let budget = self.timing.map_or(LEAVE_EXTRA, |timing| timing.stop_budget);
                    until = Some(Instant::now() + budget + LEAVE_EXTRA);
                    self.leaving = true;
                    self.see_own(clock::now());
                }
                () = sleep_until(until) => break,
                Some(done) = self.jobs.join_next() => match done {
                    Ok(done) => self.take(done),
                    Err(error) => warn!(group = %self.group, %error, "a task of a member ended badly"),
                },
                Ok(()) = self.inputs.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.finish().await;
    }

    /// What is on its way is answered or timed out; nothing new is sent.
    async fn finish(mut self) {
        self.cluster_cancel.cancel();
        let ended = async {
            while let Some(done) = self.jobs.join_next().await {
                // A renewal that is acknowledged now still counts for the next agent.
                if let Ok(done @ Finished::Store(..)) = done {
                    self.take(done);
                }
            }
        };
        if tokio::time::timeout(LAST, ended).await.is_err() {
            debug!(group = %self.group, "work of a member is broken off");
        }
    }

    /// How long nothing needs to be done.
    fn pause(&self, wake: Option<Boot>, now: Boot) -> Duration {
        let most = match self.timing {
            Some(timing) if self.machine.state().has_term() => (timing.lease / 20).min(WATCHFUL),
            _ => IDLE,
        };
        let slots = [
            &self.entry,
            &self.making,
            &self.status,
            &self.holding,
            &self.forgetting,
            &self.readiness,
            &self.sweeping,
        ];
        let soonest = slots.into_iter().filter_map(Slot::wakes).min();
        let waits = soonest.map(|at| at.saturating_duration_since(Instant::now()));
        let wakes = wake.map(|at| at.since(now));
        // Timers are as coarse as a millisecond: rather a little late than round and round.
        [Some(most), waits, wakes]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(most)
            .max(Duration::from_millis(1))
    }

    /// The MultiCluster that owns the payload.
    fn owner(&self) -> Owner {
        Owner {
            uid: self.subject.uid.clone(),
            name: self.subject.name.clone(),
            namespace: self.subject.namespace.clone(),
        }
    }

    /// Notes what has changed, for everybody who asks.
    fn note_transitions(&mut self) {
        for change in self.machine.take_transitions() {
            self.shared.metrics.transition(&self.group, &change);
            self.note(&change);
            match change.to {
                State::Elected => self.began = Some(change.reason),
                State::Standby | State::Candidate => {
                    self.began = None;
                    self.standing = Standing::Absent;
                    self.ready = None;
                    self.stopping_since = None;
                    self.alive = None;
                    self.told.clear();
                    if change.from.has_term() {
                        self.ended = change.token.or(self.ended);
                        self.shared.memory.forget(&self.group);
                    }
                }
                State::Draining | State::Isolated => {
                    self.stopping_since.get_or_insert(change.at);
                }
                State::Starting | State::Leading => {}
            }
        }
    }

    /// Tells a change of state wherever people look.
    fn note(&mut self, change: &Change) {
        let message = report::explain(self, change);
        let time = Timestamp::now();
        info!(group = %self.group, from = %change.from, to = %change.to, reason = %change.reason,
            token = change.token.map(|token| token.0), "{message}");
        self.since = time;
        let note = match change.token {
            Some(token) => format!("{} → {}: {message} (token {token})", change.from, change.to),
            None => format!("{} → {}: {message}", change.from, change.to),
        };
        let warning = report::is_warning(change.to, change.reason);
        self.tell(warning, change.reason.as_str(), change.to.as_str(), &note);
        self.transition = Some(Transition {
            from: change.from.to_string(),
            to: change.to.to_string(),
            reason: change.reason.to_string(),
            message,
            time,
        });
    }

    fn tell(&self, warning: bool, reason: &str, action: &str, note: &str) {
        if self.subject.uid.is_empty() {
            return;
        }
        self.shared
            .recorder
            .tell(&self.subject, warning, reason, action, note);
    }

    /// The same, unless that has been told in this term.
    fn tell_once(&mut self, reason: &str, action: &str, note: &str) {
        /// What is remembered of what was told.
        const TOLD: usize = 64;
        let said = (reason.to_owned(), note.to_owned());
        if self.told.contains(&said) {
            return;
        }
        self.tell(true, reason, action, note);
        if self.told.len() >= TOLD {
            self.told.remove(0);
        }
        self.told.push(said);
    }

    /// Whether this member's work is done for good: its object is gone or going, and nothing is left.
    fn is_over(&self) -> bool {
        let gone = match (&self.seen.own, &self.own) {
            (Seen::Unread, _) => false,
            (_, None) => true,
            (_, Some(object)) => plan::is_deleted(object),
        };
        if !gone || !self.machine.at_rest() || self.cluster.is_open() || self.store.is_open() {
            return false;
        }
        // Somebody may still ask whether our last term is over.
        let alone = self
            .view
            .as_ref()
            .is_none_or(|group| group.status.members.len() <= 1);
        let asked = self.seen.lease.object().is_some_and(|lease| {
            serde_json::to_value(&**lease).is_ok_and(|lease| {
                let view = LeaseView::of(&lease);
                view.unconfirmed
                    .iter()
                    .any(|term| term.cluster == self.shared.me)
            })
        });
        alone || !asked
    }

    fn token(&self) -> Option<Token> {
        self.machine.token()
    }

    /// A job in the own cluster has ended.
    fn cluster_answered(&mut self, round: u64, done: Option<ClusterDone>) {
        if round != self.cluster_round {
            return;
        }
        self.cluster.end(true, Instant::now());
        if let Some(done) = done {
            self.machine.done_cluster(clock::now(), done);
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
