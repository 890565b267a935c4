//! The agent as a process, with exactly the rights that its documentation lists.

use std::path::PathBuf;
use std::process::Command;

use crate::cluster::Cluster;
use crate::process::{Process, free_port};

/// A running agent.
pub(crate) struct Agent {
    pub(crate) process: Process,
    /// Port of its probes.
    pub(crate) port: u16,
}

/// Gives the user `helium-agent` the rights from the documentation.
pub(crate) async fn grant(cluster: &Cluster) {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/agent.md");
    let page = std::fs::read_to_string(page).expect("docs/agent.md");
    let (_, rights) = page.split_once("## Rights").expect("a chapter on rights");
    let (_, rights) = rights.split_once("```yaml").expect("the rights");
    let (rights, _) = rights.split_once("```").expect("their end");
    let service_account = "{kind: ServiceAccount, name: helium-agent, namespace: helium-system}";
    assert!(rights.contains(service_account));
    let user = "{kind: User, name: helium-agent, apiGroup: rbac.authorization.k8s.io}";
    cluster.apply(&rights.replace(service_account, user)).await;
}

/// Writes new credentials into an agent's files, as a rotation does.
pub(crate) fn renew(cluster: &Cluster) {
    cluster.kubeconfig("helium-agent", &[], cluster.api_port, &cluster.ca());
}

/// Starts an agent for a cluster; `replica` tells its files from those of others.
pub(crate) fn start(cluster: &Cluster, replica: &str) -> Agent {
    let own = cluster.kubeconfig("helium-agent", &[], cluster.api_port, &cluster.ca());
    let ca = cluster.serving_ca();
    let certificate = cluster
        .dir
        .join(format!("helium-agent-{}.crt", cluster.api_port));
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_helium-agent"));
    command
        .arg(format!("--cluster-name={}", cluster.name))
        .arg(format!("--kubeconfig={}", own.display()))
        .arg(format!(
            "--control-plane=https://localhost:{}",
            cluster.helium_port
        ))
        .arg(format!("--control-plane-ca={}", ca.display()))
        .arg(format!("--control-plane-cert={}", certificate.display()))
        .arg(format!(
            "--control-plane-key={}",
            certificate.with_extension("key").display()
        ))
        .arg(format!(
            "--service=helium-system/helium-apiserver:{}",
            cluster.helium_port
        ))
        .arg(format!("--ca-file={}", ca.display()))
        .arg(format!("--probe-address=127.0.0.1:{port}"))
        .env("HELIUM_AGENT_LOG", "info,helium_controllers=debug")
        .env_remove("RUST_LOG");
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
