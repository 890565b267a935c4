//! What the fleet defines is served in every cluster.

use super::*;
use crate::agent::Credential;

/// An APIService without a server behind it keeps the cluster from deleting namespaces: one is enough to find out.
pub(crate) async fn a_service_that_is_not_there_is_found_out_by_one_registration(
    world: &mut World,
) {
    let west = &world.west;
    let services = west.api_services();
    west.sees(
        "has no Service",
        TAKEOVER,
        &services,
        "v1.helium.dev",
        |service| service["status"]["conditions"][0]["reason"] == "ServiceNotFound",
    )
    .await;
    let other = services.get_opt("v1.coordination.helium.dev").await;
    assert!(other.expect("an answer").is_none());
    world.west_agent.terminate();
    world.west_agent = agent::start(west, Credential::Token, "1").await;
}

pub(crate) async fn built_in_groups_are_registered(world: &World) {
    for cluster in world.clusters() {
        for name in ["v1.helium.dev", "v1.coordination.helium.dev"] {
            let services = cluster.api_services();
            cluster
                .sees("is available", TAKEOVER, &services, name, is_available)
                .await;
        }
    }
    for agent in [&world.east_agent, &world.west_agent] {
        assert!(agent.leads().await);
        let (ready, _) = agent.probe("/readyz").await.expect("an answer");
        assert_eq!(ready, 200);
    }
}

pub(crate) async fn a_definition_is_served_everywhere_and_leaves_nothing_behind(world: &World) {
    const GROUP: &str = "first.example.com";
    define(&world.east, GROUP, &["v1", "v1beta1"]).await;
    for cluster in world.clusters() {
        let services = cluster.api_services();
        let name = format!("v1.{GROUP}");
        let service = cluster
            .sees("is available", PROMPT, &services, &name, is_available)
            .await;
        let bundle = cluster.serving_authority.certificate_pem();
        assert_eq!(
            service["spec"],
            json!({
                "group": GROUP,
                "version": "v1",
                "groupPriorityMinimum": 1000,
                "versionPriority": 100,
                "caBundle": BASE64.encode(bundle),
                "service": {"namespace": "helium-system", "name": cluster.service(), "port": cluster.helium_port},
            })
        );
        assert_eq!(
            service["metadata"]["labels"]["app.kubernetes.io/managed-by"],
            "helium"
        );
        cluster
            .sees(
                "is ranked second",
                PROMPT,
                &services,
                &format!("v1beta1.{GROUP}"),
                |service| service["spec"]["versionPriority"] == 99,
            )
            .await;
        for level in ["view", "edit", "admin"] {
            let role = format!("helium:{GROUP}:{level}");
            let label = format!("rbac.authorization.k8s.io/aggregate-to-{level}");
            cluster
                .sees(
                    "is aggregated",
                    PROMPT,
                    &cluster.cluster_roles(),
                    &role,
                    |role| role["metadata"]["labels"][&label] == "true",
                )
                .await;
        }
    }
    // What is written through one cluster is there in the other.
    let kind = |cluster: &Cluster| cluster.all(&format!("{GROUP}/v1"), "Widget", "widgets");
    let widget = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Widget",
        "metadata": {"name": "one"}, "spec": {"size": 7}});
    let widget: DynamicObject = serde_json::from_value(widget).expect("an object");
    let made = kind(&world.east)
        .create(&PostParams::default(), &widget)
        .await;
    let made = made.expect("created through east");
    let seen = kind(&world.west)
        .get("one")
        .await
        .expect("seen through west");
    assert_eq!(
        (seen.uid(), seen.resource_version()),
        (made.uid(), made.resource_version())
    );

    let name = format!("widgets.{GROUP}");
    let told = world
        .west
        .sees(
            "is registered everywhere",
            PROMPT,
            &world.west.definitions(),
            &name,
            |definition| {
                ["east", "west"]
                    .iter()
                    .all(|cluster| entry(definition, cluster)["available"] == true)
                    && registered(definition)["status"] == "True"
            },
        )
        .await;
    assert_eq!(registered(&told)["reason"], "RegisteredEverywhere");

    world.west.delete(&world.west.definitions(), &name).await;
    for cluster in world.clusters() {
        // The definition itself goes once its objects are settled.
        cluster
            .misses(Duration::from_secs(15), &cluster.definitions(), &name)
            .await;
        for version in ["v1", "v1beta1"] {
            cluster
                .misses(
                    PROMPT,
                    &cluster.api_services(),
                    &format!("{version}.{GROUP}"),
                )
                .await;
        }
        for level in ["view", "edit", "admin"] {
            cluster
                .misses(
                    PROMPT,
                    &cluster.cluster_roles(),
                    &format!("helium:{GROUP}:{level}"),
                )
                .await;
        }
    }
}

