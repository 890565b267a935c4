//! The database, its tables and their numbered migrations.
//!
//! Several instances may start at once on an empty server. There is no lock around it: every step
//! can be repeated, and an instance that loses a race in the catalog tries again.

use std::time::Duration;

use rand::Rng as _;
use tokio_postgres::error::SqlState;

use super::connect::{Connector, Dialect, Opened};
use super::errors::{is_migration_race, statement_error};
use crate::{Error, ErrorKind, Result};

/// Each step takes the schema from its index to the next. Steps are only ever added.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("schema/0001.sql")];

/// What helps on PostgreSQL and what YugabyteDB has no notion of.
pub(super) const TUNING: &str = "ALTER TABLE journal ALTER COLUMN payload SET STORAGE EXTERNAL";

const VERSION_TABLE: &str = "CREATE TABLE IF NOT EXISTS helium_schema \
(version integer NOT NULL, PRIMARY KEY (version /*ASC*/))";
const VERSION_READ: &str = "SELECT COALESCE(max(version), 0) FROM helium_schema";
const VERSION_EXISTS: &str = "SELECT to_regclass('helium_schema') IS NOT NULL";
const VERSION_WRITE: &str =
    "INSERT INTO helium_schema (version) VALUES ($1) ON CONFLICT DO NOTHING";
const ATTEMPTS: u32 = 40;

/// The statements of one step for one kind of server: YugabyteDB would hash the first column of a
/// key that doesn't say `ASC`, PostgreSQL doesn't know the word there.
pub(super) fn statements(step: &str, yugabyte: bool) -> Vec<String> {
    let lines = step
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    let text = if yugabyte {
        text.replace("/*ASC*/", "ASC")
    } else {
        text
    };
    text.split(";\n")
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Creates the database if the server says that there is none.
pub(super) async fn database_ensure(connector: &Connector, name: &str) -> Result<Opened> {
    let missing = match connector.open().await {
        Err(error) if error.kind() == ErrorKind::DatabaseMissing => error,
        other => return other,
    };
    const ACTION: &str = "creating the database";
    let refused = |error: Error| {
        Error::new(ACTION, ErrorKind::DatabaseMissing)
            .determinate()
            .with_detail(format!(
                "database {name:?} does not exist and can't be created"
            ))
            .with_source(error)
    };
    let server = connector.open_other("postgres").await.map_err(refused)?;
    let statement = format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\""));
    match server.client.batch_execute(&statement).await {
        Ok(()) => tracing::info!(name, "created the database"),
        // Another instance was first.
        Err(error) if is_migration_race(&error) || is_database_race(&error) => {}
        Err(error) => {
            tracing::debug!(error = crate::chain(&missing), "the database is missing");
            return Err(refused(statement_error(ACTION, error)));
        }
    }
    connector.open().await
}

/// `CREATE DATABASE` copies a template that must not be in use, and two at once collide on it.
fn is_database_race(error: &tokio_postgres::Error) -> bool {
    matches!(error.code(), Some(code) if *code == SqlState::DUPLICATE_DATABASE
        || *code == SqlState::OBJECT_IN_USE)
}

/// Brings the schema up to date.
pub(super) async fn migrate(server: &Opened) -> Result<()> {
    const ACTION: &str = "migrating the schema";
    let newest = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
    let mut attempt = 0;
    loop {
        match run(server).await {
            Ok(found) if found > newest => {
                return Err(Error::new(ACTION, ErrorKind::SchemaTooNew)
                    .determinate()
                    .with_detail(format!(
                        "schema version {found} is newer than this program's {newest}"
                    )));
            }
            Ok(_) => return Ok(()),
            Err(error) if is_migration_race(&error) && attempt < ATTEMPTS => {
                attempt += 1;
                let millis = rand::rng().random_range(5..50);
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                let detail = not_allowed(server, newest).await;
                return Err(Error::new(ACTION, ErrorKind::Denied)
                    .determinate()
                    .with_detail(detail)
                    .with_source(error));
            }
            Err(error) => return Err(statement_error(ACTION, error)),
        }
    }
}

/// Why a role could not bring the schema up to date, and what helps.
async fn not_allowed(server: &Opened, newest: i32) -> String {
    let exists = server.client.query_one(VERSION_EXISTS, &[]).await;
    let exists = exists.and_then(|row| row.try_get::<_, bool>(0));
    if !matches!(exists, Ok(true)) {
        return "Helium's tables are missing here, and this role may not make them: let an \
                administrator create the member's role again, which makes them, or start once with \
                a role that may"
            .to_owned();
    }
    let found = server.client.query_one(VERSION_READ, &[]).await;
    match found.and_then(|row| row.try_get::<_, i32>(0)) {
        Ok(found) => format!(
            "schema version {found} is older than this program's {newest}, and this role may not \
             change it: start this version once with the role that owns the tables"
        ),
        Err(_) => "this role may not read Helium's tables: it is no member of helium_member (any \
                   more)"
            .to_owned(),
    }
}

/// Returns the version found. A role without rights on the schema can use one that is complete.
async fn run(server: &Opened) -> Result<i32, tokio_postgres::Error> {
    let client = &server.client;
    let yugabyte = server.dialect == Dialect::Yugabyte;
    let exists: bool = client.query_one(VERSION_EXISTS, &[]).await?.try_get(0)?;
    if !exists {
        for statement in statements(VERSION_TABLE, yugabyte) {
            client.batch_execute(&statement).await?;
        }
    }
    let found: i32 = client.query_one(VERSION_READ, &[]).await?.try_get(0)?;
    let done = usize::try_from(found).unwrap_or_default();
    for (index, step) in MIGRATIONS.iter().enumerate().skip(done) {
        for statement in statements(step, yugabyte) {
            client.batch_execute(&statement).await?;
        }
        if index == 0 && !yugabyte {
            client.batch_execute(TUNING).await?;
        }
        let version = i32::try_from(index + 1).unwrap_or(i32::MAX);
        client.execute(VERSION_WRITE, &[&version]).await?;
    }
    Ok(found)
}
