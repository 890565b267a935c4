//! The machine in a simulated world: clocks that drift, agents that are paused, killed and restarted, messages that are late, lost
//! or only half-way lost, own clusters whose writes land late, a store that goes back in time, and people who do what people do. A judge who
//! knows the true time looks for two that led at once, and for a calm in which nobody does.
//!
//! `HELIUM_FAILOVER_SCHEDULES` says how many (100,000), `HELIUM_FAILOVER_SEED` replays one with a trace.
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

mod schedules {
    pub mod faults;
    pub mod judge;
    pub mod rng;
    pub mod store;
    pub mod world;

    /// True time in microseconds.
    pub type Time = u64;

    /// What is broken on purpose, so that it is seen that the judge finds it.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Knobs {
        /// F1: every earlier term is believed to be confirmed.
        pub credulous: bool,
        /// F2: renewals count from their answer.
        pub answer_time: bool,
        /// F2: clocks are worse than ρ.
        pub wild_clocks: bool,
        /// F3: a stop says that all is gone when it has only asked for it, and doesn't wait for writes in flight.
        pub hasty: bool,
        /// F4: a restarted agent doesn't know what it had started.
        pub no_footprint: bool,
        /// F5: terms begin right after the store went back in time.
        pub no_f5: bool,
        /// The observation rule: records count as run out after half their time.
        pub impatient: bool,
        /// The store doesn't compare.
        pub no_compare: bool,
    }
}

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use helium_failover::machine::{Reason, State};
use schedules::Knobs;
use schedules::faults::Fault;
use schedules::world::World;

type Seen = BTreeMap<(State, State, Reason), u64>;

/// Runs one; what was found.
fn run(seed: u64, knobs: Knobs, seen: &mut Seen) -> Vec<String> {
    let mut world = World::new(seed, knobs);
    world.run();
    for (_, _, one) in &world.transitions {
        *seen.entry((one.from, one.to, one.reason)).or_default() += 1;
    }
    world.judge.found
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// Runs as many as there are, on all processors; the first seed with something found.
fn search(from: u64, count: u64, knobs: Knobs) -> (Option<(u64, Vec<String>)>, Seen) {
    let next = AtomicU64::new(from);
    let first: Mutex<Option<(u64, Vec<String>)>> = Mutex::new(None);
    let all: Mutex<Seen> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut seen = Seen::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count || first.lock().unwrap().is_some() {
                        break;
                    }
                    let found = run(seed, knobs, &mut seen);
                    if !found.is_empty() {
                        let mut first = first.lock().unwrap();
                        if first.as_ref().is_none_or(|(earlier, _)| seed < *earlier) {
                            *first = Some((seed, found));
                        }
                    }
                }
                let mut all = all.lock().unwrap();
                for (transition, count) in seen {
                    *all.entry(transition).or_default() += count;
                }
            });
        }
    });
    (first.into_inner().unwrap(), all.into_inner().unwrap())
}

/// From when on the next one leads: since the moment, and since the predecessor gave the lease up, if it did. In microseconds.
fn succession(seed: u64, fault: Fault) -> (u64, Option<u64>, Duration) {
    let (mut world, first, moment) = World::quiet(seed, fault);
    world.run();
    assert!(
        world.judge.found.is_empty(),
        "seed {seed}: {:?}",
        world.judge.found
    );
    let later = world.transitions.iter().filter(|(t, _, _)| *t > moment);
    let leads = later
        .clone()
        .find(|(_, at, one)| *at != first && one.to == State::Leading)
        .unwrap_or_else(|| panic!("seed {seed}: nobody succeeds"));
    let released = world.released.filter(|t| *t > moment);
    (
        leads.0 - moment,
        released.map(|t| leads.0 - t),
        world.timing.lease,
    )
}

#[test]
fn a_crash_costs_less_than_a_lease_and_a_second() {
    for seed in 1..=2000 {
        let crash = Fault::Crash {
            down: 3_600_000_000,
            forgets: true,
        };
        let (took, _, lease) = succession(seed, crash);
        let took = Duration::from_micros(took);
        assert!(
            took < lease + Duration::from_secs(1),
            "seed {seed}: {took:?} with a lease of {lease:?}"
        );
    }
}

