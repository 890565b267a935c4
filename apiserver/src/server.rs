//! Accepting connections, and the life of one server: start, serve, drain, stop.
//!
//! Shutdown: readiness turns false; after [`crate::config::Limits::shutdown_delay`] the listener closes and watches
//! end between two events; requests in flight get [`crate::config::Limits::shutdown_grace`]; what is left then
//! is cut.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use helium_apimachinery::status::Status;
use helium_telemetry::Chain;
use helium_tls::{ClientAuth, ClientCas, ServerTls, ServerTlsFiles};
use http::Request;
use http::header::CONTENT_TYPE;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use prometheus_client::registry::Registry as MetricsRegistry;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tower::ServiceBuilder;
use tower_http::compression::{CompressionLayer, Predicate};
use tracing::{debug, info, warn};

use crate::authn::peer::Peer;
use crate::authn::{self, Authenticator};
use crate::authz::Authorizer;
use crate::backend::Backend;
use crate::config::Config;
use crate::definitions::Catalog;
use crate::discovery::Library;
use crate::handler::{CatalogSource, Handler, InFlightPlaces};
use crate::health::{Counts, Health};
use crate::host::HostError;
use crate::members::join::gate::Gate;
use crate::metrics::Metrics;
use crate::registry::{self, Registry};

/// Streams on one HTTP/2 connection: an aggregator sends everything over one.
const MAX_STREAMS: u32 = 1000;
/// Largest header list; a user with many groups has one header for each.
const MAX_HEADER_BYTES: u32 = 1024 * 1024;
/// Most headers of an HTTP/1.1 request.
const MAX_HEADERS: usize = 2048;
/// Time for a TLS handshake, and for the head of a request.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a silent HTTP/2 peer is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How often the serving certificate's files are looked at.
const CERTIFICATE_POLL: Duration = Duration::from_secs(10);
/// Pause when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Smaller bodies aren't worth compressing.
const COMPRESS_ABOVE: u64 = 128 * 1024;

