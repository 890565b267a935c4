//! Reading a schema from JSON.

use serde_json::{Map, Number, Value};

use super::{Additional, Checks, JsonType, Junctors, ListType, Pattern, Schema};
use crate::field::{ErrorList, FieldError, Path};

/// Largest compiled size of a pattern, in bytes: a definition must not eat the server's memory.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// Reads one node and everything below it. What can't be read is reported and left out.
pub(super) fn schema(raw: &Value, path: &Path<'_>, errors: &mut ErrorList) -> Schema {
    let Some(members) = raw.as_object() else {
        errors.push(FieldError::invalid(
            path,
            raw.clone(),
            "must be a schema object",
        ));
        return Schema::empty();
    };
    let mut reader = Reader {
        members,
        path,
        errors,
    };
    reader.forbidden_keywords();
    let int_or_string = reader.flag("x-kubernetes-int-or-string");
    Schema {
        title: reader.text("title"),
        ignored: reader.text("x-helium-ignored"),
        description: reader.text("description"),
        json_type: reader.json_type(),
        nullable: reader.flag("nullable"),
        default: reader.given("default").cloned(),
        properties: reader.properties(),
        additional: reader.additional(),
        items: reader.child("items").map(Box::new),
        preserve_unknown: reader.preserve_unknown(),
        embedded_resource: reader.flag("x-kubernetes-embedded-resource"),
        int_or_string,
        list_type: reader.list_type(),
        list_map_keys: reader.texts("x-kubernetes-list-map-keys"),
        map_type: reader.map_type(),
        rules: reader.list("x-kubernetes-validations").to_vec(),
        checks: reader.checks(),
        junctors: Junctors {
            all_of: reader.schemas("allOf"),
            any_of: reader.schemas("anyOf"),
            one_of: reader.schemas("oneOf"),
            not: reader.child("not").map(Box::new),
        },
    }
}

struct Reader<'r, 'p> {
    members: &'r Map<String, Value>,
    path: &'r Path<'p>,
    errors: &'r mut ErrorList,
}

