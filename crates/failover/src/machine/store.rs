//! Requests to the store, and what their answers mean.

use std::time::Duration;

use super::action::{Action, StoreDone};
use super::alarm::{Alarm, Backoff};
use super::term::Held;
use super::turn::{not_over, turn};
use super::{Machine, Reason, State};
use crate::kind::{DeadManSwitch, Mode};
use crate::lease::{LeaseView, Term};
use crate::names::{ClusterName, Token};
use crate::timing::{Boot, Timing};

/// The pause after a second failure in a row; the first is tried again at once.
const AGAIN: Duration = Duration::from_millis(100);
/// The longest pause, without a term.
const AGAIN_MOST: Duration = Duration::from_secs(2);

/// The open request.
#[derive(Debug, Clone)]
enum Ask {
    Read,
    Claim {
        /// The record that it was to replace.
        version: Option<String>,
        reason: Reason,
        mode: Mode,
        timing: Timing,
        dead_man: DeadManSwitch,
    },
    Renew {
        preferred: Option<ClusterName>,
        address: Option<String>,
    },
    Release,
}

/// What goes on with the store.
#[derive(Debug, Default)]
pub(super) struct Store {
    open: Option<Ask>,
    again: Backoff,
}

impl Store {
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_none()
    }

    /// Whether the lease is being given up.
    pub(super) fn releases(&self) -> bool {
        matches!(self.open, Some(Ask::Release))
    }

    /// Something is new: what failed may go well now.
    pub(super) fn news(&mut self) {
        self.again.reset();
    }
}

impl Machine {
    /// The request to be sent now.
    pub(super) fn request(&mut self, alarm: &mut Alarm) -> Option<Action> {
        if !self.store.is_idle() || !self.store.again.is_over(alarm) {
            return None;
        }
        let gone = self.held.as_ref().is_none_or(|held| held.gone);
        if self.state == State::Isolated && !gone {
            // Nothing but stopping counts.
            return None;
        }
        if self.record.is_unsure() {
            self.store.open = Some(Ask::Read);
            return Some(Action::Read);
        }
        match self.state {
            State::Standby | State::Isolated => self.request_release(alarm.now()),
            State::Draining if gone => self.request_release(alarm.now()),
            State::Candidate => self
                .request_release(alarm.now())
                .or_else(|| self.request_claim(alarm)),
            State::Elected | State::Starting | State::Leading | State::Draining => {
                self.request_renew(alarm)
            }
        }
    }

    /// A record that names this member though its term is over.
    fn request_release(&mut self, now: Boot) -> Option<Action> {
        let (view, holder) = self.record.names(&self.me)?;
        if self.over < Some(holder.token) {
            return None;
        }
        let (version, token) = (view.version.clone(), holder.token);
        self.store.open = Some(Ask::Release);
        let held = self.held.as_ref().filter(|held| held.token == token);
        Some(Action::Release {
            version,
            token,
            preferred: held.and_then(|held| held.successor.clone()),
            reason: held.and_then(|held| held.ends).unwrap_or(Reason::Stopped),
            unconfirmed: self.open_terms(now),
        })
    }

    fn request_claim(&mut self, alarm: &mut Alarm) -> Option<Action> {
        let group = self.group_seen()?;
        if group.paused || !self.eligible || self.not_yet.is_some() {
            return None;
        }
        let turn = turn(&self.me, group, &self.record, alarm.now())?;
        if !alarm.reached(turn.at) {
            return None;
        }
        let (mode, timing, dead_man) = (group.mode, group.timing, group.dead_man);
        let version = self.record.known()?.map(|view| view.version.clone());
        self.store.open = Some(Ask::Claim {
            version: version.clone(),
            reason: turn.reason,
            mode,
            timing,
            dead_man,
        });
        Some(Action::Claim {
            version,
            reason: turn.reason,
            mode,
            timing,
            dead_man,
            unconfirmed: turn.unconfirmed,
        })
    }

