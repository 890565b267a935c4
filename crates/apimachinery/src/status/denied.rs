//! The words of a 403 by an authorizer.

use super::Status;
use crate::gvk::GroupResource;
use crate::text::quote;

/// What a request wants to do, for the text of a 403.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Who asks.
    pub user: &'a str,
    /// The verb, such as `list`.
    pub verb: &'a str,
    /// The resource.
    pub resource: GroupResource,
    /// The subresource, or empty.
    pub subresource: &'a str,
    /// The namespace, or empty for the cluster scope.
    pub namespace: &'a str,
    /// The object's name, or empty.
    pub name: &'a str,
}

impl Attempt<'_> {
    /// 403 as an authorizer gives it: `widgets.g is forbidden: User "u" cannot list resource "widgets" in
    /// API group "g" in the namespace "n"`, followed by the authorizer's reason if it gave one.
    pub fn denied(&self, reason: &str) -> Status {
        let mut resource = self.resource.resource.clone();
        if !self.subresource.is_empty() {
            resource.push('/');
            resource.push_str(self.subresource);
        }
        let place = if self.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {}", quote(self.namespace))
        };
        let mut why = format!(
            "User {} cannot {} resource {} in API group {} {place}",
            quote(self.user),
            self.verb,
            quote(&resource),
            quote(&self.resource.group),
        );
        if !reason.is_empty() {
            why.push_str(": ");
            why.push_str(reason);
        }
        Status::forbidden(&self.resource, self.name, why)
    }
}

/// 403 for a path outside the resources: `forbidden: User "u" cannot get path "/metrics"`.
pub fn denied_path(user: &str, verb: &str, path: &str, reason: &str) -> Status {
    let mut why = format!("User {} cannot {verb} path {}", quote(user), quote(path));
    if !reason.is_empty() {
        why.push_str(": ");
        why.push_str(reason);
    }
    Status::forbidden(&GroupResource::default(), "", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widgets() -> GroupResource {
        GroupResource::new("g.io", "widgets")
    }

    #[test]
    fn denials_name_user_verb_resource_and_place() {
        let attempt = Attempt {
            user: "u",
            verb: "get",
            resource: widgets(),
            subresource: "status",
            namespace: "n",
            name: "a",
        };
        assert_eq!(
            attempt.denied("").message(),
            "widgets.g.io \"a\" is forbidden: User \"u\" cannot get resource \"widgets/status\" in API group \"g.io\" in the namespace \"n\""
        );
        let attempt = Attempt {
            user: "u",
            verb: "list",
            resource: widgets(),
            ..Attempt::default()
        };
        assert_eq!(
            attempt.denied("why").message(),
            "widgets.g.io is forbidden: User \"u\" cannot list resource \"widgets\" in API group \"g.io\" at the cluster scope: why"
        );
        assert_eq!(
            denied_path("u", "get", "/metrics", "").message(),
            "forbidden: User \"u\" cannot get path \"/metrics\""
        );
    }
}