impl<'r> Reader<'r, '_> {
    /// A member that is there and isn't null.
    fn given(&self, key: &str) -> Option<&'r Value> {
        self.members.get(key).filter(|value| !value.is_null())
    }

    fn wrong_type(&mut self, key: &str, value: &Value, what: &str) {
        self.errors.push(FieldError::invalid(
            &self.path.child(key),
            value.clone(),
            format!("must be {what}"),
        ));
    }

    fn text(&mut self, key: &str) -> String {
        match self.given(key) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => {
                self.wrong_type(key, other, "a string");
                String::new()
            }
        }
    }

    fn flag(&mut self, key: &str) -> bool {
        match self.given(key) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(other) => {
                self.wrong_type(key, other, "a boolean");
                false
            }
        }
    }

    fn number(&mut self, key: &str) -> Option<Number> {
        match self.given(key) {
            None => None,
            Some(Value::Number(number)) => Some(number.clone()),
            Some(other) => {
                self.wrong_type(key, other, "a number");
                None
            }
        }
    }

    fn size(&mut self, key: &str) -> Option<u64> {
        let value = self.given(key)?;
        let size = value.as_u64();
        if size.is_none() {
            self.wrong_type(key, value, "an integer that is not negative");
        }
        size
    }

    fn list(&mut self, key: &str) -> &'r [Value] {
        match self.given(key) {
            None => &[],
            Some(Value::Array(list)) => list,
            Some(other) => {
                self.wrong_type(key, other, "a list");
                &[]
            }
        }
    }

    fn texts(&mut self, key: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for value in self.list(key) {
            match value.as_str() {
                Some(text) => texts.push(text.to_owned()),
                None => self.wrong_type(key, value, "a list of strings"),
            }
        }
        texts
    }

    fn child(&mut self, key: &str) -> Option<Schema> {
        let value = self.given(key)?;
        if key == "items" && value.is_array() {
            self.errors.push(FieldError::forbidden(
                &self.path.child(key),
                "items must be a schema object and not an array",
            ));
            return None;
        }
        Some(schema(value, &self.path.child(key), self.errors))
    }

    fn schemas(&mut self, key: &str) -> Vec<Schema> {
        let list = self.list(key);
        let path = self.path.child(key);
        list.iter()
            .enumerate()
            .map(|(index, value)| schema(value, &path.index(index), self.errors))
            .collect()
    }

    fn properties(&mut self) -> std::collections::BTreeMap<String, Schema> {
        let path = self.path.child("properties");
        match self.given("properties") {
            None => Default::default(),
            Some(Value::Object(map)) => map
                .iter()
                .map(|(name, value)| (name.clone(), schema(value, &path.key(name), self.errors)))
                .collect(),
            Some(other) => {
                self.wrong_type("properties", other, "a map of schemas");
                Default::default()
            }
        }
    }

    fn additional(&mut self) -> Option<Additional> {
        let value = self.given("additionalProperties")?;
        let path = self.path.child("additionalProperties");
        match value {
            Value::Bool(true) => Some(Additional::Any),
            Value::Bool(false) => {
                self.errors.push(FieldError::forbidden(
                    &path,
                    "additionalProperties cannot be set to false",
                ));
                None
            }
            value => Some(Additional::Schema(Box::new(schema(
                value,
                &path,
                self.errors,
            )))),
        }
    }

    fn json_type(&mut self) -> Option<JsonType> {
        let text = self.text("type");
        let path = self.path.child("type");
        Some(match text.as_str() {
            "" => return None,
            "object" => JsonType::Object,
            "array" => JsonType::Array,
            "string" => JsonType::String,
            "integer" => JsonType::Integer,
            "number" => JsonType::Number,
            "boolean" => JsonType::Boolean,
            other => {
                self.errors.push(FieldError::not_supported(
                    &path,
                    other,
                    &["array", "boolean", "integer", "number", "object", "string"],
                ));
                if other == "null" {
                    self.errors.push(FieldError::forbidden(
                        &path,
                        "type cannot be set to null, use nullable as an alternative",
                    ));
                }
                return None;
            }
        })
    }

    fn preserve_unknown(&mut self) -> bool {
        const KEY: &str = "x-kubernetes-preserve-unknown-fields";
        if self.given(KEY) == Some(&Value::Bool(false)) {
            self.errors.push(FieldError::invalid(
                &self.path.child(KEY),
                false,
                "must be true or undefined",
            ));
        }
        self.flag(KEY)
    }

    fn list_type(&mut self) -> Option<ListType> {
        const KEY: &str = "x-kubernetes-list-type";
        match self.text(KEY).as_str() {
            "" => None,
            "atomic" => Some(ListType::Atomic),
            "set" => Some(ListType::Set),
            "map" => Some(ListType::Map),
            other => {
                self.errors.push(FieldError::not_supported(
                    &self.path.child(KEY),
                    other,
                    &["atomic", "set", "map"],
                ));
                None
            }
        }
    }

    fn map_type(&mut self) -> Option<String> {
        const KEY: &str = "x-kubernetes-map-type";
        let text = self.text(KEY);
        if !matches!(text.as_str(), "" | "atomic" | "granular") {
            self.errors.push(FieldError::not_supported(
                &self.path.child(KEY),
                text.as_str(),
                &["atomic", "granular"],
            ));
        }
        Some(text).filter(|text| !text.is_empty())
    }

    fn checks(&mut self) -> Checks {
        Checks {
            format: self.text("format"),
            maximum: self.number("maximum"),
            exclusive_maximum: self.flag("exclusiveMaximum"),
            minimum: self.number("minimum"),
            exclusive_minimum: self.flag("exclusiveMinimum"),
            max_length: self.size("maxLength"),
            min_length: self.size("minLength"),
            pattern: self.pattern(),
            max_items: self.size("maxItems"),
            min_items: self.size("minItems"),
            multiple_of: self.multiple_of(),
            allowed: self.given("enum").map(|_| self.list("enum").to_vec()),
            max_properties: self.size("maxProperties"),
            min_properties: self.size("minProperties"),
            required: self.texts("required"),
        }
    }

    fn multiple_of(&mut self) -> Option<Number> {
        let number = self.number("multipleOf")?;
        if number.as_f64().is_some_and(|n| n > 0.0) {
            return Some(number);
        }
        self.errors.push(FieldError::invalid(
            &self.path.child("multipleOf"),
            Value::Number(number),
            "must be positive",
        ));
        None
    }

    fn pattern(&mut self) -> Option<Pattern> {
        let text = self.text("pattern");
        if text.is_empty() {
            return None;
        }
        match regex::RegexBuilder::new(&text)
            .size_limit(PATTERN_SIZE_MAX)
            .build()
        {
            Ok(regex) => Some(Pattern { text, regex }),
            Err(error) => {
                self.errors.push(FieldError::invalid(
                    &self.path.child("pattern"),
                    text,
                    format!("must be a valid regular expression, but isn't: {error}"),
                ));
                None
            }
        }
    }

    /// Keywords of JSON schema that structural schemas don't have.
    fn forbidden_keywords(&mut self) {
        for key in [
            "id",
            "$ref",
            "definitions",
            "dependencies",
            "patternProperties",
            "additionalItems",
        ] {
            if self.given(key).is_some() {
                self.errors.push(FieldError::forbidden(
                    &self.path.child(key),
                    format!("{key} is not supported"),
                ));
            }
        }
        if self.flag("uniqueItems") {
            self.errors.push(FieldError::forbidden(
                &self.path.child("uniqueItems"),
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            ));
        }
    }
}
