//! The checkpoint's row, its claim and its keys.

use bytes::Bytes;
use tokio_postgres::Row;

use super::entries::{FLOOR, bytes, column, fixed, only};
use super::place::{behind, place};
use super::pool::{Failure, Loan, Parameters, Pool};
use crate::{
    Advanced, CheckpointMeta, Chunked, ClaimId, Claimed, EntryId, KvPage, KvRow, LogId, Result,
    Slot,
};

pub(super) const READ: &str =
    "SELECT slot, id, revision, state FROM checkpoint WHERE log_id = $1 AND slot > 0";

pub(super) const CREATE: &str =
    "INSERT INTO checkpoint (log_id, slot, revision) VALUES ($1, 0, 0) ON CONFLICT DO NOTHING";

pub(super) const CLAIM: &str = "UPDATE checkpoint SET claim = $3 WHERE log_id = $1 AND slot = $2";

/// Puts back what an abandoned turn has changed or deleted.
pub(super) const UNDO_CHANGES: &str = "\
INSERT INTO kv (log_id, place, key, create_revision, mod_revision, version, lease, value) \
SELECT log_id, place, key, create_revision, mod_revision, version, lease, value FROM kv_before \
WHERE log_id = $1 AND slot = $2 AND present \
ON CONFLICT (log_id, place) DO UPDATE SET create_revision = excluded.create_revision, \
mod_revision = excluded.mod_revision, version = excluded.version, lease = excluded.lease, \
value = excluded.value";

/// Removes what an abandoned turn has created.
pub(super) const UNDO_CREATIONS: &str = "\
DELETE FROM kv WHERE log_id = $1 AND place IN \
(SELECT place FROM kv_before WHERE log_id = $1 AND slot = $2 AND NOT present)";

pub(super) const UNDO_FORGET: &str = "DELETE FROM kv_before WHERE log_id = $1";

/// Holds the row until the chunk's transaction ends, so that no claim comes between.
pub(super) const CLAIM_CHECK: &str =
    "SELECT slot FROM checkpoint WHERE log_id = $1 AND claim = $2 FOR UPDATE";

/// Keeps the rows of the current checkpoint, once, before they are changed.
pub(super) const KEEP: &str = "\
INSERT INTO kv_before \
(log_id, slot, place, key, present, create_revision, mod_revision, version, lease, value) \
SELECT $1, $2, k.place, k.key, v.key IS NOT NULL, \
v.create_revision, v.mod_revision, v.version, v.lease, v.value \
FROM unnest($3::bytea[], $4::bytea[]) AS k (place, key) \
LEFT JOIN kv AS v ON v.log_id = $1 AND v.place = k.place \
ON CONFLICT DO NOTHING";

pub(super) const UPSERT: &str = "\
INSERT INTO kv (log_id, place, key, create_revision, mod_revision, version, lease, value) \
SELECT $1, u.* FROM unnest($2::bytea[], $3::bytea[], \
$4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[]) AS u \
ON CONFLICT (log_id, place) DO UPDATE SET create_revision = excluded.create_revision, \
mod_revision = excluded.mod_revision, version = excluded.version, lease = excluded.lease, \
value = excluded.value";

pub(super) const DELETE: &str = "DELETE FROM kv WHERE log_id = $1 AND place = ANY ($2)";

/// Moves the floor, unless the entry that it is to rest on isn't there.
pub(super) const ADVANCE: &str = "\
UPDATE checkpoint SET slot = $3, id = $4, revision = $5, state = $6, claim = NULL \
WHERE log_id = $1 AND claim = $2 AND slot < $3 \
AND EXISTS (SELECT 1 FROM journal WHERE log_id = $1 AND slot = $3 AND id = $4)";

pub(super) const PLACE: &str = "SELECT slot, id FROM checkpoint WHERE log_id = $1 AND slot > 0";

