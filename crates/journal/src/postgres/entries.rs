//! Appending, head queries, listing and trimming.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::future::join;
use tokio_postgres::Row;

use super::connect::Dialect;
use super::errors::{is_duplicate, statement_error};
use super::link::Link;
use super::pool::{Parameters, Pool};
use crate::{
    Appended, Entry, EntryId, Epoch, Error, ErrorKind, Head, Inserted, Listed, LogId, Result, Slot,
    WriterId,
};

/// Makes the row only behind the entry that it names (J8), so that a database that has lost its tail
/// is left as it is.
pub(super) const INSERT: &str = "\
INSERT INTO journal (log_id, slot, id, prev, writer, epoch, at_micros, first_rev, last_rev, enc, payload) \
SELECT $1::integer, $2::bigint, $3::bytea, $4::bytea, $5::bigint, $6::bigint, $7::bigint, $8::bigint, \
$9::bigint, $10::smallint, $11::bytea WHERE $2::bigint = 1 OR EXISTS (\
SELECT 1 FROM journal WHERE log_id = $1::integer AND slot = $2::bigint - 1 AND id = $4::bytea)";

/// On YugabyteDB, where only an insert of plain values takes one quorum round; any other is a
/// distributed transaction with two. There [`BEHIND`] alone tells what the entry follows, and the
/// row of one that doesn't fit stays in its slot, unacknowledged.
pub(super) const INSERT_YUGABYTE: &str = "\
INSERT INTO journal (log_id, slot, id, prev, writer, epoch, at_micros, first_rev, last_rev, enc, payload) \
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

/// The floor, and the id in the slot before the entry's, from one snapshot.
pub(super) const BEHIND: &str = "\
SELECT COALESCE((SELECT slot FROM checkpoint WHERE log_id = $1), 0), \
(SELECT id FROM journal WHERE log_id = $1 AND slot = $2::bigint - 1)";

pub(super) const FLOOR: &str =
    "SELECT COALESCE((SELECT slot FROM checkpoint WHERE log_id = $1), 0)";

/// Changes nothing, but its commit waits for standbys up to here.
pub(super) const SETTLE: &str = "UPDATE log SET cluster_id = cluster_id WHERE log_id = $1";

/// What the append connection prepares, in the order of the constants below.
pub(super) const fn append_statements(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Postgres => &[INSERT, BEHIND, SETTLE],
        Dialect::Yugabyte => &[INSERT_YUGABYTE, BEHIND, SETTLE],
    }
}
const INSERT_AT: usize = 0;
const BEHIND_AT: usize = 1;
const SETTLE_AT: usize = 2;

pub(super) const HEAD: &str = "\
SELECT COALESCE(c.slot, 0), n.slot, n.id, a.id, pg_is_in_recovery() FROM (SELECT 1) AS one \
LEFT JOIN (SELECT slot, id FROM journal WHERE log_id = $1 ORDER BY slot DESC LIMIT 1) AS n ON true \
LEFT JOIN (SELECT id FROM journal WHERE log_id = $1 AND slot = $2) AS a ON true \
LEFT JOIN (SELECT slot FROM checkpoint WHERE log_id = $1) AS c ON true";

/// What the head connection prepares.
pub(super) const fn head_statements(_dialect: Dialect) -> &'static [&'static str] {
    &[HEAD]
}

pub(super) const READ: &str = "\
SELECT slot, id, prev, writer, epoch, at_micros, first_rev, last_rev, enc, payload \
FROM journal WHERE log_id = $1 AND slot = $2 \
AND slot >= COALESCE((SELECT slot FROM checkpoint WHERE log_id = $1), 0)";

/// The floor comes with every row. No row means no floor above `$2`, because the floor's own row is
/// always there (J3). `before` counts the payload bytes of the rows in front.
pub(super) const LIST: &str = "\
SELECT slot, id, prev, writer, epoch, at_micros, first_rev, last_rev, enc, payload, \
COALESCE((SELECT slot FROM checkpoint WHERE log_id = $1), 0) FROM (\
SELECT j.*, sum(octet_length(payload)) OVER (ORDER BY slot) - octet_length(payload) AS before FROM (\
SELECT slot, id, prev, writer, epoch, at_micros, first_rev, last_rev, enc, payload \
FROM journal WHERE log_id = $1 AND slot > $2 ORDER BY slot LIMIT $3) AS j) AS w \
WHERE before < $4 ORDER BY slot";

