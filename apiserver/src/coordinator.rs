//! Coordinated elections: picks the holder of a lease among its candidates.
//!
//! In a coordinated election nobody takes a lease: candidates stand for it (`LeaseCandidate`), and a coordinator writes the name
//! of the one that it picks into the lease. That candidate then renews the lease itself, as every holder does. When a better one
//! stands, the coordinator names it as `preferredHolder`; the holder sees that and stops renewing, and when its term is
//! over the better one is picked. The strategies are Kubernetes' `OldestEmulationVersion` and our `helium.dev/Priority`.
//!
//! Every server of every cluster runs a coordinator; they don't know of each other.
//!
//! Invariants:
//! - **K1** A lease is given only by a compare on the very record that was seen to be absent, free or expired. However many
//!   coordinators decide, and whatever each believes, one of them wins, and a holder that renews in time is never replaced.
//! - **K2** A lease has expired when this process has seen the same record for the whole of its duration, by its own monotonic
//!   clock, counted from when it first saw it. No wall clock that somebody else wrote is compared with anything.
//! - **K3** Nobody is picked who hasn't just shown to be there. A candidate is asked by a `pingTime` behind its own last
//!   `renewTime` (so clocks needn't agree), and is passed over when it hasn't renewed within [`election::ANSWER`] of that.
//! - **K4** The writes are requests like any other, through the same registry: so a term has its key and its fencing token. They are
//!   made in the name of the candidate's cluster.
//! - **K5** Leases without candidates, leases of failover groups, candidates with another strategy, and candidates of clusters that are shut out are
//!   left alone.
//!
//! What it will not do: hold a lease, end a term before its time, or pick anybody in a namespace where nobody stands.

pub mod election;
mod observer;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use helium_apimachinery::Status;
use helium_apimachinery::lease::DurationLimits;
use helium_apimachinery::lease_candidate::spec_text;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cache::{Cache, Entry};
use crate::failover;
use crate::members::{Members, Roster, Standing};
use election::{Action, Candidate, Lease};
use observer::Observer;

/// The shortest time between two looks, so that many renewals cost one.
const PAUSE: Duration = Duration::from_millis(100);
/// When a write failed, the next look is after this long.
const RETRY: Duration = Duration::from_secs(1);
/// Elections that are written at once.
const WRITERS: usize = 8;
/// The term that a picked candidate begins with; it renews for as long as it wants to. Several times client-go's
/// `RetryPeriod`, after which it notices that it was picked.
const TERM_SECONDS: i64 = 15;
/// Who the coordinator is, to the registry.
const USER: &str = "system:helium:coordinator";

const LEASES: &str = "/apis/coordination.helium.dev/v1/namespaces";

/// A write that a coordinator wants.
#[derive(Debug, Clone)]
pub struct Act {
    /// The cluster that it is made in the name of.
    pub origin: String,
    /// Who makes it.
    pub user: &'static str,
    /// The HTTP method.
    pub method: Method,
    /// The path.
    pub path: String,
    /// The body: an object, a merge patch or delete options, as the method has it.
    pub body: Value,
    /// What it comes to, for the log.
    pub what: String,
    /// Whether people want to read of it.
    pub is_news: bool,
}

/// What a coordinator writes through.
#[async_trait]
pub trait Writer: Send + Sync + 'static {
    /// Makes a write as if a client had asked for it.
    ///
    /// # Errors
    /// What that client would get; 404 and 409 mean that somebody else was faster.
    async fn act(&self, act: &Act) -> Result<(), Status>;

    /// Who takes part.
    fn members(&self) -> &Members;
}

/// Picks holders for as long as it runs.
pub struct Coordinator {
    writer: Weak<dyn Writer>,
    leases: Cache,
    candidates: Cache,
    observer: Observer,
    /// The term that a picked candidate begins with, in seconds.
    term: i64,
}

