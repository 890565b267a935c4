//! Starting while the store is down: what a server knows from its last life.

use helium_testkit::wait_for;
use serde_json::json;
use tempfile::TempDir;

use crate::store::{BOUND, TestStore};
use crate::support::{
    Client, DEFINITIONS, NAMESPACE_CONTROLLER, TestServer, WIDGETS, names, widget, widgets,
};

/// A server that knows widgets, has one, and is gone; its store is stopped.
async fn a_life_before(state: &TempDir) -> TestStore {
    let mut store = TestStore::start().await;
    let server = TestServer::start_with_state(&store, "c1", state.path());
    let client = server.client();
    client.wait_served(DEFINITIONS).await;
    client.declare(&widgets()).await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    let file = state.path().join("definitions");
    wait_for("the definitions are kept", BOUND, || async {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.contains("widgets.example.com") && text.contains("Established")
    })
    .await;
    server.stop().await;
    store.stop().await;
    store
}

fn groups(server: &TestServer) -> Vec<String> {
    let catalog = server.registry().catalog();
    let versions = catalog.shared_versions().iter();
    versions
        .map(|version| version.group_version.to_string())
        .collect()
}

async fn unavailable(client: &Client) {
    for reply in [
        client.get(WIDGETS).await,
        client.get(&format!("{WIDGETS}?resourceVersion=0")).await,
        client.get(&format!("{WIDGETS}/a")).await,
        client.get(&format!("{WIDGETS}/nobody")).await,
        client.get(&format!("{WIDGETS}/a/nonsense")).await,
        client.get(&format!("{WIDGETS}?watch=true")).await,
        client.post(WIDGETS, &widget("b", "red")).await,
        client.delete(&format!("{WIDGETS}/a")).await,
        client.delete(WIDGETS).await,
        client.get("/apis/example.com/v1/gadgets").await,
        client.get("/apis/example.com/v2/widgets").await,
        client.get("/apis/other.com/v1/things").await,
    ] {
        assert_eq!(reply.code, 503, "{}", reply.body);
        assert!(reply.retry_after.is_some(), "{}", reply.body);
        assert_eq!(reply.body["kind"], "Status");
    }
}

#[tokio::test]
async fn a_server_that_starts_without_its_store_serves_the_last_known_definitions() {
    let state = TempDir::new().unwrap();
    let mut store = a_life_before(&state).await;
    let server = TestServer::start_with_state(&store, "c1", state.path());
    // At once: documents and readiness, but nothing that depends on the store, and never "not found".
    assert!(server.registry().confirm_catalog().await.is_err());
    assert!(groups(&server).contains(&"example.com/v1".to_owned()));
    let client = server.client();
    unavailable(&client).await;
    // The cluster's namespaces go all the same.
    let controller = server.client_as(NAMESPACE_CONTROLLER);
    assert_eq!(controller.delete(WIDGETS).await.code, 200);
    assert_eq!(controller.get(WIDGETS).await.ok()["items"], json!([]));

    store.resume().await;
    client.wait_served(WIDGETS).await;
    assert_eq!(names(&client.get(WIDGETS).await.ok()), ["a"]);
    let gone = client.get("/apis/example.com/v1/gadgets").await;
    assert_eq!(gone.code, 404, "{}", gone.body);
    server.stop().await;
}

#[tokio::test]
async fn a_definition_that_went_meanwhile_is_forgotten_when_the_store_is_back() {
    let state = TempDir::new().unwrap();
    let mut store = a_life_before(&state).await;
    store.resume().await;
    let other = TestServer::start(&store, "c2").await;
    let client = other.client();
    let definition = format!("{DEFINITIONS}/widgets.example.com");
    client.delete(&definition).await.ok();
    wait_for("the definition is gone", BOUND, || async {
        client.get(&definition).await.code == 404
    })
    .await;
    other.stop().await;
    store.stop().await;

    let server = TestServer::start_with_state(&store, "c1", state.path());
    assert!(groups(&server).contains(&"example.com/v1".to_owned()));
    store.resume().await;
    let client = server.client();
    wait_for("the kind is unknown", BOUND, || async {
        client.get(WIDGETS).await.code == 404
    })
    .await;
    assert!(!groups(&server).contains(&"example.com/v1".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn a_broken_file_or_none_means_that_the_store_is_waited_for() {
    let state = TempDir::new().unwrap();
    let mut store = a_life_before(&state).await;
    let file = state.path().join("definitions");
    let whole = std::fs::read(&file).unwrap();
    let cut = &whole[..whole.len() - 7];
    for content in [cut, b"", b"helium definitions v1 sha256:00\n{}"] {
        std::fs::write(&file, content).unwrap();
        let server = TestServer::start_with_state(&store, "c1", state.path());
        assert!(!server.registry().catalog().synced());
        server.stop().await;
    }
    // Of another cluster: as good as none.
    std::fs::write(&file, &whole).unwrap();
    let server = TestServer::start_with_state(&store, "c9", state.path());
    assert!(!server.registry().catalog().synced());
    store.resume().await;
    server.client().wait_served(WIDGETS).await;
    server.stop().await;
}
