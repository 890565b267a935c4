//! The program: flags, log, server, signals.

use std::error::Error;
use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser;
use helium_telemetry::{Chain, logging};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::options::Options;
use crate::registry;
use crate::server::{Server, StartError};

/// Runs `helium-apiserver` until it is told to stop. Exit code 0 after a clean stop, 1 on an
/// error, 2 on bad flags.
#[must_use]
pub fn main() -> ExitCode {
    helium_tls::install_provider();
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", Chain(&*error));
            if let Some(remedy) = error.downcast_ref::<StartError>().map(remedy) {
                eprintln!("{remedy}");
            }
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let log = options.log_settings();
    logging::start(log.format, log.filter)?;
    for flag in options.ignored() {
        warn!("--{flag} has no effect here");
    }
    // Installed first: a signal during start must not kill the process without a trace.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = tokio::select! {
        running = start(options) => running?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    tokio::select! {
        _ = terminate.recv() => info!("asked to stop"),
        _ = interrupt.recv() => info!("interrupted"),
    }
    running.stop().await;
    info!("stopped");
    Ok(())
}

/// One sentence that says what to do.
fn remedy(error: &StartError) -> &'static str {
    match error {
        StartError::Tls(_) => "Check --tls-cert-file and --tls-private-key-file.",
        StartError::Listen { source, .. } => match source.kind() {
            ErrorKind::AddrInUse => {
                "Stop what listens there, or choose another port with --secure-port."
            }
            ErrorKind::PermissionDenied => {
                "Choose a port that this user may listen on with --secure-port."
            }
            _ => "Choose an address of this machine with --bind-address.",
        },
        StartError::Authentication(_) => {
            "Check --client-ca-file, --requestheader-client-ca-file, --kubeconfig and \
             --authentication-kubeconfig."
        }
        StartError::Authorization(_) => "Check --kubeconfig and --authorization-kubeconfig.",
        StartError::Registry(registry::StartError::Identity(_)) => {
            "Give --etcd-certfile and --etcd-keyfile of this very cluster, or --cluster-name the name in that certificate."
        }
        StartError::Registry(_) => {
            "Check --etcd-servers, --etcd-cafile, --etcd-certfile and --etcd-keyfile."
        }
    }
}

async fn start(options: Options) -> Result<crate::server::Running, Box<dyn Error>> {
    Ok(Server::start(options.into_config()?).await?)
}
