//! A fleet of servers in one process, and the command beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use helium_testkit::Ended;
use serde_json::Value;
use tempfile::TempDir;

use crate::up::Up;

/// Runs `helium`.
pub(crate) fn helium(arguments: &[&str]) -> Ended {
    Ended::of(
        Command::new(env!("CARGO_BIN_EXE_helium"))
            .args(arguments)
            .env_remove("KUBECONFIG")
            .env_remove("HELIUM_DATABASE_URL"),
    )
}

/// Servers of three clusters over one store: what runs in production, without a kube-apiserver before them.
pub(crate) struct Fleet {
    pub(crate) up: Up,
    pub(crate) dir: TempDir,
}

impl Fleet {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let up = Up::start(&dir.path().join("up"), &["--clusters", "eu-1,eu-2,eu-3"]);
        Self { up, dir }
    }

    /// A fleet whose first member is eu-1.
    pub(crate) fn with_a_member() -> Self {
        let fleet = Self::start();
        fleet.init("eu-1").good();
        fleet
    }

    fn cluster(&self, name: &str, field: &str) -> String {
        let clusters = self.up.report["clusters"].as_array().expect("clusters");
        let cluster = clusters.iter().find(|cluster| cluster["name"] == name);
        let value = &cluster.expect("a cluster")[field];
        value.as_str().expect("a text").to_owned()
    }

    pub(crate) fn kubeconfig(&self, cluster: &str) -> String {
        self.cluster(cluster, "kubeconfig")
    }

    pub(crate) fn server(&self, cluster: &str) -> String {
        self.cluster(cluster, "server")
    }

    /// A path below the test's folder.
    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Runs `helium` as an administrator of a cluster.
    pub(crate) fn helium(&self, cluster: &str, arguments: &[&str]) -> Ended {
        let kubeconfig = self.kubeconfig(cluster);
        helium(&[arguments, &["--kubeconfig", &kubeconfig]].concat())
    }

    pub(crate) fn init(&self, cluster: &str) -> Ended {
        let dir = self.path(cluster);
        self.helium(cluster, &["init", "--cluster-name", cluster, "--dir", &dir])
    }

    /// Makes a token in eu-1, as a document.
    pub(crate) fn token(&self, cluster: &str, more: &[&str]) -> Value {
        let server = self.server("eu-1");
        let arguments = [
            "token",
            "create",
            "--cluster",
            cluster,
            "--server",
            &server,
            "-o",
            "json",
        ];
        let text = self.helium("eu-1", &[&arguments[..], more].concat()).good();
        serde_json::from_str(&text).expect("JSON")
    }

    /// The arguments of a join with a token, into a folder of that name.
    pub(crate) fn join(&self, token: &Value, cluster: &str, folder: &str) -> Ended {
        self.join_at(&self.server("eu-1"), token, cluster, folder)
    }

    pub(crate) fn join_at(
        &self,
        server: &str,
        token: &Value,
        cluster: &str,
        folder: &str,
    ) -> Ended {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let (secret, hash) = (text(&token["token"]), text(&token["caHashes"][0]));
        let dir = self.path(folder);
        helium(&[
            "join",
            "--cluster-name",
            cluster,
            "--dir",
            &dir,
            "--server",
            server,
            "--token",
            &secret,
            "--ca-hash",
            &hash,
        ])
    }

    /// The members, as a cluster shows them.
    pub(crate) fn members(&self, cluster: &str) -> Vec<Value> {
        let text = self.helium(cluster, &["members", "-o", "json"]).good();
        serde_json::from_str(&text).expect("JSON")
    }

    /// Names and states of the members.
    pub(crate) fn states(&self, cluster: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let members = self.members(cluster);
        let pairs = members
            .iter()
            .map(|one| (text(&one["name"]), text(&one["state"])));
        pairs.collect()
    }

    /// Writes an object as an agent would, with a cluster's own credentials.
    fn post(&self, cluster: &str, path: &str, object: &Value) {
        let kubeconfig = PathBuf::from(self.kubeconfig(cluster));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let file = kube::config::Kubeconfig::read_from(&kubeconfig).expect("a kubeconfig");
            let options = kube::config::KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(file, &options).await;
            let client =
                kube::Client::try_from(config.expect("a configuration")).expect("a client");
            let request = http::Request::post(path)
                .header("content-type", "application/json")
                .body(object.to_string().into_bytes())
                .expect("a request");
            let answer: Result<Value, _> = client.request(request).await;
            answer.unwrap_or_else(|error| panic!("{path}: {error}"));
        });
    }

    /// A Member without an authority, as an agent makes it in an open fleet.
    pub(crate) fn post_member(&self, cluster: &str) {
        let member = serde_json::json!({"apiVersion": "helium.dev/v1", "kind": "Member", "metadata": {"name": cluster}, "spec": {}});
        self.post(cluster, "/apis/helium.dev/v1/members", &member);
    }

    /// A heartbeat of now.
    pub(crate) fn post_heartbeat(&self, cluster: &str) {
        let now = format!("{:.6}", jiff::Timestamp::now());
        let lease = serde_json::json!({"apiVersion": "coordination.helium.dev/v1", "kind": "Lease",
            "metadata": {"name": format!("member-{cluster}"), "namespace": "helium-system"},
            "spec": {"holderIdentity": cluster, "leaseDurationSeconds": 15, "renewTime": now}});
        let path = "/apis/coordination.helium.dev/v1/namespaces/helium-system/leases";
        self.post(cluster, path, &lease);
    }

    pub(crate) fn file(&self, name: &str) -> String {
        let path: PathBuf = self.dir.path().join(name);
        read(&path)
    }
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Pairs as they are compared.
pub(crate) fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = of.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
    owned.collect()
}

#[track_caller]
pub(crate) fn has(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is not in {text}");
}
