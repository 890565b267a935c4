//! Discovery documents.

use serde_json::Value;

use crate::gvk::GroupVersion;
use crate::resource::ServedVersion;

/// `APIGroupList` of `/apis`. Versions of a group are sorted by priority.
pub fn group_list(_versions: &[ServedVersion]) -> Value {
    unimplemented!()
}
/// `APIGroup` of `/apis/<group>`, if any version of it is served.
pub fn group(_name: &str, _versions: &[ServedVersion]) -> Option<Value> {
    unimplemented!()
}
/// `APIResourceList` of `/apis/<group>/<version>`.
pub fn resource_list(_group_version: &GroupVersion, _versions: &[ServedVersion]) -> Option<Value> {
    unimplemented!()
}
/// `APIGroupDiscoveryList` of `/apis`; `version` is `v2` or `v2beta1`.
pub fn aggregated(_version: &str, _versions: &[ServedVersion]) -> Value {
    unimplemented!()
}
