//! The host cluster's own settings: looked up at start, followed afterwards.

use std::time::Duration;

use helium_apiserver::Server;
use helium_apiserver::config::Kubeconfig;
use helium_apiserver::definitions::Catalog;
use helium_apiserver::server::StartError;
use serde_json::{Value, json};

use crate::host::Host;
use crate::support::{Harness, Pki, config};

const WIDGETS: &str = "/apis/g.example/v1/widgets";
const JANE: [(&str, &str); 1] = [("X-Remote-User", "jane")];

fn settings(pki: &Pki, allowed: &str) -> Value {
    json!({
        "client-ca-file": pki.client.certificate_pem(),
        "requestheader-client-ca-file": pki.proxy.certificate_pem(),
        "requestheader-allowed-names": allowed,
        "requestheader-username-headers": r#"["X-Remote-User"]"#,
        "requestheader-group-headers": r#"["X-Remote-Group"]"#,
        "requestheader-uid-headers": r#"["X-Remote-Uid"]"#,
        "requestheader-extra-headers-prefix": r#"["X-Remote-Extra-"]"#,
    })
}

async fn looked_up(pki: Pki, host: &Host) -> Harness {
    let mut config = config(&pki);
    config.authentication.client_ca_file = None;
    config.authentication.request_header = None;
    config.authentication.skip_lookup = false;
    config.authentication.kubeconfig = Kubeconfig::File(host.kubeconfig.clone());
    Harness::start(pki, config, Catalog::new(1, true, Vec::new())).await
}

#[tokio::test]
async fn front_proxy_and_client_authorities_come_from_the_cluster() {
    let pki = Pki::new();
    let host = Host::start(&pki).await;
    host.set_settings(settings(&pki, r#"["front-proxy-client"]"#));
    let harness = looked_up(pki, &host).await;
    let proxy = harness.pki.front_proxy("front-proxy-client");
    let headers = [("X-Remote-User", "jane"), ("X-Remote-Uid", "u-7")];
    let body = harness
        .client(Some(&proxy))
        .get_with(WIDGETS, &headers)
        .await
        .json();
    assert_eq!(body["user"], "jane");
    assert_eq!(body["uid"], "u-7", "the cluster names the uid header");
    let user = harness.pki.user("joe", &[]);
    assert_eq!(
        harness.client(Some(&user)).get(WIDGETS).await.json()["user"],
        "joe"
    );
}

#[tokio::test]
async fn a_change_of_the_settings_is_followed() {
    let pki = Pki::new();
    let host = Host::start(&pki).await;
    host.set_settings(settings(&pki, r#"["front-proxy-client"]"#));
    let harness = looked_up(pki, &host).await;
    let next = harness.pki.front_proxy("next-proxy");
    let client = harness.client(Some(&next));
    assert_eq!(client.get_with(WIDGETS, &JANE).await.code, 401);
    host.set_settings(settings(&harness.pki, r#"["next-proxy"]"#));
    helium_testkit::wait_for("the new name", Duration::from_secs(20), || async {
        client.get_with(WIDGETS, &JANE).await.code == 200
    })
    .await;
    // Unreadable settings must not open the door to every name.
    host.set_settings(settings(&harness.pki, "[broken"));
    host.set_settings(settings(&harness.pki, r#"["front-proxy-client"]"#));
    let former = harness.client(Some(&harness.pki.front_proxy("front-proxy-client")));
    helium_testkit::wait_for("the former name", Duration::from_secs(20), || async {
        former.get_with(WIDGETS, &JANE).await.code == 200
    })
    .await;
    let stranger = harness.client(Some(&harness.pki.front_proxy("stranger")));
    assert_eq!(stranger.get_with(WIDGETS, &JANE).await.code, 401);
}

#[tokio::test]
async fn a_lookup_that_fails_stops_the_start_unless_tolerated() {
    helium_tls::install_provider();
    let pki = Pki::new();
    let host = Host::start(&pki).await;
    let mut strict = config(&pki);
    strict.store.servers = vec!["http://127.0.0.1:1".parse().expect("a URL")];
    strict.authentication.request_header = None;
    strict.authentication.skip_lookup = false;
    strict.authentication.kubeconfig = Kubeconfig::File(host.kubeconfig.clone());
    let mut tolerant = strict.clone();
    tolerant.authentication.tolerate_lookup_failure = true;
    let error = Server::start(strict)
        .await
        .map(drop)
        .expect_err("no ConfigMap");
    assert!(matches!(error, StartError::Authentication(_)), "{error}");

    let harness = Harness::start(pki, tolerant, Catalog::new(1, true, Vec::new())).await;
    let proxy = harness.client(Some(&harness.pki.front_proxy("front-proxy-client")));
    assert_eq!(proxy.get_with(WIDGETS, &JANE).await.code, 401);
    host.set_settings(settings(&harness.pki, "[]"));
    helium_testkit::wait_for("the late settings", Duration::from_secs(20), || async {
        proxy.get_with(WIDGETS, &JANE).await.code == 200
    })
    .await;
}
