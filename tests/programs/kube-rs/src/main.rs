//! One candidate of a leader election, written with kube-rs as it is.
//!
//! The only thing in it that a fleet needs is its kubeconfig, whose server URL has the path of the control plane's proxy.
//! [`election`] is the elector as users of kube-rs write it, [`work`] is what its leader does, and [`trace`] is its output, the
//! same as that of the other programs beside it.

mod election;
mod trace;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::election::{Candidate, Durations};
use crate::work::Work;

/// A candidate of a leader election on a Lease.
#[derive(Debug, Parser)]
struct Options {
    /// The server that has the Lease.
    #[arg(long, env = "KUBECONFIG")]
    kubeconfig: PathBuf,
    /// Namespace of the Lease.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// Name of the Lease.
    #[arg(long)]
    name: String,
    /// This candidate's name.
    #[arg(long)]
    identity: String,
    /// Seconds that others wait after the last renewal that they saw.
    #[arg(long, default_value_t = 6)]
    lease_duration: u16,
    /// Seconds for which a leader tries to renew before it stops.
    #[arg(long, default_value_t = 4)]
    renew_deadline: u16,
    /// Seconds between tries.
    #[arg(long, default_value_t = 1)]
    retry_period: u16,
    /// A Festival that the leader writes to.
    #[arg(long)]
    object: String,
    /// Milliseconds between the leader's writes.
    #[arg(long, default_value_t = 250)]
    work: u64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kube-rs: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let kubeconfig = Kubeconfig::read_from(&options.kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    // By itself the client asks again when a gateway says 503. The last of several answers doesn't say what became of the first
    // request, and the work is to be told what became of each.
    let mut once = config.clone();
    once.default_retry = false;
    let client = Client::try_from(config)?;
    let work = Work {
        client: Client::try_from(once)?,
        identity: options.identity.clone(),
        lease: format!("{}/{}", options.namespace, options.name),
        object: options.object,
        pause: Duration::from_millis(options.work),
    };
    let seconds = |n: u16| Duration::from_secs(n.into());
    let durations = Durations {
        lease: seconds(options.lease_duration),
        renew: seconds(options.renew_deadline),
        retry: seconds(options.retry_period),
    };
    let candidate = Candidate::new(
        client,
        &options.namespace,
        options.name,
        options.identity,
        durations,
    )?;
    candidate.run(work).await
}
