//! Namespaces, as far as they differ from stored objects.

use std::collections::BTreeSet;
use std::sync::Arc;

use helium_apimachinery::metadata_rules::{self, CreateContext};
use helium_apimachinery::status::Result;
use jiff::Timestamp;
use uuid::Uuid;

use super::Registry;
use super::call::Call;
use crate::cache::Entry;
use crate::definitions::Special;
use crate::namespaces;

impl Registry {
    /// The resources, as people type them, that have objects in a namespace.
    pub(super) fn resources_in(&self, namespace: &str) -> BTreeSet<String> {
        let scope = format!("{namespace}/");
        self.live
            .load()
            .values()
            .filter(|live| live.resource.definition.scope.is_namespaced())
            // One that stands for another group's objects too is named once, under the group that is stored.
            .filter(|live| live.resource.group() == live.resource.home_group)
            .filter(|live| !live.cache.snapshot(&scope, None).entries.is_empty())
            .map(|live| live.group_resource().to_string())
            .collect()
    }

    /// Adds the namespaces that have objects, but are not stored themselves.
    pub(super) fn add_implied_namespaces(&self, stored: &mut Vec<Arc<Entry>>) {
        let mut used = BTreeSet::new();
        for live in self.live.load().values() {
            if !live.resource.definition.scope.is_namespaced() {
                continue;
            }
            for entry in live.cache.snapshot("", None).entries {
                if let Some((namespace, _)) = entry.key.split_once('/')
                    && !used.contains(namespace)
                {
                    used.insert(namespace.to_owned());
                }
            }
        }
        namespaces::add_implied(stored, used);
    }
}

impl Call<'_> {
    /// Says what a deleted namespace leaves behind: shared objects belong to no cluster's namespace, so they stay.
    pub(super) fn warn_of_remains(&self) {
        if self.live.resource.special != Special::Namespace {
            return;
        }
        let remains = self.registry.resources_in(&self.name);
        if !remains.is_empty() {
            let remains: Vec<_> = remains.into_iter().collect();
            self.request.warnings.add(format!(
                "namespace {:?} still has shared objects, which a namespace doesn't take along; delete them yourself: kubectl delete {} --all -n {}",
                self.name,
                remains.join(","),
                self.name,
            ));
        }
    }

    /// Stores the implied namespace that the path names, so that it can be changed or deleted.
    pub(super) async fn materialise(&self, dry_run: bool) -> Result<()> {
        if self.live.resource.special != Special::Namespace || dry_run {
            return Ok(());
        }
        let Some(mut object) = namespaces::implied(&self.name) else {
            return Ok(());
        };
        if self.live.cache.get(&self.name).0.is_some() {
            return Ok(());
        }
        let context = CreateContext {
            scope: self.live.resource.definition.scope,
            namespace: "",
            has_status: false,
            now: Timestamp::now(),
            uid: Uuid::new_v4(),
        };
        object.remove_meta("resourceVersion");
        metadata_rules::prepare_create(&mut object, &context, &mut rand::rng())?;
        self.stamp(&mut object);
        let value = self.live.encode(&object);
        // Somebody else may have stored it meanwhile: as good.
        self.registry
            .store
            .create(&self.key(&self.name), value)
            .await?;
        Ok(())
    }
}
