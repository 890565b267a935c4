//! What of a group is shown: values only.

use helium_failover::kind::{DeadManSwitch, MemberEntry, Mode, TermEntry};
use helium_failover::machine::State;
use helium_failover::{ClusterName, Token};
use jiff::Timestamp;
use serde::Serialize;

use super::api::{Group, Record};

/// A group in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Condition {
    /// Somebody leads and has its payload applied.
    Led,
    /// Somebody leads, and members differ in what they would run.
    PayloadConflict,
    /// A leader applies its payload.
    Starting,
    /// A leader waits until an earlier term is known to be over (strict mode).
    Waiting,
    /// The leader stops its payload.
    Stopping,
    /// The leader's record has run out, by this machine's clock.
    Expired,
    /// Nobody leads, and somebody may.
    Electing,
    /// Nobody leads, and no member may.
    NoCandidate,
}

impl Condition {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Led => "Led",
            Self::PayloadConflict => "PayloadConflict",
            Self::Starting => "Starting",
            Self::Waiting => "Waiting",
            Self::Stopping => "Stopping",
            Self::Expired => "Expired",
            Self::Electing => "Electing",
            Self::NoCandidate => "NoCandidate",
        }
    }
}

/// A group, for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupRow {
    pub(super) namespace: String,
    pub(super) group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) leader: Option<ClusterName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) leader_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<Token>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    pub(super) mode: Mode,
    pub(super) dead_man_switch: DeadManSwitch,
    pub(super) lease_duration_seconds: i64,
    pub(super) stop_budget_seconds: i64,
    pub(super) paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) preferred_cluster: Option<ClusterName>,
    pub(super) condition: Condition,
    pub(super) ready_members: usize,
    pub(super) members: Vec<MemberEntry>,
}

impl GroupRow {
    /// What is shown of a group. Without a record (it can't be read, or wasn't asked for) nothing is said to have run out.
    pub(super) fn of(group: &Group, record: Option<&Record>, now: Timestamp) -> Self {
        let Group {
            name, spec, status, ..
        } = group;
        let mut members = status.members.clone();
        members.sort_by(|a, b| precedence(a).cmp(&precedence(b)));
        Self {
            namespace: name.namespace.clone(),
            group: name.callsign.clone(),
            leader: status.leader.clone(),
            leader_address: status.leader_address.clone(),
            token: status.token,
            since: time(status.since.as_deref()),
            reason: status.reason.clone(),
            mode: spec.mode,
            dead_man_switch: spec.dead_man_switch,
            lease_duration_seconds: spec.lease_duration_seconds,
            stop_budget_seconds: spec.stop_budget_seconds,
            paused: spec.paused,
            preferred_cluster: spec.preferred_cluster.clone(),
            condition: condition(group, record, now),
            ready_members: members.iter().filter(|one| one.ready).count(),
            members,
        }
    }
}

fn condition(group: &Group, record: Option<&Record>, now: Timestamp) -> Condition {
    let status = &group.status;
    let Some(leader) = &status.leader else {
        return match status.members.iter().any(|one| one.ready) {
            true => Condition::Electing,
            false => Condition::NoCandidate,
        };
    };
    if record
        .and_then(|record| record.runs_out)
        .is_some_and(|end| end < now)
    {
        return Condition::Expired;
    }
    let state = member(group, leader).map(|one| one.state.as_str());
    let is = |wanted: State| state == Some(wanted.as_str());
    if is(State::Elected) {
        Condition::Waiting
    } else if is(State::Draining) || is(State::Isolated) {
        Condition::Stopping
    } else if !is(State::Leading) {
        // Its entry comes after the term.
        Condition::Starting
    } else if differ(&status.members) {
        Condition::PayloadConflict
    } else {
        Condition::Led
    }
}

/// Whether members would run different payloads.
fn differ(members: &[MemberEntry]) -> bool {
    let mut hashes = members.iter().filter_map(|one| one.payload_hash.as_ref());
    let first = hashes.next();
    hashes.any(|one| Some(one) != first)
}

/// A member's entry.
pub(super) fn member<'a>(group: &'a Group, cluster: &ClusterName) -> Option<&'a MemberEntry> {
    let mut members = group.status.members.iter();
    members.find(|one| one.cluster == *cluster)
}

/// Whether a cluster leads, with its payload applied.
pub(super) fn leads(group: &Group, cluster: &ClusterName) -> bool {
    group.status.leader.as_ref() == Some(cluster)
        && member(group, cluster).is_some_and(|one| one.state == State::Leading.as_str())
}

/// A member that would lead before another if nothing was preferred, and may.
pub(super) fn before<'a>(group: &'a Group, cluster: &ClusterName) -> Option<&'a MemberEntry> {
    let own = member(group, cluster)?;
    let members = group.status.members.iter();
    members
        .filter(|one| one.ready && one.cluster != own.cluster)
        .filter(|one| precedence(one) < precedence(own))
        .min_by(|a, b| precedence(a).cmp(&precedence(b)))
}

