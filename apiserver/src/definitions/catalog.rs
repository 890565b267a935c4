//! The set of resources served right now, as one immutable snapshot.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

/// Where a resource may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// In discovery and OpenAPI everywhere: clusters register its group.
    Shared,
    /// Only on this server's own endpoint: a group that every cluster serves itself
    /// (`coordination.k8s.io`). Kept out of the documents that an aggregator merges.
    Direct,
}

/// Who shares the objects of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharingScope {
    /// One set of objects for all clusters.
    Fleet,
    /// Each cluster has its own set.
    PerCluster,
}

/// What happens to a namespace's shared objects when one cluster deletes the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceDeletion {
    /// The cluster leaves; the objects stay for the others.
    Detach,
    /// The cluster's own objects are deleted.
    HomeOnly,
    /// Refused while objects are there.
    Block,
}

/// A printer column, as a definition declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: String,
    /// OpenAPI format hint.
    pub format: String,
    /// Help text.
    pub description: String,
    /// Above 0: only with `-o wide`.
    pub priority: i32,
    /// JSONPath of the cell.
    pub json_path: String,
}

/// Where `/scale` finds its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalePaths {
    /// JSONPath under `.spec`.
    pub spec_replicas: String,
    /// JSONPath under `.status`.
    pub status_replicas: String,
    /// JSONPath of the serialised selector, if declared.
    pub label_selector: Option<String>,
}

/// One served version of a resource.
#[derive(Debug, Clone)]
pub struct ServedVersion {
    /// Name, such as `v1`.
    pub name: String,
    /// Whether objects are stored in this version.
    pub storage: bool,
    /// Deprecation warning, when the version is deprecated.
    pub deprecation: Option<String>,
    /// The OpenAPI v3 schema as declared, for publishing.
    pub schema: Arc<Value>,
    /// Printer columns; empty means the default `Age`.
    pub columns: Vec<Column>,
    /// Whether `/status` is served.
    pub status: bool,
    /// `/scale`, when served.
    pub scale: Option<ScalePaths>,
    /// JSONPaths that field selectors may use beside name and namespace.
    pub selectable_fields: Vec<String>,
}

/// A resource that is served: all that discovery, OpenAPI and the registry need to know of it.
#[derive(Debug, Clone)]
pub struct ServedResource {
    /// API group.
    pub group: String,
    /// Plural name: the path segment.
    pub plural: String,
    /// Singular name.
    pub singular: String,
    /// Kind of an object.
    pub kind: String,
    /// Kind of a list.
    pub list_kind: String,
    /// Short names.
    pub short_names: Vec<String>,
    /// Categories, such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Served versions, preferred first (Kubernetes version order).
    pub versions: Vec<ServedVersion>,
    /// Who may reach it where.
    pub exposure: Exposure,
    /// Fleet or per cluster.
    pub scope: SharingScope,
    /// Namespace guard policy.
    pub namespace_deletion: NamespaceDeletion,
    /// Name of the group whose rights are asked in authorization: the group itself but for
    /// [`Exposure::Direct`] views of a shared resource.
    pub authorization_group: String,
}

impl ServedResource {
    /// The served version of that name.
    #[must_use]
    pub fn version(&self, name: &str) -> Option<&ServedVersion> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// Verbs that discovery lists for the resource itself.
    #[must_use]
    pub fn verbs(&self) -> &'static [&'static str] {
        &[
            "create",
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "update",
            "watch",
        ]
    }
}

/// The served resources at one moment. Replaced as a whole, never changed.
#[derive(Debug, Default)]
pub struct Catalog {
    generation: u64,
    synced: bool,
    resources: Vec<Arc<ServedResource>>,
    index: HashMap<(String, String), Arc<ServedResource>>,
}

impl Catalog {
    /// A snapshot of `resources`. `synced` says whether the definitions were read at least once;
    /// before that nobody may conclude that a resource doesn't exist.
    #[must_use]
    pub fn new(generation: u64, synced: bool, resources: Vec<Arc<ServedResource>>) -> Self {
        let index = resources
            .iter()
            .map(|r| ((r.group.clone(), r.plural.clone()), Arc::clone(r)))
            .collect();
        Self {
            generation,
            synced,
            resources,
            index,
        }
    }

    /// Counts up with every replacement; equal numbers mean equal content in one process.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the definitions have been read at least once since start.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// All served resources, ordered by group and plural name.
    #[must_use]
    pub fn resources(&self) -> &[Arc<ServedResource>] {
        &self.resources
    }

    /// A resource by group and plural name, whichever versions it has.
    #[must_use]
    pub fn find(&self, group: &str, plural: &str) -> Option<&Arc<ServedResource>> {
        self.index.get(&(group.to_owned(), plural.to_owned()))
    }

    /// A resource by group and kind.
    #[must_use]
    pub fn find_kind(&self, group: &str, kind: &str) -> Option<&Arc<ServedResource>> {
        self.resources
            .iter()
            .find(|r| r.group == group && r.kind == kind)
    }
}
