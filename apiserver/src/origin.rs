//! Through which cluster an object was last written.

use helium_apimachinery::meta::Object;
use serde_json::Value;

/// The annotation that says it. Set by the server, whatever clients send.
pub(crate) const ORIGIN: &str = "helium.dev/origin-cluster";

/// What a stored object says of it; empty if nothing.
pub(crate) fn origin(object: &Object) -> &str {
    object
        .get_path(&["metadata", "annotations", ORIGIN])
        .and_then(Value::as_str)
        .unwrap_or_default()
}
