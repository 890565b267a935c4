//! A kube-apiserver, a helium-apiserver that serves it, and their stores.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helium_apiserver::config::{
    Authentication, Authorization, Config, Kubeconfig, Limits, Rules, ServingTls, StoreConfig,
};
use helium_apiserver::server::{Running, Server};
use helium_testkit::wait_for;
use helium_tls::pki::Authority;
use http::{Method, Request};
use jiff::Timestamp;
use kine_shim::{ListenAddress, Storage};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use helium_testkit::{Process, component, free_port};

/// The longest that a server may take to start, or the aggregator to notice something, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
pub(crate) const GROUPS: [&str; 2] = ["helium.dev", "coordination.helium.dev"];
const SERVICE_HOST: &str = "helium-apiserver.helium-system.svc";
const HEARTBEAT: &str = "/apis/coordination.helium.dev/v1/namespaces/helium-system/leases";

pub(crate) struct World {
    dir: TempDir,
    authority: Authority,
    pub(crate) serving: Authority,
    client: kube::Client,
    kubeconfig: PathBuf,
    api_port: u16,
    helium_port: u16,
    store_port: u16,
    pub(crate) kube_apiserver: Process,
    pub(crate) helium: Option<Running>,
    pub(crate) store: Option<kine_shim::Running>,
    host_store: kine_shim::Running,
}

impl World {
    pub(crate) async fn start() -> Self {
        helium_tls::install_provider();
        let dir = TempDir::new().expect("a folder");
        let path = dir.path();
        let host_store = shim(&path.join("host.db"), 0).await;
        let host_url = host_store.address().expect("an address");
        let store = shim(&path.join("fleet.db"), 0).await;
        let store_port = store.address().expect("an address").port();
        let authority = Authority::new("cluster").expect("an authority");
        let api_port = free_port();
        let kube_apiserver =
            kube_apiserver(path, &authority, api_port, &format!("http://{host_url}"));
        let kubeconfig = kubeconfig(path, &authority, "admin", &["system:masters"], api_port);
        let mut world = Self {
            client: client(&kubeconfig).await,
            serving: Authority::new("serving").expect("an authority"),
            kubeconfig,
            api_port,
            helium_port: free_port(),
            store_port,
            kube_apiserver,
            helium: None,
            store: Some(store),
            host_store,
            authority,
            dir,
        };
        wait_for("the kube-apiserver is ready", PATIENCE, || async {
            let request = Request::get("/readyz").body(Vec::new()).expect("a request");
            let answer = world.client.request_text(request).await;
            answer.is_ok_and(|text| text == "ok")
        })
        .await;
        world.apply(OBJECTS).await;
        world.start_helium().await;
        for group in GROUPS {
            world.register("v1", group, &world.bundle()).await;
        }
        world.wait_available("v1.helium.dev").await;
        world.wait_available("v1.coordination.helium.dev").await;
        world.admit().await;
        world
    }

    /// The cluster as a member, with a heartbeat, as its agent would have it.
    async fn admit(&self) {
        let store_authority = Authority::new("store").expect("an authority");
        let member = json!({"apiVersion": "helium.dev/v1", "kind": "Member", "metadata": {"name": "east"},
            "spec": {"certificateAuthorities": store_authority.certificate_pem()}});
        self.write(Method::POST, "/apis/helium.dev/v1/members", &member)
            .await;
        let time = Timestamp::now();
        let condition = |type_: &str| json!({"type": type_, "status": "True", "reason": "Fine", "message": "", "lastTransitionTime": time});
        let status = json!({"status": {"versions": {"helium": "0.1.0", "kubernetes": "v1"},
            "conditions": [condition("Ready"), condition("Registered"), condition("StoreReachable")]}});
        self.merge("/apis/helium.dev/v1/members/east/status", &status)
            .await;
        let lease = json!({"apiVersion": "coordination.helium.dev/v1", "kind": "Lease",
            "metadata": {"name": "member-east", "namespace": "helium-system"},
            "spec": {"holderIdentity": "east", "leaseDurationSeconds": 15}});
        self.write(Method::POST, HEARTBEAT, &lease).await;
        self.beat(0).await;
    }

    /// A heartbeat, that many seconds ago.
    pub(crate) async fn beat(&self, seconds_ago: i64) {
        let time = Timestamp::now() - jiff::SignedDuration::from_secs(seconds_ago);
        let spec = json!({"spec": {"renewTime": format!("{time:.6}")}});
        self.merge(&format!("{HEARTBEAT}/member-east"), &spec).await;
    }

