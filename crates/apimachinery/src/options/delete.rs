//! Options of delete and deletecollection.

use serde_json::Value;

use super::write::dry_run_errors;
use super::{Query, check};
use crate::field::{ErrorList, FieldError, Path};
use crate::gvk::GroupVersion;
use crate::status::{Result, Status};
use crate::text::quote;

/// `propagationPolicy` of a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Dependents are let go first.
    Orphan,
    /// Dependents are deleted afterwards.
    Background,
    /// Dependents are deleted first.
    Foreground,
}

/// What must be true of an object for a write to happen.
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
    /// Seconds of grace; custom resources have none, so it is read and has no effect.
    pub grace_period_seconds: Option<i64>,
    /// What must be true of the object.
    pub preconditions: Preconditions,
    /// What happens to dependents; the older `orphanDependents` is folded in.
    pub propagation: Option<Propagation>,
    /// The older form of `propagation`. `Some(false)` makes the answer to a pending delete 202.
    pub orphan_dependents: Option<bool>,
}

impl DeleteOptions {
    /// Options of a delete: those of the body (decoded, `None` when empty), or else those of the query.
    pub fn from_request(query: &Query, body: Option<&Value>) -> Result<Self> {
        match body {
            Some(body) => Self::from_body(body),
            None => Self::from_query(query),
        }
    }

    fn from_query(query: &Query) -> Result<Self> {
        let dry_run: Vec<&str> = query.get_all("dryRun").collect();
        Self::validated(
            &dry_run,
            query.number("gracePeriodSeconds")?,
            Preconditions {
                uid: query.get("preconditions.uid").map(str::to_owned),
                resource_version: query
                    .get("preconditions.resourceVersion")
                    .map(str::to_owned),
            },
            query.get("propagationPolicy"),
            query.optional_flag("orphanDependents"),
        )
    }

    fn from_body(body: &Value) -> Result<Self> {
        let Some(map) = body.as_object() else {
            return Err(Status::bad_request(
                "couldn't get version/kind; json parse error: the body is not a JSON object",
            ));
        };
        let text = |key: &str| map.get(key).and_then(Value::as_str);
        let kind = text("kind").unwrap_or("DeleteOptions");
        if kind != "DeleteOptions"
            || GroupVersion::parse(text("apiVersion").unwrap_or("v1")).is_err()
        {
            return Err(Status::bad_request(format!(
                "decoded object cannot be converted to DeleteOptions: the body is a {}",
                quote(kind)
            )));
        }
        let wrong =
            |key: &str| Status::bad_request(format!("DeleteOptions: {key} has the wrong type"));
        let given = |key: &str| map.get(key).filter(|v| !v.is_null());
        let dry_run: Vec<&str> = match given("dryRun") {
            None => Vec::new(),
            Some(list) => list
                .as_array()
                .and_then(|list| list.iter().map(Value::as_str).collect())
                .ok_or_else(|| wrong("dryRun"))?,
        };
        let grace = given("gracePeriodSeconds")
            .map(|v| v.as_i64().ok_or_else(|| wrong("gracePeriodSeconds")))
            .transpose()?;
        let policy = given("propagationPolicy")
            .map(|v| v.as_str().ok_or_else(|| wrong("propagationPolicy")))
            .transpose()?;
        let orphan = given("orphanDependents")
            .map(|v| v.as_bool().ok_or_else(|| wrong("orphanDependents")))
            .transpose()?;
        let precondition = |key: &str| -> Result<Option<String>> {
            given("preconditions")
                .and_then(|p| p.get(key))
                .filter(|v| !v.is_null())
                .map(|v| {
                    v.as_str()
                        .map(str::to_owned)
                        .ok_or_else(|| wrong("preconditions"))
                })
                .transpose()
        };
        Self::validated(
            &dry_run,
            grace,
            Preconditions {
                uid: precondition("uid")?,
                resource_version: precondition("resourceVersion")?,
            },
            policy,
            orphan,
        )
    }

    fn validated(
        dry_run: &[&str],
        grace_period_seconds: Option<i64>,
        preconditions: Preconditions,
        policy: Option<&str>,
        orphan_dependents: Option<bool>,
    ) -> Result<Self> {
        let path = Path::new("propagationPolicy");
        let mut errors = ErrorList::new();
        if let (Some(policy), Some(_)) = (policy, orphan_dependents) {
            errors.push(FieldError::invalid(
                &path,
                policy,
                "orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        let mut propagation = match policy {
            None => None,
            Some("Orphan") => Some(Propagation::Orphan),
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some(other) => {
                errors.push(FieldError::not_supported(
                    &path,
                    other,
                    &["Foreground", "Background", "Orphan", "nil"],
                ));
                None
            }
        };
        errors.append(dry_run_errors(dry_run));
        check("DeleteOptions", errors)?;
        if let Some(orphan) = orphan_dependents {
            propagation = Some(if orphan {
                Propagation::Orphan
            } else {
                Propagation::Background
            });
        }
        Ok(Self {
            dry_run: !dry_run.is_empty(),
            grace_period_seconds,
            preconditions,
            propagation,
            orphan_dependents,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_body_wins_over_the_query() {
        let query = Query::parse("propagationPolicy=Orphan&dryRun=All");
        let options = DeleteOptions::from_request(&query, None).unwrap();
        assert_eq!(options.propagation, Some(Propagation::Orphan));
        assert!(options.dry_run);
        let body = json!({
            "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background",
            "preconditions": {"uid": "u", "resourceVersion": "3"}, "gracePeriodSeconds": 0,
        });
        let options = DeleteOptions::from_request(&query, Some(&body)).unwrap();
        assert_eq!(options.propagation, Some(Propagation::Background));
        assert_eq!(options.preconditions.uid.as_deref(), Some("u"));
        assert!(!options.dry_run);
    }

    #[test]
    fn old_and_new_propagation_together_are_refused() {
        let body = json!({"propagationPolicy": "Orphan", "orphanDependents": true});
        let status = DeleteOptions::from_request(&Query::default(), Some(&body)).unwrap_err();
        assert_eq!(
            status.message(),
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Orphan\": orphanDependents and deletionPropagation cannot be both set"
        );
        let body = json!({"propagationPolicy": "X"});
        let status = DeleteOptions::from_request(&Query::default(), Some(&body)).unwrap_err();
        assert_eq!(status.code(), 422);
    }

    #[test]
    fn bodies_of_other_shapes_are_400() {
        for body in [
            json!([]),
            json!({"kind": "Widget"}),
            json!({"dryRun": "All"}),
            json!({"gracePeriodSeconds": "x"}),
            json!({"preconditions": {"uid": 3}}),
        ] {
            let status = DeleteOptions::from_request(&Query::default(), Some(&body)).unwrap_err();
            assert_eq!(status.code(), 400, "{body}");
        }
    }

    #[test]
    fn old_propagation_is_folded_in() {
        for (value, expected) in [
            (true, Propagation::Orphan),
            (false, Propagation::Background),
        ] {
            let body = json!({"orphanDependents": value});
            let options = DeleteOptions::from_request(&Query::default(), Some(&body)).unwrap();
            assert_eq!(options.propagation, Some(expected));
        }
    }
}
