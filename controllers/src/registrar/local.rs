//! Which groups a cluster serves itself.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;

use super::owned;

/// The groups that a cluster serves itself, each with the objects that make it do so.
///
/// Whole groups are shared or local, never single versions: namespace controllers and garbage collectors work with
/// a group's preferred version only, and the merged OpenAPI document would hold paths twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalGroups(BTreeMap<String, BTreeSet<String>>);

impl LocalGroups {
    /// Derives them from the cluster's APIServices and the names of its CustomResourceDefinitions.
    pub fn new<'a>(
        api_services: impl IntoIterator<Item = &'a APIService>,
        definitions: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut groups = Self::default();
        for service in api_services {
            if owned(&service.metadata) {
                continue;
            }
            let name = service.metadata.name.as_deref().unwrap_or_default();
            // The core group's name is empty, and left out.
            let spec = service.spec.as_ref();
            let group = spec.and_then(|spec| spec.group.as_deref());
            groups.add(group.unwrap_or_default(), format!("APIService {name}"));
        }
        for name in definitions {
            // The name is the plural, a dot and the group: the API server insists on it.
            if let Some((_, group)) = name.split_once('.') {
                groups.add(group, format!("CustomResourceDefinition {name}"));
            }
        }
        groups
    }

    fn add(&mut self, group: &str, because: String) {
        self.0.entry(group.to_owned()).or_default().insert(because);
    }

    /// Why the cluster serves a group itself, for people; `None` if it doesn't.
    #[must_use]
    pub fn why(&self, group: &str) -> Option<String> {
        /// Objects that are named; the others are only counted.
        const NAMED: usize = 3;
        let because = self.0.get(group)?;
        let mut text: Vec<&str> = because.iter().take(NAMED).map(String::as_str).collect();
        let more = format!("{} more", because.len().saturating_sub(NAMED));
        if because.len() > NAMED {
            text.push(&more);
        }
        Some(text.join(", "))
    }
}
