//! A watchdog and the agent's local Lease.

use std::time::Duration;

use helium_controllers::failover::clock;
use helium_controllers::failover::switch::LocalLeaseError;
use helium_failover::Token;
use helium_testkit::wait_for;

use crate::world::{ENTITLED, World, renew_until, term, until};

pub(crate) async fn it_says_no_until_it_has_seen_the_term_being_renewed(world: &World) {
    let term = term("fresh", 7);
    let watchdog = world.watchdog(&term, ENTITLED);
    watchdog.answers(503).await;
    assert_eq!(watchdog.gate(), None, "the gate breaks the connection");
    let mut local = world.local(&term);
    // Once is not enough: it may be of long ago.
    local.renew(clock::now()).await.expect("renewed");
    assert_eq!(watchdog.probe(), Some(503));
    renew_until(&mut local, || watchdog.probe() == Some(200)).await;
    assert_eq!(watchdog.gate(), Some(200));
}

pub(crate) async fn it_says_no_in_time_when_the_agent_falls_silent(world: &World) {
    let term = term("silent", 7);
    let watchdog = world.watchdog(&term, ENTITLED);
    let mut local = world.local(&term);
    let sent = renew_until(&mut local, || watchdog.probe() == Some(200)).await;
    // The bound is hard (W2): whatever the machine does, a question after it is answered no.
    until(sent + term.timing.usable()).await;
    assert_eq!(watchdog.probe(), Some(503));
    assert_eq!(watchdog.gate(), None);
    assert!(
        watchdog.log().contains("not been renewed in time"),
        "{}",
        watchdog.log()
    );
    // The same term goes on: yes again.
    renew_until(&mut local, || watchdog.probe() == Some(200)).await;
}

pub(crate) async fn a_late_write_of_the_agent_revives_nothing(world: &World) {
    let term = term("late", 7);
    let watchdog = world.watchdog(&term, ENTITLED);
    let mut local = world.local(&term);
    let sent = renew_until(&mut local, || watchdog.probe() == Some(200)).await;
    until(sent + term.timing.usable()).await;
    // An agent that was paused after its renewal was acknowledged, and writes it down now.
    for _late in 0..10 {
        local.renew(sent).await.expect("renewed");
        let seen = clock::now() + Duration::from_millis(300);
        while clock::now() < seen {
            assert_eq!(watchdog.probe(), Some(503), "{}", watchdog.log());
        }
    }
}

pub(crate) async fn another_term_or_the_end_of_this_one_is_a_no_at_once(world: &World) {
    let first = term("turns", 7);
    let watchdog = world.watchdog(&first, ENTITLED);
    let mut local = world.local(&first);
    renew_until(&mut local, || watchdog.probe() == Some(200)).await;
    local.end().await.expect("ended");
    watchdog.answers(503).await;
    // It is found out by looking, not by waiting for the time to be over.
    assert!(
        watchdog.log().contains("the term is over"),
        "{}",
        watchdog.log()
    );
    local.end().await.expect("nothing to end");

    let mut second = term("turns", 9);
    let next = world.watchdog(&second, ENTITLED);
    let mut local = world.local(&second);
    renew_until(&mut local, || next.probe() == Some(200)).await;
    assert_eq!(watchdog.probe(), Some(503), "a pod of the term before");
    second.token = Token(8);
    let mut stale = world.local(&second);
    stale.end().await.expect("not its own: left alone");
    assert_eq!(next.probe(), Some(200));
}

pub(crate) async fn one_that_starts_beside_a_dead_agent_never_says_yes(world: &World) {
    let term = term("orphan", 7);
    let mut local = world.local(&term);
    for _round in 0..3 {
        local.renew(clock::now()).await.expect("renewed");
    }
    // Restarted with its node, as it were, right after the agent's death.
    let watchdog = world.watchdog(&term, ENTITLED);
    watchdog.answers(503).await;
    let end = clock::now() + term.timing.lease;
    while clock::now() < end {
        assert_eq!(watchdog.probe(), Some(503), "{}", watchdog.log());
    }
}

pub(crate) async fn a_paused_or_powerless_one_is_a_failed_probe(world: &World) {
    let term = term("frozen", 7);
    let mut local = world.local(&term);
    let watchdog = world.watchdog(&term, ENTITLED);
    let sent = renew_until(&mut local, || watchdog.probe() == Some(200)).await;
    watchdog.signal("-STOP");
    assert_eq!(watchdog.probe(), None, "no answer in a second");
    until(sent + term.timing.usable()).await;
    watchdog.signal("-CONT");
    // The time of its pause counts: no question finds it alive before it has looked anew.
    assert_ne!(watchdog.probe(), Some(200));
    watchdog.signal("-TERM");
    wait_for("it is gone", crate::world::START, || async {
        watchdog.probe().is_none()
    })
    .await;

    let powerless = world.watchdog(&crate::world::term("frozen", 7), "nobody");
    wait_for("it says why", crate::world::START, || async {
        powerless.log().contains("reading the lease failed") && powerless.log().contains("leases")
    })
    .await;
    local.renew(clock::now()).await.expect("renewed");
    assert_eq!(powerless.probe(), Some(503));
}

pub(crate) async fn a_lost_term_is_not_written_over(world: &World) {
    let mut old = world.local(&term("lost", 7));
    let mut new = world.local(&term("lost", 9));
    old.renew(clock::now()).await.expect("renewed");
    new.renew(clock::now()).await.expect("taken over");
    // It was written by somebody else since this one wrote; then it is seen by whom.
    let lost = old.renew(clock::now()).await.expect_err("lost");
    assert!(matches!(lost, LocalLeaseError::Lost), "{lost}");
    let superseded = old.renew(clock::now()).await.expect_err("superseded");
    assert!(
        matches!(superseded, LocalLeaseError::Superseded(Token(9))),
        "{superseded}"
    );
    new.renew(clock::now()).await.expect("goes on");
}
