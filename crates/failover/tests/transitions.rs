//! Every transition of the machine, with its reason.
#![allow(clippy::unwrap_used)]

#[path = "rig/bench.rs"]
mod bench;

use bench::{Bench, TIMING};
use helium_failover::Token;
use helium_failover::machine::{Action, ClusterDone, Reason as R, State};

use ClusterDone::{Applied, Gone};
use State::{Candidate, Draining, Elected, Leading, Standby, Starting};

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
    let until = match bench.sole() {
        Action::Apply {
            token: Token(5),
            until,
            ..
        } => until,
        other => panic!("{other:?}"),
    };
    assert_eq!(until, TIMING.stop_begins(bench.now()));
    bench.job(Applied);
    bench.expect(&[(Starting, Leading, R::Applied)]);
    assert_eq!(bench.machine.applied(), Some("one"));
}

#[test]
fn a_leader_that_may_not_lead_any_more_stops_and_then_gives_the_lease_up() {
    let mut bench = Bench::new("east");
    bench.leads();
    bench.change(|_, own| own.ready = false);
    bench.expect(&[(Leading, Draining, R::NotReady)]);
    assert!(matches!(
        bench.sole(),
        Action::Stop {
            token: Token(5),
            ..
        }
    ));
    bench.job(Gone);
    assert!(matches!(
        bench.sole(),
        Action::Release {
            token: Token(5),
            preferred: None,
            reason: R::NotReady,
            ..
        }
    ));
    bench.wrote("nobody", 0);
    bench.expect(&[(Draining, Standby, R::Stopped)]);
    assert_eq!(bench.machine.reason(), R::NotReady);
    assert_eq!(bench.machine.stopped(), Some(Token(5)));
}
