//! The journal in memory: for tests, and for the layers above to be tested against.
//!
//! A [`MemoryDatabase`] stands for a database server. Handles from [`MemoryDatabase::journal`]
//! share it, so that several instances in one process can race on one journal. The same laws hold
//! as for the other backends; each call is atomic under one lock that is never held across an
//! await. The database can go back in time on request, which a test of the layer above needs and no
//! real database does at will.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeBounds;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use rand::RngCore as _;

use crate::{
    Advanced, Appended, CheckpointMeta, Chunked, ClaimId, Claimed, DatabaseIdentity, Entry, Error,
    ErrorKind, Head, Inserted, Journal, KvPage, KvRow, Listed, LogId, LogMeta, Member, Result,
    Slot, StoreSize, WriterId,
};

/// What stands for a database server: shared by the journals opened on it.
#[derive(Debug, Clone, Default)]
pub struct MemoryDatabase {
    server: Arc<Mutex<Server>>,
}

/// The whole content of a [`MemoryDatabase`] at one instant.
#[derive(Debug, Clone)]
pub struct MemorySnapshot(Server);

#[derive(Debug, Clone)]
struct Server {
    system: String,
    timeline: i64,
    logs: HashMap<LogId, Log>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            system: format!("memory-{:016x}", rand::rng().next_u64()),
            timeline: 1,
            logs: HashMap::new(),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Log {
    meta: Option<LogMeta>,
    entries: BTreeMap<Slot, Entry>,
    checkpoint: Option<CheckpointMeta>,
    claim: Option<ClaimId>,
    kv: BTreeMap<Bytes, KvRow>,
    /// What the current claim's chunks have overwritten; `None`: there was no such key.
    before: BTreeMap<Bytes, Option<KvRow>>,
    members: BTreeMap<WriterId, Member>,
}

impl Log {
    fn floor(&self) -> Slot {
        self.checkpoint
            .as_ref()
            .map_or(Slot::ZERO, |meta| meta.slot)
    }

    fn write(&mut self, key: Bytes, row: Option<KvRow>) {
        let old = match row {
            Some(row) => self.kv.insert(key.clone(), row),
            None => self.kv.remove(&key),
        };
        self.before.entry(key).or_insert(old);
    }

    fn undo(&mut self) {
        for (key, row) in std::mem::take(&mut self.before) {
            match row {
                Some(row) => self.kv.insert(key, row),
                None => self.kv.remove(&key),
            };
        }
    }
}

impl MemoryDatabase {
    /// An empty database with a random identity.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens one of its journals; creates it if missing.
    #[must_use]
    pub fn journal(&self, log_id: LogId) -> MemoryJournal {
        self.server.lock().logs.entry(log_id).or_default();
        MemoryJournal {
            server: Arc::clone(&self.server),
            log_id,
            closed: AtomicBool::new(false),
        }
    }

    /// A copy of everything, for [`MemoryDatabase::restore`].
    #[must_use]
    pub fn snapshot(&self) -> MemorySnapshot {
        MemorySnapshot(self.server.lock().clone())
    }

    /// Goes back to a snapshot, as a restore from a backup or a failover to a lagging standby does.
    /// The timeline grows, as PostgreSQL's does on promotion.
    pub fn restore(&self, snapshot: MemorySnapshot) {
        let mut server = self.server.lock();
        let timeline = server.timeline + 1;
        *server = snapshot.0;
        server.timeline = timeline;
    }

    /// Loses the entries in some slots while everything else stays: what the journal's own calls
    /// never do. Returns how many were lost.
    pub fn lose_entries(&self, log_id: LogId, slots: impl RangeBounds<Slot>) -> usize {
        let mut server = self.server.lock();
        let log = server.logs.entry(log_id).or_default();
        let before = log.entries.len();
        log.entries.retain(|slot, _| !slots.contains(slot));
        before - log.entries.len()
    }

