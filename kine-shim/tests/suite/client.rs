//! A client made of the generated code, with shorthands for what the cases do often.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::kv_client::KvClient;
use helium_etcd_proto::etcdserverpb::lease_client::LeaseClient;
use helium_etcd_proto::etcdserverpb::watch_client::WatchClient;
use helium_etcd_proto::etcdserverpb::watch_request::RequestUnion;
use helium_etcd_proto::mvccpb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};

/// Longest wait for anything that must come.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

/// A client of one endpoint, on one connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) channel: Channel,
}

/// The result of a call, without its metadata.
pub(crate) type Answer<T> = Result<T, Status>;

impl Client {
    /// Connects.
    pub(crate) async fn connect(url: &str) -> Self {
        let endpoint = Endpoint::from_shared(url.to_owned())
            .expect("a URL")
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20)
            .connect_timeout(BOUND);
        Self {
            channel: endpoint
                .connect()
                .await
                .expect("the server takes connections"),
        }
    }

    /// The key-value service.
    pub(crate) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    /// The lease service.
    pub(crate) fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    pub(crate) async fn put(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> i64 {
        let request = pb::PutRequest {
            key: key.into(),
            value: value.into(),
            ..Default::default()
        };
        revision(self.put_with(request).await.expect("a put").header)
    }

    pub(crate) async fn put_with(&self, request: pb::PutRequest) -> Answer<pb::PutResponse> {
        Ok(self.kv().put(request).await?.into_inner())
    }

    pub(crate) async fn get(&self, key: impl Into<Bytes>) -> Option<mvccpb::KeyValue> {
        let answer = self.range(one(key)).await.expect("a range");
        answer.kvs.into_iter().next()
    }

    pub(crate) async fn range(&self, request: pb::RangeRequest) -> Answer<pb::RangeResponse> {
        Ok(self.kv().range(request).await?.into_inner())
    }

    pub(crate) async fn delete(&self, key: impl Into<Bytes>) -> pb::DeleteRangeResponse {
        let request = pb::DeleteRangeRequest {
            key: key.into(),
            ..Default::default()
        };
        self.delete_with(request).await.expect("a deletion")
    }

    pub(crate) async fn delete_with(
        &self,
        request: pb::DeleteRangeRequest,
    ) -> Answer<pb::DeleteRangeResponse> {
        Ok(self.kv().delete_range(request).await?.into_inner())
    }

    pub(crate) async fn txn(&self, request: pb::TxnRequest) -> Answer<pb::TxnResponse> {
        Ok(self.kv().txn(request).await?.into_inner())
    }

    pub(crate) async fn compact(&self, revision: i64) -> Answer<pb::CompactionResponse> {
        let request = pb::CompactionRequest {
            revision,
            physical: true,
        };
        Ok(self.kv().compact(request).await?.into_inner())
    }

    /// The store's revision.
    pub(crate) async fn revision(&self) -> i64 {
        revision(self.range(one("\0")).await.expect("a range").header)
    }

    pub(crate) async fn grant(&self, ttl: i64, id: i64) -> Answer<pb::LeaseGrantResponse> {
        Ok(self
            .lease()
            .lease_grant(pb::LeaseGrantRequest { ttl, id })
            .await?
            .into_inner())
    }

    pub(crate) async fn revoke(&self, id: i64) -> Answer<pb::LeaseRevokeResponse> {
        Ok(self
            .lease()
            .lease_revoke(pb::LeaseRevokeRequest { id })
            .await?
            .into_inner())
    }

    pub(crate) async fn time_to_live(&self, id: i64) -> pb::LeaseTimeToLiveResponse {
        let request = pb::LeaseTimeToLiveRequest { id, keys: true };
        self.lease()
            .lease_time_to_live(request)
            .await
            .expect("an answer")
            .into_inner()
    }

    /// Opens a watch stream.
    pub(crate) async fn watch(&self) -> Watch {
        let (requests, receiver) = mpsc::channel(2048);
        let mut client =
            WatchClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX);
        // etcd answers not even its headers before there is something to say.
        let opening = Box::pin(async move { client.watch(ReceiverStream::new(receiver)).await });
        Watch {
            requests: Some(requests),
            responses: Responses::Opening(opening),
        }
    }

    /// Opens a stream with one watcher, and takes its first message.
    pub(crate) async fn watch_created(&self, create: pb::WatchCreateRequest) -> Watch {
        let mut watch = self.watch().await;
        watch.create(create).await;
        let created = watch.next().await;
        assert!(created.created && !created.canceled, "{created:?}");
        watch
    }
}

/// A watch stream.
pub(crate) struct Watch {
    requests: Option<mpsc::Sender<pb::WatchRequest>>,
    responses: Responses,
}

type Opening = Pin<Box<dyn Future<Output = Answer<Response<Streaming<pb::WatchResponse>>>> + Send>>;

enum Responses {
    Opening(Opening),
    Open(Box<Streaming<pb::WatchResponse>>),
}

impl Responses {
    async fn message(&mut self) -> Answer<Option<pb::WatchResponse>> {
        if let Self::Opening(opening) = self {
            let response = opening.await?;
            *self = Self::Open(Box::new(response.into_inner()));
        }
        match self {
            Self::Open(responses) => responses.message().await,
            Self::Opening(_) => Ok(None),
        }
    }
}

impl Watch {
    pub(crate) async fn create(&mut self, create: pb::WatchCreateRequest) {
        self.send(RequestUnion::CreateRequest(create)).await;
    }

