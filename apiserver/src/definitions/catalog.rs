//! The set of resources served right now, as one immutable snapshot.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use helium_apimachinery::crd::Definition;
use helium_apimachinery::gvk::version_priority;
use helium_apimachinery::{GroupVersion, ServedResource, ServedVersion};

use super::sharing::Sharing;
use super::writers::Writers;

/// Where a resource may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// In discovery and OpenAPI everywhere: clusters register its group.
    Shared,
    /// Only on this server's own endpoint: a group that every cluster serves itself
    /// (`coordination.k8s.io`, the core group). To be kept out of the documents that an aggregator merges.
    Direct,
}

/// Rules of a kind beyond its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// None.
    None,
    /// A `SharedResourceDefinition`.
    Definition,
    /// A `CustomResourceDefinition`: a `SharedResourceDefinition` without what is about sharing.
    CustomResourceDefinition,
    /// A `Lease`.
    Lease,
    /// A `LeaseCandidate`: belongs to the cluster that it came from.
    LeaseCandidate,
    /// An `Event`, in one of its two views: goes by itself.
    Event,
    /// A `ControlPlane`: made by the server, and led into by its subresource `proxy`.
    ControlPlane,
    /// A namespace: exists without being stored.
    Namespace,
    /// A `Member`: a cluster of the fleet, part of what everybody trusts.
    Member,
    /// A `JoinToken`: lets one cluster become a member.
    JoinToken,
    /// A `FailoverGroup`: each cluster writes its own entry, and the server who leads.
    FailoverGroup,
}

impl Special {
    /// Whether it is about definitions of kinds, in whichever form.
    #[must_use]
    pub fn is_definition(self) -> bool {
        matches!(self, Self::Definition | Self::CustomResourceDefinition)
    }
}

/// A resource that is served: all that discovery, OpenAPI and the registry need to know of it.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its definition, all versions included.
    pub definition: Arc<Definition>,
    /// What clients see: one for each served version, preferred version first.
    pub served: Vec<ServedResource>,
    /// Where it may be reached.
    pub exposure: Exposure,
    /// How clusters share it.
    pub sharing: Sharing,
    /// Through which clusters it may be written.
    pub writers: Writers,
    /// The group whose rights are asked in authorization, and under which objects are stored: the resource's own but
    /// for [`Exposure::Direct`] views of a shared resource.
    pub home_group: String,
    /// The plural name under which rights are asked and objects are stored: the resource's own, likewise.
    pub home_plural: String,
    /// The kind as which objects are stored: the resource's own, likewise.
    pub home_kind: String,
    /// Rules beyond the schema.
    pub special: Special,
    /// Whether the definition is being deleted: nothing may be created.
    pub terminating: bool,
    /// Changes whenever anything does that decides how objects are read: a cache lives as long as this stays.
    pub fingerprint: String,
}

impl Resource {
    /// API group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.definition.group
    }

    /// Plural name: the path segment.
    #[must_use]
    pub fn plural(&self) -> &str {
        &self.definition.names.plural
    }

    /// What clients see of a version.
    #[must_use]
    pub fn served_version(&self, version: &str) -> Option<&ServedResource> {
        self.served
            .iter()
            .find(|served| served.gvk.version == version)
    }
}

/// The served resources at one moment. Replaced as a whole, never changed.
#[derive(Debug, Default)]
pub struct Catalog {
    generation: u64,
    synced: bool,
    resources: Vec<Arc<Resource>>,
    index: HashMap<(String, String), Arc<Resource>>,
    shared: Vec<ServedVersion>,
    all: Vec<ServedVersion>,
}

impl Catalog {
    /// A snapshot of `resources`. `synced` says whether the definitions were read at least once; before
    /// that nobody may conclude that a resource doesn't exist.
    #[must_use]
    pub fn new(generation: u64, synced: bool, resources: Vec<Arc<Resource>>) -> Self {
        let index = resources
            .iter()
            .map(|r| ((r.group().to_owned(), r.plural().to_owned()), Arc::clone(r)))
            .collect();
        let of = |wanted: &[Exposure]| {
            served_versions(resources.iter().filter(|r| wanted.contains(&r.exposure)))
        };
        Self {
            generation,
            synced,
            index,
            shared: of(&[Exposure::Shared]),
            all: of(&[Exposure::Shared, Exposure::Direct]),
            resources,
        }
    }

    /// Counts up with every replacement; equal numbers mean equal content within one process.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the definitions have been read at least once since start.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// All served resources.
    #[must_use]
    pub fn resources(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    /// What an aggregator may see: every group and version that clusters register.
    #[must_use]
    pub fn shared_versions(&self) -> &[ServedVersion] {
        &self.shared
    }

    /// What this server's own endpoint shows: the shared ones, and those that are only here. The core
    /// group, if any, has the empty name and belongs under `/api`.
    #[must_use]
    pub fn all_versions(&self) -> &[ServedVersion] {
        &self.all
    }

    /// A resource by group and plural name, whichever versions it has.
    #[must_use]
    pub fn find(&self, group: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.index.get(&(group.to_owned(), plural.to_owned()))
    }

    /// A resource by group and kind.
    #[must_use]
    pub fn find_kind(&self, group: &str, kind: &str) -> Option<&Arc<Resource>> {
        self.resources
            .iter()
            .find(|r| r.group() == group && r.definition.names.kind == kind)
    }
}

fn served_versions<'a>(resources: impl Iterator<Item = &'a Arc<Resource>>) -> Vec<ServedVersion> {
    let mut by_version: BTreeMap<GroupVersion, Vec<ServedResource>> = BTreeMap::new();
    for served in resources.flat_map(|resource| &resource.served) {
        by_version
            .entry(served.group_version())
            .or_default()
            .push(served.clone());
    }
    let mut versions: Vec<_> = by_version
        .into_iter()
        .map(|(group_version, mut resources)| {
            resources.sort_by(|a, b| a.plural.cmp(&b.plural));
            ServedVersion {
                group_version,
                resources,
            }
        })
        .collect();
    versions.sort_by(|a, b| {
        let (a, b) = (&a.group_version, &b.group_version);
        a.group
            .cmp(&b.group)
            .then_with(|| version_priority(&b.version, &a.version))
    });
    versions
}