    /// Loses every entry above `slot` while everything else stays, as an asynchronous failover may.
    /// Returns how many were lost; `None`, and nothing happens, if the checkpoint is above `slot`.
    pub fn lose_tail(&self, log_id: LogId, slot: Slot) -> Option<usize> {
        let mut server = self.server.lock();
        let log = server.logs.entry(log_id).or_default();
        if log.floor() > slot {
            return None;
        }
        let lost = log.entries.split_off(&slot.next()).len();
        server.timeline += 1;
        Some(lost)
    }
}

/// A handle on one journal of a [`MemoryDatabase`].
#[derive(Debug)]
pub struct MemoryJournal {
    server: Arc<Mutex<Server>>,
    log_id: LogId,
    closed: AtomicBool,
}

impl MemoryJournal {
    fn with<T>(&self, action: &'static str, work: impl FnOnce(&mut Log) -> T) -> Result<T> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(action, ErrorKind::Closed).determinate());
        }
        let mut server = self.server.lock();
        Ok(work(server.logs.entry(self.log_id).or_default()))
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    fn log_id(&self) -> LogId {
        self.log_id
    }

    fn backend(&self) -> &'static str {
        "memory"
    }

    async fn entry_append(&self, entry: &Entry) -> Result<Appended> {
        self.with("appending an entry", |log| {
            if entry.is_first_after_something() {
                return Appended::Diverged { found: None };
            }
            let before = log.entries.get(&Slot(entry.slot.0 - 1)).map(|row| row.id);
            let inserted = if log.entries.contains_key(&entry.slot) {
                Inserted::Duplicate
            } else {
                Inserted::Row
            };
            let appended = entry.appended(inserted, log.floor(), before);
            if appended == Appended::Committed {
                log.entries.insert(entry.slot, entry.clone());
            }
            appended
        })
    }

    async fn head_read(&self, applied: Slot) -> Result<Head> {
        self.with("reading the head", |log| {
            let floor = log.floor();
            let at = log.entries.get(&applied).filter(|_| applied >= floor);
            Head {
                newest: log
                    .entries
                    .last_key_value()
                    .map(|(slot, entry)| (*slot, entry.id)),
                at_applied: at.map(|entry| entry.id),
                floor,
            }
        })
    }

    async fn entry_read(&self, slot: Slot) -> Result<Option<Entry>> {
        self.with("reading an entry", |log| {
            log.entries
                .get(&slot)
                .filter(|_| slot >= log.floor())
                .cloned()
        })
    }

    async fn entry_list(
        &self,
        after: Slot,
        max_entries: usize,
        max_bytes: usize,
    ) -> Result<Listed> {
        self.with("listing entries", |log| {
            let floor = log.floor();
            if after < floor {
                return Listed::BelowFloor { floor };
            }
            let mut expected = after.next();
            let mut bytes = 0;
            let mut entries = Vec::new();
            for (slot, entry) in log.entries.range(expected..) {
                if *slot != expected || entries.len() >= max_entries.max(1) {
                    break;
                }
                if !entries.is_empty() && bytes >= max_bytes {
                    break;
                }
                bytes += entry.payload.len();
                expected = expected.next();
                entries.push(entry.clone());
            }
            Listed::Entries(entries)
        })
    }

    async fn entry_count(&self) -> Result<u64> {
        self.with("counting entries", |log| log.entries.len() as u64)
    }

    async fn entry_trim(&self, below: Slot, limit: usize) -> Result<u64> {
        self.with("trimming the journal", |log| {
            let below = below.min(log.floor());
            let slots: Vec<Slot> = log
                .entries
                .range(..below)
                .take(limit)
                .map(|(slot, _)| *slot)
                .collect();
            for slot in &slots {
                log.entries.remove(slot);
            }
            slots.len() as u64
        })
    }

    async fn checkpoint_read(&self) -> Result<Option<CheckpointMeta>> {
        self.with("reading the checkpoint", |log| log.checkpoint.clone())
    }

