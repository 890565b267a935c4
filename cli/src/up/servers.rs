//! The API server of one cluster of a local fleet.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use helium_apiserver::Config;
use helium_apiserver::config::{
    Authentication, Authorization, Limits, Rules, ServingTls, StoreConfig,
};
use helium_apiserver::server::{Running, Server, StartError};
use url::Url;

use super::pki::ClusterPki;
use crate::error::{Error, Result};
use crate::options::Cluster;

/// Prefix of every key, the same for all clusters: that is what makes them share.
pub(super) const STORE_PREFIX: &str = "/registry";
/// Time between two compactions, as kube-apiserver has it.
const COMPACTION_INTERVAL: Duration = Duration::from_secs(300);
/// Paths that need no rights.
const OPEN_PATHS: &[&str] = &["/healthz", "/readyz", "/livez"];

/// A running API server.
pub(super) struct ApiServer {
    cluster: Cluster,
    running: Running,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ApiServer")
            .field("cluster", &self.cluster)
            .field("address", &self.running.local_addr())
            .finish_non_exhaustive()
    }
}

impl ApiServer {
    /// Starts the API server of `cluster`; it listens when this returns.
    pub(super) async fn start(
        cluster: &Cluster,
        bind_address: IpAddr,
        port: u16,
        pki: &ClusterPki,
        store: &Url,
    ) -> Result<Self> {
        let listen = SocketAddr::new(bind_address, port);
        let config = Config {
            cluster_name: cluster.to_string(),
            listen,
            tls: ServingTls {
                cert_file: pki.server_certificate.clone(),
                key_file: pki.server_key.clone(),
            },
            authentication: Authentication {
                client_ca_file: Some(pki.authority_file.clone()),
                skip_lookup: true,
                ..Authentication::default()
            },
            authorization: Authorization::MastersOnly {
                always_allow_paths: OPEN_PATHS.iter().map(|path| (*path).to_owned()).collect(),
            },
            store: StoreConfig {
                servers: vec![store.clone()],
                prefix: STORE_PREFIX.to_owned(),
                ca_file: None,
                cert_file: None,
                key_file: None,
                compaction_interval: COMPACTION_INTERVAL,
            },
            limits: Limits {
                shutdown_grace: Duration::from_secs(2),
                ..Limits::default()
            },
            serve_namespaces: true,
            require_member: false,
            state_dir: None,
            namespace_controllers: Vec::new(),
            garbage_collectors: Vec::new(),
            rules: Rules::default(),
        };
        match Server::start(config).await {
            Ok(running) => Ok(Self {
                cluster: cluster.clone(),
                running,
            }),
            Err(StartError::Listen { address, source }) => Err(Error::listen(
                address,
                &format!("the API server of {cluster}"),
                source,
            )),
            Err(error) => Err(Error::ApiServer {
                cluster: cluster.to_string(),
                source: error.into(),
            }),
        }
    }

    /// Which cluster it serves.
    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The URL under which clients reach it.
    pub(super) fn url(&self) -> String {
        format!("https://{}", reachable(self.running.local_addr()))
    }

    /// Waits until it has read its definitions.
    pub(super) async fn ready(&self) {
        self.running.ready().await;
    }

    /// Ends it cleanly.
    pub(super) async fn stop(self) {
        self.running.stop().await;
    }
}

/// The address to dial for one that is listened on: the loopback for "every address".
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
