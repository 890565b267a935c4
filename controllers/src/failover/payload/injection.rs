//! What is written into a payload's objects: whose they are, and the token of the term.

use helium_failover::kind::{
    FENCE_VARIABLE, GROUP_LABEL, OWNER_UID, TERM_TOKEN, TOKEN_VARIABLE, payload_label,
};
use helium_failover::{ClusterName, GroupName, Token};
use serde_json::{Map, Value, json};

use super::object::{OWNER_NAME, Owner};

/// Environment variable of a payload's containers: the cluster that they run in.
pub(super) const CLUSTER_VARIABLE: &str = "HELIUM_CLUSTER";

/// What the marks say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks<'a> {
    pub(super) group: &'a GroupName,
    pub(super) owner: &'a Owner,
    pub(super) token: Token,
    pub(super) cluster: &'a ClusterName,
}

impl Marks<'_> {
    /// Marks an object, and the pod template in it.
    pub(super) fn put(&self, group: &str, kind: &str, content: &mut Value) {
        let metadata = &mut content["metadata"];
        entry(metadata, "labels", GROUP_LABEL, self.label());
        entry(metadata, "annotations", OWNER_UID, self.owner.uid.clone());
        let owner = format!("{}/{}", self.owner.namespace, self.owner.name);
        entry(metadata, "annotations", OWNER_NAME, owner);
        entry(metadata, "annotations", TERM_TOKEN, self.token.to_string());
        if let Some(template) = pod_template(group, kind, content) {
            self.put_template(template);
        }
    }

    fn label(&self) -> String {
        payload_label(&self.group.namespace, &self.group.callsign)
    }

    fn put_template(&self, template: &mut Value) {
        let metadata = &mut template["metadata"];
        entry(metadata, "labels", GROUP_LABEL, self.label());
        entry(metadata, "annotations", TERM_TOKEN, self.token.to_string());
        for list in ["initContainers", "containers"] {
            let containers = template.pointer_mut(&format!("/spec/{list}"));
            let Some(Value::Array(containers)) = containers else {
                continue;
            };
            for container in containers.iter_mut().filter_map(Value::as_object_mut) {
                self.put_environment(container);
            }
        }
    }

    /// The three variables come first, so that others can refer to them by `$(NAME)`; one of the same name that stands there is
    /// replaced.
    fn put_environment(&self, container: &mut Map<String, Value>) {
        let ours = [
            (TOKEN_VARIABLE, self.token.to_string()),
            (FENCE_VARIABLE, self.group.fence(self.token)),
            (CLUSTER_VARIABLE, self.cluster.to_string()),
        ];
        let theirs = match container.remove("env") {
            Some(Value::Array(variables)) => variables,
            _ => Vec::new(),
        };
        let is_ours = |variable: &Value| {
            let name = variable["name"].as_str();
            ours.iter().any(|(own, _)| Some(*own) == name)
        };
        let kept = theirs.into_iter().filter(|variable| !is_ours(variable));
        let own = ours
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}));
        let variables = own.chain(kept).collect();
        container.insert("env".to_owned(), Value::Array(variables));
    }
}

/// The pod template of an object: its metadata and its spec. A Pod is its own.
pub(super) fn pod_template<'a>(
    group: &str,
    kind: &str,
    content: &'a mut Value,
) -> Option<&'a mut Value> {
    let template = match (group, kind) {
        ("", "Pod") => Some(content),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job")
        | ("", "ReplicationController") => content.pointer_mut("/spec/template"),
        ("batch", "CronJob") => content.pointer_mut("/spec/jobTemplate/spec/template"),
        _ => None,
    };
    // Without a spec there is nothing to run; the server says what is missing.
    template.filter(|template| template["spec"].is_object())
}

/// Whether pods come of an object by itself.
pub(super) fn makes_pods(group: &str, kind: &str) -> bool {
    let mut probe = json!({"spec": {"template": {"spec": {}},
        "jobTemplate": {"spec": {"template": {"spec": {}}}}}});
    pod_template(group, kind, &mut probe).is_some()
}

/// Sets an entry of a map of texts, which is made where it is missing.
fn entry(metadata: &mut Value, map: &str, key: &str, value: String) {
    if !metadata.is_object() {
        *metadata = json!({});
    }
    let map = &mut metadata[map];
    if !map.is_object() {
        *map = json!({});
    }
    map[key] = Value::String(value);
}

#[cfg(test)]
mod tests;
