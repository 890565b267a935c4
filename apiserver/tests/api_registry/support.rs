//! Servers, clients and sample kinds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use helium_apiserver::authn::UserInfo;
use helium_apiserver::backend::{ApiRequest, Backend, WarningSink};
use helium_apiserver::config::{
    Authentication, Authorization, Config, Limits, Rules, ServingTls, StoreConfig,
};
use helium_apiserver::registry::Registry;
use helium_apiserver::request_info::RequestInfo;
use helium_testkit::wait_for;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::store::{BOUND, TestStore};

pub(crate) const NAMESPACE_CONTROLLER: &str =
    "system:serviceaccount:kube-system:namespace-controller";
pub(crate) const GARBAGE_COLLECTOR: &str =
    "system:serviceaccount:kube-system:generic-garbage-collector";
pub(crate) const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";

pub(crate) const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";
pub(crate) const ALL_WIDGETS: &str = "/apis/example.com/v1/widgets";
pub(crate) const DEFINITIONS: &str = "/apis/helium.dev/v1/sharedresourcedefinitions";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";

/// A server without its HTTP layers.
pub(crate) struct TestServer {
    registry: Arc<Registry>,
    shutdown: CancellationToken,
}

impl TestServer {
    /// A server of a cluster that has read its definitions.
    pub(crate) async fn start(store: &TestStore, cluster: &str) -> Self {
        Self::start_unready(store, cluster).ready().await
    }

    /// A server that serves its cluster only as long as that is a member of the fleet.
    pub(crate) async fn start_requiring_member(store: &TestStore, cluster: &str) -> Self {
        let shutdown = CancellationToken::new();
        let config = Config {
            require_member: true,
            ..config(store, cluster)
        };
        let registry = Registry::start(&config, shutdown.clone()).expect("a registry");
        let server = Self { registry, shutdown };
        let registry = Arc::clone(&server.registry);
        wait_for(
            "the definitions and the members are read",
            BOUND,
            || async { registry.is_started() && registry.members().roster().is_known() },
        )
        .await;
        server
    }

    async fn ready(self) -> Self {
        let server = self;
        let registry = Arc::clone(&server.registry);
        wait_for("the definitions are read", BOUND, || async {
            registry.is_started()
        })
        .await;
        // The server makes this one itself: afterwards every revision is a test's own doing.
        let client = server.client();
        wait_for("the control plane's object is made", BOUND, || async {
            client.get(FLEET).await.code == 200
        })
        .await;
        server
    }

    pub(crate) fn start_unready(store: &TestStore, cluster: &str) -> Self {
        Self::start_as(config(store, cluster))
    }

    /// A server with rules of the test's own.
    pub(crate) fn start_with(store: &TestStore, cluster: &str, rules: Rules) -> Self {
        Self::start_as(Config {
            rules,
            ..config(store, cluster)
        })
    }

    /// A server that keeps a state directory; it may have nothing to read yet.
    pub(crate) fn start_with_state(store: &TestStore, cluster: &str, state: &Path) -> Self {
        Self::start_as(Config {
            state_dir: Some(state.to_owned()),
            ..config(store, cluster)
        })
    }

    fn start_as(config: Config) -> Self {
        let shutdown = CancellationToken::new();
        let registry = Registry::start(&config, shutdown.clone()).expect("a registry");
        Self { registry, shutdown }
    }

    pub(crate) fn client(&self) -> Client {
        self.client_as("admin")
    }

    pub(crate) fn client_as(&self, user: &str) -> Client {
        let groups = ["system:authenticated".to_owned()];
        Client {
            registry: Arc::clone(&self.registry),
            user: UserInfo::new(user, groups),
        }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let stopped = tokio::time::timeout(BOUND, self.registry.stopped());
        stopped
            .await
            .expect("everything that the registry spawned ends");
    }
}

