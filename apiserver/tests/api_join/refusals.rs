//! Who doesn't join, and is told why.

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use crate::fleet::{Fleet, authority, token};
use crate::support::{Answer, assert_status, request};

#[track_caller]
fn says(answer: &Answer, code: StatusCode, reason: &str, text: &str) {
    assert_status(answer, code, reason);
    let message = answer.json()["message"]
        .as_str()
        .expect("a message")
        .to_owned();
    assert!(message.contains(text), "{message}");
}

#[tokio::test]
async fn an_unknown_token_and_a_wrong_secret_are_told_the_same() {
    let fleet = Fleet::start().await;
    fleet.make_token(&token("abc123", "c4", 900)).await;
    let own = authority("four");
    let wrong = fleet
        .join("abc123.xxxxxxxxxxxxxxxxxxxxxxxx", "c4", &own)
        .await;
    let unknown = fleet
        .join("xyz789.xxxxxxxxxxxxxxxxxxxxxxxx", "c4", &own)
        .await;
    says(
        &wrong,
        StatusCode::UNAUTHORIZED,
        "Unauthorized",
        "the token is unknown or its secret wrong",
    );
    assert_eq!(wrong.json(), unknown.json());
    says(
        &fleet.join("nonsense", "c4", &own).await,
        StatusCode::UNAUTHORIZED,
        "Unauthorized",
        "",
    );
    assert_eq!(fleet.get("/apis/helium.dev/v1/members/c4").await.code, 404);
    fleet.stop().await;
}

#[tokio::test]
async fn an_expired_used_or_other_clusters_token_says_so() {
    let fleet = Fleet::start().await;
    let own = authority("four");
    let secret = fleet.make_token(&token("short1", "c4", 3)).await;
    fleet
        .wait_until(Timestamp::now() + std::time::Duration::from_secs(3))
        .await;
    let late = fleet.join(&secret, "c4", &own).await;
    says(
        &late,
        StatusCode::FORBIDDEN,
        "Forbidden",
        "the token expired at ",
    );
    says(
        &late,
        StatusCode::FORBIDDEN,
        "Forbidden",
        "this server's clock says ",
    );

    let secret = fleet.make_token(&token("abc123", "c4", 900)).await;
    let other = fleet.join(&secret, "c5", &own).await;
    says(
        &other,
        StatusCode::FORBIDDEN,
        "Forbidden",
        "the token is for cluster \"c4\"",
    );
    assert_eq!(fleet.join(&secret, "c4", &own).await.code, 201);
    let again = fleet.join(&secret, "c4", &authority("five")).await;
    says(
        &again,
        StatusCode::FORBIDDEN,
        "Forbidden",
        "the token was used at ",
    );
    fleet.stop().await;
}

#[tokio::test]
async fn taken_names_known_authorities_and_bad_pem_leave_the_token_good() {
    let fleet = Fleet::start().await;
    let own = authority("four");
    let first = fleet.make_token(&token("first1", "c1", 900)).await;
    let taken = fleet.join(&first, "c1", &own).await;
    says(
        &taken,
        StatusCode::CONFLICT,
        "Conflict",
        "there is a member of that name",
    );

    let secret = fleet.make_token(&token("abc123", "c4", 900)).await;
    let known = fleet.join(&secret, "c4", &fleet.authority).await;
    says(
        &known,
        StatusCode::CONFLICT,
        "Conflict",
        "the authority CN=one is member c1's already",
    );
    let issued = own.issue_client("leaf", &[]).expect("a certificate");
    for (pem, text) in [
        ("", "not a list of certificates"),
        (
            issued.certificate_pem.as_str(),
            "certificate 1 (CN=leaf) is no authority",
        ),
        (issued.key_pem.as_str(), "holds a private key"),
    ] {
        let answer = fleet.join_with(&secret, "c4", pem).await;
        says(&answer, StatusCode::UNPROCESSABLE_ENTITY, "Invalid", text);
    }
    let name = fleet.join(&secret, "C4", &own).await;
    says(
        &name,
        StatusCode::UNPROCESSABLE_ENTITY,
        "Invalid",
        "cluster: Invalid value",
    );
    assert_eq!(fleet.join(&secret, "c4", &own).await.code, 201);
    fleet.stop().await;
}

#[tokio::test]
async fn nobody_joins_an_open_fleet() {
    let fleet = Fleet::start_open().await;
    let secret = fleet.make_token(&token("abc123", "c4", 900)).await;
    let answer = fleet.join(&secret, "c4", &authority("four")).await;
    says(
        &answer,
        StatusCode::CONFLICT,
        "Conflict",
        "run helium init for cluster c1 first",
    );
    fleet.stop().await;
}

#[tokio::test]
async fn the_path_means_nothing_but_a_direct_post() {
    let fleet = Fleet::start().await;
    let client = &fleet.server.client;
    let answer = client.get("/join").await;
    assert_eq!((answer.code, answer.header("allow")), (405, "POST"));
    let post = |path: &str| request(Method::POST, path, &[], "{}");
    let behind = "/apis/helium.dev/v1/controlplanes/fleet/proxy/join";
    assert_eq!(client.send(post(behind)).await.code, 404);
    let proxy = fleet.server.pki.front_proxy("front-proxy-client");
    let through = fleet.server.client_with(&proxy);
    let answer = through.send(post("/join")).await;
    says(
        &answer,
        StatusCode::FORBIDDEN,
        "Forbidden",
        "not through a cluster's API server",
    );
    let answer = client.send(post("/join")).await;
    says(
        &answer,
        StatusCode::BAD_REQUEST,
        "BadRequest",
        "the body is no request to join",
    );
    let large = json!({"token": "x".repeat(200_000)}).to_string();
    let answer = client
        .send(request(Method::POST, "/join", &[], large))
        .await;
    assert_eq!(answer.code, 413);
    fleet.stop().await;
}

#[tokio::test]
async fn who_guesses_is_slowed_down_and_whoever_is_right_isnt() {
    let fleet = Fleet::start().await;
    let own = authority("four");
    for at in 0..15 {
        let id = format!("good{at:02}");
        let name = format!("good-{at}");
        let secret = fleet.make_token(&token(&id, &name, 900)).await;
        let answer = fleet.join(&secret, &name, &authority("good")).await;
        assert_eq!(answer.code, 201, "{}", answer.text());
    }
    let mut last = None;
    for _ in 0..12 {
        let answer = fleet
            .join("guess1.xxxxxxxxxxxxxxxxxxxxxxxx", "c4", &own)
            .await;
        last = Some(answer);
    }
    let last = last.expect("an answer");
    says(
        &last,
        StatusCode::TOO_MANY_REQUESTS,
        "TooManyRequests",
        "too many wrong tokens from this address",
    );
    let wait: u32 = last.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    fleet.stop().await;
}
