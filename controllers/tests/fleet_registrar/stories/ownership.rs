//! What is ours is kept, what isn't is left alone.

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::Api;

use super::*;

pub(crate) async fn drift_is_repaired(world: &World) {
    const GROUP: &str = "drift.example.com";
    let east = &world.east;
    define(east, GROUP, &["v1"]).await;
    let (services, roles) = (east.api_services(), east.cluster_roles());
    let (service, role) = (format!("v1.{GROUP}"), format!("helium:{GROUP}:edit"));
    let before = east
        .sees("is there", PROMPT, &services, &service, is_available)
        .await;
    east.sees("is there", PROMPT, &roles, &role, |_| true).await;

    // Fields, and a field that the registrar doesn't set itself.
    let drift = json!({"spec": {"groupPriorityMinimum": 7, "insecureSkipTLSVerify": true, "caBundle": null},
        "metadata": {"annotations": {"helium.dev/schema-hash": "0", "team": "a"}}});
    merge(&services, &service, drift).await;
    let after = east
        .sees("is repaired", PROMPT, &services, &service, |service| {
            service["spec"] == before["spec"]
        })
        .await;
    let annotations = &after["metadata"]["annotations"];
    assert_eq!(annotations["team"], "a", "what others add stays");
    assert_ne!(annotations["helium.dev/schema-hash"], "0");

    let rules = |role: &Value| {
        role["rules"][0]["verbs"]
            .as_array()
            .is_some_and(|verbs| verbs.len() == 8)
    };
    merge(&roles, &role, json!({"rules": []})).await;
    east.sees("is repaired", PROMPT, &roles, &role, rules).await;
    // A field that takes the rules out of our hands.
    let aggregated =
        json!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}});
    merge(&roles, &role, aggregated).await;
    east.sees("is replaced", PROMPT, &roles, &role, |role| {
        role["aggregationRule"].is_null() && rules(role)
    })
    .await;

    east.delete(&services, &service).await;
    east.delete(&roles, &role).await;
    east.sees("is back", PROMPT, &services, &service, |_| true)
        .await;
    east.sees("is back", PROMPT, &roles, &role, rules).await;
}

pub(crate) async fn a_group_that_a_cluster_serves_itself_is_refused_there(world: &World) {
    const GROUP: &str = "local.example.com";
    let (east, west) = (&world.east, &world.west);
    let crd = format!("gadgets.{GROUP}");
    west.apply(&format!(
        "{{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {{name: {crd}}},
          spec: {{group: {GROUP}, scope: Cluster, names: {{plural: gadgets, kind: Gadget}},
          versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}]}}}}"
    ))
    .await;
    let service = format!("v1.{GROUP}");
    let automatic = |service: &Value| service["spec"]["service"].is_null();
    west.sees(
        "is the cluster's own",
        PROMPT,
        &west.api_services(),
        &service,
        automatic,
    )
    .await;

    define(east, GROUP, &["v1", "v2"]).await;
    let name = format!("widgets.{GROUP}");
    let told = east
        .sees(
            "is refused in west",
            PROMPT,
            &east.definitions(),
            &name,
            |definition| {
                entry(definition, "west")["reason"] == "GroupConflict"
                    && entry(definition, "east")["available"] == true
                    && registered(definition)["status"] == "False"
            },
        )
        .await;
    assert_eq!(registered(&told)["reason"], "GroupConflict");
    let message = registered(&told)["message"].as_str().expect("a message");
    assert!(message.starts_with("cluster west: "), "{message}");
    assert!(message.contains(&crd), "{message}");
    assert!(!message.contains("east"), "{message}");
    // The cluster's own word about itself names the group, too, and the cluster goes on taking part.
    let member = east
        .sees("is told", AVAILABLE, &east.members(), "west", |member| {
            condition(member, "Registered")["reason"] == "GroupConflict"
        })
        .await;
    let message = condition(&member, "Registered")["message"].as_str();
    assert!(message.is_some_and(|text| text.contains(GROUP)), "{member}");
    assert_eq!(condition(&member, "Ready")["status"], "True");
    let own = west
        .api_services()
        .get(&service)
        .await
        .expect("still there");
    assert!(automatic(&serde_json::to_value(own).expect("JSON")));
    for absent in [format!("v2.{GROUP}"), format!("helium:{GROUP}:view")] {
        let api = if absent.starts_with('v') {
            west.api_services()
        } else {
            west.cluster_roles()
        };
        assert!(
            api.get_opt(&absent).await.expect("an answer").is_none(),
            "{absent} was written"
        );
    }

    // The cluster gives the group up: it is registered there too.
    let crds = west.all(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
    );
    west.delete(&crds, &crd).await;
    west.misses(PROMPT, &crds, &crd).await;
    // The cluster takes its own APIService away some seconds after the definition.
    west.sees(
        "is the fleet's",
        AVAILABLE,
        &west.api_services(),
        &service,
        is_available,
    )
    .await;
    east.sees(
        "is registered everywhere",
        PROMPT,
        &east.definitions(),
        &name,
        |definition| registered(definition)["status"] == "True",
    )
    .await;

    // It takes the group back: all that was written goes.
    west.apply(&format!(
        "{{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {{name: {crd}}},
          spec: {{group: {GROUP}, scope: Cluster, names: {{plural: gadgets, kind: Gadget}},
          versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}]}}}}"
    ))
    .await;
    west.misses(PROMPT, &west.api_services(), &format!("v2.{GROUP}"))
        .await;
    west.misses(
        PROMPT,
        &west.cluster_roles(),
        &format!("helium:{GROUP}:view"),
    )
    .await;
    west.sees(
        "is the cluster's own again",
        AVAILABLE,
        &west.api_services(),
        &service,
        automatic,
    )
    .await;
    west.delete(&crds, &crd).await;
}

