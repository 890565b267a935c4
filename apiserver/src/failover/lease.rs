//! What may be written into a group's Lease, and through whom (G1). Pure.
//!
//! | write | through |
//! |---|---|
//! | any that leaves a holder | the holder's own cluster: claims, renewals and whatever else |
//! | giving it up | the cluster that held it |
//! | deleting it | any, while nobody holds it and no earlier term is left to wait for; clusters that are gone don't count |
//!
//! A lease that vanishes would let another begin at once, and one without the label would be no group's: so the label stays.

use helium_apimachinery::field::{ErrorList, FieldError, Path};
use helium_apimachinery::lease::holder;
use helium_apimachinery::meta::Object;
use helium_apimachinery::names;
use helium_failover::GroupName;
use helium_failover::kind::GROUP_LABEL;
use helium_failover::lease::{STRATEGY, UNCONFIRMED, terms};
use serde_json::Value;

use super::{Gone, Refusal, group_of};

/// Completes a written lease of a group (its strategy) and says what is wrong with it. `origin` is the cluster that the write comes
/// through. Other leases are fine.
pub(crate) fn admit(lease: &mut Object, old: Option<&Object>, origin: &str) -> Result<(), Refusal> {
    check_label(lease, old).map_err(|error| Refusal::Invalid(ErrorList::from_iter([error])))?;
    if group_of(lease).is_none() {
        return Ok(());
    }
    lease.with_value_mut(|value| value["spec"]["strategy"] = STRATEGY.into());
    let (was, is) = (old.map_or("", holder), holder(lease));
    let why = if is == origin {
        let claimed_too_late = lease.is_terminating() && was != origin;
        claimed_too_late.then(|| "the lease is being deleted: nobody takes it any more".to_owned())
    } else if !is.is_empty() {
        Some(format!(
            "a group's lease is held by clusters, each in its own name: only cluster {is:?} writes it while that holds it, and this is \
             cluster {origin:?}"
        ))
    } else {
        (!was.is_empty() && was != origin).then(|| {
            format!(
                "cluster {was:?} holds it, and nobody else gives it up; this is cluster {origin:?}"
            )
        })
    };
    why.map_or(Ok(()), |why| Err(Refusal::Forbidden(why)))
}

fn check_label(lease: &Object, old: Option<&Object>) -> Result<(), FieldError> {
    let metadata = Path::new("metadata");
    let labels = metadata.child("labels");
    let path = labels.key(GROUP_LABEL);
    let label = |lease: &Object| lease.label(GROUP_LABEL).map(str::to_owned);
    let callsign = label(lease);
    if let Some(old) = old
        && label(old) != callsign
    {
        let why =
            "field is immutable: it makes the lease a failover group's, or not, from its beginning";
        return Err(FieldError::invalid(
            &path,
            callsign.unwrap_or_default(),
            why,
        ));
    }
    let Some(callsign) = callsign else {
        return Ok(());
    };
    if let Some(why) = names::dns1123_label(&callsign).into_iter().next() {
        return Err(FieldError::invalid(&path, callsign, why));
    }
    let group = GroupName {
        namespace: lease.namespace().to_owned(),
        callsign,
    };
    if lease.name() != group.lease() {
        let why = format!("the lease of that group is {:?}", group.lease());
        return Err(FieldError::invalid(
            &metadata.child("name"),
            lease.name(),
            why,
        ));
    }
    Ok(())
}

/// Why a lease may not be deleted.
pub(crate) fn refuse_deletion(lease: &Object, gone: Gone<'_>) -> Option<String> {
    group_of(lease)?;
    let held = holder(lease);
    if !held.is_empty() && !gone(held) {
        return Some(format!(
            "cluster {held:?} holds the lease, and without it another would begin while that one hasn't stopped: let it hand over or \
             set ready: false on its MultiCluster, or let its Member leave the fleet if the cluster is gone"
        ));
    }
    let unconfirmed = lease
        .get_path(&["metadata", "annotations", UNCONFIRMED])
        .and_then(Value::as_str)?;
    let waits = terms(unconfirmed)
        .into_iter()
        .find(|term| !gone(&term.cluster.0))?;
    Some(format!(
        "the term of cluster \"{}\" at token {} isn't known to be over, which the lease remembers: delete it when it is",
        waits.cluster, waits.token
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lease(holder: &str) -> Object {
        Object::try_from(json!({
            "metadata": {"name": "failover-web", "namespace": "default", "labels": {GROUP_LABEL: "web"}},
            "spec": {"holderIdentity": holder},
        }))
        .unwrap()
    }

    #[test]
    fn a_cluster_takes_renews_and_gives_up_in_its_own_name_only() {
        let cases = [
            (None, "c1", "c1", true),
            (None, "c2", "c1", false),
            (None, "", "c1", true),
            (Some(""), "c1", "c1", true),
            (Some("c1"), "c1", "c1", true),
            (Some("c1"), "c2", "c2", true),
            (Some("c1"), "c1", "c2", false),
            (Some("c1"), "", "c1", true),
            (Some("c1"), "", "c2", false),
            (Some(""), "", "c2", true),
            (Some("c1"), "c3", "c2", false),
        ];
        for (old, new, origin, fine) in cases {
            let old = old.map(lease);
            let mut new = lease(new);
            let outcome = admit(&mut new, old.as_ref(), origin);
            assert_eq!(
                outcome.is_ok(),
                fine,
                "{old:?} {new:?} {origin}: {outcome:?}"
            );
            assert_eq!(new.get_path(&["spec", "strategy"]), Some(&json!(STRATEGY)));
        }
        let mut plain = lease("anybody");
        plain.remove_meta("labels");
        admit(&mut plain, None, "c1").unwrap();
        assert_eq!(plain.get_path(&["spec", "strategy"]), None);
    }

    #[test]
    fn a_group_has_one_lease_and_keeps_it() {
        let mut other = lease("c1");
        other.set_name("web");
        let mut plain = lease("c1");
        plain.remove_meta("labels");
        let mut strange = lease("c1");
        strange.set_meta("labels", json!({GROUP_LABEL: "a.b"}));
        for (mut new, old) in [
            (other, None),
            (strange, None),
            (plain.clone(), Some(lease("c1"))),
            (lease("c1"), Some(plain)),
        ] {
            let refused = admit(&mut new, old.as_ref(), "c1").unwrap_err();
            assert!(matches!(refused, Refusal::Invalid(_)), "{refused:?}");
        }
        let mut late = lease("c1");
        late.set_meta("deletionTimestamp", json!("2026-01-01T00:00:00Z"));
        admit(&mut late.clone(), Some(&lease("c1")), "c1").unwrap();
        admit(&mut late, Some(&lease("")), "c1").unwrap_err();
    }

    #[test]
    fn what_is_held_or_remembers_a_term_is_not_deleted() {
        let nobody = |_: &str| false;
        let mut free = lease("");
        assert_eq!(refuse_deletion(&free, &nobody), None);
        let why = refuse_deletion(&lease("c1"), &nobody).unwrap();
        assert!(why.contains("cluster \"c1\" holds"), "{why}");
        assert_eq!(
            refuse_deletion(&lease("c1"), &|cluster| cluster == "c1"),
            None
        );
        free.set_meta("annotations", json!({UNCONFIRMED: "c1=5,c2=7"}));
        let why = refuse_deletion(&free, &|cluster| cluster == "c1").unwrap();
        assert!(why.contains("cluster \"c2\" at token 7"), "{why}");
        assert_eq!(refuse_deletion(&free, &|_| true), None);
    }
}
