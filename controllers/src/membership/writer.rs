//! Writes to Members, each conditional on what was seen (A2).

use std::time::Duration;

use jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use kube::core::{DynamicObject, TypeMeta};
use serde_json::Value;

use super::heartbeat;
use super::judge::Missed;
use super::member;
use super::status::{self, MISSED, READY, Verdict};
use super::{FIELD_MANAGER, REQUEST};
use crate::ClusterName;

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// Bounds a request.
pub(super) async fn within<T>(
    bound: Duration,
    work: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, kube::Error> {
    tokio::time::timeout(bound, work)
        .await
        .unwrap_or_else(|elapsed| Err(kube::Error::Service(Box::new(elapsed))))
}

/// Items of lists don't say what they are.
fn typed(mut member: DynamicObject) -> DynamicObject {
    member.types.get_or_insert_with(|| TypeMeta {
        api_version: "helium.dev/v1".to_owned(),
        kind: "Member".to_owned(),
    });
    member
}

/// Makes a Member; one that is there already is as good.
pub(super) async fn create(
    api: &Api<DynamicObject>,
    made: &DynamicObject,
) -> Result<(), kube::Error> {
    match within(REQUEST, api.create(&parameters(), made)).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        done => done.map(|_| ()),
    }
}

/// Replaces the main part of a Member. Returns `None` if somebody was faster: that is seen soon, and judged anew.
pub(super) async fn replace(
    api: &Api<DynamicObject>,
    changed: DynamicObject,
) -> Result<Option<DynamicObject>, kube::Error> {
    let changed = typed(changed);
    let name = changed.metadata.name.clone().unwrap_or_default();
    let done = within(REQUEST, api.replace(&name, &parameters(), &changed)).await;
    match done {
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(None),
        done => done.map(Some),
    }
}

/// Writes a Member's status unless it is so already; tries again on what others write meanwhile. `status` computes
/// it from what is there. Returns the Member as it is then, or `None` if it is gone or another one.
pub(super) async fn put_status(
    api: &Api<DynamicObject>,
    from: DynamicObject,
    status: impl Fn(Option<&Value>) -> Value,
) -> Result<Option<DynamicObject>, kube::Error> {
    /// Writers of one status: its own cluster, and those that miss its heartbeat.
    const ATTEMPTS: usize = 4;
    let uid = from.metadata.uid.clone();
    let name = from.metadata.name.clone().unwrap_or_default();
    let mut member = from;
    for _ in 0..ATTEMPTS {
        let wanted = status(member.data.get("status"));
        if member.data.get("status") == Some(&wanted) {
            return Ok(Some(member));
        }
        let mut changed = typed(member);
        if !changed.data.is_object() {
            changed.data = Value::Object(serde_json::Map::new());
        }
        changed.data["status"] = wanted;
        let done = within(REQUEST, api.replace_status(&name, &parameters(), &changed)).await;
        match done {
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(None),
            done => return done.map(Some),
        }
        member = match within(REQUEST, api.get_opt(&name)).await? {
            Some(found) if found.metadata.uid == uid => found,
            _ => return Ok(None),
        };
    }
    // The next round begins from what they wrote.
    Ok(None)
}

/// Whether a Member's heartbeat is to be judged: it takes part, and nobody has missed it yet.
pub(super) fn is_judged(found: &DynamicObject) -> bool {
    let ready = status::condition(found.data.get("status"), READY);
    found.metadata.deletion_timestamp.is_none()
        && member::revoked(found).is_none()
        && ready.is_some_and(|ready| ready["status"] != "Unknown")
}

