//! What the cases run against.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use helium_journal::TlsFiles;
use helium_testkit::wait_for;
use kine_shim::{Config, ListenAddress, Running, Server, Storage};
use tempfile::TempDir;

use super::client::{BOUND, Client};

/// A fresh store behind an endpoint.
pub(crate) struct Target {
    pub(crate) client: Client,
    pub(crate) url: String,
    kind: Kind,
    _folder: Option<TempDir>,
}

enum Kind {
    Shim(Option<Running>),
    Etcd(Child),
}

/// A server's configuration for tests, on a free port.
pub(crate) fn config(endpoint: &str, log_id: i32) -> Config {
    let storage = Storage::Endpoint {
        url: endpoint.to_owned(),
        tls: TlsFiles::default(),
        log_id,
        patience: BOUND,
    };
    Config::new(storage, ListenAddress::Tcp("127.0.0.1:0".to_owned()))
}

impl Target {
    /// kine-shim with everything in memory.
    pub(crate) async fn memory() -> Self {
        Self::shim(Config::in_memory(), None).await
    }

    /// kine-shim on a SQLite file.
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let endpoint = format!("sqlite://{}", folder.path().join("state.db").display());
        Self::shim(config(&endpoint, 0), Some(folder)).await
    }

    /// kine-shim on a log of its own in a database.
    pub(crate) async fn log(endpoint: &str, log_id: i32) -> Self {
        Self::shim(config(endpoint, log_id), None).await
    }

    async fn shim(config: Config, folder: Option<TempDir>) -> Self {
        let running = Server::start(config).await.expect("the server starts");
        let url = running.url().to_owned();
        let client = Client::connect(&url).await;
        Self {
            client,
            url,
            kind: Kind::Shim(Some(running)),
            _folder: folder,
        }
    }

    /// A real etcd.
    pub(crate) async fn etcd() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (client_url, peer_url) = (free_url(), free_url());
        let log = std::fs::File::create(folder.path().join("log")).expect("a log file");
        let child = Command::new(etcd_binary())
            .args([
                "--name",
                "oracle",
                "--logger",
                "zap",
                "--log-level",
                "error",
            ])
            .args([
                "--data-dir",
                &folder.path().join("data").display().to_string(),
            ])
            .args([
                "--listen-client-urls",
                &client_url,
                "--advertise-client-urls",
                &client_url,
            ])
            .args([
                "--listen-peer-urls",
                &peer_url,
                "--initial-advertise-peer-urls",
                &peer_url,
            ])
            .args(["--initial-cluster", &format!("oracle={peer_url}")])
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("etcd starts");
        let url = client_url.clone();
        wait_for("etcd serves", BOUND, || {
            let url = url.clone();
            async move {
                http_get(&url, "/health")
                    .await
                    .is_some_and(|text| text.contains("true"))
            }
        })
        .await;
        let client = Client::connect(&client_url).await;
        Self {
            client,
            url: client_url,
            kind: Kind::Etcd(child),
            _folder: Some(folder),
        }
    }

    /// Whether this is a real etcd, for the few differences that we mean to have.
    pub(crate) fn is_etcd(&self) -> bool {
        matches!(self.kind, Kind::Etcd(_))
    }

    /// A client with a connection of its own.
    pub(crate) async fn connect(&self) -> Client {
        Client::connect(&self.url).await
    }

    /// GETs a path of the client port, and answers the status line's code and the body.
    pub(crate) async fn http(&self, path: &str) -> (u16, String) {
        let answer = http_get(&self.url, path).await.expect("an HTTP answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("headers");
        let code = head
            .split_whitespace()
            .nth(1)
            .and_then(|code| code.parse().ok());
        (code.expect("a status code"), body.to_owned())
    }

    /// Stops the server.
    pub(crate) async fn stop(mut self) {
        match &mut self.kind {
            Kind::Shim(running) => {
                if let Some(running) = running.take() {
                    running.shutdown().await;
                }
            }
            Kind::Etcd(child) => stop_child(child),
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Kind::Etcd(child) = &mut self.kind {
            stop_child(child);
        }
    }
}

fn stop_child(child: &mut Child) {
    // A child that has ended already is what we want.
    let _ended = child.kill();
    let _status = child.wait();
}

fn free_url() -> String {
    format!("http://127.0.0.1:{}", helium_testkit::free_port())
}

/// The oracle. Without one its tests fail: passing silently would prove nothing.
fn etcd_binary() -> PathBuf {
    let path = std::env::var_os("HELIUM_ETCD_BIN").map(PathBuf::from);
    let path = path.expect(
        "HELIUM_ETCD_BIN must name an etcd binary: run tests/build.sh etcd, \
         then set HELIUM_ETCD_BIN=.cache/bin/etcd (test.sh does both)",
    );
    assert!(
        path.exists(),
        "HELIUM_ETCD_BIN names {}, which is not there",
        path.display()
    );
    path
}

async fn http_get(url: &str, path: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = url.strip_prefix("http://")?;
    let mut socket = tokio::net::TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}
