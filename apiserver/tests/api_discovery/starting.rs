//! Before the definitions have been read: 503 for everything but health, and never 404.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use helium_apiserver::definitions::Catalog;

use crate::support::{Harness, Pki, config};
use crate::widgets::catalog;

#[tokio::test]
async fn while_starting_nothing_is_denied() {
    let pki = Pki::new();
    let config = config(&pki);
    let harness = Harness::start(pki, config, Catalog::default()).await;
    let client = harness.client(None);
    for path in [
        "/",
        "/api",
        "/apis",
        "/apis/g.example",
        "/apis/g.example/v1",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/apis/g.example/v1",
        "/apis/g.example/v1/widgets",
        "/nonsense",
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.code, 503, "{path}");
        assert_eq!(answer.header("retry-after"), "5", "{path}");
    }
    assert_eq!(client.get("/livez").await.code, 200);
    assert_eq!(client.get("/healthz").await.code, 200);
    assert_eq!(client.get("/version").await.code, 200);
    let ready = client.get("/readyz").await;
    assert_eq!(ready.code, 500);
    assert!(
        ready.text().contains("[-]definitions failed"),
        "{}",
        ready.text()
    );

    harness.echo.catalog.store(Arc::new(catalog(1)));
    harness.echo.started.store(true, Ordering::SeqCst);
    harness.running.ready().await;
    assert_eq!(client.get("/readyz").await.code, 200);
    assert_eq!(client.get("/apis/g.example/v1").await.code, 200);
    assert_eq!(client.get("/nonsense").await.code, 404);
}

#[tokio::test]
async fn the_version_is_one_that_clients_can_parse() {
    let harness = crate::widgets::harness().await;
    let version = harness.client(None).get("/version").await.json();
    let text = version["gitVersion"].as_str().expect("a version");
    let numbers = text
        .strip_prefix('v')
        .and_then(|rest| rest.split(['+', '-']).next());
    let numbers: Vec<u32> = numbers
        .unwrap_or_default()
        .split('.')
        .map(|n| n.parse().expect("a number"))
        .collect();
    assert_eq!(numbers.len(), 3, "{text}");
    assert_eq!(version["major"], numbers[0].to_string());
    assert_eq!(version["minor"], numbers[1].to_string());
}

#[tokio::test]
async fn readiness_ends_before_service_does() {
    let pki = Pki::new();
    let mut config = config(&pki);
    config.limits.shutdown_delay = Duration::from_secs(60);
    let harness = Harness::start(pki, config, catalog(1)).await;
    let client = harness.client(None);
    let shutdown = harness.running.shutdown();
    let stopped = tokio::spawn(harness.running.stop());
    helium_testkit::wait_for("readiness to end", Duration::from_secs(10), || async {
        client.get("/readyz").await.code == 500
    })
    .await;
    assert_eq!(client.get("/apis/g.example/v1").await.code, 200);
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(20), stopped)
        .await
        .expect("the delay is cut short")
        .expect("stopped");
}
