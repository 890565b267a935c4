//! The text of every statement, the plans of those that are often run, and the durability.

use std::fmt::Write as _;

use sqlx::Row as _;

use super::{SqliteJournal, SqliteParameters, checkpoint, entries, facts, schema};
use crate::{Journal as _, Options};

const STATEMENTS: &[(&str, &str)] = &[
    ("entry_append", entries::APPEND),
    ("checkpoint_claim floor", entries::FLOOR),
    ("head_read", entries::HEAD),
    ("entry_read", entries::READ),
    ("entry_list", entries::LIST),
    ("entry_count", entries::COUNT),
    ("entry_trim", entries::TRIM),
    ("entry_trim kept rows", entries::TRIM_BEFORE),
    ("checkpoint_read", checkpoint::READ),
    ("checkpoint_claim create", checkpoint::CREATE),
    ("checkpoint_claim", checkpoint::CLAIM),
    ("checkpoint_claim undo changes", checkpoint::UNDO_CHANGES),
    (
        "checkpoint_claim undo creations",
        checkpoint::UNDO_CREATIONS,
    ),
    ("checkpoint_claim forget", checkpoint::UNDO_FORGET),
    ("checkpoint_chunk check", checkpoint::CLAIM_CHECK),
    ("checkpoint_chunk change", checkpoint::CHANGE),
    ("checkpoint_chunk delete", checkpoint::DELETE),
    ("checkpoint_advance", checkpoint::ADVANCE),
    ("checkpoint_advance place", checkpoint::PLACE),
    ("kv_list", checkpoint::KV_LIST),
    ("identity_read", facts::IDENTITY),
    ("log_meta create", facts::LOG_CREATE),
    ("log_meta", facts::LOG_READ),
    ("size_read", facts::SIZE),
    ("member_upsert", facts::MEMBER_UPSERT),
    ("member_list", facts::MEMBER_LIST),
    ("member_delete", facts::MEMBER_DELETE),
];

#[test]
fn statements_are_as_reviewed() {
    let mut text = String::new();
    for (name, statement) in STATEMENTS {
        writeln!(text, "-- {name}\n{statement};").unwrap();
    }
    for step in schema::MIGRATIONS {
        writeln!(text, "-- migration\n{step}").unwrap();
    }
    insta::assert_snapshot!(text);
}

async fn opened(folder: &tempfile::TempDir, query: &[(&str, &str)]) -> SqliteJournal {
    let mut parameters = SqliteParameters::new(folder.path().join("state.db"));
    for (name, value) in query {
        parameters.set(name, value);
    }
    SqliteJournal::open(&parameters, &Options::default())
        .await
        .unwrap()
}

#[tokio::test]
async fn the_writer_flushes_every_commit_whatever_the_url_says() {
    let folder = tempfile::tempdir().unwrap();
    let journal = opened(
        &folder,
        &[("_synchronous", "OFF"), ("_journal_mode", "MEMORY")],
    )
    .await;
    let mut held = journal.writer.hold("testing").await.unwrap();
    let connection = held.get("testing").unwrap();
    let row = sqlx::query("PRAGMA synchronous")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(row.get::<i64, _>(0), 2, "FULL");
    let row = sqlx::query("PRAGMA journal_mode")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(row.get::<String, _>(0), "wal");
}

#[tokio::test]
async fn frequent_statements_read_no_table_from_end_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let journal = opened(&folder, &[]).await;
    let mut held = journal.scan.hold("testing").await.unwrap();
    let connection = held.get("testing").unwrap();
    let frequent = [
        entries::APPEND,
        entries::HEAD,
        entries::READ,
        entries::LIST,
        entries::TRIM,
        entries::TRIM_BEFORE,
        checkpoint::KV_LIST,
        checkpoint::ADVANCE,
    ];
    for statement in frequent.iter().flat_map(|text| text.split("; ")) {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let rows = sqlx::query(explain)
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        assert!(!rows.is_empty());
        for row in rows {
            let step: String = row.get(3);
            for table in ["journal", "kv", "kv_before", "checkpoint"] {
                assert_ne!(step, format!("SCAN {table}"), "{statement}");
            }
            let sorts_payloads = step.contains("TEMP B-TREE") && statement == entries::LIST;
            assert!(!sorts_payloads, "{statement}");
        }
    }
    drop(held);
    journal.close().await;
}
