//! The FailoverGroup: what the machine reads there, and this member's own entry.
//!
//! The group is made by the first agent that needs it. A member writes its own entry only, when it says something new, as a
//! compare on what it read; everything else in the object stays as it is.

use std::time::Duration;

use helium_failover::kind::{
    FAILOVER_GROUP_KIND, FAILOVER_GROUPS, GroupSpec, GroupStatus, MemberEntry,
};
use helium_failover::machine::{Candidate, GroupView};
use helium_failover::{ClusterName, GroupName, Timing};
use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::plan::Problem;
use crate::membership::Alive;

/// Group and version of FailoverGroups.
pub(super) const GROUP: (&str, &str) = ("helium.dev", "v1");
/// Time for one request.
const REQUEST: Duration = Duration::from_secs(3);
/// Members write the same object.
const ATTEMPTS: usize = 8;

/// The kind, as clients name it.
pub(super) fn resource() -> ApiResource {
    let kind = GroupVersionKind::gvk(GROUP.0, GROUP.1, FAILOVER_GROUP_KIND);
    ApiResource::from_gvk_with_plural(&kind, FAILOVER_GROUPS)
}

/// A group as it was read.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) spec: GroupSpec,
    pub(super) status: GroupStatus,
}

impl Group {
    /// Reads a group.
    pub(super) fn read(object: &DynamicObject) -> Result<Self, Problem> {
        let part = |name: &str| {
            let value = object.data.get(name).cloned();
            value.filter(Value::is_object).unwrap_or_else(|| json!({}))
        };
        let failed = |error: serde_json::Error| {
            Problem::new(
                "InvalidGroup",
                format!("the FailoverGroup can't be read: {error}"),
            )
        };
        Ok(Self {
            spec: serde_json::from_value(part("spec")).map_err(failed)?,
            status: serde_json::from_value(part("status")).map_err(failed)?,
        })
    }

    /// The entry of a cluster.
    pub(super) fn entry(&self, cluster: &ClusterName) -> Option<&MemberEntry> {
        let mut members = self.status.members.iter();
        members.find(|entry| entry.cluster == *cluster)
    }

    /// What the machine sees of it. `alive` says which clusters are there, if that is known.
    pub(super) fn view(&self, alive: Option<&Alive>) -> Result<GroupView, Problem> {
        let seconds = |value: i64| Duration::from_secs(u64::try_from(value).unwrap_or_default());
        let spec = &self.spec;
        let timing = Timing::new(
            seconds(spec.lease_duration_seconds),
            seconds(spec.stop_budget_seconds),
        )
        .map_err(|error| {
            Problem::new(
                "InvalidGroup",
                format!("the FailoverGroup's times don't fit together: {error}"),
            )
        })?;
        let candidate = |entry: &MemberEntry| Candidate {
            cluster: entry.cluster.clone(),
            rank: entry.rank,
            ready: entry.ready,
            alive: alive.is_none_or(|all| all.get(&entry.cluster.0).copied().unwrap_or(false)),
            joined: entry.joined.clone().unwrap_or_default(),
            stands_for: entry.stands_for,
            stopped: entry.stopped,
        };
        Ok(GroupView {
            timing,
            mode: spec.mode,
            dead_man: spec.dead_man_switch,
            paused: spec.paused,
            preferred: spec.preferred_cluster.clone(),
            force: spec
                .force
                .as_ref()
                .map(|force| (force.token, force.cluster.clone())),
            members: self.status.members.iter().map(candidate).collect(),
            last_term: self
                .status
                .history
                .first()
                .and_then(|term| Some((term.cluster.clone(), term.token?))),
        })
    }

    /// Clusters whose payload's text is another one than ours.
    pub(super) fn differing(&self, cluster: &ClusterName, hash: &str) -> Vec<String> {
        let members = self.status.members.iter();
        members
            .filter(|entry| entry.cluster != *cluster)
            .filter(|entry| {
                entry
                    .payload_hash
                    .as_deref()
                    .is_some_and(|other| other != hash)
            })
            .map(|entry| entry.cluster.0.clone())
            .collect()
    }
}

fn api(client: Client, group: &GroupName) -> Api<DynamicObject> {
    Api::namespaced_with(client, &group.namespace, &resource())
}

async fn within<T>(work: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    tokio::time::timeout(REQUEST, work)
        .await
        .unwrap_or_else(|elapsed| Err(kube::Error::Service(Box::new(elapsed))))
}

/// Makes the group with the defaults of its kind, if it isn't there.
pub(super) async fn create(client: Client, group: &GroupName) -> kube::Result<()> {
    let mut made = DynamicObject::new(&group.callsign, &resource()).within(&group.namespace);
    made.data = json!({"spec": {}});
    match within(api(client, group).create(&PostParams::default(), &made)).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        done => done.map(|_| ()),
    }
}

/// Puts a member's entry into the group, or takes it out (`None`). Returns whether it is as wanted then; the group that is gone
/// meanwhile has no entry.
pub(super) async fn put_entry(
    client: Client,
    group: &GroupName,
    cluster: &ClusterName,
    entry: Option<&MemberEntry>,
) -> kube::Result<bool> {
    let api = api(client, group);
    for _ in 0..ATTEMPTS {
        let Some(mut found) = within(api.get_opt(&group.callsign)).await? else {
            return Ok(entry.is_none());
        };
        if !set_entry(&mut found, cluster, entry) {
            return Ok(true);
        }
        let parameters = PostParams::default();
        match within(api.replace_status(&group.callsign, &parameters, &found)).await {
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(entry.is_none()),
            done => return done.map(|_| true),
        }
    }
    Ok(false)
}

