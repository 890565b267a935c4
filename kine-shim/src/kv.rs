//! The KV service: ranges, puts, deletions, compactions. Transactions are in [`txn`](crate::txn).
//!
//! Each call takes its message and returns a framed answer. A request is checked in etcd's order:
//! what it says alone (missing key, unknown option), its size, then what the store says to it.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use helium_etcd_proto::etcdserverpb as pb;
use helium_mvcc::{
    CompactRequest, KeyRange, RangeRequest, RangeResponse, Request, Response, Revision, SortOrder,
    SortTarget,
};

use crate::body::FrameStream;
use crate::convert;
use crate::encode::{Answer, Chunk, HeaderOnly, Wire};
use crate::error::{self, Refusal, Result};
use crate::metrics::CompactLabels;
use crate::node::Node;
use crate::rpc;

/// `KV.Range`.
pub(crate) async fn range(node: &Node, message: Bytes) -> Result<Bytes> {
    let request = convert::range(rpc::decode::<pb::RangeRequest>(message)?)?;
    node.metrics.ranges.inc();
    if !request.serializable {
        barrier(node).await?;
    }
    let response = read_range(node, &request)?;
    rpc::frame(&Answer::new(node.header(response.revision), &response))
}

/// Waits until this instance has seen everything that was acknowledged before the call.
pub(crate) async fn barrier(node: &Node) -> Result<()> {
    node.replica
        .read_barrier()
        .await
        .map_err(|error| error::status(&error))
}

fn read_range(node: &Node, request: &RangeRequest) -> Result<RangeResponse> {
    node.replica
        .read(|state| state.range(request))
        .map_err(|error| error::status(&error))?
        .map_err(error::refused)
}

/// `KV.Put`.
pub(crate) async fn put(node: &Node, message: Bytes) -> Result<Bytes> {
    check_size(node, &message)?;
    let request = convert::put(rpc::decode::<pb::PutRequest>(message)?);
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey.into());
    }
    node.metrics.puts.inc();
    match propose(node, Request::Put(request)).await? {
        Response::Put(response) => {
            rpc::frame(&Answer::new(node.header(response.revision), &response))
        }
        other => Err(unexpected(&other)),
    }
}

/// `KV.DeleteRange`.
pub(crate) async fn delete_range(node: &Node, message: Bytes) -> Result<Bytes> {
    check_size(node, &message)?;
    let request = convert::delete_range(rpc::decode::<pb::DeleteRangeRequest>(message)?);
    if request.range.key().is_empty() {
        return Err(Refusal::EmptyKey.into());
    }
    node.metrics.deletes.inc();
    match propose(node, Request::DeleteRange(request)).await? {
        Response::DeleteRange(response) => {
            rpc::frame(&Answer::new(node.header(response.revision), &response))
        }
        other => Err(unexpected(&other)),
    }
}

/// `KV.Compact`.
pub(crate) async fn compact(node: &Node, message: Bytes) -> Result<Bytes> {
    let request = rpc::decode::<pb::CompactionRequest>(message)?;
    let compact = CompactRequest {
        revision: Revision(request.revision),
    };
    let outcome = propose(node, Request::Compact(compact)).await;
    node.metrics
        .compactions
        .get_or_create(&CompactLabels::of(outcome.is_ok()))
        .inc();
    let revision = outcome?.revision();
    if request.physical {
        let finished = node.replica.compaction_finished().await;
        finished.map_err(|error| error::status(&error))?;
    }
    rpc::frame(&HeaderOnly(node.header(revision)))
}

/// Queues a request that may write, and waits for its answer.
pub(crate) async fn propose(node: &Node, request: Request) -> Result<Response> {
    node.replica
        .propose(request)
        .await
        .map_err(|error| error::status(&error))
}

/// Refuses write requests above the configured size.
pub(crate) fn check_size(node: &Node, message: &Bytes) -> Result<()> {
    if message.len() > node.settings.max_request_bytes {
        return Err(Refusal::RequestTooLarge.into());
    }
    Ok(())
}

