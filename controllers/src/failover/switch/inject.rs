//! The switch in a pod: a watchdog as the first sidecar, and probes that ask it.
//!
//! The sidecar is an init container with `restartPolicy: Always` and a startup probe: no other container of the pod begins before the watchdog has
//! seen the term alive. After that the kubelet asks it once a second for each container. A container that the kubelet starts again is asked for
//! at once, by a `postStart` hook: the kubelet takes any HTTP answer to a hook for good, so the watchdog breaks the connection instead, and the
//! kubelet ends the container.

use helium_failover::Timing;
use serde_json::{Map, Value, json};

use super::{PROBE, SwitchContext, grace};

/// Name of the watchdog's container, and of its volume.
pub const CONTAINER: &str = "helium-watchdog";
/// Annotation of a pod (template): `unguarded` says that its init containers may run on when the switch has fired.
pub const UNGUARDED: &str = "helium.dev/failover-init-containers";

/// Where service accounts are mounted.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Why a pod can't have the switch. Each says what to change in the payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SwitchError {
    /// There are no containers.
    #[error("it has no spec.containers")]
    NoContainers,
    /// The probe of a container would be replaced.
    #[error(
        "container {container:?} has a livenessProbe, and the dead-man's switch needs that place: make it a startupProbe or a readinessProbe, let the program end itself, or set deadManSwitch: None on the FailoverGroup"
    )]
    LivenessProbe {
        /// Which.
        container: String,
    },
    /// Nothing stops a container that runs to its end.
    #[error(
        "nothing can stop init container {container:?} once it runs: make it a sidecar (restartPolicy: Always), or say that it does no harm with the annotation {UNGUARDED}: unguarded on the pod template"
    )]
    InitContainer {
        /// Which.
        container: String,
    },
    /// Ports of the node can't be shared.
    #[error(
        "a pod with hostNetwork: true shares its ports with the others of its node, so its watchdog has none of its own: set hostNetwork: false, or deadManSwitch: None on the FailoverGroup"
    )]
    HostNetwork,
    /// The name is the watchdog's.
    #[error("the name {CONTAINER:?} is the watchdog's: give that container or volume another name")]
    Name,
    /// The watchdog's port is taken.
    #[error(
        "container {container:?} listens on port {port}, which is the watchdog's: choose another there, or with the agent's --failover-watchdog-port"
    )]
    Port {
        /// Which.
        container: String,
        /// The port.
        port: u16,
    },
    /// Ending takes longer than is allowed.
    #[error(
        "terminationGracePeriodSeconds is {seconds}, longer than the stop budget of {budget} s: shorten it, or raise spec.stopBudgetSeconds (and leaseDurationSeconds) of the FailoverGroup"
    )]
    Grace {
        /// What the pod wants.
        seconds: u64,
        /// What it may take.
        budget: u64,
    },
}

/// Puts the switch into a pod template (or a Pod). Nothing is changed if that is refused.
///
/// # Errors
/// [`SwitchError`] names the first thing that doesn't go together with it.
pub fn inject(template: &mut Value, context: &SwitchContext) -> Result<(), SwitchError> {
    check(template, context)?;
    let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) else {
        return Err(SwitchError::NoContainers);
    };
    let budget = grace(context.timing);
    let seconds = spec
        .get("terminationGracePeriodSeconds")
        .and_then(Value::as_u64)
        .unwrap_or(budget);
    spec.insert("terminationGracePeriodSeconds".to_owned(), json!(seconds));
    // What the cluster's own admission makes of none; a token must be somebody's.
    let account_name = match spec.get("serviceAccount") {
        Some(Value::String(name)) if !name.is_empty() => name.clone(),
        _ => "default".to_owned(),
    };
    spec.entry("serviceAccountName")
        .or_insert(Value::String(account_name));
    for container in containers_mut(spec, "containers") {
        guard(container, seconds.max(1), context.port);
    }
    for container in containers_mut(spec, "initContainers").filter(|one| is_sidecar(one)) {
        guard(container, seconds.max(1), context.port);
    }
    change(spec, "initContainers", |list| {
        list.insert(0, watchdog(context))
    });
    change(spec, "volumes", |list| list.push(account()));
    Ok(())
}

