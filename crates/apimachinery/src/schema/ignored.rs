//! `x-helium-ignored`: fields that are accepted and mean nothing, and whose writers are told so.

use serde_json::Value;

use super::Schema;

/// What to tell who writes `value` where `old` was: a text for each field that is there, means nothing, and is new or another than before.
pub(super) fn warnings(schema: &Schema, value: &Value, old: Option<&Value>) -> Vec<String> {
    let mut found = Vec::new();
    walk(schema, value, old, &mut String::new(), &mut found);
    found
}

fn walk(
    schema: &Schema,
    value: &Value,
    old: Option<&Value>,
    path: &mut String,
    found: &mut Vec<String>,
) {
    if value.is_null() || old == Some(value) {
        return;
    }
    if !schema.ignored.is_empty() {
        found.push(format!("{path}: {}", schema.ignored));
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let declared = schema
                    .properties
                    .get(name)
                    .or_else(|| schema.additional_schema());
                if let Some(declared) = declared {
                    let dot = if path.is_empty() { "" } else { "." };
                    let old = old.and_then(|old| old.get(name));
                    below(&format!("{dot}{name}"), path, |path| {
                        walk(declared, value, old, path, found);
                    });
                }
            }
        }
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            for (index, value) in list.iter().enumerate() {
                let old = old.and_then(|old| old.get(index));
                below(&format!("[{index}]"), path, |path| {
                    walk(items, value, old, path, found);
                });
            }
        }
        _ => {}
    }
}

fn below(step: &str, path: &mut String, act: impl FnOnce(&mut String)) {
    let length = path.len();
    path.push_str(step);
    act(path);
    path.truncate(length);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::field::Path;

    #[test]
    fn a_field_without_meaning_is_told_when_it_is_there_and_when_it_changes() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "port": {"type": "integer", "x-helium-ignored": "nothing listens"},
            "rank": {"type": "integer"},
            "list": {"type": "array", "items": {"type": "object", "properties": {
                "old": {"type": "array", "items": {"type": "string"}, "x-helium-ignored": "of no use"},
            }}},
            "map": {"type": "object", "additionalProperties": {"type": "string", "x-helium-ignored": "nobody reads it"}},
        }}}});
        let schema = Schema::parse(&schema, &Path::new("schema")).unwrap();
        let with = |spec: Value| json!({"spec": spec});
        let all = with(json!({
            "port": 9990, "rank": 5, "list": [{}, {"old": ["a"]}], "map": {"k": "v"}, "unknown": 1,
        }));
        assert_eq!(
            schema.ignored(&all, None),
            [
                "spec.list[1].old: of no use",
                "spec.map.k: nobody reads it",
                "spec.port: nothing listens"
            ]
        );
        assert_eq!(schema.ignored(&all, Some(&all)), [""; 0]);
        let mut moved = all.clone();
        moved["spec"]["port"] = 1.into();
        moved["spec"]["rank"] = 6.into();
        assert_eq!(
            schema.ignored(&moved, Some(&all)),
            ["spec.port: nothing listens"]
        );
        let bare = with(json!({"rank": 5, "port": null}));
        assert_eq!(schema.ignored(&bare, Some(&all)), [""; 0]);
        let wrong = json!({"type": "object", "properties": {"a": {"type": "string", "x-helium-ignored": true}}});
        assert!(Schema::parse(&wrong, &Path::new("schema")).is_err());
    }
}
