//! The payload: edits, refusals, and what fails for now.

use helium_failover::machine::{Action, ClusterDone, Reason as R, State};

use super::bench::{Bench, TIMING, member, ms};
use ClusterDone::{Applied, ApplyFailed, ApplyNotBegun, Gone, Rejected};
use State::{Candidate, Draining, Leading, Standby, Starting};

fn payload(bench: &Bench) -> Option<String> {
    bench.asked.iter().find_map(|one| match one {
        Action::Apply { payload, .. } => Some(payload.clone()),
        _ => None,
    })
}

#[test]
fn edits_are_applied_while_it_leads() {
    let mut bench = Bench::new("east");
    bench.leads();
    bench.change(|_, own| own.payload = "two".to_owned());
    assert_eq!(payload(&bench).as_deref(), Some("two"));
    assert_eq!(bench.machine.applied(), Some("one"));
    // Another edit meanwhile comes next.
    bench.change(|_, own| own.payload = "three".to_owned());
    assert_eq!(payload(&bench).as_deref(), Some("two"));
    bench.job(Applied);
    assert_eq!(payload(&bench).as_deref(), Some("three"));
    bench.job(Applied);
    assert_eq!(bench.machine.applied(), Some("three"));
    bench.expect(&[]);
}

#[test]
fn an_edit_while_starting_is_applied_after_the_first() {
    let mut bench = Bench::new("east");
    bench.absent();
    bench.wrote("east", 5);
    bench.change(|_, own| own.payload = "two".to_owned());
    bench.job(Applied);
    assert_eq!(bench.machine.state(), Leading);
    assert_eq!(payload(&bench).as_deref(), Some("two"));
}

#[test]
fn a_refused_payload_is_left_to_somebody_else_and_tried_again_later() {
    let mut bench = Bench::new("east");
    let mut waits = Vec::new();
    bench.absent();
    bench.change(|group, _| group.members[1] = member("west", 1));
    for token in [5, 15, 25, 35, 45, 55, 65] {
        bench.machine.take_transitions();
        bench.wrote("east", token);
        bench.job(Rejected);
        let took = bench.machine.take_transitions();
        let last = took.last().unwrap();
        assert_eq!(
            (last.from, last.to, last.reason),
            (Starting, Draining, R::PayloadRefused)
        );
        bench.job(Gone);
        bench.wrote("east", token);
        assert_eq!(
            (bench.machine.state(), bench.machine.reason()),
            (Standby, R::PayloadRefused)
        );
        assert!(!bench.machine.ready());
        let begun = bench.now();
        while bench.asked.is_empty() {
            bench.pass(ms(1000));
        }
        waits.push(bench.now().since(begun).as_secs());
    }
    assert_eq!(waits, [30, 60, 120, 240, 480, 600, 600]);
}

#[test]
fn another_payload_gets_another_try_at_once() {
    let mut bench = Bench::new("east");
    bench.absent();
    bench.change(|group, _| group.members[1] = member("west", 1));
    bench.wrote("east", 5);
    bench.job(Rejected);
    bench.job(Gone);
    bench.wrote("east", 5);
    bench.machine.take_transitions();
    bench.change(|_, own| own.payload = "two".to_owned());
    bench.expect(&[(Standby, Candidate, R::Waiting)]);
    assert!(matches!(bench.sole(), Action::Claim { .. }));
}

#[test]
fn a_refused_payload_that_nobody_else_could_apply_is_said_and_tried_again() {
    let mut bench = Bench::new("east");
    bench.absent();
    bench.wrote("east", 5);
    bench.machine.take_transitions();
    bench.job(Rejected);
    assert_eq!(
        (bench.machine.state(), bench.machine.reason()),
        (Starting, R::PayloadRefused)
    );
    bench.expect(&[]);
    let begun = bench.now();
    while payload(&bench).is_none() {
        if !bench.asked.is_empty() {
            bench.wrote("east", 5);
        }
        bench.pass(ms(500));
    }
    assert!((30..=31).contains(&bench.now().since(begun).as_secs()));
    bench.job(Rejected);
    // An edit is tried at once.
    bench.change(|_, own| own.payload = "two".to_owned());
    assert_eq!(payload(&bench).as_deref(), Some("two"));
    bench.job(Applied);
    bench.expect(&[(Starting, Leading, R::Applied)]);
}

#[test]
fn a_leader_whose_edit_is_refused_leaves_it_to_who_can_lead() {
    let mut bench = Bench::new("east");
    bench.leads();
    bench.change(|group, own| {
        group.members[1] = member("west", 1);
        own.payload = "two".to_owned();
    });
    bench.job(Rejected);
    bench.expect(&[(Leading, Draining, R::PayloadRefused)]);
}

#[test]
fn what_fails_for_now_is_tried_again_and_after_a_while_left_to_somebody_else() {
    for begun in [true, false] {
        let mut bench = Bench::new("east");
        bench.absent();
        bench.change(|group, _| group.members[1] = member("west", 1));
        bench.wrote("east", 5);
        bench.machine.take_transitions();
        let since = bench.now();
        let mut tries = 0;
        while bench.machine.state() == Starting {
            assert!(bench.now() < since + ms(20_000));
            for action in bench.asked.clone() {
                if action.is_for_store() {
                    bench.wrote("east", 5);
                } else {
                    bench.job(if begun { ApplyFailed } else { ApplyNotBegun });
                    tries += 1;
                }
            }
            bench.pass(ms(250));
        }
        assert!(tries > 3, "{tries}");
        bench.expect(&[(Starting, Draining, R::PayloadFailed)]);
        // What was not begun needs no stop.
        let stops = bench
            .asked
            .iter()
            .any(|one| matches!(one, Action::Stop { .. }));
        let releases = bench
            .asked
            .iter()
            .any(|one| matches!(one, Action::Release { .. }));
        assert_eq!((stops, releases), (begun, !begun), "{:?}", bench.asked);
    }
}

#[test]
fn nothing_is_applied_when_the_time_for_it_is_over() {
    let mut bench = Bench::new("east");
    bench.absent();
    bench.wrote("east", 5);
    let Some(Action::Apply { until, .. }) = bench.asked.first().cloned() else {
        panic!()
    };
    assert_eq!(Some(until), bench.machine.deadline());
    bench.job(ApplyFailed);
    bench.paused(TIMING.lease);
    assert!(payload(&bench).is_none());
}

#[test]
fn an_edit_that_nobody_can_follow_takes_no_payload_away_unless_it_can_run_elsewhere() {
    let mut bench = Bench::new("east");
    bench.leads();
    bench.change(|_, own| {
        own.invalid = true;
        own.payload = String::new();
    });
    bench.expect(&[]);
    assert!(bench.asked.is_empty());
    assert_eq!(
        (bench.machine.state(), bench.machine.reason()),
        (Leading, R::Invalid)
    );
    assert_eq!(bench.machine.applied(), Some("one"));
    assert!(!bench.machine.ready());
    bench.change(|_, own| {
        own.invalid = false;
        own.payload = "one".to_owned();
    });
    assert!(bench.asked.is_empty());
    assert_eq!(bench.machine.reason(), R::Applied);
    bench.change(|_, own| own.invalid = true);
    bench.change(|group, _| group.members[1] = member("west", 1));
    bench.expect(&[(Leading, Draining, R::Invalid)]);
}
