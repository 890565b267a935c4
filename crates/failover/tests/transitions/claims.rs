//! From Standby to Leading: who may claim, when, and why.

use helium_failover::kind::Mode;
use helium_failover::machine::{Action, ClusterDone, Reason as R, State, StoreDone};
use helium_failover::{Timing, Token};

use super::bench::{Bench, TIMING, member, ms, name, term};
use State::{Candidate, Elected, Leading, Standby, Starting};

#[test]
fn a_member_that_may_lead_claims_the_free_lease_and_leads() {
    let mut bench = Bench::new("east");
    bench.absent();
    bench.expect(&[(Standby, Candidate, R::Waiting)]);
    assert!(matches!(
        bench.sole(),
        Action::Claim {
            version: None,
            reason: R::Free,
            ..
        }
    ));
    bench.wrote("east", 5);
    bench.expect(&[(Candidate, Elected, R::Free), (Elected, Starting, R::Free)]);
    let Action::Apply {
        token: Token(5),
        until,
        ..
    } = bench.sole()
    else {
        panic!("{:?}", bench.sole());
    };
    assert_eq!(until, TIMING.stop_begins(bench.now()));
    bench.job(ClusterDone::Applied);
    bench.expect(&[(Starting, Leading, R::Applied)]);
    assert_eq!(bench.machine.applied(), Some("one"));
}

#[test]
fn what_keeps_a_member_from_leading_is_its_reason() {
    for (reason, change) in [
        (
            R::NotReady,
            (|bench: &mut Bench| bench.change(|_, own| own.ready = false)) as fn(&mut Bench),
        ),
        (R::Deleted, |bench| {
            bench.change(|_, own| own.deleted = true)
        }),
        (R::Invalid, |bench| {
            bench.change(|_, own| own.invalid = true)
        }),
        (R::Fresh, |bench| {
            bench.change(|group, _| group.members.clear())
        }),
    ] {
        let mut bench = Bench::new("east");
        bench.expect(&[(Standby, Candidate, R::Waiting)]);
        change(&mut bench);
        bench.expect(&[(Candidate, Standby, reason)]);
        bench.absent();
        bench.pass(TIMING.lease * 2);
        assert!(bench.asked.is_empty(), "{reason}: {:?}", bench.asked);
        assert_eq!(
            (bench.machine.state(), bench.machine.reason()),
            (Standby, reason)
        );
    }
}

#[test]
fn in_a_paused_group_nobody_claims_until_it_is_resumed() {
    let mut bench = Bench::new("east");
    bench.change(|group, _| group.paused = true);
    bench.absent();
    bench.pass(TIMING.lease * 2);
    assert!(bench.asked.is_empty());
    assert_eq!(
        (bench.machine.state(), bench.machine.reason()),
        (Candidate, R::Paused)
    );
    bench.change(|group, _| group.paused = false);
    assert!(matches!(
        bench.sole(),
        Action::Claim {
            reason: R::Free,
            ..
        }
    ));
}

#[test]
fn a_free_lease_is_the_bests_and_the_others_come_in_their_order() {
    let cases = [
        // ranks of west and north, their joined; how long east with rank 5 waits
        ((4, "2026"), (3, "2026"), 0),
        ((6, "2026"), (3, "2026"), 200),
        ((6, "2026"), (7, "2026"), 400),
        // Equal ranks: the older, then the name.
        ((5, "2025"), (3, "2026"), 200),
        ((5, "2027"), (3, "2026"), 0),
        ((5, "2026-01-01T00:00:00Z"), (3, "2026"), 0),
    ];
    for ((west, west_joined), (north, north_joined), waits) in cases {
        let mut bench = Bench::new("east");
        bench.change(|group, _| {
            group.members[1] = member("west", west);
            group.members[1].joined = west_joined.to_owned();
            group.members.push(member("north", north));
            group.members[2].joined = north_joined.to_owned();
        });
        bench.absent();
        if waits > 0 {
            bench.pass(ms(waits - 1));
            assert!(bench.asked.is_empty(), "{west} {north}");
            bench.pass(ms(1));
        }
        assert!(
            matches!(
                bench.sole(),
                Action::Claim {
                    reason: R::Free,
                    ..
                }
            ),
            "{west} {north}"
        );
    }
}

#[test]
fn who_is_not_ready_or_not_alive_is_not_waited_for_and_who_is_preferred_comes_first() {
    let mut bench = Bench::new("east");
    bench.change(|group, _| {
        group.members[1] = member("west", 10);
        group.members[1].alive = false;
    });
    bench.absent();
    assert!(matches!(bench.sole(), Action::Claim { .. }));

    let mut bench = Bench::new("east");
    bench.change(|group, _| {
        group.members[1] = member("west", 10);
        group.preferred = Some(name("east"));
    });
    bench.absent();
    assert!(matches!(bench.sole(), Action::Claim { .. }));
}

#[test]
fn a_held_lease_is_claimed_when_it_was_unchanged_for_its_time_by_own_observation() {
    let mut bench = Bench::new("east");
    bench.held("west", 7);
    bench.pass(TIMING.lease - ms(1));
    assert!(bench.asked.is_empty());
    // A renewal: the time begins anew.
    bench.held("west", 7);
    bench.pass(TIMING.lease - ms(1));
    assert!(bench.asked.is_empty());
    bench.pass(ms(1));
    let Action::Claim {
        version: Some(version),
        reason: R::Expired,
        unconfirmed,
        ..
    } = bench.sole()
    else {
        panic!("{:?}", bench.sole());
    };
    assert_eq!(version, bench.lease.clone().unwrap().version);
    assert_eq!(unconfirmed, vec![term("west", 7, Mode::Fast)]);
    bench.wrote("east", 9);
    // Fast mode: it starts, and says that nobody has confirmed the predecessor's end.
    bench.machine.take_transitions();
    assert_eq!(bench.machine.state(), Starting);
    assert_eq!(bench.machine.unconfirmed(), [term("west", 7, Mode::Fast)]);
}

