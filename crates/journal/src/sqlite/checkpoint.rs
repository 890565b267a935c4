//! The checkpoint's row, its claim and its keys.

use bytes::Bytes;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection as _, Sqlite, Transaction};

use super::connection::Connection;
use super::entries::{FLOOR, column, fixed};
use crate::{
    Advanced, CheckpointMeta, Chunked, ClaimId, Claimed, EntryId, KvPage, KvRow, LogId, Result,
    Slot,
};

pub(super) const READ: &str =
    "SELECT slot, id, revision, state FROM checkpoint WHERE log_id = ?1 AND slot > 0";

pub(super) const CREATE: &str =
    "INSERT INTO checkpoint (log_id, slot, revision) VALUES (?1, 0, 0) ON CONFLICT DO NOTHING";

pub(super) const CLAIM: &str = "UPDATE checkpoint SET claim = ?3 WHERE log_id = ?1 AND slot = ?2";

/// Puts back what an abandoned turn has changed or deleted.
pub(super) const UNDO_CHANGES: &str = "\
INSERT INTO kv (log_id, key, create_revision, mod_revision, version, lease, value) \
SELECT log_id, key, create_revision, mod_revision, version, lease, value FROM kv_before \
WHERE log_id = ?1 AND slot = ?2 AND present = 1 \
ON CONFLICT (log_id, key) DO UPDATE SET create_revision = excluded.create_revision, \
mod_revision = excluded.mod_revision, version = excluded.version, lease = excluded.lease, \
value = excluded.value";

/// Removes what an abandoned turn has created.
pub(super) const UNDO_CREATIONS: &str = "\
DELETE FROM kv WHERE log_id = ?1 AND key IN \
(SELECT key FROM kv_before WHERE log_id = ?1 AND slot = ?2 AND present = 0)";

pub(super) const UNDO_FORGET: &str = "DELETE FROM kv_before WHERE log_id = ?1";

pub(super) const CLAIM_CHECK: &str = "SELECT slot FROM checkpoint WHERE log_id = ?1 AND claim = ?2";

/// Keeps the row of the current checkpoint, once, then changes it.
pub(super) const CHANGE: &str = "\
INSERT INTO kv_before (log_id, slot, key, present, create_revision, mod_revision, version, lease, value) \
SELECT ?1, ?2, ?3, k.key IS NOT NULL, k.create_revision, k.mod_revision, k.version, k.lease, k.value \
FROM (SELECT 1) LEFT JOIN kv k ON k.log_id = ?1 AND k.key = ?3 WHERE true ON CONFLICT DO NOTHING; \
INSERT INTO kv (log_id, key, create_revision, mod_revision, version, lease, value) \
VALUES (?1, ?3, ?4, ?5, ?6, ?7, ?8) \
ON CONFLICT (log_id, key) DO UPDATE SET create_revision = excluded.create_revision, \
mod_revision = excluded.mod_revision, version = excluded.version, lease = excluded.lease, \
value = excluded.value";

/// Keeps the row of the current checkpoint, once, then deletes it.
pub(super) const DELETE: &str = "\
INSERT INTO kv_before (log_id, slot, key, present, create_revision, mod_revision, version, lease, value) \
SELECT ?1, ?2, ?3, k.key IS NOT NULL, k.create_revision, k.mod_revision, k.version, k.lease, k.value \
FROM (SELECT 1) LEFT JOIN kv k ON k.log_id = ?1 AND k.key = ?3 WHERE true ON CONFLICT DO NOTHING; \
DELETE FROM kv WHERE log_id = ?1 AND key = ?3";

/// Moves the floor, unless the entry that it is to rest on isn't there.
pub(super) const ADVANCE: &str = "\
UPDATE checkpoint SET slot = ?3, id = ?4, revision = ?5, state = ?6, claim = NULL \
WHERE log_id = ?1 AND claim = ?2 AND slot < ?3 \
AND EXISTS (SELECT 1 FROM journal WHERE log_id = ?1 AND slot = ?3 AND id = ?4)";

pub(super) const PLACE: &str = "SELECT slot, id FROM checkpoint WHERE log_id = ?1 AND slot > 0";

