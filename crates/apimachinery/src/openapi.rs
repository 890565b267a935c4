//! OpenAPI documents.

use serde_json::Value;

use crate::gvk::GroupVersion;
use crate::resource::{ServedResource, ServedVersion};

/// The OpenAPI v3 document of one group and version.
pub fn v3_document(_group_version: &GroupVersion, _resources: &[ServedResource]) -> Value {
    unimplemented!()
}
/// The root document `/openapi/v3`: a path for each group and version, with the hash of its document.
pub fn v3_root<'a>(_documents: impl IntoIterator<Item = (&'a GroupVersion, &'a str)>) -> Value {
    unimplemented!()
}
/// The whole OpenAPI v2 document.
pub fn v2_document(_versions: &[ServedVersion]) -> Value {
    unimplemented!()
}
/// The hash of a document, for ETags and URLs.
pub fn document_hash(_document: &[u8]) -> String {
    unimplemented!()
}
