//! Pruning: what isn't declared goes.

use serde_json::Value;

use super::{Additional, Schema};

/// Members that belong to every object.
pub(super) const META_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Prunes an object and returns the paths of what went, sorted.
pub(super) fn object(schema: &Schema, object: &mut Value) -> Vec<String> {
    let mut walk = Walk::default();
    walk.value(Some(schema), object, true, false);
    walk.removed.sort();
    walk.removed
}

/// Prunes a value that stands below an object, such as a default.
pub(super) fn value(schema: &Schema, value: &mut Value) {
    Walk::default().value(Some(schema), value, schema.embedded_resource, false);
}

#[derive(Default)]
struct Walk {
    path: String,
    removed: Vec<String>,
}

impl Walk {
    fn below<T>(&mut self, name: &str, act: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        let result = act(self);
        self.path.truncate(length);
        result
    }

    fn at<T>(&mut self, index: usize, act: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push_str(&format!("[{index}]"));
        let result = act(self);
        self.path.truncate(length);
        result
    }

    fn remove(&mut self, name: &str) {
        self.below(name, |walk| {
            let path = walk.path.clone();
            walk.removed.push(path);
        });
    }

    /// Prunes by a schema; without one nothing is declared. `is_resource` spares the members of every object;
    /// `preserved` says that the list around the value preserves unknown fields.
    fn value(
        &mut self,
        schema: Option<&Schema>,
        value: &mut Value,
        is_resource: bool,
        preserved: bool,
    ) {
        let preserve = preserved || schema.is_some_and(|s| s.preserve_unknown);
        match value {
            Value::Object(members) => {
                let mut undeclared = Vec::new();
                for (name, value) in members.iter_mut() {
                    if is_resource && META_FIELDS.contains(&name.as_str()) {
                        continue;
                    }
                    let declared = schema.and_then(|s| s.properties.get(name));
                    match (declared, schema.and_then(|s| s.additional.as_ref())) {
                        (Some(property), _) => self.below(name, |walk| {
                            walk.value(Some(property), value, property.embedded_resource, false);
                        }),
                        (None, Some(Additional::Schema(additional))) => self.below(name, |walk| {
                            walk.value(
                                Some(additional),
                                value,
                                additional.embedded_resource,
                                false,
                            );
                        }),
                        // Without a schema for what is there, only scalars can stay as they are.
                        (None, Some(Additional::Any)) if !preserve => {
                            self.below(name, |walk| walk.value(None, value, false, false));
                        }
                        (None, _) if preserve => {}
                        (None, _) => undeclared.push(name.clone()),
                    }
                }
                for name in undeclared {
                    self.remove(&name);
                    members.remove(&name);
                }
            }
            Value::Array(list) => {
                let items = schema.and_then(|s| s.items.as_deref());
                if items.is_none() && preserve {
                    return;
                }
                for (index, value) in list.iter_mut().enumerate() {
                    let is_resource = items.is_some_and(|s| s.embedded_resource);
                    self.at(index, |walk| {
                        walk.value(items, value, is_resource, preserve)
                    });
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Path;
    use serde_json::json;

    fn pruned(spec_schema: Value, spec: Value) -> (Value, Vec<String>) {
        let raw = json!({"type": "object", "properties": {"spec": spec_schema}});
        let schema = Schema::parse(&raw, &Path::new("s")).unwrap();
        let mut object =
            json!({"apiVersion": "v", "kind": "k", "metadata": {"any": 1}, "spec": spec});
        let removed = super::object(&schema, &mut object);
        assert_eq!(object["metadata"], json!({"any": 1}));
        (object["spec"].clone(), removed)
    }

    #[test]
    fn undeclared_fields_go_at_every_depth() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "object", "properties": {"b": {"type": "string"}}},
            "l": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
            "m": {"type": "object", "additionalProperties": {"type": "object", "properties": {"v": {"type": "string"}}}},
        }});
        let (spec, removed) = pruned(
            schema,
            json!({
                "a": {"b": "x", "c": 1}, "d": 2, "l": [{"k": "x", "y": 1}, 3],
                "m": {"any": {"v": "x", "w": 1}},
            }),
        );
        assert_eq!(
            spec,
            json!({"a": {"b": "x"}, "l": [{"k": "x"}, 3], "m": {"any": {"v": "x"}}})
        );
        assert_eq!(
            removed,
            ["spec.a.c", "spec.d", "spec.l[0].y", "spec.m.any.w"]
        );
    }

    #[test]
    fn preserved_fields_stay_and_declared_ones_below_are_still_pruned() {
        let schema = json!({
            "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}}},
        });
        let (spec, removed) = pruned(schema, json!({"x": {"y": 1}, "a": {"b": "x", "c": 1}}));
        assert_eq!(spec, json!({"x": {"y": 1}, "a": {"b": "x"}}));
        assert_eq!(removed, ["spec.a.c"]);
    }

    #[test]
    fn embedded_objects_keep_their_type_and_metadata() {
        let schema = json!({"type": "object", "properties": {"e": {
            "type": "object", "x-kubernetes-embedded-resource": true,
            "properties": {"spec": {"type": "object"}},
        }}});
        let object =
            json!({"e": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "x": 1}});
        let (spec, removed) = pruned(schema, object);
        assert_eq!(
            spec,
            json!({"e": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}})
        );
        assert_eq!(removed, ["spec.e.x"]);
    }
}