pub(super) const COUNT: &str = "SELECT count(*) FROM journal WHERE log_id = $1";

/// A range, so that only rows that go are read.
pub(super) const TRIM: &str = "\
DELETE FROM journal WHERE log_id = $1 AND slot <= (SELECT max(slot) FROM (\
SELECT slot FROM journal WHERE log_id = $1 \
AND slot < LEAST($2, COALESCE((SELECT slot FROM checkpoint WHERE log_id = $1), 0)) \
ORDER BY slot LIMIT $3) AS t)";

/// What superseded checkpoints have kept, the oldest first.
pub(super) const TRIM_BEFORE: &str = "\
DELETE FROM kv_before WHERE log_id = $1 AND slot = (SELECT min(slot) FROM kv_before \
WHERE log_id = $1 AND slot < COALESCE((SELECT slot FROM checkpoint WHERE log_id = $1), 0)) \
AND place <= (SELECT place FROM (SELECT place FROM kv_before WHERE log_id = $1 \
AND slot = (SELECT min(slot) FROM kv_before WHERE log_id = $1) ORDER BY place LIMIT $2) AS t \
ORDER BY place DESC LIMIT 1)";

/// Set while an append of this handle may sit on the primary without being on its standbys: it ended
/// without an answer, or with a warning that the wait for a standby was cut short. Such a row is
/// visible, so a retry would find it and take it for committed. Before the next append a commit is
/// therefore made that waits for everything before it.
#[derive(Debug, Default)]
pub(super) struct Unsettled(AtomicBool);

/// Sets the flag when it is dropped, unless the append was answered.
struct Attempt<'a> {
    flag: &'a Unsettled,
    answered: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.flag.0.store(true, Ordering::Release);
        }
    }
}

pub(super) async fn append(
    link: &Link,
    unsettled: &Unsettled,
    log: LogId,
    entry: &Entry,
) -> Result<Appended> {
    const ACTION: &str = "appending an entry";
    if entry.is_first_after_something() {
        return Ok(Appended::Diverged { found: None });
    }
    let session = link.session().await?;
    let warnings = session.warnings();
    if unsettled.0.load(Ordering::Acquire) {
        let settled = session
            .client
            .execute(session.statement(SETTLE_AT), &[&log.0])
            .await;
        if let Err(error) = settled {
            let error = link
                .fail("settling an earlier append", &session, error)
                .await;
            return Err(error.indeterminate());
        }
        if session.warnings() != warnings {
            return Err(unreplicated("settling an earlier append"));
        }
        unsettled.0.store(false, Ordering::Release);
    }
    let mut attempt = Attempt {
        flag: unsettled,
        answered: false,
    };
    let writer = entry.writer.to_sql();
    let (id, prev, payload) = (&entry.id.0[..], &entry.prev.0[..], &entry.payload[..]);
    let row: Parameters<'_> = &[
        &log.0,
        &entry.slot.0,
        &id,
        &prev,
        &writer,
        &entry.epoch.0,
        &entry.at_micros,
        &entry.first_rev,
        &entry.last_rev,
        &entry.enc,
        &payload,
    ];
    let key: Parameters<'_> = &[&log.0, &entry.slot.0];
    let insert = session.client.execute(session.statement(INSERT_AT), row);
    let floor = session.client.query_one(session.statement(BEHIND_AT), key);
    // `join` polls its first future first, and a prepared statement is written to the connection in
    // its first poll: both travel together, the floor behind the insert (J2, J8).
    let (inserted, floor) = join(insert, floor).await;
    let inserted = match inserted {
        Ok(0) => Inserted::Nothing,
        Ok(_) => Inserted::Row,
        Err(error) if is_duplicate(&error) => Inserted::Duplicate,
        Err(error) => {
            let error = link.fail(ACTION, &session, error).await;
            attempt.answered = error.is_determinate();
            return Err(error);
        }
    };
    let (floor, before) = match floor {
        Ok(row) => (Slot(column(&row, 0)?), optional_id(&row, 1)?),
        Err(error) => {
            let error = link
                .fail("reading the floor behind an append", &session, error)
                .await;
            return Err(error.indeterminate());
        }
    };
    if session.warnings() != warnings {
        return Err(unreplicated(ACTION));
    }
    attempt.answered = true;
    Ok(entry.appended(inserted, floor, before))
}

