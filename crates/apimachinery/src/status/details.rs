//! What a failure is about.

use serde_json::{Map, Value};

use crate::field::FieldError;
use crate::gvk::GroupResource;

/// One entry of `details.causes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// Machine-readable reason, such as `FieldValueRequired`.
    pub reason: String,
    /// What is wrong, for people.
    pub message: String,
    /// The field concerned, possibly empty.
    pub field: String,
}

impl From<&FieldError> for Cause {
    fn from(error: &FieldError) -> Self {
        Self {
            reason: error.kind.as_reason().to_owned(),
            message: error.body(),
            field: error.field.clone(),
        }
    }
}

/// `details`: what the failure is about. Empty members aren't sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Name of the object.
    pub name: String,
    /// Group of the resource or kind.
    pub group: String,
    /// The *resource* for most failures, the kind for `Invalid`.
    pub kind: String,
    /// UID of the object.
    pub uid: String,
    /// The single causes.
    pub causes: Vec<Cause>,
    /// When to try again, in seconds; 0 says nothing. Also sent as the header `Retry-After`.
    pub retry_after_seconds: u32,
}

impl Details {
    /// Details that name a resource and, if not empty, an object of it.
    pub fn of(resource: &GroupResource, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            group: resource.group.clone(),
            kind: resource.resource.clone(),
            ..Self::default()
        }
    }

    pub(super) fn to_value(&self) -> Value {
        let mut body = Map::new();
        for (key, text) in [
            ("name", &self.name),
            ("group", &self.group),
            ("kind", &self.kind),
            ("uid", &self.uid),
        ] {
            if !text.is_empty() {
                body.insert(key.into(), text.as_str().into());
            }
        }
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(Cause::to_value).collect();
            body.insert("causes".into(), Value::Array(causes));
        }
        if self.retry_after_seconds > 0 {
            body.insert("retryAfterSeconds".into(), self.retry_after_seconds.into());
        }
        Value::Object(body)
    }
}

impl Cause {
    pub(super) fn to_value(&self) -> Value {
        let mut body = Map::new();
        for (key, text) in [
            ("reason", &self.reason),
            ("message", &self.message),
            ("field", &self.field),
        ] {
            if !text.is_empty() {
                body.insert(key.into(), text.as_str().into());
            }
        }
        Value::Object(body)
    }
}