    pub(crate) async fn start_helium(&mut self) {
        let (cert_file, key_file) = self.issue_serving();
        let host = kubeconfig(
            self.dir.path(),
            &self.authority,
            "helium-apiserver",
            &[],
            self.api_port,
        );
        let config = self.config("east", self.helium_port, cert_file, key_file, Some(host));
        let running = Server::start(config)
            .await
            .expect("helium-apiserver starts");
        running.ready().await;
        self.helium = Some(running);
    }

    /// The API server of another cluster of the fleet, which nobody is before, and a client of it.
    pub(crate) async fn neighbour(&self) -> (Running, kube::Client) {
        let path = self.dir.path();
        let (cert, key) = self
            .serving
            .issue_server("west", &["localhost"])
            .and_then(|issued| issued.save(path, "west-serving"))
            .expect("a certificate");
        let port = free_port();
        let config = self.config("west", port, cert, key, None);
        let running = Server::start(config).await.expect("the neighbour starts");
        running.ready().await;
        let ca = path.join("serving-ca.crt");
        std::fs::write(&ca, self.serving.certificate_pem()).expect("written");
        let file = write_kubeconfig(
            path,
            &self.authority,
            "west-admin",
            &["system:masters"],
            port,
            &ca,
        );
        (running, client(&file).await)
    }

    fn config(
        &self,
        cluster: &str,
        port: u16,
        cert_file: PathBuf,
        key_file: PathBuf,
        host: Option<PathBuf>,
    ) -> Config {
        let ttl = Duration::from_secs(1);
        let always_allow_paths: Vec<String> =
            ["/healthz", "/readyz", "/livez"].map(str::to_owned).into();
        let store = format!("http://127.0.0.1:{}", self.store_port);
        Config {
            cluster_name: cluster.to_owned(),
            listen: ([127, 0, 0, 1], port).into(),
            tls: ServingTls {
                cert_file,
                key_file,
            },
            authentication: Authentication {
                client_ca_file: Some(self.dir.path().join("ca.crt")),
                skip_lookup: host.is_none(),
                kubeconfig: host.clone().map_or(Kubeconfig::None, Kubeconfig::File),
                token_cache_ttl: ttl,
                ..Authentication::default()
            },
            authorization: match host {
                Some(host) => Authorization::Delegated {
                    kubeconfig: Kubeconfig::File(host),
                    always_allow_paths,
                    allowed_ttl: ttl,
                    denied_ttl: ttl,
                },
                None => Authorization::MastersOnly { always_allow_paths },
            },
            store: StoreConfig {
                servers: vec![store.parse().expect("a URL")],
                prefix: "/helium".to_owned(),
                ca_file: None,
                cert_file: None,
                key_file: None,
                compaction_interval: Duration::ZERO,
            },
            limits: Limits {
                shutdown_grace: Duration::from_secs(1),
                ..Limits::default()
            },
            serve_namespaces: false,
            require_member: false,
            state_dir: None,
            namespace_controllers: Vec::new(),
            garbage_collectors: Vec::new(),
            rules: Rules::default(),
        }
    }

