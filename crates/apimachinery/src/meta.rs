//! Objects and typed access to their metadata.
//!
//! An [`Object`] is a JSON map and stays one: fields that this server doesn't know travel through
//! unharmed, and whoever needs a typed view of one field asks for it. Accessors never fail: a field of the
//! wrong type reads as absent (the decoder has refused it before, see `json::check_metadata`).

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::gvk::{GroupVersion, GroupVersionKind, ParseGroupVersionError};

/// Finalizer of a foreground deletion: dependents go first.
pub const FINALIZER_FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an orphaning deletion: dependents are let go first.
pub const FINALIZER_ORPHAN: &str = "orphan";

/// A JSON value that isn't a map, where an object was expected.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("reading an API object: the value is not a JSON object")]
pub struct NotAnObject;

/// A Kubernetes object: a JSON map with `apiVersion`, `kind` and `metadata`.
#[derive(Clone, Debug, PartialEq)]
pub struct Object(Value);

impl Default for Object {
    fn default() -> Self {
        Self(Value::Object(Map::new()))
    }
}

impl TryFrom<Value> for Object {
    type Error = NotAnObject;

    fn try_from(value: Value) -> Result<Self, NotAnObject> {
        if value.is_object() {
            Ok(Self(value))
        } else {
            Err(NotAnObject)
        }
    }
}

impl From<Map<String, Value>> for Object {
    fn from(map: Map<String, Value>) -> Self {
        Self(Value::Object(map))
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Value {
        object.0
    }
}

impl serde::Serialize for Object {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// One entry of `metadata.ownerReferences`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerReference {
    /// `apiVersion` of the owner.
    pub api_version: String,
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
    /// UID of the owner.
    pub uid: String,
    /// Whether this is the managing controller.
    pub controller: bool,
    /// Whether the owner's foreground deletion waits for this object.
    pub block_owner_deletion: bool,
}

impl OwnerReference {
    /// Reads an entry; missing members are empty.
    pub fn from_value(value: &Value) -> Self {
        let text = |key: &str| {
            value
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let flag = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or_default();
        Self {
            api_version: text("apiVersion"),
            kind: text("kind"),
            name: text("name"),
            uid: text("uid"),
            controller: flag("controller"),
            block_owner_deletion: flag("blockOwnerDeletion"),
        }
    }
}

impl Object {
    /// An object with nothing but its type.
    pub fn new(gvk: &GroupVersionKind) -> Self {
        let mut object = Self::default();
        object.set_gvk(gvk);
        object
    }

    /// The whole object.
    pub fn as_value(&self) -> &Value {
        &self.0
    }

    /// The whole object, given away.
    pub fn into_value(self) -> Value {
        self.0
    }

    /// The members.
    pub fn map(&self) -> &Map<String, Value> {
        self.0.as_object().expect("only JSON maps are wrapped")
    }

    /// The members, to change.
    pub fn map_mut(&mut self) -> &mut Map<String, Value> {
        self.0.as_object_mut().expect("only JSON maps are wrapped")
    }

    /// Runs a change on the value; whatever it leaves that isn't a map becomes an empty map.
    pub fn with_value_mut<T>(&mut self, change: impl FnOnce(&mut Value) -> T) -> T {
        let result = change(&mut self.0);
        if !self.0.is_object() {
            self.0 = Value::Object(Map::new());
        }
        result
    }

    /// A top-level member.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.map().get(key)
    }

    /// A value deep inside, following member names only.
    pub fn get_path(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.0, |value, key| value.get(key))
    }

