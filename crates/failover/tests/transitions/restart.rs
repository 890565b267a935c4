//! What an earlier life of the agent has left (F4).

use helium_failover::kind::{DeadManSwitch, Mode};
use helium_failover::machine::{
    Action, ClusterDone, Footprint, Phase, Reason as R, State, StoreDone,
};
use helium_failover::{Boot, Token};

use super::bench::{Bench, START, TIMING, ms, term};
use State::{Candidate, Isolated, Leading, Standby, Starting};

fn left(phase: Phase, sent: Option<Boot>) -> Footprint {
    Footprint {
        token: Token(5),
        timing: TIMING,
        mode: Mode::Fast,
        dead_man: DeadManSwitch::None,
        payload: "one".to_owned(),
        phase,
        sent,
    }
}

#[test]
fn who_is_back_in_time_goes_on_and_the_payload_is_not_touched() {
    let sent = START - ms(5000);
    let mut bench = Bench::with("east", Some(left(Phase::Running, Some(sent))));
    assert_eq!(
        (bench.machine.state(), bench.machine.reason()),
        (Leading, R::Resumed)
    );
    assert_eq!(bench.machine.deadline(), Some(TIMING.stop_begins(sent)));
    assert!(matches!(bench.sole(), Action::Read));
    let view = bench.view(Some(("east", 5)));
    bench.answered(StoreDone::Read(Some(view)));
    assert!(matches!(bench.sole(), Action::Renew { .. }));
    bench.wrote("east", 5);
    assert_eq!(
        bench.machine.deadline(),
        Some(TIMING.stop_begins(bench.now()))
    );
    assert!(bench.asked.is_empty());
    bench.expect(&[]);
}

#[test]
fn who_is_back_in_time_but_hears_nothing_stops_at_its_deadline() {
    let sent = START - ms(5000);
    let mut bench = Bench::with("east", Some(left(Phase::Running, Some(sent))));
    bench.pass(TIMING.stop_begins(sent).since(START));
    bench.expect(&[(Leading, Isolated, R::NotRenewed)]);
    assert!(bench.asked.iter().any(|one| matches!(
        one,
        Action::Stop {
            token: Token(5),
            ..
        }
    )));
}

#[test]
fn who_is_back_in_the_middle_of_starting_applies_again() {
    let bench = Bench::with("east", Some(left(Phase::Starting, Some(START - ms(1000)))));
    assert_eq!(
        (bench.machine.state(), bench.machine.reason()),
        (Starting, R::Resumed)
    );
    assert!(bench.asked.iter().any(|one| matches!(
        one,
        Action::Apply {
            token: Token(5),
            ..
        }
    )));
}

#[test]
fn an_edit_that_was_made_meanwhile_is_applied() {
    let mut bench = Bench::with("east", Some(left(Phase::Running, Some(START - ms(1000)))));
    bench.change(|_, own| own.payload = "two".to_owned());
    assert!(
        bench
            .asked
            .iter()
            .any(|one| matches!(one, Action::Apply { payload, .. } if payload == "two"))
    );
}

#[test]
fn who_cannot_know_whether_its_term_is_over_stops() {
    for (left, what) in [
        (left(Phase::Running, None), "no state file"),
        (left(Phase::Starting, None), "no state file"),
        (
            left(Phase::Stopping, Some(START - ms(1000))),
            "it was being stopped",
        ),
    ] {
        let mut bench = Bench::with("east", Some(left));
        assert_eq!(
            (bench.machine.state(), bench.machine.reason()),
            (Isolated, R::Restarted),
            "{what}"
        );
        assert!(
            matches!(
                bench.sole(),
                Action::Stop {
                    token: Token(5),
                    ..
                }
            ),
            "{what}"
        );
        assert_eq!(bench.machine.stopped(), None);
        // It stops without having read anything of the store.
        bench.job(ClusterDone::Gone);
        assert!(matches!(bench.sole(), Action::Read));
        let view = bench.view(Some(("east", 5)));
        bench.lease = Some(view.clone());
        bench.answered(StoreDone::Read(Some(view)));
        assert!(matches!(
            bench.sole(),
            Action::Release {
                token: Token(5),
                ..
            }
        ));
        bench.wrote("east", 5);
        bench.expect(&[(Isolated, Candidate, R::Stopped)]);
    }
    let mut late = Bench::with(
        "east",
        Some(left(Phase::Running, Some(START - TIMING.lease))),
    );
    late.expect(&[(Leading, Isolated, R::NotRenewed)]);
}

#[test]
fn a_lease_that_names_it_at_a_token_it_does_not_know_is_given_up_and_claimed_anew() {
    let mut bench = Bench::new("east");
    bench.held("east", 8);
    bench.expect(&[
        (Standby, Candidate, R::Waiting),
        (Candidate, Isolated, R::UnknownTerm),
    ]);
    // An earlier process may be about to wake up, until its record has run out.
    bench.pass(TIMING.lease - ms(1));
    assert!(bench.asked.is_empty());
    assert_eq!(bench.machine.stopped(), None);
    // It lives, and renews.
    bench.held("east", 8);
    bench.pass(TIMING.lease - ms(1));
    assert!(bench.asked.is_empty());
    bench.pass(ms(1));
    assert!(matches!(
        bench.sole(),
        Action::Stop {
            token: Token(8),
            ..
        }
    ));
    bench.job(ClusterDone::Gone);
    assert!(matches!(
        bench.sole(),
        Action::Release {
            token: Token(8),
            reason: R::UnknownTerm,
            ..
        }
    ));
    bench.wrote("east", 8);
    bench.expect(&[(Isolated, Candidate, R::Stopped)]);
    assert!(matches!(
        bench.sole(),
        Action::Claim {
            reason: R::Free,
            ..
        }
    ));
}

#[test]
fn a_member_that_may_not_lead_gives_an_unknown_term_up_too() {
    let mut bench = Bench::new("east");
    bench.change(|_, own| own.ready = false);
    bench.machine.take_transitions();
    bench.held("east", 8);
    bench.expect(&[(Standby, Isolated, R::UnknownTerm)]);
    // Somebody else took it, after it had run out.
    bench.held("west", 11);
    bench.job(ClusterDone::Gone);
    bench.expect(&[(Isolated, Standby, R::Stopped)]);
    assert_eq!(bench.machine.stopped(), Some(Token(8)));
}

#[test]
fn a_record_from_the_past_that_names_it_is_given_up_again() {
    let mut bench = Bench::new("east");
    bench.change(|group, _| group.members[0].stopped = Some(Token(8)));
    bench.held("east", 8);
    assert!(matches!(
        bench.sole(),
        Action::Release {
            token: Token(8),
            reason: R::Stopped,
            ..
        }
    ));
    assert_eq!(bench.machine.state(), Candidate);
}

#[test]
fn a_term_that_others_wait_for_and_that_nothing_is_left_of_is_confirmed() {
    let mut bench = Bench::new("east");
    let mut view = bench.view(Some(("west", 12)));
    view.unconfirmed = vec![term("east", 9, Mode::Strict)];
    bench.show(view);
    assert_eq!(bench.machine.stopped(), Some(Token(9)));
}

#[test]
fn what_an_earlier_life_has_acknowledged_stays_said() {
    let mut bench = Bench::new("east");
    bench.change(|group, _| group.members[0].stopped = Some(Token(8)));
    assert_eq!(bench.machine.stopped(), Some(Token(8)));
    bench.change(|group, _| group.members[0].stopped = None);
    assert_eq!(bench.machine.stopped(), Some(Token(8)));
}
