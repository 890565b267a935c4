//! What is injected, as a real cluster sees it.

use helium_controllers::failover::switch::{CONTAINER, inject};
use kube::api::{Api, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use crate::world::{World, term};

pub(crate) async fn injected_workloads_are_accepted_as_they_are(world: &World) {
    let pod = json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {
            "containers": [
                {"name": "web", "image": "web:1", "ports": [{"containerPort": 80}]},
                {"name": "log", "image": "log:1", "startupProbe": {"tcpSocket": {"port": 81}}},
            ],
            "initContainers": [{"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}],
        },
    });
    let selector = json!({"matchLabels": {"app": "web"}});
    for (group, kind, plural, spec) in [
        (
            "apps",
            "Deployment",
            "deployments",
            json!({"selector": selector}),
        ),
        (
            "apps",
            "StatefulSet",
            "statefulsets",
            json!({"selector": selector, "serviceName": "web"}),
        ),
        (
            "apps",
            "DaemonSet",
            "daemonsets",
            json!({"selector": selector}),
        ),
        ("batch", "Job", "jobs", json!({})),
        ("", "Pod", "pods", json!({})),
    ] {
        let mut template = pod.clone();
        let is_job = kind == "Job";
        if is_job {
            template["spec"]["restartPolicy"] = json!("Never");
        }
        inject(&mut template, &term("web", 42)).expect("injected");
        let sent = template["spec"].clone();
        let mut object = match group {
            "" => template,
            _ => {
                let mut spec = spec;
                spec["template"] = template;
                json!({"metadata": {}, "spec": spec})
            }
        };
        let version = if group.is_empty() {
            "v1".to_owned()
        } else {
            format!("{group}/v1")
        };
        object["apiVersion"] = json!(version);
        object["kind"] = json!(kind);
        object["metadata"]["name"] = json!("web");
        let gvk = GroupVersionKind::gvk(group, "v1", kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
        let api: Api<DynamicObject> =
            Api::namespaced_with(world.cluster.admin.clone(), "shop", &resource);
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let object: DynamicObject = serde_json::from_value(object).expect("an object");
        let made = api.create(&dry, &object).await;
        let made = made.unwrap_or_else(|error| panic!("{kind}: {error}")).data;
        let spec = match group {
            "" => &made["spec"],
            _ => &made["spec"]["template"]["spec"],
        };
        // Nothing of it is dropped: the cluster only adds defaults.
        includes(spec, &sent, kind);
        assert_eq!(spec["initContainers"][0]["name"], CONTAINER);
    }
}

/// Whether a value has all that another one has.
fn includes(whole: &Value, part: &Value, at: &str) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (name, value) in part {
                let at = format!("{at}.{name}");
                includes(whole.get(name).unwrap_or(&Value::Null), value, &at);
            }
        }
        (Value::Array(whole), Value::Array(part)) => {
            assert!(whole.len() >= part.len(), "{at}");
            for (index, value) in part.iter().enumerate() {
                includes(&whole[index], value, &format!("{at}[{index}]"));
            }
        }
        _ => assert_eq!(whole, part, "{at}"),
    }
}