/// One row with the floor at least; two for a key that was overwritten, the kept one first.
pub(super) const KV_LIST: &str = "\
SELECT c.slot, u.key, u.present, u.create_revision, u.mod_revision, u.version, u.lease, u.value FROM \
(SELECT COALESCE((SELECT slot FROM checkpoint WHERE log_id = $1), 0) AS slot) AS c LEFT JOIN (\
SELECT * FROM (\
(SELECT place, key, present, create_revision, mod_revision, version, lease, value, 0 AS source \
FROM kv_before WHERE log_id = $1 AND slot = $2 AND place >= $3 ORDER BY place LIMIT $4) \
UNION ALL \
(SELECT place, key, true AS present, create_revision, mod_revision, version, lease, value, 1 AS source \
FROM kv WHERE log_id = $1 AND place >= $3 ORDER BY place LIMIT $4)) AS m \
ORDER BY place, source LIMIT $4) AS u ON true ORDER BY u.place, u.source";

pub(super) async fn read(pool: &Pool, log: LogId) -> Result<Option<CheckpointMeta>> {
    let rows = pool
        .query("reading the checkpoint", READ, &[&log.0])
        .await?;
    let meta = rows.first().map(|row| {
        Ok(CheckpointMeta {
            slot: Slot(column(row, 0)?),
            id: EntryId(fixed(row, 1)?),
            revision: column(row, 2)?,
            state: bytes(row, 3)?,
        })
    });
    meta.transpose()
}

pub(super) async fn claim(
    pool: &Pool,
    log: LogId,
    expected: Slot,
    claim: ClaimId,
) -> Result<Claimed> {
    const ACTION: &str = "claiming the checkpoint";
    let mut loan = pool.borrow(ACTION).await?;
    let result = claim_in(&mut loan, log, expected, claim).await;
    match result.map_err(|failure| loan.fail(ACTION, failure))? {
        None => Ok(Claimed::Won),
        Some(row) => Ok(Claimed::Moved {
            slot: Slot(column(&row, 0)?),
        }),
    }
}

/// Returns the row with the checkpoint's slot if it isn't the expected one.
async fn claim_in(
    loan: &mut Loan,
    log: LogId,
    expected: Slot,
    claim: ClaimId,
) -> Result<Option<Row>, Failure> {
    let client = loan.client()?;
    let create = client.prepare_cached(CREATE).await?;
    client.execute(&create, &[&log.0]).await?;
    let transaction = client.transaction().await?;
    let update = transaction.prepare_cached(CLAIM).await?;
    let won = transaction
        .execute(&update, &[&log.0, &expected.0, &&claim.0[..]])
        .await?
        == 1;
    if !won {
        let floor = transaction.prepare_cached(FLOOR).await?;
        return Ok(Some(transaction.query_one(&floor, &[&log.0]).await?));
    }
    for statement in [UNDO_CHANGES, UNDO_CREATIONS] {
        let undo = transaction.prepare_cached(statement).await?;
        transaction.execute(&undo, &[&log.0, &expected.0]).await?;
    }
    let forget = transaction.prepare_cached(UNDO_FORGET).await?;
    transaction.execute(&forget, &[&log.0]).await?;
    transaction.commit().await?;
    Ok(None)
}

pub(super) async fn chunk(
    pool: &Pool,
    log: LogId,
    claim: ClaimId,
    upserts: &[KvRow],
    deletes: &[Bytes],
) -> Result<Chunked> {
    const ACTION: &str = "writing a checkpoint chunk";
    let mut loan = pool.borrow(ACTION).await?;
    let result = chunk_in(&mut loan, log, claim, upserts, deletes).await;
    result.map_err(|failure| loan.fail(ACTION, failure))
}

