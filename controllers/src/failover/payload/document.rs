//! A payload's text as objects.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// More objects than that are no payload of one group: the footprint has to name each of them.
const MOST_OBJECTS: usize = 500;
/// Parts of `metadata` that a cluster writes, as they stand in what was exported from one.
const WRITTEN_BY_SERVERS: [&str; 8] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "selfLink",
];

/// The objects of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Without what a server writes. Ordered by kind and name.
    pub(super) objects: Vec<Manifest>,
    default_namespace: String,
    hash: String,
}

/// One object, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    /// API group; empty for the core group.
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    /// All of it.
    pub(super) content: Value,
}

/// Why a text is no payload: everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PayloadError {
    /// One entry for each fault, in the text's order; never empty.
    pub problems: Vec<DocumentProblem>,
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the payload can't be applied: ")?;
        for (place, problem) in self.problems.iter().enumerate() {
            let gap = if place == 0 { "" } else { "; " };
            write!(f, "{gap}{problem}")?;
        }
        Ok(())
    }
}

/// What is wrong with one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentProblem {
    /// Which one, counted from 1 as `---` separates them; 0 for the whole text.
    pub document: usize,
    /// Its kind, as far as it has one.
    pub kind: Option<String>,
    /// Its name, as far as it has one.
    pub name: Option<String>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for DocumentProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.document > 0 {
            write!(f, "document {}", self.document)?;
            match (&self.kind, &self.name) {
                (Some(kind), Some(name)) => write!(f, " ({kind} {name})")?,
                (Some(word), None) | (None, Some(word)) => write!(f, " ({word})")?,
                (None, None) => {}
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)
    }
}

impl Payload {
    /// Reads YAML documents. Empty ones are skipped, lists are taken apart. `default_namespace` is the MultiCluster's: objects of namespaced
    /// kinds that name none get it.
    ///
    /// # Errors
    /// [`PayloadError`] names each document that can't be taken, and why.
    pub fn parse(text: &str, default_namespace: &str) -> Result<Self, PayloadError> {
        let mut reader = Reader {
            default_namespace,
            objects: Vec::new(),
            seen: BTreeMap::new(),
            problems: Vec::new(),
        };
        for (place, document) in serde_yaml_ng::Deserializer::from_str(text).enumerate() {
            let number = place + 1;
            match json(document) {
                Ok(Value::Null) => {}
                Ok(value) => reader.take(number, value),
                Err(error) => {
                    reader.fault(number, &Value::Null, format!("isn't YAML: {error}"));
                    // What follows a syntax error can't be told apart.
                    break;
                }
            }
        }
        reader.finish()
    }

    /// Identifies the content: the same for texts that say the same in another order or layout.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// How many objects it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Never: a text without objects is an error.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Namespace of objects that name none.
    pub(super) fn default_namespace(&self) -> &str {
        &self.default_namespace
    }
}

fn json(document: serde_yaml_ng::Deserializer<'_>) -> Result<Value, serde_yaml_ng::Error> {
    // By way of YAML's own value, which knows keys that stand twice, and merge keys.
    let mut value = serde_yaml_ng::Value::deserialize(document)?;
    value.apply_merge()?;
    serde_yaml_ng::from_value(value)
}

struct Reader<'a> {
    default_namespace: &'a str,
    objects: Vec<Manifest>,
    seen: BTreeMap<(String, String, String, String), usize>,
    problems: Vec<DocumentProblem>,
}

