//! Answers that are late, lost, or not what was hoped for.

use helium_failover::Token;
use helium_failover::machine::{Action, ClusterDone, Reason as R, State, StoreDone};

use super::bench::{Bench, TIMING, ms};
use State::{Candidate, Draining, Elected, Isolated, Leading, Standby};

#[test]
fn a_claim_that_lost_the_race_waits_for_the_winner() {
    let mut bench = Bench::new("east");
    bench.absent();
    bench.answered(StoreDone::Refused);
    assert!(matches!(bench.sole(), Action::Read));
    let view = bench.view(Some(("west", 7)));
    bench.answered(StoreDone::Read(Some(view)));
    bench.pass(TIMING.lease - ms(1));
    assert!(bench.asked.is_empty());
}

#[test]
fn a_claim_without_an_answer_that_was_written_is_found_and_given_up() {
    let mut bench = Bench::new("east");
    bench.absent();
    bench.answered(StoreDone::Unknown);
    assert!(matches!(bench.sole(), Action::Read));
    bench.machine.take_transitions();
    let view = bench.view(Some(("east", 7)));
    bench.lease = Some(view.clone());
    bench.answered(StoreDone::Read(Some(view)));
    bench.expect(&[(Candidate, Isolated, R::UnknownTerm)]);
    // Nobody else can have made that claim, so nothing is waited for.
    bench.job(ClusterDone::Gone);
    bench.wrote("east", 7);
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
fn a_watch_that_is_faster_than_the_answer_to_a_claim_changes_nothing() {
    let mut bench = Bench::new("east");
    bench.absent();
    bench.machine.take_transitions();
    let view = bench.view(Some(("east", 7)));
    bench.show(view.clone());
    bench.expect(&[]);
    bench.answered(StoreDone::Written(view));
    assert_eq!(bench.machine.token(), Some(Token(7)));
    let took = bench.machine.take_transitions();
    assert_eq!(
        (took[0].from, took[0].to, took[0].reason),
        (Candidate, Elected, R::Free)
    );
}

#[test]
fn a_claim_that_is_answered_when_it_is_not_wanted_any_more_is_given_up() {
    let mut bench = Bench::new("east");
    bench.absent();
    bench.change(|_, own| own.ready = false);
    bench.machine.take_transitions();
    bench.wrote("east", 7);
    bench.expect(&[
        (Standby, Elected, R::Free),
        (Elected, Draining, R::NotReady),
    ]);
    assert!(matches!(
        bench.sole(),
        Action::Release {
            token: Token(7),
            ..
        }
    ));
}

#[test]
fn a_claim_that_is_answered_after_its_time_starts_nothing() {
    let mut bench = Bench::new("east");
    bench.absent();
    let sent = bench.now();
    bench.paused(TIMING.lease);
    bench.machine.take_transitions();
    bench.wrote_sent("east", 7, sent);
    bench.expect(&[
        (Candidate, Elected, R::Free),
        (Elected, Isolated, R::NotRenewed),
    ]);
    assert!(matches!(
        bench.sole(),
        Action::Release {
            token: Token(7),
            ..
        }
    ));
}

#[test]
fn a_renewal_that_is_refused_for_another_writer_is_sent_again() {
    let mut bench = Bench::new("east");
    bench.leads();
    bench.pass(TIMING.renewal());
    bench.answered(StoreDone::Refused);
    assert!(matches!(bench.sole(), Action::Read));
    // Somebody annotated it.
    let view = bench.view(Some(("east", 5)));
    bench.answered(StoreDone::Read(Some(view.clone())));
    let Action::Renew { version, .. } = bench.sole() else {
        panic!()
    };
    assert_eq!(version, view.version);
    bench.expect(&[]);
}

#[test]
fn a_record_that_says_less_than_it_could_ends_no_term() {
    let mut bench = Bench::new("east");
    bench.leads();
    // A watch shows no lease: late, or deleted. It is asked.
    bench.absent();
    assert!(matches!(bench.sole(), Action::Read));
    bench.expect(&[]);
    bench.answered(StoreDone::Read(None));
    bench.expect(&[(Leading, Isolated, R::Lost)]);
}

#[test]
fn an_answer_never_counts_from_later_than_now_and_takes_nothing_back() {
    let mut bench = Bench::new("east");
    bench.leads();
    let first = bench.machine.deadline();
    bench.pass(TIMING.renewal());
    let long_ago = bench.now() - TIMING.lease;
    bench.wrote_sent("east", 5, long_ago);
    assert_eq!(bench.machine.deadline(), first);
    bench.pass(TIMING.renewal());
    let ahead = bench.now() + TIMING.lease;
    bench.wrote_sent("east", 5, ahead);
    assert_eq!(
        bench.machine.deadline(),
        Some(TIMING.stop_begins(bench.now()))
    );
}

#[test]
fn a_server_that_refuses_everything_is_not_asked_without_a_pause() {
    let mut bench = Bench::new("east");
    bench.leads();
    bench.pass(TIMING.renewal());
    let begun = bench.now();
    let mut requests = 0;
    while bench.now() < begun + ms(5000) {
        match bench.asked.first() {
            Some(Action::Read) => {
                requests += 1;
                let same = bench.lease.clone();
                bench.answered(StoreDone::Read(same));
            }
            Some(_) => {
                requests += 1;
                bench.answered(StoreDone::Refused);
            }
            None => bench.pass(ms(10)),
        }
    }
    assert!(requests < 30, "{requests} requests in five seconds");
}

#[test]
fn a_release_whose_answer_was_lost_is_found_in_the_record() {
    let mut bench = Bench::new("east");
    bench.leads();
    bench.change(|_, own| own.ready = false);
    bench.job(ClusterDone::Gone);
    bench.machine.take_transitions();
    bench.answered(StoreDone::Unknown);
    let mut view = bench.view(None);
    view.stopped = Some(Token(5));
    bench.answered(StoreDone::Read(Some(view)));
    bench.expect(&[(Draining, Standby, R::Stopped)]);
}

#[test]
fn an_answer_that_nobody_waits_for_means_nothing() {
    let mut bench = Bench::new("east");
    let view = bench.view(Some(("east", 7)));
    let now = bench.now();
    bench.machine.done_store(now, now, StoreDone::Written(view));
    bench.machine.done_cluster(now, ClusterDone::Gone);
    bench.machine.next(now);
    assert_eq!(
        (bench.machine.state(), bench.machine.token()),
        (Candidate, None)
    );
    assert_ne!(bench.machine.state(), Standby);
}
