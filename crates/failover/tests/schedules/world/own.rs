//! A member's own cluster: its objects, and the jobs that make and delete them.

use helium_failover::Token;
use helium_failover::machine::{Action, ClusterDone, Footprint, Phase};

use super::super::Time;
use super::event::{Event, Job};
use super::{OBJECTS, World};

impl World {
    pub(super) fn begin(&mut self, at: usize, action: Action) {
        let t = self.t;
        self.number += 1;
        let id = self.number;
        let way = self.rng.between(500, 20_000);
        let life = self.agents[at].life;
        match action {
            Action::Apply {
                token,
                mode,
                timing,
                dead_man,
                payload,
                until,
            } => {
                assert!(self.agents[at].job.is_none(), "two jobs at once");
                let footprint = Footprint {
                    token,
                    timing,
                    mode,
                    dead_man,
                    payload,
                    phase: Phase::Starting,
                    sent: None,
                };
                self.push(
                    t + way,
                    at,
                    Event::Written {
                        life,
                        footprint: footprint.clone(),
                    },
                );
                self.agents[at].job = Some((
                    id,
                    Job::Apply {
                        token,
                        footprint,
                        until,
                        next: 0,
                    },
                ));
                self.push(t + way + 1, at, Event::Job { life, job: id });
            }
            Action::Stop { token, .. } => {
                let open = self.agents[at].job.as_ref().map(|(_, job)| job.clone());
                assert!(!matches!(open, Some(Job::Stop { .. })), "two stops at once");
                let footprint = self.agents[at].footprint.clone();
                let deleting = self.knobs.hasty;
                // Writes of this life, and of an earlier one, are answered or timed out first.
                let agent = &self.agents[at];
                let earlier = if agent.life > 1 {
                    agent.began + self.write_time()
                } else {
                    0
                };
                let from = if self.knobs.hasty {
                    t
                } else {
                    agent.in_flight.max(earlier).max(t)
                };
                self.agents[at].job = Some((
                    id,
                    Job::Stop {
                        token,
                        footprint,
                        deleting,
                    },
                ));
                self.push(from + way, at, Event::Job { life, job: id });
            }
            other => unreachable!("{other:?}"),
        }
    }

    /// The open job goes on.
    pub(super) fn job(&mut self, at: usize, id: u64) {
        let t = self.t;
        let now = self.boot(at, t);
        let Some((open, job)) = self.agents[at].job.clone() else {
            return;
        };
        if open != id {
            return;
        }
        let life = self.agents[at].life;
        let away = self.agents[at].api_away > t;
        if away {
            self.judge.hinder(at);
        }
        let done = |world: &mut Self, done| {
            world.agents[at].job = None;
            if let Some(machine) = &mut world.agents[at].machine {
                machine.done_cluster(now, done);
            }
        };
        match job {
            Job::Apply {
                token,
                footprint,
                until,
                next,
            } => {
                let kept = self.agents[at]
                    .footprint
                    .as_ref()
                    .is_some_and(|one| one.token == token);
                if next == 0 && !kept {
                    return done(self, ClusterDone::ApplyNotBegun);
                }
                if away || now > until {
                    return done(self, ClusterDone::ApplyFailed);
                }
                if self.agents[at].rejects {
                    return done(self, ClusterDone::Rejected);
                }
                if next == OBJECTS {
                    let running = Footprint {
                        phase: Phase::Running,
                        ..footprint
                    };
                    self.agents[at].footprint = Some(running);
                    return done(self, ClusterDone::Applied);
                }
                let took = self.write(at, token, next);
                self.agents[at].job = Some((
                    id,
                    Job::Apply {
                        token,
                        footprint,
                        until,
                        next: next + 1,
                    },
                ));
                self.push(t + took + 1, at, Event::Job { life, job: id });
            }
            Job::Stop {
                token,
                footprint,
                deleting,
            } => {
                if away {
                    return done(self, ClusterDone::StopFailed);
                }
                if let Some(left) = &mut self.agents[at].footprint {
                    left.phase = Phase::Stopping;
                }
                let mut left = false;
                for object in 0..OBJECTS {
                    let Some((of, asked)) = self.agents[at].objects[object] else {
                        continue;
                    };
                    left = true;
                    if !asked {
                        self.agents[at].objects[object] = Some((of, true));
                        let took = self.rng.between(500, self.write_time());
                        self.push(t + took, at, Event::Gone { object, token: of });
                    }
                }
                if left && !(self.knobs.hasty && deleting) {
                    self.agents[at].job = Some((
                        id,
                        Job::Stop {
                            token,
                            footprint,
                            deleting: true,
                        },
                    ));
                    let again = self.write_time() / 4;
                    return self.push(t + again, at, Event::Job { life, job: id });
                }
                if let Some(term) = self.judge.of(token) {
                    term.gone.get_or_insert(t);
                }
                done(self, ClusterDone::Gone);
            }
        }
    }

    /// Sends a write of one object; how long its answer takes.
    pub(super) fn write(&mut self, at: usize, token: Token, object: usize) -> Time {
        let slow = !self.works() && self.rng.chance(10);
        let took = if slow {
            self.rng.between(500, self.write_time())
        } else {
            self.rng.between(500, 20_000)
        };
        self.push(self.t + took, at, Event::Lands { token, object });
        let agent = &mut self.agents[at];
        agent.in_flight = agent.in_flight.max(self.t + took + 1);
        took
    }
}