fn check(template: &Value, context: &SwitchContext) -> Result<(), SwitchError> {
    let spec = &template["spec"];
    let named = |list: &str| spec[list].as_array().cloned().unwrap_or_default();
    let (containers, starters) = (named("containers"), named("initContainers"));
    if containers.is_empty() {
        return Err(SwitchError::NoContainers);
    }
    if spec["hostNetwork"] == true {
        return Err(SwitchError::HostNetwork);
    }
    let volumes = named("volumes");
    let mut all = containers.iter().chain(&starters);
    if all
        .clone()
        .chain(&volumes)
        .any(|one| one["name"] == CONTAINER)
    {
        return Err(SwitchError::Name);
    }
    let name = |one: &Value| one["name"].as_str().unwrap_or_default().to_owned();
    let listens = |one: &Value| {
        let mut ports = one["ports"].as_array().into_iter().flatten();
        ports.any(|port| port["containerPort"] == context.port)
    };
    if let Some(container) = all.find(|one| listens(one)) {
        return Err(SwitchError::Port {
            container: name(container),
            port: context.port,
        });
    }
    let harmless = template["metadata"]["annotations"][UNGUARDED] == "unguarded";
    let to_its_end = |one: &&Value| !is_sidecar(one) && !harmless;
    if let Some(container) = starters.iter().find(to_its_end) {
        return Err(SwitchError::InitContainer {
            container: name(container),
        });
    }
    let mut guarded = containers
        .iter()
        .chain(starters.iter().filter(|one| is_sidecar(one)));
    if let Some(container) = guarded.find(|one| !one["livenessProbe"].is_null()) {
        return Err(SwitchError::LivenessProbe {
            container: name(container),
        });
    }
    let budget = grace(context.timing);
    match spec["terminationGracePeriodSeconds"].as_u64() {
        Some(seconds) if seconds > budget => Err(SwitchError::Grace { seconds, budget }),
        _ => Ok(()),
    }
}

fn is_sidecar(container: &Value) -> bool {
    container["restartPolicy"] == "Always"
}

/// Changes a list of the spec, which may not be there yet.
fn change(spec: &mut Map<String, Value>, name: &str, how: impl FnOnce(&mut Vec<Value>)) {
    let mut list = match spec.remove(name) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    how(&mut list);
    spec.insert(name.to_owned(), Value::Array(list));
}

fn containers_mut<'a>(
    spec: &'a mut Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = &'a mut Value> {
    let list = spec.get_mut(name).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter(|one| one.is_object())
}

/// The kubelet asks the watchdog for this container.
fn guard(container: &mut Value, grace: u64, port: u16) {
    container["livenessProbe"] = json!({
        "httpGet": {"path": "/healthz", "port": port},
        "periodSeconds": PROBE.as_secs(),
        "timeoutSeconds": PROBE.as_secs(),
        "failureThreshold": 1,
        "terminationGracePeriodSeconds": grace,
    });
    // A hook of the payload's own stays: then a container that is started again runs until its first probe.
    if container["lifecycle"]["postStart"].is_null() {
        container["lifecycle"]["postStart"] = json!({"httpGet": {"path": "/gate", "port": port}});
    }
}

fn watchdog(context: &SwitchContext) -> Value {
    let SwitchContext {
        image,
        group,
        token,
        timing,
        port,
    } = context;
    json!({
        "name": CONTAINER,
        "image": image,
        "restartPolicy": "Always",
        "args": [
            "watchdog",
            format!("--lease={}/{}", group.namespace, group.lease()),
            format!("--token={token}"),
            format!("--after={}ms", after_millis(*timing)),
            format!("--address=[::]:{port}"),
        ],
        "ports": [{"name": "watchdog", "containerPort": port, "protocol": "TCP"}],
        // No other container begins before it has succeeded; it never gives up.
        "startupProbe": {
            "httpGet": {"path": "/healthz", "port": port},
            "periodSeconds": PROBE.as_secs(),
            "timeoutSeconds": PROBE.as_secs(),
            "failureThreshold": i32::MAX,
        },
        "resources": {
            "requests": {"cpu": "10m", "memory": "16Mi"},
            "limits": {"memory": "64Mi"},
        },
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": 65532,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": CONTAINER, "mountPath": ACCOUNT, "readOnly": true}],
    })
}

/// `T(1−ρ)`: before anybody may judge that the record has run out (W2).
fn after_millis(timing: Timing) -> u128 {
    timing.usable().as_millis()
}

/// The pod's service account, also where the pod doesn't mount it by itself.
fn account() -> Value {
    json!({
        "name": CONTAINER,
        "projected": {"sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ]},
    })
}

#[cfg(test)]
mod tests;