    /// Sets a top-level member.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.map_mut().insert(key.to_owned(), value.into());
    }

    /// Removes a top-level member.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.map_mut().remove(key)
    }

    /// `apiVersion`, or empty.
    pub fn api_version(&self) -> &str {
        self.text("apiVersion")
    }

    /// `kind`, or empty.
    pub fn kind(&self) -> &str {
        self.text("kind")
    }

    /// Group, version and kind together.
    pub fn gvk(&self) -> Result<GroupVersionKind, ParseGroupVersionError> {
        Ok(GroupVersion::parse(self.api_version())?.with_kind(self.kind()))
    }

    /// Sets `apiVersion` and `kind`.
    pub fn set_gvk(&mut self, gvk: &GroupVersionKind) {
        self.set("apiVersion", gvk.api_version());
        self.set("kind", gvk.kind.clone());
    }

    /// `metadata`, if it is there and is a map.
    pub fn metadata(&self) -> Option<&Map<String, Value>> {
        self.get("metadata").and_then(Value::as_object)
    }

    /// `metadata`, created when missing.
    pub fn metadata_mut(&mut self) -> &mut Map<String, Value> {
        let metadata = self.map_mut().entry("metadata").or_insert(Value::Null);
        if !metadata.is_object() {
            *metadata = Value::Object(Map::new());
        }
        metadata.as_object_mut().expect("made a map above")
    }

    /// A member of `metadata`.
    pub fn meta(&self, key: &str) -> Option<&Value> {
        self.metadata()
            .and_then(|m| m.get(key))
            .filter(|v| !v.is_null())
    }

    /// Sets a member of `metadata`.
    pub fn set_meta(&mut self, key: &str, value: impl Into<Value>) {
        self.metadata_mut().insert(key.to_owned(), value.into());
    }

    /// Removes a member of `metadata`.
    pub fn remove_meta(&mut self, key: &str) -> Option<Value> {
        self.map_mut()
            .get_mut("metadata")
            .and_then(Value::as_object_mut)?
            .remove(key)
    }

    /// `metadata.name`, or empty.
    pub fn name(&self) -> &str {
        self.meta_text("name")
    }

    /// Sets `metadata.name`.
    pub fn set_name(&mut self, name: &str) {
        self.set_meta("name", name);
    }

    /// `metadata.generateName`, or empty.
    pub fn generate_name(&self) -> &str {
        self.meta_text("generateName")
    }

    /// `metadata.namespace`, or empty.
    pub fn namespace(&self) -> &str {
        self.meta_text("namespace")
    }

    /// Sets `metadata.namespace`; empty removes it.
    pub fn set_namespace(&mut self, namespace: &str) {
        self.set_meta_text("namespace", namespace);
    }

    /// `metadata.uid`, or empty.
    pub fn uid(&self) -> &str {
        self.meta_text("uid")
    }

    /// `metadata.resourceVersion`, or empty.
    pub fn resource_version(&self) -> &str {
        self.meta_text("resourceVersion")
    }

    /// Sets `metadata.resourceVersion`; empty removes it.
    pub fn set_resource_version(&mut self, version: &str) {
        self.set_meta_text("resourceVersion", version);
    }

    /// `metadata.generation`, 0 when unset.
    pub fn generation(&self) -> i64 {
        self.meta("generation")
            .and_then(Value::as_i64)
            .unwrap_or_default()
    }

    /// Sets `metadata.generation`.
    pub fn set_generation(&mut self, generation: i64) {
        self.set_meta("generation", generation);
    }

    /// `metadata.creationTimestamp`, if it is there and is a time.
    pub fn creation_timestamp(&self) -> Option<Timestamp> {
        self.meta_text("creationTimestamp").parse().ok()
    }

    /// `metadata.deletionTimestamp`, if it is there and is a time.
    pub fn deletion_timestamp(&self) -> Option<Timestamp> {
        self.meta_text("deletionTimestamp").parse().ok()
    }

    /// Whether the object waits for its finalizers to go.
    pub fn is_terminating(&self) -> bool {
        self.meta("deletionTimestamp").is_some()
    }

    /// `metadata.labels`, if there are any.
    pub fn labels(&self) -> Option<&Map<String, Value>> {
        self.meta("labels").and_then(Value::as_object)
    }

    /// One label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels()?.get(key)?.as_str()
    }

    /// `metadata.annotations`, if there are any.
    pub fn annotations(&self) -> Option<&Map<String, Value>> {
        self.meta("annotations").and_then(Value::as_object)
    }

    /// One annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations()?.get(key)?.as_str()
    }

    /// Sets one annotation.
    pub fn set_annotation(&mut self, key: &str, value: &str) {
        let annotations = self
            .metadata_mut()
            .entry("annotations")
            .or_insert(Value::Null);
        if !annotations.is_object() {
            *annotations = Value::Object(Map::new());
        }
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(key.to_owned(), value.into());
        }
    }

    /// Removes one annotation, and the map with its last one.
    pub fn remove_annotation(&mut self, key: &str) {
        let Some(metadata) = self
            .map_mut()
            .get_mut("metadata")
            .and_then(Value::as_object_mut)
        else {
            return;
        };
        let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        else {
            return;
        };
        annotations.remove(key);
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }

    /// `metadata.finalizers`.
    pub fn finalizers(&self) -> Vec<&str> {
        self.meta("finalizers")
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default()
    }

    /// Sets `metadata.finalizers`; none removes the member.
    pub fn set_finalizers<S: AsRef<str>>(&mut self, finalizers: &[S]) {
        if finalizers.is_empty() {
            self.remove_meta("finalizers");
        } else {
            let list: Vec<Value> = finalizers.iter().map(|f| f.as_ref().into()).collect();
            self.set_meta("finalizers", list);
        }
    }

    /// `metadata.ownerReferences`.
    pub fn owner_references(&self) -> Vec<OwnerReference> {
        self.meta("ownerReferences")
            .and_then(Value::as_array)
            .map(|list| list.iter().map(OwnerReference::from_value).collect())
            .unwrap_or_default()
    }

    fn text(&self, key: &str) -> &str {
        self.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn meta_text(&self, key: &str) -> &str {
        self.meta(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn set_meta_text(&mut self, key: &str, text: &str) {
        if text.is_empty() {
            self.remove_meta(key);
        } else {
            self.set_meta(key, text);
        }
    }
}

/// A time as `metadata` holds it: RFC 3339 in UTC, whole seconds.
pub fn time_text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        Object::try_from(value).unwrap()
    }

    #[test]
    fn accessors_read_wrong_types_as_absent() {
        let o =
            object(json!({"kind": 3, "metadata": {"name": 1, "finalizers": "x", "labels": []}}));
        assert_eq!((o.kind(), o.name(), o.generation()), ("", "", 0));
        assert!(o.finalizers().is_empty());
        assert!(o.labels().is_none());
    }

    #[test]
    fn setting_empty_text_removes_the_member() {
        let mut o = object(json!({"metadata": {"namespace": "n", "resourceVersion": "3"}}));
        o.set_namespace("");
        o.set_resource_version("");
        assert_eq!(o.as_value(), &json!({"metadata": {}}));
    }

    #[test]
    fn only_maps_are_objects() {
        assert_eq!(Object::try_from(json!([1])), Err(NotAnObject));
        let mut o = Object::default();
        o.with_value_mut(|v| *v = json!("text"));
        assert_eq!(o.as_value(), &json!({}));
    }

    #[test]
    fn times_are_whole_seconds_in_utc() {
        let time: Timestamp = "2026-01-02T03:04:05.678+02:00".parse().unwrap();
        assert_eq!(time_text(time), "2026-01-02T01:04:05Z");
    }

    #[test]
    fn annotations_come_and_go() {
        let mut o = Object::default();
        o.set_annotation("a", "b");
        assert_eq!(o.annotation("a"), Some("b"));
        o.remove_annotation("a");
        assert_eq!(o.as_value(), &json!({"metadata": {}}));
    }
}
