//! How terms end: by own decision, by the clock, by the record.

use helium_failover::Token;
use helium_failover::kind::Mode;
use helium_failover::machine::{Action, ClusterDone, Reason as R, State, StoreDone};

use super::bench::{Bench, TIMING, member, ms};
use ClusterDone::{Gone, StopFailed};
use State::{Candidate, Draining, Elected, Isolated, Leading, Standby, Starting};

#[test]
fn a_leader_that_may_not_lead_any_more_stops_and_then_gives_the_lease_up() {
    for (reason, change) in [
        (
            R::NotReady,
            (|bench: &mut Bench| bench.change(|_, own| own.ready = false)) as fn(&mut Bench),
        ),
        (R::Deleted, |bench| {
            bench.change(|_, own| own.deleted = true)
        }),
        (R::Invalid, |bench| {
            bench.change(|group, own| {
                group.members[1] = member("west", 1);
                own.invalid = true;
            });
        }),
    ] {
        let mut bench = Bench::new("east");
        bench.leads();
        change(&mut bench);
        bench.expect(&[(Leading, Draining, reason)]);
        assert!(matches!(
            bench.sole(),
            Action::Stop {
                token: Token(5),
                mode: Mode::Fast
            }
        ));
        assert_eq!(bench.machine.stopped(), None);
        bench.job(Gone);
        assert_eq!(bench.machine.stopped(), Some(Token(5)));
        let Action::Release {
            token: Token(5),
            preferred: None,
            reason: why,
            ..
        } = bench.sole()
        else {
            panic!("{:?}", bench.asked);
        };
        assert_eq!(why, reason);
        assert!(!bench.machine.at_rest());
        bench.wrote("east", 5);
        bench.expect(&[(Draining, Standby, R::Stopped)]);
        assert_eq!(bench.machine.reason(), reason);
        assert!(bench.machine.at_rest());
    }
}

#[test]
fn a_leader_renews_each_quarter_and_counts_from_the_sending() {
    let mut bench = Bench::new("east");
    bench.leads();
    let begun = bench.now();
    bench.pass(TIMING.renewal() - ms(1));
    assert!(bench.asked.is_empty());
    bench.pass(ms(1));
    assert!(matches!(bench.sole(), Action::Renew { .. }));
    assert_eq!(bench.machine.deadline(), Some(TIMING.stop_begins(begun)));
    let sent = bench.now();
    bench.pass(ms(2000));
    bench.wrote_sent("east", 5, sent);
    assert_eq!(bench.machine.deadline(), Some(TIMING.stop_begins(sent)));
    bench.pass(TIMING.renewal() - ms(2000));
    assert!(matches!(bench.sole(), Action::Renew { .. }));
}

#[test]
fn a_leader_whose_renewals_are_not_acknowledged_stops_in_time_and_asks_the_store_nothing_meanwhile()
{
    let mut bench = Bench::new("east");
    bench.leads();
    let begun = bench.now();
    let deadline = bench.machine.deadline().unwrap();
    bench.pass(TIMING.renewal());
    bench.answered(StoreDone::Unknown);
    while bench.now() < deadline {
        assert_eq!(bench.machine.state(), Leading);
        if !bench.asked.is_empty() {
            bench.answered(StoreDone::Unknown);
        }
        bench.pass(ms(50));
    }
    assert!(bench.now() < TIMING.stop_ends(begun));
    bench.expect(&[(Leading, Isolated, R::NotRenewed)]);
    bench.asked.retain(|one| !one.is_for_store());
    assert!(matches!(
        bench.sole(),
        Action::Stop {
            token: Token(5),
            ..
        }
    ));
    assert_eq!(bench.machine.deadline(), None);
}

#[test]
fn an_isolated_member_gives_the_lease_up_when_all_is_gone_and_the_store_answers() {
    let mut bench = Bench::new("east");
    bench.leads();
    bench.paused(TIMING.lease * 10);
    bench.expect(&[(Leading, Isolated, R::NotRenewed)]);
    // Woken after minutes, it stops before it does anything else.
    assert!(matches!(bench.sole(), Action::Stop { .. }));
    bench.job(Gone);
    assert!(matches!(
        bench.sole(),
        Action::Release {
            token: Token(5),
            reason: R::NotRenewed,
            ..
        }
    ));
    bench.answered(StoreDone::Unknown);
    assert_eq!(bench.machine.state(), Isolated);
    assert!(matches!(bench.sole(), Action::Read));
    let still = bench.lease.clone();
    bench.answered(StoreDone::Read(still));
    bench.pass(ms(1000));
    bench.wrote("east", 5);
    bench.expect(&[(Isolated, Candidate, R::Stopped)]);
}

#[test]
fn an_isolated_member_whose_lease_was_taken_acknowledges_by_its_entry() {
    let mut bench = Bench::new("east");
    bench.leads();
    bench.held("west", 9);
    bench.expect(&[(Leading, Isolated, R::Lost)]);
    assert_eq!(bench.machine.stopped(), None);
    assert!(!bench.machine.ready());
    bench.job(Gone);
    bench.expect(&[(Isolated, Candidate, R::Stopped)]);
    assert_eq!(bench.machine.stopped(), Some(Token(5)));
    assert!(bench.machine.ready());
    assert!(bench.asked.is_empty());
}

