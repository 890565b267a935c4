//! The server half: streams this instance's commits.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use helium_etcd_proto::peer as pb;
use helium_etcd_proto::peer::peer_server::Peer;
use tokio::sync::broadcast::error::RecvError;
use tonic::{Request, Response, Status};

use super::wire;
use crate::replica::shared::Shared;

/// Serves `helium.peer.v1.Peer`.
#[derive(Debug, Clone)]
pub struct PeerService {
    shared: Arc<Shared>,
}

impl PeerService {
    pub(in crate::replica) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<pb::Entry, Status>> + Send>>;

    async fn follow(
        &self,
        request: Request<pb::FollowRequest>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let request = request.into_inner();
        let log_id = self.shared.journal.log_id().0;
        if request.cluster_id != self.shared.cluster_id || request.log_id != log_id {
            return Err(Status::failed_precondition(
                "this instance serves another log",
            ));
        }
        let commits = self.shared.commits.subscribe();
        let stopped = self.shared.cancel.clone();
        let entries =
            futures_util::stream::unfold((commits, stopped), |(mut commits, stopped)| async move {
                loop {
                    let next = tokio::select! {
                        () = stopped.cancelled() => return None,
                        next = commits.recv() => next,
                    };
                    match next {
                        Ok(entry) => return Some((Ok(wire::to_wire(&entry)), (commits, stopped))),
                        // The reader sees the gap and asks the database.
                        Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return None,
                    }
                }
            });
        Ok(Response::new(Box::pin(entries)))
    }
}