    /// A good serving certificate, where the server reads it.
    pub(crate) fn issue_serving(&self) -> (PathBuf, PathBuf) {
        self.serving
            .issue_server("helium-apiserver", &[SERVICE_HOST, "localhost"])
            .and_then(|issued| issued.save(self.dir.path(), "helium-serving"))
            .expect("a certificate")
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn bundle(&self) -> String {
        STANDARD.encode(self.serving.certificate_pem())
    }

    pub(crate) async fn restart_store(&mut self) {
        self.store = Some(shim(&self.dir.path().join("fleet.db"), self.store_port).await);
    }

    /// What the agent would write.
    pub(crate) async fn register(&self, version: &str, group: &str, bundle: &str) {
        let service = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": format!("{version}.{group}"), "labels": {"app.kubernetes.io/managed-by": "helium"}},
            "spec": {"group": group, "version": version, "groupPriorityMinimum": 1000, "versionPriority": 100, "caBundle": bundle,
                "service": {"namespace": "helium-system", "name": "helium-apiserver", "port": self.helium_port}},
        });
        self.apply_value(&service).await;
    }

    pub(crate) async fn wait_available(&self, name: &str) {
        let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/{name}");
        wait_for(format!("{name} is available"), PATIENCE, || async {
            let service = self.get(&path).await.unwrap_or_default();
            let conditions = service["status"]["conditions"].as_array();
            conditions
                .into_iter()
                .flatten()
                .any(|condition| condition["type"] == "Available" && condition["status"] == "True")
        })
        .await;
    }

    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let request = Request::get(path).body(Vec::new()).expect("a request");
        self.client.request(request).await.ok()
    }

    pub(crate) async fn delete(&self, path: &str) {
        let request = Request::delete(path).body(Vec::new()).expect("a request");
        let answer: Result<Value, _> = self.client.request(request).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    pub(crate) async fn write(&self, method: Method, path: &str, body: &Value) -> Value {
        send(&self.client, method, path, "application/json", body).await
    }

    pub(crate) async fn merge(&self, path: &str, body: &Value) -> Value {
        send(
            &self.client,
            Method::PATCH,
            path,
            "application/merge-patch+json",
            body,
        )
        .await
    }

    /// Applies documents.
    pub(crate) async fn apply(&self, yaml: &str) {
        for document in serde_yaml_ng::Deserializer::from_str(yaml) {
            let value = Value::deserialize(document).expect("YAML");
            self.apply_value(&value).await;
        }
    }

    async fn apply_value(&self, value: &Value) {
        let path = path_of(value);
        let path = format!("{path}?fieldManager=test&force=true");
        send(
            &self.client,
            Method::PATCH,
            &path,
            "application/apply-patch+yaml",
            value,
        )
        .await;
    }

    /// Runs `helium leave`: its exit code, and what it printed.
    pub(crate) async fn leave(&self) -> (Option<i32>, String) {
        let kubeconfig = self.kubeconfig.clone();
        let leave = move || {
            Command::new(env!("CARGO_BIN_EXE_helium"))
                .args(["leave", "--kubeconfig"])
                .arg(kubeconfig)
                .output()
                .expect("helium runs")
        };
        let output = tokio::task::spawn_blocking(leave).await.expect("ends");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// What doctor finds.
    pub(crate) async fn doctor(&self) -> Value {
        let kubeconfig = self.kubeconfig.clone();
        let examine = move || {
            Command::new(env!("CARGO_BIN_EXE_helium"))
                .args([
                    "doctor",
                    "-o",
                    "json",
                    "--server-user",
                    "helium-apiserver",
                    "--kubeconfig",
                ])
                .arg(kubeconfig)
                .output()
                .expect("helium runs")
        };
        let output = tokio::task::spawn_blocking(examine).await.expect("ends");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
        });
        let healthy = report["healthy"] == true;
        assert_eq!(output.status.code(), Some(i32::from(!healthy)));
        report
    }

    /// Waits until doctor complains of exactly this, and returns what it says.
    pub(crate) async fn complains(&self, expected: &[&str]) -> String {
        let seen = std::sync::Mutex::new(Value::Null);
        let what = format!("doctor complains of {expected:?}");
        let found = tokio::time::timeout(
            PATIENCE,
            wait_for(what, PATIENCE * 2, || async {
                let report = self.doctor().await;
                let checks = complaints(&report);
                *seen.lock().expect("not poisoned") = report;
                checks == expected
            }),
        )
        .await;
        let report = seen.into_inner().expect("not poisoned");
        assert!(
            found.is_ok(),
            "doctor doesn't complain of {expected:?}: {report:#}"
        );
        report["findings"].to_string()
    }

    pub(crate) async fn stop(self) {
        if let Some(helium) = self.helium {
            helium.stop().await;
        }
        if let Some(store) = self.store {
            store.shutdown().await;
        }
        self.host_store.shutdown().await;
    }
}