fn config(store: &TestStore, cluster: &str) -> Config {
    Config {
        cluster_name: cluster.to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        tls: ServingTls {
            cert_file: "unused".into(),
            key_file: "unused".into(),
        },
        authentication: Authentication::default(),
        authorization: Authorization::AlwaysAllow,
        store: StoreConfig {
            servers: vec![store.url()],
            prefix: "/registry".to_owned(),
            ca_file: None,
            cert_file: None,
            key_file: None,
            compaction_interval: Duration::ZERO,
        },
        limits: Limits::default(),
        serve_namespaces: true,
        require_member: false,
        state_dir: None,
        namespace_controllers: vec![
            NAMESPACE_CONTROLLER.to_owned(),
            CONTROLLER_MANAGER.to_owned(),
        ],
        garbage_collectors: vec![GARBAGE_COLLECTOR.to_owned(), CONTROLLER_MANAGER.to_owned()],
        rules: Rules::default(),
    }
}

/// A client of one server, as one user.
#[derive(Clone)]
pub(crate) struct Client {
    registry: Arc<Registry>,
    user: UserInfo,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) body: Value,
    pub(crate) warnings: Vec<String>,
    pub(crate) retry_after: Option<String>,
}

impl Reply {
    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.code < 300, "{} {}", self.code, self.body);
        self.body
    }

    /// The reason of a failure with this code.
    #[track_caller]
    pub(crate) fn fails(self, code: u16, reason: &str) -> String {
        assert_eq!(self.code, code, "{}", self.body);
        assert_eq!(
            self.body["reason"].as_str().unwrap_or_default(),
            reason,
            "{}",
            self.body
        );
        assert_eq!(self.body["kind"], "Status");
        self.body["message"].as_str().unwrap_or_default().to_owned()
    }
}

impl Client {
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> (http::Response<axum::body::Body>, WarningSink) {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let info = RequestInfo::parse(&method, path, query);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a header value");
            map.append(HeaderName::from_static(name), value);
        }
        let warnings = WarningSink::default();
        let request = ApiRequest {
            verb: info.verb,
            target: info
                .target
                .unwrap_or_else(|| panic!("{path} names a resource")),
            administers: true,
            user: self.user.clone(),
            query: query.to_owned(),
            headers: map,
            body,
            warnings: warnings.clone(),
        };
        (self.registry.handle(request).await, warnings)
    }

    async fn call(
        &self,
        method: Method,
        url: &str,
        headers: &[(&'static str, &str)],
        body: Option<&Value>,
    ) -> Reply {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let (response, warnings) = self.send(method, url, headers, body).await;
        let code = response.status().as_u16();
        let retry_after = response.headers().get(http::header::RETRY_AFTER);
        let retry_after = retry_after.map(|value| value.to_str().expect("text").to_owned());
        let bytes = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::String(text));
        Reply {
            code,
            body,
            warnings: warnings.take(),
            retry_after,
        }
    }

    pub(crate) async fn get(&self, url: &str) -> Reply {
        self.call(Method::GET, url, &[], None).await
    }

    pub(crate) async fn get_as(&self, url: &str, accept: &str) -> Reply {
        self.call(Method::GET, url, &[("accept", accept)], None)
            .await
    }

    pub(crate) async fn post(&self, url: &str, body: &Value) -> Reply {
        self.call(Method::POST, url, &[], Some(body)).await
    }

    pub(crate) async fn put(&self, url: &str, body: &Value) -> Reply {
        self.call(Method::PUT, url, &[], Some(body)).await
    }

    pub(crate) async fn patch(&self, url: &str, media: &str, body: &Value) -> Reply {
        self.call(Method::PATCH, url, &[("content-type", media)], Some(body))
            .await
    }

    pub(crate) async fn delete(&self, url: &str) -> Reply {
        self.call(Method::DELETE, url, &[], None).await
    }

    pub(crate) async fn delete_with(&self, url: &str, options: &Value) -> Reply {
        self.call(Method::DELETE, url, &[], Some(options)).await
    }

    /// Starts a watch; the URL needs no `watch=true`.
    pub(crate) async fn watch(&self, url: &str) -> Events {
        self.watch_as(url, "application/json").await
    }

    pub(crate) async fn watch_as(&self, url: &str, accept: &str) -> Events {
        let separator = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{separator}watch=true");
        let (response, _) = self
            .send(Method::GET, &url, &[("accept", accept)], Bytes::new())
            .await;
        assert_eq!(response.status().as_u16(), 200, "a watch starts");
        Events {
            stream: response.into_body().into_data_stream(),
            buffer: BytesMut::new(),
        }
    }

    /// Declares a kind and waits until it is served here.
    pub(crate) async fn declare(&self, definition: &Value) {
        self.post(DEFINITIONS, definition).await.ok();
        let spec = &definition["spec"];
        let url = format!(
            "/apis/{}/{}/{}",
            spec["group"].as_str().expect("a group"),
            spec["versions"][0]["name"].as_str().expect("a version"),
            spec["names"]["plural"].as_str().expect("a plural name"),
        );
        self.wait_served(&url).await;
    }

    pub(crate) async fn wait_served(&self, url: &str) {
        wait_for(format!("{url} is served"), BOUND, || async {
            self.get(url).await.code == 200
        })
        .await;
    }
}

