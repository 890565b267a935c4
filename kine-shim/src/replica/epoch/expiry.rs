//! Revokes leases that are due, as the owner of the epoch.

use helium_mvcc::{LeaseExpireRequest, Request, Response};
use tokio::sync::oneshot;

use crate::replica::sequencer::{Answer, Work};
use crate::replica::shared::Shared;

/// Scans for due leases, for ever.
pub(super) async fn run(shared: &Shared) {
    loop {
        tokio::time::sleep(shared.options.expiry_interval).await;
        let mut pending = Vec::new();
        for request in due(shared) {
            let (answer, answered) = oneshot::channel();
            if shared
                .enqueue(Work::Request(request), Answer::Response(answer))
                .is_err()
            {
                // The queue is full: the lease is still due at the next scan.
                break;
            }
            pending.push(answered);
        }
        for answered in pending {
            // An expiry without an answer is found due again, or is gone.
            if let Ok(Ok(Response::LeaseExpire(answer))) = answered.await
                && answer.expired
            {
                shared.metrics.leases_expired.inc();
            }
        }
    }
}

fn due(shared: &Shared) -> Vec<Request> {
    let core = shared.core.read();
    if core.serving().is_err() {
        return Vec::new();
    }
    let Some(epoch) = core.owned_epoch(shared.member()) else {
        return Vec::new();
    };
    let due = core.leases_due(shared.clock.now(), shared.options.expiry_batch);
    due.into_iter()
        .map(|id| Request::LeaseExpire(LeaseExpireRequest { id, epoch }))
        .collect()
}
