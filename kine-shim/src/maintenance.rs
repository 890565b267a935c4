//! The Maintenance service: state, alarms, hashes. Housekeeping is the database's.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::maintenance_server::Maintenance;
use helium_mvcc::{Alarm, AlarmKind, AlarmRequest, HashKv, MemberId, Request, Response, Revision};
use tonic::{Response as Reply, Status};

use crate::error::{self, Refusal, Result};
use crate::kv;
use crate::node::Node;

/// The service, on a server's shared parts.
#[derive(Debug, Clone)]
pub(crate) struct MaintenanceService(pub(crate) Arc<Node>);

impl MaintenanceService {
    async fn hash_at(&self, revision: Revision) -> Result<HashKv> {
        let node = &self.0;
        kv::barrier(node).await?;
        node.replica
            .read(|state| state.hash_kv(revision))
            .map_err(|error| error::status(&error))?
            .map_err(error::refused)
    }

    fn alarms(&self) -> Result<(Revision, Vec<Alarm>)> {
        let read = |state: &helium_mvcc::State| {
            (state.revision(), state.alarms().iter().copied().collect())
        };
        self.0
            .replica
            .read(read)
            .map_err(|error| error::status(&error))
    }
}

fn alarm_to_wire(alarm: &Alarm) -> pb::AlarmMember {
    let kind = match alarm.kind {
        AlarmKind::NoSpace => pb::AlarmType::Nospace,
        AlarmKind::Corrupt => pb::AlarmType::Corrupt,
    };
    pb::AlarmMember {
        member_id: alarm.member.0,
        alarm: kind.into(),
    }
}

/// The kind that a request names; none for "any".
fn alarm_kind(kind: i32) -> Option<AlarmKind> {
    match pb::AlarmType::try_from(kind) {
        Ok(pb::AlarmType::Nospace) => Some(AlarmKind::NoSpace),
        Ok(pb::AlarmType::Corrupt) => Some(AlarmKind::Corrupt),
        Ok(pb::AlarmType::None) | Err(_) => None,
    }
}

/// The text of an alarm in `StatusResponse.errors`, as etcd prints it.
fn alarm_text(alarm: &Alarm) -> String {
    let kind = match alarm.kind {
        AlarmKind::NoSpace => "NOSPACE",
        AlarmKind::Corrupt => "CORRUPT",
    };
    format!("memberID:{} alarm:{kind} ", alarm.member.0)
}

#[tonic::async_trait]
impl Maintenance for MaintenanceService {
    type SnapshotStream = Pin<Box<dyn Stream<Item = Result<pb::SnapshotResponse>> + Send>>;

    async fn alarm(
        &self,
        request: tonic::Request<pb::AlarmRequest>,
    ) -> Result<Reply<pb::AlarmResponse>> {
        let request = request.into_inner();
        let kind = alarm_kind(request.alarm);
        let action = pb::alarm_request::AlarmAction::try_from(request.action)
            .map_err(|_unknown| Status::invalid_argument("kine-shim: unknown alarm action"))?;
        let member = MemberId(request.member_id);
        let (revision, alarms) = match (action, kind) {
            (pb::alarm_request::AlarmAction::Get, kind) => {
                kv::barrier(&self.0).await?;
                let (revision, mut alarms) = self.alarms()?;
                alarms.retain(|alarm| kind.is_none_or(|kind| alarm.kind == kind));
                (revision, alarms)
            }
            // An alarm of no kind can be neither raised nor cleared.
            (_, None) => (self.0.revision()?, Vec::new()),
            (action, Some(kind)) => {
                let alarm = Alarm { kind, member };
                let change = match action {
                    pb::alarm_request::AlarmAction::Activate => AlarmRequest::Activate(alarm),
                    _ => AlarmRequest::Deactivate(alarm),
                };
                match kv::propose(&self.0, Request::Alarm(change)).await? {
                    Response::Alarm(response) => (response.revision, response.alarms),
                    other => return Err(kv::unexpected(&other)),
                }
            }
        };
        Ok(Reply::new(pb::AlarmResponse {
            header: Some(self.0.header(revision).into()),
            alarms: alarms.iter().map(alarm_to_wire).collect(),
        }))
    }

