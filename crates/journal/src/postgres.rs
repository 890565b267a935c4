//! The journal in PostgreSQL, and in what speaks its language: YugabyteDB above all.
//!
//! Three kinds of connection, all to the primary: one for appends, one for head queries, and a small
//! pool for the rest. An append is one round trip: the insert, which looks for the entry that it
//! follows and commits by itself (J8), and the floor query pipelined behind it (J2). On YugabyteDB
//! the insert looks for nothing, because only then does it take a single quorum round: there the
//! query behind it tells whether the entry may be acknowledged. Nothing on the append connection is ever cancelled or timed
//! out by the server, because its outcome would be unknown; a dead peer is noticed by TCP.
//!
//! What is asked of the database: a linearizable conditional insert of one row, a durable
//! acknowledgement, and a linearizable read at the primary. No isolation level beyond read
//! committed, no sequence, no advisory lock, no notification, no secondary index. A server that is
//! in recovery or read-only is left, and the other hosts of the URL are tried.
//!
//! A primary with synchronous standbys may commit locally, lose the wait for the standby, and show
//! the row all the same. This handle then makes a further commit that waits for the standbys before
//! it lets a retry find the row (see `entries::Unsettled`); what *other* sessions read in between is
//! the database's own anomaly.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;

use crate::observer::observed;
use crate::{
    Advanced, Appended, CheckpointMeta, Chunked, ClaimId, Claimed, DatabaseIdentity, Entry,
    ErrorKind, Head, Journal, KvPage, KvRow, Listed, LogId, LogMeta, Member, Options, Result, Slot,
    StatementObserver, StoreSize, WriterId,
};

mod checkpoint;
mod connect;
mod entries;
mod errors;
mod facts;
#[cfg(test)]
mod golden;
mod link;
mod parameters;
mod place;
mod pool;
pub mod roles;
mod schema;
mod tls;
#[cfg(test)]
mod yugabyte;

use connect::Connector;
use entries::Unsettled;
use link::Link;
pub use parameters::{PostgresParameters, Verify};
use pool::Pool;

/// A journal in a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresJournal {
    log_id: LogId,
    connector: Connector,
    append: Link,
    head: Link,
    pool: Pool,
    unsettled: Unsettled,
    observer: Arc<dyn StatementObserver>,
}

impl PostgresJournal {
    /// Connects to the primary, creating the database and its tables where they are missing.
    ///
    /// # Errors
    /// After `options.start_patience`: [`ErrorKind::Unreachable`], or [`ErrorKind::ReadOnly`] when
    /// no host is a primary. At once: [`ErrorKind::Denied`], [`ErrorKind::DatabaseMissing`] when the
    /// role may not create it, [`ErrorKind::SchemaTooNew`], [`ErrorKind::Endpoint`].
    pub async fn open(parameters: &PostgresParameters, options: &Options) -> Result<Self> {
        let connector = Connector::new(parameters, options.connect_timeout)?;
        let journal = Self {
            log_id: options.log_id,
            append: Link::new(connector.clone(), entries::append_statements),
            head: Link::new(connector.clone(), entries::head_statements),
            pool: Pool::new(&connector, options.pool_size, options.connect_timeout)?,
            connector,
            unsettled: Unsettled::default(),
            observer: Arc::clone(&options.observer),
        };
        match journal
            .prepare(parameters.database(), options.start_patience)
            .await
        {
            Ok(()) => Ok(journal),
            Err(error) => {
                journal.close().await;
                Err(error)
            }
        }
    }

