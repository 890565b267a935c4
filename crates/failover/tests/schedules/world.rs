//! Members with clocks, a net between them and the store, and their own clusters; by true time, which nobody knows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use helium_failover::kind::{DeadManSwitch, Mode};
use helium_failover::machine::{Candidate, Footprint, GroupView, Machine, Own, State, Transition};
use helium_failover::{Boot, ClusterName, Timing, Token};

use super::faults::Fault;
use super::judge::Judge;
use super::rng::Rng;
use super::store::{Store, micros};
use super::{Knobs, Time};

mod event;
mod net;
mod own;
mod people;
mod turn;

use event::{Entry, Event, Job};

/// Objects of a payload.
const OBJECTS: usize = 2;

struct Agent {
    name: ClusterName,
    machine: Option<Machine>,
    life: u32,
    began: Time,
    offset: u64,
    /// By how much its clock is too fast, in parts of a million.
    rate: i64,
    due: u64,
    paused: Time,
    /// What it will hear when it goes on, in its order.
    backlog: Vec<Event>,
    cut: Time,
    /// Answers are lost, requests aren't.
    deaf: Time,
    lag: (Time, Time),
    api_away: Time,
    request: Option<(u64, Boot)>,
    job: Option<(u64, Job)>,
    /// Until when writes of this life may land.
    in_flight: Time,
    objects: [Option<(Token, bool)>; OBJECTS],
    footprint: Option<Footprint>,
    state_file: Option<(Token, Boot)>,
    own: Own,
    exists: bool,
    rank: i64,
    rejects: bool,
    entry: Option<(u64, Candidate)>,
    entry_open: bool,
    arrives: [Time; 3],
    alive: bool,
}

pub struct World {
    pub t: Time,
    pub judge: Judge,
    pub transitions: Vec<(Time, usize, Transition)>,
    /// When the lease was last given up.
    pub released: Option<Time>,
    pub trace: Option<Vec<String>>,
    pub timing: Timing,
    agents: Vec<Agent>,
    store: Store,
    rng: Rng,
    knobs: Knobs,
    queue: BinaryHeap<Reverse<Entry>>,
    number: u64,
    calm: bool,
    calm_end: Time,
    /// The net works.
    quiet: bool,
}

const SECOND: Time = 1_000_000;

impl World {
    /// A schedule with all that can go wrong.
    pub fn new(seed: u64, knobs: Knobs) -> Self {
        let mut world = Self::build(seed, knobs);
        let lease = world.lease();
        for (at, whose, fault) in Fault::plan(&mut world.rng, world.agents.len(), lease) {
            world.push(at, whose, Event::Fault(fault));
        }
        world.push(lease * 10, 0, Event::Calm);
        world
    }

    /// A schedule in fast mode with a net that works, and one thing that happens to the leader, after four T. Ends six T later.
    pub fn quiet(seed: u64, fault: Fault) -> (Self, usize, Time) {
        let mut world = Self::build(seed, Knobs::default());
        world.quiet = true;
        world.store.now.group.mode = Mode::Fast;
        let best = world.best();
        let lease = world.lease();
        world.push(lease * 4, best, Event::Fault(fault));
        world.calm_end = lease * 10;
        (world, best, lease * 4)
    }

    fn build(seed: u64, knobs: Knobs) -> Self {
        let mut rng = Rng::new(seed);
        let lease = [2, 4, 8][usize::try_from(rng.below(3)).unwrap()];
        let timing = Timing::new(
            Duration::from_secs(lease),
            Duration::from_millis(lease * 300),
        )
        .unwrap();
        let strict = rng.chance(50);
        let members = usize::try_from(rng.between(2, 4)).unwrap();
        let drift = if knobs.wild_clocks { 300_000 } else { 5_000 };
        let agents: Vec<Agent> = (0..members)
            .map(|at| Agent {
                name: ClusterName(["east", "west", "north", "south"][at].to_owned()),
                machine: None,
                life: 0,
                began: 0,
                offset: rng.between(1, 1_000_000) * 1000,
                rate: i64::try_from(rng.below(2 * drift + 1)).unwrap()
                    - i64::try_from(drift).unwrap(),
                due: 0,
                paused: 0,
                backlog: Vec::new(),
                cut: 0,
                deaf: 0,
                lag: (0, 0),
                api_away: 0,
                request: None,
                job: None,
                in_flight: 0,
                objects: [None; OBJECTS],
                footprint: None,
                state_file: None,
                own: Own {
                    ready: true,
                    deleted: false,
                    invalid: false,
                    payload: "0".to_owned(),
                    address: None,
                },
                exists: true,
                rank: i64::try_from(rng.between(1, 4)).unwrap(),
                rejects: false,
                entry: None,
                entry_open: false,
                arrives: [0; 3],
                alive: true,
            })
            .collect();
        let group = GroupView {
            timing,
            mode: if strict { Mode::Strict } else { Mode::Fast },
            dead_man: if rng.chance(30) {
                DeadManSwitch::Probe
            } else {
                DeadManSwitch::None
            },
            paused: false,
            preferred: None,
            force: None,
            last_term: None,
            members: agents
                .iter()
                .map(|agent| Candidate {
                    cluster: agent.name.clone(),
                    rank: 0,
                    ready: false,
                    alive: true,
                    joined: String::new(),
                    stands_for: None,
                    stopped: None,
                })
                .collect(),
        };
        let mut world = Self {
            t: 0,
            judge: Judge::new(members),
            transitions: Vec::new(),
            released: None,
            trace: None,
            timing,
            agents,
            store: Store::new(group, knobs),
            rng,
            knobs,
            queue: BinaryHeap::new(),
            number: 0,
            calm: false,
            calm_end: Time::MAX,
            quiet: false,
        };
        for at in 0..members {
            world.push(world.rng.clone().below(SECOND / 2), at, Event::Restart);
            world.push(micros(timing.lease) / 2, at, Event::Beat);
        }
        world
    }