/// Why a server can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The serving certificate can't be loaded.
    #[error("loading the serving certificate")]
    Tls(#[source] Box<helium_tls::Error>),
    /// The address is taken or not ours.
    #[error("listening on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Authentication can't be set up.
    #[error("setting up authentication")]
    Authentication(#[source] authn::SetupError),
    /// Authorization can't be set up.
    #[error("setting up authorization")]
    Authorization(#[source] HostError),
    /// The registry can't be set up.
    #[error("setting up the store")]
    Registry(#[source] registry::StartError),
}

/// Starts servers.
#[derive(Debug)]
pub struct Server;

/// A server that runs. Dropping it stops it without waiting.
pub struct Running {
    local_addr: SocketAddr,
    backend: Arc<dyn Backend>,
    draining: CancellationToken,
    shutdown: CancellationToken,
    shutdown_delay: Duration,
    tracker: TaskTracker,
    _guard: DropGuard,
}

/// What a server serves and how it is described, for a start without the usual registry.
pub struct Parts {
    /// Answers requests for resources.
    pub backend: Arc<dyn Backend>,
    /// Tells what is served.
    pub catalog: Arc<dyn CatalogSource>,
    /// Checks beside those of the server itself.
    pub health: Health,
    /// Metrics beside those of the server itself.
    pub metrics: MetricsRegistry,
}

#[async_trait]
impl CatalogSource for Registry {
    fn catalog(&self) -> Arc<Catalog> {
        Registry::catalog(self)
    }

    async fn confirm(&self) -> Result<(), Status> {
        self.confirm_catalog().await
    }
}

impl Server {
    /// Starts a server over the store that `config` names. It returns as soon as it listens;
    /// [`Running::ready`] tells when it has read its definitions. A store that is down is no error.
    ///
    /// # Errors
    /// [`StartError`] when a file can't be read, the address is taken, or the host cluster's
    /// settings can't be looked up.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        let shutdown = CancellationToken::new();
        let registry = Registry::start(&config, shutdown.clone()).map_err(StartError::Registry)?;
        let parts = Parts {
            backend: Arc::clone(&registry) as Arc<dyn Backend>,
            catalog: Arc::clone(&registry) as Arc<dyn CatalogSource>,
            health: Health::new().with("etcd", Counts::Alone, store_check(&registry)),
            metrics: {
                let mut metrics = MetricsRegistry::default();
                helium_telemetry::metrics::register_process(&mut metrics);
                metrics
            },
        };
        let running = Self::start_with(config, parts, shutdown.clone()).await;
        if running.is_err() {
            shutdown.cancel();
        }
        let running = running?;
        running
            .tracker
            .spawn(async move { registry.stopped().await });
        Ok(running)
    }

    /// Starts a server over given parts. Everything ends when `shutdown` is cancelled.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_with(
        config: Config,
        mut parts: Parts,
        shutdown: CancellationToken,
    ) -> Result<Running, StartError> {
        let guard = shutdown.clone().drop_guard();
        let draining = shutdown.child_token();
        let tracker = TaskTracker::new();
        let files = ServerTlsFiles {
            certificate: config.tls.cert_file.clone(),
            key: config.tls.key_file.clone(),
        };
        // Certificates are asked for but judged for each request, so that a bad one can be told why.
        let no_demand = Arc::new(ClientCas::new());
        let tls = ServerTls::load(files, no_demand, ClientAuth::Request, &["h2", "http/1.1"])
            .map_err(|source| StartError::Tls(Box::new(source)))?;
        let listen = |source| StartError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let local_addr = listener.local_addr().map_err(listen)?;

        let authenticator = Authenticator::start(&config.authentication, &tracker, &shutdown)
            .await
            .map_err(StartError::Authentication)?;
        let authorizer = Authorizer::new(&config.authorization)
            .await
            .map_err(StartError::Authorization)?;
        let metrics = Metrics::default();
        metrics.register(&mut parts.metrics);
        let handler = Arc::new(Handler {
            authenticator,
            authorizer,
            health: own_checks(parts.health, &parts.backend, &draining),
            backend: Arc::clone(&parts.backend),
            catalog: parts.catalog,
            library: Library::default(),
            metrics,
            exposition: Arc::new(Mutex::new(parts.metrics)),
            inflight: InFlightPlaces::from(&config.limits),
            join: Gate::default(),
            limits: config.limits.clone(),
            shutdown: shutdown.clone(),
        });

        tracker.spawn(tls.clone().keep_fresh(CERTIFICATE_POLL, shutdown.clone()));
        let acceptor = Acceptor {
            tls: TlsAcceptor::from(tls.config()),
            handler,
            shutdown: shutdown.clone(),
            grace: config.limits.shutdown_grace,
        };
        tracker.spawn(acceptor.run(listener, tracker.clone()));
        info!(address = %local_addr, cluster = config.cluster_name, "serving");
        Ok(Running {
            local_addr,
            backend: parts.backend,
            draining,
            shutdown,
            shutdown_delay: config.limits.shutdown_delay,
            tracker,
            _guard: guard,
        })
    }
}

/// Asks the store whether it answers. In no sum: see [`crate::health`].
fn store_check(
    registry: &Arc<Registry>,
) -> impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static {
    let registry = Arc::clone(registry);
    move || {
        let registry = Arc::clone(&registry);
        Box::pin(async move {
            registry
                .store_health()
                .await
                .map_err(|error| Chain(&error).to_string())
        })
    }
}

fn own_checks(health: Health, backend: &Arc<dyn Backend>, draining: &CancellationToken) -> Health {
    let backend = Arc::clone(backend);
    let definitions = move || -> BoxFuture<'static, Result<(), String>> {
        let started = backend.is_started();
        Box::pin(async move {
            if started {
                Ok(())
            } else {
                Err("the definitions haven't been read yet".into())
            }
        })
    };
    let draining = draining.clone();
    let stopping = move || -> BoxFuture<'static, Result<(), String>> {
        let stopping = draining.is_cancelled();
        Box::pin(async move {
            if stopping {
                Err("process is shutting down".into())
            } else {
                Ok(())
            }
        })
    };
    health
        .with("definitions", Counts::Ready, definitions)
        .with("shutdown", Counts::Ready, stopping)
}

