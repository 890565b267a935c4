//! The controllers of one agent, wired together.

use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::ca::CaFile;
use crate::endpoint::Endpoint;
use crate::failover::{self, Failover};
use crate::membership::{self, Membership};
use crate::metrics::Metrics;
use crate::probe::Readiness;
use crate::registrar::{self, Registrar};
use crate::service::{Backend, Keeper};

/// What an agent is told.
pub(crate) struct Settings {
    /// Of the registrar.
    pub(crate) registrar: registrar::Settings,
    /// Authorities of the helium-apiserver's certificate.
    pub(crate) ca: Option<CaFile>,
    /// Of the membership controller.
    pub(crate) membership: membership::Settings,
    /// Authorities of the cluster's own certificates.
    pub(crate) authorities: Option<CaFile>,
    /// What the Service leads to, if the agent keeps it.
    pub(crate) backend: Option<Backend>,
    /// Of the failover controller, if there is one.
    pub(crate) failover: Option<failover::Settings>,
}

/// All controllers of a cluster. They tell each other what they know by watched values.
pub(crate) struct Agent {
    fleet: Endpoint,
    registrar: Registrar,
    membership: Membership,
    keeper: Option<Keeper>,
    failover: Option<Failover>,
}

impl Agent {
    /// An agent for the cluster behind `own` in the fleet behind `fleet`. `ending` is cancelled when the process shall end.
    pub(crate) fn new(
        settings: Settings,
        own: Client,
        fleet: Endpoint,
        metrics: Metrics,
        ending: &CancellationToken,
    ) -> Self {
        let Settings {
            registrar,
            ca,
            membership,
            authorities,
            backend,
            failover,
        } = settings;
        let address = registrar.service.clone();
        let keeper =
            backend.map(|backend| Keeper::new(own.clone(), address, &backend, metrics.clone()));
        let mut registrar = Registrar::new(registrar, own.clone(), ca, metrics.clone());
        let measures = metrics.failover.clone();
        let membership = Membership::new(
            membership,
            own.clone(),
            authorities,
            registrar.summary(),
            metrics,
        );
        registrar.heed(membership.standing());
        let failover = failover.map(|settings| {
            let (fleet, alive) = (fleet.clone(), membership.alive());
            Failover::new(settings, own, fleet, alive, measures, ending.clone())
        });
        Self {
            fleet,
            registrar,
            membership,
            keeper,
            failover,
        }
    }

    /// Works until stopped. May be run again after that.
    pub(crate) async fn run(&mut self, stop: &CancellationToken, ready: &Readiness) {
        let Self {
            fleet,
            registrar,
            membership,
            keeper,
            failover,
        } = self;
        let keeping = async {
            if let Some(keeper) = keeper {
                Box::pin(keeper.run(stop)).await;
            }
        };
        let sessions = fleet.sessions(stop, async |client, stop| {
            tokio::join!(
                Box::pin(registrar.run(client.clone(), &stop, ready)),
                Box::pin(membership.run(client, &stop)),
            );
        });
        // Not within a session: what a member knows outlives new credentials.
        let failing_over = async {
            if let Some(failover) = failover {
                Box::pin(failover.run(stop)).await;
            }
        };
        tokio::join!(keeping, sessions, failing_over);
    }
}
