//! Appending, head queries, listing and trimming.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::connection::Connection;
use crate::{
    Appended, Entry, EntryId, Epoch, Error, ErrorKind, Head, Inserted, Listed, LogId, Result, Slot,
    WriterId,
};

/// The insert looks for the entry that it follows (J8) and commits by itself; the floor is read after
/// it, by the same command.
///
/// Without that entry `prev` would be null, which the table refuses: `OR IGNORE` makes no row then,
/// nor in a taken slot. (SQLite keeps the rows of an `INSERT … SELECT … WHERE EXISTS` that reads its
/// own table in a temporary table first, which costs milliseconds with a payload of a MiB.)
pub(super) const APPEND: &str = "\
INSERT OR IGNORE INTO journal \
(log_id, slot, id, prev, writer, epoch, at_micros, first_rev, last_rev, enc, payload) \
VALUES (?1, ?2, ?3, CASE WHEN ?2 = 1 THEN ?4 ELSE \
(SELECT id FROM journal WHERE log_id = ?1 AND slot = ?2 - 1 AND id = ?4) END, \
?5, ?6, ?7, ?8, ?9, ?10, ?11); \
SELECT COALESCE((SELECT slot FROM checkpoint WHERE log_id = ?1), 0), \
(SELECT id FROM journal WHERE log_id = ?1 AND slot = ?2 - 1), changes(), \
EXISTS (SELECT 1 FROM journal WHERE log_id = ?1 AND slot = ?2)";

pub(super) const FLOOR: &str =
    "SELECT COALESCE((SELECT slot FROM checkpoint WHERE log_id = ?1), 0)";

pub(super) const HEAD: &str = "\
SELECT COALESCE((SELECT slot FROM checkpoint WHERE log_id = ?1), 0), \
(SELECT slot FROM journal WHERE log_id = ?1 ORDER BY slot DESC LIMIT 1), \
(SELECT id FROM journal WHERE log_id = ?1 ORDER BY slot DESC LIMIT 1), \
(SELECT id FROM journal WHERE log_id = ?1 AND slot = ?2)";

pub(super) const READ: &str = "\
SELECT slot, id, prev, writer, epoch, at_micros, first_rev, last_rev, enc, payload \
FROM journal WHERE log_id = ?1 AND slot = ?2 \
AND slot >= COALESCE((SELECT slot FROM checkpoint WHERE log_id = ?1), 0)";

/// The floor comes with every row. No row means no floor above `?2`, because the floor's own row is
/// always there (J3).
pub(super) const LIST: &str = "\
SELECT slot, id, prev, writer, epoch, at_micros, first_rev, last_rev, enc, payload, \
COALESCE((SELECT slot FROM checkpoint WHERE log_id = ?1), 0) \
FROM journal WHERE log_id = ?1 AND slot > ?2 ORDER BY slot LIMIT ?3";

pub(super) const COUNT: &str = "SELECT count(*) FROM journal WHERE log_id = ?1";

/// A range, so that only rows that go are read.
pub(super) const TRIM: &str = "\
DELETE FROM journal WHERE log_id = ?1 AND slot <= (SELECT max(slot) FROM (\
SELECT slot FROM journal WHERE log_id = ?1 \
AND slot < MIN(?2, COALESCE((SELECT slot FROM checkpoint WHERE log_id = ?1), 0)) \
ORDER BY slot LIMIT ?3))";

/// What superseded checkpoints have kept, the oldest first.
pub(super) const TRIM_BEFORE: &str = "\
DELETE FROM kv_before WHERE log_id = ?1 AND slot = (SELECT min(slot) FROM kv_before \
WHERE log_id = ?1 AND slot < COALESCE((SELECT slot FROM checkpoint WHERE log_id = ?1), 0)) \
AND key <= (SELECT max(key) FROM (SELECT key FROM kv_before WHERE log_id = ?1 \
AND slot = (SELECT min(slot) FROM kv_before WHERE log_id = ?1) ORDER BY key LIMIT ?2))";

pub(super) async fn append(writer: &Connection, log: LogId, entry: &Entry) -> Result<Appended> {
    const ACTION: &str = "appending an entry";
    if entry.is_first_after_something() {
        return Ok(Appended::Diverged { found: None });
    }
    let mut held = writer.hold(ACTION).await?;
    let row = sqlx::query(APPEND)
        .bind(log.0)
        .bind(entry.slot.0)
        .bind(&entry.id.0[..])
        .bind(&entry.prev.0[..])
        .bind(entry.writer.to_sql())
        .bind(entry.epoch.0)
        .bind(entry.at_micros)
        .bind(entry.first_rev)
        .bind(entry.last_rev)
        .bind(entry.enc)
        .bind(&entry.payload[..])
        .fetch_one(held.get(ACTION)?)
        .await;
    let row = row.map_err(|error| held.fail(ACTION, error))?;
    let (is_made, is_taken): (bool, bool) = (column(&row, 2)?, column(&row, 3)?);
    let inserted = match (is_made, is_taken) {
        (true, _) => Inserted::Row,
        (false, true) => Inserted::Duplicate,
        (false, false) => Inserted::Nothing,
    };
    let (floor, before) = (Slot(column(&row, 0)?), optional_id(&row, 1)?);
    Ok(entry.appended(inserted, floor, before))
}

