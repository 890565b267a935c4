//! The suite of laws on every backend.

#![allow(
    clippy::unwrap_used,
    reason = "a test panics rather than return an error"
)]

use std::sync::Arc;

use async_trait::async_trait;
use helium_journal::conformance::{self, Database};
use helium_journal::memory::MemoryDatabase;
use helium_journal::{Journal, LogId, Options, TlsFiles, endpoint};
use helium_testkit::Postgres;

struct Memory(MemoryDatabase);

#[async_trait]
impl Database for Memory {
    async fn open(&self, log_id: LogId) -> Arc<dyn Journal> {
        Arc::new(self.0.journal(log_id))
    }
}

struct Url(String);

#[async_trait]
impl Database for Url {
    async fn open(&self, log_id: LogId) -> Arc<dyn Journal> {
        let options = Options {
            log_id,
            ..Options::default()
        };
        endpoint::open(&self.0, &TlsFiles::default(), &options)
            .await
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_laws() {
    conformance::run(&Memory(MemoryDatabase::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_laws() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/a/b/state.db", folder.path().display());
    conformance::run(&Url(url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_laws() {
    let server = Postgres::start().await;
    conformance::run(&Url(server.url(""))).await;
}
