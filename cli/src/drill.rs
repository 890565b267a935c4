//! `helium drill`: breaks parts of a fleet of processes on purpose, and sees whether failover keeps its promises.
//!
//! The fleet is what `setup.sh --processes --drill` has started: real kube-apiservers, and a relay on every link that can be cut. A
//! drill is a seed's choice of rounds ([`plan`]); in each something is broken ([`fault`]), left so for a while, and healed ([`heal`]), while
//! every cluster is observed ([`eyes`]) and its payload writes ([`writer`]). What was seen is a value ([`history`]), and the judgement
//! ([`judge`]), the report ([`report`]) and the picture ([`timeline`]) are functions of it: a history can be judged again elsewhere. Rules:
//!
//! 1. Nobody is signalled who isn't the process that setup.sh recorded, by number and birth ([`process`]).
//! 2. However a drill ends, everything is healed: at its end, on Ctrl-C, after an error. After a drill that was killed itself,
//!    `helium drill heal` does it, from what is, without knowing what was done.
//! 3. Only what was certainly seen is held against anybody. What an observer can't tell apart isn't judged.
//! 4. A promise that wasn't put to the test is reported as not shown, never as kept.
//!
//! It will not break what it can't heal (files, databases' content), and judges nothing that it hasn't broken: it begins with a group
//! that is well.

mod agreement;
mod clock;
mod eyes;
mod fault;
mod fleet;
mod heal;
mod history;
mod judge;
mod links;
mod own;
mod plan;
mod process;
mod relay;
mod report;
mod run;
mod site;
mod timeline;
mod writer;

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::error::{DrillError, Error, Result};
use crate::options::{
    DrillCommand, DrillCutOptions, DrillFleet, DrillJudgeOptions, DrillPart, DrillPartsOptions,
    OutputFormat,
};
use crate::table;
use fleet::Fleet;
use history::History;
use process::{Life, Signal};

/// Carries out one of the commands.
pub(crate) async fn run(command: DrillCommand) -> Result<ExitCode> {
    let done = |done: Result<()>| done.map(|()| ExitCode::SUCCESS);
    match command {
        DrillCommand::Run(options) => run::run(options).await,
        DrillCommand::Judge(options) => judge_again(&options),
        DrillCommand::Heal(options) => done(heal_all(&options).await),
        DrillCommand::Parts(options) => done(parts(&options).await),
        DrillCommand::Kill(DrillPart { fleet, part }) => {
            let fleet = Fleet::open(&fleet.fleet)?.take()?;
            done(fleet.kill(&part).await)
        }
        DrillCommand::Pause(DrillPart { fleet, part }) => {
            let fleet = Fleet::open(&fleet.fleet)?.take()?;
            done(fleet.signal(&part, Signal::Stop))
        }
        DrillCommand::Cut(DrillCutOptions { fleet, link, mode }) => {
            let fleet = Fleet::open(&fleet.fleet)?.take()?;
            done(links::set(&fleet, &link, mode).await)
        }
        DrillCommand::Relay(options) => done(relay::run(options).await),
    }
}

async fn heal_all(options: &DrillFleet) -> Result<()> {
    let fleet = Fleet::open(&options.fleet)?.take()?;
    let mut healed = heal::heal(&fleet).await?;
    healed.extend(run::clean(&fleet).await?);
    if healed.is_empty() {
        eprintln!("nothing was broken");
    }
    for line in healed {
        eprintln!("{line}");
    }
    Ok(())
}

async fn parts(options: &DrillPartsOptions) -> Result<()> {
    let DrillPartsOptions { fleet, output } = options;
    let fleet = Fleet::open(&fleet.fleet)?;
    let mut links = Vec::new();
    for cluster in fleet.linked() {
        match links::list(&fleet, &cluster).await {
            Ok(modes) => links.extend(
                modes
                    .into_iter()
                    .map(|(link, mode)| (format!("{cluster}/{link}"), mode.as_str())),
            ),
            Err(_ended) => links.push((format!("{cluster}/*"), "unknown")),
        }
    }
    let state = |life| match life {
        Life::Running => "runs",
        Life::Stopped => "stopped",
        Life::Ended => "ended",
    };
    let rows = fleet.parts();
    let text = match output {
        OutputFormat::Json => {
            let parts: Vec<_> = rows
                .iter()
                .map(|part| {
                    json!({
                        "name": part.name, "state": state(part.life),
                        "pid": part.process.as_ref().map(|process| process.pid),
                    })
                })
                .collect();
            let links: Vec<_> = links
                .iter()
                .map(|(link, mode)| json!({"name": link, "mode": mode}))
                .collect();
            format!("{}\n", json!({"parts": parts, "links": links}))
        }
        OutputFormat::Text => {
            let cells = rows.iter().map(|part| {
                let pid = part.process.as_ref().map(|process| process.pid.to_string());
                [
                    part.name.clone(),
                    pid.unwrap_or_default(),
                    state(part.life).to_owned(),
                ]
            });
            let mut text = table::render(["PART", "PROCESS", "STATE"], cells);
            if !links.is_empty() {
                let cells = links
                    .iter()
                    .map(|(link, mode)| [link.clone(), (*mode).to_owned()]);
                text.push('\n');
                text.push_str(&table::render(["LINK", "CARRIES"], cells));
            }
            text
        }
    };
    table::print(&text);
    Ok(())
}

fn judge_again(options: &DrillJudgeOptions) -> Result<ExitCode> {
    let DrillJudgeOptions {
        history,
        output,
        svg,
    } = options;
    let unusable = |reason: String| DrillError::NoHistory {
        path: history.clone(),
        reason,
    };
    let text = std::fs::read(history).map_err(|source| DrillError::File {
        doing: "reading",
        path: history.clone(),
        source,
    })?;
    let read: History =
        serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
    if read.version != history::VERSION {
        return Err(unusable(format!("it has version {}", read.version)).into());
    }
    finish(&read, *output, svg.as_deref(), None)
}

/// Judges, prints, and keeps what was asked for.
fn finish(
    history: &History,
    output: OutputFormat,
    svg: Option<&Path>,
    kept: Option<&Path>,
) -> Result<ExitCode> {
    let (judgement, text) = report::of(history, output);
    if let Some(path) = kept {
        // Texts and numbers only: it can't fail to serialise.
        let text = serde_json::to_string_pretty(history).unwrap_or_default();
        write(path, &text)?;
    }
    if let Some(path) = svg {
        write(path, &timeline::draw(history, &judgement))?;
    }
    table::print(&text);
    Ok(if judgement.holds() && !history.interrupted {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|source| {
        Error::from(DrillError::File {
            doing: "writing",
            path: path.to_owned(),
            source,
        })
    })
}

/// Returns when the process is asked to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    // Without handlers it ends as any process does.
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _asked = interrupt.recv() => {}
        _asked = terminate.recv() => {}
    }
}
