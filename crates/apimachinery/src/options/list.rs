//! Options of list, watch and deletecollection.

use super::{Query, check};
use crate::field::{ErrorList, FieldError, Path};
use crate::selector::{FieldSelector, LabelSelector};
use crate::status::Result;

/// `resourceVersionMatch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionMatch {
    /// Exactly that version.
    Exact,
    /// At least that version.
    NotOlderThan,
}

/// Options of list, watch and deletecollection. `resource_version` decides what is read, see
/// `read_at` and `watch_from`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Selects by labels.
    pub label_selector: LabelSelector,
    /// Selects by fields; which fields there are is up to the resource (`check_supported`).
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

impl ListOptions {
    /// Reads and validates the options of a list or watch: 400 for what can't be read, 422 for what
    /// doesn't go together.
    pub fn from_query(query: &Query) -> Result<Self> {
        let positive = |key: &str| -> Result<Option<u64>> {
            Ok(query.number(key)?.and_then(|n| u64::try_from(n).ok()))
        };
        let options = Self {
            label_selector: LabelSelector::parse(query.text("labelSelector"))?,
            field_selector: FieldSelector::parse(query.text("fieldSelector"))?,
            watch: query.flag("watch"),
            allow_watch_bookmarks: query.flag("allowWatchBookmarks"),
            resource_version: query.text("resourceVersion").to_owned(),
            resource_version_match: match query.text("resourceVersionMatch") {
                "Exact" => Some(VersionMatch::Exact),
                "NotOlderThan" => Some(VersionMatch::NotOlderThan),
                _ => None,
            },
            timeout_seconds: positive("timeoutSeconds")?,
            limit: positive("limit")?.unwrap_or(0),
            continue_token: query.text("continue").to_owned(),
            send_initial_events: query.optional_flag("sendInitialEvents"),
        };
        let version_match = query.text("resourceVersionMatch");
        let errors = if options.watch {
            options.watch_errors(version_match)
        } else {
            options.list_errors(version_match)
        };
        check("ListOptions", errors)?;
        Ok(options)
    }

    fn list_errors(&self, version_match: &str) -> ErrorList {
        let path = Path::new("resourceVersionMatch");
        let mut errors = ErrorList::new();
        if !version_match.is_empty() {
            if self.resource_version.is_empty() {
                errors.push(FieldError::forbidden(
                    &path,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            errors.append(self.match_with_continue(&path));
            if self.resource_version_match.is_none() {
                errors.push(FieldError::not_supported(
                    &path,
                    version_match,
                    &["Exact", "NotOlderThan", ""],
                ));
            }
            if self.resource_version_match == Some(VersionMatch::Exact)
                && self.resource_version == "0"
            {
                errors.push(FieldError::forbidden(
                    &path,
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
        }
        if self.send_initial_events.is_some() {
            errors.push(FieldError::forbidden(
                &Path::new("sendInitialEvents"),
                "sendInitialEvents is forbidden for list",
            ));
        }
        errors
    }

    fn watch_errors(&self, version_match: &str) -> ErrorList {
        let path = Path::new("resourceVersionMatch");
        let not_older = self.resource_version_match == Some(VersionMatch::NotOlderThan);
        let mut errors = ErrorList::new();
        if self.send_initial_events.is_some() && !not_older {
            errors.push(FieldError::forbidden(
                &path,
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        if !version_match.is_empty() {
            if self.send_initial_events.is_none() {
                errors.push(FieldError::forbidden(
                    &path,
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                ));
            }
            if !not_older {
                errors.push(FieldError::not_supported(
                    &path,
                    version_match,
                    &["NotOlderThan"],
                ));
            }
            errors.append(self.match_with_continue(&path));
        }
        errors
    }

    fn match_with_continue(&self, path: &Path<'_>) -> ErrorList {
        if self.continue_token.is_empty() {
            return ErrorList::new();
        }
        FieldError::forbidden(
            path,
            "resourceVersionMatch is forbidden when continue is provided",
        )
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &str) -> Result<ListOptions> {
        ListOptions::from_query(&Query::parse(raw))
    }

    #[test]
    fn what_kubectl_wait_sends_is_understood() {
        let options = parse(
            "allowWatchBookmarks=true&fieldSelector=metadata.name%3Da&resourceVersion=110&timeoutSeconds=375&watch=true",
        )
        .unwrap();
        assert!(options.watch && options.allow_watch_bookmarks);
        assert_eq!(
            options.field_selector.required_value("metadata.name"),
            Some("a")
        );
        assert_eq!(options.timeout_seconds, Some(375));
    }

    #[test]
    fn what_cannot_be_read_is_400() {
        for raw in [
            "limit=x",
            "labelSelector=a%20b",
            "fieldSelector=abc",
            "timeoutSeconds=1s",
        ] {
            assert_eq!(parse(raw).unwrap_err().code(), 400, "{raw}");
        }
    }

    #[test]
    fn rules_between_parameters_are_422() {
        let prefix = "ListOptions.meta.k8s.io \"\" is invalid: ";
        for (raw, message) in [
            (
                "resourceVersionMatch=Exact",
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            ),
            (
                "resourceVersionMatch=Exact&resourceVersion=0",
                "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ),
            (
                "resourceVersionMatch=NotOlderThan&resourceVersion=1&continue=x",
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided",
            ),
            (
                "resourceVersionMatch=Foo&resourceVersion=1",
                "resourceVersionMatch: Unsupported value: \"Foo\": supported values: \"Exact\", \"NotOlderThan\", \"\"",
            ),
            (
                "sendInitialEvents=true",
                "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
            ),
            (
                "watch=1&sendInitialEvents=true",
                "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ),
            (
                "watch=1&resourceVersionMatch=NotOlderThan",
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ),
        ] {
            let status = parse(raw).unwrap_err();
            assert_eq!(status.code(), 422);
            assert_eq!(status.message(), format!("{prefix}{message}"));
        }
        parse("watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan").unwrap();
    }
}
