//! Structural schemas: what a custom resource may contain.
//!
//! A schema is parsed once, when its definition is accepted, from the `openAPIV3Schema` of a version, and then
//! applied to every object: *coerce* the metadata of embedded objects, *prune* what isn't declared, *default* what
//! is missing, *validate* what is there. Reading an object from the store prunes and defaults again, because the
//! schema may have changed since it was written.
//!
//! Invariants:
//! 1. A `Schema` is structural: every field has a type or says that it is left open, and logical junctors
//!    (`allOf`, `anyOf`, `oneOf`, `not`) only restrict values (Kubernetes documentation, "Specifying a structural
//!    schema").
//! 2. Defaults are pruned and valid, so defaulting never makes an object invalid.
//! 3. Pruning and defaulting are idempotent, together and each alone.
//!
//! `x-kubernetes-validations` are accepted and kept ([`Schema::rules`]), and evaluated by whoever implements
//! [`RuleEvaluator`]; this crate has no evaluator.

mod default;
mod defaults;
mod embedded;
mod formats;
mod ignored;
mod junctors;
mod keywords;
mod lists;
mod parse;
mod prune;
mod structural;
mod validate;

use std::collections::BTreeMap;

use serde_json::{Number, Value};

use crate::field::{ErrorList, FieldError, Path};

pub use keywords::unknown_keywords;

/// The JSON type that a schema demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonType {
    /// A map.
    Object,
    /// A list.
    Array,
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
}

impl JsonType {
    /// The word in schemas.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// How the elements of a list relate to each other (`x-kubernetes-list-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListType {
    /// The list is one value.
    Atomic,
    /// Elements are unique.
    Set,
    /// Elements are maps, unique by their keys.
    Map,
}

/// A structural schema, parsed and checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    title: String,
    description: String,
    /// Why the field means nothing (`x-helium-ignored`); empty if it means something.
    ignored: String,
    json_type: Option<JsonType>,
    nullable: bool,
    default: Option<Value>,
    properties: BTreeMap<String, Schema>,
    additional: Option<Additional>,
    items: Option<Box<Schema>>,
    preserve_unknown: bool,
    embedded_resource: bool,
    int_or_string: bool,
    list_type: Option<ListType>,
    list_map_keys: Vec<String>,
    map_type: Option<String>,
    rules: Vec<Value>,
    checks: Checks,
    junctors: Junctors,
}

/// `additionalProperties`.
#[derive(Clone, Debug, PartialEq)]
enum Additional {
    /// Anything may be there.
    Any,
    /// Whatever is there has this schema.
    Schema(Box<Schema>),
}

/// What restricts a value besides its type.
#[derive(Clone, Debug, Default, PartialEq)]
struct Checks {
    format: String,
    maximum: Option<Number>,
    exclusive_maximum: bool,
    minimum: Option<Number>,
    exclusive_minimum: bool,
    max_length: Option<u64>,
    min_length: Option<u64>,
    pattern: Option<Pattern>,
    max_items: Option<u64>,
    min_items: Option<u64>,
    multiple_of: Option<Number>,
    allowed: Option<Vec<Value>>,
    max_properties: Option<u64>,
    min_properties: Option<u64>,
    required: Vec<String>,
}

/// A regular expression and the text that it came from.
#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    regex: regex::Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Schemas that are combined by logic.
#[derive(Clone, Debug, Default, PartialEq)]
struct Junctors {
    all_of: Vec<Schema>,
    any_of: Vec<Schema>,
    one_of: Vec<Schema>,
    not: Option<Box<Schema>>,
}

/// Something that evaluates `x-kubernetes-validations`.
pub trait RuleEvaluator: Send + Sync {
    /// Evaluates the rules of one schema node for a value. `old` is the previous value in an update.
    fn evaluate(
        &self,
        rules: &[Value],
        value: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
    ) -> ErrorList;
}

impl Schema {
    /// Parses and checks an `openAPIV3Schema`: the keywords that there are, structurality, defaults. `path` is
    /// where it stands in the definition.
    pub fn parse(raw: &Value, path: &Path<'_>) -> Result<Self, ErrorList> {
        let mut errors = ErrorList::new();
        let mut schema = parse::schema(raw, path, &mut errors);
        keywords::check(&schema, path, keywords::Place::ROOT, &mut errors);
        errors.append(structural::check(&schema, path));
        if errors.is_empty() {
            defaults::normalise(&mut schema);
            errors.append(defaults::check(&schema, path));
        }
        errors.into_result().map(|()| schema)
    }

