//! Structural schemas: what a custom resource may contain.

use serde_json::Value;

use crate::field::{ErrorList, Path};

/// A structural schema, parsed and checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {}

/// Something that evaluates `x-kubernetes-validations`; none is installed yet.
pub trait RuleEvaluator: Send + Sync {
    /// Evaluates the rules of one schema node. `old` is the previous value of an update.
    fn evaluate(
        &self,
        rules: &[Value],
        value: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
    ) -> ErrorList;
}

impl Schema {
    /// Parses and checks `openAPIV3Schema` (structural, defaults valid). `path` is where it stands in the definition.
    pub fn parse(_raw: &Value, _path: &Path<'_>) -> Result<Self, ErrorList> {
        unimplemented!()
    }
    /// Removes undeclared fields of an object; returns their paths (`spec.x`).
    pub fn prune(&self, _object: &mut Value) -> Vec<String> {
        unimplemented!()
    }
    /// Fills defaults, and drops nulls where a default stands.
    pub fn default(&self, _object: &mut Value) {
        unimplemented!()
    }
    /// What is wrong with an object. `old` is the previous version in an update: what was wrong before and is
    /// unchanged is tolerated.
    pub fn validate(&self, _object: &Value, _old: Option<&Value>) -> ErrorList {
        unimplemented!()
    }
}
