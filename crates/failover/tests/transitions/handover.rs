//! A better member is asked, answers, and succeeds.

use helium_failover::Token;
use helium_failover::kind::Mode;
use helium_failover::machine::{Action, ClusterDone, Reason as R, State};

use super::bench::{Bench, TIMING, member, ms, name};
use State::{Candidate, Draining, Elected, Leading, Standby, Starting};

fn asks(bench: &Bench) -> Option<String> {
    let renew = bench.asked.iter().find_map(|one| match one {
        Action::Renew { preferred, .. } => Some(preferred.clone()),
        _ => None,
    });
    renew.expect("a renewal").map(|name| name.0)
}

#[test]
fn a_leader_asks_who_comes_first_and_stops_only_when_that_one_answers() {
    for (preferred, reason) in [(false, R::HigherRank), (true, R::Preferred)] {
        let mut bench = Bench::new("east");
        bench.leads();
        bench.change(|group, _| {
            group.members[1] = member("west", if preferred { 1 } else { 10 });
            group.preferred = preferred.then(|| name("west"));
        });
        assert_eq!(asks(&bench).as_deref(), Some("west"));
        bench.wrote("east", 5);
        bench.expect(&[]);
        // An answer to an older question.
        bench.change(|group, _| group.members[1].stands_for = Some(Token(4)));
        bench.expect(&[]);
        bench.change(|group, _| group.members[1].stands_for = Some(Token(5)));
        bench.expect(&[(Leading, Draining, reason)]);
        bench.job(ClusterDone::Gone);
        let Action::Release {
            preferred,
            reason: why,
            ..
        } = bench.sole()
        else {
            panic!()
        };
        assert_eq!((preferred, why), (Some(name("west")), reason));
        bench.wrote("east", 5);
        bench.expect(&[(Draining, Candidate, R::Stopped)]);
        // It keeps the lease for the other one; if that one dies, it claims again.
        assert!(bench.asked.is_empty());
        bench.pass(ms(999));
        assert!(bench.asked.is_empty());
        bench.pass(ms(1));
        assert!(matches!(
            bench.sole(),
            Action::Claim {
                reason: R::Free,
                ..
            }
        ));
    }
}

/// An agent that came back said of itself for a moment that it had no rank, and handed over to a lower one.
#[test]
fn a_leader_that_is_not_in_the_group_asks_nobody() {
    let mut bench = Bench::new("east");
    bench.leads();
    bench.change(|group, _| group.members = vec![member("west", 10)]);
    let asked = bench.asked.iter();
    let named = asked.filter(|one| {
        matches!(
            one,
            Action::Renew {
                preferred: Some(_),
                ..
            }
        )
    });
    assert_eq!(named.count(), 0);
    bench.change(|group, _| group.members.push(member("east", 5)));
    assert_eq!(asks(&bench).as_deref(), Some("west"));
}

#[test]
fn one_that_does_not_answer_is_passed_over_for_a_while() {
    let mut bench = Bench::new("east");
    bench.leads();
    bench.change(|group, _| {
        group.members[1] = member("west", 10);
        group.members.push(member("north", 7));
    });
    assert_eq!(asks(&bench).as_deref(), Some("west"));
    bench.wrote("east", 5);
    let mut asked = Vec::new();
    let begun = bench.now();
    while bench.now() < begun + ms(40_000) {
        bench.pass(ms(100));
        if !bench.asked.is_empty() {
            let who = asks(&bench);
            if asked.last().map(|(_, who)| who) != Some(&who) {
                asked.push((bench.now().since(begun).as_secs(), who));
            }
            bench.wrote("east", 5);
        }
    }
    let asked: Vec<_> = asked
        .iter()
        .map(|(at, who)| (*at, who.as_deref()))
        .collect();
    assert_eq!(
        asked,
        [
            (3, Some("west")),
            (5, Some("north")),
            (10, None),
            (35, Some("west")),
            (40, Some("north"))
        ][..asked.len()]
    );
    assert!(asked.len() >= 4);
    bench.expect(&[]);
}

#[test]
fn a_question_that_is_not_acknowledged_passes_nobody_over() {
    let mut bench = Bench::new("east");
    bench.leads();
    bench.change(|group, _| group.members[1] = member("west", 10));
    bench.pass(ms(8000));
    assert_eq!(asks(&bench).as_deref(), Some("west"));
    bench.wrote("east", 5);
    // The next renewal is due, and asks the same.
    assert_eq!(asks(&bench).as_deref(), Some("west"));
}

#[test]
fn in_a_paused_group_nobody_is_asked() {
    let mut bench = Bench::new("east");
    bench.leads();
    bench.change(|group, _| {
        group.paused = true;
        group.members[1] = member("west", 10);
        group.members[1].stands_for = Some(Token(5));
    });
    assert!(bench.asked.is_empty());
    bench.pass(TIMING.renewal());
    assert_eq!(asks(&bench), None);
    bench.expect(&[]);
}

#[test]
fn who_is_asked_answers_if_it_can_lead() {
    let mut bench = Bench::new("east");
    let ask = |bench: &mut Bench| {
        let mut view = bench.view(Some(("west", 7)));
        view.preferred = Some(name("east"));
        bench.show(view);
    };
    ask(&mut bench);
    assert_eq!(bench.machine.stands_for(), Some(Token(7)));
    bench.change(|group, _| group.paused = true);
    assert_eq!(bench.machine.stands_for(), None);
    bench.change(|group, own| {
        group.paused = false;
        own.ready = false;
    });
    assert_eq!(bench.machine.stands_for(), None);
    bench.change(|_, own| own.ready = true);
    assert_eq!(bench.machine.stands_for(), Some(Token(7)));
    // Another one is asked.
    bench.held("west", 7);
    assert_eq!(bench.machine.stands_for(), None);
}

#[test]
fn terms_that_are_not_led_yet_are_handed_over_too() {
    for mode in [Mode::Strict, Mode::Fast] {
        let mut bench = Bench::new("east");
        bench.change(|group, _| group.mode = mode);
        bench.held("west", 7);
        bench.pass(TIMING.lease);
        bench.wrote("east", 9);
        bench.machine.take_transitions();
        bench.change(|group, _| {
            group.members.push(member("north", 10));
            group.members[2].stands_for = Some(Token(9));
        });
        let from = if mode == Mode::Strict {
            Elected
        } else {
            Starting
        };
        bench.expect(&[(from, Draining, R::HigherRank)]);
        if mode == Mode::Fast {
            bench.asked.retain(|one| !one.is_for_store());
            bench.job(ClusterDone::Gone);
        }
    }
}

#[test]
fn a_member_of_lower_rank_that_leads_keeps_the_lease_while_nobody_better_is_ready() {
    let mut bench = Bench::new("east");
    bench.leads();
    bench.change(|group, _| {
        group.members[1] = member("west", 10);
        group.members[1].alive = false;
    });
    assert!(bench.asked.is_empty());
    // A rank that is lowered later counts as well.
    bench.change(|group, _| {
        group.members[1] = member("west", 4);
        group.members[0].rank = 3;
    });
    assert_eq!(asks(&bench).as_deref(), Some("west"));
    assert_eq!(bench.machine.state(), Leading);
    assert_ne!(bench.machine.state(), Standby);
}
