//! `meta.k8s.io/v1 Table` and `PartialObjectMetadata`.

use jiff::Timestamp;
use serde_json::Value;

use crate::meta::Object;
use crate::resource::PrinterColumn;
use crate::status::Result;

/// What a row carries as its object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// `PartialObjectMetadata`.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter `includeObject` (empty is the default); 400/422 as upstream.
    pub fn parse(_text: &str) -> Result<Self> {
        unimplemented!()
    }
}

/// A printer: compiled columns.
#[derive(Clone, Debug)]
pub struct Printer {}

impl Printer {
    /// Compiles columns; Name comes first by itself; without columns Age follows. Invalid paths give empty cells.
    pub fn new(_columns: &[PrinterColumn]) -> Self {
        unimplemented!()
    }
    /// A table of objects. `api_version` is `meta.k8s.io/v1` or `…/v1beta1`; `list_metadata` is the metadata of the
    /// list (or of the single object: resourceVersion). `with_definitions` is false for later events of a watch.
    pub fn table(
        &self,
        _api_version: &str,
        _list_metadata: &Value,
        _objects: &[&Object],
        _include: IncludeObject,
        _with_definitions: bool,
        _now: Timestamp,
    ) -> Value {
        unimplemented!()
    }
}

/// An object's metadata as `PartialObjectMetadata` of `api_version` (`meta.k8s.io/v1` or `…/v1beta1`).
pub fn partial_metadata(_object: &Object, _api_version: &str) -> Value {
    unimplemented!()
}
/// A list of them.
pub fn partial_metadata_list(
    _list_metadata: &Value,
    _objects: &[&Object],
    _api_version: &str,
) -> Value {
    unimplemented!()
}
/// An age for people: `5m`, `3h12m`, `12d`.
pub fn human_age(_since: Timestamp, _now: Timestamp) -> String {
    unimplemented!()
}
