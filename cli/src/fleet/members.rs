//! `helium members`: who takes part, as the cluster that is asked sees it.

use jiff::Timestamp;
use serde::Serialize;

use super::api::{self, Member};
use crate::connection::Connection;
use crate::error::Result;
use crate::options::{MembersOptions, OutputFormat};
use crate::table::{self, ago};

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    /// member, open (no authority), revoked, leaving.
    state: &'static str,
    ready: String,
    registered: String,
    store_reachable: String,
    kubernetes: String,
    helium: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    heartbeat: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    revoked_reason: String,
}

/// Prints the members.
pub(crate) async fn run(options: MembersOptions) -> Result<()> {
    let MembersOptions { output, access } = options;
    let connection = Connection::open(&access).await?;
    let members = api::members(&connection).await?;
    // Whoever may read members, but no leases, sees the rest.
    let heartbeats = api::heartbeats(&connection).await.unwrap_or_default();
    let mut rows: Vec<Row> = members
        .iter()
        .map(|member| {
            let mut heartbeats = heartbeats.iter();
            let heartbeat = heartbeats.find(|(name, _)| *name == member.name);
            row(member, heartbeat.map(|(_, renewed)| *renewed))
        })
        .collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    match output {
        // Texts only: it can't fail to serialise.
        OutputFormat::Json => {
            table::print(&(serde_json::to_string(&rows).unwrap_or_default() + "\n"));
        }
        OutputFormat::Text if rows.is_empty() => {
            eprintln!("no members: the fleet is open (helium init makes the first)");
        }
        OutputFormat::Text => table::print(&text(rows, Timestamp::now())),
    }
    Ok(())
}

fn row(member: &Member, heartbeat: Option<Timestamp>) -> Row {
    let text = |path: [&str; 3]| {
        let value = &member.object[path[0]][path[1]][path[2]];
        value.as_str().unwrap_or_default().to_owned()
    };
    Row {
        name: member.name.clone(),
        state: if member.revoked {
            "revoked"
        } else if !member.object["metadata"]["deletionTimestamp"].is_null() {
            "leaving"
        } else if member.authorities.is_empty() {
            "open"
        } else {
            "member"
        },
        ready: member.condition("Ready").to_owned(),
        registered: member.condition("Registered").to_owned(),
        store_reachable: member.condition("StoreReachable").to_owned(),
        kubernetes: text(["status", "versions", "kubernetes"]),
        helium: text(["status", "versions", "helium"]),
        heartbeat,
        revoked_reason: member.object["spec"]["revokedReason"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    }
}

fn text(rows: Vec<Row>, now: Timestamp) -> String {
    let head = [
        "NAME",
        "STATE",
        "READY",
        "REGISTERED",
        "STORE",
        "KUBERNETES",
        "HELIUM",
        "HEARTBEAT",
        "REASON",
    ];
    let cells = rows.into_iter().map(|row| {
        [
            row.name,
            row.state.to_owned(),
            row.ready,
            row.registered,
            row.store_reachable,
            row.kubernetes,
            row.helium,
            ago(row.heartbeat, now),
            row.revoked_reason,
        ]
    });
    table::render(head, cells)
}
