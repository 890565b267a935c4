//! Tables and their numbered migrations.

use rand::RngCore as _;
use sqlx::Row as _;

use super::connection::Connection;
use crate::{Error, ErrorKind, Result};

/// Each step takes the schema from its index to the next. Steps are only ever added.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("schema/0001.sql")];

const VERSION_TABLE: &str =
    "CREATE TABLE IF NOT EXISTS helium_schema (version INTEGER PRIMARY KEY) STRICT";
const VERSION_READ: &str = "SELECT COALESCE(MAX(version), 0) FROM helium_schema";
const VERSION_WRITE: &str = "INSERT INTO helium_schema (version) VALUES (?1)";
const IDENTITY_WRITE: &str =
    "INSERT INTO database_identity (one, id) VALUES (1, ?1) ON CONFLICT DO NOTHING";

/// Brings the schema up to date, in one transaction that holds the write lock: of several processes
/// that start at once, one migrates and the others find it done.
pub(super) async fn migrate(writer: &Connection) -> Result<()> {
    const ACTION: &str = "migrating the SQLite schema";
    let mut held = writer.hold(ACTION).await?;
    let result = run(held.get(ACTION)?).await;
    let newest = MIGRATIONS.len() as i64;
    match result {
        Ok(found) if found > newest => Err(Error::new(ACTION, ErrorKind::SchemaTooNew)
            .determinate()
            .with_detail(format!(
                "schema version {found} is newer than this program's {newest}"
            ))),
        Ok(_) => Ok(()),
        Err(error) => Err(held.fail(ACTION, error)),
    }
}

/// Returns the version found.
async fn run(connection: &mut sqlx::SqliteConnection) -> Result<i64, sqlx::Error> {
    use sqlx::Connection as _;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(VERSION_TABLE)
        .execute(&mut *transaction)
        .await?;
    let found: i64 = sqlx::query(VERSION_READ)
        .fetch_one(&mut *transaction)
        .await?
        .try_get(0)?;
    let done = usize::try_from(found).unwrap_or(usize::MAX);
    for (index, step) in MIGRATIONS.iter().enumerate().skip(done) {
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
        sqlx::query(VERSION_WRITE)
            .bind(index as i64 + 1)
            .execute(&mut *transaction)
            .await?;
    }
    if done <= MIGRATIONS.len() {
        let mut id = vec![0_u8; 16];
        rand::rng().fill_bytes(&mut id);
        sqlx::query(IDENTITY_WRITE)
            .bind(id)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(found)
}
