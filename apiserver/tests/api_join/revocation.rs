//! A cluster that is revoked where the store judges by the members too: its connections end before the news can come
//! over them.

use std::path::PathBuf;
use std::time::Duration;

use helium_apiserver::config::StoreConfig;
use helium_apiserver::{Running, Server};
use helium_testkit::wait_for;
use helium_tls::Component;
use helium_tls::pki::Authority;
use http::Method;
use http_body_util::BodyExt;
use kine_shim::{ListenAddress, Storage, TlsConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fleet::authority;
use crate::store::BOUND;
use crate::support::{Client, Pki, config, request};

const MEMBERS: &str = "/apis/helium.dev/v1/members";
const LEASES: &str = "/apis/coordination.helium.dev/v1/namespaces/default/leases";
const NAMESPACE_CONTROLLER: &str = "system:serviceaccount:kube-system:namespace-controller";
const AT_ONCE: Duration = Duration::from_secs(2);

/// A cluster: an authority, and a server that shows the store a certificate of its own.
struct Cluster {
    name: &'static str,
    authority: Authority,
    folder: TempDir,
    pki: Pki,
    server: Option<Running>,
}

impl Cluster {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            authority: authority(name),
            folder: TempDir::new().expect("a folder"),
            pki: Pki::new(),
            server: None,
        }
    }

    fn certificate(&self, component: Component) -> (PathBuf, PathBuf) {
        self.authority
            .issue_member(self.name, component, &["127.0.0.1"])
            .and_then(|issued| issued.save(self.folder.path(), component.name()))
            .expect("a certificate")
    }

    fn authority_file(&self) -> PathBuf {
        let path = self.folder.path().join("authority.crt");
        std::fs::write(&path, self.authority.certificate_pem()).expect("written");
        path
    }

    /// Starts its server over the store of the cluster that signed the store's certificate.
    async fn serve(&mut self, shim: &kine_shim::Running, trusted: PathBuf) {
        let (certificate, key) = self.certificate(Component::ApiServer);
        let address = shim.address().expect("an address");
        let mut config = config(&self.pki);
        config.cluster_name = self.name.to_owned();
        config.tls = self.pki.serving_tls();
        config.state_dir = Some(self.folder.path().join("state"));
        config.namespace_controllers = vec![NAMESPACE_CONTROLLER.to_owned()];
        config.store = StoreConfig {
            servers: vec![format!("https://{address}").parse().expect("a URL")],
            prefix: "/registry".to_owned(),
            ca_file: Some(trusted),
            cert_file: Some(certificate),
            key_file: Some(key),
            compaction_interval: Duration::ZERO,
        };
        self.server = Some(Server::start(config).await.expect("a server"));
    }

    fn client(&self, user: &str) -> Client {
        let certificate = self.pki.user(user, &[]);
        let server = self.server.as_ref().expect("it serves");
        Client::new(&self.pki, server.local_addr(), Some(&certificate))
    }

    async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }
}

async fn start_store(cluster: &Cluster) -> kine_shim::Running {
    let (certificate, key) = cluster.certificate(Component::KineShim);
    let storage = Storage::Endpoint {
        url: format!(
            "sqlite://{}",
            cluster.folder.path().join("state.db").display()
        ),
        tls: Default::default(),
        log_id: 0,
        patience: Duration::ZERO,
    };
    let mut config = kine_shim::Config::new(storage, ListenAddress::Tcp("127.0.0.1:0".to_owned()));
    config.tls = Some(TlsConfig {
        client_ca: Some(cluster.authority_file()),
        members_prefix: Some("/registry/helium.dev/members/".to_owned()),
        ..TlsConfig::new(certificate, key)
    });
    kine_shim::Server::start(config).await.expect("a store")
}

async fn send(client: &Client, method: Method, path: &str, body: &Value) -> u16 {
    let headers: &[(&str, &str)] = match method {
        Method::PATCH => &[("content-type", "application/merge-patch+json")],
        _ => &[],
    };
    let answer = client
        .send(request(method, path, headers, body.to_string()))
        .await;
    answer.code
}

fn member(cluster: &Cluster) -> Value {
    json!({
        "apiVersion": "helium.dev/v1", "kind": "Member", "metadata": {"name": cluster.name},
        "spec": {"certificateAuthorities": cluster.authority.certificate_pem()},
    })
}

/// Waits until the cluster is refused, and tells why.
async fn wait_refused(client: &Client, bound: Duration) -> String {
    wait_for("the cluster is refused", bound, || async {
        client.get(LEASES).await.code == 403
    })
    .await;
    client.get(LEASES).await.text()
}

#[tokio::test]
async fn a_cluster_that_the_store_shuts_out_is_detached_with_the_reason() {
    let (mut one, mut two) = (Cluster::new("c1"), Cluster::new("c2"));
    let shim = start_store(&one).await;
    let trusted = one.authority_file();
    one.serve(&shim, trusted.clone()).await;
    let admin = one.client("admin");
    wait_for("the first server serves", BOUND, || async {
        send(&admin, Method::POST, MEMBERS, &member(&one)).await == 201
    })
    .await;
    assert_eq!(
        send(&admin, Method::POST, MEMBERS, &member(&two)).await,
        201
    );
    two.serve(&shim, trusted.clone()).await;
    let theirs = two.client("admin");
    wait_for("the second server serves", BOUND, || async {
        theirs.get(LEASES).await.code == 200
    })
    .await;
    let watch = theirs
        .open(request(
            Method::GET,
            &format!("{LEASES}?watch=true"),
            &[],
            "",
        ))
        .await;

    let revoked = json!({"spec": {"revoked": true, "revokedReason": "laptop stolen"}});
    let path = format!("{MEMBERS}/c2");
    assert_eq!(send(&admin, Method::PATCH, &path, &revoked).await, 200);
    let text = wait_refused(&theirs, AT_ONCE).await;
    assert!(
        text.contains("cluster c2 was revoked: laptop stolen"),
        "{text}"
    );
    let ended = tokio::time::timeout(AT_ONCE, watch.into_body().collect()).await;
    let events = ended
        .expect("the watch ends")
        .expect("a whole body")
        .to_bytes();
    let events = String::from_utf8_lossy(&events).into_owned();
    assert!(events.contains("\"type\":\"ERROR\""), "{events}");
    assert!(events.contains("laptop stolen"), "{events}");
    let leaving = two.client(NAMESPACE_CONTROLLER);
    assert_eq!(
        leaving
            .send(request(Method::DELETE, LEASES, &[], ""))
            .await
            .code,
        200
    );
    assert_eq!(theirs.get("/apis").await.code, 200);

    // Started anew it learns of it from the store's refusal alone.
    two.stop().await;
    two.serve(&shim, trusted).await;
    let theirs = two.client("admin");
    let text = wait_refused(&theirs, BOUND).await;
    assert!(text.contains("cluster c2 was revoked"), "{text}");
    let leaving = two.client(NAMESPACE_CONTROLLER);
    assert_eq!(
        leaving
            .send(request(Method::DELETE, LEASES, &[], ""))
            .await
            .code,
        200
    );

    let forgiven = json!({"spec": {"revoked": null, "revokedReason": null}});
    assert_eq!(send(&admin, Method::PATCH, &path, &forgiven).await, 200);
    wait_for("the second cluster is let in again", BOUND, || async {
        theirs.get(LEASES).await.code == 200
    })
    .await;
    one.stop().await;
    two.stop().await;
    shim.shutdown().await;
}
