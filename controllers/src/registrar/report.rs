//! What the fleet is told of a definition in this cluster: `status.clusters[]`, and the condition `Registered`.
//!
//! Each cluster's agent writes its own entry and computes the condition anew from all entries, so that whoever writes
//! last says the same. Texts hold no times or counts: an entry that says nothing new is not written.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::desired::{Desired, api_service_name};
use super::kind::Definition;
use super::plan::{self, Observed};
use crate::ClusterName;

/// The condition that sums the clusters up.
const CONDITION: &str = "Registered";
/// Reason of a cluster that serves the group itself.
const CONFLICT: &str = "GroupConflict";
/// Longest message of a condition (Kubernetes API conventions).
const MAX_MESSAGE: usize = 32 * 1024;

/// This cluster's entry for a definition. `failures` are the writes that failed, by APIService.
#[must_use]
pub fn entry(
    cluster: &ClusterName,
    definition: &Definition,
    desired: &Desired,
    observed: &Observed,
    failures: &BTreeMap<String, String>,
) -> Value {
    let kind = &definition.kind;
    let names = || {
        kind.versions
            .iter()
            .map(|version| api_service_name(&kind.group, &version.name))
    };
    let missing = names().find(|name| {
        let (wanted, held) = (
            desired.api_services.get(name),
            observed.api_services.get(name),
        );
        !matches!((wanted, held), (Some(wanted), Some(held)) if plan::is(wanted, held))
    });
    let unavailable = names().find_map(|name| {
        let reason = plan::unavailable(observed.api_services.get(&name)?)?;
        Some(format!("APIService {name}: {reason}"))
    });
    let verdict = match (desired.refused.get(&kind.group), missing, unavailable) {
        (Some(why), ..) => Some((CONFLICT, format!("the group is served here by {why}"))),
        (None, Some(name), _) => Some(match failures.get(&name) {
            Some(error) => ("WriteFailed", format!("APIService {name}: {error}")),
            None => ("Pending", pending(&name, observed)),
        }),
        (None, None, Some(text)) => Some(("Unavailable", text)),
        (None, None, None) => None,
    };
    let mut entry = json!({
        "name": cluster.as_str(),
        "registered": matches!(verdict, None | Some(("Unavailable", _))),
        "available": verdict.is_none(),
        "observedGeneration": definition.generation,
    });
    if let Some((reason, message)) = verdict {
        entry["reason"] = reason.into();
        entry["message"] = message.into();
    }
    entry
}

fn pending(name: &str, observed: &Observed) -> String {
    match plan::held_back(observed) {
        Some(first) => {
            format!("APIService {name} waits for the first one to be available: {first}")
        }
        None => format!("APIService {name} is not written yet"),
    }
}

/// Whether a definition's status has an entry already.
#[must_use]
pub fn holds(status: Option<&Value>, entry: &Value) -> bool {
    status
        .and_then(|status| status["clusters"].as_array())
        .is_some_and(|clusters| clusters.contains(entry))
}

/// Puts an entry into a definition's status, in the place of the same cluster's former one, and sums up.
pub fn put(status: &mut Value, entry: Value, now: Timestamp) {
    if !status.is_object() {
        *status = json!({});
    }
    let mut clusters = status["clusters"].as_array().cloned().unwrap_or_default();
    clusters.retain(|cluster| cluster["name"] != entry["name"]);
    clusters.push(entry);
    clusters.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let before = conditions
        .iter()
        .position(|condition| condition["type"] == CONDITION);
    let mut condition = sum(&clusters);
    let since = before
        .map(|at| &conditions[at])
        .filter(|old| old["status"] == condition["status"])
        .map(|old| old["lastTransitionTime"].clone())
        .unwrap_or_else(|| now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into());
    condition["lastTransitionTime"] = since;
    match before {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
    status["clusters"] = Value::Array(clusters);
    status["conditions"] = Value::Array(conditions);
}

fn sum(clusters: &[Value]) -> Value {
    let unregistered = || {
        clusters
            .iter()
            .filter(|cluster| cluster["registered"] == false)
    };
    let conflict = unregistered().any(|cluster| cluster["reason"] == CONFLICT);
    let text: Vec<String> = unregistered()
        .filter(|cluster| !conflict || cluster["reason"] == CONFLICT)
        .map(|cluster| {
            let text = |field: &str| cluster[field].as_str().unwrap_or_default();
            format!("cluster {}: {}", text("name"), text("message"))
        })
        .collect();
    let (status, reason, mut message) = if conflict {
        ("False", CONFLICT, text.join("; "))
    } else if text.is_empty() {
        let message = "every cluster that has an agent hands the group on to the fleet";
        ("True", "RegisteredEverywhere", message.to_owned())
    } else {
        ("False", "NotRegistered", text.join("; "))
    };
    if message.len() > MAX_MESSAGE {
        let end = message.floor_char_boundary(MAX_MESSAGE);
        message.truncate(end);
    }
    json!({"type": CONDITION, "status": status, "reason": reason, "message": message})
}
