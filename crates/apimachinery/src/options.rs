//! Options of requests, from query parameters and bodies.

use serde_json::Value;

use crate::patch::PatchType;
use crate::selector::{FieldSelector, LabelSelector};
use crate::status::Result;

/// Query parameters, decoded, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(pub Vec<(String, String)>);

impl Query {
    /// Decodes the raw query string of a URL (without `?`).
    pub fn parse(_raw: &str) -> Self {
        unimplemented!()
    }
    /// The first value of a parameter.
    pub fn get(&self, _key: &str) -> Option<&str> {
        unimplemented!()
    }
}

/// `resourceVersionMatch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionMatch {
    /// Exactly that version.
    Exact,
    /// At least that version.
    NotOlderThan,
}

/// Options of list, watch and deletecollection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Selects by labels.
    pub label_selector: LabelSelector,
    /// Selects by fields.
    pub field_selector: FieldSelector,
    /// Whether it is a watch.
    pub watch: bool,
    /// Whether bookmarks are wanted.
    pub allow_watch_bookmarks: bool,
    /// The version asked for, or empty.
    pub resource_version: String,
    /// How the version is meant.
    pub resource_version_match: Option<VersionMatch>,
    /// When the server should end the watch, in seconds.
    pub timeout_seconds: Option<u64>,
    /// The size of a page; 0 is no limit.
    pub limit: u64,
    /// The continue token, or empty.
    pub continue_token: String,
    /// Whether a watch begins with the present state and a bookmark after it.
    pub send_initial_events: Option<bool>,
}

/// `fieldValidation`: what happens to unknown and duplicate fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Dropped silently.
    Ignore,
    /// Dropped with a `Warning` header.
    #[default]
    Warn,
    /// Refused.
    Strict,
}

/// Options of create, update and patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Everything but the write itself.
    pub dry_run: bool,
    /// Who manages the fields written, or empty.
    pub field_manager: String,
    /// What happens to unknown fields.
    pub field_validation: FieldValidation,
    /// Only for apply: take fields over from other managers.
    pub force: bool,
}

/// `propagationPolicy` of a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Let dependents go first.
    Orphan,
    /// Dependents are deleted afterwards.
    Background,
    /// Dependents are deleted first.
    Foreground,
}

/// What must be true of an object for the write to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// The UID.
    pub uid: Option<String>,
    /// The resourceVersion.
    pub resource_version: Option<String>,
}

/// Options of delete and deletecollection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Everything but the delete itself.
    pub dry_run: bool,
    /// Seconds of grace; custom resources have none.
    pub grace_period_seconds: Option<i64>,
    /// What must be true of the object.
    pub preconditions: Preconditions,
    /// What happens to dependents; `orphanDependents` is folded in.
    pub propagation: Option<Propagation>,
    /// Whether the answer to a pending delete is 202 (`orphanDependents=false`).
    pub orphan_dependents: Option<bool>,
}

impl ListOptions {
    /// Reads and validates the options of a list or watch: 400 and 422 as upstream.
    pub fn from_query(_query: &Query) -> Result<Self> {
        unimplemented!()
    }
}

impl WriteOptions {
    /// Options of a create.
    pub fn for_create(_query: &Query) -> Result<Self> {
        unimplemented!()
    }
    /// Options of an update.
    pub fn for_update(_query: &Query) -> Result<Self> {
        unimplemented!()
    }
    /// Options of a patch.
    pub fn for_patch(_query: &Query, _type: PatchType) -> Result<Self> {
        unimplemented!()
    }
}

impl DeleteOptions {
    /// Options of a delete: the body (decoded JSON, `None` when empty), or else the query.
    pub fn from_request(_query: &Query, _body: Option<&Value>) -> Result<Self> {
        unimplemented!()
    }
}
