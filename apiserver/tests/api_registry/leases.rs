//! Terms of leases, their fencing tokens, and writes that are allowed only while a lease is held.

use helium_apimachinery::lease::{DurationLimits, DurationPolicy};
use helium_apiserver::config::Rules;
use http::Method;
use rand::Rng;
use serde_json::{Value, json};

use crate::store::TestStore;
use crate::support::{Client, MERGE, TestServer, WIDGETS, one_server, revision, widget, widgets};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const LEADER: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases/leader";

fn lease(holder: &str, acquired: u64, transitions: u64) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "leader"},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": 15,
            "acquireTime": format!("2026-01-01T00:{:02}:{:02}.000000Z", acquired / 60, acquired % 60),
            "renewTime": "2026-01-01T00:00:00.000000Z",
            "leaseTransitions": transitions,
        },
    })
}

fn token(lease: &Value) -> Option<i64> {
    let text = lease["metadata"]["annotations"]["helium.dev/fencing-token"].as_str()?;
    Some(text.parse().expect("a token is a number"))
}

fn fenced(name: &str, fence: &str) -> Value {
    let mut widget = widget(name, "red");
    widget["metadata"]["annotations"] = json!({"helium.dev/fence": fence});
    widget
}

async fn with_fence(client: &Client, method: Method, url: &str, fence: &str) -> (u16, String) {
    let headers = [("helium-fence", fence), ("content-type", MERGE)];
    let body = match method {
        Method::PATCH => json!({"spec": {"color": "blue"}}).to_string(),
        _ => String::new(),
    };
    let (response, _) = client.send(method, url, &headers, body.into()).await;
    let code = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
    (
        code,
        String::from_utf8_lossy(&body.expect("a body")).into_owned(),
    )
}

#[tokio::test]
async fn a_token_is_the_revision_of_the_acquisition() {
    let (_store, server, client) = one_server().await;
    let first = client.post(LEASES, &lease("a", 1, 0)).await.ok();
    assert_eq!(token(&first), Some(revision(&first)));
    assert_eq!(client.get(LEADER).await.ok(), first, "and read the same");

    let mut renewed = first.clone();
    renewed["spec"]["renewTime"] = "2026-01-01T00:00:10.000000Z".into();
    // Only the server says what the token is.
    renewed["metadata"]["annotations"]["helium.dev/fencing-token"] = "999999".into();
    let renewed = client.put(LEADER, &renewed).await.ok();
    assert!(revision(&renewed) > revision(&first));
    assert_eq!(token(&renewed), token(&first), "a renewal is no new term");
    assert_eq!(client.get(LEADER).await.ok(), renewed);

    let mut taken = renewed.clone();
    taken["spec"]["holderIdentity"] = "b".into();
    taken["spec"]["leaseTransitions"] = 1.into();
    let taken = client.put(LEADER, &taken).await.ok();
    assert_eq!(
        token(&taken),
        Some(revision(&taken)),
        "a new holder, a new term"
    );

    let mut free = taken.clone();
    free["spec"]["holderIdentity"] = "".into();
    let free = client.put(LEADER, &free).await.ok();
    assert_eq!(token(&free), None);
    server.stop().await;
}

// The official Python client's LeaseLock sends a Lease without them.
#[tokio::test]
async fn a_lease_need_not_say_what_it_is() {
    let (_store, server, client) = one_server().await;
    let mut bare = lease("a", 1, 0);
    let members = bare.as_object_mut().expect("an object");
    members.remove("apiVersion");
    members["kind"] = Value::Null;
    let created = client.post(LEASES, &bare).await.ok();
    assert_eq!(created["kind"], "Lease");
    assert_eq!(created["apiVersion"], "coordination.k8s.io/v1");
    // A custom kind is told apart by what the body says alone.
    let mut bare = widget("w", "red");
    bare.as_object_mut().expect("an object").remove("kind");
    let refused = client.post(WIDGETS, &bare).await;
    assert_eq!(refused.code, 400);
    server.stop().await;
}

