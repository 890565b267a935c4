//! Label and field selectors.

use serde_json::{Map, Value};

use crate::gvk::GroupVersionKind;
use crate::meta::Object;
use crate::status::Result;

/// A label selector, the conjunction of its requirements. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {}

impl LabelSelector {
    /// Parses a query parameter; 400 with the parser's words.
    pub fn parse(_text: &str) -> Result<Self> {
        unimplemented!()
    }
    /// Reads a `LabelSelector` object (`matchLabels`, `matchExpressions`).
    pub fn from_object(_value: &Value) -> Result<Self> {
        unimplemented!()
    }
    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        unimplemented!()
    }
    /// Whether labels are selected.
    pub fn matches(&self, _labels: Option<&Map<String, Value>>) -> bool {
        unimplemented!()
    }
}

/// A field selector: conjunction of `path=value` and `path!=value`. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {}

impl FieldSelector {
    /// Parses a query parameter; 400 with the parser's words.
    pub fn parse(_text: &str) -> Result<Self> {
        unimplemented!()
    }
    /// 400 unless every field is `metadata.name`, `metadata.namespace` or one of `selectable` (`.spec.color`).
    pub fn check_supported(&self, _gvk: &GroupVersionKind, _selectable: &[String]) -> Result<()> {
        unimplemented!()
    }
    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        unimplemented!()
    }
    /// The value that a field must have, if the selector says so.
    pub fn required_value(&self, _field: &str) -> Option<&str> {
        unimplemented!()
    }
    /// Whether an object is selected.
    pub fn matches(&self, _object: &Object) -> bool {
        unimplemented!()
    }
}
