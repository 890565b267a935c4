//! Rules of create, update and delete that hold for every kind.
//!
//! A write goes through *prepare* (what the server sets, keeps or drops, whatever the client sent) and *validate*
//! (what the client may not send); both are pure. The caller holds the object as it is stored, calls them, and
//! writes under the condition that the stored object hasn't changed meanwhile; if it has, it calls them again with
//! the newer one.
//!
//! Rules worth knowing:
//! 1. `generation` starts at 1 and grows by one when anything outside `metadata` (and outside a `status` that has
//!    its own subresource) changes, and when a deletion begins. A write to `status` never changes it.
//! 2. uid, creationTimestamp, name and namespace never change; deletionTimestamp, once set, never changes.
//! 3. While a deletion is pending, finalizers can only be removed. The write that removes the last one is the
//!    deletion.

mod create;
mod delete;
mod update;
mod validate;

pub use create::{CreateContext, NAME_TRIES, prepare_create, regenerate_name};
pub use delete::{Deletion, check_preconditions, prepare_delete};
pub use update::{UpdateTarget, check_identity, completes_deletion, is_no_op, prepare_update};
pub use validate::{
    ANNOTATIONS_MAX, dedup_owner_references, validate_create, validate_create_named,
    validate_embedded, validate_update, warnings,
};
