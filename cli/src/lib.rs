//! The `helium` command.
//!
//! `helium up` runs a whole fleet in one process: one kine-shim on SQLite (or any endpoint), and
//! one API server for each named cluster, with certificates and kubeconfigs. `helium leases` shows who
//! leads what in any fleet.
//!
//! Rules: standard output is data or what to type next, standard error is talk. Every error has a
//! code with a page in `docs/errors/`, and says what is wrong and what to do. Exit codes: 0 done,
//! 1 failed, 2 wrong usage.

mod error;
mod leases;
mod options;
mod up;

use std::process::ExitCode;

use helium_telemetry::{Chain, logging};

pub use error::{Error, Result};
pub use options::{Cluster, Clusters, Command, LeasesOptions, Options, OutputFormat, UpOptions};
pub use up::{ClusterReport, Fleet, Report, start};

/// Reads the arguments, runs the command, and prints an error if there is one.
pub fn main() -> ExitCode {
    let options = Options::read();
    helium_tls::install_provider();
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", Chain(&error));
            eprintln!("{}", error.remedy());
            eprintln!("(code {}: docs/errors/{}.md)", error.code(), error.code());
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<()> {
    let Options {
        log_filter,
        log_format,
        command,
    } = options;
    logging::start(log_format, &log_filter)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    match command {
        Command::Up(options) => runtime.block_on(up::run(options)),
        Command::Leases(options) => runtime.block_on(leases::run(options)),
    }
}
