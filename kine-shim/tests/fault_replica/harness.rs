//! Replicas on one database in memory, and short forms of requests.

use std::sync::Arc;
use std::time::Duration;

use helium_journal::memory::MemoryDatabase;
use helium_journal::{Entry, Journal, Listed, LogId, Slot};
use helium_mvcc::{
    CompactRequest, Compare, CompareResult, CompareTarget, KeyRange, LeaseGrantRequest, LeaseId,
    MemberId, PutRequest, RangeRequest, Request, Response, Revision, TxnOp, TxnRequest,
    TxnResponse,
};
use helium_testkit::wait_for;
use kine_shim::replica::{Metrics, Options, Phase, Replica, Result, SystemClock};

use super::staged::StagedJournal;

pub(crate) const LOG: LogId = LogId(0);
pub(crate) const BOUND: Duration = Duration::from_secs(20);
/// Longer than any test: a timer that must not help.
pub(crate) const NEVER: Duration = Duration::from_secs(1_000_000);

/// A database that several replicas share.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) database: MemoryDatabase,
}

/// A replica with the journal that it sees.
pub(crate) struct Instance {
    pub(crate) replica: Replica,
    pub(crate) journal: Arc<StagedJournal>,
}

impl World {
    pub(crate) fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(self.database.journal(LOG))
    }

    /// A replica that is ready, and polls.
    pub(crate) async fn start(&self, name: &str) -> Instance {
        self.start_with(options(name)).await
    }

    pub(crate) async fn start_with(&self, options: Options) -> Instance {
        let instance = self.open(options).await;
        instance
            .replica
            .wait_ready()
            .await
            .expect("the state loads");
        instance
    }

    /// A replica that may still be loading.
    pub(crate) async fn open(&self, options: Options) -> Instance {
        let journal = StagedJournal::new(self.journal());
        let replica = Replica::open(
            Arc::clone(&journal) as Arc<dyn Journal>,
            options,
            Arc::new(SystemClock::new()),
            Metrics::default(),
        )
        .await
        .expect("the journal has an identity");
        Instance { replica, journal }
    }

    /// Everything in the journal after a slot.
    pub(crate) async fn entries(&self, after: Slot) -> Vec<Entry> {
        match self
            .journal()
            .entry_list(after, usize::MAX, usize::MAX)
            .await
            .expect("memory")
        {
            Listed::Entries(entries) => entries,
            Listed::BelowFloor { floor } => panic!("slot {after} is below the floor {floor}"),
        }
    }
}

/// Quick timers, and no links.
pub(crate) fn options(name: &str) -> Options {
    Options {
        name: name.to_owned(),
        poll_min: Duration::from_millis(5),
        poll_max: Duration::from_millis(20),
        retry_min: Duration::from_millis(1),
        retry_max: Duration::from_millis(20),
        checkpoint_interval: Duration::from_millis(50),
        peers: false,
        ..Options::default()
    }
}

/// A replica that asks the database only when somebody waits for it, and never takes an epoch.
pub(crate) fn quiet(name: &str) -> Options {
    Options {
        poll_min: NEVER,
        poll_max: NEVER,
        may_own: false,
        ..options(name)
    }
}

impl Instance {
    pub(crate) async fn propose(&self, request: Request) -> Result<Response> {
        self.replica.propose(request).await
    }

    /// Puts a key and tells the revision.
    pub(crate) async fn put(&self, key: &str, value: &str) -> Revision {
        self.propose(put(key, value))
            .await
            .expect("a put is answered")
            .revision()
    }

    /// Creates a key; false if it exists.
    pub(crate) async fn create(&self, key: &str, value: &str) -> Result<bool> {
        Ok(txn(self.propose(create(key, value)).await?).succeeded)
    }

    pub(crate) async fn get(&self, key: &str) -> Option<(String, i64)> {
        self.replica
            .read_barrier()
            .await
            .expect("a barrier is answered");
        self.memory(key)
    }

    /// The value and version of a key in memory.
    pub(crate) fn memory(&self, key: &str) -> Option<(String, i64)> {
        let read = self.replica.read(|state| {
            state.get(key.as_bytes()).map(|kv| {
                (
                    String::from_utf8(kv.value.to_vec()).expect("text"),
                    kv.version,
                )
            })
        });
        read.expect("the state is served")
    }

    pub(crate) fn revision(&self) -> Revision {
        self.replica.status().revision
    }

    pub(crate) fn applied(&self) -> Slot {
        self.replica.status().applied
    }

    /// A hash of the keys, the revision and the epoch.
    pub(crate) fn digest(&self) -> (Revision, u32, u64, usize) {
        self.replica
            .read(|state| {
                let hash = state.hash_kv(state.revision()).expect("current");
                (
                    state.revision(),
                    hash.hash,
                    state.epoch().0,
                    state.leases().count(),
                )
            })
            .expect("the state is served")
    }

    pub(crate) async fn wait_applied(&self, slot: Slot) {
        wait_for(format!("slot {slot} applied"), BOUND, || {
            std::future::ready(self.applied() >= slot)
        })
        .await;
    }

    pub(crate) async fn wait_phase(&self, phase: Phase) {
        wait_for(format!("phase {phase:?}"), BOUND, || {
            std::future::ready(self.replica.status().phase == phase)
        })
        .await;
    }

    pub(crate) async fn wait_owner(&self, owner: &Self) {
        let id = MemberId(owner.replica.member_id().0);
        wait_for("a new owner of the epoch", BOUND, || {
            std::future::ready(self.replica.status().owner == id)
        })
        .await;
    }
}

pub(crate) fn put(key: &str, value: &str) -> Request {
    Request::Put(PutRequest::new(key.to_owned(), value.to_owned()))
}

pub(crate) fn compact(revision: Revision) -> Request {
    Request::Compact(CompactRequest { revision })
}

pub(crate) fn grant(id: i64, ttl: i64) -> Request {
    Request::LeaseGrant(LeaseGrantRequest {
        id: LeaseId(id),
        ttl,
    })
}

/// Put `value` if `key` was last changed at `revision` (zero: if it does not exist), else read it.
pub(crate) fn swap(key: &str, revision: Revision, value: &str) -> Request {
    let range = KeyRange::single(key.to_owned());
    Request::Txn(TxnRequest {
        compare: vec![Compare {
            range: range.clone(),
            target: CompareTarget::Mod(revision),
            result: CompareResult::Equal,
        }],
        success: vec![TxnOp::Put(PutRequest::new(
            key.to_owned(),
            value.to_owned(),
        ))],
        failure: vec![TxnOp::Range(RangeRequest::new(range))],
    })
}

pub(crate) fn create(key: &str, value: &str) -> Request {
    swap(key, Revision::UNSET, value)
}

pub(crate) fn txn(response: Response) -> TxnResponse {
    match response {
        Response::Txn(txn) => txn,
        other => panic!("not the answer to a transaction: {other:?}"),
    }
}
