//! What a member does: each piece of work is a task that ends with what came of it.

use std::time::Duration;

use helium_failover::kind::{
    DeadManSwitch, FINALIZER, MULTI_CLUSTER_GROUP, MULTI_CLUSTER_KIND, MULTI_CLUSTER_VERSION,
    MULTI_CLUSTERS, MemberEntry,
};
use helium_failover::machine::{Action, ClusterDone, State};
use helium_failover::{Boot, Timing, Token};
use helium_telemetry::Chain;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::report;
use super::{Member, Seen, Standing};
use crate::failover::payload::{
    ApplyOutcome, Failure, ForgetOutcome, Readiness, StopOutcome, SweepOutcome, TermContext,
};
use crate::failover::store::Answer;
use crate::failover::switch::{self, LocalLease};
use crate::failover::{clock, group, plan, status};

/// Time for one write about ourselves.
pub(super) const REQUEST: Duration = Duration::from_secs(3);
/// How often the payload's readiness is looked at, until it is ready and then.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// What came of a piece of work.
#[derive(Debug)]
pub(super) enum Finished {
    /// A request about the lease.
    Store(Box<Action>, Answer),
    /// An application of the payload; the number tells whether it still counts.
    Applied(u64, ApplyOutcome, Duration),
    /// A stop.
    Stopped(u64, StopOutcome),
    /// The footprint was removed, or not.
    Forgotten(ForgetOutcome),
    /// The group was made.
    Made(kube::Result<()>),
    /// The entry was written.
    Entry(Option<MemberEntry>, kube::Result<bool>),
    /// The status was written.
    Status(Value, kube::Result<()>),
    /// The finalizer was put or taken.
    Held(kube::Result<()>),
    /// The payload was looked at.
    Looked(Result<Option<Readiness>, Failure>),
    /// Late writes were looked for.
    Swept(SweepOutcome),
}

/// MultiClusters, as clients name them.
pub(in crate::failover) fn resource() -> ApiResource {
    let kind = GroupVersionKind::gvk(
        MULTI_CLUSTER_GROUP,
        MULTI_CLUSTER_VERSION,
        MULTI_CLUSTER_KIND,
    );
    ApiResource::from_gvk_with_plural(&kind, MULTI_CLUSTERS)
}

/// Writes a status: what is new in it, what is gone from it as null. The uid keeps it from another object of the name.
pub(in crate::failover) async fn put_status(
    client: Client,
    object: &DynamicObject,
    old: Option<&Value>,
    wanted: &Value,
) -> kube::Result<()> {
    let mut patch = wanted.clone();
    let keys = old.and_then(Value::as_object).into_iter().flatten();
    for (key, _) in keys {
        if wanted.get(key).is_none() {
            patch[key] = Value::Null;
        }
    }
    let patch = json!({"metadata": {"uid": object.metadata.uid}, "status": patch});
    let api = api(client, object);
    let name = object.metadata.name.clone().unwrap_or_default();
    within(api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)))
        .await
        .map(|_| ())
}

/// Puts the finalizer on an object, or takes it off, as a compare on what was seen of it.
pub(in crate::failover) async fn hold(
    client: Client,
    object: &DynamicObject,
    held: bool,
) -> kube::Result<()> {
    let mut finalizers = object.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|name| name != FINALIZER);
    if held {
        finalizers.push(FINALIZER.to_owned());
    }
    let patch = json!({"metadata": {
        "uid": object.metadata.uid,
        "resourceVersion": object.metadata.resource_version,
        "finalizers": finalizers,
    }});
    let api = api(client, object);
    let name = object.metadata.name.clone().unwrap_or_default();
    match within(api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        done => done.map(|_| ()),
    }
}

fn api(client: Client, object: &DynamicObject) -> Api<DynamicObject> {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    Api::namespaced_with(client, namespace, &resource())
}

async fn within<T>(work: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    tokio::time::timeout(REQUEST, work)
        .await
        .unwrap_or_else(|elapsed| Err(kube::Error::Service(Box::new(elapsed))))
}

