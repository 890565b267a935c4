//! What goes wrong, what people do, and the calm after it.

use helium_failover::machine::GroupView;

use super::super::faults::Fault;
use super::event::{Event, Job, What};
use super::{OBJECTS, SECOND, World};

impl World {
    pub(super) fn fault(&mut self, at: usize, fault: Fault) {
        if self.calm {
            return;
        }
        let t = self.t;
        match fault {
            Fault::Pause(long) => {
                self.judge.hinder(at);
                if self.agents[at].paused > t {
                    // It stands still already.
                    return;
                }
                let until = t + long;
                self.agents[at].paused = until;
                self.push(until, at, Event::Resume);
                // The moment between looking at the clock and sending.
                if let Some((_, Job::Apply { token, next, .. })) = self.agents[at].job
                    && next < OBJECTS
                    && self.agents[at]
                        .footprint
                        .as_ref()
                        .is_some_and(|left| left.token == token)
                {
                    let took = self.rng.between(500, self.write_time());
                    self.push(
                        t + long + took,
                        at,
                        Event::Lands {
                            token,
                            object: next,
                        },
                    );
                    let agent = &mut self.agents[at];
                    agent.in_flight = agent.in_flight.max(t + long + took + 1);
                }
            }
            Fault::Crash { down, forgets } => {
                self.judge.hinder(at);
                let agent = &mut self.agents[at];
                agent.machine = None;
                agent.job = None;
                if forgets {
                    agent.state_file = None;
                }
                self.push(t + down, at, Event::Restart);
            }
            Fault::Cut(long) => {
                self.agents[at].cut = t + long;
                self.push(t + long + 1, at, Event::Fault(Fault::Heal));
            }
            Fault::Deaf(long) => self.agents[at].deaf = t + long,
            Fault::Lag(long, by) => self.agents[at].lag = (t + long, by),
            Fault::Heal => self.tell(at, What::All),
            Fault::ApiAway(long) => {
                self.judge.hinder(at);
                self.agents[at].api_away = t + long;
            }
            Fault::Rank(rank) => {
                self.agents[at].rank = rank;
                self.poll(at);
            }
            Fault::Ready(ready) => {
                self.agents[at].own.ready = ready;
                self.tell(at, What::All);
            }
            Fault::Exists(exists) => {
                self.agents[at].exists = exists;
                self.tell(at, What::All);
            }
            Fault::Payload { number, rejected } => {
                self.agents[at].own.payload = number.to_string();
                self.agents[at].rejects = rejected;
                self.tell(at, What::All);
            }
            Fault::Paused(paused) => self.group(|group| group.paused = paused),
            Fault::Preferred(who) => {
                let members = self.agents.len();
                // In a quiet schedule: the one after the leader.
                let who = who.or(self.quiet.then_some(at + 1));
                let who = who.map(|at| self.agents[at % members].name.clone());
                self.group(|group| group.preferred = who);
            }
            Fault::Mode(mode) => self.group(|group| group.mode = mode),
            Fault::Force => {
                let (token, who) = (self.store.token(), self.agents[at].name.clone());
                self.judge.force(token);
                self.group(|group| group.force = Some((token, who)));
            }
            Fault::Back(by) => {
                let to = t.saturating_sub(by);
                let last = self.store.token();
                self.store.back(t, to);
                let kept = self.store.token();
                for term in &mut self.judge.terms {
                    term.lost |= term.token > kept && term.token <= last;
                }
                self.spread(What::All);
            }
            Fault::DropLease => {
                self.store.drop_lease(t);
                self.spread(What::All);
            }
            Fault::EmptyLease => {
                let last = self.store.token();
                if let Some(term) = self.judge.of(last) {
                    term.lost = true;
                }
                self.store.empty_lease(t);
                self.spread(What::All);
            }
        }
    }

    pub(super) fn group(&mut self, change: impl FnOnce(&mut GroupView)) {
        self.store.change(self.t, change);
        self.spread(What::Group);
    }

    /// Everything is healed; from now on nothing bad happens.
    pub(super) fn settle(&mut self) {
        let t = self.t;
        self.calm = true;
        self.calm_end = t + self.lease() * 8 + 45 * SECOND;
        for at in 0..self.agents.len() {
            let agent = &mut self.agents[at];
            (agent.cut, agent.deaf, agent.lag, agent.api_away) = (0, 0, (0, 0), 0);
            agent.own.ready = true;
            agent.own.payload = "calm".to_owned();
            agent.exists = true;
            agent.rejects = false;
            // Who is paused goes on when its time has come: what it has to hear keeps its order.
            self.push(t, at, Event::Restart);
        }
        self.group(|group| {
            group.paused = false;
            group.preferred = None;
        });
        self.spread(What::All);
    }
}
