//! Authorization: may they.
//!
//! In this order: members of `system:masters` may do everything; paths that are always allowed are; the rest
//! is asked of the host cluster (`SubjectAccessReview`), whose answers are remembered for a short time.
//! An aggregator in front is never assumed to have asked, because direct callers exist.
//!
//! Invariants:
//! - **Z1** An authorizer that can't answer is an error (500), never "allowed" and never "denied".
//! - **Z2** Errors are not remembered.
//! - **Z3** A view of a shared resource is asked for under the *shared* group's name: rights on a
//!   cluster's own leases give none on the fleet's.

mod review;

use std::sync::Arc;

use crate::authn::UserInfo;
use crate::authn::user::MASTERS;
use crate::config::Authorization;
use crate::host::{self, HostError};
use crate::request_info::RequestInfo;
use review::Reviewer;

/// What is asked of the authorizer.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    /// Who.
    pub user: &'a UserInfo,
    /// What, as the path says.
    pub info: &'a RequestInfo,
    /// Group to ask for instead of the path's, for views of a shared resource.
    pub group: &'a str,
    /// Resource to ask for instead of the path's, likewise.
    pub resource: &'a str,
    /// Field selector of a list, watch or deletecollection; empty if none.
    pub field_selector: &'a str,
    /// Label selector, likewise.
    pub label_selector: &'a str,
}

/// The authorizer's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// They may.
    Allowed,
    /// They may not; the reason is for the client and may be empty.
    Denied(String),
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("asking the host cluster whether the request is allowed")]
pub struct AuthorizationError(#[source] Arc<kube::Error>);

/// Decides what identities may do.
pub struct Authorizer {
    always_allow: Vec<String>,
    mode: Mode,
}

enum Mode {
    Everything,
    MastersOnly,
    Delegated(Box<Reviewer>),
}

impl Authorizer {
    /// Prepares an authorizer. Nothing is asked yet.
    ///
    /// # Errors
    /// [`HostError`] when the host cluster's client can't be built.
    pub async fn new(config: &Authorization) -> Result<Self, HostError> {
        let (always_allow, mode) = match config {
            Authorization::AlwaysAllow => (Vec::new(), Mode::Everything),
            Authorization::MastersOnly { always_allow_paths } => {
                (always_allow_paths.clone(), Mode::MastersOnly)
            }
            Authorization::Delegated {
                kubeconfig,
                always_allow_paths,
                allowed_ttl,
                denied_ttl,
            } => {
                let mode = match host::client(kubeconfig).await? {
                    Some(client) => {
                        Mode::Delegated(Box::new(Reviewer::new(client, *allowed_ttl, *denied_ttl)))
                    }
                    None => Mode::MastersOnly,
                };
                (always_allow_paths.clone(), mode)
            }
        };
        Ok(Self { always_allow, mode })
    }

    /// Whether the user may do it.
    ///
    /// # Errors
    /// [`AuthorizationError`] when nobody could be asked (Z1).
    pub async fn authorize(
        &self,
        attributes: &Attributes<'_>,
    ) -> Result<Decision, AuthorizationError> {
        if attributes.user.is_in_group(MASTERS) {
            return Ok(Decision::Allowed);
        }
        let info = attributes.info;
        if info.target.is_none() && self.is_always_allowed(&info.path) {
            return Ok(Decision::Allowed);
        }
        match &self.mode {
            Mode::Everything => Ok(Decision::Allowed),
            Mode::MastersOnly => Ok(Decision::Denied(String::new())),
            Mode::Delegated(reviewer) => reviewer
                .review(attributes)
                .await
                .map_err(AuthorizationError),
        }
    }

    fn is_always_allowed(&self, path: &str) -> bool {
        let path = path.trim_start_matches('/');
        self.always_allow.iter().any(|allowed| {
            let allowed = allowed.trim_start_matches('/');
            match allowed.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => path == allowed,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    async fn decide(config: Authorization, groups: &[&str], path: &str) -> Decision {
        let user = UserInfo::new("u", groups.iter().map(|group| (*group).to_owned()));
        let info = RequestInfo::parse(&Method::GET, path, "");
        let attributes = Attributes {
            user: &user,
            info: &info,
            group: "",
            resource: "",
            field_selector: "",
            label_selector: "",
        };
        let authorizer = Authorizer::new(&config).await.expect("no client");
        authorizer.authorize(&attributes).await.expect("answers")
    }

    fn masters_only() -> Authorization {
        let always_allow_paths = vec!["/healthz".into(), "/public/*".into()];
        Authorization::MastersOnly { always_allow_paths }
    }

    #[tokio::test]
    async fn masters_may_do_everything_and_others_nothing() {
        let widgets = "/apis/g/v1/widgets";
        assert_eq!(
            decide(masters_only(), &[MASTERS], widgets).await,
            Decision::Allowed
        );
        let denied = Decision::Denied(String::new());
        assert_eq!(decide(masters_only(), &["dev"], widgets).await, denied);
    }

    #[tokio::test]
    async fn always_allowed_paths_match_exactly_or_by_prefix() {
        let denied = Decision::Denied(String::new());
        assert_eq!(
            decide(masters_only(), &[], "/healthz").await,
            Decision::Allowed
        );
        assert_eq!(decide(masters_only(), &[], "/healthz/x").await, denied);
        assert_eq!(
            decide(masters_only(), &[], "/public/x/y").await,
            Decision::Allowed
        );
    }
}
