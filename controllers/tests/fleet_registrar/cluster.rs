//! One cluster: a kube-apiserver with its authorities, and a helium-apiserver that serves it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use helium_apiserver::config::{
    Authentication, Authorization, Config, Kubeconfig, Limits, Rules, ServingTls, StoreConfig,
};
use helium_apiserver::{Running, Server};
use helium_testkit::wait_for;
use helium_tls::pki::Authority;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::config::KubeConfigOptions;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde::Deserialize;
use serde_json::Value;

use helium_testkit::{Process, component, free_port};

/// The longest that a server may take to start on a busy machine.
pub(crate) const START: Duration = Duration::from_secs(120);
/// Within that time a change must be where it belongs.
pub(crate) const PROMPT: Duration = Duration::from_secs(5);

/// A cluster.
pub(crate) struct Cluster {
    pub(crate) name: &'static str,
    pub(crate) dir: PathBuf,
    authority: Authority,
    /// Vouches for the helium-apiserver's certificate.
    pub(crate) serving_authority: Authority,
    /// An administrator of the cluster.
    pub(crate) admin: Client,
    api_port: u16,
    pub(crate) helium_port: u16,
    apiserver: Process,
    /// The kube-apiserver's flags, for starting it again.
    flags: Vec<OsString>,
    helium: Option<Running>,
}

/// The name by which an aggregator verifies the helium-apiserver.
const SERVICE_HOST: &str = "helium-apiserver.helium-system.svc";
/// The same for a Service that an agent keeps.
const MANAGED_HOST: &str = "managed.helium-system.svc";

impl Cluster {
    /// Starts the kube-apiserver over a prefix of an etcd and waits until it is ready.
    pub(crate) async fn start(name: &'static str, dir: PathBuf, etcd: &str) -> Self {
        std::fs::create_dir_all(&dir).expect("a folder");
        let authority = Authority::new("cluster").expect("an authority");
        let front_proxy = Authority::new("front-proxy").expect("an authority");
        let save = |authority: &Authority, stem: &str| {
            let path = dir.join(format!("{stem}.crt"));
            authority
                .save(&path, &dir.join(format!("{stem}.key")))
                .expect("saved");
            path
        };
        let ca = save(&authority, "ca");
        let front_proxy_ca = save(&front_proxy, "front-proxy-ca");
        let (cert, key) = authority
            .issue_server("kube-apiserver", &["localhost", "127.0.0.1"])
            .and_then(|issued| issued.save(&dir, "kube-apiserver"))
            .expect("a certificate");
        let (proxy_cert, proxy_key) = front_proxy
            .issue_client("front-proxy-client", &[])
            .and_then(|issued| issued.save(&dir, "front-proxy"))
            .expect("a certificate");
        let (signer_cert, signer_key) = authority
            .issue_client("service-accounts", &[])
            .and_then(|issued| issued.save(&dir, "service-accounts"))
            .expect("a certificate");
        let api_port = free_port();
        let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let mut command = Command::new(component("kube-apiserver"));
        command
            .arg(format!("--etcd-servers={etcd}"))
            .arg(format!("--etcd-prefix=/{name}"))
            .arg(format!("--secure-port={api_port}"))
            .args([
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
            ])
            .arg(flag("cert-dir", &dir))
            .arg(flag("tls-cert-file", &cert))
            .arg(flag("tls-private-key-file", &key))
            .arg(flag("client-ca-file", &ca))
            .arg(flag("service-account-key-file", &signer_cert))
            .arg(flag("service-account-signing-key-file", &signer_key))
            .arg(flag("requestheader-client-ca-file", &front_proxy_ca))
            .arg(flag("proxy-client-cert-file", &proxy_cert))
            .arg(flag("proxy-client-key-file", &proxy_key));
        let flags = command.get_args().map(OsStr::to_owned).collect();
        let apiserver = Process::start(command, dir.join("kube-apiserver.log"));
        let mut cluster = Self {
            name,
            serving_authority: Authority::new("serving").expect("an authority"),
            admin: placeholder(),
            authority,
            api_port,
            helium_port: free_port(),
            apiserver,
            flags,
            helium: None,
            dir,
        };
        let admin = cluster.kubeconfig("admin", "admin", &["system:masters"], &ca);
        cluster.admin = client(&admin).await;
        cluster
    }

    /// Ends the kube-apiserver as a crash would.
    #[allow(dead_code, reason = "for the tests of payloads")]
    pub(crate) fn kill_apiserver(&mut self) {
        self.apiserver.kill();
    }

