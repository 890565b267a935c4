//! The program: flags, log, clients, election, controllers, signals.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use helium_telemetry::{Chain, logging, metrics};
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::agent::{Agent, Settings};
use crate::ca::{CaError, CaFile};
use crate::election::Election;
use crate::endpoint::DEFAULT_NAMESPACE;
use crate::failover::payload::Watchdog;
use crate::failover::switch::watchdog;
use crate::metrics::Metrics;
use crate::options::{
    ElectionFlags, FailoverFlags, MembershipFlags, Observability, Options, RegistrarFlags, Task,
};
use crate::probe::{Probe, Readiness};
use crate::{ClusterName, failover, membership, registrar, uninstall};

/// Runs `helium-agent` until it is told to stop. Exit code 0 after a clean stop, 1 on an error, 2 on bad flags.
#[must_use]
pub fn main() -> ExitCode {
    helium_tls::install_provider();
    let done = match Task::parse(std::env::args_os()) {
        Ok(Task::Run(options)) => run(*options),
        Ok(Task::Uninstall(flags)) => remove(flags),
        Ok(Task::Watchdog(flags)) => watchdog::main(flags).map_err(Into::into),
        // Prints it and ends: with 0 if help was asked for, with 2 else.
        Err(error) => error.exit(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", Chain(&*error));
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn remove(flags: uninstall::Uninstall) -> Result<(), Box<dyn Error>> {
    Ok(Box::pin(uninstall::run(flags)).await?)
}

async fn open(path: Option<PathBuf>) -> Result<Option<CaFile>, CaError> {
    match path {
        Some(path) => CaFile::open(path).await.map(Some),
        None => Ok(None),
    }
}

#[tokio::main]
async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let own = options.own();
    let Options {
        cluster_name,
        kubeconfig: _,
        control_plane,
        registrar: RegistrarFlags { service, ca_file },
        service: service_flags,
        membership:
            MembershipFlags {
                certificate_authority_file,
                member_labels,
                advertise_kubernetes_url,
                advertise_direct_url,
            },
        election,
        failover,
        observability:
            Observability {
                probe_address,
                log_format,
                log,
            },
    } = options;
    logging::start(log_format, &log)?;
    // Installed first: a signal during start must not kill the process without a trace.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let (own, namespace) = own.client().await?;
    let fleet = control_plane
        .endpoint()
        .ok_or("no control plane is named")?;
    // Bad credentials are an error now, and a warning once it runs.
    fleet.client().await?;
    let ca = open(ca_file).await?;
    let authorities = open(certificate_authority_file).await?;
    let mut registry = Registry::default();
    metrics::register_process(&mut registry);
    let counters = Metrics::default();
    counters.register(&mut registry);
    let ready = Readiness::default();
    let probe = Probe::bind(probe_address, ready.clone(), registry).await?;
    info!(cluster = %cluster_name, probes = %probe_address, "started");

    let settings = Settings {
        failover: failing_over(failover, &cluster_name, &election, namespace.as_deref()),
        membership: membership::Settings {
            cluster: cluster_name.clone(),
            labels: member_labels.into_iter().collect(),
            kubernetes_url: advertise_kubernetes_url,
            direct_url: advertise_direct_url,
        },
        registrar: registrar::Settings {
            cluster: cluster_name,
            service,
        },
        ca,
        authorities,
        backend: service_flags.backend(),
    };
    let stop = CancellationToken::new();
    let agent = Agent::new(settings, own.clone(), fleet, counters.clone(), &stop);
    let election = candidate(election, own, namespace);
    let signalled = async {
        tokio::select! {
            _ = terminate.recv() => info!("asked to stop"),
            _ = interrupt.recv() => info!("interrupted"),
        }
        stop.cancel();
    };
    tokio::join!(
        signalled,
        probe.run(stop.clone()),
        work(election, agent, ready, counters, &stop),
    );
    info!("stopped");
    Ok(())
}

/// What the failover controller is told, if it is to work.
fn failing_over(
    flags: FailoverFlags,
    cluster: &ClusterName,
    election: &ElectionFlags,
    namespace: Option<&str>,
) -> Option<failover::Settings> {
    let FailoverFlags {
        failover,
        failover_namespace,
        failover_service_account,
        failover_on_shutdown,
        failover_watchdog_image,
        failover_watchdog_port,
        state_dir,
    } = flags;
    let namespace = failover_namespace
        .or_else(|| election.leader_elect_namespace.clone())
        .or_else(|| namespace.map(str::to_owned))
        .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    failover.then(|| failover::Settings {
        cluster: cluster.clone(),
        namespace,
        state_dir,
        service_account: failover_service_account,
        on_shutdown: failover_on_shutdown,
        watchdog: failover_watchdog_image.map(|image| Watchdog {
            image,
            port: failover_watchdog_port,
        }),
    })
}

fn candidate(
    flags: ElectionFlags,
    client: kube::Client,
    namespace: Option<String>,
) -> Option<Election> {
    let ElectionFlags {
        leader_elect,
        leader_elect_namespace,
        leader_elect_name,
    } = flags;
    leader_elect.then(|| {
        let namespace = leader_elect_namespace
            .or(namespace)
            .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
        // The pod's name is for people; the random part tells two lives of one pod apart.
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "helium-agent".to_owned());
        let identity = format!("{host}_{}", uuid::Uuid::new_v4());
        Election::new(client, &namespace, &leader_elect_name, identity)
    })
}

/// Runs the controllers: always, or while the lease is held.
async fn work(
    election: Option<Election>,
    mut agent: Agent,
    ready: Readiness,
    counters: Metrics,
    stop: &CancellationToken,
) {
    let Some(mut election) = election else {
        counters.leader.set(1);
        return Box::pin(agent.run(stop, &ready)).await;
    };
    while election.acquire(stop, &ready).await {
        counters.leader.set(1);
        let term = stop.child_token();
        let holding = async {
            election.hold(&term).await;
            term.cancel();
        };
        tokio::join!(holding, Box::pin(agent.run(&term, &ready)));
        counters.leader.set(0);
        if stop.is_cancelled() {
            election.release().await;
            return;
        }
    }
}