pub(crate) async fn a_foreign_registration_is_left_alone(world: &World) {
    const GROUP: &str = "foreign.example.com";
    let east = &world.east;
    let services = east.api_services();
    let foreign = |group: &str| {
        format!(
            "{{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {{name: v9.{group}}},
              spec: {{group: {group}, version: v9, groupPriorityMinimum: 77, versionPriority: 7,
              insecureSkipTLSVerify: true, service: {{namespace: default, name: somebody, port: 443}}}}}}"
        )
    };
    // One of a group of its own, and one of a group that the fleet wants to share.
    east.apply(&foreign("nobody.example.com")).await;
    east.apply(&foreign(GROUP)).await;
    define(&world.west, GROUP, &["v1"]).await;
    let name = format!("widgets.{GROUP}");
    let told = east
        .sees(
            "is refused in east",
            PROMPT,
            &east.definitions(),
            &name,
            |definition| entry(definition, "east")["reason"] == "GroupConflict",
        )
        .await;
    let message = entry(&told, "east")["message"].as_str().expect("a message");
    assert!(
        message.contains(&format!("APIService v9.{GROUP}")),
        "{message}"
    );
    let absent = services.get_opt(&format!("v1.{GROUP}")).await;
    assert!(absent.expect("an answer").is_none());

    // With the label it is handed over, and what the fleet doesn't serve goes.
    let label = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "helium"}}});
    merge(&services, &format!("v9.{GROUP}"), label).await;
    east.misses(PROMPT, &services, &format!("v9.{GROUP}")).await;
    east.sees(
        "is registered",
        PROMPT,
        &services,
        &format!("v1.{GROUP}"),
        is_available,
    )
    .await;
    let other = services
        .get("v9.nobody.example.com")
        .await
        .expect("still there");
    assert_eq!(other.data["spec"]["groupPriorityMinimum"], 77);
    assert_eq!(other.metadata.labels, None);
    east.delete(&services, "v9.nobody.example.com").await;
}

