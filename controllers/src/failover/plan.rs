//! Which of the cluster's MultiClusters takes part in which group: values only.

use std::collections::BTreeMap;
use std::sync::Arc;

use helium_apimachinery::names;
use helium_failover::GroupName;
use helium_failover::kind::{FINALIZER, MultiClusterSpec};
use kube::core::DynamicObject;
use serde_json::Value;

/// Ranks are what candidates' priorities are elsewhere, 32 bits and not below zero; no rank at all counts as 0.
const RANKS: std::ops::RangeInclusive<i64> = 0..=i32::MAX as i64;

/// What is wrong with an object, in one word and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// The cluster's MultiClusters, sorted out.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The member of each group.
    pub(super) members: BTreeMap<GroupName, Arc<DynamicObject>>,
    /// Objects that take no part, and why.
    pub(super) rejected: Vec<(Arc<DynamicObject>, Problem)>,
}

/// The `spec` of a MultiCluster.
pub(super) fn spec(object: &DynamicObject) -> Result<MultiClusterSpec, Problem> {
    let spec = object.data.get("spec").cloned().unwrap_or(Value::Null);
    serde_json::from_value(spec).map_err(|error| {
        let text = format!("spec can't be read: {error}; correct it as the definition says");
        Problem::new("InvalidSpec", text)
    })
}

/// The group that an object names.
pub(super) fn group(object: &DynamicObject) -> Result<GroupName, Problem> {
    let spec = spec(object)?;
    let wrong = names::dns1123_label(&spec.callsign);
    if !wrong.is_empty() {
        let message = format!(
            "spec.callsign {:?} can't name a group: {}; give all members of the group one name such as \"london\"",
            spec.callsign,
            wrong.join("; ")
        );
        return Err(Problem::new("InvalidCallsign", message));
    }
    Ok(GroupName {
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        callsign: spec.callsign,
    })
}

/// The rank, if it is one.
pub(super) fn rank(spec: &MultiClusterSpec) -> Result<i64, Problem> {
    if RANKS.contains(&spec.rank) {
        return Ok(spec.rank);
    }
    let message = format!(
        "spec.rank {} is out of range: write a whole number from {} to {}, the highest leads",
        spec.rank,
        RANKS.start(),
        RANKS.end()
    );
    Err(Problem::new("InvalidRank", message))
}

/// Whether the object can't go before we let it.
pub(super) fn is_held(object: &DynamicObject) -> bool {
    let finalizers = object.metadata.finalizers.as_deref().unwrap_or_default();
    finalizers.iter().any(|name| name == FINALIZER)
}

/// Whether the object is being deleted.
pub(super) fn is_deleted(object: &DynamicObject) -> bool {
    object.metadata.deletion_timestamp.is_some()
}

/// Sorts the objects out. Of two with one callsign in one namespace the older takes part: a cluster has one vote.
pub(super) fn plan(objects: &BTreeMap<String, Arc<DynamicObject>>) -> Plan {
    let mut plan = Plan::default();
    let mut sorted: Vec<&Arc<DynamicObject>> = objects.values().collect();
    sorted.sort_by_key(|object| {
        let made = object.metadata.creation_timestamp.as_ref();
        (made.map(|time| time.0), object.metadata.name.clone())
    });
    for object in sorted {
        match group(object) {
            Err(problem) => plan.rejected.push((Arc::clone(object), problem)),
            Ok(group) => match plan.members.get(&group) {
                None => {
                    plan.members.insert(group, Arc::clone(object));
                }
                Some(first) => {
                    let name = first.metadata.name.as_deref().unwrap_or_default();
                    let message = format!(
                        "MultiCluster {name} of this cluster is the group's member already: delete one of the two, or give \
                         this one another callsign"
                    );
                    plan.rejected.push((
                        Arc::clone(object),
                        Problem::new("DuplicateCallsign", message),
                    ));
                }
            },
        }
    }
    plan
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn object(name: &str, second: u32, spec: Value) -> Arc<DynamicObject> {
        let object = json!({"apiVersion": "kube-vip.io/v1alpha1", "kind": "MultiCluster",
            "metadata": {"name": name, "namespace": "default", "uid": name, "generation": 1,
                "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z")},
            "spec": spec});
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn planned(objects: &[Arc<DynamicObject>]) -> Plan {
        let named = |object: &Arc<DynamicObject>| {
            let name = object.metadata.name.clone().unwrap_or_default();
            (format!("default/{name}"), Arc::clone(object))
        };
        plan(&objects.iter().map(named).collect())
    }

    #[test]
    fn a_callsign_must_be_a_name_and_the_message_says_so() {
        for bad in ["", "Lon don", "a.b", &"x".repeat(64)] {
            let plan = planned(&[object("a", 0, json!({"callsign": bad, "payload": ""}))]);
            assert!(plan.members.is_empty());
            let (_, problem) = &plan.rejected[0];
            assert_eq!(problem.reason, "InvalidCallsign");
            assert!(problem.message.contains("can't name a group"));
        }
        let plan = planned(&[object("a", 0, json!({"callsign": 7}))]);
        assert_eq!(plan.rejected[0].1.reason, "InvalidSpec");
    }

    #[test]
    fn of_two_with_one_callsign_the_older_takes_part() {
        let spec = json!({"callsign": "city", "payload": "", "rank": 5});
        let plan = planned(&[object("a", 9, spec.clone()), object("b", 3, spec)]);
        let member = plan.members.values().next().unwrap();
        assert_eq!(member.metadata.name.as_deref(), Some("b"));
        assert_eq!(plan.rejected.len(), 1);
        assert_eq!(plan.rejected[0].1.reason, "DuplicateCallsign");
        assert!(plan.rejected[0].1.message.contains("MultiCluster b "));
    }

    #[test]
    fn a_rank_is_a_number_that_others_can_have_as_priority() {
        let ranked = |rank: i64| {
            let object = object("a", 0, json!({"callsign": "c", "rank": rank}));
            rank_of(&object)
        };
        for good in [0, 5, i64::from(i32::MAX)] {
            assert_eq!(ranked(good), Ok(good));
        }
        for bad in [-1, i64::from(i32::MAX) + 1, i64::MIN] {
            let refused = ranked(bad).unwrap_err();
            assert_eq!(refused.reason, "InvalidRank");
            assert!(refused.message.contains(&bad.to_string()));
        }
    }

    fn rank_of(object: &DynamicObject) -> Result<i64, Problem> {
        rank(&spec(object)?)
    }
}
