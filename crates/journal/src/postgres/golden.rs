//! The text of every statement, and the plans of those that are often run.

use std::fmt::Write as _;

use helium_testkit::Postgres;

use super::connect::SESSION;
use super::roles::text as roles_text;
use super::{PostgresJournal, PostgresParameters, checkpoint, entries, facts, schema};
use crate::{Journal, Options, TlsFiles};

const STATEMENTS: &[(&str, &str)] = &[
    ("session", SESSION),
    ("entry_append insert", entries::INSERT),
    ("entry_append insert, YugabyteDB", entries::INSERT_YUGABYTE),
    ("entry_append behind", entries::BEHIND),
    ("checkpoint_claim floor", entries::FLOOR),
    ("entry_append settle", entries::SETTLE),
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
    ("checkpoint_chunk keep", checkpoint::KEEP),
    ("checkpoint_chunk upsert", checkpoint::UPSERT),
    ("checkpoint_chunk delete", checkpoint::DELETE),
    ("checkpoint_advance", checkpoint::ADVANCE),
    ("checkpoint_advance place", checkpoint::PLACE),
    ("kv_list", checkpoint::KV_LIST),
    ("identity_read server", facts::SERVER),
    ("identity_read system", facts::SYSTEM),
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
    insta::assert_snapshot!(text);
}

#[test]
fn statements_of_roles_are_as_reviewed() {
    let mut text = String::new();
    for grant in roles_text::GRANTS {
        writeln!(text, "{grant};").unwrap();
    }
    for (name, statement) in [
        ("create", roles_text::create("helium_eu-1")),
        ("join", roles_text::join_group("helium_eu-1")),
        (
            "let in",
            roles_text::let_in("helium_eu-1", "SCRAM-SHA-256$…"),
        ),
        ("shut out", roles_text::may_login("helium_eu-1", false)),
        ("leave", roles_text::leave_group("helium_eu-1")),
        ("drop", roles_text::drop_role("helium_eu-1")),
        ("exists", roles_text::ROLE_EXISTS.to_owned()),
        ("is strong", roles_text::ROLE_IS_STRONG.to_owned()),
        ("reach", roles_text::REACH.to_owned()),
        ("end sessions", roles_text::END_SESSIONS.to_owned()),
        ("nodes, YugabyteDB", roles_text::YUGABYTE_NODES.to_owned()),
    ] {
        writeln!(text, "-- {name}\n{statement};").unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn the_schema_is_as_reviewed_and_yugabyte_ranges_its_keys() {
    let text = |yugabyte: bool| -> String {
        let steps = schema::MIGRATIONS.iter();
        steps
            .flat_map(|step| schema::statements(step, yugabyte))
            .collect::<Vec<_>>()
            .join(";\n")
    };
    insta::assert_snapshot!(text(false));
    let yugabyte = text(true);
    assert_eq!(
        yugabyte.matches("PRIMARY KEY (log_id ASC").count(),
        6,
        "{yugabyte}"
    );
    for word in ["serial", "sequence", "listen", "advisory", "create index"] {
        assert!(!yugabyte.to_lowercase().contains(word), "{word}");
    }
}

/// With statistics that tell the truth, the planner takes an index by itself; the session's settings
/// are for when they don't.
#[tokio::test]
async fn frequent_statements_read_no_table_from_end_to_end() {
    let server = Postgres::start_with(&[("fsync", "off")]).await;
    let parameters = PostgresParameters::parse(
        &server.url("x")["postgres://".len()..],
        &TlsFiles::default(),
    );
    let journal = PostgresJournal::open(&parameters.unwrap(), &Options::default())
        .await
        .unwrap();
    let fill = "\
        INSERT INTO journal SELECT l, s, 'i', 'p', 1, 1, 1, 1, 1, 1, repeat('x', 200)::bytea \
        FROM generate_series(0, 1) l, generate_series(1, 20000) s; \
        INSERT INTO kv SELECT l, s::text::bytea, s::text::bytea, 1, 1, 1, 1, 'v' \
        FROM generate_series(0, 1) l, generate_series(1, 20000) s; \
        INSERT INTO kv_before SELECT l, 100, s::text::bytea, s::text::bytea, true, 1, 1, 1, 1, 'v' \
        FROM generate_series(0, 1) l, generate_series(1, 20000) s; \
        INSERT INTO checkpoint VALUES (0, 10000, 'i', 1, 'c', 's'); ANALYZE";
    server.sql("x", fill).await;
    let frequent = [
        (
            entries::INSERT,
            "(0, 20001, 'i', 'i', 1, 1, 1, 1, 1, 1, 'x')",
        ),
        (entries::BEHIND, "(0, 20001)"),
        (entries::HEAD, "(0, 19990)"),
        (entries::READ, "(0, 19990)"),
        (entries::LIST, "(0, 19990, 100, 1000000)"),
        (entries::TRIM, "(0, 9000, 100)"),
        (entries::TRIM_BEFORE, "(0, 100)"),
        (checkpoint::KV_LIST, "(0, 10000, '5', 500)"),
        (checkpoint::ADVANCE, "(0, 'c', 20000, 'i', 1, 's')"),
        (checkpoint::DELETE, "(0, '{a,b}')"),
    ];
    for (statement, arguments) in frequent {
        for mode in ["force_custom_plan", "force_generic_plan"] {
            let explain = format!(
                "SET plan_cache_mode = {mode}; PREPARE p AS {statement}; EXPLAIN EXECUTE p {arguments}"
            );
            let plan = server.sql("x", &explain).await;
            assert!(plan.contains("cost="), "{plan}");
            for table in ["journal", "kv", "kv_before"] {
                let scan = format!("Seq Scan on {table} ");
                assert!(!plan.contains(&scan), "{mode}: {statement}\n{plan}");
            }
        }
    }
    journal.close().await;
}
