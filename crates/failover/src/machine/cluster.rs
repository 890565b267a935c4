//! Jobs in the own cluster: the payload is applied, or stopped (F3).

use std::time::Duration;

use super::action::{Action, ClusterDone};
use super::alarm::{Alarm, Backoff};
use super::{Machine, Reason, State};
use crate::timing::Boot;

/// Pauses between tries to apply what failed for now.
const APPLY_AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// Pauses between tries to stop: they never end.
const STOP_AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Pauses between tries of a payload that was refused.
const REFUSED_AGAIN: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));

#[derive(Debug, Clone, PartialEq, Eq)]
enum Job {
    Apply(String),
    Stop,
}

/// What goes on in the own cluster.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    open: Option<Job>,
    again: Backoff,
    /// Since when applying fails without having succeeded.
    failing: Option<Boot>,
    /// The payload that was refused, and nobody else was there to lead.
    refused: Option<String>,
}

impl Cluster {
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_none()
    }

    /// Whether the present payload was refused in this term.
    pub(super) fn refused(&self) -> bool {
        self.refused.is_some()
    }

    pub(super) fn failing_since(&self) -> Option<Boot> {
        self.failing
    }

    /// Stopping begins: what is known of applying is of no use.
    pub(super) fn ends(&mut self) {
        if self.open != Some(Job::Stop) {
            self.again.reset();
        }
        self.failing = None;
        self.refused = None;
    }

    /// The term is over; an open job, if any, is a `Stop` that was answered otherwise.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// A payload that can't be applied here, over the terms.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    why: Option<Reason>,
    again: Backoff,
    latest: String,
}

impl Refusal {
    /// Whether the payload bars this member from leading; another payload gets another try.
    pub(super) fn bar(&mut self, payload: &str, alarm: &mut Alarm) -> Option<Reason> {
        if self.latest != payload {
            payload.clone_into(&mut self.latest);
            self.why = None;
            self.again.reset();
        }
        let reason = self.why?;
        if self.again.is_over(alarm) {
            // The pause goes on doubling if it is refused again.
            self.why = None;
            return None;
        }
        Some(reason)
    }

    pub(super) fn refused(&mut self, now: Boot, why: Reason) {
        self.why = Some(why);
        self.again.failed(now, REFUSED_AGAIN.0, REFUSED_AGAIN.1);
    }

    fn applied(&mut self) {
        self.why = None;
        self.again.reset();
    }
}

impl Machine {
    /// The job to be begun now.
    pub(super) fn job(&mut self, alarm: &mut Alarm) -> Option<Action> {
        match self.state {
            State::Starting | State::Leading => self.job_apply(alarm),
            State::Draining | State::Isolated => self.job_stop(alarm),
            _ => None,
        }
    }

    fn job_apply(&mut self, alarm: &mut Alarm) -> Option<Action> {
        let own = self.own.as_ref()?.as_ref()?;
        if own.invalid {
            return None;
        }
        let payload = &own.payload;
        let held = self.held.as_mut()?;
        if self
            .cluster
            .refused
            .as_ref()
            .is_some_and(|one| one != payload)
        {
            self.cluster.refused = None;
            self.cluster.again.reset();
        }
        if !self.cluster.is_idle() || held.applied.as_ref() == Some(payload) {
            return None;
        }
        // Without an acknowledged write there is no deadline, so nothing may be started (F2).
        let until = held.deadline()?;
        if alarm.now() >= until || !self.cluster.again.is_over(alarm) {
            return None;
        }
        held.gone = false;
        self.cluster.open = Some(Job::Apply(payload.clone()));
        Some(Action::Apply {
            token: held.token,
            mode: held.mode,
            timing: held.timing,
            dead_man: held.dead_man,
            payload: payload.clone(),
            until,
        })
    }

    fn job_stop(&mut self, alarm: &mut Alarm) -> Option<Action> {
        let held = self.held.as_ref()?;
        if held.gone || self.cluster.open == Some(Job::Stop) || !self.cluster.again.is_over(alarm) {
            return None;
        }
        if held.began == Reason::UnknownTerm
            && self.record.ours(&self.me, held.token).is_some()
            && self.blind.is_none_or(|version| held.token <= version)
        {
            // An earlier process of this agent, paused since its claim, may wake up and start what isn't written down yet, until the
            // record that it made has run out. A claim of this machine's own has nobody who could.
            let usual = held.timing.lease;
            if !alarm.reached(self.record.runs_out(usual)) {
                return None;
            }
        }
        // An open Apply ends within this job.
        self.cluster.open = Some(Job::Stop);
        Some(Action::Stop {
            token: held.token,
            mode: held.mode,
        })
    }

    /// The open job in the own cluster ended so. A job that was replaced by a `Stop` gives no answer; one that comes nevertheless
    /// means nothing.
    pub fn done_cluster(&mut self, now: Boot, done: ClusterDone) {
        let (Some(job), Some(held)) = (&self.cluster.open, &mut self.held) else {
            return;
        };
        if matches!(job, Job::Apply(_)) && done != ClusterDone::ApplyNotBegun {
            held.touched = true;
        }
        match (job.clone(), done) {
            (Job::Apply(payload), ClusterDone::Applied) => {
                held.applied = Some(payload);
                self.cluster.open = None;
                self.cluster.again.reset();
                self.cluster.failing = None;
                self.cluster.refused = None;
                self.refusal.applied();
                if self.state == State::Leading {
                    self.reason = Reason::Applied;
                }
            }
            (Job::Apply(payload), ClusterDone::Rejected) => {
                self.cluster.open = None;
                self.cluster.refused = Some(payload);
                self.cluster
                    .again
                    .failed(now, REFUSED_AGAIN.0, REFUSED_AGAIN.1);
                self.reason = Reason::PayloadRefused;
            }
            (Job::Apply(_), ClusterDone::ApplyFailed | ClusterDone::ApplyNotBegun) => {
                self.cluster.open = None;
                self.cluster.failing.get_or_insert(now);
                self.cluster.again.failed(now, APPLY_AGAIN.0, APPLY_AGAIN.1);
                if done == ClusterDone::ApplyNotBegun && !held.touched {
                    held.gone = true;
                }
            }
            (Job::Stop, ClusterDone::Gone) => {
                self.cluster.open = None;
                self.cluster.again.reset();
                held.gone = true;
                self.over = self.over.max(Some(held.token));
                // Whether the record still names this member must be known before it is given up.
                if self.record.known().is_none() {
                    self.record.doubt();
                }
            }
            (Job::Stop, ClusterDone::StopFailed) => {
                self.cluster.open = None;
                held.stop_failed = true;
                self.cluster.again.failed(now, STOP_AGAIN.0, STOP_AGAIN.1);
            }
            _ => {}
        }
    }
}
