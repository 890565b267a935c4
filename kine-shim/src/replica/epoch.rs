//! The warden: heartbeat, takeover of epochs, expiry of leases (I7).
//!
//! Liveness is judged by this instance's clock alone: a member lives while its counter is seen to
//! change. Nothing here is needed for safety. A takeover that was not called for costs every lease
//! another full TTL, and nothing else.

mod expiry;
mod members;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use helium_mvcc::{Epoch, EpochTakeRequest, MemberId, Request, Response};

use super::shared::Shared;

pub(super) use members::Members;

/// Every how many heartbeats the size of the database is asked for.
const SIZE_EVERY: u64 = 20;
/// How long the farewell to the members table may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Runs until the replica stops.
pub(super) async fn run(shared: Arc<Shared>) {
    tokio::select! {
        () = shared.cancel.cancelled() => {}
        () = heart(&shared) => {}
        () = expiry::run(&shared) => {}
    }
    // A row that stays is only taken for a dead member for a while.
    let farewell = shared.journal.member_delete(shared.member_id);
    if !matches!(tokio::time::timeout(FAREWELL, farewell).await, Ok(Ok(()))) {
        tracing::debug!("members table keeps the row of this instance");
    }
}

async fn heart(shared: &Shared) {
    let mut beats = 0_u64;
    let mut watch = OwnerWatch::default();
    let mut failures = 0_u32;
    // The first look at the owner is worth nothing before the state is loaded.
    drop(shared.wait_ready().await);
    loop {
        match beat(shared, beats).await {
            Ok(()) => {
                failures = 0;
                if shared.options.may_own {
                    consider_takeover(shared, &mut watch).await;
                }
            }
            Err(error) => {
                // Nobody could beat meanwhile, so silence proves nothing.
                watch = OwnerWatch::default();
                if failures == 0 {
                    tracing::warn!(
                        error = helium_journal::chain(&error),
                        "heartbeat could not be written"
                    );
                }
                failures = failures.saturating_add(1);
            }
        }
        beats += 1;
        tokio::time::sleep(shared.options.heartbeat_interval).await;
    }
}

async fn beat(shared: &Shared, beats: u64) -> helium_journal::Result<()> {
    let row = shared.members.lock().beat();
    shared.journal.member_upsert(&row).await?;
    let rows = shared.journal.member_list().await?;
    let dead = shared.members.lock().update(shared.clock.now(), rows);
    for id in dead {
        tracing::info!(member = %id, "removing a member that has been silent for long");
        shared.journal.member_delete(id).await?;
    }
    // Which database answers, the follower looks at with its next head query: connections may have
    // come back to another one without any call having failed.
    shared.identity_due.store(true, Ordering::Release);
    if beats.is_multiple_of(SIZE_EVERY) {
        let size = shared.journal.size_read().await?;
        *shared.size.lock() = size;
    }
    Ok(())
}

/// Since when one owner of one epoch is being looked at.
#[derive(Debug, Default)]
struct OwnerWatch {
    of: Option<(Epoch, MemberId, Duration)>,
}

impl OwnerWatch {
    fn since(&mut self, epoch: Epoch, owner: MemberId, now: Duration) -> Duration {
        match self.of {
            Some((seen_epoch, seen_owner, since)) if (seen_epoch, seen_owner) == (epoch, owner) => {
                since
            }
            _ => {
                self.of = Some((epoch, owner, now));
                now
            }
        }
    }
}

async fn consider_takeover(shared: &Shared, watch: &mut OwnerWatch) {
    let (epoch, owner) = {
        let core = shared.core.read();
        if core.serving().is_err() {
            return;
        }
        (core.state().epoch(), core.state().owner())
    };
    if owner == shared.member() {
        return;
    }
    let now = shared.clock.now();
    let looked_since = watch.since(epoch, owner, now);
    let is_vacant = owner == MemberId::default();
    let heard = shared
        .members
        .lock()
        .heard(owner)
        .unwrap_or_default()
        .max(looked_since);
    if !is_vacant && now.saturating_sub(heard) < shared.options.owner_timeout {
        return;
    }
    let request = EpochTakeRequest {
        owner: shared.member(),
        epoch: epoch.next(),
    };
    let taking = shared.propose(Request::EpochTake(request));
    // The append goes on if this gives up waiting: the heart must beat.
    match tokio::time::timeout(shared.options.owner_timeout, taking).await {
        Ok(Ok(Response::EpochTake(answer))) if answer.taken => {
            shared.metrics.epochs_taken.inc();
            tracing::info!(epoch = answer.epoch.0, former = %owner, "owning the epoch");
        }
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(
            error = helium_journal::chain(&error),
            "epoch could not be taken"
        ),
        Err(_) => tracing::debug!("taking the epoch is still undecided"),
    }
}
