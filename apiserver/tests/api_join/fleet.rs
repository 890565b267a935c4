//! A fleet of one member, and what is asked of its server.

use std::time::Duration;

use helium_apiserver::config::StoreConfig;
use helium_apiserver::{Running, Server};
use helium_testkit::wait_for;
use helium_tls::pki::{Authority, Issued};
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::store::{BOUND, TestStore};
use crate::support::{Answer, Client, Pki, config, request};

const SECRET: &str = "abcdefghijklmnopqrstuvwx";

pub(crate) fn authority(name: &str) -> Authority {
    Authority::new(name).expect("an authority")
}

/// A token that opens for so many seconds.
pub(crate) fn token(id: &str, cluster: &str, seconds: u64) -> Value {
    let digest = Sha256::digest(SECRET);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let expires = Timestamp::now() + Duration::from_secs(seconds);
    json!({
        "apiVersion": "helium.dev/v1", "kind": "JoinToken", "metadata": {"name": id},
        "spec": {
            "cluster": cluster,
            "secretHash": format!("sha256:{hex}"),
            "expirationTime": expires.to_string(),
        },
    })
}

/// One cluster's server.
pub(crate) struct Member {
    running: Running,
    pub(crate) pki: Pki,
    /// Somebody who has nothing but the address.
    pub(crate) client: Client,
}

impl Member {
    async fn start(store: &TestStore, cluster: &str) -> Self {
        helium_tls::install_provider();
        let pki = Pki::new();
        let mut config = config(&pki);
        config.cluster_name = cluster.to_owned();
        config.store = StoreConfig {
            servers: vec![store.url()],
            prefix: "/registry".to_owned(),
            ..config.store
        };
        let running = Server::start(config).await.expect("a server");
        running.ready().await;
        let client = Client::new(&pki, running.local_addr(), None);
        Self {
            running,
            pki,
            client,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.client.get(path).await
    }

    pub(crate) fn client_with(&self, certificate: &Issued) -> Client {
        Client::new(&self.pki, self.running.local_addr(), Some(certificate))
    }

    pub(crate) async fn stop(self) {
        self.running.stop().await;
    }
}

/// A fleet whose one member is c1.
pub(crate) struct Fleet {
    pub(crate) store: TestStore,
    pub(crate) server: Member,
    pub(crate) authority: Authority,
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        let fleet = Self::start_open().await;
        let member = json!({
            "apiVersion": "helium.dev/v1", "kind": "Member", "metadata": {"name": "c1"},
            "spec": {"certificateAuthorities": fleet.authority.certificate_pem()},
        });
        fleet.post("/apis/helium.dev/v1/members", &member).await;
        fleet
    }

    /// Without any member.
    pub(crate) async fn start_open() -> Self {
        let store = TestStore::start().await;
        let server = Member::start(&store, "c1").await;
        Self {
            store,
            server,
            authority: authority("one"),
        }
    }

    /// Another cluster's server over the same store.
    pub(crate) async fn another(&self, cluster: &str) -> Member {
        Member::start(&self.store, cluster).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.server.get(path).await
    }

    async fn write(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &Value) {
        let sent = request(method, path, headers, body.to_string());
        let answer = self.server.client.send(sent).await;
        assert!(answer.code < 300, "{}", answer.text());
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) {
        self.write(Method::POST, path, &[], body).await;
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) {
        let merge = [("content-type", "application/merge-patch+json")];
        self.write(Method::PATCH, path, &merge, body).await;
    }

    /// Makes a token and tells it as people see it.
    pub(crate) async fn make_token(&self, token: &Value) -> String {
        self.post("/apis/helium.dev/v1/jointokens", token).await;
        let id = token["metadata"]["name"].as_str().expect("a name");
        format!("{id}.{SECRET}")
    }

    pub(crate) async fn join(&self, token: &str, cluster: &str, authority: &Authority) -> Answer {
        self.join_with(token, cluster, authority.certificate_pem())
            .await
    }

    pub(crate) async fn join_with(&self, token: &str, cluster: &str, pem: &str) -> Answer {
        let body = json!({"token": token, "cluster": cluster, "certificateAuthorities": pem});
        let sent = request(Method::POST, "/join", &[], body.to_string());
        self.server.client.send(sent).await
    }

    /// Waits until the token's time has come.
    pub(crate) async fn wait_until(&self, time: Timestamp) {
        wait_for("the time comes", BOUND, || async {
            Timestamp::now() > time
        })
        .await;
    }

    pub(crate) async fn stop(mut self) {
        self.server.stop().await;
        self.store.stop().await;
    }
}
