//! Decoding of JSON and YAML bodies.

use serde_json::Value;

use crate::gvk::GroupVersionKind;
use crate::meta::Object;
use crate::status::Result;

/// A decoded document and what a strict reader has against it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// The document; of duplicate members the last one counts.
    pub value: Value,
    /// One message for each duplicate member: `duplicate field "spec.x"`.
    pub duplicates: Vec<String>,
}

/// A body that can't be decoded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct DecodeError(pub String);

/// Decodes JSON.
pub fn decode(_body: &[u8]) -> std::result::Result<Decoded, DecodeError> {
    unimplemented!()
}
/// Decodes YAML (one document).
pub fn decode_yaml(_body: &[u8]) -> std::result::Result<Decoded, DecodeError> {
    unimplemented!()
}
/// Decodes by `Content-Type` (empty is JSON): 415 for an unknown type, 400 for a bad body.
pub fn decode_body(_content_type: &str, _body: &[u8]) -> Result<Decoded> {
    unimplemented!()
}
/// Checks a decoded body against the kind that the URL serves, fills missing apiVersion/kind is an error
/// (400), and checks the types of the metadata fields (400). Returns the object.
pub fn into_object(_value: Value, _expected: &GroupVersionKind) -> Result<Object> {
    unimplemented!()
}
