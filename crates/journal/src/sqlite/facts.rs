//! Identity, size and members.

use rand::RngCore as _;

use super::connection::Connection;
use super::entries::{column, fixed};
use crate::member::{formats_parse, formats_text};
use crate::{DatabaseIdentity, EntryId, LogId, LogMeta, Member, Result, StoreSize, WriterId};

pub(super) const IDENTITY: &str =
    "SELECT id, sqlite_version() FROM database_identity WHERE one = 1";

pub(super) const LOG_CREATE: &str =
    "INSERT INTO log (log_id, cluster_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING";

pub(super) const LOG_READ: &str = "SELECT cluster_id FROM log WHERE log_id = ?1";

pub(super) const SIZE: &str = "\
SELECT (SELECT page_size FROM pragma_page_size()), (SELECT page_count FROM pragma_page_count()), \
(SELECT freelist_count FROM pragma_freelist_count())";

pub(super) const MEMBER_UPSERT: &str = "\
INSERT INTO member (log_id, id, name, addresses, formats, heartbeat) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
ON CONFLICT (log_id, id) DO UPDATE SET name = excluded.name, addresses = excluded.addresses, \
formats = excluded.formats, heartbeat = excluded.heartbeat";

pub(super) const MEMBER_LIST: &str =
    "SELECT id, name, addresses, formats, heartbeat FROM member WHERE log_id = ?1";

pub(super) const MEMBER_DELETE: &str = "DELETE FROM member WHERE log_id = ?1 AND id = ?2";

pub(super) async fn identity(reader: &Connection) -> Result<DatabaseIdentity> {
    const ACTION: &str = "reading the database's identity";
    let mut held = reader.hold(ACTION).await?;
    let row = sqlx::query(IDENTITY).fetch_one(held.get(ACTION)?).await;
    let row = row.map_err(|error| held.fail(ACTION, error))?;
    Ok(DatabaseIdentity {
        system: EntryId(fixed(&row, 0)?).to_string(),
        timeline: 0,
        in_recovery: false,
        version: format!("SQLite {}", column::<String>(&row, 1)?),
    })
}

pub(super) async fn log_meta(writer: &Connection, log: LogId) -> Result<LogMeta> {
    const ACTION: &str = "reading the log's identity";
    let mut held = writer.hold(ACTION).await?;
    let random = rand::rng().next_u64().max(1).cast_signed();
    let done = sqlx::query(LOG_CREATE)
        .bind(log.0)
        .bind(random)
        .execute(held.get(ACTION)?)
        .await;
    done.map_err(|error| held.fail(ACTION, error))?;
    let row = sqlx::query(LOG_READ)
        .bind(log.0)
        .fetch_one(held.get(ACTION)?)
        .await;
    let row = row.map_err(|error| held.fail(ACTION, error))?;
    Ok(LogMeta {
        cluster_id: column::<i64>(&row, 0)?.cast_unsigned(),
    })
}

pub(super) async fn size(reader: &Connection) -> Result<StoreSize> {
    const ACTION: &str = "reading the store's size";
    let mut held = reader.hold(ACTION).await?;
    let row = sqlx::query(SIZE).fetch_one(held.get(ACTION)?).await;
    let row = row.map_err(|error| held.fail(ACTION, error))?;
    let page: i64 = column(&row, 0)?;
    let pages: i64 = column(&row, 1)?;
    let free: i64 = column(&row, 2)?;
    Ok(StoreSize {
        total_bytes: (page * pages).unsigned_abs(),
        used_bytes: (page * (pages - free).max(0)).unsigned_abs(),
    })
}

pub(super) async fn member_upsert(writer: &Connection, log: LogId, member: &Member) -> Result<()> {
    const ACTION: &str = "writing a member";
    let mut held = writer.hold(ACTION).await?;
    let done = sqlx::query(MEMBER_UPSERT)
        .bind(log.0)
        .bind(member.id.to_sql())
        .bind(&member.name)
        .bind(&member.addresses)
        .bind(formats_text(&member.formats))
        .bind(member.heartbeat)
        .execute(held.get(ACTION)?)
        .await;
    done.map(drop).map_err(|error| held.fail(ACTION, error))
}

pub(super) async fn member_list(reader: &Connection, log: LogId) -> Result<Vec<Member>> {
    const ACTION: &str = "listing members";
    let mut held = reader.hold(ACTION).await?;
    let rows = sqlx::query(MEMBER_LIST)
        .bind(log.0)
        .fetch_all(held.get(ACTION)?)
        .await;
    let rows = rows.map_err(|error| held.fail(ACTION, error))?;
    let mut members = rows
        .iter()
        .map(|row| {
            Ok(Member {
                id: WriterId::from_sql(column(row, 0)?),
                name: column(row, 1)?,
                addresses: column(row, 2)?,
                formats: formats_parse(column(row, 3)?)?,
                heartbeat: column(row, 4)?,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    members.sort_by_key(|member| member.id);
    Ok(members)
}

pub(super) async fn member_delete(writer: &Connection, log: LogId, id: WriterId) -> Result<()> {
    const ACTION: &str = "removing a member";
    let mut held = writer.hold(ACTION).await?;
    let done = sqlx::query(MEMBER_DELETE)
        .bind(log.0)
        .bind(id.to_sql())
        .execute(held.get(ACTION)?)
        .await;
    done.map(drop).map_err(|error| held.fail(ACTION, error))
}