    /// Nothing is slow or lost.
    fn works(&self) -> bool {
        self.calm || self.quiet
    }

    /// Who should lead when all can.
    fn best(&self) -> usize {
        let order = |at: &usize| (Reverse(self.agents[*at].rank), *at);
        (0..self.agents.len()).min_by_key(order).unwrap_or_default()
    }

    fn lease(&self) -> Time {
        micros(self.timing.lease)
    }

    /// How long a write in the own cluster may take until it counts as timed out.
    fn write_time(&self) -> Time {
        micros(self.timing.stop_budget) / 5
    }

    fn push(&mut self, at: Time, whose: usize, event: Event) {
        self.number += 1;
        let number = self.number;
        self.queue.push(Reverse(Entry {
            at,
            number,
            whose,
            event,
        }));
    }

    fn boot(&self, at: usize, t: Time) -> Boot {
        let agent = &self.agents[at];
        let passed = i128::from(t) * i128::from(1_000_000 + agent.rate) / 1_000_000;
        Boot(Duration::from_micros(
            agent.offset + u64::try_from(passed).unwrap(),
        ))
    }

    fn true_time(&self, at: usize, boot: Boot) -> Time {
        let agent = &self.agents[at];
        let passed = i128::from(micros(boot.0).saturating_sub(agent.offset));
        u64::try_from(passed * 1_000_000 / i128::from(1_000_000 + agent.rate)).unwrap() + 2
    }

    /// A way through the net, usually short.
    fn way(&mut self) -> Time {
        if !self.works() && self.rng.chance(4) {
            let lease = self.lease();
            self.rng.between(1000, lease / 2)
        } else {
            self.rng.between(500, 25_000)
        }
    }

    /// Runs until the calm has what it should, or its time is over.
    pub fn run(&mut self) {
        while let Some(Reverse(entry)) = self.queue.pop() {
            self.t = entry.at.max(self.t);
            if self.t > self.calm_end && self.quiet {
                break;
            }
            if self.t > self.calm_end {
                self.judge.find(format!(
                    "it is calm, and nobody leads as it should: {}",
                    self.states()
                ));
                break;
            }
            if let Event::Wake { due } = entry.event
                && due != self.agents[entry.whose].due
            {
                continue;
            }
            if let Some(trace) = &mut self.trace {
                trace.push(format!("{:>12} {} {:?}", self.t, entry.whose, entry.event));
            }
            self.handle(entry.whose, entry.event);
            if self.calm && self.is_settled() {
                break;
            }
        }
        self.judge
            .sum_up(self.t, self.timing.lease.as_micros() as Time / 2);
    }

    fn states(&self) -> String {
        let one = |agent: &Agent| match &agent.machine {
            None => format!("{} is down", agent.name),
            Some(machine) => format!(
                "{} is {} ({})",
                agent.name,
                machine.state(),
                machine.reason()
            ),
        };
        self.agents.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// Exactly one leads, the best one, and nothing is left elsewhere.
    fn is_settled(&self) -> bool {
        let best = self.best();
        let held = self
            .store
            .now
            .lease
            .as_ref()
            .and_then(|view| view.holder.as_ref());
        let leads = |agent: &Agent| {
            agent.machine.as_ref().is_some_and(|machine| {
                machine.state() == State::Leading
                    && machine.applied() == Some(&agent.own.payload)
                    && held.is_some_and(|held| {
                        held.cluster == agent.name && Some(held.token) == machine.token()
                    })
            })
        };
        let stands = |agent: &Agent| {
            agent
                .machine
                .as_ref()
                .is_some_and(|machine| machine.state() == State::Candidate)
        };
        self.agents.iter().enumerate().all(|(at, agent)| {
            if at == best {
                leads(agent) && agent.objects.iter().all(Option::is_some)
            } else {
                stands(agent) && agent.objects.iter().all(Option::is_none)
            }
        })
    }
}
