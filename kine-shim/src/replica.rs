//! The replica runtime: between the journal in SQL and the state machine in memory.
//!
//! Every instance replays the journal into one [`State`](helium_mvcc::State), answers reads and
//! watches from it, and appends by inserting the next slot. Three tasks do the work, and no request
//! spawns one:
//!
//! - the *sequencer* ([`sequencer`]) takes queued requests, evaluates them in arrival order on one
//!   batch, inserts one entry, and answers all of them together;
//! - the *follower* ([`follower`]) sends head queries (one at a time, shared by everybody who waits),
//!   fetches what others wrote, notices when the database went back in time, and reloads;
//! - the *warden* ([`epoch`]) keeps the heartbeat, takes over epochs, and expires leases.
//!
//! Beside them run the checkpointer ([`checkpoint`]) and the links to other instances ([`peers`]).
//!
//! # Invariants
//!
//! - **I1 one row per slot.** An append is acknowledged only when the journal says `Committed`: its
//!   row is durable and the floor was below it afterwards. `BelowFloor` means that the slot does not
//!   exist: reload, and evaluate again unless an earlier try of the same entry was undecided.
//! - **I2 chain.** An entry is applied only if its `prev` is the id of the entry before it. Every head
//!   query compares the id stored at the applied slot with ours, and the journal takes an append only
//!   behind the id that it names. Any difference means that the database went back in time ([`reload`]). It is never skipped over, with one exception: a row
//!   that a freshly loaded chain proves to be an orphan of a lost tail holds no work.
//! - **I3 order.** Entries are applied strictly in slot order by one function, [`core`]'s `apply`,
//!   whether they come from our append, the poll, a peer or the start.
//! - **I4 prefix.** A batch is inserted in the slot right after the prefix it was evaluated on, and
//!   acknowledged after the durable insert. A lost slot throws the evaluation away.
//! - **I5 an answer without a write is a read.** It is given when its batch won a slot, or on a
//!   prefix that a head query begun after the request arrived has confirmed.
//! - **I6 reads.** A linearizable read joins the *next* head query, never the one in flight.
//! - **I7 epochs.** Only the owner of the newest epoch expires leases, judged by its own monotonic
//!   clock; a new epoch restarts every lease at its full TTL; a keep-alive is acknowledged after a
//!   head query begun after its arrival has confirmed the epoch.
//!
//! An append without a known outcome is *undecided*: the same entry is inserted again into the same
//! slot until the journal says what became of it. Its callers may time out meanwhile, and lose
//! nothing but the answer.
//!
//! What it will not do: buffer without bound (queues refuse, slow watchers read history), skip
//! entries it can't read (it halts and says why), judge anything by somebody else's clock, or
//! forward requests to the owner of the epoch.

mod backoff;
mod checkpoint;
mod clock;
mod compactor;
mod core;
mod epoch;
mod error;
mod follower;
mod identity;
mod keepalive;
mod metrics;
mod options;
mod peers;
mod reload;
mod sequencer;
mod shared;
mod status;
mod watch;

use std::sync::Arc;

use helium_journal::{Entry, Journal, WriterId};
use helium_mvcc::{LeaseId, Request, Response, State};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use clock::{Clock, SystemClock};
pub use error::{Error, Halt, Result};
pub use keepalive::KeepAlive;
pub use metrics::Metrics;
pub use options::{INCARNATION_TTL, LinkTls, Options, ReadBarrier};
pub use peers::PeerService;
pub use status::{Health, MemberView, Phase, Status, WatchCounts};
pub use watch::WatchStream;

use shared::Shared;

