//! The rules, by kind.

use serde_json::Value;

use super::{Condition, condition};

type Verdict = (Condition, String);

fn ready() -> Verdict {
    (Condition::Ready, String::new())
}

fn progressing(message: impl Into<String>) -> Verdict {
    (Condition::Progressing, message.into())
}

fn failed(message: impl Into<String>) -> Verdict {
    (Condition::Failed, message.into())
}

/// How far an object is.
pub(super) fn judge(group: &str, kind: &str, object: &Value) -> Verdict {
    if object["metadata"]["deletionTimestamp"].is_string() {
        return progressing("it is being deleted");
    }
    match (group, kind) {
        ("apps", "Deployment") => deployment(object),
        ("apps", "StatefulSet") => stateful_set(object),
        ("apps", "DaemonSet") => daemon_set(object),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => replica_set(object),
        ("batch", "Job") => job(object),
        ("", "Pod") => pod(object),
        ("", "Service") => service(object),
        ("", "PersistentVolumeClaim") => claim(object),
        ("", "Namespace") => ready(),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        _ => other(object),
    }
}

fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// Whether the controller has seen the newest spec.
fn is_observed(object: &Value) -> bool {
    number(object, "/status/observedGeneration") >= number(object, "/metadata/generation")
}

fn wanted(object: &Value) -> i64 {
    let replicas = object.pointer("/spec/replicas");
    replicas.and_then(Value::as_i64).unwrap_or(1)
}

fn deployment(object: &Value) -> Verdict {
    if !is_observed(object) {
        return progressing("its controller hasn't seen it yet");
    }
    if let Some(found) = condition(object, "Progressing")
        && found["reason"] == "ProgressDeadlineExceeded"
    {
        return failed("its rollout takes longer than progressDeadlineSeconds");
    }
    if let Some(found) = condition(object, "ReplicaFailure")
        && found["status"] == "True"
    {
        let message = found["message"].as_str().unwrap_or("no reason given");
        return failed(format!("its pods can't be made: {message}"));
    }
    let (wanted, updated) = (wanted(object), number(object, "/status/updatedReplicas"));
    let (replicas, available) = (
        number(object, "/status/replicas"),
        number(object, "/status/availableReplicas"),
    );
    if updated < wanted {
        return progressing(format!(
            "{updated} of {wanted} pods are of the newest template"
        ));
    }
    if replicas > updated {
        let old = replicas - updated;
        return progressing(format!("{old} pods of an older template are ending"));
    }
    if available < wanted {
        return progressing(format!("{available} of {wanted} pods are available"));
    }
    ready()
}

fn stateful_set(object: &Value) -> Verdict {
    if !is_observed(object) {
        return progressing("its controller hasn't seen it yet");
    }
    let (wanted, done) = (wanted(object), number(object, "/status/readyReplicas"));
    if done < wanted {
        return progressing(format!("{done} of {wanted} pods are ready"));
    }
    let strategy = object.pointer("/spec/updateStrategy/type");
    if strategy.and_then(Value::as_str) == Some("OnDelete") {
        return ready();
    }
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition");
    let updated = number(object, "/status/updatedReplicas");
    let current = object["status"]["currentRevision"] == object["status"]["updateRevision"];
    if !current && updated < wanted - partition {
        return progressing(format!(
            "{updated} of {wanted} pods are of the newest template"
        ));
    }
    ready()
}

fn daemon_set(object: &Value) -> Verdict {
    if !is_observed(object) {
        return progressing("its controller hasn't seen it yet");
    }
    let wanted = number(object, "/status/desiredNumberScheduled");
    let updated = number(object, "/status/updatedNumberScheduled");
    let available = number(object, "/status/numberAvailable");
    let on_delete = object
        .pointer("/spec/updateStrategy/type")
        .and_then(Value::as_str)
        == Some("OnDelete");
    if !on_delete && updated < wanted {
        return progressing(format!("{updated} of {wanted} nodes have the newest pod"));
    }
    if available < wanted {
        return progressing(format!(
            "{available} of {wanted} nodes have an available pod"
        ));
    }
    ready()
}

