//! The agent as a process, with exactly the rights that the manifests give it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::Cluster;
use helium_testkit::{Process, free_port};

/// A running agent.
pub(crate) struct Agent {
    pub(crate) process: Process,
    /// Port of its probes.
    pub(crate) port: u16,
}

/// Who the agent is in its cluster.
const USER: &str = "system:serviceaccount:helium-system:helium-agent";

/// How an agent shows who it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Credential {
    /// With a certificate, as outside of a cluster.
    Certificate,
    /// With its service account's token, as in a pod.
    Token,
    /// With a kubeconfig.
    Kubeconfig,
}

/// Gives the agent's service account the rights that the manifests give it, and no others.
pub(crate) async fn grant(cluster: &Cluster) {
    let base = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../manifests/base");
    let read = |file| std::fs::read_to_string(base.join(file)).expect("rights in manifests/base");
    let rights = read("agent-rbac.yaml");
    let account = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: helium-agent, namespace: helium-system}}";
    cluster.apply(account).await;
    cluster.apply(&rights).await;
    if cluster.name == "north" {
        cluster.apply(&read("agent-service-rbac.yaml")).await;
    }
}

/// Writes new credentials into an agent's files, as a rotation does.
pub(crate) fn renew(cluster: &Cluster) -> PathBuf {
    cluster.kubeconfig("agent", USER, &[], &cluster.ca())
}

/// Starts an agent for a cluster; `replica` tells its log from those of others.
pub(crate) async fn start(cluster: &Cluster, credential: Credential, replica: &str) -> Agent {
    start_for(cluster, credential, replica, "helium-apiserver", &[]).await
}

/// Starts an agent that keeps the Service itself: a name, since nobody routes to pods here.
pub(crate) async fn start_managing(cluster: &Cluster, replica: &str) -> Agent {
    let flags = ["--manage-service", "--service-external-name=localhost"].map(str::to_owned);
    start_for(cluster, Credential::Certificate, replica, "managed", &flags).await
}

/// Starts an agent that registers a Service of that name, with more flags.
pub(crate) async fn start_for(
    cluster: &Cluster,
    credential: Credential,
    replica: &str,
    service: &str,
    more: &[String],
) -> Agent {
    let own = renew(cluster);
    let ca = cluster.serving_ca();
    let port = free_port();
    let service_port = cluster.helium_port;
    let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_helium-agent"));
    command
        .arg(format!("--cluster-name={}", cluster.name))
        .arg(flag("kubeconfig", &own))
        .arg(format!("--service=helium-system/{service}:{service_port}"))
        .arg(flag("ca-file", &ca))
        .arg(format!("--probe-address=127.0.0.1:{port}"))
        .arg(format!("--member-labels=region={}", cluster.name))
        .arg(format!(
            "--advertise-direct-url=https://localhost:{service_port}"
        ))
        .args(more)
        .env(
            "HELIUM_AGENT_LOG",
            "info,helium_controllers=debug,kube_client=off,kube_runtime=off",
        )
        .env_remove("RUST_LOG");
    let url = format!("--control-plane=https://localhost:{service_port}");
    if !matches!(credential, Credential::Kubeconfig) {
        command.arg(url).arg(flag("control-plane-ca", &ca));
    }
    match credential {
        Credential::Certificate => command
            .arg(flag("control-plane-cert", &own.with_extension("crt")))
            .arg(flag("control-plane-key", &own.with_extension("key"))),
        Credential::Token => {
            let token = cluster.dir.join("agent.token");
            std::fs::write(&token, cluster.token("helium-agent").await).expect("written");
            command.arg(flag("control-plane-token-file", &token))
        }
        Credential::Kubeconfig => {
            let path = cluster.control_plane_kubeconfig("agent-fleet", USER);
            command.arg(flag("control-plane-kubeconfig", &path))
        }
    };
    let log = cluster.dir.join(format!("agent-{replica}.log"));
    Agent {
        process: Process::start(command, log),
        port,
    }
}

impl Agent {
    /// What a path of the probes answers: status and text.
    pub(crate) async fn probe(&self, path: &str) -> Option<(u16, String)> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port))
            .await
            .ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer))
    }

    /// Whether it is its cluster's active one, by its own metrics.
    pub(crate) async fn leads(&self) -> bool {
        let metrics = self.probe("/metrics").await;
        metrics.is_some_and(|(_, text)| text.contains("helium_agent_leader 1"))
    }

    /// Whether it says that its cluster stands so to the fleet, by its own metrics.
    pub(crate) async fn stands(&self, standing: &str) -> bool {
        let line = format!("helium_agent_standing{{standing=\"{standing}\"}} 1");
        let metrics = self.probe("/metrics").await;
        metrics.is_some_and(|(_, text)| text.contains(&line))
    }

    /// Asks it to end, as a kubelet does.
    pub(crate) fn terminate(&self) {
        let id = self.process.id().to_string();
        let done = Command::new("kill").args(["-TERM", &id]).status();
        assert!(done.expect("kill runs").success());
    }
}

/// Runs `helium-agent uninstall` as an administrator; returns whether it succeeded, and what it said.
pub(crate) fn uninstall(cluster: &Cluster, service: &str) -> (bool, String) {
    let kubeconfig = cluster.dir.join("admin.kubeconfig");
    let output = Command::new(env!("CARGO_BIN_EXE_helium-agent"))
        .arg("uninstall")
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!(
            "--service=helium-system/{service}:{}",
            cluster.helium_port
        ))
        .output()
        .expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// What all agents of a cluster have logged.
pub(crate) fn logs(cluster: &Cluster) -> Vec<String> {
    let files = std::fs::read_dir(&cluster.dir).expect("the cluster's folder");
    files
        .map(|file| file.expect("a file").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("agent-") && name.ends_with(".log")
        })
        .map(|path| std::fs::read_to_string(path).expect("a log"))
        .collect()
}

/// Complaints in a log that no story has provoked.
pub(crate) fn unexpected(log: &str) -> Vec<&str> {
    const PROVOKED: [&str; 9] = [
        "the cluster was revoked: a drill",
        "the store is out of reach",
        "the cluster's Member was removed",
        "the cluster is not a member",
        "the cluster serves the group itself",
        "the authority's bundle can't be used",
        "the server is away; what it said last holds",
        "another agent has taken the lease",
        // A certificate and its key are two files.
        "the credentials for the control plane can't be used",
    ];
    let complaints = log.lines().filter(|line| {
        line.contains(" WARN ") || line.contains(" ERROR ") || line.contains("panicked")
    });
    complaints
        .filter(|line| !PROVOKED.iter().any(|text| line.contains(text)))
        .collect()
}