/// One instance's view of one log, and its way to write to it. Clones are handles of the same one.
#[derive(Debug, Clone)]
pub struct Replica {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

impl Replica {
    /// Starts a replica of the journal.
    ///
    /// Fails when the journal's identity can't be read. Returns before the state is loaded:
    /// requests are [`Error::Unavailable`] until [`Replica::wait_ready`] returns. A replica runs
    /// until [`Replica::stop`].
    pub async fn open(
        journal: Arc<dyn Journal>,
        options: Options,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Result<Self> {
        let meta = journal.log_meta().await?;
        let (shared, queue) = Shared::new(journal, meta, options, clock, metrics);
        let tasks = TaskTracker::new();
        tasks.spawn(follower::run(Arc::clone(&shared)));
        tasks.spawn(sequencer::run(Arc::clone(&shared), queue));
        tasks.spawn(epoch::run(Arc::clone(&shared)));
        tasks.spawn(compactor::run(Arc::clone(&shared)));
        tasks.spawn(checkpoint::run(Arc::clone(&shared)));
        if shared.options.peers {
            tasks.spawn(peers::run(Arc::clone(&shared)));
        }
        tasks.close();
        Ok(Self { shared, tasks })
    }

    /// Waits until the state is loaded and confirmed, or the replica has halted or stopped.
    pub async fn wait_ready(&self) -> Result<()> {
        self.shared.wait_ready().await
    }

    /// Waits until the log has an owner of its epoch, which clients of etcd take for its leader. A
    /// new log gets one within moments of its first instance's start, if that may own epochs.
    pub async fn wait_owned(&self) {
        self.shared.wait_owned().await;
    }

    /// Queues a request that may change the state, and waits for its answer.
    ///
    /// Dropping the future does not take the request back. [`Error::Refused`],
    /// [`Error::Determinate`] and [`Error::TooManyRequests`] say that nothing happened; any other
    /// error leaves that open.
    pub async fn propose(&self, request: Request) -> Result<Response> {
        self.shared.propose(request).await
    }

    /// Returns once everything that was acknowledged before the call, by any instance, is in this
    /// instance's memory: [`Replica::read`] afterwards is linearizable (I6).
    pub async fn read_barrier(&self) -> Result<()> {
        self.shared.read_barrier().await
    }

    /// Reads the state as it is in memory: one consistent point, possibly behind other instances.
    ///
    /// The closure runs under a lock that writers wait for: take what is needed and convert it
    /// outside.
    pub fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T> {
        let core = self.shared.core.read();
        core.serving()?;
        Ok(read(core.state()))
    }

    /// Restarts a lease's time to live, as a client's keep-alive asks.
    ///
    /// The owner of the epoch restarts it in memory after a head query has confirmed the epoch
    /// (I7); any other instance writes a renewal to the journal. A lease that is already past its
    /// deadline is not renewed: the answer waits for its revocation and says 0.
    pub async fn lease_keep_alive(&self, id: LeaseId) -> Result<KeepAlive> {
        keepalive::keep_alive(&self.shared, id).await
    }

    /// Whole seconds that a lease has left by this instance's clock (rounded down, at least 0);
    /// `None` if there is no such lease. Exact at the owner of the epoch; elsewhere a lower bound,
    /// because the owner does not journal its renewals.
    pub fn lease_remaining(&self, id: LeaseId) -> Result<Option<i64>> {
        let now = self.shared.clock.now();
        let core = self.shared.core.read();
        core.serving()?;
        Ok(core.lease_remaining(now, id))
    }

    /// Opens a watch stream; dropping it closes it.
    pub fn watch_stream(&self) -> Result<WatchStream> {
        WatchStream::open(&self.shared)
    }

    /// Waits until every compaction that has been answered is also carried out in memory, which
    /// clients ask for with `physical`.
    pub async fn compaction_finished(&self) -> Result<()> {
        self.shared.compaction_finished().await
    }

    /// Where this replica stands.
    #[must_use]
    pub fn status(&self) -> Status {
        status::status(&self.shared)
    }

    /// Whether it can serve, for health endpoints.
    #[must_use]
    pub fn health(&self) -> Health {
        status::health(&self.shared)
    }

    /// How much watching goes on.
    #[must_use]
    pub fn watch_counts(&self) -> WatchCounts {
        self.shared.streams.counts()
    }

    /// The instances of this log that are alive by this one's clock, this one included, by id.
    #[must_use]
    pub fn members(&self) -> Vec<MemberView> {
        self.shared.members.lock().alive(self.shared.clock.now())
    }

    /// This instance's random id, never zero: etcd's member id.
    #[must_use]
    pub fn member_id(&self) -> WriterId {
        self.shared.member_id
    }

    /// The log's random id, the same for all instances, never zero: etcd's cluster id.
    #[must_use]
    pub fn cluster_id(&self) -> u64 {
        self.shared.cluster_id
    }

    /// Takes an entry that another instance says is committed.
    ///
    /// In order: applied at once. A duplicate: ignored. Anything else makes the follower ask the
    /// database, which is the truth.
    pub fn offer(&self, entry: &Entry) {
        follower::offer(&self.shared, entry);
    }

    /// The entries that this instance commits from now on, in slot order. A slow receiver misses
    /// some, and is told so.
    #[must_use]
    pub fn committed(&self) -> broadcast::Receiver<Arc<Entry>> {
        self.shared.commits.subscribe()
    }

    /// How many receivers of [`Replica::committed`] there are, linked instances included.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.shared.commits.receiver_count()
    }

    /// The server half of the links between instances, to be mounted on the client port.
    #[must_use]
    pub fn peer_service(&self) -> PeerService {
        PeerService::new(Arc::clone(&self.shared))
    }

    /// Cancelled when the replica stops.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.shared.cancel.clone()
    }

    /// Stops all tasks and waits for them. Requests still queued are answered
    /// [`Error::Stopped`]; an append in flight is left to the database.
    pub async fn stop(&self) {
        self.shared.stop();
        self.tasks.wait().await;
    }
}
