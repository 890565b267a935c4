//! A journal whose calls follow a script.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use helium_journal::{
    Advanced, Appended, CheckpointMeta, Chunked, ClaimId, Claimed, DatabaseIdentity, Entry, Error,
    ErrorKind, Head, Journal, KvPage, KvRow, Listed, LogId, LogMeta, Member, Result, Slot,
    StoreSize, WriterId,
};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::Semaphore;

/// A call that is to be scripted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Append,
    Head,
    List,
    Member,
    Chunk,
}

/// What happens to one call.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// It does not happen, and the caller isn't told.
    FailBefore,
    /// It happens, and the caller isn't told.
    FailAfter,
    /// It does not happen, and the caller hears nothing until the gate opens, and no answer then.
    HoldThenFail(Gate),
    /// It does not happen until the gate opens.
    HoldBefore(Gate),
    /// It happens, and its answer waits for the gate.
    HoldAfter(Gate),
}

/// A place where a call waits for the test.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    reached: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            reached: Arc::new(Semaphore::new(0)),
            open: Arc::new(Semaphore::new(0)),
        }
    }

    /// Waits until a call is waiting here.
    pub(crate) async fn reached(&self) {
        self.reached.acquire().await.expect("never closed").forget();
    }

    /// Lets one call pass.
    pub(crate) fn open(&self) {
        self.open.add_permits(1);
    }

    async fn pass(&self) {
        self.reached.add_permits(1);
        self.open.acquire().await.expect("never closed").forget();
    }
}

/// Faults at random.
#[derive(Debug)]
pub(crate) struct Chaos {
    rng: StdRng,
    /// Chance of each kind of fault, in per cent.
    percent: u32,
}

#[derive(Debug)]
pub(crate) struct StagedJournal {
    inner: Arc<dyn Journal>,
    script: Mutex<HashMap<Call, VecDeque<Act>>>,
    largest_payload: Mutex<usize>,
    chaos: Mutex<Option<Chaos>>,
}

impl StagedJournal {
    pub(crate) fn new(inner: Arc<dyn Journal>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            script: Mutex::new(HashMap::new()),
            largest_payload: Mutex::new(usize::MAX),
            chaos: Mutex::new(None),
        })
    }

    /// Adds to what the next calls of a kind meet. Calls without a script pass.
    pub(crate) fn stage(&self, call: Call, act: Act) {
        self.script.lock().entry(call).or_default().push_back(act);
    }

    /// Entries with larger payloads are refused, determinately.
    pub(crate) fn refuse_payloads_above(&self, bytes: usize) {
        *self.largest_payload.lock() = bytes;
    }

    pub(crate) fn misbehave(&self, seed: u64, percent: u32) {
        *self.chaos.lock() = Some(Chaos {
            rng: StdRng::seed_from_u64(seed),
            percent,
        });
    }

    pub(crate) fn behave(&self) {
        *self.chaos.lock() = None;
    }

    async fn play<T>(&self, call: Call, happen: impl Future<Output = Result<T>>) -> Result<T> {
        let act = self
            .script
            .lock()
            .get_mut(&call)
            .and_then(VecDeque::pop_front);
        let (act, pause) = match act {
            Some(act) => (Some(act), 0),
            None => self.roll(),
        };
        for _ in 0..pause {
            tokio::task::yield_now().await;
        }
        match act {
            None => happen.await,
            Some(Act::FailBefore) => Err(lost()),
            Some(Act::FailAfter) => {
                happen.await?;
                Err(lost())
            }
            Some(Act::HoldThenFail(gate)) => {
                gate.pass().await;
                Err(lost())
            }
            Some(Act::HoldBefore(gate)) => {
                gate.pass().await;
                happen.await
            }
            Some(Act::HoldAfter(gate)) => {
                let result = happen.await;
                gate.pass().await;
                result
            }
        }
    }

    fn roll(&self) -> (Option<Act>, u32) {
        let mut chaos = self.chaos.lock();
        let Some(Chaos { rng, percent }) = &mut *chaos else {
            return (None, 0);
        };
        let pause = rng.random_range(0..20);
        let act = match rng.random_range(0..100) {
            dice if dice < *percent => Some(Act::FailBefore),
            dice if dice < *percent * 2 => Some(Act::FailAfter),
            _ => None,
        };
        (act, pause)
    }
}

fn lost() -> Error {
    Error::new("asking the staged journal", ErrorKind::Unreachable)
}

#[async_trait]
impl Journal for StagedJournal {
    fn log_id(&self) -> LogId {
        self.inner.log_id()
    }

    fn backend(&self) -> &'static str {
        "staged"
    }

    async fn entry_append(&self, entry: &Entry) -> Result<Appended> {
        if entry.payload.len() > *self.largest_payload.lock() {
            return Err(Error::new("appending", ErrorKind::TooLarge).determinate());
        }
        self.play(Call::Append, self.inner.entry_append(entry))
            .await
    }

    async fn head_read(&self, applied: Slot) -> Result<Head> {
        self.play(Call::Head, self.inner.head_read(applied)).await
    }

    async fn entry_read(&self, slot: Slot) -> Result<Option<Entry>> {
        self.inner.entry_read(slot).await
    }

    async fn entry_list(
        &self,
        after: Slot,
        max_entries: usize,
        max_bytes: usize,
    ) -> Result<Listed> {
        self.play(
            Call::List,
            self.inner.entry_list(after, max_entries, max_bytes),
        )
        .await
    }

    async fn entry_count(&self) -> Result<u64> {
        self.inner.entry_count().await
    }

    async fn entry_trim(&self, below: Slot, limit: usize) -> Result<u64> {
        self.inner.entry_trim(below, limit).await
    }

    async fn checkpoint_read(&self) -> Result<Option<CheckpointMeta>> {
        self.inner.checkpoint_read().await
    }

    async fn checkpoint_claim(&self, expected: Slot, claim: ClaimId) -> Result<Claimed> {
        self.inner.checkpoint_claim(expected, claim).await
    }

    async fn checkpoint_chunk(
        &self,
        claim: ClaimId,
        upserts: Vec<KvRow>,
        deletes: Vec<Bytes>,
    ) -> Result<Chunked> {
        self.play(
            Call::Chunk,
            self.inner.checkpoint_chunk(claim, upserts, deletes),
        )
        .await
    }

    async fn checkpoint_advance(&self, claim: ClaimId, meta: CheckpointMeta) -> Result<Advanced> {
        self.inner.checkpoint_advance(claim, meta).await
    }

    async fn kv_list(&self, at: Slot, after: Option<Bytes>, limit: usize) -> Result<KvPage> {
        self.inner.kv_list(at, after, limit).await
    }

    async fn identity_read(&self) -> Result<DatabaseIdentity> {
        self.inner.identity_read().await
    }

    async fn log_meta(&self) -> Result<LogMeta> {
        self.inner.log_meta().await
    }

    async fn size_read(&self) -> Result<StoreSize> {
        self.inner.size_read().await
    }

    async fn member_upsert(&self, member: &Member) -> Result<()> {
        self.play(Call::Member, self.inner.member_upsert(member))
            .await
    }

    async fn member_list(&self) -> Result<Vec<Member>> {
        self.inner.member_list().await
    }

    async fn member_delete(&self, id: WriterId) -> Result<()> {
        self.inner.member_delete(id).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
