//! The Lease service.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::lease_server::Lease;
use helium_mvcc::{LeaseGrantRequest, LeaseId, LeaseRevokeRequest, Request, Response};
use rand::Rng as _;
use tonic::{Response as Reply, Status, Streaming};

use crate::error::{self, Refusal, Result};
use crate::kv;
use crate::node::Node;

/// The service, on a server's shared parts.
#[derive(Debug, Clone)]
pub(crate) struct LeaseService(pub(crate) Arc<Node>);

/// How often a random id is drawn again because a lease has it already.
const ID_ATTEMPTS: usize = 8;

/// An id for a client that leaves the choice to us: positive, as etcd's are.
fn random_id() -> i64 {
    rand::rng().random_range(1..i64::MAX)
}

impl LeaseService {
    async fn grant(&self, id: i64, ttl: i64) -> Result<pb::LeaseGrantResponse> {
        let request = LeaseGrantRequest {
            id: LeaseId(id),
            ttl,
        };
        match kv::propose(&self.0, Request::LeaseGrant(request)).await? {
            Response::LeaseGrant(granted) => {
                self.0.metrics.leases_granted.inc();
                Ok(pb::LeaseGrantResponse {
                    header: Some(self.0.header(granted.revision).into()),
                    id: granted.id.0,
                    ttl: granted.ttl,
                    error: String::new(),
                })
            }
            other => Err(kv::unexpected(&other)),
        }
    }

    async fn keep_alive(&self, id: i64) -> Result<pb::LeaseKeepAliveResponse> {
        let node = &self.0;
        let kept = node.replica.lease_keep_alive(LeaseId(id)).await;
        let kept = kept.map_err(|error| error::status(&error))?;
        node.metrics.leases_renewed.inc();
        Ok(pb::LeaseKeepAliveResponse {
            header: Some(node.header(kept.revision).into()),
            id,
            ttl: kept.ttl,
        })
    }
}

#[tonic::async_trait]
impl Lease for LeaseService {
    type LeaseKeepAliveStream =
        Pin<Box<dyn Stream<Item = Result<pb::LeaseKeepAliveResponse>> + Send>>;

    async fn lease_grant(
        &self,
        request: tonic::Request<pb::LeaseGrantRequest>,
    ) -> Result<Reply<pb::LeaseGrantResponse>> {
        let pb::LeaseGrantRequest { id, ttl } = request.into_inner();
        if id != 0 {
            return Ok(Reply::new(self.grant(id, ttl).await?));
        }
        let taken = Refusal::LeaseExists.parts().1;
        for _ in 1..ID_ATTEMPTS {
            match self.grant(random_id(), ttl).await {
                Err(status) if status.message() == taken => {}
                answer => return Ok(Reply::new(answer?)),
            }
        }
        Ok(Reply::new(self.grant(random_id(), ttl).await?))
    }

    async fn lease_revoke(
        &self,
        request: tonic::Request<pb::LeaseRevokeRequest>,
    ) -> Result<Reply<pb::LeaseRevokeResponse>> {
        let revoke = LeaseRevokeRequest {
            id: LeaseId(request.into_inner().id),
        };
        let revision = kv::propose(&self.0, Request::LeaseRevoke(revoke))
            .await?
            .revision();
        self.0.metrics.leases_revoked.inc();
        Ok(Reply::new(pb::LeaseRevokeResponse {
            header: Some(self.0.header(revision).into()),
        }))
    }

    async fn lease_keep_alive(
        &self,
        request: tonic::Request<Streaming<pb::LeaseKeepAliveRequest>>,
    ) -> Result<Reply<Self::LeaseKeepAliveStream>> {
        let requires_leader = request
            .metadata()
            .get("hasleader")
            .is_some_and(|value| value == "true");
        let mut requests = request.into_inner();
        let service = self.clone();
        let answers = async_stream::stream! {
            let node = Arc::clone(&service.0);
            let ended = async {
                tokio::select! {
                    () = node.stopping.cancelled() => Status::from(Refusal::Stopped),
                    () = node.leader_lost(), if requires_leader => Refusal::NoLeader.into(),
                }
            };
            tokio::pin!(ended);
            loop {
                let request = tokio::select! {
                    biased;
                    status = &mut ended => {
                        yield Err(status);
                        return;
                    }
                    request = requests.message() => request,
                };
                match request {
                    Ok(Some(request)) => {
                        let answer = service.keep_alive(request.id).await;
                        let failed = answer.is_err();
                        yield answer;
                        if failed {
                            return;
                        }
                    }
                    // Half-closed: the stream is done.
                    Ok(None) => return,
                    Err(status) => {
                        tracing::debug!(%status, "keep-alive stream ended by its client");
                        return;
                    }
                }
            }
        };
        Ok(Reply::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: tonic::Request<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Reply<pb::LeaseTimeToLiveResponse>> {
        let pb::LeaseTimeToLiveRequest { id, keys } = request.into_inner();
        let node = &self.0;
        kv::barrier(node).await?;
        let lease = LeaseId(id);
        let (revision, found, attached) = node
            .replica
            .read(|state| {
                let attached: Vec<_> = if keys {
                    state.lease_keys(lease).cloned().collect()
                } else {
                    Vec::new()
                };
                (state.revision(), state.lease(lease), attached)
            })
            .map_err(|error| error::status(&error))?;
        let remaining = node
            .replica
            .lease_remaining(lease)
            .map_err(|error| error::status(&error))?;
        let header = Some(node.header(revision).into());
        let answer = match (found, remaining) {
            (Some(found), Some(remaining)) => pb::LeaseTimeToLiveResponse {
                header,
                id,
                ttl: remaining,
                granted_ttl: found.ttl,
                keys: attached,
            },
            // An unknown lease is an answer, not an error.
            _ => pb::LeaseTimeToLiveResponse {
                header,
                id,
                ttl: -1,
                ..Default::default()
            },
        };
        Ok(Reply::new(answer))
    }

    async fn lease_leases(
        &self,
        _request: tonic::Request<pb::LeaseLeasesRequest>,
    ) -> Result<Reply<pb::LeaseLeasesResponse>> {
        let node = &self.0;
        kv::barrier(node).await?;
        let (revision, ids) = node
            .replica
            .read(|state| {
                let ids: Vec<LeaseId> = state.leases().map(|lease| lease.id).collect();
                (state.revision(), ids)
            })
            .map_err(|error| error::status(&error))?;
        // Soonest expiry first.
        let mut leases = Vec::with_capacity(ids.len());
        for id in ids {
            let remaining = node.replica.lease_remaining(id);
            leases.push((remaining.map_err(|error| error::status(&error))?, id));
        }
        leases.sort_unstable();
        Ok(Reply::new(pb::LeaseLeasesResponse {
            header: Some(node.header(revision).into()),
            leases: leases
                .into_iter()
                .map(|(_, id)| pb::LeaseStatus { id: id.0 })
                .collect(),
        }))
    }
}
