//! What is inside of namespaces and definitions: they are deleted only when nothing of others would go with them.

use helium_failover::GroupName;
use helium_failover::kind::{GROUP_LABEL, payload_label};
use serde_json::Value;

use super::object::{Place, Whose, collection, text, whose};
use super::site::Inner;
use super::wire::As;

/// Made by the cluster in every namespace, or for what is in it.
const MADE_BY_THE_CLUSTER: [(&str, &str); 6] = [
    ("configmaps", "kube-root-ca.crt"),
    ("serviceaccounts", "default"),
    ("events", ""),
    ("endpoints", ""),
    ("endpointslices", ""),
    ("pods", ""),
];

impl Inner {
    /// Whether others' objects are in a namespace, or of the kind of a definition. What can't be seen counts as others'.
    pub(super) async fn holds_others(
        &self,
        who: As<'_>,
        group: &GroupName,
        owner: &str,
        place: &Place,
    ) -> bool {
        let found = match (place.group.as_str(), place.kind.as_str()) {
            ("", "Namespace") => self.in_namespace(who, group, owner, place).await,
            ("apiextensions.k8s.io", "CustomResourceDefinition") => {
                self.of_definition(who, group, owner, place).await
            }
            _ => Some(false),
        };
        found.unwrap_or(true)
    }

    async fn of_definition(
        &self,
        who: As<'_>,
        group: &GroupName,
        owner: &str,
        place: &Place,
    ) -> Option<bool> {
        let bound = self.options.request_timeout;
        let definition = self.wire.get_opt(who, &place.path(), bound).await.ok()?;
        let Some(definition) = definition else {
            return Some(false);
        };
        let spec = &definition["spec"];
        let versions = spec["versions"].as_array()?;
        let Some(served) = versions.iter().find(|version| version["served"] == true) else {
            // Its objects can't be read, by us or others.
            return None;
        };
        let path = collection(
            spec["group"].as_str()?,
            served["name"].as_str()?,
            spec["names"]["plural"].as_str()?,
            None,
        );
        match self.wire.list(who, &path, None, bound).await {
            Ok(items) => Some(items.iter().any(|item| !is_ours(item, group, owner))),
            // Never accepted by the cluster, so nothing is of its kind.
            Err(refused) if refused.is_not_found() => Some(false),
            Err(_) => None,
        }
    }

    async fn in_namespace(
        &self,
        who: As<'_>,
        group: &GroupName,
        owner: &str,
        place: &Place,
    ) -> Option<bool> {
        let bound = self.options.request_timeout;
        for (api_group, version) in self.group_versions().await? {
            let path = collection(&api_group, &version, "", None);
            let path = path.trim_end_matches('/');
            let Some(list) = self.wire.get_opt(As::Agent, path, bound).await.ok()? else {
                continue;
            };
            for resource in list["resources"].as_array().into_iter().flatten() {
                let name = resource["name"].as_str().unwrap_or_default();
                let can_list = resource["verbs"]
                    .as_array()
                    .is_some_and(|verbs| verbs.iter().any(|verb| verb == "list"));
                if resource["namespaced"] != true || name.contains('/') || !can_list {
                    continue;
                }
                let path = collection(&api_group, &version, name, Some(&place.name));
                let items = match self.wire.list(who, &path, None, bound).await {
                    Ok(items) => items,
                    // Discovery is a little behind a definition that is gone.
                    Err(refused) if refused.is_not_found() => continue,
                    Err(_) => return None,
                };
                let is_others =
                    |item: &Value| !is_ours(item, group, owner) && !is_the_clusters(name, item);
                if items.iter().any(is_others) {
                    return Some(true);
                }
            }
        }
        Some(false)
    }

    /// Each API group in its preferred version.
    async fn group_versions(&self) -> Option<Vec<(String, String)>> {
        let bound = self.options.request_timeout;
        let groups = self.wire.get(As::Agent, "/apis", bound).await.ok()?;
        let groups = groups["groups"].as_array()?;
        let mut versions = vec![(String::new(), "v1".to_owned())];
        for group in groups {
            let name = group["name"].as_str()?;
            let version = text(group, "/preferredVersion/version")?;
            versions.push((name.to_owned(), version.to_owned()));
        }
        Some(versions)
    }
}

/// Ours, or a controller's that made it of ours.
fn is_ours(item: &Value, group: &GroupName, owner: &str) -> bool {
    let label = payload_label(&group.namespace, &group.callsign);
    whose(item, group, owner) == Whose::Ours
        || (item["metadata"]["labels"][GROUP_LABEL] == label.as_str() && is_owned(item))
}

fn is_owned(item: &Value) -> bool {
    let owners = item["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| !owners.is_empty())
}

fn is_the_clusters(resource: &str, item: &Value) -> bool {
    let name = text(item, "/metadata/name").unwrap_or_default();
    // Pods are nobody's own work only where something made them.
    (resource != "pods" || is_owned(item))
        && MADE_BY_THE_CLUSTER
            .iter()
            .any(|(known, named)| *known == resource && (named.is_empty() || *named == name))
        || (resource == "replicasets" || resource == "controllerrevisions" || resource == "jobs")
            && is_owned(item)
}