#[test]
fn a_duration_that_somebody_shortened_does_not_end_a_term_earlier() {
    let mut bench = Bench::new("east");
    bench.held("west", 7);
    let mut view = bench.view(Some(("west", 7)));
    view.holder.as_mut().unwrap().duration = ms(1000);
    bench.show(view);
    bench.pass(TIMING.lease - ms(1));
    assert!(bench.asked.is_empty());
    bench.pass(ms(1));
    assert!(matches!(
        bench.sole(),
        Action::Claim {
            reason: R::Expired,
            ..
        }
    ));
}

#[test]
fn late_news_of_an_older_record_is_not_believed_but_asked_about() {
    let mut bench = Bench::new("east");
    let older = bench.view(Some(("west", 3)));
    bench.held("west", 7);
    bench.show(older.clone());
    assert!(matches!(bench.sole(), Action::Read));
    // The store went back in time: the older record is true.
    bench.answered(StoreDone::Read(Some(older.clone())));
    bench.pass(TIMING.lease);
    let Action::Claim { version, .. } = bench.sole() else {
        panic!()
    };
    assert_eq!(version, Some(older.version));
}

#[test]
fn a_lease_that_was_handed_over_is_the_successors_at_once_and_the_others_after_a_pause() {
    for (kept_for, waits, reason) in [("east", 0, R::HandedOver), ("west", 1000, R::Free)] {
        let mut bench = Bench::new("east");
        bench.change(|group, _| group.members[1].ready = true);
        let mut view = bench.view(None);
        view.stopped = Some(Token(7));
        view.preferred = Some(name(kept_for));
        bench.show(view);
        if waits > 0 {
            bench.pass(ms(waits - 1));
            assert!(bench.asked.is_empty(), "{kept_for}");
            bench.pass(ms(1));
        }
        let Action::Claim { reason: why, .. } = bench.sole() else {
            panic!()
        };
        assert_eq!(why, reason);
    }
}

#[test]
fn the_one_that_has_just_given_up_is_not_waited_for() {
    let mut bench = Bench::new("east");
    // Its entry doesn't say yet that it isn't ready any more.
    bench.change(|group, _| group.members[1].ready = true);
    bench.held("west", 7);
    let mut view = bench.view(None);
    view.stopped = Some(Token(7));
    bench.show(view);
    assert!(matches!(
        bench.sole(),
        Action::Claim {
            reason: R::Free,
            ..
        }
    ));
}

#[test]
fn a_lease_that_was_deleted_or_emptied_by_hand_is_waited_for() {
    for emptied in [true, false] {
        let mut bench = Bench::new("east");
        bench.change(|group, _| group.last_term = Some((name("west"), Token(7))));
        if emptied {
            let view = bench.view(None);
            bench.show(view);
        } else {
            bench.absent();
        }
        bench.pass(TIMING.lease - ms(1));
        assert!(bench.asked.is_empty());
        bench.pass(ms(1));
        let Action::Claim {
            reason: R::Expired,
            unconfirmed,
            ..
        } = bench.sole()
        else {
            panic!()
        };
        assert_eq!(unconfirmed, vec![term("west", 7, Mode::Fast)]);
    }
}

#[test]
fn a_person_who_forces_it_is_obeyed_at_once_and_only_once() {
    let mut bench = Bench::new("east");
    bench.held("west", 7);
    bench.change(|group, _| group.force = Some((Token(6), name("east"))));
    assert!(bench.asked.is_empty(), "the term is newer than the word");
    bench.change(|group, _| group.force = Some((Token(7), name("west"))));
    assert!(bench.asked.is_empty(), "another one is meant");
    bench.change(|group, _| group.force = Some((Token(7), name("east"))));
    let Action::Claim {
        reason: R::Forced,
        unconfirmed,
        ..
    } = bench.sole()
    else {
        panic!()
    };
    assert_eq!(unconfirmed, Vec::new());
    bench.wrote("east", 9);
    bench.held("west", 12);
    bench.job(ClusterDone::Gone);
    assert_eq!(bench.machine.state(), Candidate);
    assert!(bench.asked.is_empty());
}

#[test]
fn after_the_store_went_back_in_time_it_waits_as_long_as_it_is_told() {
    let mut bench = Bench::new("east");
    bench.absent();
    bench.answered(StoreDone::NotYet(ms(20_000)));
    assert_eq!(
        (bench.machine.state(), bench.machine.reason()),
        (Candidate, R::StoreWentBack)
    );
    bench.pass(ms(19_999));
    assert!(bench.asked.is_empty());
    bench.pass(ms(1));
    assert!(matches!(bench.sole(), Action::Claim { .. }));
}

#[test]
fn times_and_mode_of_the_group_are_for_the_next_term() {
    let mut bench = Bench::new("east");
    bench.leads();
    let deadline = bench.machine.deadline();
    bench.change(|group, _| {
        group.timing = Timing::new(ms(60_000), ms(5000)).unwrap();
        group.mode = Mode::Strict;
    });
    assert_eq!(bench.machine.deadline(), deadline);
    assert!(bench.asked.is_empty());
}
