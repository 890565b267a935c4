//! The leases by which clusters show that they are well: `helium-system/member-<cluster>`.
//!
//! Whoever could renew another cluster's heartbeat could make a dead cluster look alive, so a member's heartbeat is written
//! through that very cluster only. What a member leaves behind is removed by the servers themselves.

use super::{Roster, Standing};

/// Namespace of the heartbeats.
pub(crate) const NAMESPACE: &str = "helium-system";
const PREFIX: &str = "member-";

/// Name of a cluster's heartbeat.
pub(super) fn name(cluster: &str) -> String {
    format!("{PREFIX}{cluster}")
}

/// Why a lease can't be written through `cluster`, if it is another member's heartbeat.
pub(crate) fn refused(
    namespace: &str,
    lease: &str,
    cluster: &str,
    roster: &Roster,
) -> Option<String> {
    let owner = lease.strip_prefix(PREFIX)?;
    let foreign = namespace == NAMESPACE && owner != cluster;
    // In an open fleet nobody knows who is who.
    let known = !matches!(
        roster.standing(owner),
        Standing::Unknown | Standing::Open | Standing::Absent
    );
    (foreign && known).then(|| {
        format!("it is the heartbeat of cluster {owner}, and this is cluster {cluster}: every cluster writes its own")
    })
}

#[cfg(test)]
mod tests {
    use helium_apimachinery::meta::Object;
    use helium_tls::pki::Authority;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_members_heartbeat_is_written_through_that_cluster_only() {
        let authority = Authority::new("c1").unwrap();
        let spec = json!({"certificateAuthorities": authority.certificate_pem()});
        let member = json!({"metadata": {"name": "c1"}, "spec": spec});
        let member = Object::try_from(member).unwrap();
        let closed = Roster::new([&member], 3);
        let refused = |namespace, lease, cluster, roster: &Roster| {
            refused(namespace, lease, cluster, roster).is_some()
        };
        assert!(refused(NAMESPACE, "member-c1", "c2", &closed));
        assert!(!refused(NAMESPACE, "member-c1", "c1", &closed));
        assert!(!refused("default", "member-c1", "c2", &closed));
        assert!(!refused(NAMESPACE, "member-c3", "c2", &closed));
        assert!(!refused(NAMESPACE, "controller", "c2", &closed));
        let open = Roster::new(std::iter::empty::<&Object>(), 3);
        assert!(!refused(NAMESPACE, "member-c1", "c2", &open));
    }
}
