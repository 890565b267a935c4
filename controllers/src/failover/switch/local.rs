//! The agent's side: the local Lease is renewed while the term is alive.

use std::collections::BTreeMap;
use std::time::Duration;

use helium_failover::kind::GROUP_LABEL;
use helium_failover::{Boot, GroupName, Timing, Token};
use helium_telemetry::Chain;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{DeleteParams, ObjectMeta, PostParams, Preconditions};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::record::{ALIVE, ROUND, Record, Rounds};
use crate::failover::clock;

/// Longest time for one request to the own cluster.
const REQUEST: Duration = Duration::from_secs(5);

/// Why the local Lease couldn't be written. The watchdogs go on counting.
#[derive(Debug, thiserror::Error)]
pub enum LocalLeaseError {
    /// A later term has it: this one is over.
    #[error("the local lease is of a later term, with token {0}")]
    Superseded(Token),
    /// Somebody else has written it meanwhile; the next renewal looks again.
    #[error("the local lease was written by somebody else meanwhile")]
    Lost,
    /// The own cluster refused or failed.
    #[error("asking the cluster for the local lease")]
    Cluster(#[source] Box<kube::Error>),
    /// The own cluster didn't answer in time.
    #[error("the cluster did not answer within {} s", REQUEST.as_secs())]
    Silent,
}

/// The local Lease of a group's term: `failover-<callsign>` of `coordination.k8s.io`, in the MultiCluster's namespace of the own
/// cluster. Its `holderIdentity` is the term's token. Needs the rights to get, create, update and delete it.
pub struct LocalLease {
    api: Api<Lease>,
    group: GroupName,
    token: Token,
    seconds: i32,
    rounds: Rounds,
    /// The lease as it was written or read last; `None` if that isn't known.
    current: Option<Lease>,
}

impl LocalLease {
    /// The local Lease of a term, before anything is written.
    #[must_use]
    pub fn new(client: Client, group: &GroupName, token: Token, timing: Timing) -> Self {
        Self {
            api: Api::namespaced(client, &group.namespace),
            group: group.clone(),
            token,
            seconds: i32::try_from(timing.lease.as_secs()).unwrap_or(i32::MAX),
            rounds: Rounds::default(),
            current: None,
        }
    }

    /// Says that the term was alive: a renewal (or the claim) that was sent at `sent` by [`clock::now`] has been acknowledged. To be called after
    /// each acknowledgement. It may come late or fail: that makes watchdogs say *no* early, never late (W1).
    ///
    /// # Errors
    /// [`LocalLeaseError`]: nothing may have been written; the next call looks anew.
    pub async fn renew(&mut self, sent: Boot) -> Result<(), LocalLeaseError> {
        let written = tokio::time::timeout(REQUEST, self.write(sent)).await;
        let written = written.unwrap_or(Err(LocalLeaseError::Silent));
        if written.is_err() {
            self.current = None;
        }
        written
    }

    /// Removes the Lease, if it is this term's: all watchdogs say *no* at their next look. To be called when the payload is gone; a Lease
    /// that is left over does no harm.
    ///
    /// # Errors
    /// [`LocalLeaseError`] when it may still be there.
    pub async fn end(&mut self) -> Result<(), LocalLeaseError> {
        let work = async {
            let found = self.found().await?;
            let Some(lease) = found.filter(|lease| self.is_own(lease)) else {
                return Ok(());
            };
            let delete = DeleteParams {
                preconditions: Some(Preconditions {
                    resource_version: lease.metadata.resource_version,
                    uid: lease.metadata.uid,
                }),
                ..DeleteParams::default()
            };
            match self.api.delete(&self.group.lease(), &delete).await {
                Ok(_) => Ok(()),
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                Err(kube::Error::Api(status)) if status.is_conflict() => Err(LocalLeaseError::Lost),
                Err(error) => Err(LocalLeaseError::Cluster(Box::new(error))),
            }
        };
        let ended = tokio::time::timeout(REQUEST, work).await;
        self.current = None;
        ended.unwrap_or(Err(LocalLeaseError::Silent))
    }

