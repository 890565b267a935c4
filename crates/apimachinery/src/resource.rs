//! What is served: the description of a resource that discovery, OpenAPI, tables and selectors share.

use serde_json::Value;

use crate::gvk::{GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};

/// Whether objects live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Objects belong to a namespace.
    Namespaced,
    /// Objects belong to the whole cluster.
    Cluster,
}

impl Scope {
    /// Whether objects belong to a namespace.
    pub const fn is_namespaced(self) -> bool {
        matches!(self, Self::Namespaced)
    }

    /// The word of a definition's `spec.scope` and of aggregated discovery.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Namespaced => "Namespaced",
            Self::Cluster => "Cluster",
        }
    }
}

/// The verbs of an ordinary stored resource, in the order of discovery documents.
pub const STORED_VERBS: [&str; 8] = [
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];

/// The verbs of `status` and `scale`.
pub const SUBRESOURCE_VERBS: [&str; 3] = ["get", "patch", "update"];

/// A subresource such as `status`, `scale` or `proxy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedSubresource {
    /// The last part of its path.
    pub name: String,
    /// The kind that it takes and gives (`autoscaling/v1 Scale` for `scale`).
    pub kind: GroupVersionKind,
    /// Its verbs.
    pub verbs: Vec<String>,
}

impl ServedSubresource {
    /// `status` of a kind.
    pub fn status(kind: &GroupVersionKind) -> Self {
        Self {
            name: "status".to_owned(),
            kind: kind.clone(),
            verbs: SUBRESOURCE_VERBS.map(str::to_owned).to_vec(),
        }
    }

    /// `scale`, whose kind is always `autoscaling/v1 Scale`.
    pub fn scale() -> Self {
        Self {
            name: "scale".to_owned(),
            kind: GroupVersionKind::new("autoscaling", "v1", "Scale"),
            verbs: SUBRESOURCE_VERBS.map(str::to_owned).to_vec(),
        }
    }
}

/// A printer column of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrinterColumn {
    /// The heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub type_: String,
    /// An OpenAPI format, possibly empty.
    pub format: String,
    /// For people, possibly empty.
    pub description: String,
    /// 0 is always shown, higher ones only in wide output.
    pub priority: i32,
    /// Where the cell comes from, such as `.spec.replicas`.
    pub json_path: String,
}

/// One resource in one version, as clients see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServedResource {
    /// Group, version and kind.
    pub gvk: GroupVersionKind,
    /// The kind of its lists.
    pub list_kind: String,
    /// The plural name of URLs.
    pub plural: String,
    /// The singular name.
    pub singular: String,
    /// Short names for people.
    pub short_names: Vec<String>,
    /// Groups of resources that it belongs to, such as `all`.
    pub categories: Vec<String>,
    /// Whether it is namespaced.
    pub scope: Scope,
    /// Its verbs; empty for a resource that only has subresources or is being withdrawn.
    pub verbs: Vec<String>,
    /// Its subresources.
    pub subresources: Vec<ServedSubresource>,
    /// The OpenAPI v3 schema as it was declared, for publishing.
    pub schema: Option<Value>,
    /// Paths that a field selector may name besides name and namespace, such as `.spec.color`.
    pub selectable_fields: Vec<String>,
    /// Columns of its table; empty means the default ones.
    pub columns: Vec<PrinterColumn>,
    /// Whether its version is deprecated, and the warning for it.
    pub deprecation: Option<String>,
}

impl ServedResource {
    /// A stored resource with all ordinary verbs and nothing else. Names follow from the kind.
    pub fn new(gvk: GroupVersionKind, plural: &str, scope: Scope) -> Self {
        Self {
            list_kind: format!("{}List", gvk.kind),
            plural: plural.to_owned(),
            singular: gvk.kind.to_lowercase(),
            short_names: Vec::new(),
            categories: Vec::new(),
            scope,
            verbs: STORED_VERBS.map(str::to_owned).to_vec(),
            subresources: Vec::new(),
            schema: None,
            selectable_fields: Vec::new(),
            columns: Vec::new(),
            deprecation: None,
            gvk,
        }
    }

    /// Group and version.
    pub fn group_version(&self) -> GroupVersion {
        self.gvk.group_version()
    }

    /// Group and resource, as messages name it.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(self.gvk.group.clone(), self.plural.clone())
    }

    /// Group, version and resource.
    pub fn group_version_resource(&self) -> GroupVersionResource {
        self.gvk.group_version().with_resource(self.plural.clone())
    }

    /// The subresource of this name.
    pub fn subresource(&self, name: &str) -> Option<&ServedSubresource> {
        self.subresources.iter().find(|s| s.name == name)
    }
}

/// One version of a group with what is served in it. A version without resources is a tombstone: known,
/// and empty.
#[derive(Clone, Debug, PartialEq)]
pub struct ServedVersion {
    /// Group and version.
    pub group_version: GroupVersion,
    /// Its resources.
    pub resources: Vec<ServedResource>,
}