    async fn checkpoint_claim(&self, expected: Slot, claim: ClaimId) -> Result<Claimed> {
        self.with("claiming the checkpoint", |log| {
            if log.floor() != expected {
                return Claimed::Moved { slot: log.floor() };
            }
            log.claim = Some(claim);
            log.undo();
            Claimed::Won
        })
    }

    async fn checkpoint_chunk(
        &self,
        claim: ClaimId,
        upserts: Vec<KvRow>,
        deletes: Vec<Bytes>,
    ) -> Result<Chunked> {
        self.with("writing a checkpoint chunk", |log| {
            if log.claim != Some(claim) {
                return Chunked::ClaimLost;
            }
            for row in upserts {
                log.write(row.key.clone(), Some(row));
            }
            for key in deletes {
                log.write(key, None);
            }
            Chunked::Written
        })
    }

    async fn checkpoint_advance(&self, claim: ClaimId, meta: CheckpointMeta) -> Result<Advanced> {
        self.with("advancing the checkpoint", |log| {
            if log
                .checkpoint
                .as_ref()
                .is_some_and(|now| now.slot == meta.slot && now.id == meta.id)
            {
                return Advanced::Moved;
            }
            let in_journal = log
                .entries
                .get(&meta.slot)
                .is_some_and(|entry| entry.id == meta.id);
            if log.claim != Some(claim) || log.floor() >= meta.slot || !in_journal {
                return Advanced::ClaimLost;
            }
            log.claim = None;
            log.before.clear();
            log.checkpoint = Some(meta);
            Advanced::Moved
        })
    }

    async fn kv_list(&self, at: Slot, after: Option<Bytes>, limit: usize) -> Result<KvPage> {
        self.with("listing checkpoint rows", |log| {
            if log.floor() != at {
                return KvPage::Moved { slot: log.floor() };
            }
            // A test backend: the merged view is built anew for every page.
            let mut view: BTreeMap<&Bytes, &KvRow> = log.kv.iter().collect();
            for (key, row) in &log.before {
                match row {
                    Some(row) => view.insert(key, row),
                    None => view.remove(key),
                };
            }
            let limit = limit.max(1);
            let rows: Vec<KvRow> = view
                .into_iter()
                .filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after))
                .take(limit)
                .map(|(_, row)| row.clone())
                .collect();
            let next = (rows.len() == limit)
                .then(|| rows.last().map(|row| row.key.clone()))
                .flatten();
            KvPage::Rows { rows, next }
        })
    }

    async fn identity_read(&self) -> Result<DatabaseIdentity> {
        self.with("reading the database's identity", |_| ())?;
        let server = self.server.lock();
        Ok(DatabaseIdentity {
            system: server.system.clone(),
            timeline: server.timeline,
            in_recovery: false,
            version: "memory".to_owned(),
        })
    }

    async fn log_meta(&self) -> Result<LogMeta> {
        self.with("reading the log's identity", |log| {
            *log.meta.get_or_insert_with(|| LogMeta {
                cluster_id: rand::rng().next_u64().max(1),
            })
        })
    }

    async fn size_read(&self) -> Result<StoreSize> {
        self.with("reading the store's size", |log| {
            let entries: usize = log
                .entries
                .values()
                .map(|entry| entry.payload.len() + 96)
                .sum();
            let kv: usize = log
                .kv
                .values()
                .map(|row| row.key.len() + row.value.len() + 32)
                .sum();
            let total_bytes = (entries + kv) as u64;
            StoreSize {
                total_bytes,
                used_bytes: total_bytes,
            }
        })
    }

    async fn member_upsert(&self, member: &Member) -> Result<()> {
        self.with("writing a member", |log| {
            log.members.insert(member.id, member.clone());
        })
    }

    async fn member_list(&self) -> Result<Vec<Member>> {
        self.with("listing members", |log| {
            log.members.values().cloned().collect()
        })
    }

    async fn member_delete(&self, id: WriterId) -> Result<()> {
        self.with("removing a member", |log| {
            log.members.remove(&id);
        })
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}