impl Running {
    /// The address that is listened on, with the real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Waits until everything that the server serves is known.
    pub async fn ready(&self) {
        while !self.backend.is_started() && !self.shutdown.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Cancelling this token begins the shutdown.
    #[must_use]
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Begins the shutdown, if it hasn't begun, and waits until it is over.
    pub async fn stop(self) {
        self.draining.cancel();
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            () = tokio::time::sleep(self.shutdown_delay) => {}
        }
        self.shutdown.cancel();
        self.stopped().await;
    }

    /// Waits until a shutdown that somebody else begins is over.
    pub async fn stopped(self) {
        self.shutdown.cancelled().await;
        self.tracker.close();
        self.tracker.wait().await;
    }
}

struct Acceptor {
    tls: TlsAcceptor,
    handler: Arc<Handler>,
    shutdown: CancellationToken,
    grace: Duration,
}

impl Acceptor {
    async fn run(self, listener: TcpListener, tracker: TaskTracker) {
        let this = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                () = this.shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    let this = Arc::clone(&this);
                    tracker.spawn(async move { this.serve(stream, address).await });
                }
                Err(error) => {
                    warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(&self, stream: TcpStream, address: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, %address, "connection ended before it began");
            return;
        }
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.tls.accept(stream));
        let stream = tokio::select! {
            () = self.shutdown.cancelled() => return,
            outcome = handshake => match outcome {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    self.handler.metrics.handshake_failed();
                    debug!(error = %Chain(&error), %address, "TLS handshake failed");
                    return;
                }
                Err(_) => {
                    self.handler.metrics.handshake_failed();
                    return;
                }
            },
        };
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let chain = chain.iter().map(|der| der.clone().into_owned()).collect();
        let peer = Arc::new(Peer::new(Some(address), chain));
        self.handler.metrics.connection_opened();
        self.converse(stream, peer).await;
        self.handler.metrics.connection_closed();
    }

    async fn converse(&self, stream: tokio_rustls::server::TlsStream<TcpStream>, peer: Arc<Peer>) {
        let handler = Arc::clone(&self.handler);
        let answer = tower::service_fn(move |request: Request<Incoming>| {
            let (handler, peer) = (Arc::clone(&handler), Arc::clone(&peer));
            async move { Ok::<_, Infallible>(handler.serve(&peer, request).await) }
        });
        let service = ServiceBuilder::new()
            .layer(CompressionLayer::new().compress_when(LargeDocuments))
            .service(answer);
        let builder = builder();
        let connection =
            builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            outcome = connection.as_mut() => return log_end(outcome),
            () = self.shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        match tokio::time::timeout(self.grace, connection).await {
            Ok(outcome) => log_end(outcome),
            Err(_) => debug!("connection cut at shutdown"),
        }
    }
}

fn log_end(outcome: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = outcome {
        debug!(error = %Chain(&*error), "connection ended with an error");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .keep_alive_interval(PING_EVERY);
    builder
}

/// Compresses whole, large JSON documents; never a stream, which would be held back.
#[derive(Debug, Clone, Copy)]
struct LargeDocuments;

impl Predicate for LargeDocuments {
    fn should_compress<B: http_body::Body>(&self, response: &http::Response<B>) -> bool {
        let json = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
        json && response
            .body()
            .size_hint()
            .exact()
            .is_some_and(|size| size > COMPRESS_ABOVE)
    }
}
