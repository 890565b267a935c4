//! The roles of a fleet's clusters, on a real server: enough for a journal, and for nothing else.

#![allow(
    clippy::unwrap_used,
    reason = "a test panics rather than return an error"
)]

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use helium_journal::conformance::{self, Database, entry, fill};
use helium_journal::postgres::roles::{
    create_member_role, drop_member_role, member_endpoint, restore_member_role, revoke_member_role,
};
use helium_journal::{
    Appended, EntryId, Error, ErrorKind, Journal, LogId, Options, Result, Slot, TlsFiles, chain,
    endpoint,
};
use helium_testkit::{Postgres, wait_for};
use tokio_postgres::NoTls;

const BOUND: Duration = Duration::from_secs(30);
const PASSWORD: &str = r#"it's a "\ 'päss' word; DROP TABLE journal --"#;

async fn open_log(url: &str, log_id: LogId) -> Result<Arc<dyn Journal>> {
    let options = Options {
        log_id,
        connect_timeout: Duration::from_secs(3),
        ..Options::default()
    };
    endpoint::open(url, &TlsFiles::default(), &options).await
}

async fn open(url: &str) -> Result<Arc<dyn Journal>> {
    open_log(url, LogId(0)).await
}

#[track_caller]
fn ok<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

#[track_caller]
fn says(error: &Error, kind: ErrorKind, parts: &[&str]) {
    let text = chain(error);
    assert_eq!(error.kind(), kind, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
}

/// A server with a cluster's role, and the endpoint of that cluster.
async fn joined(server: &Postgres, cluster: &str) -> String {
    let admin = server.url("fleet");
    ok(create_member_role(&admin, cluster, PASSWORD).await);
    ok(member_endpoint(&admin, cluster, PASSWORD))
}

struct AsMember(Postgres, String);

#[async_trait]
impl Database for AsMember {
    async fn open(&self, log_id: LogId) -> Arc<dyn Journal> {
        ok(open_log(&self.1, log_id).await)
    }

    async fn entries_lose(&self, log_id: LogId, slots: RangeInclusive<i64>) {
        let (log, first, last) = (log_id.0, slots.start(), slots.end());
        let lose =
            format!("DELETE FROM journal WHERE log_id = {log} AND slot BETWEEN {first} AND {last}");
        self.0.sql("fleet", &lose).await;
    }
}

/// Every law of the journal, so that no right is missing that some rare statement needs.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_keeps_the_laws() {
    let server = Postgres::start().await;
    let url = joined(&server, "eu-1").await;
    conformance::run(&AsMember(server, url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_learns_which_database_answers_and_how_large_it_is() {
    let server = Postgres::start().await;
    let url = joined(&server, "eu-1").await;
    let member = ok(open(&url).await);
    let admin = ok(open(&server.url("fleet")).await);
    let identity = ok(member.identity_read().await);
    assert_eq!(identity, ok(admin.identity_read().await));
    assert!(!identity.system.is_empty() && identity.timeline > 0 && !identity.in_recovery);
    assert!(ok(member.size_read().await).total_bytes > 0);
    member.close().await;
    admin.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_can_do_nothing_else() {
    let server = Postgres::start().await;
    let url = joined(&server, "eu-1").await;
    joined(&server, "eu-2").await;
    let other = "CREATE TABLE other (x integer); CREATE ROLE strong CREATEROLE";
    server.sql("fleet", other).await;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    for statement in [
        "CREATE TABLE mine (x integer)",
        "CREATE SCHEMA mine",
        "CREATE INDEX ON journal (id)",
        "ALTER TABLE journal ADD COLUMN x integer",
        "DROP TABLE journal",
        "TRUNCATE kv",
        "UPDATE journal SET epoch = 0",
        "DELETE FROM checkpoint",
        "DELETE FROM log",
        "INSERT INTO helium_schema VALUES (99)",
        "SELECT * FROM other",
        "CREATE ROLE friend",
        "ALTER ROLE \"helium_eu-2\" NOLOGIN",
        "ALTER ROLE helium_member LOGIN",
        "GRANT helium_member TO strong",
        "GRANT strong TO \"helium_eu-1\"",
        "SET ROLE strong",
        "SET ROLE \"helium_eu-2\"",
        "CREATE DATABASE mine",
        "SELECT pg_read_file('PG_VERSION')",
        "COPY journal TO PROGRAM 'true'",
    ] {
        let refused = client.batch_execute(statement).await;
        let refused = refused.expect_err(statement);
        let code = refused.code().map(|code| code.code().to_owned());
        // Some catalogues name the lack of a right otherwise.
        assert!(
            matches!(code.as_deref(), Some("42501" | "0LP01")),
            "{statement}: {refused:?}"
        );
    }
    drop(client);
    driver.await.unwrap().unwrap();
    let owned = "SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner \
                 WHERE r.rolname LIKE 'helium%'";
    assert_eq!(server.sql("fleet", owned).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_member_is_out_at_once_and_nobody_else_notices() {
    let server = Postgres::start().await;
    let admin = server.url("fleet");
    let (bad, good) = (joined(&server, "eu-1").await, joined(&server, "eu-2").await);
    let (one, two) = (ok(open(&bad).await), ok(open(&good).await));
    let written = fill(&*one, 1, 5, EntryId::NIL).await;
    let last = written.last().unwrap();
    let next = entry(6, last.id, "by the other");
    assert_eq!(ok(two.entry_append(&next).await), Appended::Committed);

    let revoked = ok(revoke_member_role(&admin, "eu-1").await);
    assert!(revoked.sessions >= 2, "{revoked:?}");
    assert!(revoked.unreached.is_empty());
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'helium_eu-1'";
    assert_eq!(server.sql("fleet", sessions).await, "0");
    let late = entry(7, next.id, "too late");
    wait_for(
        "the revoked to learn that it can't log in",
        BOUND,
        || async {
            let error = one.entry_append(&late).await.expect_err("it is out");
            error.kind() == ErrorKind::Denied
        },
    )
    .await;
    one.head_read(Slot(0)).await.expect_err("nor reads");
    says(
        &open(&bad).await.unwrap_err(),
        ErrorKind::Denied,
        &["not permitted to log in"],
    );

    // The other one kept its very sessions.
    let theirs = entry(7, next.id, "goes on");
    assert_eq!(ok(two.entry_append(&theirs).await), Appended::Committed);
    let head = ok(two.head_read(Slot(7)).await);
    assert_eq!(head.newest, Some((Slot(7), theirs.id)));
    assert_eq!(ok(two.entry_count().await), 7, "nothing was lost");

    // Again is fine, and so is what isn't there.
    let again = ok(revoke_member_role(&admin, "eu-1").await);
    assert_eq!(again.sessions, 0);
    ok(revoke_member_role(&admin, "nobody").await);
    let error = restore_member_role(&admin, "nobody").await.unwrap_err();
    says(&error, ErrorKind::Refused, &["no role helium_nobody"]);

    // Let in again, with the password that it had; then for good with another one.
    ok(restore_member_role(&admin, "eu-1").await);
    ok(open(&bad).await).close().await;
    ok(create_member_role(&admin, "eu-1", "another").await);
    says(
        &open(&bad).await.unwrap_err(),
        ErrorKind::Denied,
        &["password"],
    );
    let fresh = ok(member_endpoint(&admin, "eu-1", "another"));
    ok(open(&fresh).await).close().await;

    ok(drop_member_role(&admin, "eu-1").await);
    ok(drop_member_role(&admin, "eu-1").await);
    open(&fresh).await.expect_err("the role is gone");
    let roles = "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles \
                 WHERE rolname LIKE 'helium%'";
    assert_eq!(
        server.sql("fleet", roles).await,
        "helium_eu-2 helium_member"
    );
    one.close().await;
    two.close().await;
}

/// A session that nobody could end must be of no use.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_outlives_its_rights_is_refused_its_next_statement() {
    let server = Postgres::start().await;
    let url = joined(&server, "eu-1").await;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    let prepared = client
        .prepare("SELECT count(*) FROM journal")
        .await
        .unwrap();
    client.query(&prepared, &[]).await.unwrap();
    let weak = "CREATE ROLE manager LOGIN CREATEROLE PASSWORD 'manager'";
    server.sql("fleet", weak).await;
    let manager = format!(
        "postgres://manager:manager@127.0.0.1:{}/fleet",
        server.port()
    );
    let error = revoke_member_role(&manager, "eu-1").await.unwrap_err();
    says(
        &error,
        ErrorKind::Denied,
        &["lost its rights", "GRANT pg_signal_backend"],
    );
    let refused = client.query(&prepared, &[]).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "42501");
    server
        .sql("fleet", "GRANT pg_signal_backend TO manager")
        .await;
    assert_eq!(ok(revoke_member_role(&manager, "eu-1").await).sessions, 1);
    client.query(&prepared, &[]).await.expect_err("ended");
    driver.await.unwrap().unwrap_err();
}

/// Who owns the database is administrator enough: nothing needs a superuser.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_may_create_roles_is_administrator_enough() {
    let server = Postgres::start().await;
    let prepare = "CREATE ROLE owner LOGIN CREATEROLE CREATEDB PASSWORD 'owner'; \
                   GRANT pg_signal_backend TO owner; CREATE ROLE weak LOGIN PASSWORD 'weak'";
    server.sql("postgres", prepare).await;
    let url = |who: &str| format!("postgres://{who}:{who}@127.0.0.1:{}/fleet", server.port());
    ok(create_member_role(&url("owner"), "eu-1", "secret").await);
    let member = ok(member_endpoint(&url("owner"), "eu-1", "secret"));
    let journal = ok(open(&member).await);
    fill(&*journal, 1, 3, EntryId::NIL).await;
    assert!(ok(revoke_member_role(&url("owner"), "eu-1").await).sessions > 0);
    journal.close().await;
    ok(drop_member_role(&url("owner"), "eu-1").await);

    let error = create_member_role(&url("weak"), "eu-2", "secret")
        .await
        .unwrap_err();
    says(&error, ErrorKind::Denied, &["may not"]);
    server
        .sql("fleet", "GRANT SELECT ON helium_schema TO weak")
        .await;
    let error = create_member_role(&url("weak"), "eu-2", "secret")
        .await
        .unwrap_err();
    says(
        &error,
        ErrorKind::Denied,
        &["CREATEROLE", "own Helium's tables"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_clusters_that_join_at_once_all_get_in() {
    let server = Postgres::start().await;
    let joining = (0..6).map(|number| {
        let admin = server.url("fleet");
        tokio::spawn(async move {
            let cluster = format!("eu-{number}");
            ok(create_member_role(&admin, &cluster, "secret").await);
            let url = ok(member_endpoint(&admin, &cluster, "secret"));
            ok(open(&url).await).close().await;
        })
    });
    for joined in joining.collect::<Vec<_>>() {
        joined.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_never_reaches_the_servers_log() {
    let server = Postgres::start_with(&[("log_statement", "all")]).await;
    let url = joined(&server, "eu-1").await;
    ok(open(&url).await).close().await;
    let log = server.log();
    assert!(log.contains("ALTER ROLE"), "statements are logged");
    assert!(!log.contains("päss") && !log.contains("DROP TABLE journal"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_already_is_not_taken_over() {
    let server = Postgres::start().await;
    let admin = server.url("fleet");
    ok(create_member_role(&admin, "eu-0", "secret").await);
    let roles = "CREATE ROLE \"helium_eu-1\" SUPERUSER; CREATE ROLE \"helium_eu-2\"; \
                 GRANT pg_read_all_data TO \"helium_eu-2\"; CREATE ROLE \"helium_eu-3\"";
    server.sql("fleet", roles).await;
    for cluster in ["eu-1", "eu-2"] {
        let error = create_member_role(&admin, cluster, "secret")
            .await
            .unwrap_err();
        let role = format!("helium_{cluster}");
        says(&error, ErrorKind::Refused, &[&role, "more rights"]);
    }
    // One that was left behind half-made is completed.
    ok(create_member_role(&admin, "eu-3", "secret").await);
    let url = ok(member_endpoint(&admin, "eu-3", "secret"));
    ok(open(&url).await).close().await;

    // Before version 15 everybody may make tables in the schema.
    server
        .sql("fleet", "GRANT CREATE ON SCHEMA public TO PUBLIC")
        .await;
    let error = create_member_role(&admin, "eu-4", "secret")
        .await
        .unwrap_err();
    let help = "REVOKE CREATE ON SCHEMA \"public\" FROM PUBLIC";
    says(&error, ErrorKind::Refused, &[help]);
    for (admin, cluster) in [("sqlite://x.db", "eu-1"), ("nonsense", "eu-1")] {
        let error = create_member_role(admin, cluster, "secret")
            .await
            .unwrap_err();
        says(&error, ErrorKind::Endpoint, &["postgres://"]);
    }
    let error = create_member_role(&admin, "member", "secret")
        .await
        .unwrap_err();
    says(&error, ErrorKind::Refused, &["all members together"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_tables_or_rights_is_told_what_is_missing() {
    let server = Postgres::start().await;
    let prepare = "CREATE DATABASE fleet; CREATE ROLE \"helium_eu-1\" LOGIN PASSWORD 'secret'";
    for statement in prepare.split("; ") {
        server.sql("postgres", statement).await;
    }
    let url = ok(member_endpoint(&server.url("fleet"), "eu-1", "secret"));
    let error = open(&url).await.unwrap_err();
    says(
        &error,
        ErrorKind::Denied,
        &["tables are missing", "administrator"],
    );
    ok(open(&server.url("fleet")).await).close().await;
    let error = open(&url).await.unwrap_err();
    says(
        &error,
        ErrorKind::Denied,
        &["may not read Helium's tables", "helium_member"],
    );
    ok(create_member_role(&server.url("fleet"), "eu-1", "secret").await);
    server.sql("fleet", "DELETE FROM helium_schema").await;
    let error = open(&url).await.unwrap_err();
    says(
        &error,
        ErrorKind::Denied,
        &["schema version 0 is older", "owns the tables"],
    );
    ok(open(&server.url("fleet")).await).close().await;
    ok(open(&url).await).close().await;
}
