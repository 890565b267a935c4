//! Compaction of the store, as API servers agree on it.
//!
//! Every server keeps a logical time: the version of `compact_rev_key`. Each interval it tries to move that
//! time on by one, writing the store's current revision; who wins compacts up to the revision that
//! it learned an interval ago. So whatever their number, history of at least one interval stays, and a
//! server that starts never compacts what it hasn't seen grow old.

use std::time::Duration;

use bytes::Bytes;
use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use helium_etcd_proto::etcdserverpb::{request_op, response_op};
use tokio_util::sync::CancellationToken;

use super::error::{Error, Result};
use super::kv::header_revision;
use super::{Store, keys};

/// What a server knows between two rounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Clock {
    /// Version of the key when last seen.
    time: i64,
    /// The store's revision then; 0 before the first round.
    revision: i64,
}

/// Compacts every `interval` until cancelled. A zero interval means never.
pub async fn run(store: Store, interval: Duration, shutdown: CancellationToken) {
    if interval.is_zero() {
        return;
    }
    let mut clock = Clock::default();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        match round(&store, clock).await {
            Ok(next) => clock = next,
            Err(error) => tracing::debug!(error = %error, "compaction round failed"),
        }
    }
}

async fn round(store: &Store, clock: Clock) -> Result<Clock> {
    let key = Bytes::from_static(keys::COMPACTION.as_bytes());
    let request = pb::TxnRequest {
        compare: vec![pb::Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Version.into(),
            key: key.clone(),
            target_union: Some(TargetUnion::Version(clock.time)),
            ..pb::Compare::default()
        }],
        success: vec![pb::RequestOp {
            request: Some(request_op::Request::RequestPut(pb::PutRequest {
                key: key.clone(),
                value: Bytes::from(clock.revision.to_string()),
                ..pb::PutRequest::default()
            })),
        }],
        failure: vec![pb::RequestOp {
            request: Some(request_op::Request::RequestRange(pb::RangeRequest {
                key,
                ..pb::RangeRequest::default()
            })),
        }],
    };
    let (response, _) = store.txn("agree on a compaction", request).await?;
    let revision = header_revision(response.header.as_ref());
    if !response.succeeded {
        return Ok(Clock {
            time: seen_version(&response),
            revision,
        });
    }
    if clock.revision > 0 {
        match store.compact(clock.revision).await {
            // Somebody compacted further already.
            Ok(()) | Err(Error::Compacted { .. }) => {
                tracing::info!(revision = clock.revision, "compacted the store");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Clock {
        time: clock.time + 1,
        revision,
    })
}

fn seen_version(response: &pb::TxnResponse) -> i64 {
    match response
        .responses
        .first()
        .and_then(|op| op.response.as_ref())
    {
        Some(response_op::Response::ResponseRange(range)) => {
            range.kvs.first().map_or(0, |kv| kv.version)
        }
        _ => 0,
    }
}
