//! SQLite files as they are found in life.

#![allow(
    clippy::unwrap_used,
    reason = "a test panics rather than return an error"
)]

use std::sync::Arc;
use std::time::Duration;

use helium_journal::conformance::{entry, fill};
use helium_journal::{
    Appended, EntryId, Error, ErrorKind, Journal, Listed, Options, Result, Slot, TlsFiles, chain,
    endpoint,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

async fn try_open(url: &str) -> Result<Arc<dyn Journal>> {
    endpoint::open(url, &TlsFiles::default(), &Options::default()).await
}

async fn open(url: &str) -> Arc<dyn Journal> {
    try_open(url)
        .await
        .unwrap_or_else(|error| panic!("{}", chain(&error)))
}

async fn refused(url: &str) -> Error {
    match try_open(url).await {
        Ok(journal) => panic!("{url} was opened: {journal:?}"),
        Err(error) => error,
    }
}

async fn raw(path: &std::path::Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_file_that_another_process_keeps_locked_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let url = format!("sqlite://{}?_busy_timeout=100", path.display());
    let journal = open(&url).await;
    let entries = fill(&*journal, 1, 1, EntryId::NIL).await;
    let mut other = raw(&path).await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let late = entry(2, entries[0].id, "x");
    let error = journal.entry_append(&late).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{}", chain(&error));
    assert!(error.is_determinate(), "nothing was written");
    assert!(journal.head_read(Slot(1)).await.is_ok(), "readers go on");
    let opening = refused(&url).await;
    assert_eq!(opening.kind(), ErrorKind::Locked, "{}", chain(&opening));
    lock.rollback().await.unwrap();
    assert_eq!(
        journal.entry_append(&late).await.unwrap(),
        Appended::Committed
    );
}

#[tokio::test]
async fn files_that_are_no_journal_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.db");
    std::fs::write(
        &text,
        "this is not a database, but it is long enough to have a header",
    )
    .unwrap();
    let error = refused(&format!("sqlite://{}", text.display())).await;
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", chain(&error));
    assert!(error.to_string().contains("text.db"), "{error}");

    let error = refused(&format!("sqlite://{}/below/state.db", text.display())).await;
    assert_eq!(error.kind(), ErrorKind::Endpoint, "{}", chain(&error));

    let newer = folder.path().join("newer.db");
    let url = format!("sqlite://{}", newer.display());
    open(&url).await.close().await;
    let mut connection = raw(&newer).await;
    sqlx::raw_sql("INSERT INTO helium_schema VALUES (99)")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let error = refused(&url).await;
    assert_eq!(error.kind(), ErrorKind::SchemaTooNew, "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_start_at_once_on_a_new_file_all_come_up() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/state.db", folder.path().display());
    let opening = (0..6).map(|_| {
        let url = url.clone();
        tokio::spawn(async move { open(&url).await.log_meta().await.unwrap() })
    });
    let mut metas = Vec::new();
    for meta in futures_util::future::join_all(opening).await {
        metas.push(meta.unwrap());
    }
    assert!(
        metas.iter().all(|meta| *meta == metas[0]),
        "one cluster id: {metas:?}"
    );
}

/// An append that is given up in the middle (its caller was dropped) either happened or didn't, and
/// the connection serves the next one.
#[tokio::test]
async fn a_dropped_call_leaves_the_connection_usable() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&format!("sqlite://{}/state.db", folder.path().display())).await;
    let mut prev = EntryId::NIL;
    for slot in 1..=30 {
        let mine = entry(slot, prev, vec![7; 50_000]);
        let pause = Duration::from_micros(u64::try_from(slot).unwrap() * 40);
        let given_up = tokio::time::timeout(pause, journal.entry_append(&mine)).await;
        if given_up.is_err() {
            let outcome = journal.entry_append(&mine).await.unwrap();
            assert!(
                matches!(outcome, Appended::Committed | Appended::SlotTaken),
                "{outcome:?}"
            );
        }
        prev = mine.id;
    }
    let Listed::Entries(entries) = journal.entry_list(Slot(0), 100, usize::MAX).await.unwrap()
    else {
        panic!("there is no floor")
    };
    assert_eq!(entries.len(), 30);
}