impl Reader<'_> {
    fn fault(&mut self, document: usize, value: &Value, message: String) {
        let word = |pointer: &str| {
            let word = value.pointer(pointer)?.as_str()?;
            (!word.is_empty()).then(|| word.to_owned())
        };
        self.problems.push(DocumentProblem {
            document,
            kind: word("/kind"),
            name: word("/metadata/name"),
            message,
        });
    }

    fn take(&mut self, document: usize, mut value: Value) {
        let is_list = value["kind"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("List"));
        if is_list && let Some(Value::Array(items)) = value.get_mut("items").map(Value::take) {
            for item in items {
                self.take(document, item);
            }
            return;
        }
        match manifest(&mut value) {
            Ok(manifest) => self.keep(document, manifest),
            Err(message) => self.fault(document, &value, message),
        }
    }

    fn keep(&mut self, document: usize, manifest: Manifest) {
        let is_own_namespace = manifest.group.is_empty()
            && manifest.kind == "Namespace"
            && manifest.name == self.default_namespace;
        if is_own_namespace {
            let message = "it is the namespace of the MultiCluster itself, which would go with the payload: leave it out".to_owned();
            return self.fault(document, &manifest.content, message);
        }
        let namespace = manifest.namespace.as_deref();
        let key = (
            manifest.group.clone(),
            manifest.kind.clone(),
            namespace.unwrap_or(self.default_namespace).to_owned(),
            manifest.name.clone(),
        );
        if let Some(first) = self.seen.get(&key) {
            let message = format!("document {first} is the same object: leave one of them out");
            return self.fault(document, &manifest.content, message);
        }
        self.seen.insert(key, document);
        self.objects.push(manifest);
    }

    fn finish(mut self) -> Result<Payload, PayloadError> {
        if self.objects.is_empty() && self.problems.is_empty() {
            let message =
                "it has no object: write at least one Kubernetes object into spec.payload";
            self.fault(0, &Value::Null, message.to_owned());
        }
        if self.objects.len() > MOST_OBJECTS {
            let message = format!(
                "it has {} objects, and at most {MOST_OBJECTS} make a payload: use several groups",
                self.objects.len()
            );
            self.fault(0, &Value::Null, message);
        }
        if !self.problems.is_empty() {
            return Err(PayloadError {
                problems: self.problems,
            });
        }
        self.objects.sort_by(|a, b| {
            let key = |one: &Manifest| {
                (
                    one.group.clone(),
                    one.kind.clone(),
                    one.namespace.clone(),
                    one.name.clone(),
                )
            };
            key(a).cmp(&key(b))
        });
        let mut digest = Sha256::new();
        for object in &self.objects {
            let mut text = String::new();
            canonical(&object.content, &mut text);
            text.push('\n');
            digest.update(text.as_bytes());
        }
        let mut hash = String::new();
        for byte in digest.finalize().iter().take(16) {
            // Writing to a string can't fail.
            let _infallible = write!(hash, "{byte:02x}");
        }
        Ok(Payload {
            objects: self.objects,
            default_namespace: self.default_namespace.to_owned(),
            hash,
        })
    }
}

/// One object out of a document; an error says what is wrong with it.
fn manifest(value: &mut Value) -> Result<Manifest, String> {
    let Value::Object(content) = value else {
        return Err("isn't an object: it must have apiVersion, kind and metadata".to_owned());
    };
    let api_version = word(content, "apiVersion")
        .ok_or("has no apiVersion: add it, for example apiVersion: apps/v1")?;
    let kind = word(content, "kind").ok_or("has no kind: add it, for example kind: Deployment")?;
    let (group, version) = api_version
        .split_once('/')
        .unwrap_or(("", api_version.as_str()));
    if !is_path_word(version)
        || !(group.is_empty() && !api_version.contains('/') || is_path_word(group))
    {
        return Err(format!(
            "apiVersion {api_version:?} isn't <group>/<version> or v1"
        ));
    }
    let (group, version) = (group.to_owned(), version.to_owned());
    content.remove("status");
    let Some(Value::Object(metadata)) = content.get_mut("metadata") else {
        return Err("has no metadata: add metadata.name".to_owned());
    };
    for field in WRITTEN_BY_SERVERS {
        metadata.remove(field);
    }
    for field in ["labels", "annotations"] {
        match metadata.get(field) {
            None | Some(Value::Null) => {
                metadata.remove(field);
            }
            Some(Value::Object(_)) => {}
            Some(_) => return Err(format!("metadata.{field} isn't a map of texts")),
        }
    }
    let Some(name) = word(metadata, "name") else {
        return Err(match metadata.contains_key("generateName") {
            true => {
                "has generateName, but each term must make the same objects: give it metadata.name"
                    .to_owned()
            }
            false => "has no metadata.name: add it".to_owned(),
        });
    };
    metadata.remove("generateName");
    if !is_path_word(&name) {
        return Err(format!(
            "metadata.name {name:?} isn't the name of an object"
        ));
    }
    let namespace = match metadata.get("namespace") {
        None | Some(Value::Null) => None,
        Some(Value::String(namespace)) if is_path_word(namespace) => Some(namespace.clone()),
        Some(other) => {
            return Err(format!(
                "metadata.namespace {other} isn't a namespace's name"
            ));
        }
    };
    Ok(Manifest {
        group,
        version,
        kind,
        namespace,
        name,
        content: value.take(),
    })
}

fn word(map: &Map<String, Value>, key: &str) -> Option<String> {
    let word = map.get(key)?.as_str()?;
    (!word.is_empty()).then(|| word.to_owned())
}

/// What may stand in a URL's path as it is. No name that Kubernetes takes has anything else, but for some of RBAC's.
fn is_path_word(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:@".contains(&byte);
    !text.is_empty()
        && text.len() <= 253
        && text != "."
        && text != ".."
        && text.bytes().all(allowed)
}

/// JSON with its keys in order and without spaces.
fn canonical(value: &Value, into: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            into.push('{');
            for (key, value) in entries {
                into.push_str(&Value::from(key.as_str()).to_string());
                into.push(':');
                canonical(value, into);
                into.push(',');
            }
            into.push('}');
        }
        Value::Array(items) => {
            into.push('[');
            for item in items {
                canonical(item, into);
                into.push(',');
            }
            into.push(']');
        }
        plain => into.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests;
