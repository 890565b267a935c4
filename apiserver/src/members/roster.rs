//! The members at one moment, as one immutable snapshot.

use std::collections::BTreeMap;

use helium_apimachinery::meta::Object;
use helium_tls::PublicKeyHash;
use serde_json::Value;

use super::authorities;

/// A cluster of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Name of the cluster.
    pub cluster: String,
    /// PEM of what signs its certificates; empty for none.
    pub authorities: String,
    /// The public keys of those authorities.
    pub(super) keys: Vec<PublicKeyHash>,
    /// Why it is shut out (may be empty), if it is.
    pub revoked: Option<String>,
    /// Whether it is being deleted: it leaves the fleet.
    pub leaving: bool,
    /// What selects it.
    pub labels: BTreeMap<String, String>,
}

/// What a cluster is to the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// The members haven't been read yet.
    Unknown,
    /// The fleet is open: everybody belongs.
    Open,
    /// It belongs.
    Member,
    /// It is being deleted.
    Leaving,
    /// It was shut out.
    Revoked {
        /// Why, for people; may be empty.
        reason: &'a str,
    },
    /// There is no such member.
    Absent,
}

/// The members at one revision of the store. Replaced as a whole, never changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// `None` before the members have been read once.
    revision: Option<i64>,
    members: BTreeMap<String, Member>,
    /// Whether any of them lists an authority.
    closed: bool,
}

impl Roster {
    /// The members that stored objects describe, as of a revision.
    pub fn new<'a>(objects: impl IntoIterator<Item = &'a Object>, revision: i64) -> Self {
        let member = |object: &Object| (object.name().to_owned(), Member::of(object));
        let members: BTreeMap<_, _> = objects.into_iter().map(member).collect();
        Self {
            revision: Some(revision),
            closed: members
                .values()
                .any(|member| !member.authorities.trim().is_empty()),
            members,
        }
    }

    /// Whether the members have been read at all.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.revision.is_some()
    }

    /// The revision of which this is the state; 0 before the members have been read.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision.unwrap_or_default()
    }

    /// Whether nobody is shut out because no member lists an authority (M1). An unknown roster is open too: ask
    /// [`Roster::is_known`] where that matters.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.closed
    }

    /// All members by name, the revoked and the leaving ones too.
    #[must_use]
    pub fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    /// A member by its cluster's name.
    #[must_use]
    pub fn get(&self, cluster: &str) -> Option<&Member> {
        self.members.get(cluster)
    }

    /// The names of those that take part: neither revoked nor leaving.
    pub fn active(&self) -> impl Iterator<Item = &str> {
        self.taking_part().map(|member| member.cluster.as_str())
    }

    /// Those that take part: neither revoked nor leaving.
    pub fn taking_part(&self) -> impl Iterator<Item = &Member> {
        self.members
            .values()
            .filter(|member| member.revoked.is_none() && !member.leaving)
    }

    /// What a cluster is to the fleet. A revocation counts in an open fleet too.
    #[must_use]
    pub fn standing(&self, cluster: &str) -> Standing<'_> {
        if !self.is_known() {
            return Standing::Unknown;
        }
        match self.members.get(cluster) {
            Some(Member {
                revoked: Some(reason),
                ..
            }) => Standing::Revoked { reason },
            _ if self.is_open() => Standing::Open,
            Some(member) if member.leaving => Standing::Leaving,
            Some(_) => Standing::Member,
            None => Standing::Absent,
        }
    }
}

impl Member {
    /// The member that a stored object describes. Authorities that can't be read count for nothing, but are there.
    #[must_use]
    pub fn of(object: &Object) -> Self {
        let labels = object.labels().into_iter().flatten();
        let authorities = spec_text(object, "certificateAuthorities").to_owned();
        Self {
            cluster: object.name().to_owned(),
            keys: authorities::keys(&authorities).unwrap_or_default(),
            authorities,
            revoked: is_revoked(object).then(|| spec_text(object, "revokedReason").to_owned()),
            leaving: object.is_terminating(),
            labels: labels
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
        }
    }
}

/// A text of a member's spec; empty if it isn't there.
pub(super) fn spec_text<'a>(object: &'a Object, field: &str) -> &'a str {
    object
        .get_path(&["spec", field])
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Whether a stored member is shut out.
pub(super) fn is_revoked(object: &Object) -> bool {
    object.get_path(&["spec", "revoked"]) == Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn member(name: &str, spec: Value) -> Object {
        let object = json!({"metadata": {"name": name}, "spec": spec});
        Object::try_from(object).unwrap()
    }

    #[test]
    fn a_fleet_is_open_until_a_member_lists_an_authority() {
        let one = member("c1", json!({}));
        let roster = Roster::new([&one], 7);
        assert!(roster.is_open());
        assert_eq!(roster.standing("c2"), Standing::Open);
        let two = member("c2", json!({"certificateAuthorities": "PEM"}));
        let roster = Roster::new([&one, &two], 8);
        assert!(!roster.is_open());
        assert_eq!(roster.standing("c1"), Standing::Member);
        assert_eq!(roster.standing("c3"), Standing::Absent);
    }

    #[test]
    fn a_revoked_member_keeps_the_fleet_closed_and_is_shut_out() {
        let spec =
            json!({"certificateAuthorities": "PEM", "revoked": true, "revokedReason": "stolen"});
        let roster = Roster::new([&member("c1", spec)], 8);
        assert!(!roster.is_open());
        assert_eq!(
            roster.standing("c1"),
            Standing::Revoked { reason: "stolen" }
        );
        assert_eq!(roster.active().count(), 0);
    }

    #[test]
    fn before_the_members_were_read_nobody_is_shut_out() {
        assert_eq!(Roster::default().standing("c1"), Standing::Unknown);
    }
}