/// The state machine answers a request with its own kind of response; this is never returned
/// unless that is broken.
pub(crate) fn unexpected(response: &Response) -> tonic::Status {
    tracing::error!(?response, "an answer of another kind than its request");
    tonic::Status::internal("kine-shim: an answer of another kind than its request")
}

/// `KV.RangeStream`: a range in chunks, read at the revision of the first one.
pub(crate) async fn range_stream(node: Arc<Node>, message: Bytes) -> Result<FrameStream> {
    let request = convert::range(rpc::decode::<pb::RangeRequest>(message)?)?;
    if !is_plain(&request) {
        return Err(Refusal::UnsupportedRangeStream.into());
    }
    node.metrics.ranges.inc();
    if !request.serializable {
        barrier(&node).await?;
    }
    let mut cursor = Cursor::new(request);
    Ok(Box::pin(async_stream::stream! {
        while let Some(chunk) = cursor.next(&node) {
            let failed = chunk.is_err();
            yield chunk;
            if failed {
                break;
            }
        }
    }))
}

fn is_plain(request: &RangeRequest) -> bool {
    request.sort_target == SortTarget::Key
        && request.sort_order != SortOrder::Descend
        && request.min_mod_revision == Revision::UNSET
        && request.max_mod_revision == Revision::UNSET
        && request.min_create_revision == Revision::UNSET
        && request.max_create_revision == Revision::UNSET
}

/// Keys of the first chunk; the next ones are sized by what the last one weighed.
const FIRST_CHUNK: i64 = 10;

/// How far a streamed range has come.
struct Cursor {
    request: RangeRequest,
    /// Keys still to send; `None` without a limit.
    left: Option<i64>,
    /// Keys of the next chunk.
    size: i64,
    /// What the first chunk said about the whole.
    whole: Option<RangeResponse>,
    done: bool,
}

impl Cursor {
    fn new(request: RangeRequest) -> Self {
        let left = (request.limit > 0 && !request.count_only).then_some(request.limit);
        Self {
            request,
            left,
            size: FIRST_CHUNK,
            whole: None,
            done: false,
        }
    }

    fn next(&mut self, node: &Node) -> Option<Result<Bytes>> {
        if self.done {
            return None;
        }
        let answer = self.read(node);
        self.done |= answer.is_err();
        Some(answer)
    }

    fn read(&mut self, node: &Node) -> Result<Bytes> {
        self.request.limit = self.left.map_or(self.size, |left| left.min(self.size));
        let chunk = read_range(node, &self.request)?;
        let whole = self.whole.get_or_insert_with(|| RangeResponse {
            kvs: Vec::new(),
            ..chunk.clone()
        });
        if self.request.revision <= Revision::UNSET {
            self.request.revision = whole.revision;
        }
        let sent = i64::try_from(chunk.kvs.len()).unwrap_or(i64::MAX);
        self.left = self.left.map(|left| left.saturating_sub(sent));
        // `count` of a later chunk is of what was left of the range: `more` is its limit's.
        self.done = !chunk.more || self.left == Some(0);
        if let (false, Some(last)) = (self.done, chunk.kvs.last()) {
            let end = self.request.range.range_end().clone();
            self.request.range = KeyRange::new(after(&last.key), end);
        }
        let answer = RangeResponse {
            revision: whole.revision,
            more: chunk.more,
            count: whole.count,
            kvs: chunk.kvs,
        };
        let header = node.header(answer.revision);
        let message = Chunk(Answer::new(header, &answer), self.done);
        self.resize(message.len(), node.settings.max_request_bytes);
        rpc::frame(&message)
    }

    /// Doubles or halves the next chunk so that chunks come near to `target` bytes.
    fn resize(&mut self, weight: usize, target: usize) {
        if weight > target {
            self.size = (self.size / 2).max(1);
        } else if weight < target / 2 {
            self.size = self.size.saturating_mul(2);
        }
    }
}

/// The first key after `key`.
fn after(key: &Bytes) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.put_u8(0);
    next.freeze()
}