    pub(crate) async fn cancel(&mut self, watch_id: i64) {
        self.send(RequestUnion::CancelRequest(pb::WatchCancelRequest {
            watch_id,
        }))
        .await;
    }

    pub(crate) async fn progress(&mut self) {
        self.send(RequestUnion::ProgressRequest(pb::WatchProgressRequest {}))
            .await;
    }

    async fn send(&mut self, request: RequestUnion) {
        let request = pb::WatchRequest {
            request_union: Some(request),
        };
        let requests = self.requests.as_ref().expect("a stream that isn't closed");
        requests
            .send(request)
            .await
            .expect("the stream takes requests");
    }

    /// Says that there are no more requests.
    pub(crate) fn half_close(&mut self) {
        self.requests = None;
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> pb::WatchResponse {
        let next = tokio::time::timeout(BOUND, self.responses.message());
        next.await
            .expect("a message in time")
            .expect("no error")
            .expect("the stream goes on")
    }

    /// The next message, if one comes within `bound`.
    pub(crate) async fn next_within(&mut self, bound: Duration) -> Option<pb::WatchResponse> {
        let next = tokio::time::timeout(bound, self.responses.message())
            .await
            .ok()?;
        next.expect("no error")
    }

    /// The status that ends the stream.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            let next = tokio::time::timeout(BOUND, self.responses.message());
            match next.await.expect("an end in time") {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok(""),
                Err(status) => return status,
            }
        }
    }

    /// The next `count` events, of however many messages.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<mvccpb::Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.extend(self.next().await.events);
        }
        events
    }
}

/// The revision of a header.
pub(crate) fn revision(header: Option<pb::ResponseHeader>) -> i64 {
    header.expect("a header").revision
}

/// A range of one key.
pub(crate) fn one(key: impl Into<Bytes>) -> pb::RangeRequest {
    pb::RangeRequest {
        key: key.into(),
        ..Default::default()
    }
}

/// A range from `key` to `end`.
pub(crate) fn between(key: impl Into<Bytes>, end: impl Into<Bytes>) -> pb::RangeRequest {
    pb::RangeRequest {
        key: key.into(),
        range_end: end.into(),
        ..Default::default()
    }
}

/// A range of every key.
pub(crate) fn everything() -> pb::RangeRequest {
    between(&b"\0"[..], &b"\0"[..])
}

/// A watcher of `key` to `end`.
pub(crate) fn watcher(key: impl Into<Bytes>, end: impl Into<Bytes>) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest {
        key: key.into(),
        range_end: end.into(),
        ..Default::default()
    }
}

pub(crate) fn op_put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> pb::RequestOp {
    let put = pb::PutRequest {
        key: key.into(),
        value: value.into(),
        ..Default::default()
    };
    op(pb::request_op::Request::RequestPut(put))
}

pub(crate) fn op_get(key: impl Into<Bytes>) -> pb::RequestOp {
    op_range(one(key))
}

pub(crate) fn op_range(range: pb::RangeRequest) -> pb::RequestOp {
    op(pb::request_op::Request::RequestRange(range))
}

pub(crate) fn op_delete(key: impl Into<Bytes>, end: impl Into<Bytes>) -> pb::RequestOp {
    let delete = pb::DeleteRangeRequest {
        key: key.into(),
        range_end: end.into(),
        prev_kv: false,
    };
    op(pb::request_op::Request::RequestDeleteRange(delete))
}

pub(crate) fn op_txn(txn: pb::TxnRequest) -> pb::RequestOp {
    op(pb::request_op::Request::RequestTxn(txn))
}

pub(crate) fn op(request: pb::request_op::Request) -> pb::RequestOp {
    pb::RequestOp {
        request: Some(request),
    }
}

/// A transaction.
pub(crate) fn txn(
    compare: Vec<pb::Compare>,
    success: Vec<pb::RequestOp>,
    failure: Vec<pb::RequestOp>,
) -> pb::TxnRequest {
    pb::TxnRequest {
        compare,
        success,
        failure,
    }
}

/// A compare of `key` with an operand, whose kind decides the target.
pub(crate) fn compare(
    key: impl Into<Bytes>,
    result: pb::compare::CompareResult,
    operand: pb::compare::TargetUnion,
) -> pb::Compare {
    use pb::compare::{CompareTarget, TargetUnion};
    let target = match &operand {
        TargetUnion::Version(_) => CompareTarget::Version,
        TargetUnion::CreateRevision(_) => CompareTarget::Create,
        TargetUnion::ModRevision(_) => CompareTarget::Mod,
        TargetUnion::Value(_) => CompareTarget::Value,
        TargetUnion::Lease(_) => CompareTarget::Lease,
    };
    pb::Compare {
        key: key.into(),
        result: result.into(),
        target: target.into(),
        target_union: Some(operand),
        ..Default::default()
    }
}

/// Whether `key` was never written, or deleted.
pub(crate) fn is_missing(key: impl Into<Bytes>) -> pb::Compare {
    compare(
        key,
        pb::compare::CompareResult::Equal,
        pb::compare::TargetUnion::ModRevision(0),
    )
}

/// The answers of a transaction's operations.
pub(crate) fn answers(response: pb::TxnResponse) -> Vec<pb::response_op::Response> {
    response
        .responses
        .into_iter()
        .filter_map(|op| op.response)
        .collect()
}
