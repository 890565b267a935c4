//! What may be written into a FailoverGroup, and through whom (G1, G2). Pure.
//!
//! | field | who |
//! |---|---|
//! | `spec` | whoever has the right to write it |
//! | `status.leader`, `leaderAddress`, `token`, `since`, `reason`, `history` | the server; what others write there is put back |
//! | `status.members[cluster]` | that cluster; others may remove the entry of one that has left the fleet |
//!
//! A group isn't deleted while it has members or a leader: its spec says how they exclude each other, and one that comes back
//! with defaults would change that under a running payload.

use std::collections::BTreeMap;
use std::time::Duration;

use helium_apimachinery::field::{ErrorList, FieldError, Path};
use helium_apimachinery::meta::Object;
use helium_apimachinery::names;
use helium_failover::Timing;
use helium_failover::kind::{GroupSpec, MemberEntry};
use helium_failover::timing::TimingError;
use serde_json::Value;

use super::record::OWNED;
use super::{Gone, Refusal};

/// Puts back what of a written group is the server's, and says what is wrong with the rest. `origin` is the cluster that the write
/// comes through.
pub(crate) fn admit(
    group: &mut Object,
    old: Option<&Object>,
    origin: &str,
    gone: Gone<'_>,
) -> Result<(), Refusal> {
    put_back(group, old);
    let mut errors = ErrorList::new();
    if old.is_none() {
        let path = Path::new("metadata");
        for why in names::dns1123_label(group.name()) {
            errors.push(FieldError::invalid(&path.child("name"), group.name(), why));
        }
    }
    if old.and_then(|old| old.get("spec")) != group.get("spec") {
        check_spec(group, &mut errors);
    }
    errors.into_result().map_err(Refusal::Invalid)?;
    check_members(group, old, origin, gone)
}

fn put_back(group: &mut Object, old: Option<&Object>) {
    let kept: Vec<_> = OWNED
        .iter()
        .map(|field| {
            let value = old.and_then(|old| old.get_path(&["status", field]));
            (*field, value.cloned())
        })
        .collect();
    if group.get("status").is_none() && kept.iter().all(|(_, value)| value.is_none()) {
        return;
    }
    group.with_value_mut(|group| {
        if !group["status"].is_object() {
            group["status"] = Value::Object(serde_json::Map::new());
        }
        let Some(status) = group["status"].as_object_mut() else {
            return;
        };
        for (field, value) in kept {
            match value {
                Some(value) => status.insert(field.to_owned(), value),
                None => status.remove(field),
            };
        }
    });
}

fn check_spec(group: &Object, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let raw = group.get("spec").cloned().unwrap_or_default();
    // What isn't of the right type is said by the schema.
    let Ok(spec) = serde_json::from_value::<GroupSpec>(raw) else {
        return;
    };
    let seconds = |seconds: i64| Duration::from_secs(seconds.max(0).unsigned_abs());
    let (lease, budget) = (
        seconds(spec.lease_duration_seconds),
        seconds(spec.stop_budget_seconds),
    );
    // The schema has the bounds of each, which are said with it.
    if let Err(error @ TimingError::Budget { .. }) = Timing::new(lease, budget) {
        errors.push(FieldError::invalid(
            &path.child("stopBudgetSeconds"),
            spec.stop_budget_seconds,
            error.to_string(),
        ));
    }
    let mut check_name = |path: &Path<'_>, cluster: &str| {
        for why in names::dns1123_label(cluster) {
            let why = format!("must be the name of a cluster: {why}");
            errors.push(FieldError::invalid(path, cluster, why));
        }
    };
    if let Some(preferred) = &spec.preferred_cluster {
        check_name(&path.child("preferredCluster"), &preferred.0);
    }
    let Some(force) = &spec.force else {
        return;
    };
    let path = path.child("force");
    check_name(&path.child("cluster"), &force.cluster.0);
    let last = last_token(group);
    if last.is_some_and(|last| force.token.0 > last) {
        let why = format!(
            "must be at most {}, the token of the last term: of later ones nobody can know that they are over",
            last.unwrap_or_default()
        );
        errors.push(FieldError::invalid(
            &path.child("token"),
            force.token.0,
            why,
        ));
    }
}

