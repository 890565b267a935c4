//! `helium revoke`: a cluster is shut out, first by the fleet, then by the database.
//!
//! The Member first: it is one write, and from it on every server and every shim refuses the cluster. Then the database role, if its
//! administrator's URL is given: without that, whoever has the role's password can still write the journal (docs/threat-model.md). Then
//! it is looked whether the cluster really has fallen silent.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{api, database};
use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::options::RevokeOptions;
use crate::table;

/// Within that time everybody refuses the cluster.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);
/// Longer than a member's agent takes from one heartbeat to the next.
const BEAT: Duration = Duration::from_secs(7);
/// A cluster that was heard of more recently was alive.
const ALIVE: SignedDuration = SignedDuration::from_secs(15);

/// Shuts a cluster out, or lets it in again.
pub(crate) async fn run(options: RevokeOptions) -> Result<()> {
    let RevokeOptions {
        cluster,
        reason,
        undo,
        database_url,
        access,
    } = options;
    let cluster = cluster.as_str();
    let connection = Connection::open(&access).await?;
    let own = api::own_name(&connection).await?;
    if own == cluster {
        return Err(Error::OwnCluster { cluster: own });
    }
    if api::member(&connection, cluster).await?.is_none() {
        return Err(Error::NoMember {
            cluster: cluster.to_owned(),
        });
    }
    if undo {
        admit(&connection, cluster, database_url.as_deref()).await
    } else {
        let reason = reason.unwrap_or_default();
        shut_out(&connection, cluster, &reason, database_url.as_deref()).await
    }
}

async fn shut_out(
    connection: &Connection,
    cluster: &str,
    reason: &str,
    database_url: Option<&str>,
) -> Result<()> {
    let heard = heartbeat(connection, cluster).await;
    let spec = json!({"revoked": true, "revokedReason": reason});
    let member = api::member_merge(connection, cluster, spec)
        .await
        .map_err(api::refused(format!("revoking {cluster}")))?;
    if !member.revoked {
        return Err(Error::NotSettled {
            what: format!("the revocation of {cluster}"),
            seconds: 0,
        });
    }
    let version = member.object["metadata"]["resourceVersion"].as_str();
    table::print(&format!(
        "✓ {cluster} is revoked (resourceVersion {}): servers and shims refuse it within {} s\n",
        version.unwrap_or_default(),
        REFUSED_WITHIN.as_secs()
    ));
    match database_url {
        Some(url) => {
            let (sessions, unreached) = database::revoke(url, cluster).await?;
            table::print(&format!(
                "✓ its database role can't log in any more; sessions that were ended: {sessions}\n"
            ));
            if !unreached.is_empty() {
                table::print(&format!(
                    "! sessions on {} weren't ended; they have no rights any more\n",
                    unreached.join(", ")
                ));
            }
        }
        None => table::print(
            "! its database role was left as it is: with its password the journal can be written past all servers.\n    \
             do     run this again with --database-url, or: ALTER ROLE … NOLOGIN (docs/threat-model.md)\n",
        ),
    }
    silent(connection, cluster, heard).await
}

/// Looks whether the cluster goes on renewing its heartbeat.
async fn silent(connection: &Connection, cluster: &str, heard: Option<Timestamp>) -> Result<()> {
    let alive = heard.is_some_and(|heard| Timestamp::now().duration_since(heard) < ALIVE);
    if !alive {
        table::print(&match heard {
            Some(heard) => format!("✓ it had been silent since {heard:.0}\n"),
            None => "✓ it has never been heard of\n".to_owned(),
        });
        return Ok(());
    }
    tokio::time::sleep(REFUSED_WITHIN).await;
    let first = heartbeat(connection, cluster).await;
    tokio::time::sleep(BEAT).await;
    if heartbeat(connection, cluster).await != first {
        return Err(Error::StillHeard {
            cluster: cluster.to_owned(),
        });
    }
    table::print("✓ its heartbeat has stopped\n");
    Ok(())
}

async fn admit(connection: &Connection, cluster: &str, database_url: Option<&str>) -> Result<()> {
    // The database first: a cluster that is let in finds its way.
    if let Some(url) = database_url {
        database::restore(url, cluster).await?;
        table::print("✓ its database role may log in again, with the password that it had\n");
    }
    let spec = json!({"revoked": false, "revokedReason": null});
    api::member_merge(connection, cluster, spec)
        .await
        .map_err(api::refused(format!("letting {cluster} in again")))?;
    table::print(&format!("✓ {cluster} is a member again\n"));
    if database_url.is_none() {
        table::print(
            "! if its database role was shut out, let it in too: run this again with --database-url\n",
        );
    }
    Ok(())
}

async fn heartbeat(connection: &Connection, cluster: &str) -> Option<Timestamp> {
    let all = api::heartbeats(connection).await.unwrap_or_default();
    let mut all = all.into_iter();
    all.find(|(name, _)| name == cluster)
        .map(|(_, heard)| heard)
}
