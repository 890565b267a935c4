//! What a process does when something happens, and what happens without it.

use helium_failover::Token;
use helium_failover::machine::{Action, Footprint, Machine, State, StoreDone};

use super::World;
use super::event::{Event, What};

impl World {
    pub(super) fn handle(&mut self, at: usize, event: Event) {
        let t = self.t;
        // What happens without the agent's process.
        match event {
            Event::Reach {
                life,
                id,
                sent,
                action,
                answered,
            } => {
                let name = self.agents[at].name.clone();
                let done = self.store.execute(t, at, &name, &action, &mut self.judge);
                if matches!(done, StoreDone::Written(_)) {
                    if matches!(action, Action::Release { .. }) {
                        self.released = Some(t);
                    }
                    let claim = matches!(action, Action::Claim { .. });
                    self.spread(if claim { What::Term } else { What::Lease });
                }
                let back = self.way();
                if answered && self.agents[at].cut <= t && self.agents[at].deaf <= t {
                    self.push(
                        t + back,
                        at,
                        Event::Answer {
                            life,
                            id,
                            sent,
                            done,
                        },
                    );
                }
                return;
            }
            Event::EntryReach {
                version,
                entry,
                life,
            } => {
                let before = self.store.now.entries[at];
                let now = self.store.entry(t, at, version, &entry, &mut self.judge);
                if before != now {
                    self.spread(What::Group);
                }
                let back = self.way();
                if self.agents[at].cut <= t && self.agents[at].deaf <= t {
                    let entry = self.store.now.group.members[at].clone();
                    self.push(
                        t + back,
                        at,
                        Event::EntryDone {
                            life,
                            version: Some(now),
                            entry,
                        },
                    );
                }
                return;
            }
            Event::Lands { token, object } => {
                if self.agents[at].api_away <= t && self.agents[at].objects[object].is_none() {
                    self.agents[at].objects[object] = Some((token, false));
                    self.judge.made(t, at, token);
                }
                return;
            }
            Event::Written { life, footprint } => {
                if self.agents[at].api_away <= t && life == self.agents[at].life {
                    self.agents[at].footprint = Some(footprint);
                }
                return;
            }
            Event::Gone { object, token } => {
                if self.agents[at].objects[object].is_some_and(|(of, _)| of == token) {
                    self.agents[at].objects[object] = None;
                    let half = self.lease() / 2;
                    self.judge.unmade(t, at, token, half);
                }
                return;
            }
            Event::Fault(fault) => return self.fault(at, fault),
            Event::Calm => return self.settle(),
            Event::Restart => return self.restart(at),
            Event::Beat => {
                self.push(t + self.lease() / 2, at, Event::Beat);
                let agent = &self.agents[at];
                let here = agent.machine.is_some() && agent.paused <= t && agent.cut <= t;
                if agent.alive != here {
                    self.agents[at].alive = here;
                    self.spread(What::Group);
                }
                return;
            }
            _ => {}
        }
        // What needs the process: paused, it comes later.
        if self.agents[at].paused > t {
            if !matches!(event, Event::Resume) {
                self.agents[at].backlog.push(event);
            }
            return;
        }
        if matches!(event, Event::Resume) {
            for event in std::mem::take(&mut self.agents[at].backlog) {
                self.handle(at, event);
            }
        }
        let now = self.boot(at, t);
        let life = self.agents[at].life;
        let agent = &mut self.agents[at];
        let Some(machine) = &mut agent.machine else {
            return;
        };
        match event {
            Event::Answer {
                life: of,
                id,
                sent,
                done,
            } if of == life => {
                if agent.request.as_ref().is_some_and(|(open, _)| *open == id) {
                    agent.request = None;
                    let sent = if self.knobs.answer_time { now } else { sent };
                    let unknown = done == StoreDone::Unknown;
                    machine.done_store(now, sent, done);
                    if let (Some(token), Some(sent), false) =
                        (machine.token(), machine.sent(), unknown)
                    {
                        agent.state_file = Some((token, sent));
                    }
                }
            }
            Event::SeeLease { life: of, lease } if of == life => {
                let mut lease = lease;
                if self.knobs.impatient
                    && let Some(holder) = lease.as_mut().and_then(|view| view.holder.as_mut())
                {
                    holder.duration /= 2;
                }
                machine.see_lease(now, lease);
            }
            Event::SeeGroup {
                life: of,
                group,
                version,
            } if of == life => {
                // Old news costs a compare that fails, and newer news follows.
                agent.entry = group.members.get(at).map(|entry| (version, entry.clone()));
                let mut group = group;
                // Who hasn't written an entry yet isn't there.
                group.members.retain(|one| !one.joined.is_empty());
                if self.knobs.credulous {
                    for one in &mut group.members {
                        one.stopped = Some(Token(i64::MAX - 1));
                    }
                    group.members.retain_mut(|one| {
                        if one.cluster == agent.name {
                            one.stopped = None;
                        }
                        true
                    });
                }
                machine.see_group(now, Some(group));
            }
            Event::SeeOwn { life: of, own } if of == life => machine.see_own(now, own),
            Event::EntryDone {
                life: of,
                version,
                entry,
            } if of == life => {
                agent.entry_open = false;
                if let Some(version) = version {
                    agent.entry = Some((version, entry));
                }
            }
            Event::Job { life: of, job } if of == life => self.job(at, job),
            Event::Resume | Event::Wake { .. } => {}
            _ => return,
        }
        self.poll(at);
    }

