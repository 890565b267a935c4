//! How a cluster stands to the fleet, judged from the fleet's Members: values only.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use kube::core::DynamicObject;

use super::member;
use crate::ClusterName;

/// How this cluster stands to the fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The Members haven't been read yet.
    #[default]
    Unknown,
    /// It is a member: the uid of its Member.
    Member(String),
    /// There is no Member of it, the fleet is open, and this agent hasn't seen one: it makes it.
    New,
    /// There is no Member of it, and the fleet takes only clusters that join.
    NotJoined,
    /// There was a Member of it while this agent worked, and somebody has removed it.
    Left,
    /// Its Member is being removed.
    Leaving,
    /// It is shut out; why, if somebody has said that.
    Revoked(String),
}

/// The names of all standings, for metrics.
pub(crate) const STANDINGS: [&str; 7] = [
    "unknown",
    "member",
    "new",
    "not_joined",
    "left",
    "leaving",
    "revoked",
];

impl Standing {
    /// The name for metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Member(_) => "member",
            Self::New => "new",
            Self::NotJoined => "not_joined",
            Self::Left => "left",
            Self::Leaving => "leaving",
            Self::Revoked(_) => "revoked",
        }
    }

    /// Whether the cluster may say in the fleet's objects what became of them here. Not knowing is no reason to be
    /// silent.
    pub(crate) fn may_report(&self) -> bool {
        matches!(self, Self::Unknown | Self::Member(_) | Self::New)
    }

    /// Whether a person should look.
    pub(super) fn is_outside(&self) -> bool {
        matches!(self, Self::NotJoined | Self::Left | Self::Revoked(_))
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the fleet's members are not known yet"),
            Self::Member(_) => f.write_str("the cluster is a member of the fleet"),
            Self::New => f.write_str("the cluster is new in an open fleet"),
            Self::NotJoined => f.write_str(
                "the cluster is not a member, and the fleet takes only clusters that join: use helium join",
            ),
            Self::Left => f.write_str(
                "the cluster's Member was removed: it has left the fleet, and comes back by helium join only \
                 (in an open fleet also by a restart of the agent)",
            ),
            Self::Leaving => f.write_str("the cluster's Member is being removed"),
            Self::Revoked(reason) if reason.is_empty() => f.write_str("the cluster was revoked"),
            Self::Revoked(reason) => write!(f, "the cluster was revoked: {reason}"),
        }
    }
}

/// Judges the standing of a cluster. `seen` says whether this agent has seen a Member of it before.
pub(super) fn standing(
    cluster: &ClusterName,
    members: &BTreeMap<String, Arc<DynamicObject>>,
    seen: bool,
) -> Standing {
    let Some(own) = members.get(cluster.as_str()) else {
        // Whoever could make its own Member in a fleet of known authorities would need nobody's leave to join.
        let open = !members.values().any(|other| member::has_authorities(other));
        return match (seen, open) {
            (true, _) => Standing::Left,
            (false, true) => Standing::New,
            (false, false) => Standing::NotJoined,
        };
    };
    if own.metadata.deletion_timestamp.is_some() {
        Standing::Leaving
    } else if let Some(reason) = member::revoked(own) {
        Standing::Revoked(reason)
    } else {
        Standing::Member(own.metadata.uid.clone().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn judged(members: &[(&str, Value)], seen: bool) -> Standing {
        let members = members
            .iter()
            .map(|(name, content)| {
                (
                    (*name).to_owned(),
                    Arc::new(member::tests::of(name, content)),
                )
            })
            .collect();
        standing(&"east".parse().unwrap(), &members, seen)
    }

    #[test]
    fn only_an_open_fleet_takes_a_cluster_that_nobody_let_in() {
        assert_eq!(judged(&[], false), Standing::New);
        let open = ("west", json!({"spec": {"certificateAuthorities": ""}}));
        assert_eq!(judged(&[open], false), Standing::New);
        let closed = ("west", json!({"spec": {"certificateAuthorities": "PEM"}}));
        assert_eq!(judged(&[closed], false), Standing::NotJoined);
    }

    #[test]
    fn who_was_removed_does_not_come_back_by_itself() {
        assert_eq!(judged(&[], true), Standing::Left);
        // A new join is a new Member: that one counts again.
        let again = ("east", json!({"metadata": {"uid": "2"}}));
        assert_eq!(judged(&[again], true), Standing::Member("2".to_owned()));
    }

    #[test]
    fn who_is_leaving_or_shut_out_is_no_member() {
        let leaving = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        assert_eq!(judged(&[("east", leaving)], true), Standing::Leaving);
        let revoked = json!({"spec": {"revoked": true, "revokedReason": "stolen"}});
        let standing = judged(&[("east", revoked)], true);
        assert_eq!(standing, Standing::Revoked("stolen".to_owned()));
        assert!(standing.to_string().ends_with("revoked: stolen"));
        assert!(!standing.may_report());
        assert!(Standing::default().may_report());
    }

    #[test]
    fn every_standing_has_a_name_of_its_own() {
        let all = [
            Standing::Unknown,
            Standing::Member(String::new()),
            Standing::New,
            Standing::NotJoined,
            Standing::Left,
            Standing::Leaving,
            Standing::Revoked(String::new()),
        ];
        assert_eq!(all.map(|standing| standing.name()), STANDINGS);
    }
}