#[test]
fn a_stop_that_fails_is_repeated_for_ever_and_acknowledges_nothing() {
    let mut bench = Bench::new("east");
    bench.leads();
    bench.held("west", 9);
    for _ in 0..100 {
        bench.job(StopFailed);
        bench.pass(ms(5000));
        assert!(matches!(bench.sole(), Action::Stop { .. }));
        assert_eq!(
            (bench.machine.state(), bench.machine.stopped()),
            (Isolated, None)
        );
    }
}

#[test]
fn a_draining_member_renews_so_that_nobody_takes_over() {
    let mut bench = Bench::new("east");
    bench.leads();
    bench.change(|_, own| own.ready = false);
    let begun = bench.now();
    while bench.now() < begun + TIMING.lease * 3 {
        bench.pass(TIMING.renewal());
        assert!(
            bench
                .asked
                .iter()
                .any(|one| matches!(one, Action::Renew { .. })),
            "{:?}",
            bench.asked
        );
        bench.wrote("east", 5);
    }
    bench.expect(&[(Leading, Draining, R::NotReady)]);
}

#[test]
fn a_draining_member_that_cannot_renew_or_has_lost_the_lease_is_isolated() {
    for lost in [true, false] {
        let mut bench = Bench::new("east");
        bench.leads();
        bench.change(|_, own| own.ready = false);
        if lost {
            bench.held("west", 9);
        } else {
            bench.paused(TIMING.lease);
        }
        let reason = if lost { R::Lost } else { R::NotRenewed };
        bench.expect(&[
            (Leading, Draining, R::NotReady),
            (Draining, Isolated, reason),
        ]);
        // The same stop goes on.
        assert!(matches!(bench.sole(), Action::Stop { .. }));
    }
}

#[test]
fn a_draining_member_that_can_delete_nothing_lets_the_record_run_out() {
    let mut bench = Bench::new("east");
    bench.leads();
    bench.change(|_, own| own.ready = false);
    let begun = bench.now();
    while bench.machine.state() == Draining {
        assert!(bench.now() < begun + TIMING.lease + ms(5000));
        for action in bench.asked.clone() {
            if action.is_for_store() {
                bench.wrote("east", 5);
            } else {
                bench.job(StopFailed);
            }
        }
        bench.pass(ms(500));
    }
    bench.expect(&[
        (Leading, Draining, R::NotReady),
        (Draining, Isolated, R::StopFailed),
    ]);
}

#[test]
fn a_member_that_was_elected_and_never_started_gives_up_without_a_stop() {
    for (state, reason, change) in [
        (
            Draining,
            R::NotReady,
            (|bench: &mut Bench| bench.change(|_, own| own.ready = false)) as fn(&mut Bench),
        ),
        (Isolated, R::NotRenewed, |bench| bench.paused(TIMING.lease)),
    ] {
        let mut bench = Bench::new("east");
        bench.change(|group, _| group.mode = Mode::Strict);
        bench.held("west", 7);
        bench.pass(TIMING.lease);
        bench.wrote("east", 9);
        bench.expect(&[
            (Standby, Candidate, R::Waiting),
            (Candidate, Elected, R::Expired),
        ]);
        change(&mut bench);
        bench.expect(&[(Elected, state, reason)]);
        assert!(
            matches!(
                bench.sole(),
                Action::Release {
                    token: Token(9),
                    ..
                }
            ),
            "{:?}",
            bench.asked
        );
        assert_eq!(bench.machine.stopped(), Some(Token(9)));
    }
}

#[test]
fn an_elected_member_that_loses_the_lease_confirms_at_once() {
    let mut bench = Bench::new("east");
    bench.change(|group, _| group.mode = Mode::Strict);
    bench.held("west", 7);
    bench.pass(TIMING.lease);
    bench.wrote("east", 9);
    bench.machine.take_transitions();
    bench.held("west", 12);
    bench.expect(&[
        (Elected, Isolated, R::Lost),
        (Isolated, Candidate, R::Stopped),
    ]);
    assert_eq!(bench.machine.stopped(), Some(Token(9)));
}

#[test]
fn a_stop_replaces_an_apply_and_its_late_answer_means_nothing() {
    for (lost, state, reason) in [(true, Isolated, R::Lost), (false, Draining, R::NotReady)] {
        let mut bench = Bench::new("east");
        bench.absent();
        bench.wrote("east", 5);
        bench.machine.take_transitions();
        if lost {
            bench.held("west", 9);
        } else {
            bench.change(|_, own| own.ready = false);
        }
        bench.expect(&[(Starting, state, reason)]);
        assert!(matches!(
            bench.sole(),
            Action::Stop {
                token: Token(5),
                ..
            }
        ));
        bench.late(ClusterDone::Applied);
        bench.late(ClusterDone::ApplyFailed);
        assert!(matches!(
            bench.sole(),
            Action::Stop {
                token: Token(5),
                ..
            }
        ));
        assert_eq!(
            (bench.machine.state(), bench.machine.stopped()),
            (state, None)
        );
    }
}

#[test]
fn a_starting_member_that_cannot_renew_is_isolated() {
    let mut bench = Bench::new("east");
    bench.absent();
    bench.wrote("east", 5);
    bench.machine.take_transitions();
    bench.paused(TIMING.lease);
    bench.expect(&[(Starting, Isolated, R::NotRenewed)]);
}
