//! Healing: everything that is recorded runs, nothing is stopped where it is, every link carries.
//!
//! It looks at what is, not at what a drill has done: so it also heals after a drill that was killed, and what a person broke
//! by hand. It does as much as it can, and says what it couldn't.

use std::time::Duration;

use super::fleet::Fleet;
use super::links;
use super::process::{Life, Signal};
use crate::error::{DrillError, Result};
use crate::options::LinkMode;

/// How long a relay that was just started may take to be told.
const RELAY_WITHIN: Duration = Duration::from_secs(10);
/// How long a process must go on running to count as started: one that can't run ends sooner.
const RUNS_FOR: Duration = Duration::from_millis(300);
/// How often a part that ends again is started: an API server ends while what it asks first isn't there yet.
const STARTS: usize = 20;
/// Pause between two starts.
const START_AGAIN: Duration = Duration::from_millis(500);

/// What is broken, for people.
pub(crate) async fn broken(fleet: &Fleet) -> Vec<String> {
    let mut what = Vec::new();
    for part in fleet.parts() {
        match part.life {
            Life::Running => {}
            Life::Stopped => what.push(format!("{} is stopped (SIGSTOP)", part.name)),
            Life::Ended => what.push(format!("{} doesn't run", part.name)),
        }
    }
    for cluster in fleet.linked() {
        match links::list(fleet, &cluster).await {
            Ok(modes) => {
                let cut = modes.iter().filter(|(_, mode)| **mode != LinkMode::Pass);
                what.extend(
                    cut.map(|(link, mode)| format!("link {cluster}/{link}: {}", mode.as_str())),
                );
            }
            Err(error) => what.push(error.to_string()),
        }
    }
    what
}

/// Heals, and says what was done.
///
/// # Errors
/// What is still broken afterwards.
pub(crate) async fn heal(fleet: &Fleet) -> Result<Vec<String>> {
    let mut healed = Vec::new();
    let mut failed = Vec::new();
    for part in fleet.parts() {
        let (done, said) = match part.life {
            Life::Running => continue,
            Life::Stopped => (fleet.signal(&part.name, Signal::Continue), "goes on"),
            Life::Ended => (fleet.start(&part.name), "was started"),
        };
        match done {
            Ok(()) => healed.push(format!("{} {said}", part.name)),
            Err(error) => failed.push(helium_telemetry::Chain(&error).to_string()),
        }
    }
    for cluster in fleet.linked() {
        match links::open_all(fleet, &cluster, RELAY_WITHIN).await {
            Ok(opened) => {
                healed.extend(
                    opened
                        .into_iter()
                        .map(|link| format!("link {link} carries")),
                );
            }
            Err(error) => failed.push(helium_telemetry::Chain(&error).to_string()),
        }
    }
    if !healed.is_empty() {
        tokio::time::sleep(RUNS_FOR).await;
        start_again(fleet).await;
    }
    failed.extend(broken(fleet).await);
    failed.sort();
    failed.dedup();
    if failed.is_empty() {
        Ok(healed)
    } else {
        Err(DrillError::NotHealed { what: failed }.into())
    }
}

/// Starts what has ended again, until all of it runs on or it was tried often enough.
async fn start_again(fleet: &Fleet) {
    for _ in 1..STARTS {
        let mut ended = fleet.parts();
        ended.retain(|part| part.life == Life::Ended);
        if ended.is_empty() {
            return;
        }
        tokio::time::sleep(START_AGAIN).await;
        for part in ended {
            // What still doesn't run is told at the end.
            if let Err(error) = fleet.start(&part.name) {
                tracing::debug!(part = part.name, %error, "a part can't be started");
            }
        }
        tokio::time::sleep(RUNS_FOR).await;
    }
}
