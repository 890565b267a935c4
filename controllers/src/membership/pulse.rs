//! The loop that renews the heartbeat, and notes how that goes.

use std::sync::Arc;
use std::time::Duration;

use helium_telemetry::Chain;
use jiff::Timestamp;
use kube::core::DynamicObject;
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::heartbeat::{Beat, Heartbeat, INTERVAL};
use super::member;
use super::reachability::Reachability;
use super::standing::Standing;
use crate::ClusterName;
use crate::metrics::Metrics;

/// Time for one renewal; shorter than the pause between two.
const REQUEST: Duration = Duration::from_secs(4);

/// Renews one cluster's heartbeat while the cluster is a member.
pub(super) struct Pulse {
    cluster: ClusterName,
    heartbeat: Heartbeat,
    members: Api<DynamicObject>,
    reach: Arc<Mutex<Reachability>>,
    /// Told when an outage has ended, or the first renewal has succeeded.
    changed: Arc<Notify>,
    metrics: Metrics,
}

/// Why a renewal failed.
struct Failure {
    reason: &'static str,
    text: String,
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        let reason = match &error {
            kube::Error::Api(status) if (400..500).contains(&status.code) => "Refused",
            kube::Error::Api(_) => "StoreUnavailable",
            _ => "ServerUnreachable",
        };
        let text = match &error {
            kube::Error::Api(status) => status.message.clone(),
            other => Chain(other).to_string(),
        };
        Self { reason, text }
    }
}

impl Pulse {
    pub(super) fn new(
        fleet: Client,
        cluster: ClusterName,
        reach: Arc<Mutex<Reachability>>,
        changed: Arc<Notify>,
        metrics: Metrics,
    ) -> Self {
        Self {
            heartbeat: Heartbeat::new(fleet.clone(), &cluster),
            members: Api::all_with(fleet, &member::resource()),
            cluster,
            reach,
            changed,
            metrics,
        }
    }

    /// Renews until stopped.
    pub(super) async fn run(
        mut self,
        mut standing: watch::Receiver<Standing>,
        stop: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut complained = false;
        loop {
            let news = tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => false,
                Ok(()) = standing.changed() => true,
            };
            let Standing::Member(uid) = standing.borrow_and_update().clone() else {
                continue;
            };
            if news {
                ticks.reset();
            }
            let (asked, at) = (Timestamp::now(), Instant::now());
            let done = tokio::select! {
                () = stop.cancelled() => return,
                done = tokio::time::timeout(REQUEST, self.beat(&uid)) => done,
            };
            let failure = match done {
                Ok(Ok(())) => {
                    self.succeeded(&mut complained);
                    continue;
                }
                Ok(Err(failure)) => failure,
                Err(_elapsed) => Failure {
                    reason: "NoAnswer",
                    text: format!("no answer within {} s", REQUEST.as_secs()),
                },
            };
            self.metrics.heartbeat(false);
            debug!(error = failure.text, "renewing the heartbeat failed");
            let mut reach = self.reach.lock();
            reach.failed(asked, at, failure.reason, failure.text);
            let down = reach.verdict(Instant::now());
            drop(reach);
            if let Some(down) = down.filter(|verdict| verdict.status == "False")
                && !std::mem::replace(&mut complained, true)
            {
                warn!(
                    reason = down.reason,
                    error = down.message,
                    "the store is out of reach"
                );
                self.changed.notify_one();
            }
        }
    }

    fn succeeded(&mut self, complained: &mut bool) {
        self.metrics.heartbeat(true);
        let mut reach = self.reach.lock();
        let first = reach.verdict(Instant::now()).is_none();
        let over = reach.succeeded(Timestamp::now(), Instant::now());
        drop(reach);
        if over {
            info!("the heartbeat is renewed again");
            *complained = false;
        }
        if first || over {
            self.changed.notify_one();
        }
    }

    /// One renewal; makes the lease if that is ours to do.
    async fn beat(&mut self, uid: &str) -> Result<(), Failure> {
        let mut beat = self.heartbeat.renew(Timestamp::now()).await?;
        if beat == Beat::Lost {
            beat = self.heartbeat.renew(Timestamp::now()).await?;
        }
        if beat == Beat::Missing && self.is_member(uid).await? {
            beat = self.heartbeat.create(Timestamp::now()).await?;
        }
        match beat {
            Beat::Renewed => Ok(()),
            Beat::Missing => Err(Failure {
                reason: "NotMember",
                text: "the cluster's Member is gone".to_owned(),
            }),
            Beat::Lost => Err(Failure {
                reason: "Contended",
                text:
                    "somebody else writes the heartbeat; is the name of the cluster in use twice?"
                        .to_owned(),
            }),
        }
    }

    /// Asks the store: what we follow may be late, and the lease of a cluster that has left must stay away.
    async fn is_member(&self, uid: &str) -> Result<bool, kube::Error> {
        let found = self.members.get_opt(self.cluster.as_str()).await?;
        Ok(found.is_some_and(|member| {
            member.metadata.uid.as_deref() == Some(uid)
                && member.metadata.deletion_timestamp.is_none()
                && member::revoked(&member).is_none()
        }))
    }
}
