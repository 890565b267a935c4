//! What a written definition must be like, beyond its own schema.

use helium_apimachinery::crd::{self, Definition};
use helium_apimachinery::field::{ErrorList, FieldError, Path};
use helium_apimachinery::meta::Object;
use serde_json::Value;

use super::FINALIZER;
use super::sharing::{Sharing, refused_group};
use super::writers::Writers;

/// The keyword of rules in the Common Expression Language.
const RULES: &str = "x-kubernetes-validations";

/// Makes a written definition complete (defaults, finalizer) and says what is wrong with it.
pub fn admit(object: &mut Object, old: Option<&Object>) -> Result<(), ErrorList> {
    let name = object.name().to_owned();
    let mut spec = object.get("spec").cloned().unwrap_or_default();
    crd::default_spec(&mut spec);
    let sharing = Sharing::parse(&spec);
    if let Ok(sharing) = sharing {
        sharing.write(&mut spec);
    }

    let mut errors = ErrorList::new();
    let plain = without_sharing(&spec);
    if let Err(found) = Definition::parse(&name, &plain) {
        errors.append(found);
    }
    let root = Path::new("spec");
    let group = spec
        .get("group")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if let Some(why) = refused_group(group) {
        errors.push(FieldError::forbidden(&root.child("group"), why));
    }
    if let Err(found) = &sharing {
        errors.append(found.clone());
    }
    if let Err(found) = Writers::parse(&spec) {
        errors.append(found);
    }
    if let Some(old_spec) = old.and_then(|old| old.get("spec")) {
        let established = old.is_some_and(is_established);
        errors.append(crd::validate_spec_update(
            &plain,
            &without_sharing(old_spec),
            established,
        ));
        if let (Ok(new), Ok(old)) = (sharing, Sharing::parse(old_spec))
            && new.scope != old.scope
        {
            let path = root.child("sharing");
            let value = spec["sharing"]["scope"].clone();
            errors.push(FieldError::invalid(
                &path.child("scope"),
                value,
                "field is immutable",
            ));
        }
    }
    errors.into_result()?;

    object.set("spec", spec);
    if object.meta("deletionTimestamp").is_none() {
        keep_finalizer(object);
    }
    Ok(())
}

/// Fields of a definition's spec that don't exist, with their paths; they are dropped.
pub fn unknown_fields(object: &mut Object) -> Vec<String> {
    object.with_value_mut(|value| {
        let Some(spec) = value.get_mut("spec").filter(|spec| spec.is_object()) else {
            return Vec::new();
        };
        let sharing = spec.as_object_mut().and_then(|spec| spec.remove("sharing"));
        let unknown = crd::unknown_fields(spec, &Path::new("spec"));
        if let (Some(sharing), Some(spec)) = (sharing, spec.as_object_mut()) {
            spec.insert("sharing".to_owned(), sharing);
        }
        unknown
    })
}

/// What people should know of a definition that was accepted, if its spec is new. `fleet_has_members` says whether anybody
/// can have left.
pub fn warnings(object: &Object, old: Option<&Object>, fleet_has_members: bool) -> Vec<String> {
    let spec = object.get("spec");
    if old.is_some_and(|old| old.get("spec") == spec) {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    let deletion = spec.and_then(|spec| spec.pointer("/sharing/namespaceDeletion"));
    if deletion.is_some_and(|policy| policy == "Cascade") && !fleet_has_members {
        warnings.push(
            "spec.sharing.namespaceDeletion: Cascade deletes objects when every Member of the fleet has left their namespace; \
             there are no members yet, and until there are it does what Detach does"
                .to_owned(),
        );
    }
    let versions = spec.and_then(|spec| spec.get("versions"));
    let versions = versions.and_then(Value::as_array);
    for (index, version) in versions.into_iter().flatten().enumerate() {
        if let Some(schema) = version.pointer("/schema/openAPIV3Schema") {
            let path = format!("spec.versions[{index}].schema.openAPIV3Schema");
            unevaluated(schema, &path, &mut warnings);
        }
    }
    warnings
}

/// Rules that objects aren't checked against: whoever wrote them relies on them.
fn unevaluated(schema: &Value, path: &str, warnings: &mut Vec<String>) {
    let Some(members) = schema.as_object() else {
        return;
    };
    for (keyword, value) in members {
        match (keyword.as_str(), value) {
            (RULES, Value::Array(rules)) if !rules.is_empty() => {
                warnings.push(format!(
                    "{path}.{RULES}: the rules are kept, but objects are not checked against them by this version"
                ));
            }
            ("properties", Value::Object(properties)) => {
                for (name, schema) in properties {
                    unevaluated(schema, &format!("{path}.properties[{name}]"), warnings);
                }
            }
            ("items" | "additionalProperties", schema) => {
                unevaluated(schema, &format!("{path}.{keyword}"), warnings);
            }
            _ => {}
        }
    }
}

/// The spec as the rules of CustomResourceDefinitions know it.
pub(super) fn without_sharing(spec: &Value) -> Value {
    let mut plain = spec.clone();
    if let Some(spec) = plain.as_object_mut() {
        spec.remove("sharing");
    }
    plain
}

/// Whether the stored status says that the kind is served.
pub(super) fn is_established(object: &Object) -> bool {
    super::conditions::has(object, "Established", "True")
}

fn keep_finalizer(object: &mut Object) {
    let finalizers = object
        .metadata_mut()
        .entry("finalizers")
        .or_insert(Value::Null);
    if !finalizers.is_array() {
        *finalizers = Value::Array(Vec::new());
    }
    if let Some(list) = finalizers.as_array_mut()
        && !list.iter().any(|entry| entry == FINALIZER)
    {
        list.push(FINALIZER.into());
    }
}
