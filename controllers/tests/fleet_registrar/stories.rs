//! What is shown, one after the other. Each story has a group of its own.

pub(crate) mod failure;
pub(crate) mod membership;
pub(crate) mod ownership;
pub(crate) mod serving;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use helium_testkit::wait_for;
use helium_tls::pki::Authority;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use serde_json::{Value, json};

use crate::agent;
use crate::cluster::{Cluster, PROMPT, is_available};
use crate::world::World;

/// Longer than a dead agent's lease.
const TAKEOVER: Duration = Duration::from_secs(40);
/// Until a cluster has looked at its APIServices again after an outage of its own making.
const AVAILABLE: Duration = Duration::from_secs(45);

/// A definition of `widgets` in a group.
fn definition(group: &str, versions: &[&str]) -> DynamicObject {
    let versions: Vec<Value> = (0..)
        .zip(versions)
        .map(|(place, name)| {
            json!({
                "name": name,
                "served": true,
                "storage": place == 0,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}},
            })
        })
        .collect();
    serde_json::from_value(json!({
        "apiVersion": "helium.dev/v1",
        "kind": "SharedResourceDefinition",
        "metadata": {"name": format!("widgets.{group}")},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": versions,
        },
    }))
    .expect("a definition")
}

async fn define(cluster: &Cluster, group: &str, versions: &[&str]) {
    cluster
        .definitions()
        .create(&PostParams::default(), &definition(group, versions))
        .await
        .unwrap_or_else(|error| panic!("defining {group} in {}: {error}", cluster.name));
}

/// Merges into an object.
async fn merge(api: &kube::Api<DynamicObject>, name: &str, patch: Value) {
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap_or_else(|error| panic!("patching {name}: {error}"));
}

fn entry<'a>(definition: &'a Value, cluster: &str) -> &'a Value {
    definition["status"]["clusters"]
        .as_array()
        .and_then(|list| list.iter().find(|entry| entry["name"] == cluster))
        .unwrap_or(&Value::Null)
}

fn registered(definition: &Value) -> &Value {
    condition(definition, "Registered")
}

fn condition<'a>(object: &'a Value, type_: &str) -> &'a Value {
    object["status"]["conditions"]
        .as_array()
        .and_then(|list| list.iter().find(|entry| entry["type"] == type_))
        .unwrap_or(&Value::Null)
}
