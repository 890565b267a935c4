//! ClusterRoles of a group: what its readers, writers and administrators may do.
//!
//! Each role is complete by itself, so that it can be bound alone; by their labels the cluster's own `view`, `edit`
//! and `admin` take the rules over (Kubernetes, "aggregated ClusterRoles"). A namespaced binding of those gives no
//! rights on kinds that aren't in namespaces.
//!
//! A write to the fleet's own kinds concerns every cluster: who may define what is shared, let clusters in or shut them out
//! is said by name, by binding [`FLEET_ADMIN`]. Nothing is aggregated there but looking at what isn't secret.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::core::ObjectMeta;

use super::desired::managed_label;
use super::kind::{Aggregation, Kind};

/// The role of those who administer the fleet.
pub(super) const FLEET_ADMIN: &str = "helium-fleet-admin";

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

/// The verb on members that lets clusters in and shuts them out.
const ADMINISTER: &str = "administer";

/// Who a role is for; the last part of its name.
const LEVELS: [&str; 3] = ["view", "edit", "admin"];

/// Whether a name is one that a role of ours can have: the label alone is not enough to tell, since other parts of
/// an installation may carry it too.
pub(crate) fn is_role_name(name: &str) -> bool {
    name == FLEET_ADMIN
        || name
            .strip_prefix("helium:")
            .and_then(|rest| rest.rsplit_once(':'))
            .is_some_and(|(group, level)| !group.is_empty() && LEVELS.contains(&level))
}

/// The resources of some kinds.
fn resources<'a>(kinds: impl IntoIterator<Item = &'a &'a Kind>) -> Vec<String> {
    kinds.into_iter().map(|kind| kind.plural.clone()).collect()
}

/// The subresources of some kinds.
fn subresources<'a>(
    kinds: impl IntoIterator<Item = &'a &'a Kind>,
    wanted: impl Fn(&str) -> bool,
) -> Vec<String> {
    kinds
        .into_iter()
        .flat_map(|kind| {
            let wanted = kind.subresources.iter().filter(|name| wanted(name));
            wanted.map(|name| format!("{}/{name}", kind.plural))
        })
        .collect()
}

/// The roles of a group.
pub(super) fn roles(group: &str, kinds: &[&Kind]) -> Vec<ClusterRole> {
    if kinds
        .iter()
        .all(|kind| kind.aggregation == Aggregation::All)
    {
        return of_users(group, kinds);
    }
    let (seen, written) = (
        kinds
            .iter()
            .filter(|kind| kind.aggregation != Aggregation::Nobody),
        kinds
            .iter()
            .filter(|kind| kind.aggregation != Aggregation::ReadOnly),
    );
    let all = [resources(seen.clone()), subresources(seen, |_| true)].concat();
    vec![
        role(view(group), Some("view"), vec![rule(group, all, READ)]),
        role(
            FLEET_ADMIN.to_owned(),
            None,
            vec![
                rule(group, resources(written.clone()), WRITE),
                rule(group, subresources(written, |_| true), &["get"]),
                rule(group, vec!["members".to_owned()], &[ADMINISTER]),
            ],
        ),
    ]
}

/// The roles of a group whose kinds are users' own.
fn of_users(group: &str, kinds: &[&Kind]) -> Vec<ClusterRole> {
    let all = [resources(kinds), subresources(kinds, |_| true)].concat();
    let edit = vec![
        rule(group, resources(kinds), WRITE),
        // Status belongs to controllers, the number of replicas to whoever may edit.
        rule(group, subresources(kinds, |name| name != "scale"), &["get"]),
        rule(
            group,
            subresources(kinds, |name| name == "scale"),
            &["get", "update", "patch"],
        ),
    ];
    let [_, edit_level, admin_level] = LEVELS;
    let name = |level: &str| format!("helium:{group}:{level}");
    vec![
        role(
            view(group),
            Some("view"),
            vec![rule(group, all.clone(), READ)],
        ),
        role(name(edit_level), Some(edit_level), edit),
        role(
            name(admin_level),
            Some(admin_level),
            vec![rule(group, all, &["*"])],
        ),
    ]
}

fn view(group: &str) -> String {
    let [level, ..] = LEVELS;
    format!("helium:{group}:{level}")
}

fn rule(group: &str, resources: Vec<String>, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(resources),
        verbs: verbs.iter().map(|&verb| verb.to_owned()).collect(),
        ..PolicyRule::default()
    }
}

/// A role; `extends` names the cluster's own role that takes its rules over.
fn role(name: String, extends: Option<&str>, mut rules: Vec<PolicyRule>) -> ClusterRole {
    rules.retain(|rule| rule.resources.as_ref().is_some_and(|list| !list.is_empty()));
    let mut labels: BTreeMap<String, String> = managed_label();
    if let Some(level) = extends {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{level}");
        labels.insert(label, "true".to_owned());
    }
    ClusterRole {
        metadata: ObjectMeta {
            name: Some(name),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        rules: Some(rules),
        aggregation_rule: None,
    }
}
