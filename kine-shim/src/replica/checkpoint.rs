//! The checkpointer: turns compacted history into rows, and trims it from the journal.
//!
//! Entries are folded from the checkpoint's slot up to the last that ends below the compact
//! revision; what they leave of each key is written in chunks under a claim; then the floor moves,
//! and only then do the entries below it go. Writers never touch these rows, so nobody waits. The
//! owner of the epoch does it; if nothing moves for long, anybody does. Two at once are harmless:
//! each chunk checks its claim.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use helium_journal::{
    Advanced, CheckpointMeta, Chunked, ClaimId, Claimed, EntryId, KvRow, Listed, Slot,
};
use helium_mvcc::{Fold, KeyValue, Revision, Row};

use super::core::{ChainIds, Placement, decode};
use super::error::Halt;
use super::shared::Shared;

/// Why a round did not move the checkpoint.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("moving the checkpoint")]
    Journal(#[from] helium_journal::Error),
    #[error("reading what to fold")]
    Halt(#[from] Halt),
    #[error("folding slot {slot}")]
    Fold {
        slot: i64,
        #[source]
        source: helium_mvcc::ApplyError,
    },
    #[error("reading the side state of the checkpoint")]
    Side(#[source] helium_mvcc::DecodeError),
}

/// Runs until the replica stops.
pub(super) async fn run(shared: Arc<Shared>) {
    let stopped = shared.cancel.clone();
    tokio::select! {
        () = stopped.cancelled() => {}
        () = work(&shared) => {}
    }
}

async fn work(shared: &Shared) {
    let mut checkpointer = Checkpointer {
        done: Revision::NEVER_COMPACTED,
        stuck: None,
    };
    let mut trimmed = false;
    let mut failures = 0_u32;
    loop {
        tokio::time::sleep(shared.options.checkpoint_interval).await;
        let result = async {
            while checkpointer.round(shared).await? {
                trimmed = false;
            }
            if !trimmed && is_owner(shared) {
                trim(shared).await?;
                trimmed = true;
            }
            Ok::<_, Error>(())
        };
        match result.await {
            Ok(()) => failures = 0,
            Err(error) => {
                if failures == 0 {
                    tracing::warn!(
                        error = helium_journal::chain(&error),
                        "checkpoint did not move, trying again"
                    );
                }
                failures = failures.saturating_add(1);
            }
        }
    }
}

fn is_owner(shared: &Shared) -> bool {
    let core = shared.core.read();
    core.serving().is_ok() && core.owned_epoch(shared.member()).is_some()
}

struct Checkpointer {
    /// The compact revision up to which everything is folded.
    done: Revision,
    /// Where the checkpoint stood, and since when, while there was work for somebody else.
    stuck: Option<(Slot, Duration)>,
}

/// What a round is about to write.
struct Step {
    fold: Fold,
    slot: Slot,
    id: EntryId,
    /// Whether the journal may hold more to fold.
    more: bool,
}

impl Checkpointer {
    /// Moves the checkpoint by one step. False when there is nothing to do, or not for us.
    async fn round(&mut self, shared: &Shared) -> Result<bool, Error> {
        let compacted = {
            let core = shared.core.read();
            if core.serving().is_err() {
                return Ok(false);
            }
            core.state().compact_revision()
        };
        if compacted <= self.done {
            return Ok(false);
        }
        let meta = shared.journal.checkpoint_read().await?;
        let from = meta.as_ref().map_or(Slot::ZERO, |meta| meta.slot);
        let Some(step) = fold(shared, meta.as_ref(), compacted).await? else {
            self.done = compacted;
            self.stuck = None;
            return Ok(false);
        };
        if !self.is_our_turn(shared, from) {
            return Ok(false);
        }
        let written = write(shared, from, step).await?;
        self.stuck = None;
        Ok(written)
    }

    /// The owner works at once; the others when the checkpoint stands still for long.
    fn is_our_turn(&mut self, shared: &Shared, at: Slot) -> bool {
        if is_owner(shared) {
            return true;
        }
        let now = shared.clock.now();
        match self.stuck {
            Some((slot, since)) if slot == at => {
                now.saturating_sub(since) >= shared.options.checkpoint_claim_timeout
            }
            _ => {
                self.stuck = Some((at, now));
                false
            }
        }
    }
}

/// Folds entries behind the checkpoint, as far as they end below `compacted`. A loaded state's
/// history begins after its revision, so the changes at the compact revision itself, which a watch
/// may start from, must stay in the journal.
async fn fold(
    shared: &Shared,
    meta: Option<&CheckpointMeta>,
    compacted: Revision,
) -> Result<Option<Step>, Error> {
    let options = &shared.options;
    let (mut fold, from, id) = match meta {
        Some(meta) => (
            Fold::load(&meta.state).map_err(Error::Side)?,
            meta.slot,
            meta.id,
        ),
        None => (Fold::new(), Slot::ZERO, EntryId::NIL),
    };
    let listed = shared
        .journal
        .entry_list(from, options.checkpoint_entries, options.fetch_bytes)
        .await?;
    let Listed::Entries(entries) = listed else {
        // Somebody else moved it meanwhile.
        return Ok(None);
    };
    let applied = shared.position().slot;
    let mut chain = ChainIds::starting_at(from, id);
    let mut reached = None;
    let mut stopped = false;
    for entry in &entries {
        if entry.slot > applied {
            stopped = true;
            break;
        }
        match chain.place(entry, fold.revision()) {
            Placement::Next => {
                let body = decode(entry)?;
                if body.last_revision() >= compacted {
                    stopped = true;
                    break;
                }
                let slot = entry.slot.0;
                fold.apply(&body)
                    .map_err(|source| Error::Fold { slot, source })?;
                chain.push(entry.id);
                reached = Some((entry.slot, entry.id));
            }
            // An orphan holds no work. A checkpoint never ends at one: its id could not tell
            // the chains apart.
            Placement::Differs => chain.push_orphan(entry.id),
            Placement::Duplicate | Placement::Ahead => break,
        }
    }
    Ok(reached.map(|(slot, id)| Step {
        fold,
        slot,
        id,
        more: !stopped && !entries.is_empty(),
    }))
}

/// Writes the rows of a step and moves the floor. False if somebody else took the turn.
async fn write(shared: &Shared, from: Slot, step: Step) -> Result<bool, Error> {
    let journal = &shared.journal;
    let Step {
        mut fold,
        slot,
        id,
        more,
    } = step;
    let claim = ClaimId::random();
    if let Claimed::Moved { .. } = journal.checkpoint_claim(from, claim).await? {
        return Ok(false);
    }
    let mut rows = fold.take_rows().into_iter();
    loop {
        let (upserts, deletes) = chunk(rows.by_ref().take(shared.options.checkpoint_chunk.max(1)));
        if upserts.is_empty() && deletes.is_empty() {
            break;
        }
        if journal.checkpoint_chunk(claim, upserts, deletes).await? == Chunked::ClaimLost {
            return Ok(false);
        }
    }
    let revision = fold.revision().0;
    let meta = CheckpointMeta {
        slot,
        id,
        revision,
        state: fold.save(),
    };
    if journal.checkpoint_advance(claim, meta).await? == Advanced::ClaimLost {
        return Ok(false);
    }
    tracing::debug!(slot = slot.0, revision, "checkpoint moved");
    trim(shared).await?;
    Ok(more)
}

fn chunk(rows: impl Iterator<Item = Row>) -> (Vec<KvRow>, Vec<Bytes>) {
    let mut upserts = Vec::new();
    let mut deletes = Vec::new();
    for row in rows {
        match row {
            Row::Upsert(kv) => upserts.push(kv_row(&kv)),
            Row::Delete(key) => deletes.push(key),
        }
    }
    (upserts, deletes)
}

fn kv_row(kv: &KeyValue) -> KvRow {
    KvRow {
        key: kv.key.clone(),
        value: kv.value.clone(),
        create_revision: kv.create_revision.0,
        mod_revision: kv.mod_revision.0,
        version: kv.version,
        lease: kv.lease.0,
    }
}

/// Removes what lies below the floor, in small statements.
async fn trim(shared: &Shared) -> Result<(), Error> {
    let everything = Slot(i64::MAX);
    while shared
        .journal
        .entry_trim(everything, shared.options.trim_rows.max(1))
        .await?
        > 0
    {
        tokio::task::yield_now().await;
    }
    Ok(())
}
