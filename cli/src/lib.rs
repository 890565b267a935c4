//! The `helium` command.
//!
//! `helium up` runs a whole fleet in one process: one kine-shim on SQLite (or any endpoint), and
//! one API server for each named cluster, with certificates and kubeconfigs. `helium leases` shows who
//! leads what in any fleet. `init`, `token`, `join`, `members`, `leave` and `revoke` say which clusters
//! belong to one. `helium doctor` names what is wrong in a cluster. `helium failover` shows which payload runs where, and moves it. `helium drill`
//! breaks parts of a fleet on purpose and judges.
//!
//! Rules: standard output is data or what to type next, standard error is talk. Every error has a
//! code with a page in `docs/errors/`, and says what is wrong and what to do. Exit codes: 0 done,
//! 1 failed, 2 wrong usage.

mod connection;
mod doctor;
mod drill;
mod error;
mod failover;
mod files;
mod fleet;
mod leases;
mod options;
mod table;
mod up;
mod wire;

use std::process::ExitCode;

use helium_telemetry::{Chain, logging};

pub use connection::{Access, Clock, Refusal};
pub use error::{DrillError, Error, JoinRefusal, Result};
pub use options::{
    Cluster, Clusters, Command, DoctorOptions, DrillCommand, DrillCutOptions, DrillFleet,
    DrillJudgeOptions, DrillMode, DrillPart, DrillPartsOptions, DrillRelayOptions, DrillRunOptions,
    FailoverCommand, FailoverGroupOptions, FailoverHistoryOptions, FailoverStatusOptions,
    GroupArgument, HandoverOptions, InitOptions, JoinOptions, LeasesOptions, LeaveOptions,
    LinkMode, LinkName, LinkOption, MembersOptions, Names, Options, OutputFormat, RevokeOptions,
    Scenario, ServiceAccountUser, TakeOptions, Token, TokenCommand, TokenCreateOptions,
    TokenDeleteOptions, TokenListOptions, UpOptions,
};
pub use up::{ClusterReport, Fleet, Report, start};

/// Reads the arguments, runs the command, and prints an error if there is one.
pub fn main() -> ExitCode {
    let options = Options::read();
    helium_tls::install_provider();
    match run(options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", Chain(&error));
            eprintln!("{}", error.remedy());
            eprintln!("(code {}: docs/errors/{}.md)", error.code(), error.code());
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<ExitCode> {
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
    let done = |done: Result<()>| done.map(|()| ExitCode::SUCCESS);
    match command {
        Command::Up(options) => done(runtime.block_on(up::run(options))),
        Command::Leases(options) => done(runtime.block_on(leases::run(options))),
        Command::Init(options) => done(runtime.block_on(fleet::init(options))),
        Command::Token(command) => done(runtime.block_on(fleet::token(command))),
        Command::Join(options) => done(runtime.block_on(fleet::join(options))),
        Command::Members(options) => done(runtime.block_on(fleet::members(options))),
        Command::Leave(options) => done(runtime.block_on(fleet::leave(options))),
        Command::Revoke(options) => done(runtime.block_on(fleet::revoke(options))),
        Command::Doctor(options) => runtime.block_on(doctor::run(options)),
        Command::Failover(command) => done(runtime.block_on(failover::run(command))),
        Command::Drill(command) => runtime.block_on(drill::run(command)),
    }
}
