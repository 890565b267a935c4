//! What a write of a group's lease does to the group's `status` (G2). Pure.
//!
//! The record follows the lease, which is the truth: whatever the group said before, afterwards it says who holds the lease now,
//! and its history ends with that term. So a group that was deleted, or restored from somewhere, is right again with
//! the next write of its lease.
//!
//! Nobody knows the token of a term before it is written: the token is that write's revision. A record is stored without it then, and
//! [`complete`] fills it in wherever a group is read, by the revision of the group itself, which is the same; every later write
//! stores it.

use helium_apimachinery::lease::{TOKEN, begins_term, holder};
use helium_apimachinery::meta::Object;
use helium_failover::kind::{HISTORY, TermEntry};
use helium_failover::lease::{ADDRESS, REASON};
use helium_failover::{ClusterName, Token};
use serde_json::{Map, Value, json};

/// What of a group's status only the server writes.
pub(super) const OWNED: [&str; 6] = [
    "leader",
    "leaderAddress",
    "token",
    "since",
    "reason",
    "history",
];

/// A write of a lease: what was there before, and what is there then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaseWrite<'a> {
    /// What was there, with its token.
    pub(crate) old: Option<&'a Object>,
    /// What is there; its token is known if no term begins.
    pub(crate) new: Option<&'a Object>,
}

impl LeaseWrite<'_> {
    /// Whether it begins a term.
    pub(crate) fn begins_term(&self) -> bool {
        self.new.is_some_and(|new| begins_term(self.old, new))
    }

    /// Whether it ends one.
    fn ends_term(&self) -> bool {
        let freed = self.new.is_none_or(|new| holder(new).is_empty());
        self.old.is_some_and(is_held) && (freed || self.begins_term())
    }

    /// Whether it certainly changes what the group says.
    pub(crate) fn is_news(&self) -> bool {
        let address = |lease: Option<&Object>| {
            lease
                .and_then(|lease| annotation(lease, ADDRESS))
                .map(str::to_owned)
        };
        self.begins_term()
            || self.ends_term()
            || (self.new.is_some_and(is_held) && address(self.old) != address(self.new))
    }
}

/// Whether a group says of its leader what the lease says.
pub(crate) fn agrees(group: &Object, lease: Option<&Object>) -> bool {
    let held = lease.filter(|lease| is_held(lease));
    let said = |field: &str| group.get_path(&["status", field]);
    let leader = said("leader").and_then(Value::as_str);
    leader == held.map(holder) && said("token").and_then(Value::as_i64) == held.and_then(token)
}

/// Writes into a group's status what a write of its lease comes to, at this time (RFC 3339).
pub(crate) fn write(group: &mut Object, lease: LeaseWrite<'_>, now: &str) {
    let mut status = match group.remove("status") {
        Some(Value::Object(status)) => status,
        _ => Map::new(),
    };
    let said = Leader::of(&status);
    let mut history = Terms::of(&status);
    history.catch_up(lease.old, now);

    let held = lease.new.filter(|new| is_held(new));
    let reason = lease.new.and_then(|new| annotation(new, REASON));
    if lease.ends_term() {
        let otherwise = match (lease.new, held) {
            (None, _) => "Deleted",
            (Some(_), None) => "GivenUp",
            (Some(_), Some(_)) => "TakenOver",
        };
        history.end(reason.unwrap_or(otherwise), now);
    }
    if let Some(new) = held.filter(|_| lease.begins_term()) {
        history.begin(new, reason.unwrap_or_default(), now);
    }
    let present = held.map(|new| Leader {
        cluster: holder(new).to_owned(),
        token: if lease.begins_term() {
            None
        } else {
            token(new)
        },
    });
    let since = match (&present, history.0.first_mut()) {
        (Some(_), Some(term)) => {
            let address = held.and_then(|new| annotation(new, ADDRESS));
            term.address = address.map(str::to_owned);
            Some((term.began.clone(), term.reason.clone()))
        }
        (None, Some(term)) => term
            .ended
            .clone()
            .map(|ended| (ended, term.end_reason.clone())),
        (_, None) => None,
    };
    set(
        &mut status,
        "leader",
        present.as_ref().map(|leader| leader.cluster.clone().into()),
    );
    set(
        &mut status,
        "token",
        present
            .as_ref()
            .and_then(|leader| leader.token)
            .map(Value::from),
    );
    let address = held.and_then(|new| annotation(new, ADDRESS));
    set(&mut status, "leaderAddress", address.map(Value::from));
    if present != said || lease.begins_term() || lease.ends_term() {
        let (since, reason) = since.unzip();
        set(&mut status, "since", since.map(Value::from));
        let reason = reason.filter(|reason| !reason.is_empty());
        set(&mut status, "reason", reason.map(Value::from));
    }
    history.store(&mut status);
    group.set("status", Value::Object(status));
}

