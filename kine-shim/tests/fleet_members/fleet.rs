//! Clusters with an authority each, instances that know them, and clients that show certificates.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use helium_journal::Journal;
use helium_mvcc::{PutRequest, Request};
use helium_tls::pki::{Authority, Issued};
use helium_tls::{ClientTls, ClientTlsFiles, Component};
use hyper_util::rt::TokioIo;
use kine_shim::{Config, ListenAddress, PeerConfig, Running, Server, Storage, TlsConfig, replica};
use rustls::pki_types::ServerName;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::Endpoint;

use super::client::{BOUND, Client, one};

/// Where the members are.
pub(crate) const PREFIX: &str = "/registry/helium.dev/members/";
/// A revoked member's streams and connections have ended by then.
pub(crate) const CUT_OFF: Duration = Duration::from_secs(2);

/// A cluster: its name, its authority, and a folder for its files.
pub(crate) struct Cluster {
    pub(crate) name: String,
    pub(crate) authority: Authority,
    folder: TempDir,
}

impl Cluster {
    pub(crate) fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new(&format!("authority of {name}")).expect("an authority");
        let (ca, key) = (folder.path().join("ca.crt"), folder.path().join("ca.key"));
        authority.save(&ca, &key).expect("saved");
        Self {
            name: name.to_owned(),
            authority,
            folder,
        }
    }

    /// The file with the authority's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// The certificate of one of its components.
    pub(crate) fn identity(&self, component: Component) -> Issued {
        let issued = self.authority.issue_member(&self.name, component, &[]);
        issued.expect("issued")
    }

    /// Its `Member` object, which lists these authorities.
    pub(crate) fn member(&self, authorities: &[&Authority]) -> serde_json::Value {
        let bundle: String = authorities
            .iter()
            .map(|one| one.certificate_pem())
            .collect();
        json!({
            "apiVersion": "helium.dev/v1",
            "kind": "Member",
            "metadata": {"name": self.name},
            "spec": {"certificateAuthorities": bundle},
        })
    }

    /// The same, shut out.
    pub(crate) fn revoked(&self, reason: &str) -> serde_json::Value {
        let mut member = self.member(&[&self.authority]);
        member["spec"]["revoked"] = true.into();
        member["spec"]["revokedReason"] = reason.into();
        member
    }

    /// The key and value of its `Member`.
    pub(crate) fn object(&self, member: &serde_json::Value) -> (String, String) {
        (format!("{PREFIX}{}", self.name), member.to_string())
    }

    /// Files with a serving certificate and its key, for one of its instances.
    pub(crate) fn serving(&self) -> (PathBuf, PathBuf) {
        let own = self
            .authority
            .issue_member(&self.name, Component::KineShim, &["127.0.0.1"]);
        let saved = own.expect("issued").save(self.folder.path(), "kine-shim");
        saved.expect("saved")
    }

    /// A configuration for one of its instances.
    pub(crate) fn config(&self, journal: Arc<dyn Journal>, trusted: Option<PathBuf>) -> Config {
        let (certificate, key) = self.serving();
        let address = ListenAddress::Tcp("127.0.0.1:0".to_owned());
        Config {
            tls: Some(TlsConfig {
                client_ca: trusted,
                members_prefix: Some(PREFIX.to_owned()),
                peer: PeerConfig::default(),
                ..TlsConfig::new(certificate, key)
            }),
            metrics_address: Some(address.clone()),
            metrics_tls: false,
            replica: replica::Options {
                name: self.name.clone(),
                heartbeat_interval: Duration::from_millis(100),
                ..replica::Options::default()
            },
            ..Config::new(Storage::Journal(journal), address)
        }
    }
}

/// An instance.
pub(crate) struct Shim {
    pub(crate) running: Running,
    ca: PathBuf,
}

impl Shim {
    /// Starts an instance of `cluster`.
    pub(crate) async fn start(cluster: &Cluster, config: Config) -> Self {
        Self {
            running: Server::start(config).await.expect("the server starts"),
            ca: cluster.ca(),
        }
    }

