//! Paths in the dialect of kubectl, for printer columns, scale and selectable fields.
//!
//! Understood: `.name`, `['name']`, `\.` inside a name, `[3]`, `[-1]`, `[1:3]` (with negative bounds and a step),
//! `[*]`, `.*`, `..name`, filters `[?(@.a=="b")]` with `== != < <= > >=` or existence, lists of
//! indices `[0,2]` and of names `['a','b']`, and the braces `{…}` of a template around the whole path. A missing field finds
//! nothing; it is never an error (Kubernetes documentation, "JSONPath Support").

mod find;
mod parse;

use serde_json::{Map, Value};

/// A parsed path such as `.spec.replicas` or `.status.conditions[?(@.type=="Ready")].status`.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

/// A path that can't be parsed.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct JsonPathError(pub String);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// A member of a map.
    Name(String),
    /// Every member or element.
    Wildcard,
    /// The value and everything below it.
    Descend,
    /// Elements, or members, by several selections.
    Union(Vec<Step>),
    /// Elements from a start to before an end.
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: i64,
    },
    /// One element; negative counts from the end.
    Index(i64),
    /// Elements for which a condition holds.
    Filter(Condition),
}

#[derive(Clone, Debug, PartialEq)]
struct Condition {
    left: Operand,
    test: Option<(Comparison, Operand)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    /// A path from the element (`@`).
    Path(JsonPath),
    /// A constant.
    Constant(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// Parses a path; the braces of a template around it are allowed.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        parse::path(text)
    }

    /// A path of plain names only, such as scale and selectable fields have: `.spec.replicas`.
    pub fn parse_simple(text: &str) -> Result<Self, JsonPathError> {
        let path = Self::parse(text)?;
        if !text.starts_with('.') || path.names().is_none() || path.steps.is_empty() {
            return Err(JsonPathError(
                "should be a json path under .spec or .status made of field names".to_owned(),
            ));
        }
        Ok(path)
    }

    /// The names, if the path is made of nothing else.
    pub fn names(&self) -> Option<Vec<&str>> {
        self.steps
            .iter()
            .map(|step| match step {
                Step::Name(name) => Some(name.as_str()),
                _ => None,
            })
            .collect()
    }

    /// Every value found, in order.
    pub fn find<'v>(&self, root: &'v Value) -> Vec<&'v Value> {
        find::find(&self.steps, root)
    }

    /// The first value found.
    pub fn first<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        match self.names() {
            Some(names) => names
                .into_iter()
                .try_fold(root, |value, name| value.get(name)),
            None => self.find(root).into_iter().next(),
        }
    }

    /// Sets the value at a path of plain names, making maps on the way; false if the path has other steps
    /// or something else than a map is in the way.
    pub fn set(&self, root: &mut Value, new: Value) -> bool {
        let Some(names) = self.names() else {
            return false;
        };
        let Some((last, parents)) = names.split_last() else {
            return false;
        };
        let mut value = root;
        for name in parents {
            let Some(members) = value.as_object_mut() else {
                return false;
            };
            value = members.entry((*name).to_owned()).or_insert(Value::Null);
            if value.is_null() {
                *value = Value::Object(Map::new());
            }
        }
        match value.as_object_mut() {
            Some(members) => {
                members.insert((*last).to_owned(), new);
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn found(path: &str, value: &Value) -> Vec<Value> {
        JsonPath::parse(path)
            .unwrap()
            .find(value)
            .into_iter()
            .cloned()
            .collect()
    }

    #[test]
    fn paths_find_what_kubectl_finds() {
        let value = json!({
            "spec": {"replicas": 3, "dotted.name": "d", "list": [10, 20, 30, 40]},
            "status": {"conditions": [
                {"type": "Ready", "status": "True", "n": 1},
                {"type": "Old", "status": "False", "n": 2},
            ]},
        });
        for (path, expected) in [
            (".spec.replicas", vec![json!(3)]),
            ("{.spec.replicas}", vec![json!(3)]),
            ("spec.replicas", vec![json!(3)]),
            ("$.spec.replicas", vec![json!(3)]),
            (".spec['replicas']", vec![json!(3)]),
            (r".spec.dotted\.name", vec![json!("d")]),
            (".spec['dotted.name']", vec![json!("d")]),
            (".spec.missing.deeper", vec![]),
            (".spec.list[1]", vec![json!(20)]),
            (".spec.list[-1]", vec![json!(40)]),
            (".spec.list[1:3]", vec![json!(20), json!(30)]),
            (".spec.list[-2:]", vec![json!(30), json!(40)]),
            (".spec.list[::2]", vec![json!(10), json!(30)]),
            (".spec.list[0,2]", vec![json!(10), json!(30)]),
            (".spec.list[9]", vec![]),
            (
                ".status.conditions[*].type",
                vec![json!("Ready"), json!("Old")],
            ),
            (
                ".status.conditions[?(@.type==\"Ready\")].status",
                vec![json!("True")],
            ),
            (
                ".status.conditions[?(@.type=='Old')].status",
                vec![json!("False")],
            ),
            (".status.conditions[?(@.n > 1)].type", vec![json!("Old")]),
            (".status.conditions[?(@.type != \"Old\")].n", vec![json!(1)]),
            (".status.conditions[?(@.missing)].n", vec![]),
            ("..type", vec![json!("Ready"), json!("Old")]),
        ] {
            assert_eq!(found(path, &value), expected, "{path}");
        }
    }

    #[test]
    fn malformed_paths_are_refused() {
        for bad in [
            ".a[",
            ".a[x",
            "{.a",
            ".a[?(@.b",
            ".a[?(@.b==)]",
            ".a['b]",
            "..",
            ".a[1:2:0]",
            ".a]",
        ] {
            assert!(JsonPath::parse(bad).is_err(), "{bad}");
        }
        for bad in ["spec.a", ".a[0]", ".", ""] {
            assert!(JsonPath::parse_simple(bad).is_err(), "{bad}");
        }
        JsonPath::parse_simple(".spec.a").unwrap();
    }

    #[test]
    fn simple_paths_can_be_set() {
        let path = JsonPath::parse(".spec.a.b").unwrap();
        let mut value = json!({});
        assert!(path.set(&mut value, json!(1)));
        assert_eq!(value, json!({"spec": {"a": {"b": 1}}}));
        let mut value = json!({"spec": 3});
        assert!(!path.set(&mut value, json!(1)));
        assert!(
            !JsonPath::parse(".a[0]")
                .unwrap()
                .set(&mut json!({}), json!(1))
        );
    }

    proptest! {
        #[test]
        fn no_path_panics(text in r"[.a\[\]?(@)='*:0-9{}\\,-]{0,20}") {
            if let Ok(path) = JsonPath::parse(&text) {
                path.find(&json!({"a": [{"a": 1}, [2, 3]], "0": {}}));
            }
        }
    }
}