/// Fills in the token of a term that began with the very write of which the group was read, at a revision.
pub(crate) fn complete(group: &mut Object, revision: i64) {
    let unknown = group.get_path(&["status", "leader"]).is_some()
        && group.get_path(&["status", "token"]).is_none();
    if !unknown {
        return;
    }
    group.with_value_mut(|group| {
        group["status"]["token"] = revision.into();
        if let Some(term) = group["status"]
            .pointer_mut("/history/0")
            .and_then(Value::as_object_mut)
        {
            term.entry("token").or_insert(revision.into());
        }
    });
}

/// Who a status says leads.
#[derive(Debug, PartialEq, Eq)]
struct Leader {
    cluster: String,
    token: Option<i64>,
}

impl Leader {
    fn of(status: &Map<String, Value>) -> Option<Self> {
        Some(Self {
            cluster: status.get("leader")?.as_str()?.to_owned(),
            token: status.get("token").and_then(Value::as_i64),
        })
    }
}

/// A group's history, the newest first.
struct Terms(Vec<TermEntry>);

impl Terms {
    fn of(status: &Map<String, Value>) -> Self {
        let entries = status.get("history").and_then(Value::as_array);
        Self(
            entries
                .into_iter()
                .flatten()
                .filter_map(|entry| serde_json::from_value(entry.clone()).ok())
                .collect(),
        )
    }

    /// Makes the newest entry the term that the lease had until now, if it had one; others are over.
    fn catch_up(&mut self, lease: Option<&Object>, now: &str) {
        let held = lease.filter(|lease| is_held(lease));
        let known = |entry: &TermEntry| {
            held.is_some_and(|lease| {
                entry.cluster.0 == holder(lease) && entry.token.map(|token| token.0) == token(lease)
            })
        };
        if self.0.first().is_some_and(known) {
            // It goes on, whatever was said of it.
            self.0[0].ended = None;
            self.0[0].end_reason.clear();
            return;
        }
        self.end("Forgotten", now);
        if let Some(lease) = held {
            let acquired = lease.get_path(&["spec", "acquireTime"]);
            let acquired = acquired.and_then(Value::as_str).unwrap_or(now);
            self.begin(lease, "", acquired);
            self.0[0].token = token(lease).map(Token);
        }
    }

    fn begin(&mut self, lease: &Object, reason: &str, at: &str) {
        let term = TermEntry {
            token: None,
            cluster: ClusterName(holder(lease).to_owned()),
            address: annotation(lease, ADDRESS).map(str::to_owned),
            began: at.to_owned(),
            reason: reason.to_owned(),
            ended: None,
            end_reason: String::new(),
        };
        self.0.insert(0, term);
    }

    /// Ends the newest term, unless it has ended.
    fn end(&mut self, reason: &str, at: &str) {
        if let Some(term) = self.0.first_mut().filter(|term| term.ended.is_none()) {
            term.ended = Some(at.to_owned());
            term.end_reason = reason.to_owned();
        }
    }

    fn store(mut self, status: &mut Map<String, Value>) {
        self.0.truncate(HISTORY);
        let entries = (!self.0.is_empty()).then(|| json!(self.0));
        set(status, "history", entries);
    }
}

fn is_held(lease: &Object) -> bool {
    !holder(lease).is_empty()
}

fn token(lease: &Object) -> Option<i64> {
    annotation(lease, TOKEN)?.parse().ok()
}

fn annotation<'a>(lease: &'a Object, key: &str) -> Option<&'a str> {
    let value = lease
        .get_path(&["metadata", "annotations", key])?
        .as_str()?;
    (!value.is_empty()).then_some(value)
}

fn set(status: &mut Map<String, Value>, field: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            status.insert(field.to_owned(), value);
        }
        None => {
            status.remove(field);
        }
    }
}

#[cfg(test)]
mod tests;
