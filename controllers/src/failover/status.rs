//! What a MultiCluster's status says: values only.
//!
//! The seed's four fields keep their meaning, and are true: `leading`, `leaderAddress`, `ready`, `port`. The rest is
//! ours. Nothing in it changes by itself, so it is written only when there is something new.

use helium_failover::Token;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::membership::{Verdict, put};

/// The object is understood and takes part.
pub(super) const ACCEPTED: &str = "Accepted";
/// The payload is in this cluster as the object says.
pub(super) const PAYLOAD_APPLIED: &str = "PayloadApplied";
/// Everything of the payload is ready.
pub(super) const PAYLOAD_READY: &str = "PayloadReady";
/// Members of the group have different payloads.
pub(super) const PAYLOAD_CONFLICT: &str = "PayloadConflict";
/// Earlier terms are over, as far as this member can know.
pub(super) const PREDECESSOR_STOPPED: &str = "PredecessorStopped";

/// A change of state that a person may ask about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transition {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) time: Timestamp,
}

/// All that there is to say.
#[derive(Debug, Clone, Default)]
pub(super) struct Report {
    pub(super) leading: bool,
    pub(super) leader_address: String,
    pub(super) ready: bool,
    pub(super) port: i64,
    pub(super) state: String,
    pub(super) reason: String,
    pub(super) token: Option<Token>,
    pub(super) group: String,
    pub(super) leader: Option<String>,
    pub(super) conditions: Vec<(&'static str, Verdict)>,
    pub(super) transition: Option<Transition>,
    pub(super) generation: Option<i64>,
}

/// A condition with a status that is known.
pub(super) fn verdict(is: bool, reason: &'static str, message: impl Into<String>) -> Verdict {
    Verdict {
        status: if is { "True" } else { "False" },
        reason,
        message: message.into(),
        since: None,
    }
}

/// The status with the report in it; what isn't ours stays.
pub(super) fn with(old: Option<&Value>, report: &Report, now: Timestamp) -> Value {
    let mut status = old
        .filter(|status| status.is_object())
        .cloned()
        .unwrap_or_else(|| json!({}));
    status["leading"] = report.leading.into();
    status["leaderAddress"] = report.leader_address.as_str().into();
    status["ready"] = report.ready.into();
    status["port"] = report.port.into();
    status["state"] = report.state.as_str().into();
    status["reason"] = report.reason.as_str().into();
    let mut optional = |name: &str, value: Option<Value>| match value {
        Some(value) => status[name] = value,
        None => {
            status.as_object_mut().map(|map| map.remove(name));
        }
    };
    optional("token", report.token.map(|token| token.0.into()));
    optional("leader", report.leader.as_deref().map(Into::into));
    optional(
        "group",
        Some(report.group.as_str())
            .filter(|name| !name.is_empty())
            .map(Into::into),
    );
    optional("observedGeneration", report.generation.map(Into::into));
    if let Some(transition) = &report.transition {
        let Transition {
            from,
            to,
            reason,
            message,
            time,
        } = transition;
        let time = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        status["lastTransition"] =
            json!({"from": from, "to": to, "reason": reason, "message": message, "time": time});
    }
    for (type_, verdict) in &report.conditions {
        put(&mut status, type_, verdict, now);
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_fields_and_ours() {
        let report = Report {
            leading: true,
            leader_address: "10.0.0.1".to_owned(),
            ready: true,
            port: 9990,
            state: "Leading".to_owned(),
            reason: "Applied".to_owned(),
            token: Some(Token(7)),
            group: "city".to_owned(),
            leader: Some("east".to_owned()),
            conditions: vec![(ACCEPTED, verdict(true, "Valid", "the object is understood"))],
            transition: Some(Transition {
                from: "Starting".to_owned(),
                to: "Leading".to_owned(),
                reason: "Applied".to_owned(),
                message: "the payload is applied".to_owned(),
                time: Timestamp::UNIX_EPOCH,
            }),
            generation: Some(3),
        };
        let now = Timestamp::UNIX_EPOCH;
        let written = with(Some(&json!({"theirs": 1})), &report, now);
        insta::assert_json_snapshot!("leading", written);
        // Saying the same again changes nothing, later too.
        let later = Timestamp::from_second(60).unwrap();
        assert_eq!(with(Some(&written), &report, later), written);
        let over = with(Some(&written), &Report::default(), later);
        assert_eq!(over["token"], Value::Null);
        assert_eq!(over["leading"], false);
        assert_eq!(over["lastTransition"]["to"], "Leading");
    }
}
