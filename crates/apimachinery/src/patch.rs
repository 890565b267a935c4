//! Patches.

use serde_json::Value;

use crate::status::Result;

/// The kinds of patch, by media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// `application/json-patch+json`
    Json,
    /// `application/merge-patch+json`
    Merge,
}

/// Media types of patches that can be applied.
pub const MEDIA_TYPES: [&str; 2] = [
    "application/json-patch+json",
    "application/merge-patch+json",
];

impl PatchType {
    /// The type of a `Content-Type` (parameters are ignored); 415 for every other one.
    pub fn from_content_type(_content_type: &str) -> Result<Self> {
        unimplemented!()
    }
}

/// A decoded patch.
#[derive(Clone, Debug)]
pub struct Patch {}

impl Patch {
    /// Decodes a body: 400 for what isn't a patch, 413 for too many operations.
    pub fn parse(_type: PatchType, _body: &[u8]) -> Result<Self> {
        unimplemented!()
    }
    /// Applies it to a document: 422 when it can't be applied.
    pub fn apply(&self, _document: &Value) -> Result<Value> {
        unimplemented!()
    }
    /// Paths of duplicate members in the body, as messages (`duplicate field "spec.x"`).
    pub fn duplicates(&self) -> &[String] {
        unimplemented!()
    }
}