fn replica_set(object: &Value) -> Verdict {
    if !is_observed(object) {
        return progressing("its controller hasn't seen it yet");
    }
    let (wanted, available) = (wanted(object), number(object, "/status/availableReplicas"));
    if available < wanted {
        return progressing(format!("{available} of {wanted} pods are available"));
    }
    ready()
}

/// A Job that runs does what it is for.
fn job(object: &Value) -> Verdict {
    let is_true = |kind| condition(object, kind).filter(|found| found["status"] == "True");
    if let Some(found) = is_true("Failed") {
        let message = found["message"].as_str().unwrap_or("no reason given");
        return failed(format!("it has failed: {message}"));
    }
    if is_true("Complete").is_some() || object["spec"]["suspend"] == true {
        return ready();
    }
    if number(object, "/status/ready") > 0 || number(object, "/status/succeeded") > 0 {
        return ready();
    }
    progressing("no pod of it is ready yet")
}

fn pod(object: &Value) -> Verdict {
    match object["status"]["phase"].as_str() {
        Some("Succeeded") => ready(),
        Some("Failed") => {
            let reason = object["status"]["reason"].as_str();
            failed(format!(
                "it has failed: {}",
                reason.unwrap_or("its containers ended")
            ))
        }
        Some("Running") => match condition(object, "Ready") {
            Some(found) if found["status"] == "True" => ready(),
            _ => match waiting(object) {
                Some(reason) => failed(format!("a container doesn't start: {reason}")),
                None => progressing("it runs, and isn't ready yet"),
            },
        },
        _ => match condition(object, "PodScheduled") {
            Some(found) if found["status"] == "False" => {
                let message = found["message"].as_str().unwrap_or("no reason given");
                progressing(format!("no node takes it: {message}"))
            }
            _ => match waiting(object) {
                Some(reason) => failed(format!("a container doesn't start: {reason}")),
                None => progressing("it is starting"),
            },
        },
    }
}

/// Why a container can't start, if that won't pass by itself.
fn waiting(object: &Value) -> Option<&str> {
    const HOPELESS: [&str; 6] = [
        "CrashLoopBackOff",
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
    ];
    let lists = ["initContainerStatuses", "containerStatuses"];
    lists
        .iter()
        .filter_map(|list| object["status"][*list].as_array())
        .flatten()
        .filter_map(|status| status.pointer("/state/waiting/reason")?.as_str())
        .find(|reason| HOPELESS.contains(reason))
}

fn service(object: &Value) -> Verdict {
    let is_balanced = object["spec"]["type"] == "LoadBalancer";
    let ingress = object.pointer("/status/loadBalancer/ingress");
    let has_ingress = ingress
        .and_then(Value::as_array)
        .is_some_and(|list| !list.is_empty());
    match is_balanced && !has_ingress {
        true => progressing("it has no address from a load balancer yet"),
        false => ready(),
    }
}

fn claim(object: &Value) -> Verdict {
    match object["status"]["phase"].as_str() {
        Some("Bound") => ready(),
        Some("Lost") => failed("its volume is lost"),
        // With a storage class that waits for the first consumer this is as it should be until there is one.
        _ => progressing("it isn't bound to a volume yet"),
    }
}

fn definition(object: &Value) -> Verdict {
    if let Some(found) = condition(object, "NamesAccepted")
        && found["status"] == "False"
    {
        let message = found["message"].as_str().unwrap_or("no reason given");
        return failed(format!("its names aren't accepted: {message}"));
    }
    match condition(object, "Established") {
        Some(found) if found["status"] == "True" => ready(),
        _ => progressing("its kind isn't served yet"),
    }
}

