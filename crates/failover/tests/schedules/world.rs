//! Members with clocks, a net between them and the store, and their own clusters; by true time, which nobody knows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use helium_failover::kind::{DeadManSwitch, Mode};
use helium_failover::lease::LeaseView;
use helium_failover::machine::{
    Action, Candidate, ClusterDone, Footprint, GroupView, Machine, Own, Phase, State, StoreDone,
    Transition,
};
use helium_failover::{Boot, ClusterName, Timing, Token};

use super::faults::Fault;
use super::judge::Judge;
use super::rng::Rng;
use super::store::{Store, micros};
use super::{Knobs, Time};

/// Objects of a payload.
const OBJECTS: usize = 2;

#[derive(Debug, Clone)]
enum Event {
    Wake {
        due: u64,
    },
    /// A request reaches the store.
    Reach {
        life: u32,
        id: u64,
        sent: Boot,
        action: Action,
        answered: bool,
    },
    Answer {
        life: u32,
        id: u64,
        sent: Boot,
        done: StoreDone,
    },
    SeeLease {
        life: u32,
        lease: Option<LeaseView>,
    },
    SeeGroup {
        life: u32,
        group: GroupView,
        version: u64,
    },
    SeeOwn {
        life: u32,
        own: Option<Own>,
    },
    EntryReach {
        version: u64,
        entry: Candidate,
        life: u32,
    },
    EntryDone {
        life: u32,
        version: Option<u64>,
        entry: Candidate,
    },
    /// A write of a payload's object reaches the own API server, whatever became of its sender.
    Lands {
        token: Token,
        object: usize,
    },
    /// The same for the footprint.
    Written {
        life: u32,
        footprint: Footprint,
    },
    /// The open job in the own cluster goes on.
    Job {
        life: u32,
        job: u64,
    },
    Gone {
        object: usize,
        token: Token,
    },
    Beat,
    Fault(Fault),
    Resume,
    Restart,
    Calm,
}

struct Entry {
    at: Time,
    number: u64,
    whose: usize,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Where a job in the own cluster stands.
#[derive(Debug, Clone)]
enum Job {
    /// The footprint is being written, or this object is to be sent next.
    Apply {
        token: Token,
        footprint: Footprint,
        until: Boot,
        next: usize,
    },
    Stop {
        token: Token,
        footprint: Option<Footprint>,
        deleting: bool,
    },
}

/// What of the store changed.
#[derive(Debug, Clone, Copy)]
enum What {
    Lease,
    Group,
    /// The lease, and the record in the group.
    Term,
    All,
}

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
    pub transitions: Vec<(usize, Transition)>,
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
}

const SECOND: Time = 1_000_000;

impl World {
    pub fn new(seed: u64, knobs: Knobs) -> Self {
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
        };
        for at in 0..members {
            world.push(world.rng.clone().below(SECOND / 2), at, Event::Restart);
            world.push(micros(timing.lease) / 2, at, Event::Beat);
        }
        for (at, whose, fault) in Fault::plan(&mut world.rng, members, micros(timing.lease)) {
            world.push(at, whose, Event::Fault(fault));
        }
        let chaos = micros(timing.lease) * 10;
        world.push(chaos, 0, Event::Calm);
        world
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
        if !self.calm && self.rng.chance(4) {
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
        let best = (0..self.agents.len()).min_by_key(|at| (Reverse(self.agents[*at].rank), *at));
        let Some(best) = best else { return false };
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

    fn handle(&mut self, at: usize, event: Event) {
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
                if !agent.entry_open {
                    // Old news costs a compare that fails; the store may have gone back, too.
                    agent.entry = group.members.get(at).map(|entry| (version, entry.clone()));
                }
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
    fn poll(&mut self, at: usize) {
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
            self.transitions.push((at, one));
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

    fn send(&mut self, at: usize, sent: Boot, action: Action) {
        let t = self.t;
        self.number += 1;
        let id = self.number;
        let life = self.agents[at].life;
        assert!(self.agents[at].request.is_none(), "two requests at once");
        self.agents[at].request = Some((id, sent));
        let way = self.way();
        let lost = !self.calm && self.rng.chance(2);
        let answered = self.calm || !self.rng.chance(2);
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
    fn entry(&mut self, at: usize) {
        let t = self.t;
        let way = self.way();
        let timeout = self.lease() / 4;
        let lost = !self.calm && self.rng.chance(2);
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
    fn spread(&mut self, what: What) {
        for at in 0..self.agents.len() {
            self.tell(at, what);
        }
    }

    fn tell(&mut self, at: usize, what: What) {
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

    fn restart(&mut self, at: usize) {
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

    fn begin(&mut self, at: usize, action: Action) {
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
    fn job(&mut self, at: usize, id: u64) {
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
    fn write(&mut self, at: usize, token: Token, object: usize) -> Time {
        let slow = !self.calm && self.rng.chance(10);
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

    fn fault(&mut self, at: usize, fault: Fault) {
        if self.calm {
            return;
        }
        let t = self.t;
        match fault {
            Fault::Pause(long) => {
                self.judge.hinder(at);
                let until = self.agents[at].paused.max(t + long);
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
                    self.agents[at].in_flight = t + long + took + 1;
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
                let who = who.map(|at| self.agents[at % self.agents.len()].name.clone());
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
                // What the lease knew of earlier terms is lost with it: a person's act.
                let known = self
                    .store
                    .now
                    .lease
                    .as_ref()
                    .map(|view| view.unconfirmed.clone());
                for term in known.unwrap_or_default() {
                    if let Some(term) = self.judge.of(term.token) {
                        term.forced = true;
                    }
                }
                let last = self.store.token();
                if let Some(term) = self.judge.of(last) {
                    term.lost = true;
                }
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

    fn group(&mut self, change: impl FnOnce(&mut GroupView)) {
        self.store.change(self.t, change);
        self.spread(What::Group);
    }

    /// Everything is healed; from now on nothing bad happens.
    fn settle(&mut self) {
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