/// Changes the entry in the object; returns whether that is a change.
fn set_entry(
    object: &mut DynamicObject,
    cluster: &ClusterName,
    entry: Option<&MemberEntry>,
) -> bool {
    if !object.data.is_object() {
        object.data = json!({});
    }
    let status = &mut object.data["status"];
    if !status.is_object() {
        *status = json!({});
    }
    if !status["members"].is_array() {
        status["members"] = json!([]);
    }
    let Some(members) = status["members"].as_array_mut() else {
        return false;
    };
    let place = members
        .iter()
        .position(|member| member["cluster"] == cluster.0.as_str());
    let wanted = entry.and_then(|entry| serde_json::to_value(entry).ok());
    match (place, wanted) {
        (None, None) => return false,
        (None, Some(wanted)) => {
            members.push(wanted);
            members.sort_by(|a, b| a["cluster"].as_str().cmp(&b["cluster"].as_str()));
        }
        (Some(at), None) => {
            members.remove(at);
        }
        (Some(at), Some(wanted)) => {
            if members[at] == wanted {
                return false;
            }
            members[at] = wanted;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use helium_failover::Token;

    use super::*;
    use crate::scripted::{Scripted, refusal};

    fn name() -> GroupName {
        GroupName {
            namespace: "default".to_owned(),
            callsign: "city".to_owned(),
        }
    }

    fn cluster(name: &str) -> ClusterName {
        ClusterName(name.to_owned())
    }

    fn stored(version: &str, members: Value) -> Value {
        json!({"apiVersion": "helium.dev/v1", "kind": "FailoverGroup",
            "metadata": {"name": "city", "namespace": "default", "resourceVersion": version},
            "spec": {"mode": "Strict", "leaseDurationSeconds": 20, "paused": true,
                "force": {"token": 4, "cluster": "west"}},
            "status": {"leader": "west", "token": 9, "members": members}})
    }

    fn read(value: Value) -> Group {
        Group::read(&serde_json::from_value(value).unwrap()).unwrap()
    }

    fn entry() -> MemberEntry {
        MemberEntry {
            cluster: cluster("east"),
            rank: 5,
            ready: true,
            state: "Candidate".to_owned(),
            ..MemberEntry::default()
        }
    }

    #[test]
    fn the_machine_sees_the_group_with_who_is_alive() {
        let group = read(stored(
            "7",
            json!([
                {"cluster": "east", "rank": 5, "ready": true, "state": "Candidate"},
                {"cluster": "west", "rank": 9, "ready": true, "standsFor": 8, "payloadHash": "x"},
            ]),
        ));
        let alive = Alive::from([("east".to_owned(), true), ("west".to_owned(), false)]);
        let view = group.view(Some(&alive)).unwrap();
        assert_eq!(view.timing.lease, Duration::from_secs(20));
        assert_eq!(view.force, Some((Token(4), cluster("west"))));
        assert!(view.paused);
        let seen: Vec<_> = view
            .members
            .iter()
            .map(|one| (one.rank, one.alive, one.stands_for))
            .collect();
        assert_eq!(seen, [(5, true, None), (9, false, Some(Token(8)))]);
        // Before anything is known of clusters, they count as there.
        assert!(group.view(None).unwrap().members[1].alive);
        assert_eq!(group.differing(&cluster("east"), "y"), ["west"]);
        assert!(group.differing(&cluster("east"), "x").is_empty());
    }

    #[test]
    fn times_that_do_not_fit_are_told() {
        let mut wrong = stored("7", json!([]));
        wrong["spec"]["stopBudgetSeconds"] = 30.into();
        let problem = read(wrong).view(None).unwrap_err();
        assert_eq!(problem.reason, "InvalidGroup");
        assert!(problem.message.contains("stop budget"), "{problem:?}");
    }

    #[tokio::test]
    async fn an_entry_is_put_on_top_of_what_others_write_meanwhile() {
        let west =
            json!({"cluster": "west", "rank": 1, "ready": true, "state": "Leading", "later": 1});
        let server = Scripted::new([
            (200, stored("7", json!([]))),
            refusal(409, "Conflict"),
            (200, stored("8", json!([west]))),
            (200, stored("9", json!([]))),
        ]);
        let done = put_entry(server.client(), &name(), &cluster("east"), Some(&entry())).await;
        assert!(done.unwrap());
        let asked = server.asked();
        let put = &asked[3];
        assert_eq!(
            put.path,
            "/apis/helium.dev/v1/namespaces/default/failovergroups/city/status"
        );
        assert_eq!(put.body["metadata"]["resourceVersion"], "8");
        assert_eq!(put.body["status"]["leader"], "west");
        let members = put.body["status"]["members"].as_array().unwrap();
        assert_eq!(members[0]["cluster"], "east");
        assert_eq!(members[1], west);
    }

    #[tokio::test]
    async fn an_entry_that_is_so_already_is_not_written() {
        let stored = stored("7", json!([serde_json::to_value(entry()).unwrap()]));
        let server = Scripted::new([(200, stored.clone())]);
        let (client, east) = (server.client(), cluster("east"));
        assert!(
            put_entry(client, &name(), &east, Some(&entry()))
                .await
                .unwrap()
        );
        assert_eq!(server.asked().len(), 1);
        let server = Scripted::new([(200, stored.clone()), (200, stored)]);
        assert!(
            put_entry(server.client(), &name(), &east, None)
                .await
                .unwrap()
        );
        let put = &server.asked()[1].body;
        assert_eq!(put["status"]["members"], json!([]));
        // A group that is gone has no entries.
        let server = Scripted::new([refusal(404, "NotFound")]);
        assert!(
            put_entry(server.client(), &name(), &east, None)
                .await
                .unwrap()
        );
        let done = put_entry(server.client(), &name(), &east, Some(&entry())).await;
        assert!(!done.unwrap());
    }
}
