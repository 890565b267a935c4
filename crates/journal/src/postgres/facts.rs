//! Identity, size and members.

use rand::RngCore as _;

use super::entries::{column, only};
use super::pool::{Parameters, Pool};
use crate::member::{formats_parse, formats_text};
use crate::{DatabaseIdentity, ErrorKind, LogId, LogMeta, Member, Result, StoreSize, WriterId};

pub(super) const SERVER: &str = "SELECT pg_is_in_recovery(), version()";

/// The timeline comes from the log's insert position: the control file lags behind a promotion.
pub(super) const SYSTEM: &str = "\
SELECT system_identifier::text, CASE WHEN pg_is_in_recovery() THEN '0' \
ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END FROM pg_control_system()";

pub(super) const LOG_CREATE: &str =
    "INSERT INTO log (log_id, cluster_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";

pub(super) const LOG_READ: &str = "SELECT cluster_id FROM log WHERE log_id = $1";

pub(super) const SIZE: &str = "\
SELECT (pg_total_relation_size('journal') + pg_total_relation_size('kv') \
+ pg_total_relation_size('kv_before') + pg_total_relation_size('checkpoint'))::bigint";

pub(super) const MEMBER_UPSERT: &str = "\
INSERT INTO member (log_id, id, name, addresses, formats, heartbeat) VALUES ($1, $2, $3, $4, $5, $6) \
ON CONFLICT (log_id, id) DO UPDATE SET name = excluded.name, addresses = excluded.addresses, \
formats = excluded.formats, heartbeat = excluded.heartbeat";

pub(super) const MEMBER_LIST: &str =
    "SELECT id, name, addresses, formats, heartbeat FROM member WHERE log_id = $1";

pub(super) const MEMBER_DELETE: &str = "DELETE FROM member WHERE log_id = $1 AND id = $2";

/// YugabyteDB has no control file and no timeline; the chain of entries has to do there.
pub(super) async fn identity(pool: &Pool) -> Result<DatabaseIdentity> {
    const ACTION: &str = "reading the database's identity";
    let rows = pool.query(ACTION, SERVER, &[]).await?;
    let server = only(&rows)?;
    let (system, timeline) = match pool.query(ACTION, SYSTEM, &[]).await {
        Ok(rows) => {
            let row = only(&rows)?;
            let timeline = i64::from_str_radix(column(row, 1)?, 16).unwrap_or_default();
            (column(row, 0)?, timeline)
        }
        Err(error) if matches!(error.kind(), ErrorKind::Refused | ErrorKind::Denied) => {
            (String::new(), 0)
        }
        Err(error) => return Err(error),
    };
    Ok(DatabaseIdentity {
        system,
        timeline,
        in_recovery: column(server, 0)?,
        version: column(server, 1)?,
    })
}

pub(super) async fn log_meta(pool: &Pool, log: LogId) -> Result<LogMeta> {
    const ACTION: &str = "reading the log's identity";
    let rows = pool.query(ACTION, LOG_READ, &[&log.0]).await?;
    if let Some(row) = rows.first() {
        return Ok(LogMeta {
            cluster_id: column::<i64>(row, 0)?.cast_unsigned(),
        });
    }
    let random = rand::rng().next_u64().max(1).cast_signed();
    pool.execute(ACTION, LOG_CREATE, &[&log.0, &random]).await?;
    let rows = pool.query(ACTION, LOG_READ, &[&log.0]).await?;
    Ok(LogMeta {
        cluster_id: column::<i64>(only(&rows)?, 0)?.cast_unsigned(),
    })
}

pub(super) async fn size(pool: &Pool) -> Result<StoreSize> {
    let rows = pool.query("reading the store's size", SIZE, &[]).await?;
    let total_bytes = column::<i64>(only(&rows)?, 0)?.unsigned_abs();
    Ok(StoreSize {
        total_bytes,
        used_bytes: total_bytes,
    })
}

pub(super) async fn member_upsert(pool: &Pool, log: LogId, member: &Member) -> Result<()> {
    let (id, formats) = (member.id.to_sql(), formats_text(&member.formats));
    let parameters: Parameters<'_> = &[
        &log.0,
        &id,
        &member.name,
        &member.addresses,
        &formats,
        &member.heartbeat,
    ];
    pool.execute("writing a member", MEMBER_UPSERT, parameters)
        .await
        .map(drop)
}

pub(super) async fn member_list(pool: &Pool, log: LogId) -> Result<Vec<Member>> {
    let rows = pool
        .query("listing members", MEMBER_LIST, &[&log.0])
        .await?;
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

pub(super) async fn member_delete(pool: &Pool, log: LogId, id: WriterId) -> Result<()> {
    let id = id.to_sql();
    pool.execute("removing a member", MEMBER_DELETE, &[&log.0, &id])
        .await
        .map(drop)
}
