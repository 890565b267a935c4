//! Paths in the dialect of kubectl, for columns, scale and selectable fields.

use serde_json::Value;

/// A parsed path such as `.spec.replicas` or `.status.conditions[?(@.type=="Ready")].status`.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {}

/// A path that can't be parsed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct JsonPathError(pub String);

impl JsonPath {
    /// Parses a path; the braces of a template around it are allowed.
    pub fn parse(_text: &str) -> Result<Self, JsonPathError> {
        unimplemented!()
    }
    /// Every value found, in order.
    pub fn find<'v>(&self, _root: &'v Value) -> Vec<&'v Value> {
        unimplemented!()
    }
    /// Sets the value at a path of plain names, making maps on the way; false if something else is in the way.
    pub fn set(&self, _root: &mut Value, _value: Value) -> bool {
        unimplemented!()
    }
}
