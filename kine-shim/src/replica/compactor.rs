//! Carries out compactions in memory, a little at a time, so that no writer waits for long.

use std::sync::Arc;

use super::shared::Shared;

/// Changes given up under one lock: about a millisecond's worth, as 2,000 were measured to hold it
/// for up to eleven.
const BUDGET: usize = 250;

/// Runs until the replica stops.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.cancel.cancelled() => return,
            () = shared.compaction.notified() => {}
        }
        while shared.core.write().compact_step(BUDGET) {
            if shared.cancel.is_cancelled() {
                return;
            }
            tokio::task::yield_now().await;
        }
        shared.compacted.send_replace(true);
    }
}
