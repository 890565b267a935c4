//! Reading and validating a definition.

use serde_json::{Map, Value};

use super::{Definition, DefinitionVersion, Names, version};
use crate::field::{ErrorList, FieldError, Path};
use crate::names;
use crate::resource::Scope;

/// A JSON map whose members are read by name; what has the wrong type is reported and reads as absent.
pub(super) struct Reader<'r> {
    members: Option<&'r Map<String, Value>>,
    path: &'r Path<'r>,
}

impl<'r> Reader<'r> {
    /// Reads a value that should be a map; null and absent read as an empty one.
    pub(super) fn new(
        value: Option<&'r Value>,
        path: &'r Path<'r>,
        errors: &mut ErrorList,
    ) -> Self {
        let members = match value {
            None | Some(Value::Null) => None,
            Some(Value::Object(members)) => Some(members),
            Some(other) => {
                errors.push(FieldError::invalid(
                    path,
                    other.clone(),
                    "must be an object",
                ));
                None
            }
        };
        Self { members, path }
    }

    pub(super) fn given(&self, key: &str) -> Option<&'r Value> {
        self.members?.get(key).filter(|value| !value.is_null())
    }

    fn wrong(&self, key: &str, value: &Value, what: &str, errors: &mut ErrorList) {
        errors.push(FieldError::invalid(
            &self.path.child(key),
            value.clone(),
            what,
        ));
    }

    pub(super) fn text(&self, key: &str, errors: &mut ErrorList) -> String {
        match self.given(key) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => {
                self.wrong(key, other, "must be a string", errors);
                String::new()
            }
        }
    }

    pub(super) fn flag(&self, key: &str, errors: &mut ErrorList) -> bool {
        match self.given(key) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(other) => {
                self.wrong(key, other, "must be a boolean", errors);
                false
            }
        }
    }

    pub(super) fn integer(&self, key: &str, errors: &mut ErrorList) -> i32 {
        match self.given(key) {
            None => 0,
            Some(value) => match value.as_i64().and_then(|n| i32::try_from(n).ok()) {
                Some(number) => number,
                None => {
                    self.wrong(key, value, "must be an integer of 32 bits", errors);
                    0
                }
            },
        }
    }

    pub(super) fn list(&self, key: &str, errors: &mut ErrorList) -> &'r [Value] {
        match self.given(key) {
            None => &[],
            Some(Value::Array(list)) => list,
            Some(other) => {
                self.wrong(key, other, "must be a list", errors);
                &[]
            }
        }
    }

    pub(super) fn texts(&self, key: &str, errors: &mut ErrorList) -> Vec<String> {
        let list = self.list(key, errors);
        if let Some(other) = list.iter().find(|value| !value.is_string()) {
            self.wrong(key, other, "must be a list of strings", errors);
        }
        list.iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    }
}