/// The token of the last term that a group knows.
fn last_token(group: &Object) -> Option<i64> {
    let history = group.get_path(&["status", "history"])?.as_array()?;
    history.iter().find_map(|term| term["token"].as_i64())
}

fn check_members(
    group: &mut Object,
    old: Option<&Object>,
    origin: &str,
    gone: Gone<'_>,
) -> Result<(), Refusal> {
    let before = old.map(members).unwrap_or_default();
    let after = members(group);
    if before == after {
        return Ok(());
    }
    let foreign = before
        .keys()
        .chain(after.keys())
        .filter(|cluster| *cluster != origin && before.get(*cluster) != after.get(*cluster))
        .filter(|cluster| says(before.get(*cluster)) != says(after.get(*cluster)))
        .find(|cluster| after.contains_key(*cluster) || !gone(cluster));
    match foreign {
        None => Ok(()),
        Some(cluster) => Err(Refusal::Forbidden(format!(
            "status.members: only cluster {cluster:?} itself writes its entry, and this is cluster {origin:?}"
        ))),
    }
}

/// The entries of clusters, by name.
fn members(group: &Object) -> BTreeMap<String, Value> {
    let entries = group.get_path(&["status", "members"]);
    entries
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some((entry["cluster"].as_str()?.to_owned(), entry.clone())))
        .collect()
}

/// What an entry comes to: who writes all of them back may have spelt out what was left out.
fn says(entry: Option<&Value>) -> Option<MemberEntry> {
    entry.and_then(|entry| serde_json::from_value(entry.clone()).ok())
}

/// Removes the entry of a cluster that leaves the fleet; tells whether there was one.
pub(crate) fn forget(group: &mut Object, cluster: &str) -> bool {
    group.with_value_mut(|group| {
        let Some(entries) = group
            .pointer_mut("/status/members")
            .and_then(Value::as_array_mut)
        else {
            return false;
        };
        let before = entries.len();
        entries.retain(|entry| entry["cluster"] != cluster);
        entries.len() < before
    })
}