pub(super) async fn head(reader: &Connection, log: LogId, applied: Slot) -> Result<Head> {
    const ACTION: &str = "reading the head";
    let mut held = reader.hold(ACTION).await?;
    let row = sqlx::query(HEAD)
        .bind(log.0)
        .bind(applied.0)
        .fetch_one(held.get(ACTION)?)
        .await;
    let row = row.map_err(|error| held.fail(ACTION, error))?;
    let floor = Slot(column(&row, 0)?);
    let newest = match (column::<Option<i64>>(&row, 1)?, optional_id(&row, 2)?) {
        (Some(slot), Some(id)) => Some((Slot(slot), id)),
        _ => None,
    };
    let at_applied = optional_id(&row, 3)?.filter(|_| applied >= floor);
    Ok(Head {
        newest,
        at_applied,
        floor,
    })
}

pub(super) async fn read(reader: &Connection, log: LogId, slot: Slot) -> Result<Option<Entry>> {
    const ACTION: &str = "reading an entry";
    let mut held = reader.hold(ACTION).await?;
    let row = sqlx::query(READ)
        .bind(log.0)
        .bind(slot.0)
        .fetch_optional(held.get(ACTION)?)
        .await;
    let row = row.map_err(|error| held.fail(ACTION, error))?;
    row.as_ref().map(entry).transpose()
}

pub(super) async fn list(
    reader: &Connection,
    log: LogId,
    after: Slot,
    max_entries: usize,
    max_bytes: usize,
) -> Result<Listed> {
    const ACTION: &str = "listing entries";
    let limit = i64::try_from(max_entries.max(1)).unwrap_or(i64::MAX);
    let mut held = reader.hold(ACTION).await?;
    let collected = {
        let mut rows = sqlx::query(LIST)
            .bind(log.0)
            .bind(after.0)
            .bind(limit)
            .fetch(held.get(ACTION)?);
        let mut entries: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        loop {
            match rows.try_next().await {
                Err(error) => break Err(error),
                Ok(None) => break Ok(Listed::Entries(entries)),
                Ok(Some(row)) => {
                    let floor = Slot(column(&row, 10)?);
                    if after < floor {
                        break Ok(Listed::BelowFloor { floor });
                    }
                    let expected = entries.last().map_or(after, |entry| entry.slot).next();
                    let entry = entry(&row)?;
                    if entry.slot != expected {
                        break Ok(Listed::Entries(entries));
                    }
                    bytes += entry.payload.len();
                    entries.push(entry);
                    if bytes >= max_bytes {
                        break Ok(Listed::Entries(entries));
                    }
                }
            }
        }
    };
    collected.map_err(|error| held.fail(ACTION, error))
}

pub(super) async fn count(reader: &Connection, log: LogId) -> Result<u64> {
    const ACTION: &str = "counting entries";
    let mut held = reader.hold(ACTION).await?;
    let row = sqlx::query(COUNT)
        .bind(log.0)
        .fetch_one(held.get(ACTION)?)
        .await;
    let count: i64 = column(&row.map_err(|error| held.fail(ACTION, error))?, 0)?;
    Ok(count.unsigned_abs())
}

pub(super) async fn trim(
    writer: &Connection,
    log: LogId,
    below: Slot,
    limit: usize,
) -> Result<u64> {
    const ACTION: &str = "trimming the journal";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut held = writer.hold(ACTION).await?;
    let done = sqlx::query(TRIM_BEFORE)
        .bind(log.0)
        .bind(limit)
        .execute(held.get(ACTION)?)
        .await;
    done.map_err(|error| held.fail(ACTION, error))?;
    let done = sqlx::query(TRIM)
        .bind(log.0)
        .bind(below.0)
        .bind(limit)
        .execute(held.get(ACTION)?)
        .await;
    Ok(done
        .map_err(|error| held.fail(ACTION, error))?
        .rows_affected())
}

fn entry(row: &SqliteRow) -> Result<Entry> {
    Ok(Entry {
        slot: Slot(column(row, 0)?),
        id: EntryId(fixed(row, 1)?),
        prev: EntryId(fixed(row, 2)?),
        writer: WriterId::from_sql(column(row, 3)?),
        epoch: Epoch(column(row, 4)?),
        at_micros: column(row, 5)?,
        first_rev: column(row, 6)?,
        last_rev: column(row, 7)?,
        enc: column(row, 8)?,
        payload: Bytes::from(column::<Vec<u8>>(row, 9)?),
    })
}

fn optional_id(row: &SqliteRow, index: usize) -> Result<Option<EntryId>> {
    match column::<Option<&[u8]>>(row, index)? {
        None => Ok(None),
        Some(_) => Ok(Some(EntryId(fixed(row, index)?))),
    }
}

/// A column of 16 bytes.
pub(super) fn fixed(row: &SqliteRow, index: usize) -> Result<[u8; 16]> {
    column::<&[u8]>(row, index)?.try_into().map_err(|error| {
        Error::new("decoding a row", ErrorKind::Corrupt)
            .with_detail(format!("column {index} is not 16 bytes long"))
            .with_source(error)
    })
}

/// A column of the right type, or proof that the row is damaged.
pub(super) fn column<'r, T>(row: &'r SqliteRow, index: usize) -> Result<T>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(index)
        .map_err(|error| Error::new("decoding a row", ErrorKind::Corrupt).with_source(error))
}