    /// Starts it again, over the same store.
    #[allow(dead_code, reason = "for the tests of payloads")]
    pub(crate) fn resume_apiserver(&mut self) {
        let mut command = Command::new(component("kube-apiserver"));
        command.args(&self.flags);
        self.apiserver = Process::start(command, self.dir.join("kube-apiserver.log"));
    }

    /// Name of the Service that APIServices point at.
    pub(crate) fn service(&self) -> &'static str {
        match self.name {
            "north" => "managed",
            _ => "helium-apiserver",
        }
    }

    /// Waits until the kube-apiserver is ready.
    pub(crate) async fn wait_ready(&self) {
        wait_for(format!("{} is ready", self.name), START, || async {
            let request = http::Request::get("/readyz").body(Vec::new());
            let answer = self.admin.request_text(request.expect("a request")).await;
            answer.is_ok_and(|text| text == "ok")
        })
        .await;
    }

    /// Writes a kubeconfig for a user of the cluster, and a certificate and a key of the same name beside it.
    pub(crate) fn kubeconfig(&self, file: &str, user: &str, groups: &[&str], ca: &Path) -> PathBuf {
        self.write_kubeconfig(file, user, groups, self.api_port, ca)
    }

    /// The same, for the helium-apiserver.
    pub(crate) fn control_plane_kubeconfig(&self, file: &str, user: &str) -> PathBuf {
        self.write_kubeconfig(file, user, &[], self.helium_port, &self.serving_ca())
    }

    fn write_kubeconfig(
        &self,
        file: &str,
        user: &str,
        groups: &[&str],
        port: u16,
        ca: &Path,
    ) -> PathBuf {
        let (cert, key) = self
            .authority
            .issue_client(user, groups)
            .and_then(|issued| issued.save(&self.dir, file))
            .expect("a certificate");
        let path = self.dir.join(format!("{file}.kubeconfig"));
        let text = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {
                "server": format!("https://localhost:{port}"), "certificate-authority": ca}}],
            "users": [{"name": "u", "user": {"client-certificate": cert, "client-key": key}}],
        });
        std::fs::write(&path, text.to_string()).expect("written");
        path
    }

    /// A client with a kubeconfig of this cluster.
    pub(crate) async fn client_of(&self, kubeconfig: &Path) -> Client {
        client(kubeconfig).await
    }

    /// A token of a service account in `helium-system`.
    pub(crate) async fn token(&self, account: &str) -> String {
        let path = format!("/api/v1/namespaces/helium-system/serviceaccounts/{account}/token");
        let body = serde_json::json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600}});
        let request = http::Request::post(path)
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes());
        let answer: Value = self
            .admin
            .request(request.expect("a request"))
            .await
            .expect("a token");
        answer["status"]["token"]
            .as_str()
            .expect("a token")
            .to_owned()
    }

    /// The authority of the cluster, as a file.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// The bundle for the helium-apiserver's certificate, as a file.
    pub(crate) fn serving_ca(&self) -> PathBuf {
        self.dir.join("serving-ca.crt")
    }

    /// Starts the helium-apiserver over a store, with the rights that it needs.
    pub(crate) async fn start_helium(&mut self, store: &str) {
        std::fs::write(self.serving_ca(), self.serving_authority.certificate_pem())
            .expect("written");
        self.apply(RIGHTS).await;
        let host = self.kubeconfig("helium-apiserver", "helium-apiserver", &[], &self.ca());
        let (cert_file, key_file) = self
            .serving_authority
            .issue_server(
                "helium-apiserver",
                &[SERVICE_HOST, MANAGED_HOST, "localhost"],
            )
            .and_then(|issued| issued.save(&self.dir, "helium-serving"))
            .expect("a certificate");
        let ttl = Duration::from_secs(1);
        let config = Config {
            cluster_name: self.name.to_owned(),
            listen: ([127, 0, 0, 1], self.helium_port).into(),
            tls: ServingTls {
                cert_file,
                key_file,
            },
            authentication: Authentication {
                kubeconfig: Kubeconfig::File(host.clone()),
                token_cache_ttl: ttl,
                ..Authentication::default()
            },
            authorization: Authorization::Delegated {
                kubeconfig: Kubeconfig::File(host),
                always_allow_paths: vec!["/healthz".into(), "/readyz".into(), "/livez".into()],
                allowed_ttl: ttl,
                denied_ttl: ttl,
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
        };
        let running = Server::start(config)
            .await
            .expect("helium-apiserver starts");
        running.ready().await;
        self.helium = Some(running);
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(helium) = self.helium.take() {
            helium.stop().await;
        }
    }

    /// Applies documents as the administrator.
    pub(crate) async fn apply(&self, yaml: &str) {
        for document in serde_yaml_ng::Deserializer::from_str(yaml) {
            let value = Value::deserialize(document).expect("YAML");
            let object: DynamicObject = serde_json::from_value(value).expect("an object");
            let types = object.types.clone().expect("a kind");
            let gvk = GroupVersionKind::try_from(&types).expect("a kind");
            let resource = ApiResource::from_gvk(&gvk);
            let client = self.admin.clone();
            let api: Api<DynamicObject> = match object.namespace() {
                Some(namespace) => Api::namespaced_with(client, &namespace, &resource),
                None => Api::all_with(client, &resource),
            };
            let params = PatchParams::apply("test").force();
            api.patch(&object.name_any(), &params, &Patch::Apply(&object))
                .await
                .unwrap_or_else(|error| panic!("{}: {types:?}: {error}", self.name));
        }
    }

    /// Objects of a kind that isn't in namespaces, without schema.
    pub(crate) fn all(&self, api_version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        Api::all_with(
            self.admin.clone(),
            &ApiResource::from_gvk_with_plural(&gvk, plural),
        )
    }

    pub(crate) fn api_services(&self) -> Api<DynamicObject> {
        self.all("apiregistration.k8s.io/v1", "APIService", "apiservices")
    }

    pub(crate) fn cluster_roles(&self) -> Api<DynamicObject> {
        self.all(
            "rbac.authorization.k8s.io/v1",
            "ClusterRole",
            "clusterroles",
        )
    }

    /// The fleet's definitions, through the aggregator.
    pub(crate) fn definitions(&self) -> Api<DynamicObject> {
        self.all(
            "helium.dev/v1",
            "SharedResourceDefinition",
            "sharedresourcedefinitions",
        )
    }

    /// The fleet's members, through the aggregator.
    pub(crate) fn members(&self) -> Api<DynamicObject> {
        self.all("helium.dev/v1", "Member", "members")
    }

    /// Objects of a kind in `helium-system`, without schema.
    pub(crate) fn system(&self, api_version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        Api::namespaced_with(
            self.admin.clone(),
            "helium-system",
            &ApiResource::from_gvk_with_plural(&gvk, plural),
        )
    }

    /// What kubectl prints of the cluster, as its administrator.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        let output = Command::new(component("kubectl"))
            .arg("--kubeconfig")
            .arg(self.dir.join("admin.kubeconfig"))
            .args(arguments)
            .env("HOME", &self.dir)
            .output()
            .expect("kubectl runs");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// Waits until an object is as described.
    pub(crate) async fn sees(
        &self,
        what: &str,
        bound: Duration,
        api: &Api<DynamicObject>,
        name: &str,
        is: impl Fn(&Value) -> bool,
    ) -> Value {
        let found = std::sync::Mutex::new(Value::Null);
        wait_for(format!("{}: {name} {what}", self.name), bound, || async {
            let object = api.get_opt(name).await.ok().flatten();
            let value = serde_json::to_value(&object).expect("JSON");
            let good = object.is_some() && is(&value);
            *found.lock().expect("not poisoned") = value;
            good
        })
        .await;
        found.into_inner().expect("not poisoned")
    }

    /// Waits until an object is gone.
    pub(crate) async fn misses(&self, bound: Duration, api: &Api<DynamicObject>, name: &str) {
        wait_for(format!("{}: {name} is gone", self.name), bound, || async {
            matches!(api.get_opt(name).await, Ok(None))
        })
        .await;
    }

    /// Deletes an object.
    pub(crate) async fn delete(&self, api: &Api<DynamicObject>, name: &str) {
        api.delete(name, &DeleteParams::default())
            .await
            .unwrap_or_else(|error| panic!("{}: deleting {name}: {error}", self.name));
    }
}

/// Whether an APIService is available, as its cluster says.
pub(crate) fn is_available(service: &Value) -> bool {
    service["status"]["conditions"]
        .as_array()
        .is_some_and(|list| {
            list.iter()
                .any(|condition| condition["type"] == "Available" && condition["status"] == "True")
        })
}

async fn client(kubeconfig: &Path) -> Client {
    let file = kube::config::Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a configuration")).expect("a client")
}

/// A client that is replaced before it is used.
fn placeholder() -> Client {
    let config = kube::Config::new(http::Uri::from_static("https://localhost:1"));
    Client::try_from(config).expect("a client")
}

/// What a helium-apiserver needs in its cluster, the place for its Service, and the Service: without kube-proxy
/// a name that the kube-apiserver resolves by itself.
const RIGHTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: helium-system}
---
apiVersion: v1
kind: Service
metadata: {name: helium-apiserver, namespace: helium-system}
spec: {type: ExternalName, externalName: localhost}
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
