//! The program: flags, log, server, signals.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use helium_telemetry::{Chain, logging};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::options::Options;
use crate::server::Server;

/// Runs `helium-apiserver` until it is told to stop. Exit code 0 after a clean stop, 1 on an
/// error, 2 on bad flags.
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

async fn start(options: Options) -> Result<crate::server::Running, Box<dyn Error>> {
    Ok(Server::start(options.into_config()?).await?)
}