#[tokio::test]
async fn a_write_is_taken_only_while_its_lease_is_held() {
    let (_store, server, client) = one_server().await;
    let url = |name: &str| format!("{WIDGETS}/{name}");
    let held = client.post(LEASES, &lease("a", 1, 0)).await.ok();
    let mine = format!("default/leader={}", token(&held).unwrap());

    let created = client.post(WIDGETS, &fenced("w", &mine)).await.ok();
    assert_eq!(
        created["metadata"]["annotations"]["helium.dev/fence"],
        Value::Null,
        "it isn't stored"
    );
    let (code, body) = with_fence(&client, Method::PATCH, &url("w"), &mine).await;
    assert_eq!(code, 200, "{body}");

    let mut renewed = held.clone();
    renewed["spec"]["renewTime"] = "2026-01-01T00:00:10.000000Z".into();
    let renewed = client.put(LEADER, &renewed).await.ok();
    client
        .patch(
            &url("w"),
            MERGE,
            &json!({
                "metadata": {"annotations": {"helium.dev/fence": mine}}, "spec": {"color": "red"},
            }),
        )
        .await
        .ok();

    let mut taken = renewed;
    taken["spec"]["holderIdentity"] = "b".into();
    let taken = client.put(LEADER, &taken).await.ok();
    let theirs = format!("default/leader={}", token(&taken).unwrap());
    let message = client
        .post(WIDGETS, &fenced("late", &mine))
        .await
        .fails(409, "Conflict");
    assert!(
        message.contains(&format!(
            "lease default/leader is not held at token {}",
            token(&held).unwrap()
        )) && message.contains(&format!(
            "\"b\" of cluster \"c1\" holds it at token {}",
            token(&taken).unwrap()
        )),
        "{message}"
    );
    let nothing = json!({"metadata": {"annotations": {"helium.dev/fence": mine}}});
    for url in [url("w"), format!("{}?dryRun=All", url("w"))] {
        // Where nothing is written the lease is looked at all the same.
        client
            .patch(&url, MERGE, &nothing)
            .await
            .fails(409, "Conflict");
    }
    client
        .post(&format!("{WIDGETS}?dryRun=All"), &fenced("dry", &mine))
        .await
        .fails(409, "Conflict");
    for method in [Method::PATCH, Method::DELETE] {
        let (code, body) = with_fence(&client, method, &url("w"), &mine).await;
        assert_eq!(code, 409, "{body}");
    }
    client.get(&url("late")).await.fails(404, "NotFound");
    assert_eq!(client.get(&url("w")).await.ok()["spec"]["color"], "red");

    client.delete(LEADER).await.ok();
    let (code, body) = with_fence(&client, Method::DELETE, &url("w"), &theirs).await;
    assert!(
        code == 409 && body.contains("nobody holds it now"),
        "{code} {body}"
    );
    let again = client.post(LEASES, &lease("b", 1, 0)).await.ok();
    let theirs = format!("default/leader={}", token(&again).unwrap());
    let (code, body) = with_fence(&client, Method::DELETE, &url("w"), &theirs).await;
    assert_eq!(code, 200, "{body}");
    server.stop().await;
}

#[tokio::test]
async fn a_lease_that_was_given_up_fences_its_last_holder() {
    let (_store, server, client) = one_server().await;
    let held = client.post(LEASES, &lease("a", 1, 0)).await.ok();
    let mine = format!("default/leader={}", token(&held).unwrap());
    let mut free = held;
    free["spec"]["holderIdentity"] = "".into();
    client.put(LEADER, &free).await.ok();
    client
        .post(WIDGETS, &fenced("w", &mine))
        .await
        .fails(409, "Conflict");
    server.stop().await;
}

#[tokio::test]
async fn fences_that_make_no_sense_are_refused() {
    let (_store, server, client) = one_server().await;
    for wrong in [
        "",
        "leader",
        "default/leader",
        "default/leader=zero",
        "default/leader=-1",
    ] {
        let message = client
            .post(WIDGETS, &fenced("w", wrong))
            .await
            .fails(400, "BadRequest");
        assert!(message.contains("<namespace>/<lease>=<token>"), "{message}");
    }
    let message = client
        .post(WIDGETS, &fenced("w", "default/nobody=7"))
        .await
        .fails(409, "Conflict");
    assert!(message.contains("nobody holds it now"), "{message}");
    server.stop().await;
}