    /// A schema that says nothing.
    fn empty() -> Self {
        <Self as Default>::default()
    }

    /// Checks and normalises the metadata of embedded objects. Returns a message for each unknown member of such
    /// metadata, which is dropped; the error names a member of the wrong type.
    pub fn coerce(&self, object: &mut Value) -> Result<Vec<String>, FieldError> {
        embedded::coerce(self, object)
    }

    /// Removes undeclared fields of an object, its apiVersion, kind and metadata aside; returns their paths
    /// (`spec.x`), sorted.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        prune::object(self, object)
    }

    /// Fills defaults; a null where null isn't allowed becomes the default, or goes.
    pub fn default(&self, object: &mut Value) {
        default::drop_nulls(self, object);
        default::fill(self, object);
    }

    /// What is wrong with an object. `old` is the previous version in an update: parts that haven't changed are
    /// not complained about.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> ErrorList {
        let mut errors = validate::object(self, object, old);
        errors.append(embedded::validate(self, object));
        let lists_were_valid = old.is_none_or(|old| lists::validate(self, old).is_empty());
        if lists_were_valid {
            errors.append(lists::validate(self, object));
        }
        errors
    }

    /// What to tell who writes an object: each field that is declared to mean nothing (`x-helium-ignored`), with its path and why, if it is
    /// there and was not there like that in `old`.
    pub fn ignored(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        ignored::warnings(self, object, old)
    }

    /// The schema of a field below this one, following names only.
    pub fn field(&self, names: &[&str]) -> Option<&Schema> {
        names.iter().try_fold(self, |schema, name| {
            schema
                .properties
                .get(*name)
                .or_else(|| schema.additional_schema())
        })
    }

    /// The type demanded, if one is.
    pub fn json_type(&self) -> Option<JsonType> {
        self.json_type
    }

    /// `x-kubernetes-validations` of this node, as declared.
    pub fn rules(&self) -> &[Value] {
        &self.rules
    }

    /// The schemas of the fields.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &Schema)> {
        self.properties
            .iter()
            .map(|(name, schema)| (name.as_str(), schema))
    }

    fn additional_schema(&self) -> Option<&Schema> {
        match &self.additional {
            Some(Additional::Schema(schema)) => Some(schema),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// A schema that uses every keyword that changes objects.
    fn rich() -> Schema {
        let raw = json!({"type": "object", "properties": {
            "spec": {"type": "object", "required": ["a"], "properties": {
                "a": {"type": "string", "default": "x", "maxLength": 3, "pattern": "^[a-z]*$"},
                "b": {"type": "integer", "minimum": 0, "nullable": true},
                "c": {"x-kubernetes-int-or-string": true},
                "d": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
                    "e": {"type": "object", "default": {}, "properties": {
                        "f": {"type": "number", "default": 1.5},
                    }},
                }},
                "g": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {
                    "type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "boolean", "default": true}},
                }},
                "h": {"type": "object", "additionalProperties": {"type": "string", "default": "y"}},
                "i": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
            }},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }});
        // Defaults under additionalProperties aren't declared in practice; nothing forbids them.
        Schema::parse(&raw, &Path::new("schema")).unwrap()
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-z]{0,4}".prop_map(Value::from),
        ];
        let key = prop_oneof![
            "[a-i]",
            Just("spec".to_owned()),
            Just("k".to_owned()),
            Just("metadata".to_owned())
        ];
        leaf.prop_recursive(5, 48, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(key.clone(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_object_panics_and_prune_and_default_are_idempotent(value in any_json()) {
            let schema = rich();
            let mut object = json!({"apiVersion": "g.io/v1", "kind": "W", "metadata": {}, "spec": value});
            let _ = schema.coerce(&mut object.clone());
            schema.prune(&mut object);
            schema.default(&mut object);
            let once = object.clone();
            prop_assert!(schema.prune(&mut object).is_empty());
            schema.default(&mut object);
            prop_assert_eq!(&once, &object);
            let _ = schema.validate(&object, None);
            let unchanged = schema.validate(&object, Some(&object));
            prop_assert!(unchanged.iter().all(|e| e.field.contains("spec.i")), "{}", unchanged);
        }

        #[test]
        fn no_schema_panics(value in any_json()) {
            let _ = Schema::parse(&value, &Path::new("schema"));
        }
    }
}