impl Member {
    /// Does what the machine asks for.
    pub(super) fn act(&mut self, action: Action) {
        if action.is_for_store() {
            self.act_at_store(action);
            return;
        }
        match action {
            Action::Apply {
                token,
                mode,
                timing,
                dead_man,
                payload,
                until,
            } => {
                let context = TermContext {
                    token,
                    mode,
                    timing,
                    dead_man,
                };
                self.apply(context, &payload, until);
            }
            Action::Stop { token, mode } => {
                self.cluster_round += 1;
                self.cluster.begin();
                self.cluster_cancel.cancel();
                self.standing = Standing::Stopping;
                self.ready = None;
                let round = self.cluster_round;
                self.cluster_cancel = CancellationToken::new();
                let cancel = self.cluster_cancel.clone();
                let (site, group) = (self.shared.site.clone(), self.group.clone());
                self.jobs.spawn(async move {
                    Finished::Stopped(round, site.stop(&group, token, mode, &cancel).await)
                });
            }
            _ => {}
        }
    }

    fn apply(&mut self, context: TermContext, hash: &str, until: Boot) {
        self.cluster_round += 1;
        self.cluster.begin();
        let payload = self.payload.clone().filter(|known| known.hash() == hash);
        let Some(payload) = payload else {
            // It was edited since the machine was told; it is told anew, and asks anew.
            self.cluster_answered(self.cluster_round, Some(ClusterDone::ApplyNotBegun));
            return;
        };
        if !matches!(self.standing, Standing::Applied(_)) {
            self.standing = Standing::Applying;
        }
        if context.dead_man == DeadManSwitch::Probe {
            self.keep_alive(context.token, context.timing);
        }
        self.footprint = true;
        self.cluster_cancel = CancellationToken::new();
        let (round, cancel) = (self.cluster_round, self.cluster_cancel.clone());
        let (site, group, owner) = (self.shared.site.clone(), self.group.clone(), self.owner());
        self.jobs.spawn(async move {
            let begun = clock::now();
            let done = site
                .apply(&group, &owner, &payload, &context, until, &cancel)
                .await;
            Finished::Applied(round, done, clock::now().since(begun))
        });
    }

    /// Begins to tell the payload's watchdogs that the term is alive.
    pub(super) fn keep_alive(&mut self, token: Token, timing: Timing) {
        if self.alive.as_ref().is_some_and(|(of, _)| *of == token) {
            return;
        }
        let (sender, acknowledged) = watch::channel(self.machine.sent());
        self.alive = Some((token, sender));
        let own = self.shared.own.clone();
        let lease = LocalLease::new(own, &self.group, token, timing);
        let stop = self.shared.ending.clone();
        // The one before ends when its sender is gone.
        while self.local.try_join_next().is_some() {}
        self.local
            .spawn(async move { switch::keep(lease, acknowledged, &stop).await });
    }