pub(crate) async fn a_changed_authority_is_handed_on(world: &World) {
    let west = &world.west;
    let (services, name) = (west.api_services(), "v1.helium.dev");
    let old = west.serving_authority.certificate_pem();
    let next = Authority::new("next").expect("an authority");
    // Half-written first: the old one stays, and the cluster with it.
    std::fs::write(west.serving_ca(), "-----BEGIN CERTIFICATE-----\n").expect("written");
    wait_for("the broken file is told", PROMPT, || async {
        world
            .west_agent
            .process
            .log()
            .contains("the last good one stays")
    })
    .await;
    let both = format!("{old}{}", next.certificate_pem());
    std::fs::write(west.serving_ca(), &both).expect("written");
    for name in [name, "v1.coordination.helium.dev"] {
        west.sees("has both authorities", PROMPT, &services, name, |service| {
            service["spec"]["caBundle"] == BASE64.encode(&both)
        })
        .await;
    }
    west.sees("is available", PROMPT, &services, name, is_available)
        .await;
    std::fs::write(west.serving_ca(), old).expect("written");
    west.sees("has the old one", PROMPT, &services, name, |service| {
        service["spec"]["caBundle"] == BASE64.encode(old)
    })
    .await;
}

/// The agent's credential is worth little to a thief: the policy that comes with its rights is in force, and the
/// other stories show that the agent can work under it.
pub(crate) async fn the_agents_rights_end_at_what_is_ours(world: &World) {
    let agent = world.west.client_of(&agent::renew(&world.west)).await;
    let roles: Api<ClusterRole> = Api::all(agent);
    let rule = PolicyRule {
        api_groups: Some(vec!["stolen.example.com".to_owned()]),
        resources: Some(vec!["widgets".to_owned()]),
        verbs: vec!["get".to_owned()],
        ..PolicyRule::default()
    };
    let mut role = ClusterRole {
        rules: Some(vec![rule]),
        ..ClusterRole::default()
    };
    role.metadata.name = Some("helium:stolen.example.com:view".to_owned());
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    wait_for("a role without our label is refused", TAKEOVER, || async {
        let refused = roles.create(&dry_run, &role).await;
        refused.is_err_and(|error| {
            error
                .to_string()
                .contains("helium-agent writes and deletes only")
        })
    })
    .await;
    let label = (
        "app.kubernetes.io/managed-by".to_owned(),
        "helium".to_owned(),
    );
    role.metadata.labels = Some([label].into());
    roles
        .create(&dry_run, &role)
        .await
        .expect("one with it may be made");
    // Writes to the fleet's own kinds get into nobody's role but the administrators'.
    role.metadata.name = Some("helium:helium.dev:edit".to_owned());
    let rule = &mut role.rules.as_mut().expect("rules")[0];
    rule.api_groups = Some(vec!["helium.dev".to_owned()]);
    rule.resources = Some(vec!["members".to_owned()]);
    rule.verbs = vec!["update".to_owned()];
    let labels = role.metadata.labels.as_mut().expect("labels");
    labels.insert(
        "rbac.authorization.k8s.io/aggregate-to-edit".to_owned(),
        "true".to_owned(),
    );
    let refused = roles.create(&dry_run, &role).await;
    let text = refused.expect_err("refused").to_string();
    assert!(
        text.contains("adds nothing to view, edit and admin"),
        "{text}"
    );
}

/// In north the agent keeps the Service that APIServices point at.
pub(crate) async fn the_service_of_an_agent_is_repaired(world: &World) {
    let north = &world.north;
    let services = north.system("v1", "Service", "services");
    let good = |service: &Value| service["spec"]["externalName"] == "localhost";
    north
        .sees("is there", PROMPT, &services, "managed", good)
        .await;
    merge(
        &services,
        "managed",
        json!({"spec": {"externalName": "nowhere.example.com"}}),
    )
    .await;
    north
        .sees("is repaired", PROMPT, &services, "managed", good)
        .await;
    north.delete(&services, "managed").await;
    north
        .sees("is back", PROMPT, &services, "managed", good)
        .await;
    // Another one is nobody's business.
    let other = services.get("helium-apiserver").await.expect("still there");
    assert_eq!(other.metadata.labels, None);
}
