//! The Cluster service: the instances that serve the same log.

use std::sync::Arc;

use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::cluster_server::Cluster;
use tonic::Response as Reply;

use crate::error::{Refusal, Result};
use crate::kv;
use crate::node::Node;

/// The service, on a server's shared parts.
#[derive(Debug, Clone)]
pub(crate) struct ClusterService(pub(crate) Arc<Node>);

impl ClusterService {
    /// The members that clients can be sent to. Clients replace their endpoints by this list, so
    /// members without a URL are left out, and this instance is always in it.
    fn members(&self) -> Vec<pb::Member> {
        let node = &self.0;
        let own = node.replica.member_id().0;
        let mut members: Vec<pb::Member> = node
            .replica
            .members()
            .into_iter()
            .filter(|member| member.id.0 != own && !member.client_urls.is_empty())
            .map(|member| pb::Member {
                id: member.id.0,
                name: member.name,
                peer_ur_ls: member.client_urls.clone(),
                client_ur_ls: member.client_urls,
                is_learner: false,
            })
            .collect();
        members.push(pb::Member {
            id: own,
            name: node.settings.name.clone(),
            peer_ur_ls: node.settings.advertise_client_urls.clone(),
            client_ur_ls: node.settings.advertise_client_urls.clone(),
            is_learner: false,
        });
        members.sort_by_key(|member| member.id);
        members
    }

    /// etcd's Cluster service leaves the revision out of its headers.
    fn header(&self) -> Option<pb::ResponseHeader> {
        Some(self.0.header(helium_mvcc::Revision::UNSET).into())
    }
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn member_list(
        &self,
        request: tonic::Request<pb::MemberListRequest>,
    ) -> Result<Reply<pb::MemberListResponse>> {
        if request.into_inner().linearizable {
            kv::barrier(&self.0).await?;
        }
        let members = self.members();
        Ok(Reply::new(pb::MemberListResponse {
            header: self.header(),
            members,
        }))
    }

    async fn member_add(
        &self,
        _request: tonic::Request<pb::MemberAddRequest>,
    ) -> Result<Reply<pb::MemberAddResponse>> {
        Err(Refusal::MembershipFixed.into())
    }

    async fn member_remove(
        &self,
        request: tonic::Request<pb::MemberRemoveRequest>,
    ) -> Result<Reply<pb::MemberRemoveResponse>> {
        self.known(request.into_inner().id)?;
        Err(Refusal::MembershipFixed.into())
    }

    async fn member_update(
        &self,
        request: tonic::Request<pb::MemberUpdateRequest>,
    ) -> Result<Reply<pb::MemberUpdateResponse>> {
        self.known(request.into_inner().id)?;
        Err(Refusal::MembershipFixed.into())
    }

    async fn member_promote(
        &self,
        request: tonic::Request<pb::MemberPromoteRequest>,
    ) -> Result<Reply<pb::MemberPromoteResponse>> {
        self.known(request.into_inner().id)?;
        Err(Refusal::NotLearner.into())
    }
}

impl ClusterService {
    fn known(&self, id: u64) -> Result<()> {
        if self.members().iter().any(|member| member.id == id) {
            return Ok(());
        }
        Err(Refusal::MemberNotFound.into())
    }
}