fn complaints(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    let wrong = findings
        .iter()
        .filter(|finding| finding["level"] == "problem" || finding["level"] == "warning");
    wrong
        .map(|finding| finding["check"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// Sends JSON, and expects that it is accepted.
pub(crate) async fn send(
    client: &kube::Client,
    method: Method,
    path: &str,
    content_type: &str,
    body: &Value,
) -> Value {
    let request = Request::builder()
        .method(method.clone())
        .uri(path)
        .header("content-type", content_type)
        .body(body.to_string().into_bytes())
        .expect("a request");
    let answer = client.request(request).await;
    answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

fn path_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = text(&object["apiVersion"]);
    let root = if version.contains('/') { "apis" } else { "api" };
    let kind = text(&object["kind"]).to_lowercase();
    let namespace = match text(&object["metadata"]["namespace"]) {
        namespace if namespace.is_empty() => String::new(),
        namespace => format!("/namespaces/{namespace}"),
    };
    let name = text(&object["metadata"]["name"]);
    format!("/{root}/{version}{namespace}/{kind}s/{name}")
}

async fn shim(database: &Path, port: u16) -> kine_shim::Running {
    let storage = Storage::Endpoint {
        url: format!("sqlite://{}", database.display()),
        tls: helium_journal::TlsFiles::default(),
        log_id: 0,
        patience: Duration::from_secs(10),
    };
    let address = ListenAddress::Tcp(format!("127.0.0.1:{port}"));
    let config = kine_shim::Config::new(storage, address);
    kine_shim::Server::start(config)
        .await
        .expect("kine-shim starts")
}

async fn client(kubeconfig: &Path) -> kube::Client {
    let file = kube::config::Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(file, &options).await;
    let config = config.expect("a configuration");
    kube::Client::try_from(config).expect("a client")
}

fn kubeconfig(
    dir: &Path,
    authority: &Authority,
    user: &str,
    groups: &[&str],
    port: u16,
) -> PathBuf {
    write_kubeconfig(dir, authority, user, groups, port, &dir.join("ca.crt"))
}

fn write_kubeconfig(
    dir: &Path,
    authority: &Authority,
    user: &str,
    groups: &[&str],
    port: u16,
    ca: &Path,
) -> PathBuf {
    let issued = authority.issue_client(user, groups);
    let (cert, key) = issued
        .and_then(|issued| issued.save(dir, user))
        .expect("a certificate");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": format!("https://localhost:{port}"), "certificate-authority": ca}}],
        "users": [{"name": "u", "user": {"client-certificate": cert, "client-key": key}}],
    });
    let path = dir.join(format!("{user}.kubeconfig"));
    std::fs::write(&path, text.to_string()).expect("written");
    path
}

fn kube_apiserver(dir: &Path, authority: &Authority, port: u16, etcd: &str) -> Process {
    let front_proxy = Authority::new("front-proxy").expect("an authority");
    for (authority, stem) in [(authority, "ca"), (&front_proxy, "front-proxy-ca")] {
        let (certificate, key) = (
            dir.join(format!("{stem}.crt")),
            dir.join(format!("{stem}.key")),
        );
        authority.save(&certificate, &key).expect("saved");
    }
    let server = authority.issue_server("kube-apiserver", &["localhost", "127.0.0.1"]);
    let proxy = front_proxy.issue_client("front-proxy-client", &[]);
    let signer = authority.issue_client("service-accounts", &[]);
    for (issued, stem) in [
        (server, "kube-apiserver"),
        (proxy, "front-proxy"),
        (signer, "sa"),
    ] {
        issued
            .and_then(|issued| issued.save(dir, stem))
            .expect("saved");
    }
    let mut command = Command::new(component("kube-apiserver"));
    command.args([
        &format!("--etcd-servers={etcd}"),
        &format!("--secure-port={port}"),
        "--bind-address=127.0.0.1",
        "--advertise-address=192.0.2.1",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    ]);
    for (flag, file) in [
        ("cert-dir", ""),
        ("tls-cert-file", "kube-apiserver.crt"),
        ("tls-private-key-file", "kube-apiserver.key"),
        ("client-ca-file", "ca.crt"),
        ("service-account-key-file", "sa.crt"),
        ("service-account-signing-key-file", "sa.key"),
        ("requestheader-client-ca-file", "front-proxy-ca.crt"),
        ("proxy-client-cert-file", "front-proxy.crt"),
        ("proxy-client-key-file", "front-proxy.key"),
    ] {
        command.arg(format!("--{flag}={}", dir.join(file).display()));
    }
    Process::start(command, dir.join("kube-apiserver.log"))
}

/// What is in a cluster with Helium, and what its controller manager makes.
const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: helium-system}
---
apiVersion: v1
kind: Service
metadata: {name: helium-apiserver, namespace: helium-system}
spec: {type: ExternalName, externalName: localhost}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: helium-cluster, namespace: helium-system}
data: {name: east}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: namespace-controller, namespace: kube-system}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: generic-garbage-collector, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: helium-apiserver-delegates}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:auth-delegator}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: helium-apiserver}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: helium-apiserver-reads-authentication, namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: extension-apiserver-authentication-reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: helium-apiserver}]
";

/// The Service, to be put back.
pub(crate) const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: helium-apiserver, namespace: helium-system}
spec: {type: ExternalName, externalName: localhost}
";

/// The rights, to be put back.
pub(crate) const DELEGATOR: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: helium-apiserver-delegates}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:auth-delegator}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: helium-apiserver}]
";
