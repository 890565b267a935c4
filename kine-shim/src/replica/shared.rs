//! What the tasks of one replica share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use helium_journal::{Entry, EntryId, Epoch, Head, Journal, LogMeta, Slot, StoreSize, WriterId};
use helium_mvcc::{Applied, BatchBody, LeaseId, MemberId, Request, Response};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::core::{Core, Placement, Position, decode};
use super::epoch::Members;
use super::error::{Error, Halt, Result};
use super::identity::Known;
use super::metrics::Metrics;
use super::options::{Options, ReadBarrier};
use super::reload::Cause;
use super::sequencer::{Answer, Proposal, Work};
use super::status::Phase;
use super::watch::Streams;

/// Committed entries that a slow peer may lag behind before it is skipped ahead.
const COMMITS_KEPT: usize = 1024;

/// What is known of the journal beside what is applied.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// The newest slot that a head query has shown.
    pub newest: Slot,
    /// When the last successful head query ended.
    pub seen_at: Option<Duration>,
    /// Since when an append waits for its outcome.
    pub undecided_since: Option<Duration>,
}

/// Whether the chain has been looked at since a call to the journal failed.
///
/// After a failure another primary may answer: with the next head query it is asked who it is.
#[derive(Debug, Default)]
pub(super) struct Trust {
    faults: AtomicU64,
    confirmed: AtomicU64,
}

impl Trust {
    /// A call failed.
    pub(super) fn fault(&self) {
        self.faults.fetch_add(1, Ordering::AcqRel);
    }

    /// What to [`Trust::confirm`] if the head query that begins now succeeds.
    pub(super) fn begin(&self) -> u64 {
        self.faults.load(Ordering::Acquire)
    }

    /// A head query that began at `begun` has found the chain unbroken.
    pub(super) fn confirm(&self, begun: u64) {
        self.confirmed.fetch_max(begun, Ordering::AcqRel);
    }

    /// Whether a call has failed since the chain was last looked at.
    pub(super) fn is_lost(&self) -> bool {
        self.confirmed.load(Ordering::Acquire) < self.faults.load(Ordering::Acquire)
    }
}

/// How an entry reached this instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    /// It is ours, and the journal said `Committed`.
    Append,
    /// Read from the journal.
    Journal,
    /// Pushed by another instance.
    Peer,
}

/// Everything that more than one task needs. Lock order: `core`, then the watch hub; the small
/// locks are leaves.
#[derive(Debug)]
pub(super) struct Shared {
    pub journal: Arc<dyn Journal>,
    pub options: Options,
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    pub cluster_id: u64,
    pub member_id: WriterId,
    pub core: RwLock<Core>,
    pub streams: Streams,
    pub sight: Mutex<Sight>,
    pub size: Mutex<StoreSize>,
    pub members: Mutex<Members>,
    pub commits: broadcast::Sender<Arc<Entry>>,
    pub cancel: CancellationToken,
    pub trust: Trust,
    /// The database as it was last seen.
    pub database: Mutex<Option<Known>>,
    /// It is time to look at which database answers.
    pub identity_due: AtomicBool,
    /// Readers that wait for the next head query to begin; `None` once nobody will send one.
    pub waiting: Mutex<Option<Vec<oneshot::Sender<Result<()>>>>>,
    /// Somebody knows that there are entries to fetch.
    pub behind: AtomicBool,
    /// The slot of an append did not exist, or not behind what was applied in that generation: load
    /// again.
    pub displaced: Mutex<Option<(u64, Cause)>>,
    pub follower: Notify,
    pub compaction: Notify,
    pub compacted: watch::Sender<bool>,
    /// Who owns the epoch in the state that is served.
    owner: watch::Sender<MemberId>,
    /// The phase, and how often the state was reloaded.
    phase: watch::Sender<(Phase, u64)>,
    queue: mpsc::Sender<Proposal>,
}