/// Anything else: what it says of itself, or that it is there.
fn other(object: &Value) -> Verdict {
    let generation = object.pointer("/status/observedGeneration");
    if generation.is_some() && !is_observed(object) {
        return progressing("its controller hasn't seen it yet");
    }
    if let Some(found) = condition(object, "Stalled")
        && found["status"] == "True"
    {
        let message = found["message"].as_str().unwrap_or("no reason given");
        return failed(message);
    }
    match condition(object, "Ready") {
        Some(found) if found["status"] != "True" => {
            let message = found["message"]
                .as_str()
                .unwrap_or("its condition Ready isn't True");
            progressing(message)
        }
        _ => ready(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(group: &str, kind: &str, object: Value) -> String {
        let (condition, message) = judge(group, kind, &object);
        format!("{condition:?} {message}")
    }

    #[test]
    fn a_deployment_is_followed_until_all_pods_are_new_and_available() {
        let deployment = |status: Value| {
            let object =
                json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status});
            told("apps", "Deployment", object)
        };
        let steps = [
            json!({"observedGeneration": 1}),
            json!({"observedGeneration": 2, "updatedReplicas": 1}),
            json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 3}),
            json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 1}),
            json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}),
            json!({"observedGeneration": 2, "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}),
            json!({"observedGeneration": 2, "conditions": [{"type": "ReplicaFailure", "status": "True", "message": "quota"}]}),
        ]
        .map(deployment);
        insta::assert_snapshot!(steps.join("\n"));
    }

    #[test]
    fn other_workloads_have_rules_of_their_own() {
        let seen = json!({"generation": 1});
        let verdicts = [
            told(
                "apps",
                "StatefulSet",
                json!({"metadata": seen, "spec": {"replicas": 2},
                "status": {"observedGeneration": 1, "readyReplicas": 1}}),
            ),
            told(
                "apps",
                "StatefulSet",
                json!({"metadata": seen, "spec": {"replicas": 2}, "status":
                {"observedGeneration": 1, "readyReplicas": 2, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"}}),
            ),
            told(
                "apps",
                "StatefulSet",
                json!({"metadata": seen, "spec": {"replicas": 2}, "status":
                {"observedGeneration": 1, "readyReplicas": 2, "updatedReplicas": 2, "currentRevision": "b", "updateRevision": "b"}}),
            ),
            told(
                "apps",
                "DaemonSet",
                json!({"metadata": seen, "status":
                {"observedGeneration": 1, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 2}}),
            ),
            told(
                "apps",
                "ReplicaSet",
                json!({"metadata": seen, "spec": {"replicas": 0}, "status": {"observedGeneration": 1}}),
            ),
            told("batch", "Job", json!({"status": {"active": 1}})),
            told("batch", "Job", json!({"status": {"active": 1, "ready": 1}})),
            told(
                "batch",
                "Job",
                json!({"status": {"conditions": [{"type": "Failed", "status": "True", "message": "backoff"}]}}),
            ),
            told("batch", "CronJob", json!({})),
            told(
                "",
                "Pod",
                json!({"status": {"phase": "Pending", "conditions":
                [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]}}),
            ),
            told(
                "",
                "Pod",
                json!({"status": {"phase": "Running", "containerStatuses":
                [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}}),
            ),
            told(
                "",
                "Pod",
                json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}),
            ),
            told("", "Service", json!({"spec": {"type": "LoadBalancer"}})),
            told("", "Service", json!({"spec": {"type": "ClusterIP"}})),
            told(
                "apiextensions.k8s.io",
                "CustomResourceDefinition",
                json!({"status": {"conditions":
                [{"type": "NamesAccepted", "status": "False", "message": "conflict"}]}}),
            ),
            told(
                "example.com",
                "Database",
                json!({"metadata": seen, "status": {"observedGeneration": 0}}),
            ),
            told(
                "example.com",
                "Database",
                json!({"status": {"conditions": [{"type": "Ready", "status": "False", "message": "filling"}]}}),
            ),
            told("example.com", "Database", json!({})),
            told(
                "",
                "ConfigMap",
                json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            ),
        ];
        insta::assert_snapshot!(verdicts.join("\n"));
    }
}
