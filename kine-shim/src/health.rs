//! The standard gRPC health service.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use helium_etcd_proto::health::health_check_response::ServingStatus;
use helium_etcd_proto::health::health_server::Health;
use helium_etcd_proto::health::{HealthCheckRequest, HealthCheckResponse};
use tonic::{Request, Response, Status};

use crate::error::Result;
use crate::node::Node;

/// The service, on a server's shared parts. It knows one name: the empty one, the whole server.
#[derive(Debug, Clone)]
pub(crate) struct HealthService(pub(crate) Arc<Node>);

impl HealthService {
    fn status(&self) -> ServingStatus {
        let ready = self
            .0
            .revision()
            .and_then(|_revision| self.0.require_leader());
        if ready.is_ok() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }
}

#[tonic::async_trait]
impl Health for HealthService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>> {
        if !request.into_inner().service.is_empty() {
            return Err(Status::not_found("unknown service"));
        }
        Ok(Response::new(HealthCheckResponse {
            status: self.status().into(),
        }))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>> {
        let known = request.into_inner().service.is_empty();
        let service = self.clone();
        let updates = async_stream::stream! {
            if !known {
                // The protocol wants the stream to stay open, in case the service appears.
                yield Ok(HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() });
                service.0.stopping.cancelled().await;
                return;
            }
            let mut last = None;
            let mut ticks = tokio::time::interval(std::time::Duration::from_millis(500));
            loop {
                let status = service.status();
                if last.replace(status) != Some(status) {
                    yield Ok(HealthCheckResponse { status: status.into() });
                }
                tokio::select! {
                    () = service.0.stopping.cancelled() => return,
                    _ = ticks.tick() => {}
                }
            }
        };
        Ok(Response::new(Box::pin(updates)))
    }
}
