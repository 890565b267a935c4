//! One server: its sockets, its replica, its tasks, from start to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use helium_journal::memory::MemoryDatabase;
use helium_journal::{Journal, TlsFiles};
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::compaction;
use crate::connection::{self, KeepAlive};
use crate::gate::{self, Access, Gate};
use crate::listener::{self, BindError, ListenAddress, Listener, Origin, Serve, Socket};
use crate::metrics::{Metrics, SqlMetrics, StoreCollector};
use crate::node::{Node, Settings};
use crate::replica::{self, Replica, SystemClock};
use crate::service::Services;
use crate::tls::{Tls, TlsConfig};

/// Where a server keeps its data.
#[derive(Debug, Clone)]
pub enum Storage {
    /// A database, by kine's endpoint URL.
    Endpoint {
        /// `postgres://…`, `sqlite://…`, `memory://`; empty for SQLite in `./db/state.db`.
        url: String,
        /// TLS towards the database.
        tls: TlsFiles,
        /// Which of the database's logs to serve.
        log_id: i32,
        /// How long to keep trying to reach the database.
        patience: Duration,
    },
    /// A journal that is open already; it is closed when the server stops.
    Journal(Arc<dyn Journal>),
}

/// Compactions that the server starts itself.
#[derive(Debug, Clone, Copy)]
pub struct AutoCompaction {
    /// Pause between two.
    pub interval: Duration,
    /// Percentage by which the pause varies.
    pub jitter: u8,
    /// Revisions to keep.
    pub retain: i64,
}

/// Everything that a server needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the data is.
    pub storage: Storage,
    /// Where clients connect.
    pub listen_address: ListenAddress,
    /// TLS for clients; plain without.
    pub tls: Option<TlsConfig>,
    /// A second address for metrics.
    pub metrics_address: Option<ListenAddress>,
    /// Whether that address has TLS when the clients' has.
    pub metrics_tls: bool,
    /// Where clients reach this server; made from the address if empty.
    pub advertise_client_urls: Vec<String>,
    /// The etcd version that clients are told.
    pub version: String,
    /// Largest write request, in bytes.
    pub max_request_bytes: usize,
    /// Pause between progress notifications.
    pub watch_progress_interval: Duration,
    /// How long the database may be out of reach before calls that require a leader fail.
    pub leader_timeout: Duration,
    /// Pause without a sign of life after which a connection is probed.
    pub keepalive_interval: Duration,
    /// How long the answer to a probe may take.
    pub keepalive_timeout: Duration,
    /// Statements slower than this are logged; zero for none.
    pub slow_statement: Duration,
    /// Statements slower than this are logged as warnings; zero for none.
    pub slow_statement_warning: Duration,
    /// Compactions of our own.
    pub auto_compaction: Option<AutoCompaction>,
    /// Tuning of the replica. Its name is this server's.
    pub replica: replica::Options,
}

impl Config {
    /// A server of `storage` at `listen_address`, everything else as the command line has it by
    /// default, without a second address for metrics.
    #[must_use]
    pub fn new(storage: Storage, listen_address: ListenAddress) -> Self {
        Self {
            storage,
            listen_address,
            tls: None,
            metrics_address: None,
            metrics_tls: true,
            advertise_client_urls: Vec::new(),
            version: "3.7.1".to_owned(),
            max_request_bytes: 1_572_864,
            watch_progress_interval: Duration::from_secs(5),
            leader_timeout: Duration::from_secs(3),
            keepalive_interval: Duration::from_secs(2 * 60 * 60),
            keepalive_timeout: Duration::from_secs(20),
            slow_statement: Duration::from_secs(1),
            slow_statement_warning: Duration::from_secs(5),
            auto_compaction: None,
            replica: replica::Options::default(),
        }
    }

