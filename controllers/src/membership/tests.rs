//! What the controller writes, and what it doesn't.

use serde_json::{Value, json};

use super::*;
use crate::scripted::{Scripted, refusal};

/// A controller for the cluster east, and the fleet behind a script.
fn controller(server: &Scripted) -> (Membership, Fleet) {
    let client = server.client();
    let settings = Settings {
        cluster: "east".parse().unwrap(),
        labels: BTreeMap::new(),
        kubernetes_url: None,
        direct_url: Some(Uri::from_static("https://h.example.com/")),
    };
    let (_, registered) = watch::channel(Some(Summary::default()));
    let metrics = Metrics::default();
    let fleet = Fleet {
        members: Api::all_with(client.clone(), &member::resource()),
        heartbeats: heartbeat::api(client.clone()),
        followed_members: Follow::new("members", Arc::default()),
        followed_heartbeats: Follow::new("heartbeats", Arc::default()),
    };
    let membership = Membership::new(settings, client, None, registered, metrics);
    (membership, fleet)
}

fn answer(content: &Value) -> (u16, Value) {
    let member = member::tests::of("east", content);
    (200, serde_json::to_value(member).unwrap())
}

/// Lets a controller see these Members.
async fn sees(fleet: &Fleet, members: Vec<DynamicObject>) {
    use kube::runtime::watcher::Event;
    let mut events = vec![Ok(Event::Init)];
    events.extend(
        members
            .into_iter()
            .map(|member| Ok(Event::InitApply(member))),
    );
    events.push(Ok(Event::InitDone));
    // The stream ends, and the run with it.
    let events = futures_util::stream::iter(events);
    fleet
        .followed_members
        .run(events, CancellationToken::new())
        .await;
}

fn requests(server: &Scripted) -> Vec<String> {
    let asked = server.asked().into_iter();
    asked
        .map(|asked| format!("{} {}", asked.method, asked.path))
        .collect()
}

#[tokio::test]
async fn an_open_fleet_gets_the_clusters_member_once() {
    let server = Scripted::new([answer(&json!({}))]);
    let (mut membership, fleet) = controller(&server);
    // Nothing is known yet: nothing is written.
    membership.round(&fleet).await;
    assert!(server.asked().is_empty());
    sees(&fleet, Vec::new()).await;
    assert!(membership.round(&fleet).await.0);
    assert_eq!(requests(&server), ["POST /apis/helium.dev/v1/members"]);
    // It was there, and is removed: it stays away.
    sees(
        &fleet,
        vec![member::tests::of(
            "east",
            &json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
        )],
    )
    .await;
    membership.round(&fleet).await;
    assert_eq!(*membership.standing().borrow(), Standing::Leaving);
    sees(&fleet, Vec::new()).await;
    membership.round(&fleet).await;
    assert_eq!(*membership.standing().borrow(), Standing::Left);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_closed_fleet_and_a_revoked_cluster_get_no_writes() {
    for member in [
        member::tests::of("west", &json!({"spec": {"certificateAuthorities": "PEM"}})),
        member::tests::of("east", &json!({"spec": {"revoked": true}})),
    ] {
        let server = Scripted::new([refusal(500, "never asked")]);
        let (mut membership, fleet) = controller(&server);
        sees(&fleet, vec![member]).await;
        assert!(membership.round(&fleet).await.0);
        assert!(server.asked().is_empty());
    }
}

#[tokio::test]
async fn an_outage_is_written_first_and_its_end_second() {
    let stored = json!({"status": {"conditions": [{"type": "StoreReachable", "status": "True",
        "lastTransitionTime": "1970-01-01T00:00:00Z"}]}});
    let was = json!({"status": {"conditions": [{"type": "StoreReachable", "status": "False",
        "lastTransitionTime": "1970-01-01T00:01:40Z"}]}});
    let version = (
        200,
        json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0",
        "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}),
    );
    let server = Scripted::new([version, answer(&was), answer(&json!({}))]);
    let (mut membership, fleet) = controller(&server);
    sees(&fleet, vec![member::tests::of("east", &stored)]).await;
    let start = Instant::now();
    let at = |second| Timestamp::from_second(second).unwrap();
    {
        let mut reach = membership.reach.lock();
        reach.failed(at(100), start, "StoreUnavailable", "away".to_owned());
        reach.succeeded(at(130), start + Duration::from_secs(30));
    }
    assert!(membership.round(&fleet).await.0);
    let status = "/apis/helium.dev/v1/members/east/status";
    assert_eq!(
        requests(&server),
        [
            "GET /version",
            &format!("PUT {status}"),
            &format!("PUT {status}")
        ]
    );
    let written = |place: usize| {
        let body = server.asked()[place].body.clone();
        status::condition(Some(&body["status"]), STORE_REACHABLE)
            .cloned()
            .unwrap()
    };
    let (first, second) = (written(1), written(2));
    assert_eq!(
        (&first["status"], &first["lastTransitionTime"]),
        (&json!("False"), &json!("1970-01-01T00:01:40Z"))
    );
    assert_eq!(
        (&second["status"], &second["lastTransitionTime"]),
        (&json!("True"), &json!("1970-01-01T00:02:10Z"))
    );
    let last = &server.asked()[2].body["status"];
    assert_eq!(
        last["endpoints"],
        json!([{"name": "direct", "url": "https://h.example.com"}])
    );
    assert_eq!(last["versions"]["kubernetes"], "v1.36.0");
    assert_eq!(
        status::condition(Some(last), READY).unwrap()["status"],
        "True"
    );
}

#[tokio::test]
async fn a_refused_change_of_labels_does_not_silence_the_status() {
    let version = refusal(500, "no version");
    let server = Scripted::new([version, refusal(422, "Invalid"), answer(&json!({}))]);
    let (mut membership, fleet) = controller(&server);
    membership.settings.labels = [("a".to_owned(), "b".to_owned())].into();
    sees(&fleet, vec![member::tests::of("east", &json!({}))]).await;
    assert!(!membership.round(&fleet).await.0);
    let main = "/apis/helium.dev/v1/members/east";
    assert_eq!(
        requests(&server)[1..],
        [format!("PUT {main}"), format!("PUT {main}/status")]
    );
    assert!(membership.complaint.is_some());
}
