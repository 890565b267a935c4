//! Definitions of resources: the `spec` of a CustomResourceDefinition, read and checked.
//!
//! A [`Definition`] that exists is valid: every version has a structural schema, exactly one version is stored,
//! names are unambiguous. What is wrong with one that isn't valid is said in the words that people know from
//! CustomResourceDefinitions (Kubernetes API reference, `apiextensions.k8s.io/v1`). Conversion between versions
//! changes only the `apiVersion`; webhooks are refused.

mod parse;
mod spec;
mod version;

use serde_json::Value;

use crate::field::{ErrorList, Path};
use crate::gvk::{GroupVersionKind, version_priority};
use crate::jsonpath::JsonPath;
use crate::resource::{PrinterColumn, Scope, ServedResource, ServedSubresource};
use crate::schema::Schema;

pub use spec::{default_spec, unknown_fields, validate_spec_update};

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
    /// Versions in the order of the definition; never empty, and exactly one is stored.
    pub versions: Vec<DefinitionVersion>,
}

impl Definition {
    /// Parses and validates the spec of a definition. Its name must be `<plural>.<group>`.
    pub fn parse(name: &str, spec: &Value) -> Result<Self, ErrorList> {
        parse::definition(name, spec, &Path::new("spec"))
    }

    /// The version in which objects are stored.
    pub fn storage_version(&self) -> &DefinitionVersion {
        // One is always marked; the first stands in, should somebody have built a definition by hand without.
        self.versions
            .iter()
            .find(|v| v.storage)
            .unwrap_or(&self.versions[0])
    }

    /// A version by name, served or not.
    pub fn version(&self, name: &str) -> Option<&DefinitionVersion> {
        self.versions.iter().find(|v| v.name == name)
    }

    /// The kind in a version.
    pub fn gvk(&self, version: &str) -> GroupVersionKind {
        GroupVersionKind::new(&*self.group, version, &*self.names.kind)
    }

    /// What clients see: one resource for each served version, the preferred version first.
    pub fn served(&self) -> Vec<ServedResource> {
        let mut versions: Vec<&DefinitionVersion> =
            self.versions.iter().filter(|v| v.served).collect();
        versions.sort_by(|a, b| version_priority(&b.name, &a.name));
        versions
            .into_iter()
            .map(|version| self.served_version(version))
            .collect()
    }

