//! One agent touches a payload (P5).

use helium_controllers::failover::payload::{ApplyOutcome, ForgetOutcome, StopOutcome};
use helium_failover::Token;
use helium_failover::kind::Mode;
use helium_failover::machine::Phase;
use http::Method;

use super::{SETTINGS, WEB};
use crate::world::{World, term};

pub(crate) async fn a_replaced_agent_touches_nothing(world: &World) {
    let first = world.member("agents").await;
    first.applied(SETTINGS, 1).await;
    let second = world.member_with("agents", "web", "7e2", |_| {});
    let found = second.site.footprints().await.expect("footprints");
    let found: Vec<_> = found
        .records
        .iter()
        .filter(|record| record.namespace == "agents")
        .collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].token, found[0].phase), (Token(1), Phase::Running));
    let before = world.config_map("agents", "settings").await;
    let sent = first.relay.writes();
    let puts = || {
        let asked = first.relay.asked();
        let is_footprint =
            |one: &&String| one.starts_with("PUT ") && one.contains("failover-agents.web");
        asked.iter().filter(is_footprint).count()
    };
    let puts_before = puts();
    let edited = first
        .apply(&SETTINGS.replace("red", "blue"), &term(1, Mode::Fast))
        .await;
    assert!(
        matches!(edited, ApplyOutcome::Replaced { .. }),
        "{edited:?}"
    );
    let stopped = first.stop(1).await;
    assert!(
        matches!(stopped, StopOutcome::Replaced { .. }),
        "{stopped:?}"
    );
    let forgotten = first.site.forget(&first.group, Token(1)).await;
    assert!(
        matches!(forgotten, ForgetOutcome::Replaced { .. }),
        "{forgotten:?}"
    );
    // Each is refused by the footprint, before anything is sent.
    assert_eq!(first.relay.writes() - sent, puts() - puts_before);
    assert_eq!(world.config_map("agents", "settings").await, before);
    second.gone(1).await;
    assert!(world.config_map("agents", "settings").await.is_null());
    second.site.forget(&second.group, Token(1)).await;

    // In the middle of a stop: between its list and its deletions.
    second.applied(SETTINGS, 2).await;
    let uid = world.config_map("agents", "settings").await["metadata"]["uid"].clone();
    let hold = second.relay.hold(Method::GET, "/agents/configmaps");
    let third = world.member_with("agents", "web", "7e2", |_| {});
    let (stopped, ()) = tokio::join!(second.stop(2), async {
        // Its phase is written by then.
        second
            .relay
            .sees("GET /api/v1/namespaces/agents/configmaps")
            .await;
        third.site.footprints().await.expect("footprints");
        hold.release();
    });
    assert!(
        matches!(stopped, StopOutcome::Replaced { .. }),
        "{stopped:?}"
    );
    assert_eq!(
        world.config_map("agents", "settings").await["metadata"]["uid"],
        uid
    );
    third.gone(2).await;
    third.site.forget(&third.group, Token(2)).await;
}

pub(crate) async fn a_restarted_agent_knows_what_to_stop(world: &World) {
    let first = world.member("restart").await;
    // It ends in the middle: one object is there, the other's write is on its way.
    let hold = first.relay.hold(Method::PATCH, "/restart/deployments/");
    {
        let term = term(3, Mode::Fast);
        let apply = first.apply(WEB, &term);
        tokio::select! {
            outcome = apply => panic!("{outcome:?}"),
            () = first.relay.sees("PATCH /apis/apps/v1/namespaces/restart/deployments/web") => {}
        }
    }
    let record = world.footprint(&first).await;
    assert_eq!(
        (
            record["phase"].as_str(),
            record["inventory"].as_array().map(Vec::len)
        ),
        (Some("Starting"), Some(3))
    );
    let second = world.member_with("restart", "web", "7e2", |_| {});
    let found = second.site.footprints().await.expect("footprints");
    let record = found
        .records
        .iter()
        .find(|record| record.namespace == "restart")
        .expect("its footprint");
    let footprint = record.footprint(None);
    assert_eq!(
        (footprint.token, footprint.phase, footprint.sent),
        (Token(3), Phase::Starting, None)
    );
    assert_eq!(footprint.payload, first.parse(WEB).hash());
    // What the dead one had on its way arrives while the new one stops.
    let (stopped, ()) = tokio::join!(second.stop(3), async {
        second.relay.sees("DELETE ").await;
        hold.release();
    });
    assert_eq!(stopped, StopOutcome::Gone { kept: Vec::new() });
    let deployments = world.api(Some("restart"), "apps/v1", "Deployment");
    assert!(world.get(&deployments, "web").await.is_null());
    assert!(world.config_map("restart", "settings").await.is_null());
}