#[test]
fn a_planned_succession_takes_less_than_a_third_of_a_second_after_the_stop() {
    for seed in 1..=1000 {
        for fault in [
            Fault::Ready(false),
            Fault::Exists(false),
            Fault::Rank(-1),
            Fault::Preferred(None),
        ] {
            let what = format!("{fault:?}");
            let (_, took, _) = succession(seed, fault);
            let took = Duration::from_micros(took.unwrap());
            assert!(
                took < Duration::from_millis(300),
                "seed {seed}, {what}: {took:?}"
            );
        }
    }
}

/// The judge, too, is judged: each rule of the protocol is broken on purpose, and must be missed within so many schedules.
fn finds(what: &str, knobs: Knobs, within: u64) {
    let (found, _) = search(1, within, knobs);
    let (seed, found) =
        found.unwrap_or_else(|| panic!("{what}: nothing found in {within} schedules"));
    println!("{what}: seed {seed}: {}", found[0]);
}

#[test]
fn a_member_that_believes_every_term_to_be_confirmed_is_found() {
    finds(
        "F1",
        Knobs {
            credulous: true,
            ..Knobs::default()
        },
        2_000,
    );
}

#[test]
fn a_renewal_that_counts_from_its_answer_is_found() {
    finds(
        "F2, answers",
        Knobs {
            answer_time: true,
            ..Knobs::default()
        },
        10_000,
    );
}

#[test]
fn clocks_that_drift_more_than_they_may_are_found() {
    finds(
        "F2, drift",
        Knobs {
            wild_clocks: true,
            ..Knobs::default()
        },
        2_000,
    );
}

#[test]
fn a_stop_that_does_not_wait_is_found() {
    finds(
        "F3",
        Knobs {
            hasty: true,
            ..Knobs::default()
        },
        1_000,
    );
}

#[test]
fn an_agent_that_forgets_what_it_started_is_found() {
    finds(
        "F4",
        Knobs {
            no_footprint: true,
            ..Knobs::default()
        },
        2_000,
    );
}

#[test]
fn terms_right_after_the_store_went_back_are_found() {
    finds(
        "F5",
        Knobs {
            no_f5: true,
            ..Knobs::default()
        },
        5_000,
    );
}

#[test]
fn records_that_are_not_observed_for_their_time_are_found() {
    finds(
        "observation",
        Knobs {
            impatient: true,
            ..Knobs::default()
        },
        2_000,
    );
}

#[test]
fn a_store_that_does_not_compare_is_found() {
    finds(
        "compare",
        Knobs {
            no_compare: true,
            ..Knobs::default()
        },
        1_000,
    );
}

#[test]
fn never_two_and_in_the_calm_one() {
    if let Some(seed) = number("HELIUM_FAILOVER_SEED") {
        let mut world = World::new(seed, Knobs::default());
        world.trace = Some(Vec::new());
        world.run();
        for line in world.trace.iter().flatten() {
            println!("{line}");
        }
        for term in &world.judge.terms {
            println!("{term:?}");
        }
        assert!(
            world.judge.found.is_empty(),
            "seed {seed}: {:#?}",
            world.judge.found
        );
        return;
    }
    let full = number("HELIUM_TEST_FULL").is_some_and(|full| full > 0);
    let usual = if full { 1_000_000 } else { 100_000 };
    let count = number("HELIUM_FAILOVER_SCHEDULES").unwrap_or(usual);
    // Another part of the schedules in each run; what is printed replays.
    let from = number("HELIUM_FAILOVER_FROM").unwrap_or_else(|| {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        now.as_secs() * 1_000_000
    });
    println!("seeds {from}..{}", from + count);
    let (found, seen) = search(from, count, Knobs::default());
    if let Some((seed, found)) = found {
        panic!("replay with HELIUM_FAILOVER_SEED={seed}: {found:#?}");
    }
    for ((from, to, reason), count) in &seen {
        println!("{count:>9} {from:>9} -> {to:<9} {reason}");
    }
}