    fn served_version(&self, version: &DefinitionVersion) -> ServedResource {
        let gvk = self.gvk(&version.name);
        let mut subresources = Vec::new();
        if version.has_status {
            subresources.push(ServedSubresource::status(&gvk));
        }
        if version.scale.is_some() {
            subresources.push(ServedSubresource::scale());
        }
        ServedResource {
            list_kind: self.names.list_kind.clone(),
            singular: self.names.singular.clone(),
            short_names: self.names.short_names.clone(),
            categories: self.names.categories.clone(),
            subresources,
            schema: Some(version.raw_schema.clone()),
            selectable_fields: version.selectable_fields.clone(),
            columns: version.columns.clone(),
            deprecation: version.deprecation.clone(),
            ..ServedResource::new(gvk, &self.names.plural, self.scope)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    pub(super) fn widgets() -> Value {
        json!({
            "group": "g.io",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [
                {
                    "name": "v1beta1", "served": true, "storage": false, "deprecated": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                },
                {
                    "name": "v1", "served": true, "storage": true,
                    "subresources": {
                        "status": {},
                        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                    },
                    "additionalPrinterColumns": [
                        {"name": "Color", "type": "string", "jsonPath": ".spec.color"},
                    ],
                    "selectableFields": [{"jsonPath": ".spec.color"}],
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                        "spec": {"type": "object", "properties": {
                            "color": {"type": "string"}, "replicas": {"type": "integer"},
                        }},
                        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
                    }}},
                },
            ],
        })
    }

    pub(super) fn parse(spec: &Value) -> Result<Definition, ErrorList> {
        let mut spec = spec.clone();
        default_spec(&mut spec);
        Definition::parse("widgets.g.io", &spec)
    }

    #[test]
    fn a_definition_serves_its_versions_the_preferred_one_first() {
        let definition = parse(&widgets()).unwrap();
        assert_eq!(definition.names.singular, "widget");
        assert_eq!(definition.names.list_kind, "WidgetList");
        assert_eq!(definition.storage_version().name, "v1");
        let served = definition.served();
        assert_eq!(served[0].gvk.version, "v1");
        assert_eq!(
            served[1].deprecation.as_deref(),
            Some("g.io/v1beta1 Widget is deprecated")
        );
        let names: Vec<&str> = served[0]
            .subresources
            .iter()
            .map(|s| s.name.as_str())
            .collect();
        assert_eq!(names, ["status", "scale"]);
        assert_eq!(served[0].selectable_fields, [".spec.color"]);
    }

    #[test]
    fn mistakes_are_named() {
        let broken = |pointer: &str, value: Value| {
            let mut spec = widgets();
            *spec.pointer_mut(pointer).unwrap() = value;
            parse(&spec).unwrap_err().to_string()
        };
        for (pointer, value, message) in [
            (
                "/group",
                json!("nodots"),
                "spec.group: Invalid value: \"nodots\": should be a domain with at least one dot",
            ),
            (
                "/scope",
                json!("Galaxy"),
                "spec.scope: Unsupported value: \"Galaxy\": supported values: \"Cluster\", \"Namespaced\"",
            ),
            ("/scope", json!(""), "spec.scope: Required value"),
            ("/names/kind", json!(""), "spec.names.kind: Required value"),
            (
                "/names/plural",
                json!("Widgets"),
                "spec.names.plural: Invalid value: \"Widgets\": a DNS-1035 label",
            ),
            (
                "/names/plural",
                json!("gadgets"),
                "metadata.name: Invalid value: \"widgets.g.io\": must be spec.names.plural+\".\"+spec.group",
            ),
            (
                "/versions/0/storage",
                json!(true),
                "must have exactly one version marked as storage version",
            ),
            (
                "/versions/0/name",
                json!("v1"),
                "must contain unique version names",
            ),
            (
                "/versions/0/name",
                json!("1"),
                "spec.versions[0].name: Invalid value: \"1\": a DNS-1035 label",
            ),
            (
                "/versions/0/schema",
                json!({}),
                "spec.versions[0].schema.openAPIV3Schema: Required value",
            ),
            (
                "/versions/0/schema/openAPIV3Schema",
                json!({"type": "string"}),
                "spec.versions[0].schema.openAPIV3Schema.type: Invalid value: \"string\": must be object at the root",
            ),
            (
                "/versions",
                json!([]),
                "spec.versions: Invalid value: []: must have exactly one version marked as storage version",
            ),
            (
                "/versions/1/additionalPrinterColumns/0/type",
                json!("text"),
                "spec.versions[1].additionalPrinterColumns[0].type: Invalid value: \"text\": must be one of boolean,date,integer,number,string",
            ),
            (
                "/versions/1/additionalPrinterColumns/0/jsonPath",
                json!("spec"),
                "spec.versions[1].additionalPrinterColumns[0].jsonPath: Invalid value: \"spec\": must be a simple json path starting with .",
            ),
            (
                "/versions/1/selectableFields/0/jsonPath",
                json!(".spec.nope"),
                "spec.versions[1].selectableFields[0].jsonPath: Invalid value: \".spec.nope\": is an invalid path",
            ),
            (
                "/versions/1/selectableFields/0/jsonPath",
                json!(".spec"),
                "must point to a field of type string, boolean or integer",
            ),
            (
                "/versions/1/subresources/scale/specReplicasPath",
                json!(".status.x"),
                "spec.versions[1].subresources.scale.specReplicasPath: Invalid value: \".status.x\": should be a json path under .spec",
            ),
            (
                "/names",
                json!(3),
                "spec.names: Invalid value: 3: must be an object",
            ),
        ] {
            let errors = broken(pointer, value);
            assert!(errors.contains(message), "{pointer}: {errors}");
        }
    }
}