async fn chunk_in(
    loan: &mut Loan,
    log: LogId,
    claim: ClaimId,
    upserts: &[KvRow],
    deletes: &[Bytes],
) -> Result<Chunked, Failure> {
    let transaction = loan.client()?.transaction().await?;
    let check = transaction.prepare_cached(CLAIM_CHECK).await?;
    let Some(row) = transaction
        .query_opt(&check, &[&log.0, &&claim.0[..]])
        .await?
    else {
        return Ok(Chunked::ClaimLost);
    };
    let slot: i64 = row.try_get(0)?;
    let keys: Vec<&[u8]> = upserts.iter().map(|row| &row.key[..]).collect();
    let touched: Vec<&[u8]> = keys
        .iter()
        .copied()
        .chain(deletes.iter().map(|key| &key[..]))
        .collect();
    let places: Vec<Vec<u8>> = touched.iter().map(|key| place(key)).collect();
    let (changed_places, deleted_places) = places.split_at(keys.len());
    let keep = transaction.prepare_cached(KEEP).await?;
    transaction
        .execute(&keep, &[&log.0, &slot, &places, &touched])
        .await?;
    if !upserts.is_empty() {
        let numbers = |of: fn(&KvRow) -> i64| upserts.iter().map(of).collect::<Vec<i64>>();
        let (created, changed) = (
            numbers(|row| row.create_revision),
            numbers(|row| row.mod_revision),
        );
        let (versions, leases) = (numbers(|row| row.version), numbers(|row| row.lease));
        let values: Vec<&[u8]> = upserts.iter().map(|row| &row.value[..]).collect();
        let upsert = transaction.prepare_cached(UPSERT).await?;
        let parameters: Parameters<'_> = &[
            &log.0,
            &changed_places,
            &keys,
            &created,
            &changed,
            &versions,
            &leases,
            &values,
        ];
        transaction.execute(&upsert, parameters).await?;
    }
    if !deleted_places.is_empty() {
        let delete = transaction.prepare_cached(DELETE).await?;
        transaction
            .execute(&delete, &[&log.0, &deleted_places])
            .await?;
    }
    transaction.commit().await?;
    Ok(Chunked::Written)
}

pub(super) async fn advance(
    pool: &Pool,
    log: LogId,
    claim: ClaimId,
    meta: &CheckpointMeta,
) -> Result<Advanced> {
    const ACTION: &str = "advancing the checkpoint";
    let (claim, id, state) = (&claim.0[..], &meta.id.0[..], &meta.state[..]);
    let parameters: Parameters<'_> = &[&log.0, &claim, &meta.slot.0, &id, &meta.revision, &state];
    if pool.execute(ACTION, ADVANCE, parameters).await? == 1 {
        return Ok(Advanced::Moved);
    }
    let rows = pool.query(ACTION, PLACE, &[&log.0]).await?;
    let Some(row) = rows.first() else {
        return Ok(Advanced::ClaimLost);
    };
    let already = column::<i64>(row, 0)? == meta.slot.0 && fixed(row, 1)? == meta.id.0;
    Ok(if already {
        Advanced::Moved
    } else {
        Advanced::ClaimLost
    })
}

pub(super) async fn kv_list(
    pool: &Pool,
    log: LogId,
    at: Slot,
    after: Option<Bytes>,
    limit: usize,
) -> Result<KvPage> {
    let limit = limit.max(1);
    let first = after.map_or_else(Vec::new, |after| behind(&after));
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX);
    let parameters: Parameters<'_> = &[&log.0, &at.0, &first, &wanted];
    let rows = pool
        .query("listing checkpoint rows", KV_LIST, parameters)
        .await?;
    let floor = Slot(column(only(&rows)?, 0)?);
    if floor != at {
        return Ok(KvPage::Moved { slot: floor });
    }
    let mut page = Vec::with_capacity(rows.len());
    let mut previous: Option<&[u8]> = None;
    for row in &rows {
        let Some(key) = column::<Option<&[u8]>>(row, 1)? else {
            continue;
        };
        if previous == Some(key) {
            continue;
        }
        previous = Some(key);
        if column(row, 2)? {
            page.push(kv_row(row)?);
        }
    }
    let next = previous
        .filter(|_| rows.len() >= limit)
        .map(Bytes::copy_from_slice);
    Ok(KvPage::Rows { rows: page, next })
}

fn kv_row(row: &Row) -> Result<KvRow> {
    Ok(KvRow {
        key: bytes(row, 1)?,
        create_revision: column(row, 3)?,
        mod_revision: column(row, 4)?,
        version: column(row, 5)?,
        lease: column(row, 6)?,
        value: bytes(row, 7)?,
    })
}
