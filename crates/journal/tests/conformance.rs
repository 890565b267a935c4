//! The suite of laws on every backend.

#![allow(
    clippy::unwrap_used,
    reason = "a test panics rather than return an error"
)]

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use helium_journal::conformance::{self, Database};
use helium_journal::memory::MemoryDatabase;
use helium_journal::{Journal, LogId, Options, Slot, TlsFiles, endpoint};
use helium_testkit::Postgres;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

struct Memory(MemoryDatabase);

#[async_trait]
impl Database for Memory {
    async fn open(&self, log_id: LogId) -> Arc<dyn Journal> {
        Arc::new(self.0.journal(log_id))
    }

    async fn entries_lose(&self, log_id: LogId, slots: RangeInclusive<i64>) {
        let slots = Slot(*slots.start())..=Slot(*slots.end());
        self.0.lose_entries(log_id, slots);
    }
}

async fn open(url: &str, log_id: LogId) -> Arc<dyn Journal> {
    let options = Options {
        log_id,
        ..Options::default()
    };
    endpoint::open(url, &TlsFiles::default(), &options)
        .await
        .unwrap()
}

fn loss(log_id: LogId, slots: &RangeInclusive<i64>) -> String {
    let (log, first, last) = (log_id.0, slots.start(), slots.end());
    format!("DELETE FROM journal WHERE log_id = {log} AND slot BETWEEN {first} AND {last}")
}

struct Sqlite(PathBuf);

#[async_trait]
impl Database for Sqlite {
    async fn open(&self, log_id: LogId) -> Arc<dyn Journal> {
        open(&format!("sqlite://{}", self.0.display()), log_id).await
    }

    async fn entries_lose(&self, log_id: LogId, slots: RangeInclusive<i64>) {
        let options = SqliteConnectOptions::new().filename(&self.0);
        let mut connection = options.connect().await.unwrap();
        let statement = AssertSqlSafe(loss(log_id, &slots));
        sqlx::raw_sql(statement)
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }
}

struct Server(Postgres);

#[async_trait]
impl Database for Server {
    async fn open(&self, log_id: LogId) -> Arc<dyn Journal> {
        open(&self.0.url("laws"), log_id).await
    }

    async fn entries_lose(&self, log_id: LogId, slots: RangeInclusive<i64>) {
        self.0.sql("laws", &loss(log_id, &slots)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_laws() {
    conformance::run(&Memory(MemoryDatabase::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_laws() {
    let folder = tempfile::tempdir().unwrap();
    conformance::run(&Sqlite(folder.path().join("a/b/state.db"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_laws() {
    conformance::run(&Server(Postgres::start().await)).await;
}
