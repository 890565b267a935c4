//! Membership: one `Member` for the cluster, what it says of itself there, and a heartbeat.
//!
//! Everybody in the fleet sees from it who takes part, how they can be reached, and who has fallen silent:
//! `kubectl get members` from any cluster. The Lease `helium-system/member-<cluster>` is renewed every five seconds and
//! holds for fifteen; the Member's status is written only when it says something new.
//!
//! ```text
//! standing      member, left, revoked, …: from the fleet's Members     member  labels, authorities
//! pulse         renews the heartbeat                                    heartbeat  the Lease
//! reachability  outages, from the renewals' success                     status  conditions and their times
//! verdicts      what the conditions say of the registrar's work           writer  conditional writes
//! judge         whose heartbeat is missed
//! ```
//!
//! Invariants, beside those of all controllers:
//! - **M1** A cluster lets itself in only where everybody is let in: the agent makes its Member only while no Member of
//!   the fleet lists authorities, and only if it hasn't seen one of its own before. In a closed fleet a Member comes
//!   from a join, whatever the agent is told; so a cluster that has left or was removed stays out, also when
//!   its agent is restarted. A Member that appears later, by a new join, is kept from then on.
//! - **M2** A cluster that is leaving, has left or is shut out writes nothing: no heartbeat that would bring the lease
//!   back which its departure removes, no status, no report about definitions. What is registered in the cluster
//!   stays (A1); `helium-agent uninstall` removes it.
//! - **M3** `Ready` is `Unknown` from when another cluster misses the heartbeat, and anything else only by the
//!   cluster's own word. Clocks of different machines are never compared, and who can't see its own heartbeat
//!   come back judges nobody.
//! - **M4** What can't be written because the store is away is written when it is back, with the time at which it
//!   was so.
//!
//! What it will not do: let clusters in (the join does), settle what a departed cluster leaves behind (the servers do), or
//! decide whose certificates are good (shims and servers do, from the Members' authorities).

mod heartbeat;
mod judge;
mod member;
mod pulse;
mod reachability;
mod standing;
mod status;
mod verdicts;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use helium_telemetry::Chain;
use http::Uri;
use jiff::Timestamp;
use kube::core::DynamicObject;
use kube::runtime::watcher;
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub(crate) use standing::{STANDINGS, Standing};
pub(crate) use status::{Verdict, put};

use crate::ClusterName;
use crate::ca::CaFile;
use crate::follow::{self, Follow};
use crate::metrics::Metrics;
use crate::registrar::{REASONS, Summary};
use judge::Judge;
use member::Wanted;
use pulse::Pulse;
use reachability::Reachability;
use status::{Advertised, Facts, READY, REGISTERED, STORE_REACHABLE};
use verdicts::{ready, registered};

/// Name under which our fields are ours.
const FIELD_MANAGER: &str = "helium-membership";
/// Everything is looked at again after that long without a change.
const RESYNC: Duration = Duration::from_secs(30);
/// Changes come in bursts: one round for all that come within this.
const GATHER: Duration = Duration::from_millis(50);
/// First pause after a round in which something failed; it doubles up to [`RESYNC`].
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// Time for one write.
const REQUEST: Duration = Duration::from_secs(3);
/// How often the cluster is asked for its version.
const VERSION_CHECK: Duration = Duration::from_secs(60);
/// A new group isn't served at once: that long nobody is told.
const GRACE: Duration = Duration::from_secs(4);
/// Verdicts in one look; the rest follows with the next.
const VERDICTS: usize = 10;

/// Clusters, and whether each is there.
pub(crate) type Alive = BTreeMap<String, bool>;

fn alive(members: &BTreeMap<String, Arc<DynamicObject>>) -> Alive {
    let there = |member: &DynamicObject| {
        let ready = status::condition(member.data.get("status"), READY);
        member.metadata.deletion_timestamp.is_none()
            && member::revoked(member).is_none()
            && ready.is_none_or(|ready| ready["status"] != "Unknown")
    };
    members
        .iter()
        .map(|(name, member)| (name.clone(), there(member)))
        .collect()
}

