//! The store of a local fleet: one kine-shim in this process.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use helium_journal::TlsFiles;
use helium_journal::endpoint::Endpoint;
use kine_shim::{BindError, Config, ListenAddress, Running, Server, StartError, Storage};
use url::Url;

use super::servers::{STORE_PREFIX, reachable};
use crate::error::{Error, Result};

/// How long a database may be out of reach before the start is given up. A person waits here.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running kine-shim.
#[derive(Debug)]
pub(super) struct Store {
    running: Running,
    url: Url,
    database: String,
}

impl Store {
    /// Starts it on `endpoint`, or on a SQLite file in `data`.
    pub(super) async fn start(
        data: &Path,
        endpoint: Option<&str>,
        bind_address: IpAddr,
        port: u16,
    ) -> Result<Self> {
        let tls = TlsFiles::default();
        let endpoint = match endpoint {
            Some(endpoint) => endpoint.to_owned(),
            None => format!("sqlite://{}", data.join("state.db").display()),
        };
        // Shown to people, so without its password.
        let database = Endpoint::parse(&endpoint, &tls)
            .map_err(|source| Error::Store {
                endpoint: "it".to_owned(),
                source: source.into(),
            })?
            .to_string();
        let listen = SocketAddr::new(bind_address, port);
        let storage = Storage::Endpoint {
            url: endpoint,
            tls,
            log_id: 0,
            patience: PATIENCE,
        };
        let mut config = Config::new(storage, ListenAddress::Tcp(listen.to_string()));
        let key = format!("{STORE_PREFIX}/helium.dev/incarnations/store");
        config.replica.incarnation_key = Some(key.into());
        let running = match Server::start(config).await {
            Ok(running) => running,
            Err(StartError::Bind(BindError::InUse { .. })) => {
                return Err(Error::PortInUse {
                    address: listen,
                    purpose: "etcd".to_owned(),
                });
            }
            Err(StartError::Bind(BindError::Failed { source, .. })) => {
                return Err(Error::Listen {
                    address: listen,
                    source,
                });
            }
            Err(error) => {
                return Err(Error::Store {
                    endpoint: database,
                    source: error.into(),
                });
            }
        };
        let address = reachable(running.address().unwrap_or(listen));
        let url = Url::parse(&format!("http://{address}")).map_err(|source| Error::Store {
            endpoint: database.clone(),
            source: source.into(),
        })?;
        Ok(Self {
            running,
            url,
            database,
        })
    }

    /// Where etcd clients reach it.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The database, without its password.
    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// Waits until it can't go on by itself.
    pub(super) async fn ended(&self) {
        self.running.failed().await;
    }

    /// Ends it cleanly.
    pub(super) async fn stop(self) {
        self.running.shutdown().await;
    }
}
