//! The own API server dies.

use std::time::Duration;

use helium_controllers::failover::payload::{ApplyOutcome, FailureReason, StopOutcome};
use helium_failover::kind::Mode;
use http::Method;

use super::{SETTINGS, WEB};
use crate::world::{World, term};

pub(crate) async fn a_stop_goes_on_after_the_api_server_died(world: &mut World) {
    world.namespace("outage").await;
    let member = world.member_with("outage", "web", "7e2", |options| {
        options.patience = Duration::from_secs(2);
        options.request_timeout = Duration::from_secs(1);
    });
    member.applied(WEB, 1).await;
    // In the middle: it has begun, and nothing is deleted yet.
    let hold = member.relay.hold(Method::DELETE, "/outage/");
    let stop = member.stop(1);
    let die = async {
        member.relay.sees("DELETE ").await;
        world.cluster.kill_apiserver();
        hold.release();
    };
    let (stopped, ()) = tokio::join!(stop, die);
    let StopOutcome::Failed(failure) = stopped else {
        panic!("{stopped:?}")
    };
    assert_eq!(failure.reason, FailureReason::Away);
    assert!(failure.message.contains("doesn't answer"), "{failure}");
    // Neither does it begin anything meanwhile.
    let other = world.member_with("outage", "mail", "8f3", |_| {});
    let ApplyOutcome::Failed(failure) = other.apply(SETTINGS, &term(1, Mode::Fast)).await else {
        panic!("applied to nobody")
    };
    assert!(
        failure.reason == FailureReason::Away && failure.is_retryable(),
        "{failure}"
    );
    world.cluster.resume_apiserver();
    world.cluster.wait_ready().await;
    let outcome = loop {
        match member.stop(1).await {
            StopOutcome::Failed(failure) if failure.is_retryable() => {}
            outcome => break outcome,
        }
    };
    assert_eq!(outcome, StopOutcome::Gone { kept: Vec::new() });
    assert!(world.config_map("outage", "settings").await.is_null());
}