/// Two rows for a key that was overwritten, the kept one first.
pub(super) const KV_LIST: &str = "\
SELECT key, present, create_revision, mod_revision, version, lease, value FROM (\
SELECT * FROM (SELECT key, present, create_revision, mod_revision, version, lease, value, 0 AS source \
FROM kv_before WHERE log_id = ?1 AND slot = ?2 AND key >= ?3 ORDER BY key LIMIT ?4) \
UNION ALL \
SELECT * FROM (SELECT key, 1 AS present, create_revision, mod_revision, version, lease, value, 1 AS source \
FROM kv WHERE log_id = ?1 AND key >= ?3 ORDER BY key LIMIT ?4)) \
ORDER BY key, source LIMIT ?4";

pub(super) async fn read(reader: &Connection, log: LogId) -> Result<Option<CheckpointMeta>> {
    const ACTION: &str = "reading the checkpoint";
    let mut held = reader.hold(ACTION).await?;
    let row = sqlx::query(READ)
        .bind(log.0)
        .fetch_optional(held.get(ACTION)?)
        .await;
    let row = row.map_err(|error| held.fail(ACTION, error))?;
    row.map(|row| {
        Ok(CheckpointMeta {
            slot: Slot(column(&row, 0)?),
            id: EntryId(fixed(&row, 1)?),
            revision: column(&row, 2)?,
            state: Bytes::from(column::<Vec<u8>>(&row, 3)?),
        })
    })
    .transpose()
}

pub(super) async fn claim(
    writer: &Connection,
    log: LogId,
    expected: Slot,
    claim: ClaimId,
) -> Result<Claimed> {
    const ACTION: &str = "claiming the checkpoint";
    let mut held = writer.hold(ACTION).await?;
    let result = claim_in(held.get(ACTION)?, log, expected, claim).await;
    match result {
        Ok((true, _)) => Ok(Claimed::Won),
        Ok((false, row)) => Ok(Claimed::Moved {
            slot: Slot(column(&row, 0)?),
        }),
        Err(error) => Err(held.fail(ACTION, error)),
    }
}

async fn claim_in(
    connection: &mut SqliteConnection,
    log: LogId,
    expected: Slot,
    claim: ClaimId,
) -> Result<(bool, SqliteRow), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(CREATE)
        .bind(log.0)
        .execute(&mut *transaction)
        .await?;
    let place = sqlx::query(FLOOR)
        .bind(log.0)
        .fetch_one(&mut *transaction)
        .await?;
    let won = sqlx::query(CLAIM)
        .bind(log.0)
        .bind(expected.0)
        .bind(&claim.0[..])
        .execute(&mut *transaction)
        .await?
        .rows_affected()
        == 1;
    if won {
        for statement in [UNDO_CHANGES, UNDO_CREATIONS] {
            let undo = sqlx::query(statement).bind(log.0).bind(expected.0);
            undo.execute(&mut *transaction).await?;
        }
        sqlx::query(UNDO_FORGET)
            .bind(log.0)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok((won, place))
}

pub(super) async fn chunk(
    writer: &Connection,
    log: LogId,
    claim: ClaimId,
    upserts: Vec<KvRow>,
    deletes: Vec<Bytes>,
) -> Result<Chunked> {
    const ACTION: &str = "writing a checkpoint chunk";
    let mut held = writer.hold(ACTION).await?;
    let result = chunk_in(held.get(ACTION)?, log, claim, upserts, deletes).await;
    result.map_err(|error| held.fail(ACTION, error))
}