    /// Writes a `Member` past the gate, as whatever made the fleet has done.
    pub(crate) async fn write(&self, (key, value): (String, String)) {
        let put = PutRequest::new(key, value);
        let written = self.running.replica().propose(Request::Put(put)).await;
        written.expect("written");
    }

    /// How somebody with this certificate dials it. Dialling twice resumes the session.
    pub(crate) fn tls(&self, identity: Option<&Issued>) -> ClientTls {
        tls(&self.ca, identity)
    }

    /// Connects. A client that isn't let in learns so by its first call.
    pub(crate) async fn connect(&self, tls: &ClientTls) -> Result<Client, String> {
        let address = self.running.address().expect("a TCP address");
        connect(address, tls).await
    }

    /// Connects, and makes a call.
    pub(crate) async fn dial(&self, tls: &ClientTls) -> Result<Client, String> {
        let address = self.running.address().expect("a TCP address");
        dial(address, tls).await
    }

    /// A connected client with this certificate.
    pub(crate) async fn client(&self, identity: &Issued) -> Client {
        let dialled = self.dial(&self.tls(Some(identity))).await;
        dialled.expect("the client is let in")
    }

    /// Whether somebody with this certificate is refused.
    pub(crate) async fn refuses(&self, identity: &Issued) -> bool {
        self.dial(&self.tls(Some(identity))).await.is_err()
    }

    /// The value of a metric.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let address = self.running.metrics_address().expect("an address");
        let mut socket = TcpStream::connect(address).await.expect("it listens");
        let request = "GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        let written = socket.write_all(request.as_bytes()).await;
        written.expect("it reads");
        let mut answer = String::new();
        let read = socket.read_to_string(&mut answer).await;
        read.expect("it answers");
        let line = answer
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = line.unwrap_or_else(|| panic!("{name} is missing in\n{answer}"));
        value.parse().expect("a number")
    }

    pub(crate) async fn stop(self) {
        self.running.shutdown().await;
    }
}

/// A file with several authorities.
pub(crate) fn bundle(folder: &Path, authorities: &[&Authority]) -> PathBuf {
    let text: String = authorities
        .iter()
        .map(|one| one.certificate_pem())
        .collect();
    let path = folder.join("bundle.crt");
    std::fs::write(&path, text).expect("written");
    path
}

/// How somebody with this certificate dials a server of this authority.
pub(crate) fn tls(ca: &Path, identity: Option<&Issued>) -> ClientTls {
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = ClientTlsFiles {
        ca: Some(ca.to_owned()),
        ..ClientTlsFiles::default()
    };
    if let Some(identity) = identity {
        let (certificate, key) = identity.save(folder.path(), "client").expect("saved");
        (files.certificate, files.key) = (Some(certificate), Some(key));
    }
    ClientTls::load(&files, &["h2"]).expect("a client")
}

/// Connects. A client that isn't let in learns so by its first call.
pub(crate) async fn connect(address: SocketAddr, tls: &ClientTls) -> Result<Client, String> {
    let connector = TlsConnector::from(tls.config());
    let connector = tower::service_fn(move |_uri: http::Uri| {
        let connector = connector.clone();
        async move {
            let tcp = TcpStream::connect(address).await?;
            let name = ServerName::from(address.ip());
            let tls = connector.connect(name, tcp).await?;
            Ok::<_, std::io::Error>(TokioIo::new(tls))
        }
    });
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
    let channel = endpoint.connect_timeout(BOUND);
    let channel = channel.connect_with_connector(connector).await;
    Ok(Client {
        channel: channel.map_err(|error| helium_journal::chain(&error))?,
    })
}

/// Connects, and makes a call.
pub(crate) async fn dial(address: SocketAddr, tls: &ClientTls) -> Result<Client, String> {
    let client = connect(address, tls).await?;
    match client.range(one("nothing")).await {
        Ok(_) => Ok(client),
        Err(status) => Err(format!("{status:?}")),
    }
}