pub(crate) async fn a_changed_kind_is_told_and_versions_come_and_go(world: &World) {
    const GROUP: &str = "change.example.com";
    let (east, west) = (&world.east, &world.west);
    define(east, GROUP, &["v1"]).await;
    let services = west.api_services();
    let v1 = format!("v1.{GROUP}");
    let before = west
        .sees("is available", PROMPT, &services, &v1, is_available)
        .await;
    let hash =
        |service: &Value| service["metadata"]["annotations"]["helium.dev/schema-hash"].clone();

    let mut changed = definition(GROUP, &["v1", "v2"]);
    changed.data["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["more"] =
        json!({"type": "string"});
    let patch = json!({"spec": changed.data["spec"]});
    let name = changed.name_any();
    merge(&east.definitions(), &name, patch).await;
    west.sees("has another hash", PROMPT, &services, &v1, |service| {
        hash(service) != hash(&before)
    })
    .await;
    let v2 = format!("v2.{GROUP}");
    west.sees("is available", PROMPT, &services, &v2, |service| {
        is_available(service) && service["spec"]["versionPriority"] == 100
    })
    .await;
    west.sees("is ranked second now", PROMPT, &services, &v1, |service| {
        service["spec"]["versionPriority"] == 99
    })
    .await;

    changed.data["spec"]["versions"][1]["served"] = false.into();
    merge(
        &east.definitions(),
        &name,
        json!({"spec": changed.data["spec"]}),
    )
    .await;
    west.misses(PROMPT, &services, &v2).await;
    west.sees("is first again", PROMPT, &services, &v1, |service| {
        service["spec"]["versionPriority"] == 100
    })
    .await;
}

/// An agent that works is asked to be stopped first; then all that it wrote goes, and what the fleet shares stays.
pub(crate) async fn uninstalling_leaves_nothing_and_blocks_nothing(world: &mut World) {
    let (done, text) = agent::uninstall(&world.north, "managed");
    assert!(!done, "{text}");
    assert!(
        text.contains("works in this cluster and would put everything back"),
        "{text}"
    );

    world.north_agent.terminate();
    let north = &world.north;
    let (done, text) = agent::uninstall(north, "managed");
    assert!(done, "{text}");
    for line in [
        "removed APIService v1.helium.dev",
        "removed ClusterRole helium-fleet-admin",
        "removed Service managed",
        "removed Lease helium-agent",
        "the fleet's shared objects stay",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let ours = kube::api::ListParams::default().labels("app.kubernetes.io/managed-by=helium");
    for api in [
        north.api_services(),
        north.cluster_roles(),
        north.system("v1", "Service", "services"),
    ] {
        let left = api.list(&ours).await.expect("an answer").items;
        assert!(left.is_empty(), "{left:?}");
    }
    let foreign = north.system("v1", "Service", "services");
    assert!(
        foreign
            .get_opt("helium-apiserver")
            .await
            .expect("an answer")
            .is_some()
    );
    let shared = world.east.definitions().list(&Default::default()).await;
    assert!(!shared.expect("an answer").items.is_empty());

    let (done, text) = agent::uninstall(north, "managed");
    assert!(
        done && text.contains("nothing of helium-agent's is left"),
        "{text}"
    );
}