    async fn write(&mut self, sent: Boot) -> Result<(), LocalLeaseError> {
        let name = self.group.lease();
        let current = match self.current.take() {
            Some(current) => Some(current),
            None => self.found().await?,
        };
        if let Some(record) = current.as_ref().and_then(Record::read) {
            if record.token > self.token {
                return Err(LocalLeaseError::Superseded(record.token));
            }
            self.rounds.behind(record.round);
        }
        let (round, alive) = self.rounds.next(sent);
        let there = current.is_some();
        let lease = self.lease(current.unwrap_or_default(), round, alive);
        let params = PostParams::default();
        let written = if there {
            self.api.replace(&name, &params, &lease).await
        } else {
            self.api.create(&params, &lease).await
        };
        match written {
            Ok(lease) => {
                // The answer is here, so the round was written before this moment.
                self.rounds.wrote(round, clock::now());
                self.current = Some(lease);
                Ok(())
            }
            Err(kube::Error::Api(status))
                if status.is_conflict()
                    || status.is_already_exists()
                    || status.is_not_found() && there =>
            {
                Err(LocalLeaseError::Lost)
            }
            Err(error) => Err(LocalLeaseError::Cluster(Box::new(error))),
        }
    }

    async fn found(&self) -> Result<Option<Lease>, LocalLeaseError> {
        let found = self.api.get_opt(&self.group.lease()).await;
        found.map_err(|error| LocalLeaseError::Cluster(Box::new(error)))
    }

    fn is_own(&self, lease: &Lease) -> bool {
        Record::read(lease).is_some_and(|record| record.token == self.token)
    }

    fn lease(&self, mut lease: Lease, round: i64, alive: Option<i64>) -> Lease {
        let own = self.is_own(&lease);
        let metadata = ObjectMeta {
            name: Some(self.group.lease()),
            ..std::mem::take(&mut lease.metadata)
        };
        lease.metadata = metadata;
        let labels = lease.metadata.labels.get_or_insert_default();
        labels.insert(GROUP_LABEL.to_owned(), self.group.callsign.clone());
        let annotations: &mut BTreeMap<_, _> = lease.metadata.annotations.get_or_insert_default();
        annotations.insert(ROUND.to_owned(), round.to_string());
        match alive {
            Some(alive) => annotations.insert(ALIVE.to_owned(), alive.to_string()),
            None => annotations.remove(ALIVE),
        };
        let now = MicroTime(Timestamp::now());
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        spec.holder_identity = Some(self.token.to_string());
        spec.lease_duration_seconds = Some(self.seconds);
        spec.renew_time = Some(now.clone());
        if !own {
            spec.acquire_time = Some(now);
        }
        lease
    }
}

/// Renews a local Lease after each acknowledgement (the sending of the renewal that was acknowledged last), until stopped or until the sender is gone. It
/// may be slow without being in anybody's way.
pub async fn keep(
    mut lease: LocalLease,
    mut acknowledged: watch::Receiver<Option<Boot>>,
    stop: &CancellationToken,
) {
    let mut failing = false;
    loop {
        let sent = *acknowledged.borrow_and_update();
        if let Some(sent) = sent {
            let renewed = tokio::select! {
                () = stop.cancelled() => return,
                renewed = lease.renew(sent) => renewed,
            };
            match renewed {
                Ok(()) => failing = false,
                Err(error) if !std::mem::replace(&mut failing, true) => {
                    warn!(group = %lease.group, error = %Chain(&error),
                        "the local lease could not be renewed: the payload's watchdogs will stop it unless this ends");
                }
                Err(error) => {
                    debug!(group = %lease.group, error = %Chain(&error), "the local lease could not be renewed");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = acknowledged.changed() => if changed.is_err() { return },
        }
    }
}
