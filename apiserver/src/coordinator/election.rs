//! The choice itself: from what is seen to what is to be written. No clock, no input, no output.

use std::cmp::{Ordering, Reverse};
use std::time::Duration;

use helium_apimachinery::lease_candidate::{OLDEST_EMULATION_VERSION, PRIORITY};
use helium_apimachinery::meta::Object;
use jiff::Timestamp;
use semver::Version;
use serde_json::Value;
use tokio::time::Instant;

use crate::origin::origin;

/// How long a candidate that was asked may take to show that it is there, and how long that then counts.
pub const ANSWER: Duration = Duration::from_secs(5);
/// Candidates that haven't shown up for so long are removed. Those of client-go renew every five minutes unasked.
pub const FORGOTTEN: Duration = Duration::from_secs(30 * 60);

/// What is known of a candidate's being there, by the observer's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// When it was last seen to renew; `None` if it hasn't renewed since it was first looked at.
    pub shown: Option<Instant>,
    /// Since when it has been asked and hasn't answered.
    pub asked: Option<Instant>,
    /// When it was first looked at.
    pub first: Instant,
}

/// Somebody who stands for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name: what is written into the lease.
    pub name: String,
    /// Its cluster.
    pub cluster: String,
    /// The revision of its object.
    pub version: i64,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// How it wants the holder to be picked.
    pub strategy: String,
    /// Version of its program, if it has a valid one.
    pub binary: Option<Version>,
    /// Version that its program behaves like, likewise.
    pub emulation: Option<Version>,
    /// Its priority; 0 for none.
    pub priority: i32,
    /// Its last renewal, by its own clock.
    pub renewed: Option<Timestamp>,
    /// Whether it is there.
    pub presence: Presence,
}

/// A lease as it is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it; empty for nobody.
    pub holder: String,
    /// The cluster that the holder's last write came through.
    pub cluster: String,
    /// Who shall hold it next; empty for nobody.
    pub preferred: String,
    /// How its holder was picked; empty if it took the lease itself.
    pub strategy: String,
    /// How long a record counts.
    pub duration: Duration,
    /// How often it changed hands.
    pub transitions: i64,
    /// The revision of the record.
    pub version: i64,
    /// Since when this record has been seen.
    pub since: Instant,
}

impl Lease {
    /// What a stored lease says, which has been seen as it is since `since`.
    #[must_use]
    pub fn of(object: &Object, version: i64, since: Instant) -> Self {
        let text = |field: &str| {
            let value = object.get_path(&["spec", field]).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let number = |field: &str| {
            let value = object.get_path(&["spec", field]).and_then(Value::as_i64);
            value.unwrap_or_default()
        };
        let seconds = u64::try_from(number("leaseDurationSeconds")).unwrap_or_default();
        Self {
            holder: text("holderIdentity"),
            cluster: origin(object).to_owned(),
            preferred: text("preferredHolder"),
            strategy: text("strategy"),
            duration: Duration::from_secs(seconds),
            transitions: number("leaseTransitions"),
            version,
            since,
        }
    }

    fn ends(&self) -> Instant {
        // Longer than anybody waits.
        let forever = Duration::from_secs(u64::from(u32::MAX));
        self.since + self.duration.min(forever)
    }
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask a candidate whether it is there.
    Ping {
        /// Whom.
        candidate: String,
        /// Its cluster.
        cluster: String,
        /// The revision of its object.
        version: i64,
        /// Its last renewal: the question must be later.
        renewed: Option<Timestamp>,
    },
    /// Make somebody the holder.
    Grant {
        /// Whom.
        to: String,
        /// Its cluster.
        cluster: String,
        /// By which strategy.
        strategy: String,
        /// Revision and transitions of the record that this replaces; `None` if there is no lease.
        over: Option<(i64, i64)>,
    },
    /// Tell the holder that somebody else shall hold the lease.
    Prefer {
        /// Whom.
        whom: String,
        /// The holder's cluster, which stays the lease's.
        holder_cluster: String,
        /// By which strategy.
        strategy: String,
        /// The revision of the lease.
        version: i64,
    },
    /// Remove a candidate that is long gone.
    Forget {
        /// Whom.
        candidate: String,
        /// Its cluster.
        cluster: String,
        /// The revision of its object.
        version: i64,
    },
}

/// What a look at a lease comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// What is to be written.
    pub actions: Vec<Action>,
    /// When to look again, though nothing has changed.
    pub wake: Option<Instant>,
    /// Why nobody can be picked, for people.
    pub problem: Option<String>,
}

impl Decision {
    fn wake_at(&mut self, at: Instant) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}

/// What a candidate is good for right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has just shown that it is there.
    There,
    /// It was asked; until then it may answer.
    Asked(Instant),
    /// It was asked and didn't answer.
    Silent,
    /// It has to be asked.
    Unknown,
}

impl Candidate {
    fn state(&self, now: Instant) -> State {
        if let Some(asked) = self.presence.asked {
            let until = asked + ANSWER;
            return if now < until {
                State::Asked(until)
            } else {
                State::Silent
            };
        }
        match self.presence.shown {
            Some(shown) if now < shown + ANSWER => State::There,
            _ => State::Unknown,
        }
    }

    /// When it counts as gone.
    fn forgotten_at(&self) -> Instant {
        self.presence.shown.unwrap_or(self.presence.first) + FORGOTTEN
    }

