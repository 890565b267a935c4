//! A journal that misbehaves on purpose, over any other.
//!
//! Every call may be refused, be lost on the way, happen without an answer, or be slow: by a seeded
//! coin, or on order for the next call of a kind. A test can also *hold* a call at a named point,
//! do something else meanwhile, and let it go: that is how the schedules are written in which a
//! paused instance wakes with an old view. With nothing ordered it changes nothing, and keeps every
//! law of the journal below.
//!
//! What is refused or lost never reaches the journal below. What goes unanswered has happened there.
//! A *late* append is answered with an undecided error at once and happens when the test says so,
//! as an insert does that was stuck in a network.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Advanced, Appended, CheckpointMeta, Chunked, ClaimId, Claimed, DatabaseIdentity, Entry, Error,
    ErrorKind, Head, Journal, KvPage, KvRow, Listed, LogId, LogMeta, Member, Result, Slot,
    StoreSize, WriterId,
};

mod control;

use control::Order;
pub use control::{Call, Control, Fault, Hold, Late, Point, Rates, seed};

/// The wrapper; give it to what is under test.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Journal>,
    control: Control,
}

impl Faulty {
    /// Wraps a journal. The coin is seeded, so that a run with the same seed and the same order of
    /// calls makes the same faults.
    #[must_use]
    pub fn new(inner: Arc<dyn Journal>, seed: u64) -> Self {
        Self {
            inner,
            control: Control::new(seed),
        }
    }

    /// The handle by which a test orders faults.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Carries out one call as ordered.
    async fn pass<T: Send>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let Order {
            fault,
            before,
            after,
        } = self.control.order(call);
        if let Some(gate) = before {
            gate.pass().await;
        }
        match fault {
            Some(Fault::Refused) => return Err(injected("refused on purpose").determinate()),
            Some(Fault::Lost) => return Err(injected("lost on purpose")),
            Some(Fault::Slow(delay)) => tokio::time::sleep(delay).await,
            Some(Fault::Unanswered) | None => {}
        }
        let result = work.await;
        if let Some(gate) = after {
            gate.pass().await;
        }
        if fault == Some(Fault::Unanswered) {
            return Err(injected("unanswered on purpose"));
        }
        result
    }
}

fn injected(detail: &'static str) -> Error {
    Error::new("calling a faulty journal", ErrorKind::Unreachable)
        .with_code("injected")
        .with_detail(detail)
}

#[async_trait]
impl Journal for Faulty {
    fn log_id(&self) -> LogId {
        self.inner.log_id()
    }

    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    async fn entry_append(&self, entry: &Entry) -> Result<Appended> {
        if let Some(late) = self.control.late_take() {
            late.send((Arc::clone(&self.inner), entry.clone())).ok();
            return Err(injected("late on purpose"));
        }
        self.pass(Call::EntryAppend, self.inner.entry_append(entry))
            .await
    }

    async fn head_read(&self, applied: Slot) -> Result<Head> {
        self.pass(Call::HeadRead, self.inner.head_read(applied))
            .await
    }

    async fn entry_read(&self, slot: Slot) -> Result<Option<Entry>> {
        self.pass(Call::EntryRead, self.inner.entry_read(slot))
            .await
    }

    async fn entry_list(
        &self,
        after: Slot,
        max_entries: usize,
        max_bytes: usize,
    ) -> Result<Listed> {
        self.pass(
            Call::EntryList,
            self.inner.entry_list(after, max_entries, max_bytes),
        )
        .await
    }

    async fn entry_count(&self) -> Result<u64> {
        self.pass(Call::EntryCount, self.inner.entry_count()).await
    }

    async fn entry_trim(&self, below: Slot, limit: usize) -> Result<u64> {
        self.pass(Call::EntryTrim, self.inner.entry_trim(below, limit))
            .await
    }

    async fn checkpoint_read(&self) -> Result<Option<CheckpointMeta>> {
        self.pass(Call::CheckpointRead, self.inner.checkpoint_read())
            .await
    }

    async fn checkpoint_claim(&self, expected: Slot, claim: ClaimId) -> Result<Claimed> {
        self.pass(
            Call::CheckpointClaim,
            self.inner.checkpoint_claim(expected, claim),
        )
        .await
    }

    async fn checkpoint_chunk(
        &self,
        claim: ClaimId,
        upserts: Vec<KvRow>,
        deletes: Vec<Bytes>,
    ) -> Result<Chunked> {
        let work = self.inner.checkpoint_chunk(claim, upserts, deletes);
        self.pass(Call::CheckpointChunk, work).await
    }

    async fn checkpoint_advance(&self, claim: ClaimId, meta: CheckpointMeta) -> Result<Advanced> {
        self.pass(
            Call::CheckpointAdvance,
            self.inner.checkpoint_advance(claim, meta),
        )
        .await
    }

    async fn kv_list(&self, at: Slot, after: Option<Bytes>, limit: usize) -> Result<KvPage> {
        self.pass(Call::KvList, self.inner.kv_list(at, after, limit))
            .await
    }

    async fn identity_read(&self) -> Result<DatabaseIdentity> {
        self.pass(Call::IdentityRead, self.inner.identity_read())
            .await
    }

    async fn log_meta(&self) -> Result<LogMeta> {
        self.pass(Call::LogMeta, self.inner.log_meta()).await
    }

    async fn size_read(&self) -> Result<StoreSize> {
        self.pass(Call::SizeRead, self.inner.size_read()).await
    }

    async fn member_upsert(&self, member: &Member) -> Result<()> {
        self.pass(Call::MemberUpsert, self.inner.member_upsert(member))
            .await
    }

    async fn member_list(&self) -> Result<Vec<Member>> {
        self.pass(Call::MemberList, self.inner.member_list()).await
    }

    async fn member_delete(&self, id: WriterId) -> Result<()> {
        self.pass(Call::MemberDelete, self.inner.member_delete(id))
            .await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
