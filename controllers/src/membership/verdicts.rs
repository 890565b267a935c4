//! What a cluster's conditions say of what its registrar has achieved: values only.

use super::status::Verdict;
use crate::registrar::{REASONS, Summary};

/// The condition `Registered`.
pub(super) fn registered(summary: &Summary) -> Verdict {
    let Some(reason) = REASONS.into_iter().find(|reason| {
        summary
            .missing
            .values()
            .any(|found| found.reason == *reason)
    }) else {
        return Verdict {
            status: "True",
            reason: "AllGroups",
            message: "every shared group is served here".to_owned(),
            since: None,
        };
    };
    let groups = summary.missing.iter();
    let groups = groups.map(|(group, found)| format!("{group} ({})", found.message));
    Verdict {
        status: "False",
        reason,
        message: format!("not served: {}", groups.collect::<Vec<_>>().join("; ")),
        since: None,
    }
}

/// The condition `Ready`, of a cluster whose heartbeat is in the store.
pub(super) fn ready(summary: &Summary) -> Verdict {
    let (status, reason, message) = match &summary.first {
        None => (
            "True",
            "TakesPart",
            "the heartbeat is renewed, and the fleet's API is served".to_owned(),
        ),
        Some(why) => ("False", "NotServed", why.clone()),
    };
    Verdict {
        status,
        reason,
        message,
        since: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registrar::Missing;

    fn summary(missing: &[(&str, &'static str)]) -> Summary {
        let missing = missing.iter().map(|(group, reason)| {
            let message = "because".to_owned();
            ((*group).to_owned(), Missing { reason, message })
        });
        Summary {
            first: None,
            missing: missing.collect(),
        }
    }

    #[test]
    fn registered_names_the_groups_that_are_not_and_the_worst_reason() {
        let all = registered(&summary(&[]));
        assert_eq!((all.status, all.reason), ("True", "AllGroups"));
        let some = registered(&summary(&[
            ("a.example.com", "Unavailable"),
            ("b.example.com", "GroupConflict"),
        ]));
        assert_eq!((some.status, some.reason), ("False", "GroupConflict"));
        assert_eq!(
            some.message,
            "not served: a.example.com (because); b.example.com (because)"
        );
    }

    #[test]
    fn a_refused_group_does_not_keep_a_cluster_from_being_ready() {
        let mut summary = summary(&[("b.example.com", "GroupConflict")]);
        assert_eq!(ready(&summary).status, "True");
        summary.first = Some("APIService v1.helium.dev: ServiceNotFound".to_owned());
        let not = ready(&summary);
        assert_eq!((not.status, not.reason), ("False", "NotServed"));
        assert!(not.message.ends_with("ServiceNotFound"));
    }
}
