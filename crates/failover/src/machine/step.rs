//! Changes of state. What was told is looked at here and nowhere else, so that it doesn't matter in which order it came.

use std::time::Duration;

use super::alarm::Alarm;
use super::order::ranking;
use super::term::Held;
use super::turn::not_over;
use super::view::GroupView;
use super::{Machine, Reason, State, Transition};
use crate::kind::Mode;
use crate::names::ClusterName;
use crate::timing::{Boot, Timing};

/// For how long a payload may fail to be applied before somebody else has a try.
const PATIENCE: Duration = Duration::from_secs(15);

/// Whether somebody else could lead now.
fn others_can(group: &GroupView, me: &ClusterName) -> bool {
    !group.paused && !ranking(group, me, false).is_empty()
}

impl Machine {
    /// Goes from state to state until nothing changes any more.
    pub(super) fn settle(&mut self, alarm: &mut Alarm) {
        // Each round changes the state; no state is entered twice without news, so a handful of rounds ends it.
        for _ in 0..8 {
            let before = (self.state, self.held.as_ref().map(|held| held.token));
            self.step(alarm);
            if before == (self.state, self.held.as_ref().map(|held| held.token)) {
                break;
            }
        }
        let now = alarm.now();
        self.unconfirmed = match (&self.held, self.group_seen()) {
            (Some(_), Some(group)) => {
                let all = self.record.unconfirmed();
                not_over(all, &self.me, group, &self.record, now)
            }
            _ => Vec::new(),
        };
    }

    fn step(&mut self, alarm: &mut Alarm) {
        let bar = self.bar(alarm);
        self.eligible = bar.is_none();
        match self.state {
            State::Standby | State::Candidate => self.step_without_term(bar, alarm),
            State::Elected | State::Starting | State::Leading => self.step_with_term(bar, alarm),
            State::Draining => self.step_draining(alarm),
            State::Isolated => self.step_isolated(alarm),
        }
    }

    /// What keeps this member from leading.
    fn bar(&mut self, alarm: &mut Alarm) -> Option<Reason> {
        let own = match &self.own {
            None => return Some(Reason::Fresh),
            Some(None) => return Some(Reason::Deleted),
            Some(Some(own)) => own,
        };
        if own.deleted {
            return Some(Reason::Deleted);
        }
        if own.invalid {
            return Some(Reason::Invalid);
        }
        if !own.ready {
            return Some(Reason::NotReady);
        }
        self.refusal.bar(&own.payload, alarm)
    }

    fn step_without_term(&mut self, bar: Option<Reason>, alarm: &mut Alarm) {
        if let Some(token) = self.record.replaced(&self.me) {
            // A term that nothing is left of: an earlier life of the agent began it, and started nothing in it (F4).
            self.over = self.over.max(Some(token));
        }
        // An open request may be a claim, whose answer says what the lease is; and what is unsure says nothing.
        if self.store.is_idle()
            && let Some((_, holder)) = self.record.names(&self.me)
            && self.over < Some(holder.token)
        {
            // F4: nothing was started under it. But it isn't lived on: a renewal is no new term, so the server would grant it even
            // where the record is one that came back from the past, while its successor lives (F5). Given up and claimed anew it is
            // safe.
            let held = Held {
                gone: false,
                ..Held::new(
                    holder.token,
                    holder.mode,
                    self.usual_timing(holder.duration),
                    Reason::UnknownTerm,
                )
            };
            self.held = Some(held);
            self.enter(State::Isolated, Reason::UnknownTerm, alarm.now());
            return;
        }
        let unseen = self
            .group_seen()
            .is_none_or(|group| group.member(&self.me).is_none());
        let reason = match bar {
            Some(bar) => bar,
            None if unseen => Reason::Fresh,
            None => {
                let paused = self.group_seen().is_some_and(|group| group.paused);
                let waits = self.not_yet.is_some_and(|until| !alarm.reached(until));
                let reason = match (paused, waits) {
                    (true, _) => Reason::Paused,
                    (_, true) => Reason::StoreWentBack,
                    _ => Reason::Waiting,
                };
                if !waits {
                    self.not_yet = None;
                }
                self.enter(State::Candidate, reason, alarm.now());
                return;
            }
        };
        self.enter(State::Standby, reason, alarm.now());
    }

    /// Elected, Starting, Leading: first what ends a term, the clock before all else (F2).
    fn step_with_term(&mut self, bar: Option<Reason>, alarm: &mut Alarm) {
        if self.isolates(alarm) {
            return;
        }
        match bar {
            // What has not been read yet ends nothing.
            None | Some(Reason::Fresh) => {}
            // A payload that runs isn't taken away for an edit that nobody can follow, unless it can run elsewhere.
            Some(Reason::Invalid) if self.applied().is_some() && !self.others_can() => {
                self.reason = Reason::Invalid;
            }
            Some(bar) => return self.drain(bar, alarm.now()),
        }
        if let Some(given_way) = self.gives_way(alarm) {
            return self.drain(given_way, alarm.now());
        }
        let now = alarm.now();
        match self.state {
            State::Elected => {
                if self.waits(alarm) {
                    if let Some(held) = &mut self.held {
                        held.waited = true;
                    }
                    return;
                }
                let reason = self.held.as_ref().map_or(Reason::Free, |held| {
                    if held.waited {
                        Reason::Confirmed
                    } else {
                        held.began
                    }
                });
                self.enter(State::Starting, reason, now);
            }
            State::Leading if self.reason == Reason::Invalid && bar.is_none() => {
                self.reason = Reason::Applied;
            }
            State::Starting if self.applied().is_some() => {
                self.enter(State::Leading, Reason::Applied, now);
            }
            _ => {}
        }
    }