/// Says that a cluster's heartbeat is missed: once, and only if the store says the same as what was seen. Returns
/// whether it was we who said it.
pub(super) async fn mark_missed(
    members: &Api<DynamicObject>,
    heartbeats: &Api<DynamicObject>,
    missed: &Missed,
    by: &ClusterName,
    now: Timestamp,
) -> Result<bool, kube::Error> {
    let name = heartbeat::lease_name(&missed.cluster);
    let lease = within(REQUEST, heartbeats.get_opt(&name)).await?;
    let version = lease
        .as_ref()
        .and_then(|lease| lease.metadata.resource_version.clone());
    if version != missed.version {
        return Ok(false);
    }
    let found = within(REQUEST, members.get_opt(&missed.cluster)).await?;
    let Some(found) = found.filter(is_judged) else {
        return Ok(false);
    };
    let renewed = lease
        .as_ref()
        .and_then(|lease| lease.data.pointer("/spec/renewTime")?.as_str());
    let last = match renewed {
        Some(time) => format!("its last renewal says {time}"),
        None => "it has no heartbeat at all".to_owned(),
    };
    let verdict = Verdict {
        status: "Unknown",
        reason: MISSED,
        message: format!(
            "cluster {by} has seen no renewal of its heartbeat for {} s; {last}",
            heartbeat::DURATION.as_secs()
        ),
        since: None,
    };
    let mut changed = typed(found);
    if !changed.data["status"].is_object() {
        changed.data["status"] = serde_json::json!({});
    }
    status::put(&mut changed.data["status"], READY, &verdict, now);
    let parameters = parameters();
    let done = within(
        REQUEST,
        members.replace_status(&missed.cluster, &parameters, &changed),
    );
    match done.await {
        Ok(_) => Ok(true),
        // Another judge, or the cluster itself.
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scripted::{Scripted, refusal};

    fn answer(content: &Value) -> (u16, Value) {
        let member = member::tests::of("west", content);
        (200, serde_json::to_value(member).unwrap())
    }

    fn ready(status: &str) -> Value {
        json!({"status": {"conditions": [{"type": "Ready", "status": status}]}})
    }

    fn lease(version: &str) -> (u16, Value) {
        let lease = json!({"apiVersion": "coordination.helium.dev/v1", "kind": "Lease",
            "metadata": {"name": "member-west", "namespace": "helium-system", "resourceVersion": version},
            "spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}});
        (200, lease)
    }

    async fn mark(server: &Scripted) -> Result<bool, kube::Error> {
        let members = Api::all_with(server.client(), &member::resource());
        let heartbeats = heartbeat::api(server.client());
        let missed = Missed {
            cluster: "west".to_owned(),
            version: Some("7".to_owned()),
        };
        let east = "east".parse().unwrap();
        mark_missed(&members, &heartbeats, &missed, &east, Timestamp::UNIX_EPOCH).await
    }

    #[tokio::test]
    async fn a_missed_heartbeat_is_written_once_on_what_was_seen() {
        let server = Scripted::new([lease("7"), answer(&ready("True")), answer(&json!({}))]);
        assert!(mark(&server).await.unwrap());
        let asked = server.asked();
        let methods: Vec<_> = asked.iter().map(|asked| asked.method.as_str()).collect();
        assert_eq!(methods, ["GET", "GET", "PUT"]);
        let put = &asked[2];
        assert_eq!(put.path, "/apis/helium.dev/v1/members/west/status");
        assert_eq!(put.body["metadata"]["resourceVersion"], "7");
        insta::assert_json_snapshot!("missed", put.body["status"]);
    }

    #[tokio::test]
    async fn nobody_is_missed_whom_the_store_knows_better() {
        // Renewed meanwhile.
        let server = Scripted::new([lease("8")]);
        assert!(!mark(&server).await.unwrap());
        // Said by another, shut out, leaving, or without a word of its own.
        for content in [
            ready("Unknown"),
            json!({"status": ready("True")["status"], "spec": {"revoked": true}}),
            json!({"status": ready("True")["status"],
                "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            json!({}),
        ] {
            let server = Scripted::new([lease("7"), answer(&content)]);
            assert!(!mark(&server).await.unwrap());
            assert_eq!(server.asked().len(), 2);
        }
        // Somebody is faster.
        let server = Scripted::new([lease("7"), answer(&ready("True")), refusal(409, "Conflict")]);
        assert!(!mark(&server).await.unwrap());
        // And a refusal is an error.
        let server = Scripted::new([
            lease("7"),
            answer(&ready("True")),
            refusal(403, "Forbidden"),
        ]);
        assert!(mark(&server).await.is_err());
    }

    #[tokio::test]
    async fn a_status_is_written_on_top_of_what_others_wrote() {
        let missed =
            json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}], "more": 1}});
        let server = Scripted::new([refusal(409, "Conflict"), answer(&missed), answer(&missed)]);
        let api = Api::all_with(server.client(), &member::resource());
        let from = member::tests::of("west", &json!({}));
        let status = |status: Option<&Value>| {
            let mut status = status.cloned().unwrap_or_else(|| json!({}));
            status["heartbeat"] = "here".into();
            status
        };
        assert!(put_status(&api, from, status).await.unwrap().is_some());
        let put = &server.asked()[2].body;
        assert_eq!(put["status"]["more"], 1);
        assert_eq!(put["status"]["heartbeat"], "here");
        // Nothing to say, nothing written.
        let server = Scripted::new([refusal(500, "never asked")]);
        let api = Api::all_with(server.client(), &member::resource());
        let from = member::tests::of("west", &json!({"status": {"heartbeat": "here"}}));
        assert!(put_status(&api, from, status).await.unwrap().is_some());
        assert!(server.asked().is_empty());
    }

    #[tokio::test]
    async fn a_member_that_is_another_one_by_now_is_left_alone() {
        let other = json!({"metadata": {"uid": "2"}});
        let server = Scripted::new([refusal(409, "Conflict"), answer(&other)]);
        let api = Api::all_with(server.client(), &member::resource());
        let from = member::tests::of("west", &json!({}));
        let done = put_status(&api, from, |_| json!({"heartbeat": "x"})).await;
        assert!(done.unwrap().is_none());
        assert_eq!(server.asked().len(), 2);
    }
}
