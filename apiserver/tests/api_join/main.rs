//! Joining the fleet: a whole server over TLS, a store of the test's own, and a cluster that has nothing but a token.

mod fleet;
mod refusals;
mod revocation;
#[path = "../api_registry/store.rs"]
#[allow(
    dead_code,
    reason = "shared with another test program, which uses more of it"
)]
mod store;
#[path = "../admit_requests/support.rs"]
mod support;
mod ways;

use helium_testkit::wait_for;
use http::{Method, StatusCode};
use serde_json::json;

use crate::fleet::{Fleet, authority, token};
use crate::store::BOUND;
use crate::support::{assert_status, request};

#[tokio::test]
async fn a_cluster_joins_with_a_token_and_learns_whom_to_trust() {
    let fleet = Fleet::start().await;
    let secret = fleet.make_token(&token("abc123", "c4", 900)).await;
    let own = authority("four");
    let answer = fleet.join(&secret, "c4", &own).await;
    assert_eq!(answer.code, 201, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["member"]["metadata"]["name"], "c4");
    assert_eq!(
        body["member"]["metadata"]["finalizers"],
        json!(["helium.dev/member-cleanup"])
    );
    assert_eq!(
        body["member"]["metadata"]["annotations"]["helium.dev/origin-cluster"],
        "c1"
    );
    assert_eq!(body["clusters"], json!(["c1", "c4"]));
    let trusted: Vec<_> = body["trust"].as_array().expect("a list").iter().collect();
    assert_eq!(
        trusted[0]["certificateAuthorities"],
        fleet.authority.certificate_pem()
    );
    assert_eq!(trusted[1]["certificateAuthorities"], own.certificate_pem());

    let stored = fleet.get("/apis/helium.dev/v1/members/c4").await.json();
    assert_eq!(stored, body["member"]);
    let used = fleet
        .get("/apis/helium.dev/v1/jointokens/abc123")
        .await
        .json();
    assert!(used["status"]["usedTime"].is_string(), "{used}");
    fleet.stop().await;
}

#[tokio::test]
async fn of_two_that_show_one_token_at_once_one_joins() {
    let fleet = Fleet::start().await;
    for round in 0..5 {
        let id = format!("token{round}");
        let secret = fleet
            .make_token(&token(&id, &format!("c-{round}"), 900))
            .await;
        let name = format!("c-{round}");
        let (one, two) = (authority("one"), authority("two"));
        let (x, y) = tokio::join!(
            fleet.join(&secret, &name, &one),
            fleet.join(&secret, &name, &two)
        );
        let mut codes = [x.code, y.code];
        codes.sort_unstable();
        assert_eq!(codes[0], 201, "{} {}", x.text(), y.text());
        let loser = if x.code == 201 { y } else { x };
        // The token is used, unless the name was seen to be taken first.
        assert!([403, 409].contains(&loser.code), "{}", loser.text());
        let third = authority("three");
        assert_eq!(fleet.join(&secret, &name, &third).await.code, 403);
    }
    fleet.stop().await;
}

/// A cluster whose answer was lost could once only start again with another name.
#[tokio::test]
async fn a_cluster_that_lost_the_answer_gets_it_again() {
    let fleet = Fleet::start().await;
    let secret = fleet.make_token(&token("abc123", "c4", 900)).await;
    let own = authority("four");
    let first = fleet.join(&secret, "c4", &own).await;
    assert_eq!(first.code, 201, "{}", first.text());
    let again = fleet.join(&secret, "c4", &own).await;
    assert_eq!(again.code, 200, "{}", again.text());
    assert_eq!(again.json(), first.json());
    // Nobody else does: not with another secret, authority or name, and not when the cluster was shut out.
    let wrong = format!("abc123.{}", "x".repeat(24));
    assert_eq!(fleet.join(&wrong, "c4", &own).await.code, 401);
    assert_eq!(
        fleet.join(&secret, "c4", &authority("other")).await.code,
        403
    );
    assert_eq!(fleet.join(&secret, "c5", &own).await.code, 403);
    let revoked = json!({"spec": {"revoked": true, "revokedReason": "lost"}});
    fleet
        .patch("/apis/helium.dev/v1/members/c4", &revoked)
        .await;
    assert_eq!(fleet.join(&secret, "c4", &own).await.code, 403);
    fleet.stop().await;
}

