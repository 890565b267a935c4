//! From an authorised request for a resource to its answer.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::{Response, StatusCode, header};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::backend::{ApiRequest, Backend, Body};
use crate::config::Config;
use crate::definitions::Catalog;

/// Serves every declared resource from the shared store.
pub struct Registry {
    catalog: ArcSwap<Catalog>,
    changes: watch::Sender<u64>,
    shutdown: CancellationToken,
}

impl Registry {
    /// Starts the registry: connects in the background, so that it succeeds with the store down
    /// too. Everything that it spawns ends when `shutdown` is cancelled; [`Registry::stopped`]
    /// waits for that.
    pub fn start(_config: &Config, shutdown: CancellationToken) -> Arc<Self> {
        let (changes, _) = watch::channel(0);
        Arc::new(Self {
            catalog: ArcSwap::default(),
            changes,
            shutdown,
        })
    }

    /// What is served right now. From memory; cheap enough to call for every request.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// Tells the generation of the catalog whenever it is replaced, for documents that are derived
    /// from it.
    #[must_use]
    pub fn catalog_changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Waits until everything that was spawned has ended, after the token was cancelled.
    pub async fn stopped(&self) {
        self.shutdown.cancelled().await;
    }
}

#[async_trait]
impl Backend for Registry {
    async fn handle(&self, _request: ApiRequest) -> Response<Body> {
        let mut response = Response::new(Body::from("the server is starting\n"));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, http::HeaderValue::from_static("1"));
        response
    }

    fn is_started(&self) -> bool {
        self.catalog.load().synced()
    }
}
