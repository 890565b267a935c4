//! The rules of Kubernetes objects, without any input or output.
//!
//! Everything that an API server decides about an object before it is stored and after it is read is here as
//! pure functions over values: names and metadata, selectors, options, patches, structural schemas, tables,
//! discovery and OpenAPI documents, and the exact words of every error. There is no clock, no socket and no task:
//! the time of day and randomness come in as arguments, so that everything can be tested with a table of
//! inputs and outputs.
//!
//! Invariants:
//! 1. No function panics, whatever JSON it is given; depth is bounded by the decoder ([`json`]).
//! 2. An error that a user can cause is a [`status::Status`] or a [`field::ErrorList`] with the words that
//!    Kubernetes uses; nobody else composes such words.
//! 3. An object stays a JSON map; what this crate doesn't know it carries along unchanged.
//!
//! It will not read or write anything, keep state between calls, or know about clusters and stores.

pub mod builtin;
pub mod continue_token;
pub mod crd;
pub mod discovery;
pub mod event;
pub mod field;
pub mod gvk;
pub mod json;
pub mod jsonpath;
pub mod lease;
pub mod lease_candidate;
pub mod meta;
pub mod metadata_rules;
pub mod names;
pub mod openapi;
pub mod options;
pub mod patch;
pub mod resource;
pub mod resource_version;
pub mod schema;
pub mod selector;
pub mod status;
pub mod table;
mod text;
pub mod unknown;

pub use field::{ErrorList, FieldError, Path};
pub use gvk::{GroupKind, GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
pub use meta::Object;
pub use resource::{Scope, ServedResource, ServedSubresource, ServedVersion};
pub use status::Status;
