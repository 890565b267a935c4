//! A real etcd of the test's own: started in a temporary folder, paused, stopped, compacted.
//!
//! `HELIUM_ETCD_BIN` names the program.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::kv_client::KvClient;
use helium_testkit::wait_for;
use tempfile::TempDir;
use url::Url;

pub(crate) const BOUND: Duration = Duration::from_secs(20);

/// A running etcd.
pub(crate) struct TestStore {
    child: Option<Child>,
    dir: TempDir,
    client_port: u16,
    peer_port: u16,
}

fn program() -> PathBuf {
    let named = std::env::var_os("HELIUM_ETCD_BIN").map(PathBuf::from);
    let path = named.unwrap_or_else(|| PathBuf::from("/tmp/helium-bin/etcd"));
    assert!(
        path.exists(),
        "no etcd at {}: run tests/build.sh etcd, or set HELIUM_ETCD_BIN",
        path.display()
    );
    path
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

impl TestStore {
    pub(crate) async fn start() -> Self {
        let mut store = Self {
            child: None,
            dir: TempDir::new().expect("a temporary folder"),
            client_port: free_port(),
            peer_port: free_port(),
        };
        store.resume().await;
        store
    }

    pub(crate) fn url(&self) -> Url {
        format!("http://127.0.0.1:{}", self.client_port)
            .parse()
            .expect("a URL")
    }

    /// Starts it (again), with the data that it had.
    pub(crate) async fn resume(&mut self) {
        let client = format!("http://127.0.0.1:{}", self.client_port);
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let child = Command::new(program())
            .arg("--data-dir")
            .arg(self.dir.path())
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &format!("default={peer}")])
            .args(["--unsafe-no-fsync", "--log-level", "error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd starts");
        self.child = Some(child);
        wait_for("etcd answers", BOUND, || async {
            self.revision().await.is_some()
        })
        .await;
    }

    /// Kills it; its data stay.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    async fn kv(&self) -> Option<KvClient<tonic::transport::Channel>> {
        KvClient::connect(self.url().to_string()).await.ok()
    }

    /// The current revision, if it answers.
    pub(crate) async fn revision(&self) -> Option<i64> {
        let request = pb::RangeRequest {
            key: "probe".into(),
            ..pb::RangeRequest::default()
        };
        let response = self.kv().await?.range(request).await.ok()?.into_inner();
        response.header.map(|header| header.revision)
    }

    /// Forgets all history before a revision.
    pub(crate) async fn compact(&self, revision: i64) {
        let request = pb::CompactionRequest {
            revision,
            physical: true,
        };
        self.kv()
            .await
            .expect("a connection")
            .compact(request)
            .await
            .expect("compacts");
    }

    /// All keys.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let request = pb::RangeRequest {
            key: "/".into(),
            range_end: "0".into(),
            keys_only: true,
            ..pb::RangeRequest::default()
        };
        let response = self.kv().await.expect("a connection").range(request).await;
        let kvs = response.expect("an answer").into_inner().kvs;
        kvs.iter()
            .map(|kv| String::from_utf8_lossy(&kv.key).into_owned())
            .collect()
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        self.stop();
    }
}
