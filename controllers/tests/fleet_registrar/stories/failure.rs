//! Agents end, and the store goes away.

use kube::Api;
use kube::core::{ApiResource, GroupVersionKind};

use super::*;
use crate::agent::Credential;

pub(crate) async fn a_stopped_agent_hands_over_to_its_standby(world: &mut World) {
    let mut standby = agent::start(&world.east, Credential::Certificate, "2").await;
    wait_for("the standby is ready", TAKEOVER, || async {
        standby
            .probe("/readyz")
            .await
            .is_some_and(|(status, _)| status == 200)
    })
    .await;
    assert!(!standby.leads().await);
    world.east_agent.terminate();
    wait_for("the standby leads", PROMPT, || standby.leads()).await;
    std::mem::swap(&mut world.east_agent, &mut standby);
    define(&world.west, "handover.example.com", &["v1"]).await;
    let services = world.east.api_services();
    world
        .east
        .sees(
            "is available",
            PROMPT,
            &services,
            "v1.handover.example.com",
            is_available,
        )
        .await;
}

pub(crate) async fn a_killed_agent_catches_up(world: &mut World) {
    let services = world.west.api_services();
    let west = &world.west;
    west.sees(
        "is there",
        PROMPT,
        &services,
        "v1.handover.example.com",
        |_| true,
    )
    .await;
    world.west_agent.process.kill();
    let definitions = world.east.definitions();
    world
        .east
        .delete(&definitions, "widgets.handover.example.com")
        .await;
    define(&world.east, "catchup.example.com", &["v1"]).await;
    west.misses(
        Duration::from_secs(15),
        &definitions,
        "widgets.handover.example.com",
    )
    .await;
    // What nobody keeps stays.
    let left = services
        .get_opt("v1.handover.example.com")
        .await
        .expect("an answer");
    assert!(left.is_some());

    world.west_agent = agent::start(&world.west, Credential::Token, "2").await;
    let west = &world.west;
    west.sees(
        "is available",
        TAKEOVER,
        &services,
        "v1.catchup.example.com",
        is_available,
    )
    .await;
    west.misses(PROMPT, &services, "v1.handover.example.com")
        .await;
}

/// The agent of west sees the outage from its beginning to its end.
pub(crate) async fn without_the_store_everything_stays(world: &mut World) {
    const SERVICE: &str = "v1.catchup.example.com";
    world.store.kill();
    // One that knows the definitions repairs what somebody breaks meanwhile.
    let services = world.west.api_services();
    world.west.delete(&services, SERVICE).await;
    world
        .west
        .sees(
            "is back without the store",
            PROMPT,
            &services,
            SERVICE,
            |_| true,
        )
        .await;
    world
        .west
        .sees("is available", AVAILABLE, &services, SERVICE, is_available)
        .await;

    // One that starts now knows nothing, and does nothing: it removes nothing, and writes nothing.
    world.east_agent.process.kill();
    let east = &world.east;
    let services = east.api_services();
    east.delete(&services, "v1.drift.example.com").await;
    let agent = agent::start(east, Credential::Kubeconfig, "3").await;
    wait_for("the new agent leads", TAKEOVER, || agent.leads()).await;
    wait_for(
        "it has tried to read the definitions",
        AVAILABLE,
        || async { agent.process.log().contains("the server is away") },
    )
    .await;
    world.east_agent = agent;
    let east = &world.east;
    for name in [SERVICE, "v1.helium.dev", "v1.foreign.example.com"] {
        assert!(
            services.get_opt(name).await.expect("an answer").is_some(),
            "{name} was removed"
        );
    }
    let absent = services
        .get_opt("v1.drift.example.com")
        .await
        .expect("an answer");
    assert!(absent.is_none(), "written without knowing the definitions");

    world.store.resume();
    east.sees(
        "is back with the store",
        TAKEOVER,
        &services,
        "v1.drift.example.com",
        |_| true,
    )
    .await;
    // And news arrive as before.
    wait_for("the store takes writes", TAKEOVER, || async {
        let definition = definition("after.example.com", &["v1"]);
        let made = east
            .definitions()
            .create(&PostParams::default(), &definition)
            .await;
        made.is_ok() || matches!(&made, Err(kube::Error::Api(status)) if status.is_already_exists())
    })
    .await;
    for cluster in world.clusters() {
        let services = cluster.api_services();
        cluster
            .sees(
                "is available",
                TAKEOVER,
                &services,
                "v1.after.example.com",
                is_available,
            )
            .await;
    }
}

pub(crate) async fn renewed_credentials_are_used(world: &World) {
    const GROUP: &str = "renewed.example.com";
    let east = &world.east;
    agent::renew(east);
    wait_for("the new credentials are seen", TAKEOVER, || async {
        let log = world.east_agent.process.log();
        log.contains("the credentials for the control plane have changed")
    })
    .await;
    define(&world.west, GROUP, &["v1"]).await;
    let services = east.api_services();
    let name = format!("v1.{GROUP}");
    east.sees("is available", PROMPT, &services, &name, is_available)
        .await;
}

pub(crate) async fn an_agent_that_loses_its_lease_stands_for_it_again(world: &World) {
    let east = &world.east;
    let kind = GroupVersionKind::gvk("coordination.k8s.io", "v1", "Lease");
    let leases: Api<DynamicObject> = Api::namespaced_with(
        east.admin.clone(),
        "helium-system",
        &ApiResource::from_gvk(&kind),
    );
    let taken = json!({"spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 1}});
    merge(&leases, "helium-agent", taken).await;
    wait_for("the loss is noticed", TAKEOVER, || async {
        let log = world.east_agent.process.log();
        log.contains("another agent has taken the lease")
    })
    .await;
    wait_for("it leads again", TAKEOVER, || world.east_agent.leads()).await;
    define(&world.west, "again.example.com", &["v1"]).await;
    let services = east.api_services();
    let name = "v1.again.example.com";
    east.sees("is available", PROMPT, &services, name, is_available)
        .await;
}
