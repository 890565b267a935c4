//! The three ClusterRoles of a group: what its readers, writers and administrators may do.
//!
//! Each role is complete by itself, so that it can be bound alone; by their labels the cluster's own `view`, `edit`
//! and `admin` take the rules over (Kubernetes, "aggregated ClusterRoles"). A namespaced binding of those gives no
//! rights on kinds that aren't in namespaces.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::core::ObjectMeta;

use super::desired::managed_label;
use super::kind::{Aggregation, Kind};

/// Verbs that change nothing.
const READ: &[&str] = &["get", "list", "watch"];
/// Verbs of those who work with objects.
const WRITE: &[&str] = &[
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
];

/// Who a role is for; the last part of its name.
const LEVELS: [&str; 3] = ["view", "edit", "admin"];

/// Whether a name is one that a role of ours can have: the label alone is not enough to tell, since other parts of
/// an installation may carry it too.
pub(super) fn is_role_name(name: &str) -> bool {
    name.strip_prefix("helium:")
        .and_then(|rest| rest.rsplit_once(':'))
        .is_some_and(|(group, level)| !group.is_empty() && LEVELS.contains(&level))
}

/// The roles of a group.
pub(super) fn roles(group: &str, kinds: &[&Kind]) -> Vec<ClusterRole> {
    let resources: Vec<String> = kinds.iter().map(|kind| kind.plural.clone()).collect();
    let subresources = |wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
        kinds
            .iter()
            .flat_map(|kind| {
                kind.subresources
                    .iter()
                    .filter(|name| wanted(name))
                    .map(|name| format!("{}/{name}", kind.plural))
            })
            .collect()
    };
    let all: Vec<String> = [resources.clone(), subresources(&|_| true)].concat();
    let aggregated = kinds
        .iter()
        .all(|kind| kind.aggregation == Aggregation::All);
    LEVELS
        .into_iter()
        .map(|level| {
            let rules = match level {
                "view" => vec![rule(group, all.clone(), READ)],
                "edit" => vec![
                    rule(group, resources.clone(), WRITE),
                    // Status belongs to controllers, the number of replicas to whoever may edit.
                    rule(group, subresources(&|name| name != "scale"), &["get"]),
                    rule(
                        group,
                        subresources(&|name| name == "scale"),
                        &["get", "update", "patch"],
                    ),
                ],
                _ => vec![rule(group, all.clone(), &["*"])],
            };
            role(group, level, aggregated || level == "view", rules)
        })
        .collect()
}

fn rule(group: &str, resources: Vec<String>, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(resources),
        verbs: verbs.iter().map(|&verb| verb.to_owned()).collect(),
        ..PolicyRule::default()
    }
}

fn role(group: &str, level: &str, aggregated: bool, mut rules: Vec<PolicyRule>) -> ClusterRole {
    rules.retain(|rule| rule.resources.as_ref().is_some_and(|list| !list.is_empty()));
    let mut labels: BTreeMap<String, String> = managed_label();
    if aggregated {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{level}");
        labels.insert(label, "true".to_owned());
    }
    ClusterRole {
        metadata: ObjectMeta {
            name: Some(format!("helium:{group}:{level}")),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        rules: Some(rules),
        aggregation_rule: None,
    }
}
