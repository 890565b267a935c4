//! A served resource with its cache, and its versions as views of what is stored.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use helium_apimachinery::crd::{Definition, DefinitionVersion};
use helium_apimachinery::event;
use helium_apimachinery::meta::Object;
use helium_apimachinery::table::Printer;
use helium_apimachinery::{GroupResource, GroupVersionKind, ServedResource};
use tokio_util::sync::CancellationToken;

use super::term;
use crate::cache::{Cache, DecodeError, Decoder, Entry};
use crate::definitions::{Resource, SharingScope, Special, builtin};
use crate::failover;
use crate::request_info::Verb;
use crate::storage::{Record, codec};

/// A served resource.
pub(super) struct Live {
    pub(super) resource: Arc<Resource>,
    pub(super) cache: Cache,
    pub(super) views: Vec<Arc<View>>,
    stop: CancellationToken,
}

/// The segment of a resource's keys that names the cluster, if objects aren't shared.
pub(super) fn cluster_segment<'a>(resource: &Resource, cluster: &'a str) -> Option<&'a str> {
    (resource.sharing.scope == SharingScope::PerCluster).then_some(cluster)
}

impl Live {
    pub(super) fn new(resource: Arc<Resource>, cache: Cache, stop: CancellationToken) -> Self {
        Self {
            views: views(&resource),
            resource,
            cache,
            stop,
        }
    }

    /// The same cache for a resource that has changed in what doesn't matter to it.
    pub(super) fn with_resource(&self, resource: Arc<Resource>) -> Self {
        Self::new(resource, self.cache.clone(), self.stop.clone())
    }

    pub(super) fn shares_cache_with(&self, other: &Self) -> bool {
        self.cache.is_same(&other.cache)
    }

    /// Ends the cache and all watches on it.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Is cancelled when watches must end.
    pub(super) fn stopped(&self) -> &CancellationToken {
        &self.stop
    }

    pub(super) fn view(&self, version: &str) -> Option<&Arc<View>> {
        self.views
            .iter()
            .find(|view| view.served.gvk.version == version)
    }

    pub(super) fn group_resource(&self) -> GroupResource {
        GroupResource::new(self.resource.group(), self.resource.plural())
    }

    /// Decodes what was read past the cache, exactly as the cache does.
    pub(super) fn decode(&self, record: &Record) -> Result<Object, DecodeError> {
        Reader::new(&self.resource).decode(record)
    }

    /// The stored form: the version and group in which objects are kept.
    pub(super) fn encode(&self, object: &Object) -> Bytes {
        let definition = &self.resource.definition;
        let version = &definition.storage_version().name;
        let home = GroupVersionKind::new(
            self.resource.home_group.clone(),
            version.clone(),
            self.resource.home_kind.clone(),
        );
        if object.api_version() == home.api_version() && object.kind() == home.kind {
            return codec::encode(object);
        }
        let mut stored = object.clone();
        if Reader::new(&self.resource).renames() {
            event::to_stored(&mut stored);
        }
        stored.set_gvk(&home);
        codec::encode(&stored)
    }
}

fn views(resource: &Resource) -> Vec<Arc<View>> {
    let storage = &resource.definition.storage_version().name;
    let view = |served: &ServedResource| View {
        printer: Printer::new(&served.columns),
        is_storage: &served.gvk.version == storage,
        hides: resource.special == Special::CustomResourceDefinition,
        definition: Arc::clone(&resource.definition),
        served: served.clone(),
    };
    resource
        .served
        .iter()
        .map(|served| Arc::new(view(served)))
        .collect()
}

/// A version of a resource: how its clients see the stored objects.
pub(super) struct View {
    pub(super) served: ServedResource,
    pub(super) printer: Printer,
    definition: Arc<Definition>,
    is_storage: bool,
    /// Whether stored objects have parts that this view doesn't show.
    hides: bool,
}

impl View {
    /// Whether discovery lists the verb.
    pub(super) fn serves(&self, verb: &Verb) -> bool {
        let verb = verb.as_str();
        self.served.verbs.iter().any(|served| served == verb)
    }

    /// The version's declaration.
    pub(super) fn version(&self) -> &DefinitionVersion {
        // Every served version is one of the definition's.
        self.definition
            .version(&self.served.gvk.version)
            .unwrap_or_else(|| self.definition.storage_version())
    }

    /// A stored object in this version, as it is shown.
    pub(super) fn object<'a>(&self, stored: &'a Object) -> Cow<'a, Object> {
        self.show(self.whole(stored))
    }

    /// An object of this version without what isn't shown.
    pub(super) fn show<'a>(&self, object: Cow<'a, Object>) -> Cow<'a, Object> {
        if !self.hides {
            return object;
        }
        let mut object = object.into_owned();
        builtin::hide(&mut object);
        Cow::Owned(object)
    }

    /// Completes a change by what isn't shown of the object that it was made from.
    pub(super) fn complete(&self, changed: &mut Object, whole: &Object) {
        if self.hides {
            builtin::restore(changed, whole);
        }
    }

    /// A stored object in this version, with all that it has.
    pub(super) fn whole<'a>(&self, stored: &'a Object) -> Cow<'a, Object> {
        if self.is_storage {
            return Cow::Borrowed(stored);
        }
        let mut object = stored.clone();
        object.set_gvk(&self.served.gvk);
        object.with_value_mut(|value| {
            let schema = &self.version().schema;
            schema.prune(value);
            schema.default(value);
        });
        Cow::Owned(object)
    }

    /// A cached object in this version, as JSON.
    pub(super) fn json(&self, entry: &Entry) -> Bytes {
        if self.is_storage && !self.hides {
            return entry.json().clone();
        }
        Bytes::from(serde_json::to_vec(&*self.object(&entry.object)).unwrap_or_default())
    }

    /// An object of this version as it is stored.
    pub(super) fn to_storage(&self, mut object: Object) -> Object {
        if !self.is_storage {
            let version = &self.definition.storage_version().name;
            object.set_gvk(&self.definition.gvk(version));
        }
        object
    }
}

/// Reads stored objects: the stored version, pruned and with defaults, under the resource's own group.
pub(super) struct Reader {
    definition: Arc<Definition>,
    special: Special,
}

impl Reader {
    pub(super) fn new(resource: &Resource) -> Self {
        Self {
            definition: Arc::clone(&resource.definition),
            special: resource.special,
        }
    }
}

impl Reader {
    /// Whether members have other names than in what is stored.
    fn renames(&self) -> bool {
        self.special == Special::Event && self.definition.group == event::GROUP
    }
}

impl Decoder for Reader {
    fn decode(&self, record: &Record) -> Result<Object, DecodeError> {
        let mut object = codec::decode(record)?;
        if self.renames() {
            event::from_stored(&mut object);
        }
        let version = self.definition.storage_version();
        object.set_gvk(&self.definition.gvk(&version.name));
        if self.special == Special::Lease {
            term::complete(&mut object, record.revision);
        }
        if self.special == Special::FailoverGroup {
            failover::complete(&mut object, record.revision);
        }
        // What a definition may contain is checked when it is written.
        if !self.special.is_definition() {
            object.with_value_mut(|value| {
                version.schema.prune(value);
                version.schema.default(value);
            });
        }
        Ok(object)
    }
}
