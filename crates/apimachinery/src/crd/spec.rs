//! A spec as it is stored: its defaults, the fields that it may have, and what an update may not change.

use serde_json::{Value, json};

use crate::field::{ErrorList, FieldError, Path};
use crate::schema::unknown_keywords;

/// Fills the defaults of a spec in place, as storing one does: singular, listKind, conversion.
pub fn default_spec(spec: &mut Value) {
    let Some(members) = spec.as_object_mut() else {
        return;
    };
    if let Some(names) = members.get_mut("names").and_then(Value::as_object_mut) {
        let kind = names
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let mut fill = |key: &str, text: String| {
            let empty = names
                .get(key)
                .is_none_or(|v| v.is_null() || v.as_str() == Some(""));
            if empty && !kind.is_empty() {
                names.insert(key.to_owned(), text.into());
            }
        };
        fill("singular", kind.to_lowercase());
        fill("listKind", format!("{kind}List"));
    }
    let conversion = members.entry("conversion").or_insert(Value::Null);
    if conversion.is_null() {
        *conversion = json!({"strategy": "None"});
    }
}

const SPEC: [&str; 6] = [
    "group",
    "names",
    "scope",
    "versions",
    "conversion",
    "preserveUnknownFields",
];
const NAMES: [&str; 6] = [
    "plural",
    "singular",
    "shortNames",
    "kind",
    "listKind",
    "categories",
];
const CONVERSION: [&str; 2] = ["strategy", "webhook"];
const VERSION: [&str; 9] = [
    "name",
    "served",
    "storage",
    "deprecated",
    "deprecationWarning",
    "schema",
    "subresources",
    "additionalPrinterColumns",
    "selectableFields",
];
const COLUMN: [&str; 6] = [
    "name",
    "type",
    "format",
    "description",
    "priority",
    "jsonPath",
];
const SCALE: [&str; 3] = [
    "specReplicasPath",
    "statusReplicasPath",
    "labelSelectorPath",
];

/// Removes the fields of a spec that no definition has and returns their paths, which begin with `path`.
///
/// Keywords that no schema has are only reported: they are left in the schema as declared, where they
/// mean nothing.
pub fn unknown_fields(spec: &mut Value, path: &Path<'_>) -> Vec<String> {
    let mut found = Vec::new();
    keep(spec, &SPEC, path, &mut found);
    below(spec, "names", path, |value, path| {
        keep(value, &NAMES, path, &mut found)
    });
    below(spec, "conversion", path, |value, path| {
        keep(value, &CONVERSION, path, &mut found)
    });
    each(spec, "versions", path, &mut |version, path| {
        keep(version, &VERSION, path, &mut found);
        below(version, "schema", path, |value, path| {
            keep(value, &["openAPIV3Schema"], path, &mut found);
            below(value, "openAPIV3Schema", path, |schema, path| {
                found.extend(unknown_keywords(schema, path));
            });
        });
        below(version, "subresources", path, |value, path| {
            keep(value, &["status", "scale"], path, &mut found);
            below(value, "scale", path, |scale, path| {
                keep(scale, &SCALE, path, &mut found)
            });
        });
        each(
            version,
            "additionalPrinterColumns",
            path,
            &mut |column, path| {
                keep(column, &COLUMN, path, &mut found);
            },
        );
        each(version, "selectableFields", path, &mut |field, path| {
            keep(field, &["jsonPath"], path, &mut found);
        });
    });
    found
}

fn keep(value: &mut Value, known: &[&str], path: &Path<'_>, found: &mut Vec<String>) {
    if let Some(members) = value.as_object_mut() {
        members.retain(|key, _| {
            let keeps = known.contains(&key.as_str());
            if !keeps {
                found.push(path.child(key).to_string());
            }
            keeps
        });
    }
}

fn below(value: &mut Value, key: &str, path: &Path<'_>, visit: impl FnOnce(&mut Value, &Path<'_>)) {
    if let Some(value) = value.get_mut(key) {
        visit(value, &path.child(key));
    }
}

fn each(
    value: &mut Value,
    key: &str,
    path: &Path<'_>,
    visit: &mut dyn FnMut(&mut Value, &Path<'_>),
) {
    let path = path.child(key);
    for (index, value) in value
        .get_mut(key)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .enumerate()
    {
        visit(value, &path.index(index));
    }
}

/// What is wrong with an update of a spec: the group and the plural name never change, the scope and the
/// kind don't once the definition is served (`established`).
pub fn validate_spec_update(new: &Value, old: &Value, established: bool) -> ErrorList {
    let root = Path::new("spec");
    let names = root.child("names");
    let mut errors = ErrorList::new();
    let mut immutable = |pointer: &str, path: &Path<'_>| {
        if new.pointer(pointer) != old.pointer(pointer) {
            let shown = new.pointer(pointer).cloned().unwrap_or(Value::Null);
            errors.push(FieldError::invalid(path, shown, "field is immutable"));
        }
    };
    if established {
        immutable("/scope", &root.child("scope"));
        immutable("/names/kind", &names.child("kind"));
    }
    immutable("/group", &root.child("group"));
    immutable("/names/plural", &names.child("plural"));
    errors
}

#[cfg(test)]
mod tests {
    use super::super::tests::widgets;
    use super::*;

    #[test]
    fn unknown_fields_are_found_at_every_depth() {
        let mut spec = widgets();
        assert!(unknown_fields(&mut spec, &Path::new("spec")).is_empty());
        spec["foo"] = 1.into();
        spec["names"]["foo"] = 1.into();
        spec["versions"][1]["foo"] = 1.into();
        spec["versions"][1]["subresources"]["scale"]["foo"] = 1.into();
        spec["versions"][1]["schema"]["openAPIV3Schema"]["properties"]["spec"]["foo"] = 1.into();
        assert_eq!(
            unknown_fields(&mut spec, &Path::new("spec")),
            [
                "spec.foo",
                "spec.names.foo",
                "spec.versions[1].foo",
                "spec.versions[1].schema.openAPIV3Schema.properties.spec.foo",
                "spec.versions[1].subresources.scale.foo",
            ]
        );
        assert_eq!(spec.get("foo"), None);
    }

    #[test]
    fn what_identifies_a_resource_is_immutable() {
        let old = widgets();
        let mut new = old.clone();
        new["scope"] = "Cluster".into();
        new["names"]["plural"] = "gadgets".into();
        assert_eq!(
            validate_spec_update(&new, &old, true).to_string(),
            "[spec.scope: Invalid value: \"Cluster\": field is immutable, spec.names.plural: Invalid value: \"gadgets\": field is immutable]"
        );
        assert_eq!(validate_spec_update(&new, &old, false).len(), 1);
    }

    #[test]
    fn defaults_are_filled_once() {
        let mut spec = json!({"names": {"kind": "Widget", "singular": "mine"}});
        default_spec(&mut spec);
        assert_eq!(
            spec["names"],
            json!({"kind": "Widget", "singular": "mine", "listKind": "WidgetList"})
        );
        assert_eq!(spec["conversion"], json!({"strategy": "None"}));
    }
}
