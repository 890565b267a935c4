//! The built-in kind Lease.

use serde_json::Value;

use crate::crd::Definition;
use crate::field::ErrorList;
use crate::meta::Object;

/// The definition of Lease in a group (`coordination.k8s.io` or another one), version v1.
pub fn definition(_group: &str) -> Definition {
    unimplemented!()
}
/// Its spec as the definition of a custom resource.
pub fn definition_spec(_group: &str) -> Value {
    unimplemented!()
}
/// What is wrong with a lease beyond its schema.
pub fn validate(_lease: &Object) -> ErrorList {
    unimplemented!()
}