impl Coordinator {
    /// A coordinator that reads these caches and writes through `writer`, within the limits of durations.
    #[must_use]
    pub fn new(
        writer: Weak<dyn Writer>,
        leases: Cache,
        candidates: Cache,
        limits: DurationLimits,
    ) -> Self {
        Self {
            term: TERM_SECONDS.clamp(limits.min, limits.max),
            writer,
            leases,
            candidates,
            observer: Observer::default(),
        }
    }

    /// Works until cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut leases = self.leases.changes();
        let mut candidates = self.candidates.changes();
        loop {
            leases.borrow_and_update();
            candidates.borrow_and_update();
            let round = self.round();
            let wake = tokio::select! {
                () = stop.cancelled() => return,
                wake = round => wake,
            };
            let wake = wake.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                // The senders live as long as the caches that we hold.
                _ = leases.changed() => {}
                _ = candidates.changed() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Looks at every lease that somebody stands for, and writes what is to be written. Returns when to look again, if nothing
    /// changes before.
    async fn round(&mut self) -> Option<Instant> {
        let writer = self.writer.upgrade()?;
        if !self.leases.is_filled() || !self.candidates.is_filled() {
            return Some(Instant::now() + RETRY);
        }
        let (acts, wake) = self.plan(writer.members());
        let failures = stream::iter(acts)
            .map(|act| carry_out(Arc::clone(&writer), act))
            .buffer_unordered(WRITERS)
            .filter(|done| std::future::ready(!done))
            .count()
            .await;
        let retry = (failures > 0).then(|| Instant::now() + RETRY);
        [wake, retry].into_iter().flatten().min()
    }

    /// What is to be written, and when to look again.
    fn plan(&mut self, members: &Members) -> (Vec<Act>, Option<Instant>) {
        let now = Instant::now();
        let standing = self.candidates.snapshot("", None).entries;
        if standing.is_empty() {
            self.observer.forget_all();
            return (Vec::new(), None);
        }
        if members.detached().is_some() {
            return (Vec::new(), Some(now + RETRY));
        }
        let roster = members.roster();
        let mut wake: Option<Instant> = None;
        let mut acts = Vec::new();
        for ((namespace, name), group) in by_lease(&standing) {
            let key = format!("{namespace}/{name}");
            let (lease, _) = self.leases.get(&key);
            // Its members decide by themselves, and each is a whole cluster.
            if lease
                .as_ref()
                .is_some_and(|entry| failover::group_of(&entry.object).is_some())
            {
                continue;
            }
            let seen = self.observer.lease(&key, lease.as_deref(), now);
            let candidates: Vec<Candidate> = group
                .iter()
                .map(|entry| self.observer.candidate(entry, now))
                .filter(|candidate| takes_part(&roster, &candidate.cluster))
                .collect();
            let lease = lease.map(|entry| Lease::of(&entry.object, entry.revision, seen));
            let decision = election::decide(lease.as_ref(), &candidates, now);
            wake = [wake, decision.wake].into_iter().flatten().min();
            if let Some(problem) = decision.problem
                && self.observer.is_news(&key, &problem)
            {
                tracing::warn!(lease = key, problem, "nobody can be picked");
            }
            let time = Timestamp::now();
            acts.extend(
                decision
                    .actions
                    .iter()
                    .map(|action| act(namespace, name, action, self.term, time)),
            );
        }
        self.observer.forget_unseen(now);
        (acts, wake)
    }
}

/// The candidates of each lease, by namespace and name of the lease.
fn by_lease(standing: &[Arc<Entry>]) -> BTreeMap<(&str, &str), Vec<&Entry>> {
    let mut groups: BTreeMap<(&str, &str), Vec<&Entry>> = BTreeMap::new();
    for entry in standing {
        let lease = spec_text(&entry.object, "leaseName");
        // A name that no lease can have would lead elsewhere.
        if lease.is_empty() || lease.contains('/') {
            continue;
        }
        let key = (entry.object.namespace(), lease);
        groups.entry(key).or_default().push(entry);
    }
    groups
}

/// Whether a cluster's candidates may lead.
fn takes_part(roster: &Roster, cluster: &str) -> bool {
    match roster.standing(cluster) {
        Standing::Unknown | Standing::Open | Standing::Member => true,
        Standing::Leaving | Standing::Revoked { .. } => false,
        // Whether that counts is each server's own decision, about its own cluster.
        Standing::Absent => true,
    }
}

/// Writes what was decided. Whether it is done with: a lost race is, since what won it brings us back.
async fn carry_out(writer: Arc<dyn Writer>, act: Act) -> bool {
    let Act {
        path, origin, what, ..
    } = &act;
    match writer.act(&act).await {
        Ok(()) => {
            if act.is_news {
                tracing::info!(
                    path,
                    cluster = origin,
                    what,
                    "wrote what an election came to"
                );
            }
            true
        }
        Err(status) if matches!(status.code(), 404 | 409) => {
            tracing::debug!(path, what, %status, "somebody else was faster");
            true
        }
        Err(status) => {
            tracing::debug!(path, what, %status, "an election's write failed");
            false
        }
    }
}

/// The request that an action is.
fn act(namespace: &str, lease: &str, action: &Action, term: i64, now: Timestamp) -> Act {
    let time = micro(now);
    let one = format!("{LEASES}/{namespace}/leases/{lease}");
    let candidate = |name: &str| format!("{LEASES}/{namespace}/leasecandidates/{name}");
    let (origin, method, path, body) = match action {
        Action::Ping {
            candidate: name,
            cluster,
            version,
            renewed,
        } => {
            // Behind the candidate's own time, whatever ours is (K3).
            let ping = renewed.map_or(now, after);
            let body = changed(*version, json!({"pingTime": micro(ping)}));
            (cluster, Method::PATCH, candidate(name), body)
        }
        Action::Grant {
            to,
            cluster,
            strategy,
            over,
        } => {
            let mut spec = json!({
                "holderIdentity": to,
                "strategy": strategy,
                "leaseDurationSeconds": term,
                "acquireTime": time,
                "renewTime": time,
                "preferredHolder": null,
                "leaseTransitions": over.map_or(0, |(_, transitions)| transitions.saturating_add(1)),
            });
            match over {
                Some((version, _)) => (cluster, Method::PATCH, one, changed(*version, spec)),
                None => {
                    if let Some(spec) = spec.as_object_mut() {
                        spec.remove("preferredHolder");
                    }
                    let body = json!({
                        "apiVersion": "coordination.helium.dev/v1", "kind": "Lease",
                        "metadata": {"name": lease}, "spec": spec,
                    });
                    (
                        cluster,
                        Method::POST,
                        format!("{LEASES}/{namespace}/leases"),
                        body,
                    )
                }
            }
        }
        Action::Prefer {
            whom,
            holder_cluster,
            strategy,
            version,
        } => {
            let spec = json!({"preferredHolder": whom, "strategy": strategy});
            (holder_cluster, Method::PATCH, one, changed(*version, spec))
        }
        Action::Forget {
            candidate: name,
            cluster,
            version,
        } => {
            let body = json!({"preconditions": {"resourceVersion": version.to_string()}});
            (cluster, Method::DELETE, candidate(name), body)
        }
    };
    let what = match action {
        Action::Ping { .. } => "asked whether it is there".to_owned(),
        Action::Grant { to, .. } => format!("{to} is the holder"),
        Action::Prefer { whom, .. } => format!("{whom} shall be the next holder"),
        Action::Forget { .. } => "long gone".to_owned(),
    };
    Act {
        is_news: !matches!(action, Action::Ping { .. }),
        what,
        origin: origin.clone(),
        user: USER,
        method,
        path,
        body,
    }
}

/// A merge patch of a spec, under the condition of a version.
fn changed(version: i64, spec: Value) -> Value {
    json!({"metadata": {"resourceVersion": version.to_string()}, "spec": spec})
}

/// A time as a MicroTime shows it.
fn micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// The next time that a MicroTime can show.
fn after(time: Timestamp) -> Timestamp {
    time.checked_add(jiff::SignedDuration::from_micros(1))
        .unwrap_or(time)
}