    /// Takes what came of a piece of work.
    pub(super) fn take(&mut self, done: Finished) {
        let now = Instant::now();
        match done {
            Finished::Store(action, answer) => self.store_answered(&action, answer),
            Finished::Applied(round, done, took) => self.applied(round, done, took),
            Finished::Stopped(round, done) => self.stopped(round, done),
            Finished::Forgotten(done) => {
                let gone = !matches!(done, ForgetOutcome::Failed(_));
                if let ForgetOutcome::Failed(failure) = &done {
                    debug!(group = %self.group, %failure, "the footprint stays for now");
                }
                self.footprint &= !gone;
                self.forgetting.end(gone, now);
            }
            Finished::Made(done) => {
                self.making.end(done.is_ok(), now);
                if let Err(error) = done {
                    debug!(group = %self.group, error = %Chain(&error), "making the group failed");
                    self.refused_by_store("making the FailoverGroup", &error);
                }
            }
            Finished::Entry(wanted, done) => {
                self.entry.end(matches!(done, Ok(true)), now);
                match done {
                    Ok(true) => self.entry_written = Some(wanted),
                    Ok(false) => {}
                    Err(error) => {
                        debug!(group = %self.group, error = %Chain(&error), "writing the entry failed");
                        self.refused_by_store("writing the entry in the FailoverGroup", &error);
                    }
                }
            }
            Finished::Status(wanted, done) => {
                self.status.end(done.is_ok(), now);
                match done {
                    Ok(()) => self.status_written = Some(wanted),
                    // Of an object that is gone there is nothing more to say.
                    Err(kube::Error::Api(status))
                        if status.is_not_found() || status.is_conflict() => {}
                    Err(error) => {
                        debug!(group = %self.group, error = %Chain(&error), "writing the status failed");
                    }
                }
            }
            Finished::Held(done) => {
                if let Err(error) = &done {
                    debug!(group = %self.group, error = %Chain(error), "changing the finalizer failed");
                }
                // What it came to shows in the watch.
                self.holding.rest(Duration::from_millis(200), now);
            }
            Finished::Swept(done) => self.swept(done, now),
            Finished::Looked(looked) => {
                let ready = looked
                    .inspect_err(|failure| {
                        debug!(group = %self.group, %failure, "the payload can't be looked at");
                    })
                    .ok()
                    .flatten();
                let is_ready = ready.as_ref().is_some_and(Readiness::is_ready);
                let pause = if is_ready { LOOKS.1 } else { LOOKS.0 };
                self.readiness.rest(pause, now);
                if self.machine.state() == State::Leading {
                    self.ready = ready;
                }
            }
        }
    }

    /// A refusal that a person must help with.
    fn refused_by_store(&mut self, doing: &str, error: &kube::Error) {
        if let kube::Error::Api(status) = error
            && matches!(status.code, 400 | 401 | 403 | 422)
        {
            let note = format!("{doing} was refused: {}", status.message);
            self.tell_once("Refused", "Write", &note);
        }
    }

    fn applied(&mut self, round: u64, done: ApplyOutcome, took: Duration) {
        let current = round == self.cluster_round;
        let answer = match done {
            ApplyOutcome::Applied(applied) => {
                self.shared.metrics.applied(took);
                if current {
                    self.standing = Standing::Applied(applied.inventory.len());
                    self.readiness.end(true, Instant::now());
                }
                ClusterDone::Applied
            }
            ApplyOutcome::Rejected(problems) => {
                if current {
                    for problem in &problems {
                        let note = report::advice(&problem.to_string());
                        self.tell_once(problem.reason.as_str(), "Apply", &note);
                    }
                    let reason = problems
                        .first()
                        .map_or("PayloadRejected", |problem| problem.reason.as_str());
                    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
                    self.standing = Standing::Rejected(reason, texts.join("; "));
                }
                ClusterDone::Rejected
            }
            ApplyOutcome::Failed(failure) => {
                if current {
                    warn!(group = %self.group, %failure, "the payload can't be applied for now");
                    self.tell_once(failure.reason.as_str(), "Apply", &failure.to_string());
                    self.standing = Standing::Failed(failure.to_string());
                }
                ClusterDone::ApplyFailed
            }
            ApplyOutcome::Replaced { by } => {
                warn!(group = %self.group, agent = by, "another agent of this cluster has taken the payload over");
                ClusterDone::ApplyFailed
            }
        };
        self.cluster_answered(round, Some(answer));
    }

    fn stopped(&mut self, round: u64, done: StopOutcome) {
        let answer = match done {
            StopOutcome::Gone { kept } => {
                for object in kept {
                    let note = format!("{object} stays: it holds objects of others");
                    self.tell_once("Kept", "Stop", &note);
                }
                if let Some(since) = self.stopping_since {
                    self.shared.metrics.stopped(clock::now().since(since));
                }
                info!(group = %self.group, "nothing of the payload is left here");
                self.standing = Standing::Absent;
                ClusterDone::Gone
            }
            StopOutcome::Failed(failure) => {
                warn!(group = %self.group, %failure, "stopping the payload failed; trying on");
                let note = format!("the payload can't be stopped: {failure}");
                self.tell_once("StopFailed", "Stop", &note);
                self.standing = Standing::StopFailed(failure.to_string());
                ClusterDone::StopFailed
            }
            StopOutcome::Replaced { by } => {
                warn!(group = %self.group, agent = by, "another agent of this cluster has taken the payload over");
                ClusterDone::StopFailed
            }
        };
        self.cluster_answered(round, Some(answer));
    }

