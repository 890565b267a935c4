//! Strict mode: a successor waits until earlier terms are known to be over (F1).

use helium_failover::Token;
use helium_failover::kind::Mode;
use helium_failover::machine::{Action, Reason as R, State};

use super::bench::{Bench, TIMING, member, ms, name, term};
use State::{Elected, Starting};

/// Elected at token 9 after west's term 7 has run out.
fn elected(mode: Mode, theirs: Mode) -> Bench {
    let mut bench = Bench::new("east");
    bench.change(|group, _| group.mode = mode);
    let mut view = bench.view(Some(("west", 7)));
    view.holder.as_mut().unwrap().mode = theirs;
    bench.show(view);
    bench.pass(TIMING.lease);
    bench.wrote("east", 9);
    bench.machine.take_transitions();
    bench
}

#[test]
fn a_strict_term_waits_and_a_strict_one_is_waited_for() {
    for (mode, theirs, state) in [
        (Mode::Fast, Mode::Fast, Starting),
        (Mode::Fast, Mode::Strict, Elected),
        (Mode::Strict, Mode::Fast, Elected),
        (Mode::Strict, Mode::Strict, Elected),
    ] {
        let bench = elected(mode, theirs);
        assert_eq!(bench.machine.state(), state, "{mode:?} after {theirs:?}");
        assert_eq!(bench.machine.unconfirmed(), [term("west", 7, theirs)]);
    }
}

#[test]
fn the_predecessors_word_confirms() {
    let mut bench = elected(Mode::Strict, Mode::Strict);
    bench.change(|group, _| group.members[1].stopped = Some(Token(6)));
    bench.expect(&[]);
    bench.change(|group, _| group.members[1].stopped = Some(Token(7)));
    bench.expect(&[(Elected, Starting, R::Confirmed)]);
    bench.asked.retain(Action::is_for_store);
    bench.pass(TIMING.renewal());
    let renewed = bench.asked.iter().find_map(|one| match one {
        Action::Renew { unconfirmed, .. } => Some(unconfirmed.clone()),
        _ => None,
    });
    assert_eq!(renewed, Some(Vec::new()));
}

#[test]
fn a_persons_word_confirms() {
    let mut bench = elected(Mode::Strict, Mode::Strict);
    bench.change(|group, _| group.force = Some((Token(6), name("north"))));
    bench.expect(&[]);
    bench.change(|group, _| group.force = Some((Token(7), name("east"))));
    bench.expect(&[(Elected, Starting, R::Confirmed)]);
}

#[test]
fn the_dead_mans_switch_confirms_when_its_time_is_over() {
    let mut bench = Bench::new("east");
    bench.change(|group, _| group.mode = Mode::Strict);
    let mut view = bench.view(Some(("west", 7)));
    view.holder.as_mut().unwrap().dead_man = Some(ms(10_000));
    bench.show(view);
    bench.pass(TIMING.lease);
    bench.wrote("east", 9);
    bench.machine.take_transitions();
    let begun = bench.now();
    while bench.machine.state() == Elected {
        bench.pass(ms(10));
        if bench.asked.iter().any(Action::is_for_store) {
            bench.wrote("east", 9);
        }
    }
    // A percent more, for the switch has a clock of its own.
    assert_eq!(bench.now().since(begun), ms(10_100));
    bench.expect(&[(Elected, Starting, R::Confirmed)]);
}

#[test]
fn nothing_else_does() {
    let mut bench = elected(Mode::Strict, Mode::Strict);
    let begun = bench.now();
    while bench.now() < begun + ms(3_600_000) {
        bench.pass(TIMING.renewal());
        bench.wrote("east", 9);
    }
    assert_eq!(bench.machine.state(), Elected);
}

#[test]
fn what_is_not_confirmed_is_carried_along() {
    // North's term 3 was not over when west claimed; west's record runs out, too.
    let mut bench = Bench::new("east");
    bench.change(|group, _| {
        group.mode = Mode::Strict;
        group.members.push(member("north", 1));
        group.members[2].ready = false;
    });
    let mut view = bench.view(Some(("west", 7)));
    view.unconfirmed = vec![term("north", 3, Mode::Strict)];
    bench.show(view);
    bench.pass(TIMING.lease);
    let Action::Claim { unconfirmed, .. } = bench.sole() else {
        panic!()
    };
    let both = vec![
        term("north", 3, Mode::Strict),
        term("west", 7, Mode::Strict),
    ];
    assert_eq!(unconfirmed, both);
    bench.wrote("east", 9);
    bench.change(|_, own| own.ready = false);
    let Action::Release { unconfirmed, .. } = bench.sole() else {
        panic!()
    };
    assert_eq!(unconfirmed, both);
}

#[test]
fn a_cluster_that_leads_again_has_ended_its_earlier_terms_itself() {
    let mut bench = Bench::new("east");
    bench.change(|group, _| group.mode = Mode::Strict);
    let mut view = bench.view(Some(("west", 7)));
    view.unconfirmed = vec![term("west", 3, Mode::Strict)];
    bench.show(view);
    bench.pass(TIMING.lease);
    let Action::Claim { unconfirmed, .. } = bench.sole() else {
        panic!()
    };
    assert_eq!(unconfirmed, vec![term("west", 7, Mode::Strict)]);
}

#[test]
fn a_lease_that_was_given_up_needs_no_confirmation() {
    let mut bench = Bench::new("east");
    bench.change(|group, _| group.mode = Mode::Strict);
    bench.held("west", 7);
    let mut view = bench.view(None);
    view.stopped = Some(Token(7));
    bench.show(view);
    bench.wrote("east", 9);
    assert_eq!(
        (bench.machine.state(), bench.machine.reason()),
        (Starting, R::Free)
    );
}