impl Shared {
    pub(super) fn new(
        journal: Arc<dyn Journal>,
        meta: LogMeta,
        options: Options,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> (Arc<Self>, mpsc::Receiver<Proposal>) {
        let (queue, receiver) = mpsc::channel(options.queue_requests.max(1));
        let member_id = WriterId::random();
        let shared = Self {
            journal,
            clock,
            metrics,
            cluster_id: meta.cluster_id,
            member_id,
            core: RwLock::new(Core::new()),
            streams: Streams::new(),
            sight: Mutex::new(Sight::default()),
            size: Mutex::new(StoreSize::default()),
            members: Mutex::new(Members::new(member_id, &options)),
            commits: broadcast::Sender::new(COMMITS_KEPT),
            cancel: CancellationToken::new(),
            trust: Trust::default(),
            database: Mutex::new(None),
            identity_due: AtomicBool::new(false),
            waiting: Mutex::new(Some(Vec::new())),
            behind: AtomicBool::new(false),
            displaced: Mutex::new(None),
            follower: Notify::new(),
            compaction: Notify::new(),
            compacted: watch::Sender::new(true),
            owner: watch::Sender::new(MemberId::default()),
            phase: watch::Sender::new((Phase::Starting, 0)),
            queue,
            options,
        };
        (Arc::new(shared), receiver)
    }

    pub(super) fn member(&self) -> MemberId {
        MemberId(self.member_id.0)
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.borrow().0
    }

    /// A head query that began when [`Trust::begin`] gave `begun` has found the chain unbroken.
    pub(super) fn head_confirmed(&self, begun: u64, head: &Head) {
        self.trust.confirm(begun);
        let mut sight = self.sight.lock();
        sight.newest = head.newest.map_or(Slot::ZERO, |(slot, _)| slot);
        sight.seen_at = Some(self.clock.now());
    }

    pub(super) fn halted(&self) -> Option<Arc<Halt>> {
        self.core.read().halt_reason()
    }

    pub(super) fn position(&self) -> Position {
        self.core.read().position()
    }

    /// Tells whoever waits for a phase. Called after the core's phase has changed.
    pub(super) fn phase_changed(&self) {
        let core = self.core.read();
        self.phase.send_replace((core.phase(), core.generation()));
    }

    pub(super) async fn wait_ready(&self) -> Result<()> {
        self.wait_phase(0).await
    }

    /// Waits until a state newer than `generation` is served, or none will be.
    pub(super) async fn wait_reloaded(&self, generation: u64) -> Result<()> {
        self.wait_phase(generation.saturating_add(1)).await
    }

    async fn wait_phase(&self, least_generation: u64) -> Result<()> {
        let mut phases = self.phase.subscribe();
        let settled = phases.wait_for(|(phase, generation)| match phase {
            Phase::Starting | Phase::Recovering => false,
            Phase::Serving => *generation >= least_generation,
            Phase::Halted | Phase::Stopped => true,
        });
        settled.await.map_err(|_| Error::Stopped)?;
        self.core.read().serving()
    }

    /// Tells whoever waits for an owner. The caller holds the core.
    pub(super) fn owner_seen(&self, core: &Core) {
        let owner = core.state().owner();
        self.owner
            .send_if_modified(|seen| std::mem::replace(seen, owner) != owner);
    }

    /// Waits until the log has an owner.
    pub(super) async fn wait_owned(&self) {
        let mut owners = self.owner.subscribe();
        // The sender lives as long as this.
        drop(owners.wait_for(|owner| *owner != MemberId::default()).await);
    }

    /// The entry that puts a body behind a position.
    pub(super) fn entry(&self, position: Position, epoch: Epoch, body: &BatchBody) -> Entry {
        Entry {
            slot: position.slot.next(),
            id: EntryId::random(),
            prev: position.id,
            writer: self.member_id,
            epoch,
            at_micros: self.clock.wall_micros(),
            first_rev: body.first_revision().0,
            last_rev: body.last_revision().0,
            enc: helium_mvcc::ENCODING,
            payload: body.encode(),
        }
    }

    /// Queues work for the sequencer.
    pub(super) fn enqueue(&self, work: Work, answer: Answer) -> Result<()> {
        let proposal = Proposal::new(work, answer, self.clock.now());
        self.queue
            .try_send(proposal)
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => Error::TooManyRequests,
                mpsc::error::TrySendError::Closed(_) => Error::Stopped,
            })
    }

    pub(super) async fn propose(&self, request: Request) -> Result<Response> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Work::Request(request), Answer::Response(answer))?;
        answered.await.unwrap_or(Err(Error::Stopped))
    }

    pub(super) async fn read_barrier(&self) -> Result<()> {
        match self.options.read_barrier {
            ReadBarrier::Query => self.head_barrier().await,
            ReadBarrier::Append => {
                let (answer, answered) = oneshot::channel();
                self.enqueue(Work::Barrier, Answer::Barrier(answer))?;
                answered.await.unwrap_or(Err(Error::Stopped))
            }
        }
    }

    /// Waits for a head query that begins after this call, and for everything it shows to be
    /// applied (I6).
    pub(super) async fn head_barrier(&self) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        self.core.read().serving()?;
        self.waiting
            .lock()
            .as_mut()
            .ok_or(Error::Stopped)?
            .push(answer);
        self.metrics.barriers.inc();
        self.follower.notify_one();
        answered.await.unwrap_or(Err(Error::Stopped))
    }

    /// As [`Shared::head_barrier`], by somebody who knows that there are entries to fetch.
    pub(super) async fn catch_up(&self) -> Result<()> {
        self.behind.store(true, Ordering::Release);
        self.head_barrier().await
    }

    /// Applies an entry if it is the next one. The only way into the state while serving (I3).
    pub(super) fn apply(
        &self,
        entry: &Entry,
        body: &BatchBody,
        via: Via,
    ) -> Result<Placement, Arc<Halt>> {
        let now = self.clock.now();
        let mut core = self.core.write();
        if core.serving().is_err() {
            return Ok(Placement::Ahead);
        }
        let placement = core.place(entry);
        if placement != Placement::Next {
            return Ok(placement);
        }
        let applied = match core.apply(entry, body, now) {
            Ok(applied) => applied,
            Err(source) => {
                drop(core);
                let slot = entry.slot.0;
                return Err(self.halt(Halt::Sequence { slot, source }));
            }
        };
        self.streams.advance(core.state());
        self.owner_seen(&core);
        drop(core);
        self.count(entry, &applied, via);
        Ok(Placement::Next)
    }

    fn count(&self, entry: &Entry, applied: &Applied, via: Via) {
        self.metrics.applied_slot.set(entry.slot.0);
        match via {
            Via::Append => {}
            Via::Journal => {
                self.metrics.entries_followed.inc();
            }
            Via::Peer => {
                self.metrics.entries_followed.inc();
                self.metrics.entries_pushed.inc();
            }
        }
        if applied.compacted.is_some() {
            self.compacted.send_replace(false);
            self.compaction.notify_one();
        }
    }

    /// Decodes and applies an entry of somebody else.
    pub(super) fn apply_foreign(&self, entry: &Entry, via: Via) -> Result<Placement, Arc<Halt>> {
        let placement = self.core.read().place(entry);
        if placement != Placement::Next {
            return Ok(placement);
        }
        let body = decode(entry).map_err(|halt| self.halt(halt))?;
        self.apply(entry, &body, via)
    }

    /// Stops serving for good.
    pub(super) fn halt(&self, halt: Halt) -> Arc<Halt> {
        let halt = Arc::new(halt);
        tracing::error!(
            error = helium_journal::chain(&*halt),
            "journal can't be read, no requests are served any more"
        );
        self.core.write().halt(Arc::clone(&halt));
        self.streams.end_all();
        self.phase_changed();
        halt
    }

    pub(super) async fn compaction_finished(&self) -> Result<()> {
        let mut compacted = self.compacted.subscribe();
        tokio::select! {
            done = compacted.wait_for(|done| *done) => done.map(|_| ()).map_err(|_| Error::Stopped),
            () = self.cancel.cancelled() => Err(Error::Stopped),
        }
    }

    pub(super) fn is_expirable(&self, core: &Core, id: LeaseId) -> bool {
        core.owned_epoch(self.member()).is_some() && core.lease_is_due(self.clock.now(), id)
    }

    pub(super) fn stop(&self) {
        self.cancel.cancel();
        self.core.write().stop();
        self.streams.end_all();
        self.phase_changed();
        self.waiting.lock().take();
    }
}

/// An epoch as the journal writes it.
pub(super) fn journal_epoch(epoch: helium_mvcc::Epoch) -> Epoch {
    Epoch(i64::try_from(epoch.0).unwrap_or(i64::MAX))
}