/// What the membership controller is told.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The cluster.
    pub(crate) cluster: ClusterName,
    /// Labels of its Member.
    pub(crate) labels: BTreeMap<String, String>,
    /// Where its kube-apiserver can be reached.
    pub(crate) kubernetes_url: Option<Uri>,
    /// Where its helium-apiserver can be reached.
    pub(crate) direct_url: Option<Uri>,
}

/// Keeps one cluster's Member.
pub(crate) struct Membership {
    settings: Settings,
    own: Client,
    authorities: Option<CaFile>,
    metrics: Metrics,
    standing: watch::Sender<Standing>,
    alive: watch::Sender<Option<Arc<Alive>>>,
    registered: watch::Receiver<Option<Summary>>,
    reach: Arc<Mutex<Reachability>>,
    /// Whether a Member of this cluster has been seen in this process's life.
    seen: bool,
    /// Version of the cluster's API server, and when it was asked last.
    version: (Option<String>, Option<Instant>),
    /// Since when groups are missing that nobody is told of yet.
    unregistered: Option<Instant>,
    /// What was complained of last.
    complaint: Option<String>,
}

/// The fleet's side of one session.
struct Fleet {
    members: Api<DynamicObject>,
    heartbeats: Api<DynamicObject>,
    followed_members: Follow<DynamicObject>,
    followed_heartbeats: Follow<DynamicObject>,
}

impl Membership {
    /// A controller for the cluster behind `own`. `registered` says what the registrar has achieved there.
    pub(crate) fn new(
        settings: Settings,
        own: Client,
        authorities: Option<CaFile>,
        registered: watch::Receiver<Option<Summary>>,
        metrics: Metrics,
    ) -> Self {
        Self {
            settings,
            own,
            authorities,
            metrics,
            standing: watch::Sender::default(),
            alive: watch::Sender::default(),
            registered,
            reach: Arc::default(),
            seen: false,
            version: (None, None),
            unregistered: None,
            complaint: None,
        }
    }

    /// How the cluster stands to the fleet, now and in future.
    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Which clusters are there, once that is known: by the fleet's Members, in which any agent says whose heartbeat is missed.
    pub(crate) fn alive(&self) -> watch::Receiver<Option<Arc<Alive>>> {
        self.alive.subscribe()
    }

    /// Works with a client of the control plane until stopped. May be run again after that.
    pub(crate) async fn run(&mut self, fleet: Client, stop: &CancellationToken) {
        let changed = Arc::new(Notify::new());
        let side = Fleet {
            members: Api::all_with(fleet.clone(), &member::resource()),
            heartbeats: heartbeat::api(fleet.clone()),
            followed_members: Follow::new("the fleet's members", Arc::clone(&changed)),
            // They are looked at every second; each of their renewals is no news by itself.
            followed_heartbeats: Follow::new("the fleet's heartbeats", Arc::default()),
        };
        let pulse = Pulse::new(
            fleet,
            self.settings.cluster.clone(),
            Arc::clone(&self.reach),
            Arc::clone(&changed),
            self.metrics.clone(),
        );
        let labelled = follow::settings().labels(heartbeat::LABEL);
        tokio::join!(
            side.followed_members.run(
                watcher::watcher(side.members.clone(), follow::settings()),
                stop.clone()
            ),
            side.followed_heartbeats.run(
                watcher::watcher(side.heartbeats.clone(), labelled),
                stop.clone()
            ),
            pulse.run(self.standing.subscribe(), stop.clone()),
            self.rounds(&side, &changed, stop),
        );
    }

