//! The agent as a process, with exactly the rights that the manifests give it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::Cluster;
use crate::process::{Process, free_port};

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
    let rights =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../manifests/base/agent-rbac.yaml");
    let rights = std::fs::read_to_string(rights).expect("manifests/base/agent-rbac.yaml");
    let account = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: helium-agent, namespace: helium-system}}";
    cluster.apply(account).await;
    cluster.apply(&rights).await;
}

/// Writes new credentials into an agent's files, as a rotation does.
pub(crate) fn renew(cluster: &Cluster) -> PathBuf {
    cluster.kubeconfig("agent", USER, &[], &cluster.ca())
}

/// Starts an agent for a cluster; `replica` tells its log from those of others.
pub(crate) async fn start(cluster: &Cluster, credential: Credential, replica: &str) -> Agent {
    start_for(cluster, credential, replica, "helium-apiserver").await
}

/// Starts an agent that registers a Service of that name.
pub(crate) async fn start_for(
    cluster: &Cluster,
    credential: Credential,
    replica: &str,
    service: &str,
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
        .env(
            "HELIUM_AGENT_LOG",
            "info,helium_controllers=debug,kube_client=off",
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

    /// Asks it to end, as a kubelet does.
    pub(crate) fn terminate(&self) {
        let id = self.process.id().to_string();
        let done = Command::new("kill").args(["-TERM", &id]).status();
        assert!(done.expect("kill runs").success());
    }
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
    const PROVOKED: [&str; 5] = [
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