    /// Everything that a first append needs, again and again while the database may yet come.
    async fn prepare(&self, database: &str, patience: Duration) -> Result<()> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(100);
        loop {
            let error = match self.prepare_once(database).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let passing = matches!(
                error.kind(),
                ErrorKind::Unreachable | ErrorKind::ReadOnly | ErrorKind::Conflict
            );
            if !passing || begun.elapsed() + pause > patience {
                return Err(error);
            }
            tracing::warn!(
                error = crate::chain(&error),
                "the database is not ready, trying again"
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    async fn prepare_once(&self, database: &str) -> Result<()> {
        let opened = schema::database_ensure(&self.connector, database).await?;
        schema::migrate(&opened).await?;
        drop(opened);
        // The row that settling an append updates.
        facts::log_meta(&self.pool, self.log_id).await?;
        self.append.session().await?;
        self.head.session().await.map(drop)
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
impl Journal for PostgresJournal {
    fn log_id(&self) -> LogId {
        self.log_id
    }

    fn backend(&self) -> &'static str {
        "postgres"
    }

    async fn entry_append(&self, entry: &Entry) -> Result<Appended> {
        let call = entries::append(&self.append, &self.unsettled, self.log_id, entry);
        self.observed("entry_append", call).await
    }

    async fn head_read(&self, applied: Slot) -> Result<Head> {
        self.observed("head_read", entries::head(&self.head, self.log_id, applied))
            .await
    }

    async fn entry_read(&self, slot: Slot) -> Result<Option<Entry>> {
        self.observed("entry_read", entries::read(&self.pool, self.log_id, slot))
            .await
    }

    async fn entry_list(
        &self,
        after: Slot,
        max_entries: usize,
        max_bytes: usize,
    ) -> Result<Listed> {
        let call = entries::list(&self.pool, self.log_id, after, max_entries, max_bytes);
        self.observed("entry_list", call).await
    }

    async fn entry_count(&self) -> Result<u64> {
        self.observed("entry_count", entries::count(&self.pool, self.log_id))
            .await
    }

    async fn entry_trim(&self, below: Slot, limit: usize) -> Result<u64> {
        let call = entries::trim(&self.pool, self.log_id, below, limit);
        self.observed("entry_trim", call).await
    }

    async fn checkpoint_read(&self) -> Result<Option<CheckpointMeta>> {
        self.observed("checkpoint_read", checkpoint::read(&self.pool, self.log_id))
            .await
    }

    async fn checkpoint_claim(&self, expected: Slot, claim: ClaimId) -> Result<Claimed> {
        let call = checkpoint::claim(&self.pool, self.log_id, expected, claim);
        self.observed("checkpoint_claim", call).await
    }

    async fn checkpoint_chunk(
        &self,
        claim: ClaimId,
        upserts: Vec<KvRow>,
        deletes: Vec<Bytes>,
    ) -> Result<Chunked> {
        let call = checkpoint::chunk(&self.pool, self.log_id, claim, &upserts, &deletes);
        self.observed("checkpoint_chunk", call).await
    }

    async fn checkpoint_advance(&self, claim: ClaimId, meta: CheckpointMeta) -> Result<Advanced> {
        let call = checkpoint::advance(&self.pool, self.log_id, claim, &meta);
        self.observed("checkpoint_advance", call).await
    }

    async fn kv_list(&self, at: Slot, after: Option<Bytes>, limit: usize) -> Result<KvPage> {
        let call = checkpoint::kv_list(&self.pool, self.log_id, at, after, limit);
        self.observed("kv_list", call).await
    }

    async fn identity_read(&self) -> Result<DatabaseIdentity> {
        self.observed("identity_read", facts::identity(&self.pool))
            .await
    }

    async fn log_meta(&self) -> Result<LogMeta> {
        self.observed("log_meta", facts::log_meta(&self.pool, self.log_id))
            .await
    }

    async fn size_read(&self) -> Result<StoreSize> {
        self.observed("size_read", facts::size(&self.pool)).await
    }

    async fn member_upsert(&self, member: &Member) -> Result<()> {
        let call = facts::member_upsert(&self.pool, self.log_id, member);
        self.observed("member_upsert", call).await
    }

    async fn member_list(&self) -> Result<Vec<Member>> {
        self.observed("member_list", facts::member_list(&self.pool, self.log_id))
            .await
    }

    async fn member_delete(&self, id: WriterId) -> Result<()> {
        self.observed(
            "member_delete",
            facts::member_delete(&self.pool, self.log_id, id),
        )
        .await
    }

    async fn close(&self) {
        self.pool.close();
        self.connector.close().await;
    }
}