/// Reads a whole definition.
pub(super) fn definition(
    name: &str,
    spec: &Value,
    path: &Path<'_>,
) -> Result<Definition, ErrorList> {
    let mut errors = ErrorList::new();
    let reader = Reader::new(Some(spec), path, &mut errors);
    let group = reader.text("group", &mut errors);
    let names = read_names(reader.given("names"), &path.child("names"), &mut errors);
    if name != format!("{}.{group}", names.plural) {
        let at = Path::new("metadata");
        errors.push(FieldError::invalid(
            &at.child("name"),
            name,
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
    check_group(&group, path, &mut errors);
    let scope = match reader.text("scope", &mut errors).as_str() {
        "Namespaced" => Scope::Namespaced,
        "Cluster" => Scope::Cluster,
        "" => {
            errors.push(FieldError::required(&path.child("scope"), ""));
            Scope::Cluster
        }
        other => {
            let supported = ["Cluster", "Namespaced"];
            errors.push(FieldError::not_supported(
                &path.child("scope"),
                other,
                &supported,
            ));
            Scope::Cluster
        }
    };
    if reader.flag("preserveUnknownFields", &mut errors) {
        errors.push(FieldError::invalid(
            &path.child("preserveUnknownFields"),
            true,
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ));
    }
    check_conversion(
        reader.given("conversion"),
        &path.child("conversion"),
        &mut errors,
    );
    let raw_versions = reader.list("versions", &mut errors);
    let versions = read_versions(raw_versions, &group, &names, path, &mut errors);
    check_names(&names, &path.child("names"), &mut errors);
    errors.into_result().map(|()| Definition {
        group,
        names,
        scope,
        versions,
    })
}

fn check_group(group: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("group");
    let messages = names::dns1123_subdomain(group);
    if group.is_empty() {
        errors.push(FieldError::required(&path, ""));
    } else if !messages.is_empty() {
        errors.push(FieldError::invalid(&path, group, messages.join(",")));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid(
            &path,
            group,
            "should be a domain with at least one dot",
        ));
    }
}

fn check_conversion(value: Option<&Value>, path: &Path<'_>, errors: &mut ErrorList) {
    if value.is_none() {
        return;
    }
    let reader = Reader::new(value, path, errors);
    match reader.text("strategy", errors).as_str() {
        "None" => {}
        "" => errors.push(FieldError::required(&path.child("strategy"), "")),
        other => {
            errors.push(FieldError::not_supported(
                &path.child("strategy"),
                other,
                &["None"],
            ));
        }
    }
    if reader.given("webhook").is_some() {
        errors.push(FieldError::forbidden(
            &path.child("webhook"),
            "should not be set when strategy is not set to Webhook",
        ));
    }
}

fn read_versions(
    list: &[Value],
    group: &str,
    names: &Names,
    path: &Path<'_>,
    errors: &mut ErrorList,
) -> Vec<DefinitionVersion> {
    let path = path.child("versions");
    let mut versions: Vec<DefinitionVersion> = Vec::with_capacity(list.len());
    let mut repeated = false;
    for (index, value) in list.iter().enumerate() {
        let version = version::read(value, group, names, &path.index(index), errors);
        repeated |= versions.iter().any(|known| known.name == version.name);
        versions.push(version);
    }
    // The whole list is shown only if it is short enough to be of help.
    let shown = || match list {
        [] => Value::Array(Vec::new()),
        list => list.iter().filter_map(|v| v.get("name").cloned()).collect(),
    };
    if repeated {
        errors.push(FieldError::invalid(
            &path,
            shown(),
            "must contain unique version names",
        ));
    }
    if versions.iter().filter(|version| version.storage).count() != 1 {
        errors.push(FieldError::invalid(
            &path,
            shown(),
            "must have exactly one version marked as storage version",
        ));
    }
    versions
}

fn read_names(value: Option<&Value>, path: &Path<'_>, errors: &mut ErrorList) -> Names {
    let reader = Reader::new(value, path, errors);
    Names {
        plural: reader.text("plural", errors),
        singular: reader.text("singular", errors),
        short_names: reader.texts("shortNames", errors),
        kind: reader.text("kind", errors),
        list_kind: reader.text("listKind", errors),
        categories: reader.texts("categories", errors),
    }
}

fn check_names(names: &Names, path: &Path<'_>, errors: &mut ErrorList) {
    for (key, text) in [
        ("plural", &names.plural),
        ("singular", &names.singular),
        ("kind", &names.kind),
        ("listKind", &names.list_kind),
    ] {
        let path = path.child(key);
        if text.is_empty() {
            errors.push(FieldError::required(&path, ""));
            continue;
        }
        let mixed_case = key.to_lowercase().ends_with("kind");
        let checked = if mixed_case {
            text.to_lowercase()
        } else {
            text.clone()
        };
        let messages = names::dns1035_label(&checked);
        if !messages.is_empty() {
            let prefix = if mixed_case {
                "may have mixed case, but should otherwise match: "
            } else {
                ""
            };
            errors.push(FieldError::invalid(
                &path,
                text.as_str(),
                format!("{prefix}{}", messages.join(",")),
            ));
        }
    }
    for (key, list) in [
        ("shortNames", &names.short_names),
        ("categories", &names.categories),
    ] {
        let path = path.child(key);
        for (index, text) in list.iter().enumerate() {
            let messages = names::dns1035_label(text);
            if !messages.is_empty() {
                errors.push(FieldError::invalid(
                    &path.index(index),
                    text.as_str(),
                    messages.join(","),
                ));
            }
        }
    }
    if !names.kind.is_empty() && names.kind == names.list_kind {
        errors.push(FieldError::invalid(
            &path.child("listKind"),
            names.list_kind.as_str(),
            "kind and listKind may not be the same",
        ));
    }
}
