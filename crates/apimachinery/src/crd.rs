//! Definitions of resources: the `spec` of a CustomResourceDefinition.

use serde_json::Value;

use crate::field::{ErrorList, Path};
use crate::gvk::GroupVersionKind;
use crate::jsonpath::JsonPath;
use crate::resource::{PrinterColumn, Scope, ServedResource};
use crate::schema::Schema;

/// Names of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Plural, as in URLs.
    pub plural: String,
    /// Singular; defaults to the kind in lower case.
    pub singular: String,
    /// Short names.
    pub short_names: Vec<String>,
    /// The kind.
    pub kind: String,
    /// The kind of lists; defaults to the kind with `List`.
    pub list_kind: String,
    /// Categories.
    pub categories: Vec<String>,
}

/// The scale subresource.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// Where the wanted number stands, under `.spec`.
    pub spec_replicas_path: JsonPath,
    /// Where the actual number stands, under `.status`.
    pub status_replicas_path: JsonPath,
    /// Where the selector stands as text, if anywhere.
    pub label_selector_path: Option<JsonPath>,
}

/// One version of a definition.
#[derive(Clone, Debug, PartialEq)]
pub struct DefinitionVersion {
    /// Name, such as `v1`.
    pub name: String,
    /// Whether it is served.
    pub served: bool,
    /// Whether objects are stored in it.
    pub storage: bool,
    /// The deprecation warning, if it is deprecated.
    pub deprecation: Option<String>,
    /// The parsed schema.
    pub schema: Schema,
    /// The schema as declared.
    pub raw_schema: Value,
    /// Whether there is a status subresource.
    pub has_status: bool,
    /// The scale subresource.
    pub scale: Option<Scale>,
    /// Printer columns.
    pub columns: Vec<PrinterColumn>,
    /// Paths for field selectors, such as `.spec.color`.
    pub selectable_fields: Vec<String>,
}

/// A definition, parsed and valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// The group.
    pub group: String,
    /// Names.
    pub names: Names,
    /// Scope.
    pub scope: Scope,
    /// Versions in the order of the definition.
    pub versions: Vec<DefinitionVersion>,
}

impl Definition {
    /// Parses and validates the spec of a definition named `name` (must be `<plural>.<group>`).
    pub fn parse(_name: &str, _spec: &Value) -> Result<Self, ErrorList> {
        unimplemented!()
    }
    /// The version in which objects are stored.
    pub fn storage_version(&self) -> &DefinitionVersion {
        unimplemented!()
    }
    /// A version by name, served or not.
    pub fn version(&self, _name: &str) -> Option<&DefinitionVersion> {
        unimplemented!()
    }
    /// The kind in a version.
    pub fn gvk(&self, _version: &str) -> GroupVersionKind {
        unimplemented!()
    }
    /// What clients see: one resource for each served version, preferred version first.
    pub fn served(&self) -> Vec<ServedResource> {
        unimplemented!()
    }
}

/// Fills the defaults of a spec in place (singular, listKind, conversion), as storing one does.
pub fn default_spec(_spec: &mut Value) {
    unimplemented!()
}
/// Fields of a spec that no definition has, as paths below `path`.
pub fn unknown_fields(_spec: &mut Value, _path: &Path<'_>) -> Vec<String> {
    unimplemented!()
}
/// What is wrong with an update of a spec: immutable group, names and scope.
pub fn validate_spec_update(_new: &Value, _old: &Value, _established: bool) -> ErrorList {
    unimplemented!()
}