/// Why a group may not be deleted.
pub(crate) fn refuse_deletion(group: &Object, gone: Gone<'_>) -> Option<String> {
    let leader = group
        .get_path(&["status", "leader"])
        .and_then(Value::as_str);
    if let Some(leader) = leader.filter(|leader| !gone(leader)) {
        return Some(format!(
            "cluster {leader:?} leads the group: delete the group's MultiClusters first, in each cluster"
        ));
    }
    let member = members(group).into_keys().find(|cluster| !gone(cluster))?;
    Some(format!(
        "cluster {member:?} is a member of the group, whose spec says how members exclude each other: delete the group's MultiClusters \
         first, in each cluster"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn group(spec: Value, status: Value) -> Object {
        let object = json!({"metadata": {"name": "web"}, "spec": spec, "status": status});
        Object::try_from(object).unwrap()
    }

    fn refused(outcome: Result<(), Refusal>) -> String {
        match outcome.unwrap_err() {
            Refusal::Invalid(errors) => errors.to_string(),
            Refusal::Forbidden(why) => why,
        }
    }

    const NOBODY: Gone<'static> = &|_| false;

    #[test]
    fn what_is_the_servers_is_put_back() {
        let history = json!([{"token": 7, "cluster": "c1", "began": "x"}]);
        let old = group(
            json!({}),
            json!({"leader": "c1", "token": 7, "history": history}),
        );
        let mut new = group(
            json!({}),
            json!({"leader": "c2", "leaderAddress": "here", "since": "now", "reason": "Mine", "history": []}),
        );
        admit(&mut new, Some(&old), "c2", NOBODY).unwrap();
        assert_eq!(new, old);
        new.remove("status");
        admit(&mut new, Some(&old), "c2", NOBODY).unwrap();
        assert_eq!(new, old);
        let mut first = group(json!({}), json!({"leader": "c1", "conditions": []}));
        admit(&mut first, None, "c1", NOBODY).unwrap();
        assert_eq!(first, group(json!({}), json!({"conditions": []})));
    }

    #[test]
    fn each_cluster_writes_its_own_entry() {
        let old = group(
            json!({}),
            json!({"members": [{"cluster": "c1", "rank": 5}, {"cluster": "c2"}, {"cluster": "c3"}]}),
        );
        let with = |entries: Value| group(json!({}), json!({"members": entries}));
        let change =
            |entries: Value, gone: Gone<'_>| admit(&mut with(entries), Some(&old), "c1", gone);
        // Its own, and others' as they are, in any order and spelt out.
        change(
            json!([{"cluster": "c3"}, {"cluster": "c2", "rank": 0, "ready": false}, {"cluster": "c1", "rank": 9}]),
            NOBODY,
        )
        .unwrap();
        change(json!([{"cluster": "c2"}, {"cluster": "c3"}]), NOBODY).unwrap();
        for entries in [
            json!([{"cluster": "c1", "rank": 5}, {"cluster": "c2", "rank": 1}, {"cluster": "c3"}]),
            json!([{"cluster": "c1", "rank": 5}, {"cluster": "c3"}]),
            json!([{"cluster": "c1", "rank": 5}, {"cluster": "c2", "stopped": 9}, {"cluster": "c3"}]),
        ] {
            let why = refused(change(entries, NOBODY));
            assert!(
                why.contains("only cluster \"c2\" itself")
                    && why.contains("this is cluster \"c1\""),
                "{why}"
            );
        }
        let without = json!([{"cluster": "c1", "rank": 5}, {"cluster": "c3"}]);
        change(without.clone(), &|cluster| cluster == "c2").unwrap();
        change(without, &|cluster| cluster == "c3").unwrap_err();
        let added = json!([{"cluster": "c1", "rank": 5}, {"cluster": "c2"}, {"cluster": "c3"}, {"cluster": "c4"}]);
        change(added, &|cluster| cluster == "c4").unwrap_err();
    }

    #[test]
    fn a_spec_that_cannot_work_is_refused_with_what_to_change() {
        let status = json!({"history": [{"token": 40, "cluster": "c1", "began": "x"}]});
        let judge = |spec: Value| {
            admit(
                &mut group(spec, status.clone()),
                Some(&group(json!({}), status.clone())),
                "c1",
                NOBODY,
            )
        };
        judge(
            json!({"leaseDurationSeconds": 15, "stopBudgetSeconds": 5, "preferredCluster": "c2"}),
        )
        .unwrap();
        judge(json!({"force": {"token": 40, "cluster": "c2"}})).unwrap();
        for (spec, expected) in [
            (
                json!({"leaseDurationSeconds": 15, "stopBudgetSeconds": 10}),
                "spec.stopBudgetSeconds: Invalid value: 10: a stop budget of 10s leaves no time to renew a lease of 15s",
            ),
            (
                json!({"preferredCluster": "Not a name"}),
                "spec.preferredCluster: Invalid value: \"Not a name\": must be the name of a cluster",
            ),
            (
                json!({"force": {"token": 40, "cluster": ""}}),
                "spec.force.cluster: Invalid value: \"\"",
            ),
            (
                json!({"force": {"token": 41, "cluster": "c2"}}),
                "spec.force.token: Invalid value: 41: must be at most 40, the token of the last term",
            ),
        ] {
            let why = refused(judge(spec));
            assert!(why.contains(expected), "{why}");
        }
        let mut named = group(json!({}), json!({}));
        named.set_name("a.b");
        assert!(refused(admit(&mut named, None, "c1", NOBODY)).contains("metadata.name"));
    }

    #[test]
    fn a_group_stays_while_somebody_needs_it() {
        let led = group(json!({}), json!({"leader": "c1"}));
        assert!(
            refuse_deletion(&led, NOBODY)
                .unwrap()
                .contains("cluster \"c1\" leads")
        );
        let mut joined = group(
            json!({}),
            json!({"leader": "c1", "members": [{"cluster": "c1"}, {"cluster": "c2"}]}),
        );
        let why = refuse_deletion(&joined, &|cluster| cluster == "c1").unwrap();
        assert!(why.contains("cluster \"c2\" is a member"), "{why}");
        assert!(forget(&mut joined, "c2") && !forget(&mut joined, "c2"));
        assert_eq!(refuse_deletion(&joined, &|cluster| cluster == "c1"), None);
        assert_eq!(refuse_deletion(&group(json!({}), json!({})), NOBODY), None);
    }
}
