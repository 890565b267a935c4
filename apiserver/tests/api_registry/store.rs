//! A store of the test's own: started in a temporary folder, stopped, started again, compacted.
//!
//! It is a kine-shim on SQLite in this process. With `HELIUM_API_STORE=etcd` it is a real etcd, the program that
//! `HELIUM_ETCD_BIN` names: the registry must not notice.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::kv_client::KvClient;
use helium_etcd_proto::etcdserverpb::watch_client::WatchClient;
use helium_etcd_proto::etcdserverpb::watch_request::RequestUnion;
use helium_etcd_proto::mvccpb;
use helium_journal::Journal;
use helium_testkit::{free_port, wait_for};
use kine_shim::{ListenAddress, Server, Storage};
use tempfile::TempDir;
use url::Url;

/// The longest that anything may take.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// What runs.
enum Process {
    Shim(kine_shim::Running),
    Etcd(Child),
}

/// A store.
pub(crate) struct TestStore {
    process: Option<Process>,
    dir: TempDir,
    client_port: u16,
    peer_port: u16,
}

fn etcd_program() -> Option<PathBuf> {
    match std::env::var("HELIUM_API_STORE").as_deref() {
        Err(_) | Ok("kine-shim") => None,
        Ok("etcd") => {
            let path = std::env::var_os("HELIUM_ETCD_BIN")
                .expect("HELIUM_ETCD_BIN names the etcd to use; tests/build.sh etcd builds one");
            Some(path.into())
        }
        Ok(other) => panic!("HELIUM_API_STORE is kine-shim or etcd, not {other}"),
    }
}

impl TestStore {
    pub(crate) async fn start() -> Self {
        let mut store = Self {
            process: None,
            dir: TempDir::new().expect("a temporary folder"),
            client_port: free_port(),
            peer_port: free_port(),
        };
        store.resume().await;
        store
    }

    /// A kine-shim on a journal of the test's own, which tells of setbacks.
    pub(crate) async fn start_on(journal: Arc<dyn Journal>, incarnation_key: &'static str) -> Self {
        let mut store = Self {
            process: None,
            dir: TempDir::new().expect("a temporary folder"),
            client_port: free_port(),
            peer_port: free_port(),
        };
        let address = ListenAddress::Tcp(format!("127.0.0.1:{}", store.client_port));
        let mut config = kine_shim::Config::new(Storage::Journal(journal), address);
        config.replica.incarnation_key = Some(Bytes::from_static(incarnation_key.as_bytes()));
        let running = Server::start(config).await.expect("kine-shim starts");
        store.process = Some(Process::Shim(running));
        store
    }

    pub(crate) fn url(&self) -> Url {
        format!("http://127.0.0.1:{}", self.client_port)
            .parse()
            .expect("a URL")
    }

    /// Starts it (again), with the data that it had.
    pub(crate) async fn resume(&mut self) {
        self.process = Some(match etcd_program() {
            Some(program) => Process::Etcd(self.start_etcd(program)),
            None => Process::Shim(self.start_shim().await),
        });
        wait_for("the store answers", BOUND, || async {
            self.revision().await.is_some()
        })
        .await;
    }

    async fn start_shim(&self) -> kine_shim::Running {
        let storage = Storage::Endpoint {
            url: format!("sqlite://{}", self.dir.path().join("state.db").display()),
            tls: Default::default(),
            log_id: 0,
            patience: Duration::ZERO,
        };
        let address = ListenAddress::Tcp(format!("127.0.0.1:{}", self.client_port));
        Server::start(kine_shim::Config::new(storage, address))
            .await
            .expect("kine-shim starts")
    }

    fn start_etcd(&self, program: PathBuf) -> Child {
        let client = format!("http://127.0.0.1:{}", self.client_port);
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        Command::new(program)
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
            .expect("etcd starts")
    }

    /// Stops it; its data stay.
    pub(crate) async fn stop(&mut self) {
        match self.process.take() {
            Some(Process::Shim(running)) => running.shutdown().await,
            Some(Process::Etcd(child)) => kill(child),
            None => {}
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

    /// Puts a key past every server; returns the revision.
    pub(crate) async fn put(&self, key: &str, value: &str) -> i64 {
        let request = pb::PutRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: Bytes::copy_from_slice(value.as_bytes()),
            ..pb::PutRequest::default()
        };
        let response = self.kv().await.expect("a connection").put(request).await;
        let header = response.expect("an answer").into_inner().header;
        header.expect("a header").revision
    }

    /// Deletes a key likewise.
    pub(crate) async fn delete(&self, key: &str) {
        let request = pb::DeleteRangeRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            ..pb::DeleteRangeRequest::default()
        };
        let mut client = self.kv().await.expect("a connection");
        client.delete_range(request).await.expect("an answer");
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

    /// Everything that happened in these revisions, as the store tells it.
    pub(crate) async fn history(&self, revisions: RangeInclusive<i64>) -> Vec<mvccpb::Event> {
        let create = pb::WatchCreateRequest {
            key: Bytes::from_static(b"\0"),
            range_end: Bytes::from_static(b"\0"),
            start_revision: *revisions.start(),
            ..pb::WatchCreateRequest::default()
        };
        let request = pb::WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        let mut client = WatchClient::connect(self.url().to_string())
            .await
            .expect("a connection");
        // Stays open behind the request: a stream that its client has closed may end early.
        let requests = futures_util::stream::once(std::future::ready(request))
            .chain(futures_util::stream::pending());
        let watch = client.watch(requests).await.expect("a watch");
        let mut responses = watch.into_inner();
        let mut events: Vec<mvccpb::Event> = Vec::new();
        let at = |event: &mvccpb::Event| event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
        // Each revision has an event, so the last one tells that it is complete.
        while events.last().is_none_or(|last| at(last) < *revisions.end()) {
            let message = tokio::time::timeout(BOUND, responses.message());
            let response = message.await.expect("history in time").expect("no error");
            let response = response.expect("the watch goes on");
            assert!(!response.canceled, "{}", response.cancel_reason);
            events.extend(response.events);
        }
        events.retain(|event| revisions.contains(&at(event)));
        events
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

fn kill(mut child: Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

impl Drop for TestStore {
    fn drop(&mut self) {
        if let Some(Process::Etcd(child)) = self.process.take() {
            kill(child);
        }
    }
}
