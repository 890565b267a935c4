//! What every request passes, whoever sent it.

use std::time::Duration;

use helium_apiserver::definitions::Catalog;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;

use crate::support::{Harness, Pki, assert_status, config, request};

const WIDGETS: &str = "/apis/g.example/v1/widgets";

async fn with_limits(change: impl FnOnce(&mut helium_apiserver::config::Limits)) -> Harness {
    let pki = Pki::new();
    let mut config = config(&pki);
    change(&mut config.limits);
    Harness::start(pki, config, Catalog::new(1, true, Vec::new())).await
}

#[tokio::test]
async fn verbs_and_names_are_read_from_the_path() {
    let harness = Harness::plain().await;
    let client = harness.client(None);
    let cases = [
        (Method::GET, "/apis/g/v1/widgets", "list", json!(null)),
        (
            Method::GET,
            "/apis/g/v1/widgets/a?watch=1",
            "get",
            json!("a"),
        ),
        (Method::HEAD, "/apis/g/v1/widgets/a", "get", json!("a")),
        (Method::POST, "/apis/g/v1/widgets", "create", json!(null)),
        (
            Method::PUT,
            "/apis/g/v1/widgets/a/status",
            "update",
            json!("a"),
        ),
        (
            Method::PATCH,
            "/apis/g/v1/namespaces/n/widgets/a",
            "patch",
            json!("a"),
        ),
        (
            Method::DELETE,
            "/apis/g/v1/namespaces/n/widgets/a",
            "delete",
            json!("a"),
        ),
        (
            Method::DELETE,
            "/apis/g/v1/namespaces/n/widgets",
            "deletecollection",
            json!(null),
        ),
        (Method::GET, "/api/v1/namespaces/n", "get", json!("n")),
        (
            Method::GET,
            "/apis/g/v1/watch/widgets",
            "watch",
            json!(null),
        ),
    ];
    for (method, path, verb, name) in cases {
        let answer = client.send(request(method.clone(), path, &[], "")).await;
        if method == Method::HEAD {
            assert_eq!((answer.code, answer.body.len()), (200, 0));
            assert_ne!(answer.header("content-length"), "");
            continue;
        }
        let body = answer.json();
        assert_eq!(
            (&body["verb"], &body["name"]),
            (&json!(verb), &name),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_server_goes_on() {
    let harness = Harness::plain().await;
    let client = harness.client(None);
    let answer = client.get("/apis/g/v1/panics").await;
    assert_status(&answer, StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
    assert_eq!(client.get(WIDGETS).await.code, 200);
    let metrics = client.get("/metrics").await.text();
    assert!(
        metrics.contains("apiserver_request_panics_total 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let harness = with_limits(|limits| limits.max_body_bytes = 1000).await;
    let client = harness.client(None);
    let fits = client
        .send(request(Method::POST, WIDGETS, &[], vec![b'x'; 1000]))
        .await;
    assert_eq!(fits.json()["bytes"], 1000);
    let answer = client
        .send(request(Method::POST, WIDGETS, &[], vec![b'x'; 1001]))
        .await;
    assert_status(
        &answer,
        StatusCode::PAYLOAD_TOO_LARGE,
        "RequestEntityTooLarge",
    );
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_504() {
    let harness = with_limits(|limits| limits.request_timeout = Duration::from_millis(50)).await;
    let answer = harness.client(None).get("/apis/g/v1/hangs").await;
    assert_status(&answer, StatusCode::GATEWAY_TIMEOUT, "Timeout");
}

#[tokio::test]
async fn a_client_may_ask_for_less_time_and_must_write_it_well() {
    let harness = Harness::plain().await;
    let client = harness.client(None);
    let answer = client.get("/apis/g/v1/hangs?timeout=20ms").await;
    assert_status(&answer, StatusCode::GATEWAY_TIMEOUT, "Timeout");
    let answer = client.get("/apis/g/v1/widgets?timeout=soon").await;
    assert_status(&answer, StatusCode::BAD_REQUEST, "BadRequest");
}

#[tokio::test]
async fn over_the_limit_is_429_except_for_masters_and_for_what_is_in_memory() {
    let harness = with_limits(|limits| limits.max_requests_inflight = 1).await;
    let client = harness.client(None);
    let holder = client.clone();
    let held = tokio::spawn(async move { holder.get("/apis/g/v1/hangs").await });
    helium_testkit::wait_for("the place to be taken", Duration::from_secs(10), || async {
        client.get(WIDGETS).await.code == 429
    })
    .await;
    let answer = client.get(WIDGETS).await;
    assert_status(&answer, StatusCode::TOO_MANY_REQUESTS, "TooManyRequests");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(client.get("/version").await.code, 200);
    assert_eq!(client.get("/readyz").await.code, 200);
    let writes = client.send(request(Method::POST, WIDGETS, &[], "{}")).await;
    assert_eq!(writes.code, 200, "writing requests are counted apart");
    let master = harness.pki.user("root", &["system:masters"]);
    assert_eq!(harness.client(Some(&master)).get(WIDGETS).await.code, 200);
    held.abort();
    helium_testkit::wait_for("the place to be free", Duration::from_secs(10), || async {
        client.get(WIDGETS).await.code == 200
    })
    .await;
}

#[tokio::test]
async fn answers_carry_warnings_an_audit_id_and_cache_rules() {
    let harness = Harness::plain().await;
    let client = harness.client(None);
    let answer = client
        .get_with("/apis/g/v1/warners", &[("Audit-ID", "abc")])
        .await;
    let warnings: Vec<_> = answer.headers.get_all("warning").iter().collect();
    assert_eq!(
        warnings,
        [r#"299 - "first""#, r#"299 - "second \"quoted\"""#]
    );
    assert_eq!(answer.header("audit-id"), "abc");
    assert_eq!(answer.header("cache-control"), "no-cache, private");
    let other = client.get(WIDGETS).await;
    assert_eq!(other.header("audit-id").len(), 36, "a fresh one");
}

#[tokio::test]
async fn large_documents_are_compressed_for_those_who_take_it() {
    let harness = Harness::plain().await;
    let client = harness.client(None);
    let gzip = [("Accept-Encoding", "gzip")];
    let large = client.get_with("/apis/g/v1/large", &gzip).await;
    assert_eq!(large.header("content-encoding"), "gzip");
    assert!(large.body.len() < 10_000);
    assert_eq!(
        client
            .get_with(WIDGETS, &gzip)
            .await
            .header("content-encoding"),
        ""
    );
    assert_eq!(
        client
            .get("/apis/g/v1/large")
            .await
            .header("content-encoding"),
        ""
    );
}

#[tokio::test]
async fn people_get_indented_json() {
    let harness = Harness::plain().await;
    let client = harness.client(None);
    let pretty = client
        .get_with(WIDGETS, &[("User-Agent", "curl/8.5")])
        .await;
    assert!(pretty.text().starts_with("{\n  \""));
    let plain = [("User-Agent", "kubectl/v1.36.3")];
    assert_eq!(pretty.json(), client.get_with(WIDGETS, &plain).await.json());
}

#[tokio::test]
async fn shutdown_ends_streams_between_two_events() {
    let harness = Harness::plain().await;
    let path = "/apis/g/v1/streams?watch=true";
    let response = harness
        .client(None)
        .open(request(Method::GET, path, &[], ""))
        .await;
    let mut body = response.into_body();
    let first = body.frame().await.expect("an event").expect("whole");
    assert_eq!(first.into_data().expect("data"), "{\"beat\":1}\n");
    let stop = tokio::spawn(harness.running.stop());
    let rest = tokio::time::timeout(Duration::from_secs(8), body.collect())
        .await
        .expect("the stream ends in time")
        .expect("and ends well");
    let rest = rest.to_bytes();
    assert_eq!(rest.len() % b"{\"beat\":1}\n".len(), 0, "no event is cut");
    tokio::time::timeout(Duration::from_secs(8), stop)
        .await
        .expect("in time")
        .expect("stopped");
}

#[tokio::test]
async fn methods_that_mean_nothing_are_405() {
    let harness = Harness::plain().await;
    let client = harness.client(None);
    let answer = client
        .send(request(Method::OPTIONS, WIDGETS, &[], ""))
        .await;
    assert_status(&answer, StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed");
    let answer = client
        .send(request(Method::POST, "/version", &[], ""))
        .await;
    assert_eq!(answer.code, 405);
}
