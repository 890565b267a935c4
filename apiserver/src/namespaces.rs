//! Namespaces without a cluster behind them, for servers that clients reach directly.
//!
//! A shared object's namespace is nothing but a part of its key: every valid name is a namespace that is there. What is stored
//! are the namespaces that somebody created or labelled, as ordinary objects; the others are implied. Deleting
//! a namespace deletes that object and nothing else: shared objects are deleted by name, never by accident.

use std::collections::BTreeSet;
use std::sync::Arc;

use helium_apimachinery::field::{ErrorList, FieldError, Path};
use helium_apimachinery::meta::Object;
use helium_apimachinery::names;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::cache::Entry;

/// The label that every namespace has.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// A namespace that is always listed.
const DEFAULT: &str = "default";

/// A namespace that exists without being stored; `None` if the name can't be one. Nobody created it, so it has no
/// creationTimestamp, which kubectl shows as `<unknown>`.
#[must_use]
pub fn implied(name: &str) -> Option<Object> {
    if !names::dns1123_label(name).is_empty() {
        return None;
    }
    let mut object = Object::default();
    object.set("apiVersion", "v1");
    object.set("kind", "Namespace");
    object.set_name(name);
    object.set_meta("uid", implied_uid(name).to_string());
    object.set_meta("resourceVersion", "1");
    complete(&mut object);
    Some(object)
}

/// What is wrong with a namespace beyond its schema: its name must be a label.
#[must_use]
pub fn validate(object: &Object) -> ErrorList {
    let path = Path::new("metadata");
    let wrong = names::dns1123_label(object.name());
    wrong
        .into_iter()
        .map(|why| FieldError::invalid(&path.child("name"), object.name(), why))
        .collect()
}

/// Fills what every namespace has.
pub fn complete(object: &mut Object) {
    let name = object.name().to_owned();
    let labels = object.metadata_mut().entry("labels").or_insert(Value::Null);
    if !labels.is_object() {
        *labels = json!({});
    }
    labels[NAME_LABEL] = name.into();
    if object
        .get("spec")
        .and_then(|spec| spec.get("finalizers"))
        .is_none()
    {
        object.set("spec", json!({"finalizers": ["kubernetes"]}));
    }
    let phase = if object.meta("deletionTimestamp").is_some() {
        "Terminating"
    } else {
        "Active"
    };
    object.set("status", json!({"phase": phase}));
}

/// Adds the namespaces that only `used` names imply to those that are stored; the result is sorted.
pub fn add_implied(stored: &mut Vec<Arc<Entry>>, used: BTreeSet<String>) {
    let implied_entries: Vec<_> = used
        .into_iter()
        .chain([DEFAULT.to_owned()])
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter(|name| stored.iter().all(|entry| entry.key != *name))
        .filter_map(|name| Some(Arc::new(Entry::new(name.clone(), 1, implied(&name)?, 0))))
        .collect();
    stored.extend(implied_entries);
    stored.sort_by(|a, b| a.key.cmp(&b.key));
}

/// The same for everybody and always, and never that of a stored namespace.
fn implied_uid(name: &str) -> Uuid {
    let digest = Sha256::digest(format!("namespace {name}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_valid_name_is_an_active_namespace() {
        let namespace = implied("team-a").unwrap();
        assert_eq!(namespace.get_path(&["status", "phase"]).unwrap(), "Active");
        assert_eq!(namespace.uid(), implied("team-a").unwrap().uid());
        assert_ne!(namespace.uid(), implied("team-b").unwrap().uid());
        assert!(implied("No Name").is_none());
        assert!(namespace.meta("creationTimestamp").is_none());
    }

    #[test]
    fn stored_namespaces_are_not_implied_again() {
        let stored = implied("b").unwrap();
        let mut entries = vec![Arc::new(Entry::new("b".to_owned(), 7, stored, 0))];
        add_implied(&mut entries, ["b".to_owned(), "a".to_owned()].into());
        let keys: Vec<_> = entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["a", "b", "default"]);
        assert_eq!(entries[1].revision, 7);
    }
}
