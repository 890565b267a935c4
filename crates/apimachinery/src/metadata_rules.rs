//! Rules of create, update and delete that hold for every kind.

use jiff::Timestamp;
use rand::RngCore;

use crate::field::ErrorList;
use crate::gvk::GroupResource;
use crate::meta::Object;
use crate::options::{DeleteOptions, Preconditions};
use crate::resource::Scope;
use crate::status::Result;

/// What a create needs to know besides the object.
#[derive(Clone, Copy, Debug)]
pub struct CreateContext<'a> {
    /// Whether the resource is namespaced.
    pub scope: Scope,
    /// The namespace of the URL, or empty.
    pub namespace: &'a str,
    /// Whether there is a `status` subresource, so that `status` is dropped.
    pub has_status: bool,
    /// The time of day.
    pub now: Timestamp,
    /// A fresh UUID (version 4).
    pub uid: uuid::Uuid,
}

/// Makes a decoded body a new object: namespace from the URL (400 on a mismatch), name generated if only
/// `generateName` is given, uid, creationTimestamp, generation 1; wipes what only the server sets. 400 with a resourceVersion.
/// On a name collision call [`regenerate_name`] (up to 8 tries) and try again.
pub fn prepare_create(
    _object: &mut Object,
    _context: &CreateContext<'_>,
    _random: &mut dyn RngCore,
) -> Result<()> {
    unimplemented!()
}
/// Gives another name to an object that has `generateName` and came without a name.
pub fn regenerate_name(_object: &mut Object, _random: &mut dyn RngCore) {
    unimplemented!()
}
/// What is wrong with the metadata of a new object.
pub fn validate_create(_object: &Object, _scope: Scope) -> ErrorList {
    unimplemented!()
}

/// Which part of an object an update is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateTarget {
    /// The object; `status` is kept if there is a subresource for it.
    Main {
        /// Whether there is a `status` subresource.
        has_status: bool,
    },
    /// Only `status`.
    Status,
}

/// Checks that the body is about the object of the URL: 400 for another name or namespace.
pub fn check_identity(_object: &mut Object, _name: &str, _namespace: &str) -> Result<()> {
    unimplemented!()
}
/// Makes a decoded body the next version of `old`: fills the fields that clients may leave out, keeps those that they
/// can't change, and sets the generation. 409 for a uid that isn't the object's.
pub fn prepare_update(
    _new: &mut Object,
    _old: &Object,
    _target: UpdateTarget,
    _resource: &GroupResource,
) -> Result<()> {
    unimplemented!()
}
/// What is wrong with the metadata of an updated object.
pub fn validate_update(_new: &Object, _old: &Object) -> ErrorList {
    unimplemented!()
}
/// Warnings for the client about metadata (unqualified finalizers, duplicate owners).
pub fn warnings(_new: &Object, _old: Option<&Object>) -> Vec<String> {
    unimplemented!()
}
/// Whether an update completes a deletion: it was pending, and no finalizer is left.
pub fn completes_deletion(_new: &Object) -> bool {
    unimplemented!()
}
/// Whether an update changes nothing (resourceVersion and managedFields times aside), so that nothing is written.
pub fn is_no_op(_new: &Object, _old: &Object) -> bool {
    unimplemented!()
}

/// 409 unless the preconditions hold.
pub fn check_preconditions(
    _conditions: &Preconditions,
    _object: &Object,
    _resource: &GroupResource,
) -> Result<()> {
    unimplemented!()
}

/// What a delete does.
#[derive(Clone, Debug, PartialEq)]
pub enum Deletion {
    /// Remove the object now.
    Remove,
    /// Store this: finalizers remain.
    Mark(Object),
    /// Nothing changes: the deletion is already pending.
    Pending,
}

/// Decides what a delete does: 409 when a precondition fails.
pub fn prepare_delete(
    _object: &Object,
    _options: &DeleteOptions,
    _resource: &GroupResource,
    _now: Timestamp,
) -> Result<Deletion> {
    unimplemented!()
}
