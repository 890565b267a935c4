//! One active agent in a cluster: a `coordination.k8s.io` Lease there.
//!
//! The rules are those of Kubernetes' own controllers. A candidate takes the lease when nobody holds it, or when its
//! record hasn't changed for the duration that it names, by the candidate's own monotonic clock since it first saw the
//! record: clocks of different machines are never compared. The holder renews it, and stops its work when it hasn't
//! succeeded for a while that is shorter than the duration. All writes are conditional on the resourceVersion.
//!
//! What it does not promise: that two agents never work at once. A holder that was suspended may finish a write; what
//! agents do stands that (A3).

mod record;

use std::time::Duration;

use helium_telemetry::Chain;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use record::{Judge, Step};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::probe::Readiness;

/// How long a record holds without a renewal.
const DURATION: Duration = Duration::from_secs(15);
/// The holder gives up when it hasn't renewed for that long.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Pause between two looks.
const RETRY: Duration = Duration::from_secs(2);
/// Time for one request.
const REQUEST: Duration = Duration::from_secs(5);

/// A candidate for a cluster's lease.
pub(crate) struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    judge: Judge,
}

impl Election {
    /// A candidate called `identity`, which must be unique, for the lease `namespace/name`.
    pub(crate) fn new(client: Client, namespace: &str, name: &str, identity: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            judge: Judge::new(identity.clone()),
            identity,
        }
    }

    /// Waits until the lease is ours; `false` if stopped before.
    pub(crate) async fn acquire(&mut self, stop: &CancellationToken, ready: &Readiness) -> bool {
        let mut failed = false;
        loop {
            let step = tokio::select! {
                () = stop.cancelled() => return false,
                step = self.step() => step,
            };
            match step {
                Ok(true) => {
                    ready.set();
                    info!(identity = self.identity, "this agent is the active one");
                    return true;
                }
                Ok(false) => {
                    ready.set();
                    failed = false;
                }
                Err(error) => {
                    let error = Chain(&error);
                    if std::mem::replace(&mut failed, true) {
                        debug!(%error, "asking for the lease failed");
                    } else {
                        warn!(%error, "asking for the lease failed; trying on");
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// Renews the lease until it is lost or `stop` is cancelled.
    pub(crate) async fn hold(&mut self, stop: &CancellationToken) {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
            // The deadline counts from before the request: that is when the others' clocks may start.
            let asked = Instant::now();
            match self.step().await {
                Ok(true) => renewed = asked,
                Ok(false) => {
                    warn!("another agent has taken the lease");
                    return;
                }
                Err(error) => debug!(error = %Chain(&error), "renewing the lease failed"),
            }
            if renewed.elapsed() >= RENEW_DEADLINE {
                warn!("the lease could not be renewed in time");
                return;
            }
        }
    }

    /// Gives the lease back, so that the next agent needn't wait for its end.
    pub(crate) async fn release(&mut self) {
        let Some(lease) = self.judge.released() else {
            return;
        };
        let name = self.name.clone();
        let params = PostParams::default();
        let done = self.api.replace(&name, &params, &lease);
        match tokio::time::timeout(REQUEST, done).await {
            Ok(Ok(_)) => info!("the lease is given back"),
            Ok(Err(error)) => debug!(error = %Chain(&error), "giving the lease back failed"),
            Err(_elapsed) => debug!("giving the lease back took too long"),
        }
    }

    /// One look and, if the lease is ours or free, one write. Returns whether it is ours now.
    async fn step(&mut self) -> Result<bool, kube::Error> {
        let work = async {
            let found = self.api.get_opt(&self.name).await?;
            let now = Timestamp::now();
            let written = match self.judge.judge(found, Instant::now(), DURATION) {
                Step::Wait => return Ok(None),
                Step::Create => {
                    let lease = self.judge.first(&self.name, now, DURATION);
                    self.api.create(&PostParams::default(), &lease).await
                }
                Step::Take(found) => {
                    let lease = self.judge.taken(*found, now, DURATION);
                    self.api
                        .replace(&self.name, &PostParams::default(), &lease)
                        .await
                }
                Step::Renew(found) => {
                    let lease = self.judge.renewed(*found, now);
                    self.api
                        .replace(&self.name, &PostParams::default(), &lease)
                        .await
                }
            };
            match written {
                Ok(lease) => Ok(Some(lease)),
                // Somebody was faster; who it is shows at the next look.
                Err(kube::Error::Api(status))
                    if status.is_conflict() || status.is_already_exists() =>
                {
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        };
        let written = tokio::time::timeout(REQUEST, work)
            .await
            .unwrap_or_else(|elapsed| Err(kube::Error::Service(Box::new(elapsed))))?;
        let held = written.is_some();
        if let Some(lease) = written {
            self.judge.saw(&lease, Instant::now());
            self.judge.holds(lease);
        }
        Ok(held)
    }
}

#[cfg(test)]
mod tests;