    fn ping(&self) -> Action {
        Action::Ping {
            candidate: self.name.clone(),
            cluster: self.cluster.clone(),
            version: self.version,
            renewed: self.renewed,
        }
    }
}

/// The order in which a strategy picks: the first is the best.
fn order(strategy: &str, a: &Candidate, b: &Candidate) -> Ordering {
    let by_rank = if strategy == PRIORITY {
        Reverse(a.priority).cmp(&Reverse(b.priority))
    } else {
        let precedence = |a: &Option<Version>, b: &Option<Version>| match (a, b) {
            (Some(a), Some(b)) => a.cmp_precedence(b),
            _ => Ordering::Equal,
        };
        precedence(&a.emulation, &b.emulation).then_with(|| precedence(&a.binary, &b.binary))
    };
    by_rank
        .then_with(|| a.created.cmp(&b.created))
        .then_with(|| a.name.cmp(&b.name))
}

/// The strategy of an election: that of the candidates with the newest program, who must agree. Those that have
/// fallen silent have no say.
fn strategy<'c>(candidates: &[&'c Candidate], now: Instant) -> Result<Option<&'c str>, String> {
    let heard = || {
        candidates
            .iter()
            .filter(|one| one.state(now) != State::Silent)
    };
    let newest = heard().max_by(|a, b| match (&a.binary, &b.binary) {
        (Some(a), Some(b)) => a.cmp_precedence(b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    });
    let Some(newest) = newest else {
        return Ok(None);
    };
    let same_age = |one: &&&&Candidate| match (&one.binary, &newest.binary) {
        (Some(a), Some(b)) => a.cmp_precedence(b) == Ordering::Equal,
        (a, b) => a.is_none() && b.is_none(),
    };
    let other = heard()
        .filter(|one| same_age(&one))
        .find(|one| one.strategy != newest.strategy);
    match other {
        None => Ok(Some(&newest.strategy)),
        Some(other) => Err(format!(
            "candidates {:?} and {:?} have the same version and want different strategies, {:?} and {:?}: give them the same",
            newest.name, other.name, newest.strategy, other.strategy
        )),
    }
}

/// Decides what to do about one lease. `candidates` are those that stand for it and take part.
#[must_use]
pub fn decide(lease: Option<&Lease>, candidates: &[Candidate], now: Instant) -> Decision {
    let mut decision = Decision::default();
    let mut standing = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let forgotten_at = candidate.forgotten_at();
        if now >= forgotten_at {
            decision.actions.push(Action::Forget {
                candidate: candidate.name.clone(),
                cluster: candidate.cluster.clone(),
                version: candidate.version,
            });
        } else {
            decision.wake_at(forgotten_at);
            standing.push(candidate);
        }
    }
    let strategy = match strategy(&standing, now) {
        Ok(Some(strategy)) => strategy,
        // Whoever comes back renews, which brings us back.
        Ok(None) => return decision,
        Err(problem) => {
            decision.problem = Some(problem);
            return decision;
        }
    };
    match strategy {
        PRIORITY => {}
        OLDEST_EMULATION_VERSION => {
            standing.retain(|one| one.emulation.is_some() && one.binary.is_some());
        }
        // Somebody else's.
        _ => return decision,
    }
    standing.sort_by(|a, b| order(strategy, a, b));

    let held = lease.filter(|lease| !lease.holder.is_empty() && now < lease.ends());
    match held {
        Some(held) => challenge(held, strategy, &standing, now, &mut decision),
        None => elect(lease, strategy, &standing, now, &mut decision),
    }
    decision
}

/// The lease is to be had: the best candidate that is there gets it.
fn elect(
    lease: Option<&Lease>,
    strategy: &str,
    standing: &[&Candidate],
    now: Instant,
    decision: &mut Decision,
) {
    // All are asked at once, so that one that is silent costs its time only once.
    let unknown = standing
        .iter()
        .filter(|one| one.state(now) == State::Unknown);
    decision.actions.extend(unknown.map(|one| one.ping()));
    for candidate in standing {
        match candidate.state(now) {
            State::There => {
                decision.actions.push(Action::Grant {
                    to: candidate.name.clone(),
                    cluster: candidate.cluster.clone(),
                    strategy: strategy.to_owned(),
                    over: lease.map(|lease| (lease.version, lease.transitions)),
                });
                return;
            }
            State::Asked(until) => return decision.wake_at(until),
            State::Silent => {}
            // The question, once it is written, brings us back.
            State::Unknown => return,
        }
    }
}

/// Somebody holds the lease: the best candidate that is better and there is named as the next holder.
fn challenge(
    held: &Lease,
    strategy: &str,
    standing: &[&Candidate],
    now: Instant,
    decision: &mut Decision,
) {
    decision.wake_at(held.ends());
    // Whoever took the lease without being picked knows nothing of preferred holders.
    if held.strategy.is_empty() {
        return;
    }
    for candidate in standing {
        if candidate.name == held.holder || candidate.name == held.preferred {
            return;
        }
        match candidate.state(now) {
            State::There => {
                decision.actions.push(Action::Prefer {
                    whom: candidate.name.clone(),
                    holder_cluster: held.cluster.clone(),
                    strategy: strategy.to_owned(),
                    version: held.version,
                });
                return;
            }
            State::Asked(until) => return decision.wake_at(until),
            State::Silent => {}
            State::Unknown => return decision.actions.push(candidate.ping()),
        }
    }
}

#[cfg(test)]
mod tests;