    /// Asks the machine, and does what it says.
    pub(super) fn poll(&mut self, at: usize) {
        let t = self.t;
        let now = self.boot(at, t);
        let Some(machine) = &mut self.agents[at].machine else {
            return;
        };
        let next = machine.next(now);
        let took = machine.take_transitions();
        let (token, stopped) = (machine.token(), machine.stopped());
        let deadline = machine.sent().map(|sent| self.timing.stop_ends(sent));
        let alive = matches!(machine.state(), State::Starting | State::Leading)
            && machine.deadline() > Some(now);
        for one in took {
            if let Some(trace) = &mut self.trace {
                trace.push(format!(
                    "{t:>12} {at} {} -> {} ({}) {:?}",
                    one.from, one.to, one.reason, one.token
                ));
            }
            if one.to == State::Starting
                && let Some(term) = one.token.and_then(|token| self.judge.of(token))
            {
                term.began.get_or_insert(t);
            }
            if matches!(one.to, State::Candidate | State::Standby) {
                self.agents[at].footprint = None;
            }
            self.transitions.push((t, at, one));
        }
        for term in &mut self.judge.terms {
            if term.cluster == at && Some(term.token) <= stopped {
                term.gone.get_or_insert(t);
            }
        }
        if let Some(token) = token {
            let until = deadline.map(|moment| self.true_time(at, moment));
            if let Some(term) = self.judge.of(token) {
                term.role = term.role.max(until.unwrap_or(0));
                if alive {
                    // The local lease is renewed with each acknowledged renewal.
                    term.fresh = term.fresh.max(t);
                }
            }
        }
        for action in next.actions {
            if let Some(trace) = &mut self.trace {
                trace.push(format!("{t:>12} {at}   {action:?}"));
            }
            if action.is_for_store() {
                self.send(at, now, action);
            } else {
                self.begin(at, action);
            }
        }
        if let Some(wake) = next.wake {
            let due = {
                let agent = &mut self.agents[at];
                agent.due += 1;
                agent.due
            };
            let moment = self.true_time(at, wake).max(t + 1);
            self.push(moment, at, Event::Wake { due });
        }
        self.entry(at);
    }

    pub(super) fn restart(&mut self, at: usize) {
        let t = self.t;
        if self.agents[at].machine.is_some() {
            return;
        }
        if self.agents[at].api_away > t {
            // It can't read what it has left.
            let until = self.agents[at].api_away + 1000;
            return self.push(until, at, Event::Restart);
        }
        let agent = &mut self.agents[at];
        agent.life += 1;
        agent.began = t;
        agent.paused = 0;
        agent.backlog.clear();
        agent.request = None;
        agent.job = None;
        agent.entry = None;
        agent.entry_open = false;
        agent.arrives = [t; 3];
        let known = agent.state_file;
        let footprint = agent.footprint.clone().map(|left| Footprint {
            sent: known
                .filter(|(token, _)| *token == left.token)
                .map(|(_, sent)| sent),
            ..left
        });
        let footprint = if self.knobs.no_footprint {
            None
        } else {
            footprint
        };
        agent.machine = Some(Machine::new(agent.name.clone(), footprint));
        self.tell(at, What::All);
        self.poll(at);
    }
}