    fn request_renew(&mut self, alarm: &mut Alarm) -> Option<Action> {
        let address = self.address();
        let held = self.held.as_ref()?;
        let view = self.record.ours(&self.me, held.token)?;
        let preferred = match self.state {
            State::Draining => held.successor.as_ref(),
            _ => self.handover.asked(),
        };
        let changed = view.preferred.as_ref() != preferred || held.address != address;
        let due = held
            .tried
            .is_none_or(|tried| alarm.reached(tried + held.timing.renewal()));
        if !due && !changed {
            return None;
        }
        let (version, preferred) = (view.version.clone(), preferred.cloned());
        if let Some(held) = &mut self.held {
            held.tried = Some(alarm.now());
        }
        self.store.open = Some(Ask::Renew {
            preferred: preferred.clone(),
            address,
        });
        Some(Action::Renew {
            version,
            preferred,
            unconfirmed: self.open_terms(alarm.now()),
        })
    }

    /// Earlier terms of the record that aren't over for certain.
    fn open_terms(&self, now: Boot) -> Vec<Term> {
        let all = self.record.unconfirmed();
        match self.group_seen() {
            None => all.to_vec(),
            Some(group) => not_over(all, &self.me, group, &self.record, now),
        }
    }

    fn address(&self) -> Option<String> {
        self.own.as_ref()?.as_ref()?.address.clone()
    }

    /// The store's answer to the open request, which was sent at `sent`: the time must have been taken *before* the sending (F2).
    pub fn done_store(&mut self, now: Boot, sent: Boot, done: StoreDone) {
        let Some(ask) = self.store.open.take() else {
            return;
        };
        let most = self
            .held
            .as_ref()
            .map_or(AGAIN_MOST, |held| held.timing.lease / 8);
        match done {
            StoreDone::Read(lease) => {
                if self.record.told(now, lease) {
                    self.store.news();
                }
            }
            StoreDone::Written(view) => {
                self.store.news();
                self.record.told(now, Some(view.clone()));
                self.written(now, sent.min(now), ask, &view);
            }
            StoreDone::NotYet(wait) => {
                self.not_yet = Some(now + wait);
            }
            done @ (StoreDone::Refused | StoreDone::Unknown) => {
                self.record.doubt();
                self.store.again.failed_after_one_at_once(now, AGAIN, most);
                match (ask, &mut self.held) {
                    // Due at once.
                    (Ask::Renew { .. }, Some(held)) => held.tried = None,
                    (Ask::Claim { version, .. }, _) if done == StoreDone::Unknown => {
                        let version = version.and_then(|version| version.parse().ok());
                        let version = Token(version.unwrap_or_default());
                        self.blind = Some(self.blind.map_or(version, |first| first.min(version)));
                    }
                    _ => {}
                }
            }
        }
    }

    fn written(&mut self, now: Boot, sent: Boot, ask: Ask, view: &LeaseView) {
        let mine = view
            .holder
            .as_ref()
            .filter(|holder| holder.cluster == self.me);
        match (ask, mine) {
            (
                Ask::Claim {
                    reason,
                    mode,
                    timing,
                    dead_man,
                    ..
                },
                Some(holder),
            ) => {
                if self.held.is_some() {
                    // Never asked for with a term; if it were, it is found in the record.
                    return;
                }
                self.held = Some(Held {
                    dead_man,
                    sent: Some(sent),
                    tried: Some(sent),
                    address: self.address(),
                    ..Held::new(holder.token, mode, timing, reason)
                });
                self.enter(State::Elected, reason, now);
            }
            (Ask::Renew { preferred, address }, Some(holder)) => {
                if let Some(held) = self.held.as_mut()
                    && held.token == holder.token
                {
                    // An acknowledgement never counts from later than its sending, and an older one takes nothing back.
                    held.sent = held.sent.max(Some(sent));
                    held.address = address;
                    self.handover.acknowledged(now, preferred.as_ref());
                }
            }
            _ => {}
        }
    }
}
