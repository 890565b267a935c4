//! Waiting for a cluster to lead, with what goes on meanwhile.

use std::time::Duration;

use helium_failover::ClusterName;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::api::{Asked, Group};
use super::view::{leads, member};
use crate::error::{Error, Result};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How waiting ended.
pub(super) enum Ended {
    /// It leads: after so long, and this is the group.
    Leads(Duration, Box<Group>),
    /// It doesn't yet.
    TooLong(Box<Group>),
    /// A person has had enough.
    Interrupted,
}

/// Waits until a cluster leads the group with its payload applied, for `bound` at most. Answers that fail are asked for again.
///
/// # Errors
/// The last failure, where the bound is over and nothing was seen.
pub(super) async fn until_leads(
    asked: &Asked,
    cluster: &ClusterName,
    bound: Duration,
) -> Result<Ended> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
    let bar = ProgressBar::new_spinner();
    // The template is a constant that is known to be good; without it the default spinner shows.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{elapsed}]") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    let began = Instant::now();
    let ended = loop {
        let seen = asked.group().await;
        match seen {
            Ok(group) if leads(&group, cluster) => {
                break Ok(Ended::Leads(began.elapsed(), Box::new(group)));
            }
            Ok(group) if began.elapsed() >= bound => break Ok(Ended::TooLong(Box::new(group))),
            Ok(group) => bar.set_message(standing(&group, cluster)),
            Err(error) if began.elapsed() >= bound => break Err(error),
            Err(error) => bar.set_message(error.to_string()),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = terminate.recv() => break Ok(Ended::Interrupted),
            _ = interrupt.recv() => break Ok(Ended::Interrupted),
        }
    };
    bar.finish_and_clear();
    ended
}

/// Where the leader and the one that is waited for stand, in one line.
pub(super) fn standing(group: &Group, cluster: &ClusterName) -> String {
    let state = |cluster: &ClusterName| {
        member(group, cluster).map_or_else(
            || format!("{cluster} is no member"),
            |one| {
                let words = [one.reason.as_str(), one.message.as_str()];
                let why: Vec<&str> = words.into_iter().filter(|why| !why.is_empty()).collect();
                if why.is_empty() {
                    format!("{cluster} is {}", one.state)
                } else {
                    format!("{cluster} is {} ({})", one.state, why.join(": "))
                }
            },
        )
    };
    match &group.status.leader {
        Some(leader) if leader != cluster => format!("{}, {}", state(leader), state(cluster)),
        Some(_) => state(cluster),
        None => format!("nobody leads, {}", state(cluster)),
    }
}
