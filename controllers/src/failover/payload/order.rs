//! What is applied before what; deletion goes the other way.

use super::object::Place;

/// Steps of an application. Objects of one step don't wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    /// What others stand in.
    Namespaces,
    /// Kinds of others.
    Definitions,
    /// What decides how and whether the rest may run.
    Policies,
    /// What workloads read.
    Configuration,
    /// By which they are found.
    Services,
    /// What runs.
    Workloads,
    /// Everything else: custom resources, Ingresses, autoscalers.
    Rest,
    /// What would judge the steps before.
    Webhooks,
}

/// The step of an object.
pub(super) fn step(place: &Place) -> Step {
    match (place.group.as_str(), place.kind.as_str()) {
        ("", "Namespace") => Step::Namespaces,
        ("apiextensions.k8s.io", _) => Step::Definitions,
        ("", "ServiceAccount" | "LimitRange" | "ResourceQuota" | "PersistentVolume")
        | (
            "rbac.authorization.k8s.io" | "scheduling.k8s.io" | "storage.k8s.io" | "node.k8s.io",
            _,
        )
        | ("networking.k8s.io", "NetworkPolicy" | "IngressClass")
        | ("policy", _) => Step::Policies,
        ("", "ConfigMap" | "Secret" | "PersistentVolumeClaim") => Step::Configuration,
        ("", "Service" | "Endpoints") | ("discovery.k8s.io", _) => Step::Services,
        ("", "Pod" | "ReplicationController") | ("apps" | "batch", _) => Step::Workloads,
        ("admissionregistration.k8s.io" | "apiregistration.k8s.io", _) => Step::Webhooks,
        _ => Step::Rest,
    }
}

/// Whether others' objects may be inside of it, and go with it.
pub(super) fn holds_others(place: &Place) -> bool {
    matches!(step(place), Step::Namespaces | Step::Definitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(group: &str, kind: &str) -> Place {
        Place {
            group: group.to_owned(),
            version: "v1".to_owned(),
            kind: kind.to_owned(),
            resource: String::new(),
            namespace: None,
            name: String::new(),
            uid: None,
        }
    }

    #[test]
    fn what_others_need_comes_first() {
        let mut kinds = [
            (
                "admissionregistration.k8s.io",
                "ValidatingWebhookConfiguration",
            ),
            ("example.com", "Database"),
            ("apps", "Deployment"),
            ("batch", "CronJob"),
            ("", "Service"),
            ("", "Secret"),
            ("", "ServiceAccount"),
            ("apiextensions.k8s.io", "CustomResourceDefinition"),
            ("", "Namespace"),
        ];
        kinds.sort_by_key(|(group, kind)| step(&place(group, kind)));
        let order: Vec<&str> = kinds.iter().map(|(_, kind)| *kind).collect();
        assert_eq!(
            order,
            [
                "Namespace",
                "CustomResourceDefinition",
                "ServiceAccount",
                "Secret",
                "Service",
                "Deployment",
                "CronJob",
                "Database",
                "ValidatingWebhookConfiguration"
            ]
        );
    }
}
