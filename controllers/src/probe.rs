//! `/healthz`, `/livez`, `/readyz` and `/metrics`, without TLS, for the cluster's own probes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use helium_telemetry::metrics;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Why there is no probe server.
#[derive(Debug, thiserror::Error)]
#[error("listening for probes on {address}")]
pub(crate) struct ProbeError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

/// Whether the agent is ready: it has heard from its cluster. The control plane doesn't count, since an agent
/// without it keeps what is registered, which is all that it can do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct Shared {
    ready: Readiness,
    registry: Registry,
}

/// A bound probe server.
pub(crate) struct Probe {
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl Probe {
    /// Binds the address.
    ///
    /// # Errors
    /// [`ProbeError`] when that fails.
    pub(crate) async fn bind(
        address: SocketAddr,
        ready: Readiness,
        registry: Registry,
    ) -> Result<Self, ProbeError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ProbeError { address, source })?;
        Ok(Self {
            listener,
            shared: Arc::new(Shared { ready, registry }),
        })
    }

    /// Serves until stopped.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let alive = || async { "ok" };
        let router = Router::new()
            .route("/healthz", get(alive))
            .route("/livez", get(alive))
            .route("/readyz", get(readyz))
            .route("/metrics", get(exposition))
            .with_state(self.shared);
        let stopped = stop.cancelled_owned();
        let served = axum::serve(self.listener, router).with_graceful_shutdown(stopped);
        // It ends only when stopped: errors of single connections are its own matter.
        let _always_ok = served.await;
    }
}

async fn readyz(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    if shared.ready.is_set() {
        (StatusCode::OK, "ok")
    } else {
        let text = "the cluster's API server has not answered yet";
        (StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

async fn exposition(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    match metrics::encode(&shared.registry) {
        Ok(text) => Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text)),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}
