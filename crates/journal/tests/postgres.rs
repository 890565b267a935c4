//! PostgreSQL as it fails in life: races at the start, crashes, failovers, refusals.

#![allow(
    clippy::unwrap_used,
    reason = "a test panics rather than return an error"
)]

use std::sync::Arc;
use std::time::Duration;

use helium_journal::conformance::{entry, fill};
use helium_journal::{
    Appended, EntryId, Error, ErrorKind, Journal, LogId, Options, Result, Slot, StatementObserver,
    TlsFiles, chain, endpoint,
};
use helium_testkit::{Postgres, wait_for};
use parking_lot::Mutex;

const BOUND: Duration = Duration::from_secs(30);

async fn try_open(url: &str) -> Result<Arc<dyn Journal>> {
    let options = Options {
        connect_timeout: Duration::from_secs(3),
        ..Options::default()
    };
    endpoint::open(url, &TlsFiles::default(), &options).await
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

/// Retries the same entry until the slot is decided.
async fn decide(journal: &dyn Journal, mine: &helium_journal::Entry) -> Appended {
    let decided = Mutex::new(None);
    wait_for("a decided slot", BOUND, || async {
        let outcome = journal.entry_append(mine).await.ok();
        *decided.lock() = outcome;
        outcome.is_some()
    })
    .await;
    decided.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_start_at_once_on_an_empty_server_all_come_up() {
    let server = Postgres::start().await;
    let url = server.url("Fresh_Database");
    let opening = (0..8).map(|_| {
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
    let names = server
        .sql("postgres", "SELECT datname FROM pg_database ORDER BY 1")
        .await;
    assert!(
        names.contains("fresh_database"),
        "lower-cased, as kine does: {names}"
    );
    let versions = server
        .sql("fresh_database", "SELECT count(*) FROM helium_schema")
        .await;
    assert_eq!(versions, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_opened_says_why() {
    let server = Postgres::start().await;
    let port = server.port();
    let wrong = refused(&format!("postgres://postgres:wrong@127.0.0.1:{port}/x")).await;
    assert_eq!(wrong.kind(), ErrorKind::Denied, "{}", chain(&wrong));
    assert!(
        chain(&wrong).contains("password authentication failed"),
        "{}",
        chain(&wrong)
    );
    assert!(!chain(&wrong).contains("wrong@"), "{}", chain(&wrong));

    let nobody = refused("postgres://postgres:postgres@127.0.0.1:1/x").await;
    assert_eq!(nobody.kind(), ErrorKind::Unreachable, "{}", chain(&nobody));
    let nowhere = refused("postgres://u:p@no-such-host.invalid/x").await;
    assert_eq!(
        nowhere.kind(),
        ErrorKind::Unreachable,
        "{}",
        chain(&nowhere)
    );

    server
        .sql("postgres", "CREATE ROLE poor LOGIN PASSWORD 'poor'")
        .await;
    let poor = refused(&format!("postgres://poor:poor@127.0.0.1:{port}/missing")).await;
    assert_eq!(poor.kind(), ErrorKind::DatabaseMissing, "{}", chain(&poor));
    assert!(poor.to_string().contains("\"missing\""), "{poor}");

    open(&server.url("newer")).await.close().await;
    server
        .sql("newer", "INSERT INTO helium_schema VALUES (99)")
        .await;
    let newer = refused(&server.url("newer")).await;
    assert_eq!(newer.kind(), ErrorKind::SchemaTooNew, "{}", chain(&newer));

    server.sql("postgres", "CREATE DATABASE frozen").await;
    server
        .sql(
            "postgres",
            "ALTER DATABASE frozen SET default_transaction_read_only = on",
        )
        .await;
    let frozen = refused(&server.url("frozen")).await;
    assert_eq!(frozen.kind(), ErrorKind::ReadOnly, "{}", chain(&frozen));
    assert!(newer.is_determinate() && frozen.is_determinate() && nobody.is_determinate());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_only_use_the_tables_can() {
    let server = Postgres::start().await;
    open(&server.url("shared")).await.close().await;
    server
        .sql(
            "shared",
            "CREATE ROLE user1 LOGIN PASSWORD 'user1'; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO user1",
        )
        .await;
    let url = format!("postgres://user1:user1@127.0.0.1:{}/shared", server.port());
    fill(&*open(&url).await, 1, 3, EntryId::NIL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_database_that_starts_later_is_a_choice() {
    let mut server = Postgres::start().await;
    server.stop().await;
    let url = server.url("late");
    assert_eq!(refused(&url).await.kind(), ErrorKind::Unreachable);
    let waiting = tokio::spawn(async move {
        let options = Options {
            start_patience: BOUND,
            ..Options::default()
        };
        endpoint::open(&url, &TlsFiles::default(), &options).await
    });
    server.restart().await;
    let journal = waiting.await.unwrap().unwrap();
    fill(&*journal, 1, 1, EntryId::NIL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_entries_survive_crashes_and_undecided_ones_are_decided() {
    let mut server = Postgres::start().await;
    let journal = open(&server.url("")).await;
    let mut prev = EntryId::NIL;
    let mut ids = Vec::new();
    for slot in 1..=6 {
        let mine = entry(slot, prev, "x");
        if slot % 2 == 0 {
            // The crash comes while appends are retried in the background.
            let retried = {
                let (journal, mine) = (Arc::clone(&journal), mine.clone());
                tokio::spawn(async move { decide(&*journal, &mine).await })
            };
            server.crash().await;
            server.restart().await;
            let outcome = retried.await.unwrap();
            assert!(
                matches!(outcome, Appended::Committed | Appended::SlotTaken),
                "{outcome:?}"
            );
        } else {
            assert_eq!(decide(&*journal, &mine).await, Appended::Committed);
        }
        assert_eq!(
            journal.entry_read(Slot(slot)).await.unwrap().map(|e| e.id),
            Some(mine.id)
        );
        prev = mine.id;
        ids.push(mine.id);
    }
    let head = journal.head_read(Slot(6)).await.unwrap();
    assert_eq!(head.newest, Some((Slot(6), ids[5])));
    assert_eq!(journal.entry_count().await.unwrap(), 6);
}

/// Sessions are ended one by one, as a rolling restart of a pooler or an operator does.
#[tokio::test(flavor = "multi_thread")]
async fn ended_sessions_are_replaced() {
    let server = Postgres::start().await;
    let journal = open(&server.url("")).await;
    let mut prev = fill(&*journal, 1, 1, EntryId::NIL).await[0].id;
    let end = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity \
               WHERE application_name = 'helium'";
    for round in 0..3 {
        server.sql("postgres", end).await;
        let mine = entry(2 + round, prev, "x");
        decide(&*journal, &mine).await;
        prev = mine.id;
        wait_for("every kind of call", BOUND, || async {
            journal.head_read(Slot(1)).await.is_ok() && journal.member_list().await.is_ok()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_followed_and_shows_in_the_identity() {
    let mut primary = Postgres::start().await;
    let mut standby = primary.start_standby(&[]).await;
    primary
        .sql(
            "postgres",
            "ALTER SYSTEM SET synchronous_standby_names = '*'",
        )
        .await;
    primary.sql("postgres", "SELECT pg_reload_conf()").await;
    // The standby comes first in the URL: it must not be taken.
    let (first, second) = (standby.port(), primary.port());
    let url =
        format!("postgres://postgres:postgres@127.0.0.1:{first},127.0.0.1:{second}/kubernetes");
    let journal = open(&url).await;
    let entries = fill(&*journal, 1, 5, EntryId::NIL).await;
    let before = journal.identity_read().await.unwrap();
    assert!(!before.in_recovery);
    let alone = refused(&standby.url("kubernetes")).await;
    assert_eq!(alone.kind(), ErrorKind::ReadOnly, "{}", chain(&alone));

    primary.crash().await;
    let error = journal.head_read(Slot(5)).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::ReadOnly),
        "{error:?}"
    );
    standby.promote().await;
    let mine = entry(6, entries[4].id, "after the failover");
    assert_eq!(decide(&*journal, &mine).await, Appended::Committed);
    let head = journal.head_read(Slot(5)).await.unwrap();
    assert_eq!(
        (head.newest, head.at_applied),
        (Some((Slot(6), mine.id)), Some(entries[4].id))
    );
    let after = journal.identity_read().await.unwrap();
    assert_eq!(after.system, before.system);
    assert_eq!(after.timeline, before.timeline + 1);
}

/// The standby was away when the last entries were acknowledged, and is promoted without them. The
/// writer is connected to it again without noticing: its next entry must not land behind the gap.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_after_a_failover_that_lost_the_tail_is_told() {
    let mut primary = Postgres::start().await;
    open(&primary.url("kubernetes")).await.close().await;
    let mut standby = primary.start_standby(&[]).await;
    let (first, second) = (primary.port(), standby.port());
    let url =
        format!("postgres://postgres:postgres@127.0.0.1:{first},127.0.0.1:{second}/kubernetes");
    let journal = open(&url).await;
    let mut entries = fill(&*journal, 1, 3, EntryId::NIL).await;
    let caught_up = "SELECT count(*) FROM journal";
    wait_for("the standby", BOUND, || async {
        standby.sql("kubernetes", caught_up).await == "3"
    })
    .await;
    standby.stop().await;
    entries.extend(fill(&*journal, 4, 5, entries[2].id).await);
    primary.crash().await;
    standby.restart().await;
    standby.promote().await;

    let late = entry(6, entries[4].id, "behind a gap");
    assert_eq!(
        decide(&*journal, &late).await,
        Appended::Diverged { found: None }
    );
    assert_eq!(journal.entry_count().await.unwrap(), 3);
    let head = journal.head_read(Slot(5)).await.unwrap();
    assert_eq!(head.newest, Some((Slot(3), entries[2].id)));
    fill(&*journal, 4, 6, entries[2].id).await;
}

/// The primary commits locally, waits for a standby that isn't there, and the wait is cancelled: it
/// reports success with a warning. The row is visible, and would be lost in a failover.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_may_not_be_replicated_is_not_acknowledged() {
    let server = Postgres::start().await;
    let journal = open(&server.url("kubernetes")).await;
    let entries = fill(&*journal, 1, 1, EntryId::NIL).await;
    server
        .sql(
            "postgres",
            "ALTER SYSTEM SET synchronous_standby_names = 'absent'",
        )
        .await;
    server.sql("postgres", "SELECT pg_reload_conf()").await;
    wait_for("the setting", BOUND, || async {
        server
            .sql("postgres", "SHOW synchronous_standby_names")
            .await
            == "absent"
    })
    .await;
    let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity \
                  WHERE wait_event = 'SyncRep' AND application_name = 'helium'";
    let mine = entry(2, entries[0].id, "x");
    for _ in 0..2 {
        // The second round is the settling commit before the retry: it must not get through either.
        let append = {
            let (journal, mine) = (Arc::clone(&journal), mine.clone());
            tokio::spawn(async move { journal.entry_append(&mine).await })
        };
        wait_for("a commit that waits", BOUND, || async {
            server.sql("postgres", cancel).await == "1"
        })
        .await;
        let error = append.await.unwrap().unwrap_err();
        assert!(!error.is_determinate(), "{error:?}");
        assert_eq!(error.code(), "01000", "{error:?}");
    }
    server
        .sql("postgres", "ALTER SYSTEM RESET synchronous_standby_names")
        .await;
    server.sql("postgres", "SELECT pg_reload_conf()").await;
    assert_eq!(
        decide(&*journal, &mine).await,
        Appended::SlotTaken,
        "it is there, and now safe"
    );
    assert_eq!(
        journal.entry_read(Slot(2)).await.unwrap().map(|e| e.id),
        Some(mine.id)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durability_that_a_role_has_weakened_is_restored() {
    let server = Postgres::start().await;
    server
        .sql(
            "postgres",
            "ALTER ROLE postgres SET synchronous_commit = off",
        )
        .await;
    server
        .sql(
            "postgres",
            "ALTER ROLE postgres SET statement_timeout = '15ms'",
        )
        .await;
    let journal = open(&server.url("kubernetes")).await;
    // Creating the database alone takes longer than that timeout.
    fill(&*journal, 1, 20, EntryId::NIL).await;
    let lag = "SELECT pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn()";
    let journal_commits = server.sql("postgres", lag).await;
    assert_eq!(journal_commits, "0", "everything is flushed");
}

#[derive(Debug, Default)]
struct Seen(Mutex<Vec<(&'static str, String)>>);

impl StatementObserver for Seen {
    fn statement_done(&self, name: &'static str, _elapsed: Duration, code: &str) {
        self.0.lock().push((name, code.to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_observer_is_told_names_and_codes() {
    let mut server = Postgres::start().await;
    let seen = Arc::new(Seen::default());
    let options = Options {
        observer: Arc::clone(&seen) as Arc<dyn StatementObserver>,
        log_id: LogId(3),
        ..Options::default()
    };
    let journal = endpoint::open(&server.url(""), &TlsFiles::default(), &options)
        .await
        .unwrap();
    fill(&*journal, 1, 1, EntryId::NIL).await;
    server.stop().await;
    assert!(
        journal
            .entry_append(&entry(2, EntryId::NIL, "x"))
            .await
            .is_err()
    );
    let seen = seen.0.lock();
    assert_eq!(seen[0], ("entry_append", String::new()));
    assert_eq!(seen[1].0, "entry_append");
    assert!(!seen[1].1.is_empty(), "{seen:?}");
}
