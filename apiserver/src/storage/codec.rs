//! Objects as the store keeps them.
//!
//! JSON without a resourceVersion, which is the key's revision. The first byte tells the format: JSON begins
//! with `{`, so that another format can be told apart and be read side by side with it.

use bytes::Bytes;
use helium_apimachinery::meta::Object;
use serde_json::Value;

use super::Record;
use crate::cache::DecodeError;

/// The stored form of an object.
#[must_use]
pub fn encode(object: &Object) -> Bytes {
    let encoded = if object.meta("resourceVersion").is_some() {
        let mut stored = object.clone();
        stored.remove_meta("resourceVersion");
        serde_json::to_vec(&stored)
    } else {
        serde_json::to_vec(object)
    };
    // A map with string keys always serialises.
    encoded.map(Bytes::from).unwrap_or_default()
}

/// Reads a stored object; its resourceVersion is the record's revision.
pub fn decode(record: &Record) -> Result<Object, DecodeError> {
    let fail = |reason: String| DecodeError {
        key: String::from_utf8_lossy(&record.key).into_owned(),
        reason,
    };
    let value: Value =
        serde_json::from_slice(&record.value).map_err(|error| fail(error.to_string()))?;
    let mut object = Object::try_from(value).map_err(|error| fail(error.to_string()))?;
    object.set_resource_version(&record.revision.to_string());
    Ok(object)
}
