//! Which call goes where: one match from a request's path to the function that answers it.

use std::sync::Arc;

use bytes::Bytes;
use helium_etcd_proto::etcdserverpb::auth_server::AuthServer;
use helium_etcd_proto::etcdserverpb::cluster_server::ClusterServer;
use helium_etcd_proto::etcdserverpb::lease_server::LeaseServer;
use helium_etcd_proto::etcdserverpb::maintenance_server::MaintenanceServer;
use helium_etcd_proto::health::health_server::HealthServer;
use helium_etcd_proto::peer::peer_server::PeerServer;
use http::{Request, Response, header};
use hyper::body::Incoming;
use prometheus_client::registry::Registry;
use tonic::codegen::Service;

use crate::auth::AuthService;
use crate::body::{self, Body};
use crate::cluster::ClusterService;
use crate::error::{Refusal, Result};
use crate::gate::Access;
use crate::health::HealthService;
use crate::http as plain;
use crate::kv;
use crate::lease::LeaseService;
use crate::maintenance::MaintenanceService;
use crate::method::Method;
use crate::metrics::CallGuard;
use crate::node::Node;
use crate::replica::PeerService;
use crate::rpc::{self, Demands};
use crate::txn;
use crate::watch;

/// Everything that a connection of the client port can ask for.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    pub(crate) node: Arc<Node>,
    pub(crate) registry: Arc<Registry>,
    lease: LeaseServer<LeaseService>,
    cluster: ClusterServer<ClusterService>,
    maintenance: MaintenanceServer<MaintenanceService>,
    auth: AuthServer<AuthService>,
    health: HealthServer<HealthService>,
    peer: PeerServer<PeerService>,
}

impl Services {
    pub(crate) fn new(node: Arc<Node>, registry: Arc<Registry>) -> Self {
        let limit = node.settings.receive_limit();
        let peer = PeerServer::new(node.replica.peer_service());
        Self {
            lease: LeaseServer::new(LeaseService(Arc::clone(&node)))
                .max_decoding_message_size(limit)
                .max_encoding_message_size(usize::MAX),
            cluster: ClusterServer::new(ClusterService(Arc::clone(&node))),
            maintenance: MaintenanceServer::new(MaintenanceService(Arc::clone(&node))),
            auth: AuthServer::new(AuthService(Arc::clone(&node))),
            health: HealthServer::new(HealthService(Arc::clone(&node))),
            peer: peer.max_encoding_message_size(usize::MAX),
            node,
            registry,
        }
    }

    /// Answers one request of either protocol, on a connection with this access.
    pub(crate) async fn call(&self, request: Request<Incoming>, access: &Access) -> Response<Body> {
        if is_grpc(&request) {
            self.grpc(request, access).await
        } else if let Some(status) = access.refusal() {
            plain::refuse(status.message())
        } else {
            // Rare, and its future would make every call's larger.
            Box::pin(plain::answer(&self.node, &self.registry, &request)).await
        }
    }

    async fn grpc(&self, request: Request<Incoming>, access: &Access) -> Response<Body> {
        let Some(method) = Method::from_path(request.uri().path()) else {
            return rpc::refusal(&Refusal::UnknownMethod.into());
        };
        let call = self.node.metrics.calls.start(method);
        if let Some(status) = access.refusal() {
            return rpc::refuse(&status, call);
        }
        let demands = match Demands::read(request.headers()) {
            Ok(demands) => demands,
            Err(status) => return rpc::refuse(&status, call),
        };
        if demands.leader
            && let Err(status) = self.node.require_leader()
        {
            return rpc::refuse(&status, call);
        }
        match method {
            Method::Range | Method::Put | Method::DeleteRange | Method::Txn | Method::Compact => {
                let result = self.unary(method, request.into_body()).await;
                rpc::answer(result, call)
            }
            Method::RangeStream => {
                let stream = Box::pin(async {
                    let message = self.receive(request.into_body()).await?;
                    kv::range_stream(Arc::clone(&self.node), message).await
                });
                rpc::stream(stream.await, call, access)
            }
            Method::Watch => {
                let stream = watch::open(Arc::clone(&self.node), request.into_body(), demands);
                rpc::stream(stream, call, access)
            }
            other => Box::pin(self.generated(other, request, call, access)).await,
        }
    }

    async fn receive(&self, body: Incoming) -> Result<Bytes> {
        rpc::read_message(body, self.node.settings.receive_limit()).await
    }

    /// The calls that make up nearly all traffic.
    async fn unary(&self, method: Method, body: Incoming) -> Result<Bytes> {
        let node = &*self.node;
        let message = self.receive(body).await?;
        node.metrics.client_received.inc_by(message.len() as u64);
        let answer = match method {
            Method::Range => kv::range(node, message).await,
            Method::Put => kv::put(node, message).await,
            Method::Txn => txn::txn(node, message).await,
            Method::DeleteRange => kv::delete_range(node, message).await,
            _ => kv::compact(node, message).await,
        }?;
        node.metrics.client_sent.inc_by(answer.len() as u64);
        Ok(answer)
    }

    /// The calls that the generated servers answer.
    async fn generated(
        &self,
        method: Method,
        request: Request<Incoming>,
        call: CallGuard,
        access: &Access,
    ) -> Response<Body> {
        let response = match method.service() {
            "etcdserverpb.Lease" => self.lease.clone().call(request).await,
            "etcdserverpb.Cluster" => self.cluster.clone().call(request).await,
            "etcdserverpb.Maintenance" => self.maintenance.clone().call(request).await,
            "etcdserverpb.Auth" => self.auth.clone().call(request).await,
            "helium.peer.v1.Peer" => self.peer.clone().call(request).await,
            _ => self.health.clone().call(request).await,
        };
        let (head, body) = match response {
            Ok(response) => response.into_parts(),
            Err(never) => match never {},
        };
        // A refusal is all headers and no body; everything else ends in its trailers.
        let body = match body::code_in(&head.headers) {
            Some(code) => {
                call.finish(code);
                Body::empty()
            }
            None => Body::tonic(body, call).bound_to(access),
        };
        Response::from_parts(head, body)
    }
}

fn is_grpc(request: &Request<Incoming>) -> bool {
    request.version() == ::http::Version::HTTP_2
        && request
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}