/// A candidate that takes the lease from whoever holds it, dozes, and then writes what it believes to be allowed to.
async fn lead(client: Client, name: String, rounds: u64, mut random: rand::rngs::StdRng) -> u64 {
    let mut refused = 0;
    for round in 0..rounds {
        let mut current = client.get(LEADER).await.ok();
        current["spec"]["holderIdentity"] = name.clone().into();
        current["spec"]["leaseTransitions"] = (revision(&current)).into();
        let reply = client.put(LEADER, &current).await;
        if reply.code != 200 {
            continue;
        }
        let token = token(&reply.ok()).expect("held");
        for step in 0..3_u32 {
            for _ in 0..random.random_range(0..20) {
                tokio::task::yield_now().await;
            }
            let change = json!({
                "metadata": {"annotations": {
                    "helium.dev/fence": format!("default/leader={token}"),
                    "token": token.to_string(),
                    "work": format!("{name} {round} {step}"),
                }},
            });
            let reply = client.patch(&format!("{WIDGETS}/w"), MERGE, &change).await;
            match reply.code {
                200 => {}
                409 => refused += 1,
                code => panic!("{code}: {}", reply.body),
            }
        }
    }
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_of_an_older_term_follows_one_of_a_newer() {
    let store = TestStore::start().await;
    let servers = [
        TestServer::start(&store, "c1").await,
        TestServer::start(&store, "c2").await,
    ];
    let client = servers[0].client();
    client.declare(&widgets()).await;
    servers[1].client().wait_served(WIDGETS).await;
    let start = client.post(WIDGETS, &widget("w", "red")).await.ok();
    client.post(LEASES, &lease("nobody", 0, 0)).await.ok();
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let candidates: Vec<_> = (0..6)
        .map(|number: u64| {
            let client = servers[number as usize % 2].client();
            let random = rand::SeedableRng::seed_from_u64(seed ^ number);
            tokio::spawn(lead(client, format!("candidate-{number}"), 15, random))
        })
        .collect();
    let mut refused = 0;
    for candidate in candidates {
        refused += candidate.await.expect("a candidate ends well");
    }
    assert!(refused > 0, "nobody was ever late: the test shows nothing");

    let last = revision(&client.get(&format!("{WIDGETS}/w")).await.ok());
    let url = format!("{WIDGETS}?watch=1&resourceVersion={}", revision(&start));
    let mut events = client.watch(&url).await;
    let (mut newest, mut seen) = (0_i64, 0);
    loop {
        let event = events.next().await.expect("the watch goes on");
        let object = &event["object"];
        let token = object["metadata"]["annotations"]["token"]
            .as_str()
            .expect("a token");
        let token: i64 = token.parse().expect("a number");
        assert!(
            token >= newest,
            "a write at token {token} came after one at {newest}"
        );
        newest = token;
        seen += 1;
        if revision(object) == last {
            break;
        }
    }
    assert!(seen > 1, "{seen} writes");
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test]
async fn implausible_durations_are_refused_or_capped_as_the_server_was_told() {
    let (store, server, client) = one_server().await;
    let mut lasting = lease("a", 1, 0);
    lasting["spec"]["leaseDurationSeconds"] = 86_400.into();
    let message = client.post(LEASES, &lasting).await.fails(422, "Invalid");
    assert!(
        message.contains(
            "spec.leaseDurationSeconds: Invalid value: 86400: must be from 1 to 3600 seconds"
        ) && message.contains("--lease-duration-max"),
        "{message}"
    );
    let held = client.post(LEASES, &lease("a", 1, 0)).await.ok();
    client
        .patch(
            LEADER,
            MERGE,
            &json!({"spec": {"leaseDurationSeconds": 3601}}),
        )
        .await
        .fails(422, "Invalid");
    server.stop().await;

    let rules = Rules {
        lease_durations: DurationLimits {
            min: 10,
            max: 60,
            policy: DurationPolicy::Cap,
        },
        ..Rules::default()
    };
    let capping = TestServer::start_with(&store, "c1", rules);
    let client = capping.client();
    client.wait_served(LEADER).await;
    let mut renewed = held;
    renewed["spec"]["leaseDurationSeconds"] = 86_400.into();
    let answer = client.put(LEADER, &renewed).await;
    assert!(
        answer
            .warnings
            .iter()
            .any(|warning| warning.contains("86400 was changed to 60")),
        "{:?}",
        answer.warnings
    );
    let mut given_up = answer.ok();
    assert_eq!(given_up["spec"]["leaseDurationSeconds"], 60);
    // As client-go gives a lease up.
    given_up["spec"]["holderIdentity"] = "".into();
    given_up["spec"]["leaseDurationSeconds"] = 1.into();
    let answer = client.put(LEADER, &given_up).await;
    assert_eq!(answer.warnings, [""; 0]);
    assert_eq!(answer.ok()["spec"]["leaseDurationSeconds"], 1);
    capping.stop().await;
}