#[tokio::test]
async fn clusters_join_side_by_side() {
    let fleet = Fleet::start().await;
    let mut joins = Vec::new();
    for at in 0..4 {
        let name = format!("side-{at}");
        let secret = fleet
            .make_token(&token(&format!("side0{at}"), &name, 900))
            .await;
        joins.push((name, secret, authority("side")));
    }
    let answers = joins
        .iter()
        .map(|(name, secret, authority)| fleet.join(secret, name, authority));
    for answer in futures_util::future::join_all(answers).await {
        assert_eq!(answer.code, 201, "{}", answer.text());
    }
    let members = fleet.get("/apis/helium.dev/v1/members").await.json();
    assert_eq!(members["items"].as_array().expect("items").len(), 5);
    fleet.stop().await;
}

#[tokio::test]
async fn without_the_store_nothing_is_half_done_and_the_token_still_opens() {
    let mut fleet = Fleet::start().await;
    let secret = fleet.make_token(&token("abc123", "c4", 900)).await;
    let own = authority("four");
    fleet.store.stop().await;
    let answer = fleet.join(&secret, "c4", &own).await;
    assert_status(
        &answer,
        StatusCode::SERVICE_UNAVAILABLE,
        "ServiceUnavailable",
    );
    assert!(!answer.header("retry-after").is_empty());
    fleet.store.resume().await;
    wait_for("the store is back", BOUND, || async {
        fleet.get("/apis/helium.dev/v1/members").await.code == 200
    })
    .await;
    assert_eq!(fleet.get("/apis/helium.dev/v1/members/c4").await.code, 404);
    let answer = fleet.join(&secret, "c4", &own).await;
    assert_eq!(answer.code, 201, "{}", answer.text());
    fleet.stop().await;
}

#[tokio::test]
async fn a_revoked_cluster_is_refused_behind_the_control_planes_proxy_too() {
    let fleet = Fleet::start().await;
    let secret = fleet.make_token(&token("abc123", "c4", 900)).await;
    assert_eq!(
        fleet.join(&secret, "c4", &authority("four")).await.code,
        201
    );
    let other = fleet.another("c4").await;
    let proxy = "/apis/helium.dev/v1/controlplanes/fleet/proxy";
    let leases = format!("{proxy}/apis/coordination.k8s.io/v1/namespaces/default/leases");
    assert_eq!(other.get(&leases).await.code, 200);
    fleet
        .patch(
            "/apis/helium.dev/v1/members/c4",
            &json!({"spec": {"revoked": true, "revokedReason": "sold"}}),
        )
        .await;
    let refused = || async { other.get(&leases).await.code == 403 };
    wait_for(
        "the cluster is refused",
        std::time::Duration::from_secs(2),
        refused,
    )
    .await;
    let answer = other.get(&leases).await;
    assert!(
        answer.text().contains("cluster c4 was revoked: sold"),
        "{}",
        answer.text()
    );
    for path in [
        "/apis",
        "/readyz",
        "/openapi/v3",
        "/version",
        "/apis/coordination.helium.dev/v1",
    ] {
        assert_eq!(other.get(path).await.code, 200, "{path}");
        assert_eq!(
            other.get(&format!("{proxy}{path}")).await.code,
            200,
            "{path}"
        );
    }
    // Nobody joins through it either.
    let body = json!({"token": "a.b", "cluster": "c5", "certificateAuthorities": ""}).to_string();
    let answer = other
        .client
        .send(request(Method::POST, "/join", &[], body))
        .await;
    assert_status(&answer, StatusCode::FORBIDDEN, "Forbidden");
    other.stop().await;
    fleet.stop().await;
}
