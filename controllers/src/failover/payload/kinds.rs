//! Which resource a kind is, as the cluster's discovery says; asked again when a kind is missing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use super::document::Manifest;
use super::object::{collection, text};
use super::wire::{As, Refused, Wire};

/// A kind's resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) kind: String,
    /// Plural name.
    pub(super) resource: String,
    pub(super) namespaced: bool,
}

/// What the cluster says of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resolved {
    /// It is served.
    Known(Kind),
    /// The group isn't served at all.
    NoGroup,
    /// The group is, in these versions.
    NoVersion(Vec<String>),
    /// Group and version are.
    NoKind,
}

/// The kinds of a cluster, as far as anybody asked for them.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    versions: Mutex<HashMap<GroupVersion, Arc<Vec<Kind>>>>,
}

/// An API group, and a version of it.
type GroupVersion = (String, String);

impl Kinds {
    /// The resource of a kind. What is remembered is believed; what isn't is asked for.
    pub(super) async fn resolve(
        &self,
        wire: &Wire,
        (group, version, kind): (&str, &str, &str),
        bound: Duration,
    ) -> Result<Resolved, Refused> {
        let find = |kinds: &[Kind]| kinds.iter().find(|known| known.kind == kind).cloned();
        let key = (group.to_owned(), version.to_owned());
        let known = self.versions.lock().get(&key).cloned();
        if let Some(found) = known.and_then(|kinds| find(&kinds)) {
            return Ok(Resolved::Known(found));
        }
        // The path of a version is that of its collections.
        let path = collection(group, version, "", None);
        let path = path.trim_end_matches('/');
        match wire.get_opt(As::Agent, path, bound).await? {
            Some(list) => {
                let kinds = Arc::new(kinds(&list));
                let found = find(&kinds);
                self.versions.lock().insert(key, kinds);
                Ok(found.map_or(Resolved::NoKind, Resolved::Known))
            }
            None => {
                self.versions.lock().remove(&key);
                Ok(match served(wire, group, bound).await? {
                    Some(versions) => Resolved::NoVersion(versions),
                    None => Resolved::NoGroup,
                })
            }
        }
    }

    /// Forgets a version: an object of it was refused as unknown.
    pub(super) fn forget(&self, group: &str, version: &str) {
        let key = (group.to_owned(), version.to_owned());
        self.versions.lock().remove(&key);
    }
}

/// The versions of a group that are served, the preferred one first; `None` if the group isn't.
pub(super) async fn served(
    wire: &Wire,
    group: &str,
    bound: Duration,
) -> Result<Option<Vec<String>>, Refused> {
    if group.is_empty() {
        return Ok(Some(vec!["v1".to_owned()]));
    }
    let Some(found) = wire
        .get_opt(As::Agent, &format!("/apis/{group}"), bound)
        .await?
    else {
        return Ok(None);
    };
    let preferred = text(&found, "/preferredVersion/version");
    let versions = found["versions"].as_array();
    let mut versions: Vec<String> = versions
        .into_iter()
        .flatten()
        .filter_map(|version| version["version"].as_str().map(str::to_owned))
        .collect();
    versions.sort_by_key(|version| Some(version.as_str()) != preferred);
    Ok(Some(versions))
}

fn kinds(list: &Value) -> Vec<Kind> {
    let resources = list["resources"].as_array();
    resources
        .into_iter()
        .flatten()
        .filter_map(|resource| {
            let name = resource["name"].as_str()?;
            // Subresources are no objects.
            (!name.contains('/')).then(|| Kind {
                kind: resource["kind"].as_str().unwrap_or_default().to_owned(),
                resource: name.to_owned(),
                namespaced: resource["namespaced"] == true,
            })
        })
        .collect()
}

/// The kind that a definition in the payload itself will bring, if it is the one that is asked for.
pub(super) fn promised(
    definition: &Manifest,
    (group, version, kind): (&str, &str, &str),
) -> Option<Kind> {
    if definition.group != "apiextensions.k8s.io" {
        return None;
    }
    let spec = &definition.content["spec"];
    let serves = spec["versions"]
        .as_array()?
        .iter()
        .any(|found| found["name"] == version && found["served"] == true);
    let fits = spec["group"] == group && spec["names"]["kind"] == kind && serves;
    fits.then(|| {
        Some(Kind {
            kind: kind.to_owned(),
            resource: spec["names"]["plural"].as_str()?.to_owned(),
            namespaced: spec["scope"] == "Namespaced",
        })
    })?
}
