//! The one linearizable store, with the server's rules: a lease, the group's record in the same transaction, and F5.

use std::time::Duration;

use helium_failover::kind::{DeadManSwitch, Mode};
use helium_failover::lease::{Holder, LeaseView};
use helium_failover::machine::{Action, Candidate, GroupView, StoreDone};
use helium_failover::{ClusterName, Timing, Token};

use super::judge::Judge;
use super::{Knobs, Time};

/// All that goes back in time together.
#[derive(Debug, Clone)]
pub struct State {
    pub lease: Option<LeaseView>,
    pub group: GroupView,
    /// Versions of the members' entries, by index.
    pub entries: Vec<u64>,
}

pub struct Store {
    pub now: State,
    revision: u64,
    /// Earlier states, each with the time at which it began.
    past: Vec<(Time, State)>,
    went_back: Option<Time>,
    knobs: Knobs,
}

impl Store {
    pub fn new(group: GroupView, knobs: Knobs) -> Self {
        let now = State {
            entries: vec![0; group.members.len()],
            lease: None,
            group,
        };
        Self {
            past: vec![(0, now.clone())],
            now,
            revision: 1,
            went_back: None,
            knobs,
        }
    }

    /// How long a switch takes after the record ran out; the pods end half a T after the last local renewal.
    pub fn switch_takes(timing: &Timing) -> Duration {
        timing.lease
    }

    fn remember(&mut self, t: Time) {
        if self.past.len() >= 48 {
            self.past.drain(..24);
        }
        self.past.push((t, self.now.clone()));
    }

    fn revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    pub fn token(&self) -> Token {
        self.now
            .group
            .last_term
            .as_ref()
            .map_or(Token(0), |(_, token)| *token)
    }

    /// A member's request, at the moment at which the store decides it.
    pub fn execute(
        &mut self,
        t: Time,
        me: usize,
        name: &ClusterName,
        action: &Action,
        judge: &mut Judge,
    ) -> StoreDone {
        let held = self.now.lease.as_ref();
        let fits = |version: Option<&String>| {
            held.map(|view| &view.version) == version || self.knobs.no_compare
        };
        match action {
            Action::Read => return StoreDone::Read(self.now.lease.clone()),
            Action::Claim {
                version,
                mode,
                timing,
                dead_man,
                unconfirmed,
                ..
            } => {
                if !fits(version.as_ref()) {
                    return StoreDone::Refused;
                }
                if let Some(back) = self.went_back
                    && !self.knobs.no_f5
                {
                    let window = micros(timing.lease + timing.stop_budget);
                    if t < back + window {
                        return StoreDone::NotYet(Duration::from_micros(back + window - t + 1000));
                    }
                }
                let revision = self.revision();
                let token = Token(i64::try_from(revision).unwrap());
                let switch = *mode == Mode::Strict && *dead_man == DeadManSwitch::Probe;
                self.now.lease = Some(LeaseView {
                    version: revision.to_string(),
                    holder: Some(Holder {
                        cluster: name.clone(),
                        token,
                        duration: timing.lease,
                        mode: *mode,
                        dead_man: switch.then(|| Self::switch_takes(timing)),
                    }),
                    preferred: None,
                    unconfirmed: unconfirmed.clone(),
                    stopped: None,
                });
                self.now.group.last_term = Some((name.clone(), token));
                judge.term(me, token, *mode, switch);
            }
            Action::Renew {
                version,
                preferred,
                unconfirmed,
            } => {
                if !fits(Some(version)) {
                    return StoreDone::Refused;
                }
                let revision = self.revision();
                let view = self.now.lease.as_mut().unwrap();
                view.version = revision.to_string();
                view.preferred.clone_from(preferred);
                view.unconfirmed.clone_from(unconfirmed);
            }
            Action::Release {
                version,
                token,
                preferred,
                unconfirmed,
                ..
            } => {
                if !fits(Some(version)) {
                    return StoreDone::Refused;
                }
                judge.acknowledged(t, me, *token);
                let revision = self.revision();
                let view = self.now.lease.as_mut().unwrap();
                view.version = revision.to_string();
                view.holder = None;
                view.stopped = Some(*token);
                view.preferred.clone_from(preferred);
                view.unconfirmed.clone_from(unconfirmed);
            }
            Action::Apply { .. } | Action::Stop { .. } => unreachable!("not for the store"),
        }
        self.remember(t);
        StoreDone::Written(self.now.lease.clone().unwrap())
    }

    /// A member's entry, by a compare on its version. The version it has then.
    pub fn entry(
        &mut self,
        t: Time,
        me: usize,
        version: u64,
        entry: &Candidate,
        judge: &mut Judge,
    ) -> u64 {
        if self.now.entries[me] == version {
            if let Some(token) = entry.stopped {
                judge.acknowledged(t, me, token);
            }
            let revision = self.revision();
            self.now.entries[me] = revision;
            let alive = self.now.group.members[me].alive;
            self.now.group.members[me] = Candidate {
                alive,
                ..entry.clone()
            };
            self.remember(t);
        }
        self.now.entries[me]
    }

    /// A person changes the group.
    pub fn change(&mut self, t: Time, change: impl FnOnce(&mut GroupView)) {
        change(&mut self.now.group);
        self.remember(t);
    }

    /// A person deletes the lease: refused while it is held or remembers a term, since an absent one has no version to compare with.
    pub fn drop_lease(&mut self, t: Time) {
        let free = |view: &LeaseView| view.holder.is_none() && view.unconfirmed.is_empty();
        if self.now.lease.as_ref().is_some_and(free) {
            self.now.lease = None;
            self.remember(t);
        }
    }

    /// A person empties the lease.
    pub fn empty_lease(&mut self, t: Time) {
        let revision = self.revision();
        if let Some(view) = &mut self.now.lease
            && view.holder.take().is_some()
        {
            view.version = revision.to_string();
            view.stopped = None;
        }
        self.remember(t);
    }

    /// The database is as it was at `to`; revisions go on beyond all that were ever seen.
    pub fn back(&mut self, t: Time, to: Time) {
        let (_, state) = self
            .past
            .iter()
            .rev()
            .find(|(from, _)| *from <= to)
            .unwrap_or(&self.past[0]);
        self.now = state.clone();
        self.revision += 1000;
        self.went_back = Some(t);
        self.remember(t);
    }
}

pub fn micros(duration: Duration) -> Time {
    u64::try_from(duration.as_micros()).unwrap()
}
