//! `helium leave` in the cluster itself.

use http::{Method, Request};
use serde_json::{Value, json};

use crate::world::World;

const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let names = items.iter().map(|item| {
        item["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    });
    names.collect()
}

pub(crate) async fn an_agent_that_runs_is_told(world: &World) {
    // There is no Deployment to stop, and the heartbeat is of now.
    world.beat(0).await;
    let (code, text) = world.leave().await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("code H036") && text.contains("helium-agent still runs in east"),
        "{text}"
    );
    let services = world.get(API_SERVICES).await.expect("APIServices");
    assert!(names(&services).contains(&"v1.example.com".to_owned()));
    assert!(
        world
            .get("/apis/helium.dev/v1/members/east")
            .await
            .is_some()
    );
}

pub(crate) async fn only_what_is_ours_is_removed(world: &World) {
    let role = |name: &str, labels: Value| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name, "labels": labels}, "rules": []})
    };
    let ours = json!({"app.kubernetes.io/managed-by": "helium"});
    for (name, labels) in [
        ("helium:example.com:view", ours.clone()),
        ("helium:example.org:view", json!({})),
        ("somebody", ours),
    ] {
        world.write(Method::POST, ROLES, &role(name, labels)).await;
    }
    let foreign = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v9.foreign.example.com"},
        "spec": {"group": "foreign.example.com", "version": "v9", "groupPriorityMinimum": 1, "versionPriority": 1,
            "insecureSkipTLSVerify": true, "service": {"namespace": "default", "name": "somebody"}}});
    world.write(Method::POST, API_SERVICES, &foreign).await;

    world.beat(600).await;
    let (code, text) = world.leave().await;
    assert_eq!(code, Some(0), "{text}");
    for part in [
        "east is no member any more",
        "removed APIService v1.helium.dev",
        "removed APIService v1.example.com",
        "removed ClusterRole helium:example.com:view",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let services = names(&world.get(API_SERVICES).await.expect("APIServices"));
    assert!(
        !services
            .iter()
            .any(|name| name.contains("helium.dev") || name == "v1.example.com"),
        "{services:?}"
    );
    assert!(
        services.contains(&"v9.foreign.example.com".to_owned()),
        "{services:?}"
    );
    let roles = names(&world.get(ROLES).await.expect("roles"));
    assert!(!roles.contains(&"helium:example.com:view".to_owned()));
    for kept in ["helium:example.org:view", "somebody", "admin"] {
        assert!(roles.contains(&kept.to_owned()), "{kept} is gone");
    }

    // The others see it gone, and what is shared is still there.
    let (neighbour, client) = world.neighbour().await;
    let get = |path: &'static str| {
        let client = client.clone();
        async move {
            let request = Request::get(path).body(Vec::new()).expect("a request");
            client.request::<Value>(request).await.expect("an answer")
        }
    };
    assert_eq!(names(&get("/apis/helium.dev/v1/members").await), ["west"]);
    let definitions = get("/apis/helium.dev/v1/sharedresourcedefinitions").await;
    assert_eq!(names(&definitions), ["widgets.example.com"]);
    neighbour.stop().await;
}

pub(crate) async fn leaving_again_changes_nothing(world: &World) {
    let (code, text) = world.leave().await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("nothing was changed in it"), "{text}");
    assert!(!text.contains("\nremoved "), "{text}");
}
