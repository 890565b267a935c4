//! The net between members and the store.

use helium_failover::Boot;
use helium_failover::machine::{Action, Candidate, StoreDone};

use super::World;
use super::event::{Event, What};

impl World {
    pub(super) fn send(&mut self, at: usize, sent: Boot, action: Action) {
        let t = self.t;
        self.number += 1;
        let id = self.number;
        let life = self.agents[at].life;
        assert!(self.agents[at].request.is_none(), "two requests at once");
        self.agents[at].request = Some((id, sent));
        let way = self.way();
        let lost = !self.works() && self.rng.chance(2);
        let answered = self.works() || !self.rng.chance(2);
        if self.agents[at].cut <= t && !lost {
            self.push(
                t + way,
                at,
                Event::Reach {
                    life,
                    id,
                    sent,
                    action,
                    answered,
                },
            );
        }
        let timeout = self.lease() / 8;
        self.push(
            t + timeout,
            at,
            Event::Answer {
                life,
                id,
                sent,
                done: StoreDone::Unknown,
            },
        );
    }

    /// Its entry of the group, if it should say something else.
    pub(super) fn entry(&mut self, at: usize) {
        let t = self.t;
        let way = self.way();
        let timeout = self.lease() / 4;
        let lost = !self.works() && self.rng.chance(2);
        let agent = &mut self.agents[at];
        let (Some(machine), Some((version, known)), false, true) =
            (&agent.machine, &agent.entry, agent.entry_open, agent.exists)
        else {
            return;
        };
        let entry = Candidate {
            cluster: agent.name.clone(),
            rank: agent.rank,
            ready: machine.ready(),
            alive: known.alive,
            joined: format!("2026-01-0{}T00:00:00Z", at + 1),
            stands_for: machine.stands_for(),
            stopped: machine.stopped(),
        };
        if entry == *known {
            return;
        }
        let (version, life) = (*version, agent.life);
        agent.entry_open = true;
        let (reaches, known) = (agent.cut <= t && !lost, known.clone());
        if reaches {
            self.push(
                t + way,
                at,
                Event::EntryReach {
                    version,
                    entry,
                    life,
                },
            );
        }
        self.push(
            t + timeout,
            at,
            Event::EntryDone {
                life,
                version: None,
                entry: known,
            },
        );
    }

    /// The store changed: everybody will see it, some later.
    pub(super) fn spread(&mut self, what: What) {
        for at in 0..self.agents.len() {
            self.tell(at, what);
        }
    }

    pub(super) fn tell(&mut self, at: usize, what: What) {
        let t = self.t;
        if self.agents[at].machine.is_none() || self.agents[at].cut > t {
            return;
        }
        let mut ways = [self.way(), self.way(), self.way()];
        let lag = if self.agents[at].lag.0 > t {
            self.agents[at].lag.1
        } else {
            0
        };
        for way in &mut ways {
            *way += lag;
        }
        let life = self.agents[at].life;
        let mut events: [Option<Event>; 3] = Default::default();
        if matches!(what, What::Lease | What::Term | What::All) {
            let lease = self.store.now.lease.clone();
            events[0] = Some(Event::SeeLease { life, lease });
        }
        if matches!(what, What::Group | What::Term | What::All) {
            let mut group = self.store.now.group.clone();
            for (one, agent) in group.members.iter_mut().zip(&self.agents) {
                one.alive = agent.alive;
            }
            let version = self.store.now.entries[at];
            events[1] = Some(Event::SeeGroup {
                life,
                group,
                version,
            });
        }
        if matches!(what, What::All) {
            let own = self.agents[at].exists.then(|| self.agents[at].own.clone());
            events[2] = Some(Event::SeeOwn { life, own });
        }
        for (kind, event) in events.into_iter().enumerate() {
            let Some(event) = event else { continue };
            // In order within a kind.
            let arrives = (t + ways[kind]).max(self.agents[at].arrives[kind] + 1);
            self.agents[at].arrives[kind] = arrives;
            self.push(arrives, at, event);
        }
    }
}
