//! The trait and its laws.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Advanced, Appended, CheckpointMeta, Chunked, ClaimId, Claimed, DatabaseIdentity, Entry, Head,
    KvPage, KvRow, Listed, LogId, LogMeta, Member, Result, Slot, StoreSize, WriterId,
};

/// One journal in one database.
///
/// A handle works on one [`LogId`]; any number of handles, in any number of processes, may work on
/// the same one. Every call may run concurrently with every other. A call that is dropped before it
/// ends has the same standing as one that ended with an indeterminate error.
///
/// Errors: [`crate::Outcome::Determinate`] promises that this attempt did not happen and won't; any
/// other error leaves the outcome of a writing call undecided. Reads have no outcome. A lost race
/// is never an error.
#[async_trait]
pub trait Journal: Send + Sync + Debug {
    /// The journal that this handle works on.
    fn log_id(&self) -> LogId;

    /// `postgres`, `sqlite` or `memory`.
    fn backend(&self) -> &'static str;

    /// Inserts one entry into its slot, and reads the floor afterwards.
    ///
    /// Before: `entry.slot` is the slot after the newest that the caller has applied, `entry.prev`
    /// the id in it.
    /// After [`Appended::Committed`]: the entry is durable at its slot behind the entry that it names
    /// (J8), every later read at the primary sees it, and it stays until trimmed.
    /// After [`Appended::Diverged`]: the chain that the caller knows is not the database's.
    /// Concurrency: of all appends to a slot at most one is ever `Committed`.
    /// Undecided: after an indeterminate error the caller keeps the slot and calls again with the
    /// *same entry* until it gets an answer; a first attempt that lands late can only be this entry
    /// or a loser. A determinate error speaks of its own attempt only: it doesn't decide an earlier,
    /// undecided one. Determinate errors: the entry was too large, refused, or never sent.
    async fn entry_append(&self, entry: &Entry) -> Result<Appended>;

    /// Newest slot, the id at the slot that the caller has applied, and the floor, all from one
    /// statement at the primary (J4): every append that was acknowledged before the call began is
    /// in the answer. Concurrent calls are answered independently; callers coalesce.
    async fn head_read(&self, applied: Slot) -> Result<Head>;

    /// The entry in one slot; `None` when there is none or the slot is below the floor (J2), which
    /// [`Journal::head_read`] tells apart. The floor's own row is readable (J3).
    async fn entry_read(&self, slot: Slot) -> Result<Option<Entry>>;

    /// Entries from `after + 1` upwards, without a gap.
    ///
    /// At most `max_entries`, and no further entry once their payloads have reached `max_bytes`, but at
    /// least one if there is one. Stops before the first missing slot. From one statement together
    /// with the floor: [`Listed::BelowFloor`] if `after` is below it. Never a truncated result (J5).
    async fn entry_list(&self, after: Slot, max_entries: usize, max_bytes: usize)
    -> Result<Listed>;

    /// Rows in the journal, counted one by one: for people and tests.
    async fn entry_count(&self) -> Result<u64>;

    /// Removes at most `limit` rows with slots below both `below` and the floor, oldest first, and
    /// what only superseded checkpoints needed. Returns how many journal rows went; zero means that
    /// nothing is left to trim. Never touches the floor's own row (J3). Repeating it is harmless.
    async fn entry_trim(&self, below: Slot, limit: usize) -> Result<u64>;

    /// The checkpoint; `None` until one has been completed.
    async fn checkpoint_read(&self) -> Result<Option<CheckpointMeta>>;

    /// Takes the turn to write the next checkpoint, from whoever has it.
    ///
    /// Wins only if the checkpoint is still at `expected` (zero: none). After [`Claimed::Won`]
    /// chunks of any earlier claim change nothing (J7), and what an abandoned turn had written is
    /// undone. Undecided: claim again.
    async fn checkpoint_claim(&self, expected: Slot, claim: ClaimId) -> Result<Claimed>;

    /// Writes one part of the difference between the current checkpoint and the next, in one
    /// transaction that also checks the claim: all or nothing. No key may occur twice in
    /// `upserts` and `deletes`. Invisible to [`Journal::kv_list`] until the advance (J6). Idempotent:
    /// undecided chunks are sent again.
    async fn checkpoint_chunk(
        &self,
        claim: ClaimId,
        upserts: Vec<KvRow>,
        deletes: Vec<Bytes>,
    ) -> Result<Chunked>;

    /// Moves the checkpoint, and with it the floor, to `meta.slot`, which must be higher than the
    /// current one, and ends the claim. Refused unless the journal holds `meta.id` at that slot
    /// (J3). Idempotent: undecided advances are sent again, and say `Moved` if an earlier attempt
    /// did it.
    async fn checkpoint_advance(&self, claim: ClaimId, meta: CheckpointMeta) -> Result<Advanced>;

    /// Rows of the state at the checkpoint `at`, with keys after `after` (`None`: from the start),
    /// at most `limit` (at least one). Keys of a KiB and more that begin alike may come in any order. From one statement together with the floor:
    /// [`KvPage::Moved`] when the checkpoint isn't at `at`. Pages that all say `Rows` together are
    /// exactly the state at `at`, whatever checkpointers did meanwhile (J6).
    async fn kv_list(&self, at: Slot, after: Option<Bytes>, limit: usize) -> Result<KvPage>;

    /// Which database answers. Changes when it was restored from elsewhere or failed over.
    async fn identity_read(&self) -> Result<DatabaseIdentity>;

    /// What was fixed when this journal was first opened; created by the first caller, the same for
    /// every caller ever after.
    async fn log_meta(&self) -> Result<LogMeta>;

    /// Bytes that the store takes, as the database tells.
    async fn size_read(&self) -> Result<StoreSize>;

    /// Writes the member's row, whether or not there is one.
    async fn member_upsert(&self, member: &Member) -> Result<()>;

    /// All members' rows, by id.
    async fn member_list(&self) -> Result<Vec<Member>>;

    /// Removes a member's row; no error when there is none.
    async fn member_delete(&self, id: WriterId) -> Result<()>;

    /// Closes the connections and stops what runs in the background. Later calls fail with
    /// [`crate::ErrorKind::Closed`].
    async fn close(&self);
}