/// Order in which members should lead: the highest rank, of equal ranks who joined first, then the name.
fn precedence(member: &MemberEntry) -> (std::cmp::Reverse<i64>, bool, Option<&str>, &str) {
    let joined = member.joined.as_deref();
    (
        std::cmp::Reverse(member.rank),
        joined.is_none(),
        joined,
        &member.cluster.0,
    )
}

/// A term, for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TermRow {
    #[serde(flatten)]
    pub(super) term: TermEntry,
    /// From its beginning to its end, or to now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lasted_millis: Option<i64>,
    /// From the end of the term before to its beginning: nobody led.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gap_millis: Option<i64>,
}

/// A group's terms, the newest first.
pub(super) fn terms(history: &[TermEntry], now: Timestamp) -> Vec<TermRow> {
    let millis = |from: Option<Timestamp>, to: Option<Timestamp>| {
        let span = to?.duration_since(from?);
        i64::try_from(span.as_millis()).ok()
    };
    let rows = history.iter().enumerate().map(|(index, term)| {
        let began = time(Some(&term.began));
        let ended = time(term.ended.as_deref());
        let before = history.get(index + 1);
        let free = before.and_then(|before| time(before.ended.as_deref()));
        TermRow {
            lasted_millis: millis(began, ended.or((term.ended.is_none()).then_some(now))),
            gap_millis: millis(free, began).filter(|gap| *gap >= 0),
            term: term.clone(),
        }
    });
    rows.collect()
}

/// A time as it is stored.
pub(super) fn time(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

/// What is different, a line for each thing, for people who watch.
pub(super) fn changes(before: Option<&GroupRow>, after: Option<&GroupRow>) -> Vec<String> {
    match (before, after) {
        (None, None) => Vec::new(),
        (None, Some(after)) => vec![format!("{}: {}", name(after), summary(after))],
        (Some(before), None) => vec![format!("{}: removed", name(before))],
        (Some(before), Some(after)) => {
            let mut lines = Vec::new();
            if (&before.leader, before.token, &before.leader_address)
                != (&after.leader, after.token, &after.leader_address)
            {
                lines.push(summary(after));
            }
            if before.paused != after.paused {
                let text = if after.paused { "paused" } else { "resumed" };
                lines.push(text.to_owned());
            }
            if before.preferred_cluster != after.preferred_cluster {
                lines.push(match &after.preferred_cluster {
                    Some(cluster) => format!("{cluster} is preferred"),
                    None => "nobody is preferred".to_owned(),
                });
            }
            if before.mode != after.mode {
                lines.push(format!("mode {:?}", after.mode));
            }
            lines.extend(member_changes(before, after));
            let name = name(after);
            lines.iter().map(|line| format!("{name}: {line}")).collect()
        }
    }
}

fn member_changes(before: &GroupRow, after: &GroupRow) -> Vec<String> {
    let known = |rows: &[MemberEntry], cluster: &ClusterName| {
        let mut rows = rows.iter();
        rows.find(|one| one.cluster == *cluster).cloned()
    };
    let mut lines = Vec::new();
    for one in &after.members {
        let cluster = &one.cluster;
        match known(&before.members, cluster) {
            None => lines.push(format!("{cluster} joined with rank {}", one.rank)),
            Some(was) => {
                if was.rank != one.rank {
                    lines.push(format!("{cluster} has rank {}, not {}", one.rank, was.rank));
                }
                if was.state != one.state {
                    let reason = if one.reason.is_empty() {
                        String::new()
                    } else {
                        format!(" ({})", one.reason)
                    };
                    lines.push(format!("{cluster} {} → {}{reason}", was.state, one.state));
                } else if was.ready != one.ready {
                    let text = if one.ready { "is" } else { "isn't" };
                    lines.push(format!("{cluster} {text} ready"));
                }
            }
        }
    }
    for one in &before.members {
        if known(&after.members, &one.cluster).is_none() {
            lines.push(format!("{} left", one.cluster));
        }
    }
    lines
}

fn name(row: &GroupRow) -> String {
    format!("{}/{}", row.namespace, row.group)
}

fn summary(row: &GroupRow) -> String {
    match (&row.leader, row.token) {
        (Some(leader), Some(token)) => {
            let at = match &row.leader_address {
                Some(address) => format!(" at {address}"),
                None => String::new(),
            };
            let why = row.reason.as_deref().unwrap_or_default();
            let why = if why.is_empty() {
                String::new()
            } else {
                format!(" ({why})")
            };
            format!("{leader} leads with token {token}{at}{why}")
        }
        (Some(leader), None) => format!("{leader} leads"),
        (None, _) => "nobody leads".to_owned(),
    }
}

#[cfg(test)]
mod tests;
