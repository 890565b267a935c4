//! `Status`: the one shape of every error answer, with a constructor for each case.
//!
//! Texts are part of the contract: clients and people match on them, so every message that
//! Kubernetes' own servers produce is produced here in the same words, and only here.

mod denied;
mod details;
mod reason;

use std::fmt;

use serde_json::{Map, Value, json};

use crate::field::ErrorList;
use crate::gvk::{GroupKind, GroupResource};
use crate::text::quote;

pub use denied::{Attempt, denied_path};
pub use details::{Cause, Details};
pub use reason::Reason;

/// Text of a conflict caused by a stale resourceVersion.
pub const OBJECT_MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// Cause type of a 504 for a resourceVersion that the server hasn't reached.
pub const CAUSE_RESOURCE_VERSION_TOO_LARGE: &str = "ResourceVersionTooLarge";

/// Cause type of a 403 for a create in a namespace that is being deleted.
pub const CAUSE_NAMESPACE_TERMINATING: &str = "NamespaceTerminating";

/// A failure as the client gets it. Small enough to travel as the error of a `Result`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    code: u16,
    reason: Reason,
    message: String,
    details: Option<Box<Details>>,
    continue_token: Option<Box<str>>,
}

/// Result with a [`Status`] as its error.
pub type Result<T, E = Status> = std::result::Result<T, E>;