async fn chunk_in(
    connection: &mut SqliteConnection,
    log: LogId,
    claim: ClaimId,
    upserts: Vec<KvRow>,
    deletes: Vec<Bytes>,
) -> Result<Chunked, sqlx::Error> {
    use sqlx::Row as _;
    let mut transaction: Transaction<'_, Sqlite> = connection.begin_with("BEGIN IMMEDIATE").await?;
    let checked = sqlx::query(CLAIM_CHECK).bind(log.0).bind(&claim.0[..]);
    let Some(row) = checked.fetch_optional(&mut *transaction).await? else {
        return Ok(Chunked::ClaimLost);
    };
    let slot: i64 = row.try_get(0)?;
    for row in upserts {
        sqlx::query(CHANGE)
            .bind(log.0)
            .bind(slot)
            .bind(&row.key[..])
            .bind(row.create_revision)
            .bind(row.mod_revision)
            .bind(row.version)
            .bind(row.lease)
            .bind(&row.value[..])
            .execute(&mut *transaction)
            .await?;
    }
    for key in deletes {
        let delete = sqlx::query(DELETE).bind(log.0).bind(slot).bind(&key[..]);
        delete.execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(Chunked::Written)
}

pub(super) async fn advance(
    writer: &Connection,
    log: LogId,
    claim: ClaimId,
    meta: CheckpointMeta,
) -> Result<Advanced> {
    const ACTION: &str = "advancing the checkpoint";
    let mut held = writer.hold(ACTION).await?;
    let done = sqlx::query(ADVANCE)
        .bind(log.0)
        .bind(&claim.0[..])
        .bind(meta.slot.0)
        .bind(&meta.id.0[..])
        .bind(meta.revision)
        .bind(&meta.state[..])
        .execute(held.get(ACTION)?)
        .await;
    if done
        .map_err(|error| held.fail(ACTION, error))?
        .rows_affected()
        == 1
    {
        return Ok(Advanced::Moved);
    }
    let place = sqlx::query(PLACE)
        .bind(log.0)
        .fetch_optional(held.get(ACTION)?)
        .await;
    let Some(row) = place.map_err(|error| held.fail(ACTION, error))? else {
        return Ok(Advanced::ClaimLost);
    };
    let already = column::<i64>(&row, 0)? == meta.slot.0 && fixed(&row, 1)? == meta.id.0;
    Ok(if already {
        Advanced::Moved
    } else {
        Advanced::ClaimLost
    })
}

pub(super) async fn kv_list(
    reader: &Connection,
    log: LogId,
    at: Slot,
    after: Option<Bytes>,
    limit: usize,
) -> Result<KvPage> {
    const ACTION: &str = "listing checkpoint rows";
    let limit = limit.max(1);
    let mut held = reader.hold(ACTION).await?;
    let result = page_in(held.get(ACTION)?, log, at, after, limit).await;
    let (floor, rows) = result.map_err(|error| held.fail(ACTION, error))?;
    let floor = Slot(column(&floor, 0)?);
    if floor != at {
        return Ok(KvPage::Moved { slot: floor });
    }
    let next = match rows.last() {
        Some(last) if rows.len() >= limit => Some(Bytes::from(column::<Vec<u8>>(last, 0)?)),
        _ => None,
    };
    let mut page = Vec::with_capacity(rows.len());
    let mut previous: Option<&[u8]> = None;
    for row in &rows {
        let key: &[u8] = column(row, 0)?;
        if previous == Some(key) {
            continue;
        }
        previous = Some(key);
        if column::<i64>(row, 1)? == 1 {
            page.push(kv_row(row)?);
        }
    }
    Ok(KvPage::Rows { rows: page, next })
}

/// One read transaction: both statements see the same instant (J4).
async fn page_in(
    connection: &mut SqliteConnection,
    log: LogId,
    at: Slot,
    after: Option<Bytes>,
    limit: usize,
) -> Result<(SqliteRow, Vec<SqliteRow>), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let floor = sqlx::query(FLOOR)
        .bind(log.0)
        .fetch_one(&mut *transaction)
        .await?;
    let rows = sqlx::query(KV_LIST)
        .bind(log.0)
        .bind(at.0)
        .bind(first_key(after))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok((floor, rows))
}

/// The least key behind `after` in byte order.
fn first_key(after: Option<Bytes>) -> Vec<u8> {
    after.map_or_else(Vec::new, |after| [&after[..], &[0]].concat())
}

fn kv_row(row: &SqliteRow) -> Result<KvRow> {
    Ok(KvRow {
        key: Bytes::from(column::<Vec<u8>>(row, 0)?),
        create_revision: column(row, 2)?,
        mod_revision: column(row, 3)?,
        version: column(row, 4)?,
        lease: column(row, 5)?,
        value: Bytes::from(column::<Vec<u8>>(row, 6)?),
    })
}