    /// Begins to write what is new about this member, where it belongs.
    pub(super) fn write_down(&mut self) {
        let now = Instant::now();
        self.look_after_payload(now);
        self.sweep(now);
        let Some(client) = self.shared.clients.borrow().clone() else {
            return;
        };
        if let Some(object) = self.own.clone() {
            if !plan::is_held(&object) && !plan::is_deleted(&object) && self.holding.is_free(now) {
                self.holding.begin();
                let client = client.clone();
                self.jobs
                    .spawn(async move { Finished::Held(hold(client, &object, true).await) });
            }
            self.write_status(&client, now);
        }
        match &self.seen.group {
            Seen::Unread => {}
            Seen::Absent => {
                let held = self.own.as_deref().is_some_and(plan::is_held);
                if held && self.making.is_free(now) {
                    self.making.begin();
                    let group = self.group.clone();
                    self.jobs
                        .spawn(async move { Finished::Made(group::create(client, &group).await) });
                }
            }
            Seen::There(_) => self.write_entry(client, now),
        }
    }

    /// The payload's readiness while it leads; its footprint when nothing is left.
    fn look_after_payload(&mut self, now: Instant) {
        let leading = self.machine.state() == State::Leading;
        if leading
            && matches!(self.standing, Standing::Applied(_))
            && !self.cluster.is_open()
            && self.readiness.is_free(now)
        {
            self.readiness.begin();
            let (site, group) = (self.shared.site.clone(), self.group.clone());
            self.jobs
                .spawn(async move { Finished::Looked(site.readiness(&group).await) });
        }
        if self.footprint
            && !self.machine.state().has_term()
            && !self.cluster.is_open()
            && self.forgetting.is_free(now)
            && let Some(token) = self.ended
        {
            self.forgetting.begin();
            let (site, group) = (self.shared.site.clone(), self.group.clone());
            self.jobs
                .spawn(async move { Finished::Forgotten(site.forget(&group, token).await) });
        }
    }

    fn write_entry(&mut self, client: Client, now: Instant) {
        let Some(view) = &self.view else {
            return;
        };
        let held = self.own.as_deref().is_some_and(plan::is_held);
        if !self.entry.is_free(now) || !(held || self.machine.state().has_term()) {
            return;
        }
        let wanted = Some(self.entry());
        if view.entry(&self.shared.me) == wanted.as_ref() {
            self.entry_written = Some(wanted);
            return;
        }
        if self.entry_written.as_ref() == Some(&wanted)
            && self.entry_version == self.group_version()
        {
            return;
        }
        self.entry_version = self.group_version();
        self.entry.begin();
        let (group, me) = (self.group.clone(), self.shared.me.clone());
        self.jobs.spawn(async move {
            let done = group::put_entry(client, &group, &me, wanted.as_ref()).await;
            Finished::Entry(wanted, done)
        });
    }

    fn group_version(&self) -> Option<String> {
        let object = self.seen.group.object()?;
        object.metadata.resource_version.clone()
    }

    fn write_status(&mut self, client: &Client, now: Instant) {
        let Some(object) = self.own.clone() else {
            return;
        };
        if !self.status.is_free(now) {
            return;
        }
        let stored = object.data.get("status").cloned();
        let old = self.status_written.clone().or(stored);
        let wanted = status::with(old.as_ref(), &self.report(), Timestamp::now());
        if old.as_ref() == Some(&wanted) {
            return;
        }
        self.status.begin();
        let client = client.clone();
        self.jobs.spawn(async move {
            let done = put_status(client, &object, old.as_ref(), &wanted).await;
            Finished::Status(wanted, done)
        });
    }
}