fn unreplicated(action: &'static str) -> Error {
    Error::new(action, ErrorKind::Unknown)
        .with_code("01000")
        .with_detail("the database warned: the commit may not have reached its standbys")
}

pub(super) async fn head(link: &Link, log: LogId, applied: Slot) -> Result<Head> {
    const ACTION: &str = "reading the head";
    let session = link.session().await?;
    let queried = session
        .client
        .query_one(session.statement(0), &[&log.0, &applied.0])
        .await;
    let row = match queried {
        Ok(row) => row,
        Err(error) => return Err(link.fail(ACTION, &session, error).await),
    };
    if column(&row, 4)? {
        link.discard(&session).await;
        return Err(Error::new(ACTION, ErrorKind::ReadOnly).determinate());
    }
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

pub(super) async fn read(pool: &Pool, log: LogId, slot: Slot) -> Result<Option<Entry>> {
    let rows = pool
        .query("reading an entry", READ, &[&log.0, &slot.0])
        .await?;
    rows.first().map(entry).transpose()
}

pub(super) async fn list(
    pool: &Pool,
    log: LogId,
    after: Slot,
    max_entries: usize,
    max_bytes: usize,
) -> Result<Listed> {
    let entries = i64::try_from(max_entries.max(1)).unwrap_or(i64::MAX);
    let bytes = i64::try_from(max_bytes.max(1)).unwrap_or(i64::MAX);
    let rows = pool
        .query(
            "listing entries",
            LIST,
            &[&log.0, &after.0, &entries, &bytes],
        )
        .await?;
    let mut listed: Vec<Entry> = Vec::with_capacity(rows.len());
    for row in &rows {
        let floor = Slot(column(row, 10)?);
        if after < floor {
            return Ok(Listed::BelowFloor { floor });
        }
        let expected = listed.last().map_or(after, |entry| entry.slot).next();
        let entry = entry(row)?;
        if entry.slot != expected {
            break;
        }
        listed.push(entry);
    }
    Ok(Listed::Entries(listed))
}

pub(super) async fn count(pool: &Pool, log: LogId) -> Result<u64> {
    let rows = pool.query("counting entries", COUNT, &[&log.0]).await?;
    Ok(column::<i64>(only(&rows)?, 0)?.unsigned_abs())
}

pub(super) async fn trim(pool: &Pool, log: LogId, below: Slot, limit: usize) -> Result<u64> {
    const ACTION: &str = "trimming the journal";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    pool.execute(ACTION, TRIM_BEFORE, &[&log.0, &limit]).await?;
    pool.execute(ACTION, TRIM, &[&log.0, &below.0, &limit])
        .await
}

fn entry(row: &Row) -> Result<Entry> {
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
        payload: bytes(row, 9)?,
    })
}

fn optional_id(row: &Row, index: usize) -> Result<Option<EntryId>> {
    match column::<Option<&[u8]>>(row, index)? {
        None => Ok(None),
        Some(_) => Ok(Some(EntryId(fixed(row, index)?))),
    }
}

/// The one row of an answer that always has one.
pub(super) fn only(rows: &[Row]) -> Result<&Row> {
    rows.first().ok_or_else(|| {
        Error::new("decoding an answer", ErrorKind::Corrupt).with_detail("no row in the answer")
    })
}

/// A column of bytes.
pub(super) fn bytes(row: &Row, index: usize) -> Result<Bytes> {
    Ok(Bytes::copy_from_slice(column::<&[u8]>(row, index)?))
}

/// A column of 16 bytes.
pub(super) fn fixed(row: &Row, index: usize) -> Result<[u8; 16]> {
    column::<&[u8]>(row, index)?.try_into().map_err(|error| {
        Error::new("decoding a row", ErrorKind::Corrupt)
            .with_detail(format!("column {index} is not 16 bytes long"))
            .with_source(error)
    })
}

/// A column of the right type, or proof that the row is damaged.
pub(super) fn column<'r, T: tokio_postgres::types::FromSql<'r>>(
    row: &'r Row,
    index: usize,
) -> Result<T> {
    row.try_get(index)
        .map_err(|error| statement_error("decoding a row", error).indeterminate())
}
