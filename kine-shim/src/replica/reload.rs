//! Loading the state: at the start, when the slots that would come next have been trimmed, and
//! after the database went back in time (I2).
//!
//! In the last case entries that this instance has applied are gone, and others may soon stand in
//! their slots and use their revisions again. So before anything is served, an *incarnation* is
//! appended: it lifts the revision beyond everything that this instance has shown to anybody, and
//! compacts all that is older, so that every watch and every list begins anew. Of several instances
//! that notice the accident, the first to append does it for all whose revisions it covers.
//!
//! Clients that hold something only by what they were once told (a failover group's terms) must learn of it before they are told
//! anything new: with `incarnation_key` the entry puts a key, which they compare with in their transactions.

mod chain;
mod incarnation;

use std::sync::Arc;

use helium_journal::{EntryId, Slot};
use helium_mvcc::{Incarnation, Revision};

use super::backoff::Backoff;
use super::error::{Error, Halt, Result};
use super::identity;
use super::shared::Shared;
use chain::Chain;

/// Why the state is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The replica has just been opened.
    Start,
    /// The slots after the applied one are trimmed.
    BelowFloor,
    /// Another database answers, or the same one after a failover.
    OtherDatabase,
    /// What is applied is not what is stored.
    BackInTime(&'static str),
}

/// What this instance served before it began to load.
#[derive(Debug, Clone, Copy)]
struct Former {
    slot: Slot,
    id: EntryId,
    /// The newest revision that anybody can have seen here.
    exposed: Revision,
    incarnation: Incarnation,
}

/// Why one try to load ended.
enum Interrupted {
    /// The database could not be asked.
    Journal(helium_journal::Error),
    /// The checkpoint or the journal moved meanwhile: begin again.
    Moved,
    /// What is stored can't be read.
    Halted(Halt),
}

impl From<helium_journal::Error> for Interrupted {
    fn from(error: helium_journal::Error) -> Self {
        Self::Journal(error)
    }
}

/// Loads the state and serves it. Tries until it succeeds; the only error is a halt.
pub(super) async fn reload(shared: &Arc<Shared>, cause: Cause) -> Result<()> {
    let former = (cause != Cause::Start).then(|| forget(shared, cause));
    let mut backoff = Backoff::new(shared.options.retry_min, shared.options.retry_max);
    let mut failures = 0_u32;
    loop {
        match load(shared, former.as_ref(), cause).await {
            Ok(chain) => {
                serve(shared, chain);
                return Ok(());
            }
            Err(Interrupted::Halted(halt)) => return Err(Error::Halted(shared.halt(halt))),
            Err(Interrupted::Moved) => tracing::debug!("journal moved while it was being loaded"),
            Err(Interrupted::Journal(error)) => {
                shared.trust.fault();
                if failures == 0 {
                    tracing::warn!(
                        error = helium_journal::chain(&error),
                        "state can't be loaded, trying again"
                    );
                }
                failures += 1;
            }
        }
        tokio::time::sleep(backoff.next_pause()).await;
    }
}

/// Stops serving, ends watches and drops the state.
fn forget(shared: &Shared, cause: Cause) -> Former {
    shared.metrics.reloads.inc();
    let (state, position) = shared.core.write().forget();
    shared.streams.end_all();
    shared.phase_changed();
    match cause {
        Cause::BackInTime(reason) => tracing::error!(
            slot = position.slot.0,
            revision = state.revision().0,
            reason,
            "database went back in time, loading what is left"
        ),
        Cause::OtherDatabase => tracing::error!(
            slot = position.slot.0,
            revision = state.revision().0,
            "database was failed over or replaced, it may have lost what others have seen"
        ),
        Cause::Start | Cause::BelowFloor => tracing::warn!(
            slot = position.slot.0,
            "journal was trimmed beyond this instance, loading the checkpoint"
        ),
    }
    Former {
        slot: position.slot,
        id: position.id,
        exposed: state.revision(),
        incarnation: state.incarnation(),
    }
}

async fn load(
    shared: &Shared,
    former: Option<&Former>,
    cause: Cause,
) -> Result<Chain, Interrupted> {
    let identity = shared.journal.identity_read().await?;
    let mut chain = Chain::restore(shared, former.map(|former| former.slot)).await?;
    chain.replay(shared).await?;
    while let Some(beyond) = incarnation::needed(&chain, former, cause) {
        incarnation::append(shared, &chain, beyond).await?;
        // Ours, or that of whoever was faster.
        chain.replay(shared).await?;
        shared.metrics.incarnations.inc();
        tracing::warn!(
            revision = chain.state().revision().0,
            incarnation = chain.state().incarnation().0,
            "store continues at a new revision, everything older is compacted"
        );
    }
    identity::remember(shared, identity, chain.state().incarnation());
    Ok(chain)
}

fn serve(shared: &Shared, chain: Chain) {
    let (state, ids) = chain.into_parts();
    tracing::info!(
        slot = ids.slot().0,
        revision = state.revision().0,
        keys = state.key_count(),
        "state is loaded"
    );
    let now = shared.clock.now();
    shared.metrics.applied_slot.set(ids.slot().0);
    {
        let mut core = shared.core.write();
        core.install(state, ids, now);
        shared.streams.restart(core.state());
        shared.owner_seen(&core);
    }
    shared.phase_changed();
    // What was compacted before the checkpoint's slot is gone already; the rest is done in steps.
    shared.compacted.send_replace(false);
    shared.compaction.notify_one();
}
