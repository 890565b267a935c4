//! Options of requests: what the query parameters (and the body of a delete) ask for.
//!
//! Parsing and validation are one step, so that an options value that exists is valid. A parameter that can't be
//! read is 400; one that breaks a rule is 422 `<Kind>Options.meta.k8s.io "" is invalid: …`. Parameters that aren't
//! known are ignored.

mod delete;
mod list;
mod query;
mod write;

pub use delete::{DeleteOptions, Preconditions, Propagation};
pub use list::{ListOptions, VersionMatch};
pub use query::Query;
pub use write::{FIELD_MANAGER_MAX, FieldValidation, WriteOptions, field_manager_from_user_agent};

use crate::field::ErrorList;
use crate::gvk::GroupKind;
use crate::status::{Result, Status};

/// 422 for options of a kind, unless there is nothing wrong with them.
fn check(kind: &str, errors: ErrorList) -> Result<()> {
    errors
        .into_result()
        .map_err(|errors| Status::invalid(&GroupKind::new("meta.k8s.io", kind), "", &errors))
}
