//! The journal in a SQLite file.
//!
//! WAL mode with `synchronous=FULL`, always: an acknowledged entry survives a power cut, which
//! `NORMAL` would not promise. Three connections, each with the thread that sqlx gives it: one
//! writes, one answers head queries, one scans, so that a head query never waits for an fsync or
//! for a listing. One writer per process: SQLite admits one at a time, and its busy handler sleeps,
//! while our queue wakes at once. Several processes on one machine may share the file.
//!
//! An append is one command to the writer's thread: the insert, which commits by itself, and the
//! floor query behind it (J2).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::observer::observed;
use crate::{
    Advanced, Appended, CheckpointMeta, Chunked, ClaimId, Claimed, DatabaseIdentity, Entry, Head,
    Journal, KvPage, KvRow, Listed, LogId, LogMeta, Member, Options, Result, Slot,
    StatementObserver, StoreSize, WriterId,
};

mod checkpoint;
mod connection;
mod entries;
mod errors;
mod facts;
#[cfg(test)]
mod golden;
mod parameters;
mod schema;

use connection::Connection;
pub use parameters::SqliteParameters;

/// A journal in a SQLite file.
#[derive(Debug)]
pub struct SqliteJournal {
    log_id: LogId,
    path: PathBuf,
    writer: Connection,
    head: Connection,
    scan: Connection,
    observer: Arc<dyn StatementObserver>,
}

impl SqliteJournal {
    /// Opens the file, creating it and its folder if missing, and brings its schema up to date.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Locked`] when another process keeps the file locked for longer than the
    /// busy timeout, [`crate::ErrorKind::Corrupt`] when it is not a SQLite database,
    /// [`crate::ErrorKind::SchemaTooNew`], [`crate::ErrorKind::Endpoint`] when it can't be created.
    pub async fn open(parameters: &SqliteParameters, options: &Options) -> Result<Self> {
        connection::folder_create(&parameters.path)?;
        let writer = Connection::new(parameters, "journal-write");
        schema::migrate(&writer).await?;
        Ok(Self {
            log_id: options.log_id,
            path: parameters.path.clone(),
            writer,
            head: Connection::new(parameters, "journal-head"),
            scan: Connection::new(parameters, "journal-scan"),
            observer: Arc::clone(&options.observer),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn observed<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        observed(&*self.observer, name, call).await
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    fn log_id(&self) -> LogId {
        self.log_id
    }

    fn backend(&self) -> &'static str {
        "sqlite"
    }

    async fn entry_append(&self, entry: &Entry) -> Result<Appended> {
        let call = entries::append(&self.writer, self.log_id, entry);
        self.observed("entry_append", call).await
    }

    async fn head_read(&self, applied: Slot) -> Result<Head> {
        self.observed("head_read", entries::head(&self.head, self.log_id, applied))
            .await
    }

    async fn entry_read(&self, slot: Slot) -> Result<Option<Entry>> {
        self.observed("entry_read", entries::read(&self.scan, self.log_id, slot))
            .await
    }

    async fn entry_list(
        &self,
        after: Slot,
        max_entries: usize,
        max_bytes: usize,
    ) -> Result<Listed> {
        let call = entries::list(&self.scan, self.log_id, after, max_entries, max_bytes);
        self.observed("entry_list", call).await
    }

    async fn entry_count(&self) -> Result<u64> {
        self.observed("entry_count", entries::count(&self.scan, self.log_id))
            .await
    }

    async fn entry_trim(&self, below: Slot, limit: usize) -> Result<u64> {
        let call = entries::trim(&self.writer, self.log_id, below, limit);
        self.observed("entry_trim", call).await
    }

    async fn checkpoint_read(&self) -> Result<Option<CheckpointMeta>> {
        self.observed("checkpoint_read", checkpoint::read(&self.scan, self.log_id))
            .await
    }

    async fn checkpoint_claim(&self, expected: Slot, claim: ClaimId) -> Result<Claimed> {
        let call = checkpoint::claim(&self.writer, self.log_id, expected, claim);
        self.observed("checkpoint_claim", call).await
    }

    async fn checkpoint_chunk(
        &self,
        claim: ClaimId,
        upserts: Vec<KvRow>,
        deletes: Vec<Bytes>,
    ) -> Result<Chunked> {
        let call = checkpoint::chunk(&self.writer, self.log_id, claim, upserts, deletes);
        self.observed("checkpoint_chunk", call).await
    }

    async fn checkpoint_advance(&self, claim: ClaimId, meta: CheckpointMeta) -> Result<Advanced> {
        let call = checkpoint::advance(&self.writer, self.log_id, claim, meta);
        self.observed("checkpoint_advance", call).await
    }

    async fn kv_list(&self, at: Slot, after: Option<Bytes>, limit: usize) -> Result<KvPage> {
        let call = checkpoint::kv_list(&self.scan, self.log_id, at, after, limit);
        self.observed("kv_list", call).await
    }

    async fn identity_read(&self) -> Result<DatabaseIdentity> {
        self.observed("identity_read", facts::identity(&self.scan))
            .await
    }

    async fn log_meta(&self) -> Result<LogMeta> {
        self.observed("log_meta", facts::log_meta(&self.writer, self.log_id))
            .await
    }

    async fn size_read(&self) -> Result<StoreSize> {
        self.observed("size_read", facts::size(&self.scan)).await
    }

    async fn member_upsert(&self, member: &Member) -> Result<()> {
        let call = facts::member_upsert(&self.writer, self.log_id, member);
        self.observed("member_upsert", call).await
    }

    async fn member_list(&self) -> Result<Vec<Member>> {
        self.observed("member_list", facts::member_list(&self.scan, self.log_id))
            .await
    }

    async fn member_delete(&self, id: WriterId) -> Result<()> {
        let call = facts::member_delete(&self.writer, self.log_id, id);
        self.observed("member_delete", call).await
    }

    async fn close(&self) {
        // The writer goes last, so that it is the one that folds the write-ahead log back.
        self.head.close().await;
        self.scan.close().await;
        self.writer.close().await;
    }
}