    fn step_draining(&mut self, alarm: &mut Alarm) {
        if self.resolved() {
            return self.rest(alarm);
        }
        if self.isolates(alarm) {
            return;
        }
        // Renewing on would keep everybody else from leading for as long as nothing can be deleted here.
        let hopeless = self.held.as_ref().is_some_and(|held| {
            let patience = held.stopping.map(|since| since + held.timing.lease);
            held.stop_failed && !held.gone && patience.is_some_and(|end| alarm.reached(end))
        });
        if hopeless {
            self.enter(State::Isolated, Reason::StopFailed, alarm.now());
        }
    }

    fn step_isolated(&mut self, alarm: &mut Alarm) {
        if self.resolved() {
            self.rest(alarm);
        }
    }

    /// All is gone, and the store has said that nothing is left to be given up.
    fn resolved(&self) -> bool {
        let Some(held) = &self.held else {
            return true;
        };
        let not_ours = self.store.is_idle()
            && self.record.known().is_some()
            && self.record.ours(&self.me, held.token).is_none();
        held.gone && not_ours
    }

    /// Times of a term that isn't known otherwise; only stopping goes by them.
    fn usual_timing(&self, lease: Duration) -> Timing {
        self.group_seen().map_or(
            Timing {
                lease,
                stop_budget: Duration::ZERO,
            },
            |group| group.timing,
        )
    }

    /// The deadline, then the record.
    fn isolates(&mut self, alarm: &mut Alarm) -> bool {
        let Some(held) = &self.held else {
            return false;
        };
        if held.deadline().is_some_and(|moment| alarm.reached(moment)) {
            self.enter(State::Isolated, Reason::NotRenewed, alarm.now());
            return true;
        }
        // The record that answers an open release isn't a loss.
        let lost = !self.store.releases()
            && self.record.known().is_some()
            && self.record.ours(&self.me, held.token).is_none();
        if lost {
            self.enter(State::Isolated, Reason::Lost, alarm.now());
        }
        lost
    }

    /// Whether the term ends for somebody else's sake, or because the payload can't be applied here.
    fn gives_way(&mut self, alarm: &mut Alarm) -> Option<Reason> {
        let group = self.group.as_ref()?.as_ref()?;
        let held = self.held.as_mut()?;
        self.handover.consider(group, &self.me, alarm);
        if let Some((successor, reason)) = self.handover.answered(group, held.token) {
            held.successor = Some(successor);
            return Some(reason);
        }
        if !others_can(group, &self.me) {
            return None;
        }
        if self.cluster.refused() {
            self.refusal.refused(alarm.now(), Reason::PayloadRefused);
            return Some(Reason::PayloadRefused);
        }
        let tired = self.cluster.failing_since().map(|since| since + PATIENCE);
        if self.state == State::Starting && tired.is_some_and(|end| alarm.reached(end)) {
            self.refusal.refused(alarm.now(), Reason::PayloadFailed);
            return Some(Reason::PayloadFailed);
        }
        None
    }

    /// Whether earlier terms keep this one from starting (F1): strict ones always, fast ones if this one is strict.
    fn waits(&self, alarm: &mut Alarm) -> bool {
        let (Some(held), Some(group)) = (&self.held, self.group_seen()) else {
            return true;
        };
        if self.record.ours(&self.me, held.token).is_none() {
            return true;
        }
        let now = alarm.now();
        let open = not_over(
            self.record.unconfirmed(),
            &self.me,
            group,
            &self.record,
            now,
        );
        let mut waits = false;
        for term in open {
            if term.mode == Mode::Strict || held.mode == Mode::Strict {
                waits = true;
                if let Some(moment) = self.record.switched_off(&term) {
                    alarm.reached(moment);
                }
            }
        }
        waits
    }

    fn others_can(&self) -> bool {
        self.group_seen()
            .is_some_and(|group| others_can(group, &self.me))
    }

    fn drain(&mut self, reason: Reason, now: Boot) {
        self.enter(State::Draining, reason, now);
    }

    /// No term any more.
    fn rest(&mut self, alarm: &mut Alarm) {
        let state = if self.eligible {
            State::Candidate
        } else {
            State::Standby
        };
        self.enter(state, Reason::Stopped, alarm.now());
        self.held = None;
        self.handover.reset();
        self.cluster.reset();
    }

    /// The one place where the state changes.
    pub(super) fn enter(&mut self, state: State, reason: Reason, at: Boot) {
        if state == self.state {
            self.reason = reason;
            return;
        }
        self.transitions.push(Transition {
            from: self.state,
            to: state,
            reason,
            token: self.token(),
            at,
        });
        self.state = state;
        self.reason = reason;
        if matches!(state, State::Draining | State::Isolated)
            && let Some(held) = &mut self.held
        {
            held.stopping.get_or_insert(at);
            held.ends.get_or_insert(reason);
            self.cluster.ends();
            if held.gone {
                self.over = self.over.max(Some(held.token));
            }
        }
    }
}
