//! Users as Kubernetes knows them, and the names and groups that have a meaning of their own.

use std::collections::BTreeMap;

/// Group of everybody who may do everything, whatever the authorizer says.
pub const MASTERS: &str = "system:masters";
/// Group of every user whose credential was accepted.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Group of the anonymous user.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Name of the user who showed no credential.
pub const ANONYMOUS: &str = "system:anonymous";

/// An identity, as `SubjectAccessReview` and `TokenReview` carry it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserInfo {
    /// User name, such as `system:serviceaccount:kube-system:namespace-controller`.
    pub name: String,
    /// Identifier that outlives a change of name; often empty.
    pub uid: String,
    /// Groups, in the order in which they were given.
    pub groups: Vec<String>,
    /// Further attributes; keys are lower case.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// A user with a name and groups.
    #[must_use]
    pub fn new(name: impl Into<String>, groups: impl IntoIterator<Item = String>) -> Self {
        Self {
            name: name.into(),
            groups: groups.into_iter().collect(),
            ..Self::default()
        }
    }

    /// The user of requests without a credential.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new(ANONYMOUS, [UNAUTHENTICATED.to_owned()])
    }

    /// Whether the user is in a group.
    #[must_use]
    pub fn is_in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    /// The same user, with `system:authenticated` among the groups.
    #[must_use]
    pub fn authenticated(mut self) -> Self {
        if !self.is_in_group(AUTHENTICATED) && !self.is_in_group(UNAUTHENTICATED) {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }
}