impl Status {
    /// A failure without details.
    pub fn new(code: u16, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
            continue_token: None,
        }
    }

    /// Adds or replaces the details.
    #[must_use]
    pub fn with_details(mut self, details: Details) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// Adds one cause.
    #[must_use]
    pub fn with_cause(mut self, reason: &str, message: impl Into<String>) -> Self {
        self.details.get_or_insert_default().causes.push(Cause {
            reason: reason.to_owned(),
            message: message.into(),
            field: String::new(),
        });
        self
    }

    /// Sets when to try again, in seconds.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// Puts words before the message.
    #[must_use]
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        self.message.insert_str(0, prefix);
        self
    }

    /// The HTTP status code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The class of failure.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The message for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the failure is about.
    pub fn details(&self) -> Option<&Details> {
        self.details.as_deref()
    }

    /// When to try again, in seconds, for the header `Retry-After`.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.details
            .as_ref()
            .map(|d| d.retry_after_seconds)
            .filter(|s| *s > 0)
    }

    /// The body of the answer.
    pub fn to_value(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(token) = &self.continue_token {
            metadata.insert("continue".into(), Value::from(&**token));
        }
        let mut body = Map::new();
        body.insert("kind".into(), "Status".into());
        body.insert("apiVersion".into(), "v1".into());
        body.insert("metadata".into(), Value::Object(metadata));
        body.insert("status".into(), "Failure".into());
        if !self.message.is_empty() {
            body.insert("message".into(), self.message.as_str().into());
        }
        if self.reason != Reason::Unknown {
            body.insert("reason".into(), self.reason.as_str().into());
        }
        if let Some(details) = &self.details {
            body.insert("details".into(), details.to_value());
        }
        body.insert("code".into(), self.code.into());
        Value::Object(body)
    }

    /// 400: the request can't be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, Reason::BadRequest, message)
    }

    /// 401: no valid credentials.
    pub fn unauthorized() -> Self {
        Self::new(401, Reason::Unauthorized, "Unauthorized")
    }

    /// 403 for any cause: `widgets.g "n" is forbidden: <why>`.
    pub fn forbidden(resource: &GroupResource, name: &str, why: impl fmt::Display) -> Self {
        let message = if resource.resource.is_empty() && resource.group.is_empty() {
            format!("forbidden: {why}")
        } else if name.is_empty() {
            format!("{resource} is forbidden: {why}")
        } else {
            format!("{resource} {} is forbidden: {why}", quote(name))
        };
        Self::new(403, Reason::Forbidden, message).with_details(Details::of(resource, name))
    }

    /// 404: no such object.
    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::new(
            404,
            Reason::NotFound,
            format!("{resource} {} not found", quote(name)),
        )
        .with_details(Details::of(resource, name))
    }

    /// 404 for a path that names no resource that is served.
    pub fn unknown_resource() -> Self {
        Self::new(
            404,
            Reason::NotFound,
            "the server could not find the requested resource",
        )
        .with_details(Details::default())
    }

    /// 405: the verb isn't served for this resource.
    pub fn method_not_allowed(resource: &GroupResource, action: &str) -> Self {
        Self::new(
            405,
            Reason::MethodNotAllowed,
            format!(
                "{action} is not supported on resources of kind {}",
                quote(&resource.to_string())
            ),
        )
        .with_details(Details::of(resource, ""))
    }

    /// 406: none of the accepted media types can be produced.
    pub fn not_acceptable(offered: &[&str]) -> Self {
        Self::new(
            406,
            Reason::NotAcceptable,
            format!(
                "only the following media types are accepted: {}",
                offered.join(", ")
            ),
        )
    }

    /// 415: the body's media type isn't understood.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        Self::new(
            415,
            Reason::UnsupportedMediaType,
            format!(
                "the body of the request was in an unknown format - accepted media types include: {}",
                accepted.join(", ")
            ),
        )
    }

    /// 409: the name is taken.
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Self::new(
            409,
            Reason::AlreadyExists,
            format!("{resource} {} already exists", quote(name)),
        )
        .with_details(Details::of(resource, name))
    }

    /// 409: every generated name was taken.
    pub fn generate_name_conflict(resource: &GroupResource, name: &str) -> Self {
        let message = format!(
            "{resource} {} already exists, the server was not able to generate a unique name for the object",
            quote(name)
        );
        Self::new(409, Reason::AlreadyExists, message)
            .with_details(Details::of(resource, name))
            .with_retry_after(1)
    }

    /// 409 for any cause: `Operation cannot be fulfilled on widgets.g "n": <why>`.
    pub fn conflict(resource: &GroupResource, name: &str, why: impl fmt::Display) -> Self {
        Self::new(
            409,
            Reason::Conflict,
            format!(
                "Operation cannot be fulfilled on {resource} {}: {why}",
                quote(name)
            ),
        )
        .with_details(Details::of(resource, name))
    }

    /// 409: the resourceVersion given is stale.
    pub fn object_modified(resource: &GroupResource, name: &str) -> Self {
        Self::conflict(resource, name, OBJECT_MODIFIED)
    }

    /// 410: the history asked for has been compacted.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, Reason::Expired, message)
    }

    /// 410 for a watch whose resourceVersion has been compacted.
    pub fn expired_watch() -> Self {
        Self::expired("The resourceVersion for the provided watch is too old.")
    }

    /// 410 for a list at an exact resourceVersion that has been compacted.
    pub fn expired_list() -> Self {
        Self::expired("The resourceVersion for the provided list is too old.")
    }

    /// 410 for a continue token whose resourceVersion has been compacted. `fresh` is a token that goes
    /// on from the same key at the latest version.
    pub fn expired_continue(fresh: Option<&str>) -> Self {
        let mut status = Self::expired(match fresh {
            Some(_) => {
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list."
            }
            None => {
                "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter."
            }
        });
        status.continue_token = fresh.map(Into::into);
        status
    }

    /// 413: the body, or what it would make the server do, is too large.
    pub fn too_large(why: impl fmt::Display) -> Self {
        Self::new(
            413,
            Reason::RequestEntityTooLarge,
            format!("Request entity is too large: {why}"),
        )
    }

    /// 422: the object breaks rules; one cause for each error.
    pub fn invalid(kind: &GroupKind, name: &str, errors: &ErrorList) -> Self {
        let message = if errors.is_empty() {
            format!("{kind} {} is invalid", quote(name))
        } else {
            format!("{kind} {} is invalid: {errors}", quote(name))
        };
        Self::new(422, Reason::Invalid, message).with_details(Details {
            name: name.to_owned(),
            group: kind.group.clone(),
            kind: kind.kind.clone(),
            causes: errors.iter().map(Cause::from).collect(),
            ..Details::default()
        })
    }

    /// 422 for a patch that can't be applied.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(422, Reason::Invalid, message)
    }

    /// 429: try again later.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(429, Reason::TooManyRequests, message).with_retry_after(retry_after_seconds)
    }

    /// 500: not the client's fault.
    pub fn internal(error: impl fmt::Display) -> Self {
        Self::new(
            500,
            Reason::InternalError,
            format!("Internal error occurred: {error}"),
        )
        .with_cause("", error.to_string())
    }

    /// 503: not able to serve now.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::new(503, Reason::ServiceUnavailable, message)
    }

    /// 504: not done in time; it may still happen.
    pub fn timeout(message: impl fmt::Display, retry_after_seconds: u32) -> Self {
        Self::new(504, Reason::Timeout, format!("Timeout: {message}"))
            .with_retry_after(retry_after_seconds)
    }

    /// 504: whether it was done isn't known. Without `Retry-After`, because client-go sends again by itself
    /// whatever comes with one, and a write that did happen would then fail on its own effect.
    pub fn timeout_undecided(message: impl fmt::Display) -> Self {
        Self::new(504, Reason::Timeout, format!("Timeout: {message}"))
    }

    /// 504: a resourceVersion that the server hasn't seen yet.
    pub fn resource_version_too_large(asked: u64, current: u64) -> Self {
        Self::timeout(
            format_args!("Too large resource version: {asked}, current: {current}"),
            1,
        )
        .with_cause(
            CAUSE_RESOURCE_VERSION_TOO_LARGE,
            "Too large resource version",
        )
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

/// The answer to a delete that removed the object.
pub fn deleted(resource: &GroupResource, name: &str, uid: &str) -> Value {
    let details = Details {
        uid: uid.to_owned(),
        ..Details::of(resource, name)
    };
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details.to_value(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{FieldError, Path};

    fn widgets() -> GroupResource {
        GroupResource::new("g.io", "widgets")
    }

    #[test]
    fn messages_are_the_ones_clients_know() {
        let cases = [
            (
                Status::not_found(&widgets(), "a"),
                404,
                "widgets.g.io \"a\" not found",
            ),
            (
                Status::already_exists(&widgets(), "a"),
                409,
                "widgets.g.io \"a\" already exists",
            ),
            (
                Status::object_modified(&widgets(), "a"),
                409,
                "Operation cannot be fulfilled on widgets.g.io \"a\": the object has been modified; please apply your changes to the latest version and try again",
            ),
            (
                Status::resource_version_too_large(9, 3),
                504,
                "Timeout: Too large resource version: 9, current: 3",
            ),
            (
                Status::method_not_allowed(&widgets(), "patch"),
                405,
                "patch is not supported on resources of kind \"widgets.g.io\"",
            ),
        ];
        for (status, code, message) in cases {
            assert_eq!(status.code(), code);
            assert_eq!(status.message(), message);
        }
    }

    #[test]
    fn invalid_lists_its_causes() {
        let errors: ErrorList = FieldError::required(&Path::new("spec").child("x"), "").into();
        let body = Status::invalid(&GroupKind::new("g.io", "Widget"), "n", &errors).to_value();
        assert_eq!(
            body,
            json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "Widget.g.io \"n\" is invalid: spec.x: Required value",
                "reason": "Invalid",
                "details": {
                    "name": "n", "group": "g.io", "kind": "Widget",
                    "causes": [{
                        "reason": "FieldValueRequired", "message": "Required value", "field": "spec.x"
                    }],
                },
                "code": 422,
            })
        );
    }

    #[test]
    fn expired_continue_carries_a_fresh_token() {
        let body = Status::expired_continue(Some("abc")).to_value();
        assert_eq!(body["metadata"]["continue"], "abc");
        assert_eq!(body["code"], 410);
        assert_eq!(body["reason"], "Expired");
    }

    #[test]
    fn a_delete_names_the_resource_as_kind() {
        assert_eq!(
            deleted(&widgets(), "a", "u1")["details"],
            json!({"name": "a", "group": "g.io", "kind": "widgets", "uid": "u1"})
        );
    }
}