    async fn status(
        &self,
        _request: tonic::Request<pb::StatusRequest>,
    ) -> Result<Reply<pb::StatusResponse>> {
        let node = &self.0;
        let status = node.replica.status();
        let mut errors: Vec<String> = match self.alarms() {
            Ok((_, alarms)) => alarms.iter().map(alarm_text).collect(),
            Err(status) => vec![status.message().to_owned()],
        };
        if let Err(status) = node.require_leader() {
            errors.push(status.message().to_owned());
        }
        let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        Ok(Reply::new(pb::StatusResponse {
            header: Some(node.header(status.revision).into()),
            version: node.settings.version.clone(),
            db_size: size(status.size.total_bytes),
            leader: status.owner.0,
            raft_index: status.newest.0.cast_unsigned(),
            raft_term: status.epoch.0.max(1),
            raft_applied_index: status.applied.0.cast_unsigned(),
            errors,
            db_size_in_use: size(status.size.used_bytes),
            is_learner: false,
            storage_version: node.settings.cluster_version(),
            // The database's disk is the limit, not a quota of ours.
            db_size_quota: 0,
            downgrade_info: Some(pb::DowngradeInfo::default()),
        }))
    }

    async fn defragment(
        &self,
        _request: tonic::Request<pb::DefragmentRequest>,
    ) -> Result<Reply<pb::DefragmentResponse>> {
        // Free space is reused and given back by the database itself; waiting for what we have
        // still to remove is all that can be done from here.
        let finished = self.0.replica.compaction_finished().await;
        finished.map_err(|error| error::status(&error))?;
        Ok(Reply::new(pb::DefragmentResponse { header: None }))
    }

    async fn hash(
        &self,
        _request: tonic::Request<pb::HashRequest>,
    ) -> Result<Reply<pb::HashResponse>> {
        let hash = self.hash_at(Revision::UNSET).await?;
        Ok(Reply::new(pb::HashResponse {
            header: Some(self.0.header(hash.revision).into()),
            hash: hash.hash,
        }))
    }

    async fn hash_kv(
        &self,
        request: tonic::Request<pb::HashKvRequest>,
    ) -> Result<Reply<pb::HashKvResponse>> {
        let hash = self
            .hash_at(Revision(request.into_inner().revision))
            .await?;
        Ok(Reply::new(pb::HashKvResponse {
            header: Some(self.0.header(hash.revision).into()),
            hash: hash.hash,
            compact_revision: hash.compact_revision.0,
            hash_revision: hash.hash_revision.0,
        }))
    }

    async fn snapshot(
        &self,
        _request: tonic::Request<pb::SnapshotRequest>,
    ) -> Result<Reply<Self::SnapshotStream>> {
        Err(Refusal::NoSnapshots.into())
    }

    async fn move_leader(
        &self,
        request: tonic::Request<pb::MoveLeaderRequest>,
    ) -> Result<Reply<pb::MoveLeaderResponse>> {
        let target = request.into_inner().target_id;
        let status = self.0.replica.status();
        if status.owner.0 != status.member_id.0 {
            return Err(Refusal::NotLeader.into());
        }
        if target == status.owner.0 {
            return Ok(Reply::new(pb::MoveLeaderResponse { header: None }));
        }
        // Ownership follows liveness: it can't be handed over by name.
        Err(Refusal::BadLeaderTransferee.into())
    }

    async fn downgrade(
        &self,
        request: tonic::Request<pb::DowngradeRequest>,
    ) -> Result<Reply<pb::DowngradeResponse>> {
        use pb::downgrade_request::DowngradeAction;
        let request = request.into_inner();
        match DowngradeAction::try_from(request.action) {
            Ok(DowngradeAction::Cancel) => Err(Refusal::NoInflightDowngrade.into()),
            Ok(DowngradeAction::Validate | DowngradeAction::Enable) => {
                let numbers = request
                    .version
                    .split('.')
                    .all(|part| part.parse::<u32>().is_ok());
                Err(if numbers && request.version.contains('.') {
                    Refusal::InvalidDowngradeVersion.into()
                } else {
                    Refusal::WrongDowngradeVersion.into()
                })
            }
            Err(_unknown) => Err(Status::invalid_argument(
                "kine-shim: unknown downgrade action",
            )),
        }
    }
}