    async fn rounds(&mut self, fleet: &Fleet, changed: &Notify, stop: &CancellationToken) {
        let mut judge = Judge::new(&self.settings.cluster);
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next = Instant::now();
        let mut retry = FIRST_RETRY;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = changed.notified() => tokio::time::sleep(GATHER).await,
                Ok(()) = self.registered.changed() => {}
                () = tokio::time::sleep_until(next) => {}
                _ = second.tick() => {
                    let look = async {
                        self.judge(fleet, &mut judge).await;
                        match &mut self.authorities {
                            Some(file) => file.refresh().await,
                            None => false,
                        }
                    };
                    let changed = tokio::select! {
                        () = stop.cancelled() => return,
                        changed = look => changed,
                    };
                    if !changed {
                        continue;
                    }
                }
            }
            self.registered.mark_unchanged();
            let round = self.round(fleet);
            let (clean, soon) = tokio::select! {
                () = stop.cancelled() => return,
                done = round => done,
            };
            let pause = if clean { soon.unwrap_or(RESYNC) } else { retry };
            retry = if clean {
                FIRST_RETRY
            } else {
                (retry * 2).min(RESYNC)
            };
            next = Instant::now() + pause;
        }
    }

    /// One look at our own Member. Returns whether all that had to be written was, and when to look again, if soon.
    async fn round(&mut self, fleet: &Fleet) -> (bool, Option<Duration>) {
        let Some(members) = fleet.followed_members.objects() else {
            return (true, None);
        };
        let cluster = self.settings.cluster.clone();
        let alive = alive(&members);
        self.alive.send_if_modified(|before| {
            let news = before.as_deref() != Some(&alive);
            if news {
                *before = Some(Arc::new(alive));
            }
            news
        });
        let own = members.get(cluster.as_str()).cloned();
        let standing = standing::standing(&cluster, &members, self.seen);
        self.seen |= own.is_some();
        self.stands(standing.clone());
        let wanted = self.wanted();
        let (done, soon) = match (standing, own) {
            (Standing::New, _) => {
                let made = member::new(&cluster, &wanted);
                (
                    writer::create(&fleet.members, &made).await.map(|()| true),
                    None,
                )
            }
            (Standing::Member(_), Some(own)) => {
                let (facts, soon) = self.facts(&own).await;
                (self.keep(fleet, &own, &wanted, facts).await, soon)
            }
            _ => (Ok(true), None),
        };
        match done {
            Ok(settled) => {
                self.complaint = None;
                (settled, soon)
            }
            Err(error) => {
                let text = Chain(&error).to_string();
                // What is the store's or the server's trouble is told by those who follow and renew.
                let ours =
                    matches!(&error, kube::Error::Api(status) if (400..500).contains(&status.code));
                if ours && self.complaint.as_ref() != Some(&text) {
                    warn!(
                        error = text,
                        "writing the cluster's Member failed; trying on"
                    );
                } else {
                    debug!(error = text, "writing the cluster's Member failed");
                }
                self.complaint = Some(text);
                (false, None)
            }
        }
    }

    /// Notes and tells how the cluster stands to the fleet.
    fn stands(&self, now: Standing) {
        self.metrics.stands(now.name());
        self.standing.send_if_modified(|before| {
            if *before == now {
                return false;
            }
            if now.is_outside() {
                warn!(standing = now.name(), "{now}");
            } else {
                info!(standing = now.name(), "{now}");
            }
            *before = now;
            true
        });
    }

    fn wanted(&self) -> Wanted {
        let authorities = self.authorities.as_ref().map(CaFile::bundle);
        Wanted {
            labels: self.settings.labels.clone(),
            authorities: authorities.map(|pem| String::from_utf8_lossy(&pem).into_owned()),
        }
    }

    /// Makes our Member say what it should. Returns whether that is done.
    async fn keep(
        &self,
        fleet: &Fleet,
        own: &DynamicObject,
        wanted: &Wanted,
        mut facts: Facts,
    ) -> Result<bool, kube::Error> {
        let api = &fleet.members;
        // Refused labels or authorities don't keep the status from being written.
        let kept = match member::kept(own, wanted) {
            None => Ok(Some(own.clone())),
            Some(changed) => writer::replace(api, changed).await,
        };
        let mut latest = match &kept {
            Ok(Some(latest)) => latest.clone(),
            Ok(None) => return Ok(false),
            Err(_) => own.clone(),
        };
        // An outage that is over: first that it was (M4).
        let past = self.reach.lock().unrecorded();
        if let Some(past) = past {
            let told = Facts {
                conditions: vec![(STORE_REACHABLE, past)],
                ..facts.clone()
            };
            let now = Timestamp::now();
            let put = writer::put_status(api, latest, |old| status::with(old, &told, now));
            match put.await? {
                Some(written) => latest = written,
                None => return Ok(false),
            }
            self.reach.lock().recorded();
        }
        facts.conditions.retain(|(type_, verdict)| {
            // An outage of a former life of this agent stays told.
            *type_ != STORE_REACHABLE
                || verdict.since.is_some()
                || status::condition(latest.data.get("status"), type_)
                    .is_none_or(|stored| stored["status"] != verdict.status)
        });
        let now = Timestamp::now();
        let put = writer::put_status(api, latest, |old| status::with(old, &facts, now));
        let put = put.await?.is_some();
        kept.map(|_| put)
    }

    /// What is to be said of the cluster, and when there may be more to say.
    async fn facts(&mut self, own: &DynamicObject) -> (Facts, Option<Duration>) {
        self.ask_version().await;
        let advertised = [
            ("kubernetes", &self.settings.kubernetes_url),
            ("direct", &self.settings.direct_url),
        ];
        let advertised = advertised.into_iter().filter_map(|(name, url)| {
            let url = url.as_ref()?.to_string();
            let url = url.trim_end_matches('/').to_owned();
            Some(Advertised { name, url })
        });
        let store = self.reach.lock().verdict(Instant::now());
        let summary = self.registered.borrow().clone();
        let mut conditions = Vec::new();
        let mut soon = None;
        if let Some(summary) = &summary {
            let registered = registered(summary);
            let told = status::condition(own.data.get("status"), REGISTERED);
            let new = registered.status == "False"
                && registered.reason != REASONS[0]
                && told.is_none_or(|told| told["status"] != "False");
            let since = new.then(|| *self.unregistered.get_or_insert_with(Instant::now));
            let left = since.and_then(|since| GRACE.checked_sub(since.elapsed()));
            if since.is_none() {
                self.unregistered = None;
            }
            match left {
                Some(left) => soon = Some(left.max(FIRST_RETRY)),
                None => conditions.push((REGISTERED, registered)),
            }
            // A cluster takes part when its heartbeat is in the store and its users can get there.
            if store.as_ref().is_some_and(|store| store.status == "True") && left.is_none() {
                conditions.push((READY, ready(summary)));
            }
        }
        if let Some(store) = store {
            conditions.push((STORE_REACHABLE, store));
        }
        let facts = Facts {
            kubernetes: self.version.0.clone(),
            endpoints: advertised.collect(),
            heartbeat: format!(
                "{}/{}",
                heartbeat::NAMESPACE,
                heartbeat::lease_name(self.settings.cluster.as_str())
            ),
            conditions,
        };
        (facts, soon)
    }

    async fn ask_version(&mut self) {
        let due = self
            .version
            .1
            .is_none_or(|asked| asked.elapsed() >= VERSION_CHECK);
        if !due {
            return;
        }
        match writer::within(REQUEST, self.own.apiserver_version()).await {
            Ok(info) => self.version = (Some(info.git_version), Some(Instant::now())),
            Err(error) => {
                debug!(error = %Chain(&error), "asking the cluster for its version failed")
            }
        }
    }

    /// Looks whose heartbeats are missed, and says so.
    async fn judge(&self, fleet: &Fleet, judge: &mut Judge) {
        let (Some(members), Some(leases)) = (
            fleet.followed_members.objects(),
            fleet.followed_heartbeats.objects(),
        ) else {
            return;
        };
        if !matches!(*self.standing.borrow(), Standing::Member(_)) {
            return;
        }
        let judged = members
            .iter()
            .filter(|(_, member)| writer::is_judged(member))
            .map(|(name, _)| name.as_str());
        let missed = judge.look(judged, &leases, Instant::now());
        let by = &self.settings.cluster;
        for missed in missed.iter().take(VERDICTS) {
            let (members, heartbeats) = (&fleet.members, &fleet.heartbeats);
            let done = writer::mark_missed(members, heartbeats, missed, by, Timestamp::now());
            let cluster = &missed.cluster;
            match done.await {
                Ok(true) => {
                    info!(
                        cluster,
                        "its heartbeat is missed: it is not known to be ready"
                    );
                    self.metrics.missed_heartbeats.inc();
                }
                Ok(false) => {}
                Err(error) => {
                    debug!(cluster, error = %Chain(&error), "a missed heartbeat could not be told");
                    // Its time begins anew, so that a refusal isn't asked for every second.
                    judge.forget(cluster);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
