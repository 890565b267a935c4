//! Compactions on a timer, for clients that don't compact themselves.
//!
//! Several instances may do this on one log: whoever comes second finds the revision compacted
//! already, which is what it wanted.

use std::sync::Arc;

use helium_mvcc::{CompactRequest, Error as Refused, Request, Revision};
use rand::Rng as _;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::metrics::CompactLabels;
use crate::node::Node;
use crate::replica;
use crate::server::AutoCompaction;

/// Compacts after each pause, until `stop`.
pub(crate) async fn run(node: Arc<Node>, auto: AutoCompaction, stop: CancellationToken) {
    loop {
        let jitter = f64::from(auto.jitter) / 100.0;
        let pause = auto
            .interval
            .mul_f64(1.0 + rand::rng().random_range(-jitter..=jitter));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => compact(&node, auto.retain).await,
        }
    }
}

async fn compact(node: &Node, retain: i64) {
    let status = node.replica.status();
    let target = Revision(status.revision.0.saturating_sub(retain.max(0)));
    if target <= status.compact_revision || target <= Revision::FIRST {
        return;
    }
    let request = Request::Compact(CompactRequest { revision: target });
    let outcome = node.replica.propose(request).await;
    match &outcome {
        Ok(_) => info!(revision = %target, "compacted"),
        Err(replica::Error::Refused(Refused::Compacted { .. })) => return,
        Err(error) => {
            let error: &dyn std::error::Error = error;
            warn!(error, revision = %target, "compaction failed, the next one follows");
        }
    }
    node.metrics
        .compactions
        .get_or_create(&CompactLabels::of(outcome.is_ok()))
        .inc();
}
