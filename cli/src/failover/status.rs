//! `helium failover status`: who leads, and how the members stand.

use jiff::Timestamp;

use super::api::{self, Asked, Group};
use super::view::GroupRow;
use super::watch;
use crate::connection::Connection;
use crate::error::Result;
use crate::options::{FailoverGroupOptions, FailoverStatusOptions, OutputFormat};
use crate::table::{self, ago};

/// What is looked at.
pub(super) enum Scope {
    /// All groups, of one namespace or of all.
    Groups {
        /// A way to ask.
        connection: Connection,
        /// The namespace.
        namespace: Option<String>,
    },
    /// One group with its members.
    One(Asked),
}

/// Prints groups, or one.
pub(super) async fn run(options: FailoverStatusOptions) -> Result<()> {
    let FailoverStatusOptions {
        group,
        namespace,
        output,
        watch,
        access,
    } = options;
    let scope = match group {
        Some(group) => {
            let options = FailoverGroupOptions {
                group,
                namespace,
                access,
            };
            Scope::One(Asked::open(options).await?)
        }
        None => Scope::Groups {
            connection: Connection::open(&access).await?,
            namespace,
        },
    };
    if watch {
        return watch::run(scope, output).await;
    }
    let rows = scope.rows().await?;
    if rows.is_empty() && output == OutputFormat::Text {
        eprintln!("no failover groups: each MultiCluster makes its own (docs/failover.md)");
        return Ok(());
    }
    table::print(&scope.render(&rows, output, Timestamp::now()));
    Ok(())
}

impl Scope {
    /// What there is now.
    async fn rows(&self) -> Result<Vec<GroupRow>> {
        let groups = match self {
            Self::One(asked) => vec![asked.group().await?],
            Self::Groups {
                connection,
                namespace,
            } => api::groups(connection, namespace.as_deref()).await?.0,
        };
        let mut rows = Vec::with_capacity(groups.len());
        for group in &groups {
            rows.push(self.row(group).await);
        }
        Ok(rows)
    }

    /// What is shown of a group, with a look at its lease.
    pub(super) async fn row(&self, group: &Group) -> GroupRow {
        // Where nobody leads there is nothing to run out.
        let record = match &group.status.leader {
            Some(_) => api::record(self.connection(), &group.name).await,
            None => None,
        };
        GroupRow::of(group, record.as_ref(), Timestamp::now())
    }

    /// A way to ask.
    pub(super) fn connection(&self) -> &Connection {
        match self {
            Self::One(asked) => &asked.connection,
            Self::Groups { connection, .. } => connection,
        }
    }

    /// Which namespace is looked at; `None` for all.
    pub(super) fn namespace(&self) -> Option<&str> {
        match self {
            Self::One(asked) => Some(&asked.name.namespace),
            Self::Groups { namespace, .. } => namespace.as_deref(),
        }
    }

    /// Whether a group is among what is looked at.
    pub(super) fn includes(&self, group: &Group) -> bool {
        match self {
            Self::One(asked) => asked.name == group.name,
            Self::Groups { .. } => true,
        }
    }

    /// What is printed.
    pub(super) fn render(&self, rows: &[GroupRow], output: OutputFormat, now: Timestamp) -> String {
        match (output, self, rows) {
            // Texts and numbers only: it can't fail to serialise.
            (OutputFormat::Json, Self::One(_), [row]) => {
                serde_json::to_string(row).unwrap_or_default() + "\n"
            }
            (OutputFormat::Json, ..) => serde_json::to_string(rows).unwrap_or_default() + "\n",
            (OutputFormat::Text, Self::One(_), rows) => {
                rows.iter().map(|row| details(row, now)).collect()
            }
            (OutputFormat::Text, Self::Groups { .. }, rows) => groups(rows, now),
        }
    }
}

fn groups(rows: &[GroupRow], now: Timestamp) -> String {
    let head = [
        "NAMESPACE",
        "GROUP",
        "LEADER",
        "ADDRESS",
        "TOKEN",
        "SINCE",
        "MODE",
        "PAUSED",
        "MEMBERS",
        "CONDITION",
    ];
    let cells = rows.iter().map(|row| {
        [
            row.namespace.clone(),
            row.group.clone(),
            row.leader
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            row.leader_address.clone().unwrap_or_default(),
            row.token.map(|token| token.to_string()).unwrap_or_default(),
            ago(row.since, now),
            format!("{:?}", row.mode),
            if row.paused { "yes" } else { "no" }.to_owned(),
            format!("{}/{} ready", row.ready_members, row.members.len()),
            row.condition.as_str().to_owned(),
        ]
    });
    table::render(head, cells)
}

fn details(row: &GroupRow, now: Timestamp) -> String {
    let mut text = format!("{}/{}: ", row.namespace, row.group);
    text.push_str(&match (&row.leader, row.token) {
        (Some(leader), token) => {
            let token = token.map(|token| format!(" with token {token}"));
            let address = row.leader_address.as_ref().map(|at| format!(" at {at}"));
            format!(
                "{leader} leads{}{} since {}",
                address.unwrap_or_default(),
                token.unwrap_or_default(),
                ago(row.since, now)
            )
        }
        (None, _) => format!("nobody has led since {}", ago(row.since, now)),
    });
    if let Some(reason) = row.reason.as_ref().filter(|reason| !reason.is_empty()) {
        text.push_str(&format!(" ({reason})"));
    }
    text.push_str(&format!(
        "\nmode {:?}, lease {} s, stop budget {} s, dead-man's switch {:?}; condition {}\n",
        row.mode,
        row.lease_duration_seconds,
        row.stop_budget_seconds,
        row.dead_man_switch,
        row.condition.as_str()
    ));
    if row.paused {
        text.push_str("paused: nobody else begins (helium failover resume)\n");
    }
    if let Some(cluster) = &row.preferred_cluster {
        text.push_str(&format!(
            "{cluster} is preferred, whatever the ranks (helium failover handover --undo)\n"
        ));
    }
    text.push('\n');
    let head = [
        "CLUSTER", "RANK", "READY", "STATE", "REASON", "SINCE", "ADDRESS", "MESSAGE",
    ];
    let cells = row.members.iter().map(|one| {
        [
            one.cluster.to_string(),
            one.rank.to_string(),
            if one.ready { "yes" } else { "no" }.to_owned(),
            one.state.clone(),
            one.reason.clone(),
            ago(super::view::time(one.since.as_deref()), now),
            one.address.clone().unwrap_or_default(),
            one.message.clone(),
        ]
    });
    text + &table::render(head, cells)
}
