//! The program: flags, log, clients, election, controllers, signals.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use helium_telemetry::{Chain, logging, metrics};
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::election::Election;
use crate::endpoint::DEFAULT_NAMESPACE;
use crate::metrics::Metrics;
use crate::options::{ElectionFlags, Observability, Options, RegistrarFlags};
use crate::probe::{Probe, Readiness};
use crate::registrar::{CaFile, Registrar, Settings};

/// Runs `helium-agent` until it is told to stop. Exit code 0 after a clean stop, 1 on an error, 2 on bad flags.
#[must_use]
pub fn main() -> ExitCode {
    helium_tls::install_provider();
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", Chain(&*error));
            ExitCode::FAILURE
        }
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
        election,
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
    let ca = match ca_file {
        Some(path) => Some(CaFile::open(path).await?),
        None => None,
    };
    let mut registry = Registry::default();
    metrics::register_process(&mut registry);
    let counters = Metrics::default();
    counters.register(&mut registry);
    let ready = Readiness::default();
    let probe = Probe::bind(probe_address, ready.clone(), registry).await?;
    info!(cluster = %cluster_name, probes = %probe_address, "started");

    let settings = Settings {
        cluster: cluster_name,
        service,
    };
    let registrar = Registrar::new(settings, own.clone(), fleet, ca, counters.clone());
    let election = candidate(election, own, namespace);
    let stop = CancellationToken::new();
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
        work(election, registrar, ready, counters, &stop),
    );
    info!("stopped");
    Ok(())
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
    mut registrar: Registrar,
    ready: Readiness,
    counters: Metrics,
    stop: &CancellationToken,
) {
    let Some(mut election) = election else {
        counters.leader.set(1);
        return Box::pin(registrar.run(stop, &ready)).await;
    };
    while election.acquire(stop, &ready).await {
        counters.leader.set(1);
        let term = stop.child_token();
        let holding = async {
            election.hold(&term).await;
            term.cancel();
        };
        tokio::join!(holding, Box::pin(registrar.run(&term, &ready)));
        counters.leader.set(0);
        if stop.is_cancelled() {
            election.release().await;
            return;
        }
    }
}
