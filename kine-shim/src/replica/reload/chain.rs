//! A state under construction: the checkpoint, and the entries after it.

use std::time::Duration;

use helium_journal::{EntryId, KvPage, KvRow, Listed, Slot};
use helium_mvcc::{KeyValue, LeaseId, Restore, Revision, State};

use super::Interrupted;
use crate::replica::core::{ChainIds, Placement, decode, stamp};
use crate::replica::error::Halt;
use crate::replica::shared::Shared;

/// Rows of the checkpoint read in one query.
const ROWS: usize = 2000;
/// How often progress is logged.
const PROGRESS: Duration = Duration::from_secs(5);

/// A state that is not served yet.
pub(super) struct Chain {
    state: State,
    ids: ChainIds,
    /// The slot to remember the id of, and that id.
    mark: Option<Slot>,
    marked: Option<EntryId>,
    /// The highest revision that a lost entry may have made visible.
    lost: Revision,
    reported: Duration,
}

impl Chain {
    /// The state at the checkpoint; empty without one.
    pub(super) async fn restore(shared: &Shared, mark: Option<Slot>) -> Result<Self, Interrupted> {
        let mut chain = Self {
            state: State::new(),
            ids: ChainIds::starting_at(Slot::ZERO, EntryId::NIL),
            mark,
            marked: None,
            lost: Revision::UNSET,
            reported: shared.clock.now(),
        };
        let Some(meta) = shared.journal.checkpoint_read().await? else {
            return Ok(chain);
        };
        let slot = meta.slot;
        let mut restore = Restore::begin(&meta.state, slot.0.unsigned_abs()).map_err(|source| {
            Interrupted::Halted(Halt::Checkpoint {
                slot: slot.0,
                source,
            })
        })?;
        let mut after = None;
        let mut keys = 0_usize;
        loop {
            let page = shared.journal.kv_list(slot, after, ROWS).await?;
            let KvPage::Rows { rows, next } = page else {
                return Err(Interrupted::Moved);
            };
            keys += rows.len();
            rows.into_iter()
                .map(key_value)
                .for_each(|kv| restore.row(kv));
            chain.progress(shared, "loading the checkpoint", keys);
            after = next;
            if after.is_none() {
                break;
            }
        }
        chain.state = restore.finish();
        chain.ids = ChainIds::starting_at(slot, meta.id);
        chain.remember(slot, meta.id);
        Ok(chain)
    }

    /// Applies all entries that the journal holds, and confirms the chain.
    pub(super) async fn replay(&mut self, shared: &Shared) -> Result<(), Interrupted> {
        let options = &shared.options;
        loop {
            let begun = shared.trust.begin();
            let after = self.ids.slot();
            let listed = shared
                .journal
                .entry_list(after, options.fetch_entries, options.fetch_bytes)
                .await?;
            let Listed::Entries(entries) = listed else {
                return Err(Interrupted::Moved);
            };
            for entry in &entries {
                self.apply(entry)?;
            }
            self.progress(shared, "replaying the journal", entries.len());
            if !entries.is_empty() {
                continue;
            }
            let head = shared.journal.head_read(after).await?;
            if head.floor > after || (after > Slot::ZERO && head.at_applied != Some(self.ids.id()))
            {
                return Err(Interrupted::Moved);
            }
            match head.newest {
                Some((newest, _)) if newest > after => {
                    // Rows behind a gap: what was between them and us is lost.
                    let beyond = shared.journal.entry_list(after, 1, 1).await?;
                    if matches!(beyond, Listed::Entries(entries) if entries.is_empty()) {
                        if let Some(entry) = shared.journal.entry_read(newest).await? {
                            self.lost = self.lost.max(Revision(entry.last_rev));
                        }
                        shared.head_confirmed(begun, &head);
                        return Ok(());
                    }
                }
                _ => {
                    shared.head_confirmed(begun, &head);
                    return Ok(());
                }
            }
        }
    }

    fn apply(&mut self, entry: &helium_journal::Entry) -> Result<(), Interrupted> {
        match self.ids.place(entry, self.state.revision()) {
            Placement::Next => {
                let body = decode(entry).map_err(Interrupted::Halted)?;
                self.state.apply(stamp(entry), &body).map_err(|source| {
                    Interrupted::Halted(Halt::Sequence {
                        slot: entry.slot.0,
                        source,
                    })
                })?;
                self.ids.push(entry.id);
            }
            Placement::Differs => {
                tracing::error!(
                    slot = entry.slot.0,
                    "passing over an entry that follows lost ones"
                );
                self.lost = self.lost.max(Revision(entry.last_rev));
                self.ids.push_orphan(entry.id);
            }
            Placement::Duplicate | Placement::Ahead => return Err(Interrupted::Moved),
        }
        self.remember(entry.slot, entry.id);
        Ok(())
    }

    fn remember(&mut self, slot: Slot, id: EntryId) {
        if self.mark == Some(slot) {
            self.marked = Some(id);
        }
    }

    fn progress(&mut self, shared: &Shared, what: &'static str, read: usize) {
        let now = shared.clock.now();
        if now.saturating_sub(self.reported) >= PROGRESS {
            self.reported = now;
            tracing::info!(
                slot = self.ids.slot().0,
                revision = self.state.revision().0,
                read,
                "{what}"
            );
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn ids(&self) -> &ChainIds {
        &self.ids
    }

    /// The id that this chain holds in the slot to remember, if it came by.
    pub(super) fn marked(&self) -> Option<EntryId> {
        self.marked
    }

    /// The highest revision of entries that exist no more.
    pub(super) fn lost(&self) -> Revision {
        self.lost
    }

    pub(super) fn into_parts(self) -> (State, ChainIds) {
        (self.state, self.ids)
    }
}

fn key_value(row: KvRow) -> KeyValue {
    KeyValue {
        key: row.key,
        value: row.value,
        create_revision: Revision(row.create_revision),
        mod_revision: Revision(row.mod_revision),
        version: row.version,
        lease: LeaseId(row.lease),
    }
}
