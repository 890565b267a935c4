//! Leader election by the rules of client-go, in the few lines in which users of kube-rs write it.
//!
//! A record belongs to its holder until a whole lease duration has passed, by the candidate's own clock, since the record last
//! changed. Every write is a replacement of exactly the version that was read, so that of two candidates one wins. A leader stops when
//! it has had no acknowledged renewal for the renew deadline, counted from when that renewal was *sent*; a timer of its own does
//! that, so that a request that hangs can't keep it leading.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::trace::{now, say};
use crate::work::Work;

/// The annotation with a term's fencing token.
const TOKEN: &str = "helium.dev/fencing-token";

/// How long is waited for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Durations {
    /// Others wait so long after the last renewal that they saw.
    pub(crate) lease: Duration,
    /// A leader without a renewal for so long stops.
    pub(crate) renew: Duration,
    /// Between tries.
    pub(crate) retry: Duration,
}

/// Durations that exclude each other.
#[derive(Debug, thiserror::Error)]
#[error(
    "--renew-deadline must be longer than --retry-period and shorter than --lease-duration, which is {0:?}"
)]
pub(crate) struct DurationsError(Duration);

/// One candidate.
pub(crate) struct Candidate {
    leases: Api<Lease>,
    name: String,
    identity: String,
    durations: Durations,
}

/// What was last read of the Lease, and when it was first seen so.
struct Observed {
    spec: LeaseSpec,
    since: Instant,
}

/// A write of the Lease that was acknowledged.
struct Held {
    sent: Instant,
    token: i64,
}

impl Candidate {
    pub(crate) fn new(
        client: Client,
        namespace: &str,
        name: String,
        identity: String,
        durations: Durations,
    ) -> Result<Self, DurationsError> {
        if durations.retry >= durations.renew || durations.renew >= durations.lease {
            return Err(DurationsError(durations.lease));
        }
        Ok(Self {
            leases: Api::namespaced(client, namespace),
            name,
            identity,
            durations,
        })
    }

    /// Stands, leads, and stands again; never returns of itself.
    pub(crate) async fn run(self, work: Work) -> Result<(), Box<dyn std::error::Error>> {
        let mut observed = None;
        loop {
            let held = loop {
                if let Some(held) = self.attempt(&mut observed).await {
                    break held;
                }
                sleep(self.durations.retry).await;
            };
            let token = held.token;
            say(
                &self.identity,
                "started",
                json!({"leader": self.identity, "token": token}),
            );
            let stop = CancellationToken::new();
            let working = tokio::spawn(work.clone().lead(token, stop.clone()));
            self.renew(held, &mut observed).await;
            stop.cancel();
            say(&self.identity, "stopped", json!({"leader": self.identity}));
            // A write that hangs ends by itself: its fence decides what becomes of it.
            working.await?;
        }
    }

    /// Renews until there was no renewal for too long, or another term began.
    async fn renew(&self, mut held: Held, observed: &mut Option<Observed>) {
        loop {
            let deadline = held.sent + self.durations.renew;
            let renewed = tokio::time::timeout_at(deadline, async {
                sleep(self.durations.retry).await;
                loop {
                    if let Some(next) = self.attempt(observed).await {
                        return next;
                    }
                    sleep(self.durations.retry).await;
                }
            })
            .await;
            match renewed {
                Ok(next) if next.token == held.token => held = next,
                _ => return,
            }
        }
    }

    /// Tries once to acquire or to renew. Errors are printed; the next try may have more luck.
    async fn attempt(&self, observed: &mut Option<Observed>) -> Option<Held> {
        match timeout(self.durations.renew, self.acquire_or_renew(observed)).await {
            Ok(Ok(held)) => held,
            Ok(Err(error)) => {
                eprintln!("lease {}: {error}", self.name);
                None
            }
            Err(_) => {
                eprintln!("lease {}: no answer", self.name);
                None
            }
        }
    }

    async fn acquire_or_renew(
        &self,
        observed: &mut Option<Observed>,
    ) -> Result<Option<Held>, kube::Error> {
        let Some(mut lease) = self.leases.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.record(None)),
            };
            let (sent, boot) = (Instant::now(), now());
            let created = self.leases.create(&PostParams::default(), &lease).await?;
            return Ok(self.acknowledged(created, observed, sent, boot));
        };
        let spec = lease.spec.clone().unwrap_or_default();
        if observed.as_ref().is_none_or(|seen| seen.spec != spec) {
            *observed = Some(Observed {
                spec: spec.clone(),
                since: Instant::now(),
            });
        }
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let duration = Duration::from_secs(
            u64::try_from(spec.lease_duration_seconds.unwrap_or(0)).unwrap_or(0),
        );
        let valid = observed
            .as_ref()
            .is_some_and(|seen| seen.since + duration > Instant::now());
        if holder != self.identity && !holder.is_empty() && valid {
            return Ok(None);
        }
        lease.spec = Some(self.record(Some(&spec)));
        let (sent, boot) = (Instant::now(), now());
        // The resourceVersion that was read goes with it: the write counts only if nobody was faster.
        let written = self
            .leases
            .replace(&self.name, &PostParams::default(), &lease)
            .await?;
        Ok(self.acknowledged(written, observed, sent, boot))
    }

    /// The record with this candidate as its holder.
    fn record(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let transitions = before.and_then(|spec| spec.lease_transitions);
        let mine =
            before.filter(|spec| spec.holder_identity.as_deref() == Some(self.identity.as_str()));
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.durations.lease.as_secs()).ok(),
            acquire_time: mine
                .and_then(|spec| spec.acquire_time.clone())
                .or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: match (before, mine) {
                (Some(_), None) => Some(transitions.unwrap_or(0) + 1),
                _ => Some(transitions.unwrap_or(0)),
            },
            ..LeaseSpec::default()
        }
    }

    fn acknowledged(
        &self,
        lease: Lease,
        observed: &mut Option<Observed>,
        sent: Instant,
        boot: i64,
    ) -> Option<Held> {
        let token = lease
            .metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(TOKEN))
            .and_then(|text| text.parse().ok());
        let Some(token) = token else {
            eprintln!("lease {}: no annotation {TOKEN}", self.name);
            return None;
        };
        *observed = Some(Observed {
            spec: lease.spec.unwrap_or_default(),
            since: Instant::now(),
        });
        say(
            &self.identity,
            "renewed",
            json!({"token": token, "sent": boot}),
        );
        Some(Held { sent, token })
    }
}