    /// `memory://` on a free port of this machine: for tests.
    #[must_use]
    pub fn in_memory() -> Self {
        let storage = Storage::Endpoint {
            url: MEMORY.to_owned(),
            tls: TlsFiles::default(),
            log_id: 0,
            patience: Duration::ZERO,
        };
        Self::new(storage, ListenAddress::Tcp("127.0.0.1:0".to_owned()))
    }
}

/// Why a server didn't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A socket can't be had.
    #[error("the server can't listen")]
    Bind(#[from] BindError),
    /// The certificate for clients can't be used.
    #[error("TLS for clients can't be set up")]
    Tls(#[from] helium_tls::Error),
    /// The database can't be opened.
    #[error("the database can't be opened")]
    Storage(#[from] helium_journal::Error),
    /// The journal can't be read.
    #[error("the journal can't be loaded")]
    Load(#[from] replica::Error),
}

/// How long a start waits for the first owner of a new log.
const OWNER_PATIENCE: Duration = Duration::from_secs(2);
/// How long calls may take to end when the server stops.
const DRAIN: Duration = Duration::from_secs(2);

/// Starts servers.
#[derive(Debug)]
pub struct Server;

impl Server {
    /// Binds the sockets, opens the database, loads the state, and serves.
    ///
    /// Returns when requests are answered. A client may connect earlier; it waits.
    ///
    /// # Errors
    /// Whatever keeps the server from serving, each with what to do about it. Nothing is left
    /// running then.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        let listener = Listener::bind(&config.listen_address).await?;
        let metrics_listener = match &config.metrics_address {
            Some(address) => Some(Listener::bind(address).await?),
            None => None,
        };
        let mut registry = Registry::default();
        let tls = config.tls.as_ref();
        let tls = tls.map(|tls| Tls::load(tls, &mut registry)).transpose()?;
        helium_telemetry::metrics::register_process(&mut registry);
        let sql = SqlMetrics::register(
            &mut registry,
            config.slow_statement,
            config.slow_statement_warning,
        );
        let journal = open_journal(&config.storage, sql).await?;
        let sockets = Sockets {
            listener,
            metrics: metrics_listener,
            tls,
        };
        let started = Self::run(config, Arc::clone(&journal), registry, sockets).await;
        if started.is_err() {
            journal.close().await;
        }
        started
    }

    async fn run(
        config: Config,
        journal: Arc<dyn Journal>,
        mut registry: Registry,
        sockets: Sockets,
    ) -> Result<Running, StartError> {
        let address = sockets.listener.address();
        let advertised = Advertised::new(&config, address);
        let replica_metrics = replica::Metrics::default();
        replica_metrics.register(&mut registry);
        let options = replica::Options {
            link_tls: sockets.tls.as_ref().and_then(Tls::links),
            advertise_client_urls: advertised.elsewhere.clone(),
            ..config.replica.clone()
        };
        let clock = Arc::new(SystemClock::new());
        let replica = Replica::open(Arc::clone(&journal), options, clock, replica_metrics).await?;
        let settings = Settings {
            name: config.replica.name.clone(),
            advertise_client_urls: advertised.here.clone(),
            max_request_bytes: config.max_request_bytes,
            watch_progress_interval: config.watch_progress_interval,
            version: config.version.clone(),
            leader_timeout: config.leader_timeout,
        };
        let collector = StoreCollector::new(
            replica.clone(),
            settings.version.clone(),
            settings.cluster_version(),
        );
        registry.register_collector(Box::new(collector));
        let metrics = Metrics::register(&mut registry);
        let stop = CancellationToken::new();
        let running = Running {
            node: Node::new(replica, settings, metrics, stop.clone()),
            journal,
            tasks: TaskTracker::new(),
            stop,
            deadline: CancellationToken::new(),
            address,
            metrics_address: sockets.metrics.as_ref().and_then(Listener::address),
            url: advertised.here.into_iter().next().unwrap_or_default(),
        };
        let gate = sockets.tls.as_ref().and_then(|tls| tls.gate.clone());
        let client_port = running.spawn(&config, sockets, Arc::new(registry));
        if let Err(error) = running.node.replica.wait_ready().await {
            running.tasks.close();
            running.shutdown().await;
            return Err(error.into());
        }
        if config.replica.may_own {
            let owned = running.node.replica.wait_owned();
            if tokio::time::timeout(OWNER_PATIENCE, owned).await.is_err() {
                warn!("the log has no owner yet: leases don't expire until it has one");
            }
        }
        if let Some((gate, prefix)) = gate {
            // Before the first client comes.
            let replica = running.node.replica.clone();
            gate::look(&replica, &prefix, &gate);
            running
                .tasks
                .spawn(gate::follow(replica, prefix, gate, running.stop.clone()));
        }
        running.tasks.spawn(client_port);
        running.tasks.close();
        let revision = running.node.replica.status().revision;
        info!(url = running.url(), %revision, "ready to serve client requests");
        Ok(running)
    }
}

/// The endpoint that keeps nothing: for tests and for trying out.
const MEMORY: &str = "memory://";

struct Sockets {
    listener: Listener,
    metrics: Option<Listener>,
    tls: Option<Tls>,
}

async fn open_journal(
    storage: &Storage,
    sql: SqlMetrics,
) -> Result<Arc<dyn Journal>, helium_journal::Error> {
    match storage {
        Storage::Journal(journal) => Ok(Arc::clone(journal)),
        Storage::Endpoint { url, log_id, .. } if url == MEMORY => {
            let log_id = helium_journal::LogId(*log_id);
            Ok(Arc::new(MemoryDatabase::new().journal(log_id)))
        }
        Storage::Endpoint {
            url,
            tls,
            log_id,
            patience,
        } => {
            let options = helium_journal::Options {
                log_id: helium_journal::LogId(*log_id),
                observer: Arc::new(sql),
                start_patience: *patience,
                ..helium_journal::Options::default()
            };
            helium_journal::endpoint::open(url, tls, &options).await
        }
    }
}

/// The URLs of a server.
struct Advertised {
    /// For its own clients, never empty.
    here: Vec<String>,
    /// For the other instances: empty if what we know would lead them to themselves.
    elsewhere: Vec<String>,
}

impl Advertised {
    fn new(config: &Config, address: Option<SocketAddr>) -> Self {
        if !config.advertise_client_urls.is_empty() {
            let urls = config.advertise_client_urls.clone();
            return Self {
                here: urls.clone(),
                elsewhere: urls,
            };
        }
        let scheme = if config.tls.is_some() {
            "https"
        } else {
            "http"
        };
        match address {
            Some(address) if address.ip().is_unspecified() => {
                warn!(
                    "listening on every address: other instances and clients that ask for the \
                     member list need --advertise-client-url"
                );
                let here = vec![format!("{scheme}://localhost:{}", address.port())];
                Self {
                    here,
                    elsewhere: Vec::new(),
                }
            }
            Some(address) => {
                let urls = vec![format!("{scheme}://{address}")];
                Self {
                    here: urls.clone(),
                    elsewhere: urls,
                }
            }
            None => Self {
                here: vec![config.listen_address.to_string()],
                elsewhere: Vec::new(),
            },
        }
    }
}

/// A server that answers requests until [`Running::shutdown`].
#[derive(Debug)]
pub struct Running {
    node: Arc<Node>,
    journal: Arc<dyn Journal>,
    tasks: TaskTracker,
    stop: CancellationToken,
    deadline: CancellationToken,
    address: Option<SocketAddr>,
    metrics_address: Option<SocketAddr>,
    url: String,
}

impl Running {
    /// Spawns everything but the client port, which is to follow when requests can be answered.
    fn spawn(
        &self,
        config: &Config,
        sockets: Sockets,
        registry: Arc<Registry>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let services = Services::new(Arc::clone(&self.node), registry);
        let keep_alive = KeepAlive {
            interval: config.keepalive_interval,
            timeout: config.keepalive_timeout,
        };
        let (stop, deadline) = (self.stop.clone(), self.deadline.clone());
        let (tls, metrics_tls, gate) = match sockets.tls {
            Some(tls) => {
                tls.keep_fresh(&self.tasks, &stop);
                let metrics = config.metrics_tls.then_some(tls.metrics);
                (Some(tls.clients), metrics, tls.gate.map(|(gate, _)| gate))
            }
            None => (None, None, None),
        };
        if let Some(listener) = sockets.metrics {
            let plain = PlainHandler {
                services: services.clone(),
                deadline: deadline.clone(),
            };
            let accept = listener::accept(
                listener,
                metrics_tls,
                plain,
                self.tasks.clone(),
                stop.clone(),
            );
            self.tasks.spawn(accept);
        }
        let handler = ClientHandler {
            services,
            gate,
            keep_alive,
            stop: stop.clone(),
            deadline,
        };
        self.tasks.spawn(Arc::clone(&self.node).observe());
        if let Some(auto) = config.auto_compaction {
            let compaction = compaction::run(Arc::clone(&self.node), auto, stop.clone());
            self.tasks.spawn(compaction);
        }
        listener::accept(sockets.listener, tls, handler, self.tasks.clone(), stop)
    }

    /// The first URL under which clients reach the server.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The TCP address, with the port that was chosen; none on a Unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The TCP address of the second listener for metrics.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// The replica, for whoever runs the server in process.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.node.replica
    }

    /// Ends when the server can't go on by itself: its replica halted or stopped.
    pub async fn failed(&self) {
        self.node.replica.stopping().cancelled().await;
    }

    /// Stops: no new connections, calls under way are finished and streams ended, within two
    /// seconds; then the replica and the journal are closed.
    pub async fn shutdown(self) {
        self.stop.cancel();
        if tokio::time::timeout(DRAIN, self.tasks.wait())
            .await
            .is_err()
        {
            self.deadline.cancel();
            self.tasks.wait().await;
        }
        self.node.replica.stop().await;
        self.journal.close().await;
        info!("stopped");
    }
}

/// Serves the client port.
#[derive(Debug, Clone)]
struct ClientHandler {
    services: Services,
    gate: Option<Arc<Gate>>,
    keep_alive: KeepAlive,
    stop: CancellationToken,
    deadline: CancellationToken,
}

impl Serve for ClientHandler {
    fn handshake_failed(&self, error: &std::io::Error) {
        if let Some(gate) = &self.gate {
            gate.handshake_failed(error);
        }
    }

    async fn serve<S: Socket>(self, socket: S, origin: Origin) {
        let access = match (self.gate, origin) {
            (Some(gate), Origin::Network(chain)) => match gate.admit(chain) {
                Ok(access) => access,
                Err(_told) => return,
            },
            (None, _) | (_, Origin::Local) => Access::unrestricted(),
        };
        connection::serve(
            socket,
            self.services,
            access,
            self.keep_alive,
            self.stop,
            self.deadline,
        )
        .await;
    }
}

/// Serves the second address, which speaks HTTP/1 only.
#[derive(Debug, Clone)]
struct PlainHandler {
    services: Services,
    deadline: CancellationToken,
}

impl Serve for PlainHandler {
    async fn serve<S: Socket>(self, socket: S, _origin: Origin) {
        let Self { services, deadline } = self;
        let stopping = services.node.stopping.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let services = services.clone();
            async move {
                let answer = services.call(request, &Access::unrestricted()).await;
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(socket), service);
        tokio::pin!(connection);
        let mut draining = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        debug!(%error, "connection ended with an error");
                    }
                    return;
                }
                () = stopping.cancelled(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = deadline.cancelled() => return,
            }
        }
    }
}