/// The events of a watch.
pub(crate) struct Events {
    stream: axum::body::BodyDataStream,
    buffer: BytesMut,
}

impl Events {
    /// The next event; `None` when the watch is over.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let waited = tokio::time::timeout(BOUND, self.next_unbounded());
        waited.await.expect("an event in time")
    }

    /// The next event, however long it takes.
    pub(crate) async fn next_ever(&mut self) -> Option<Value> {
        self.next_unbounded().await
    }

    async fn next_unbounded(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return Some(serde_json::from_slice(&line).expect("an event is JSON"));
            }
            self.buffer
                .extend_from_slice(&self.stream.next().await?.expect("no error"));
        }
    }

    /// The next event as type, name and resourceVersion.
    pub(crate) async fn step(&mut self) -> (String, String, i64) {
        let event = self.next().await.expect("an event, not the end");
        let metadata = &event["object"]["metadata"];
        (
            event["type"].as_str().unwrap_or_default().to_owned(),
            metadata["name"].as_str().unwrap_or_default().to_owned(),
            revision(&event["object"]),
        )
    }
}

/// An object's resourceVersion.
pub(crate) fn revision(object: &Value) -> i64 {
    let text = object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default();
    text.parse().unwrap_or_default()
}

pub(crate) fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().expect("a list has items");
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap_or_default())
        .collect()
}

/// The sample kind: namespaced, with status and scale.
pub(crate) fn widgets() -> Value {
    definition("widgets", "Widget", "Namespaced")
}

pub(crate) fn definition(plural: &str, kind: &str, scope: &str) -> Value {
    json!({
        "apiVersion": "helium.dev/v1",
        "kind": "SharedResourceDefinition",
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {
            "group": "example.com",
            "scope": scope,
            "names": {"plural": plural, "kind": kind},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
                "selectableFields": [{"jsonPath": ".spec.color"}],
                "additionalPrinterColumns": [
                    {"name": "Color", "type": "string", "jsonPath": ".spec.color"},
                ],
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": {
                            "type": "object",
                            "properties": {
                                "color": {"type": "string"},
                                "size": {"type": "integer", "minimum": 1, "default": 1},
                                "replicas": {"type": "integer"},
                                "tags": {"type": "array", "items": {"type": "string"}},
                            },
                        },
                        "status": {
                            "type": "object",
                            "properties": {
                                "phase": {"type": "string"},
                                "replicas": {"type": "integer"},
                                "selector": {"type": "string"},
                            },
                        },
                    },
                }},
            }],
        },
    })
}

pub(crate) fn widget(name: &str, color: &str) -> Value {
    json!({
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name, "labels": {"color": color}},
        "spec": {"color": color},
    })
}

/// The control plane's own object.
pub(crate) const FLEET: &str = "/apis/helium.dev/v1/controlplanes/fleet";

/// One server with widgets declared.
pub(crate) async fn one_server() -> (TestStore, TestServer, Client) {
    let store = TestStore::start().await;
    let server = TestServer::start(&store, "c1").await;
    let client = server.client();
    client.declare(&widgets()).await;
    (store, server, client)
}
