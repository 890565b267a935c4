//! The status of a Member, as its own cluster writes it: values only.

use jiff::Timestamp;
use serde_json::{Value, json};

/// The cluster takes part.
pub(super) const READY: &str = "Ready";
/// The store can be reached from it.
pub(super) const STORE_REACHABLE: &str = "StoreReachable";
/// It serves every shared group.
pub(super) const REGISTERED: &str = "Registered";
/// Reason of `Ready` that other clusters write.
pub(super) const MISSED: &str = "HeartbeatMissed";
/// Longest message of a condition (Kubernetes API conventions).
const MAX_MESSAGE: usize = 32 * 1024;

/// What is to be said by a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// `True`, `False` or `Unknown`.
    pub(crate) status: &'static str,
    /// One word.
    pub(crate) reason: &'static str,
    /// For people. Holds nothing that changes by itself.
    pub(crate) message: String,
    /// Since when, if that isn't the moment of writing.
    pub(crate) since: Option<Timestamp>,
}

/// A place where a cluster can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Advertised {
    /// `kubernetes` or `direct`.
    pub(super) name: &'static str,
    /// Its URL.
    pub(super) url: String,
}

/// All that a cluster says of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// Version of its kube-apiserver, once known.
    pub(super) kubernetes: Option<String>,
    /// Where it can be reached.
    pub(super) endpoints: Vec<Advertised>,
    /// Namespace and name of its heartbeat.
    pub(super) heartbeat: String,
    /// Conditions by type; those that aren't there are left as they are.
    pub(super) conditions: Vec<(&'static str, Verdict)>,
}

/// A status with the facts in it. What others have put there stays.
pub(super) fn with(status: Option<&Value>, facts: &Facts, now: Timestamp) -> Value {
    let mut status = status
        .filter(|status| status.is_object())
        .cloned()
        .unwrap_or_else(|| json!({}));
    if !status["versions"].is_object() {
        status["versions"] = json!({});
    }
    status["versions"]["helium"] = env!("CARGO_PKG_VERSION").into();
    if let Some(version) = &facts.kubernetes {
        status["versions"]["kubernetes"] = version.as_str().into();
    }
    let endpoints: Vec<Value> = facts
        .endpoints
        .iter()
        .map(|endpoint| json!({"name": endpoint.name, "url": endpoint.url}))
        .collect();
    if endpoints.is_empty() {
        status.as_object_mut().map(|map| map.remove("endpoints"));
    } else {
        status["endpoints"] = endpoints.into();
    }
    status["heartbeat"] = facts.heartbeat.as_str().into();
    for (type_, verdict) in &facts.conditions {
        put(&mut status, type_, verdict, now);
    }
    status
}

/// Puts a condition into a status. Its time changes with its status only.
pub(crate) fn put(status: &mut Value, type_: &str, verdict: &Verdict, now: Timestamp) {
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let place = conditions
        .iter()
        .position(|condition| condition["type"] == type_);
    let mut message = verdict.message.clone();
    message.truncate(message.floor_char_boundary(MAX_MESSAGE));
    let mut condition = json!({
        "type": type_, "status": verdict.status, "reason": verdict.reason, "message": message,
    });
    let time = |time: Timestamp| Value::from(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let kept = place
        .map(|at| &conditions[at])
        .filter(|old| old["status"] == verdict.status)
        .map(|old| old["lastTransitionTime"].clone())
        .filter(Value::is_string);
    condition["lastTransitionTime"] = kept.unwrap_or_else(|| time(verdict.since.unwrap_or(now)));
    match place {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
    status["conditions"] = Value::Array(conditions);
}

/// A condition of a status.
pub(super) fn condition<'a>(status: Option<&'a Value>, type_: &str) -> Option<&'a Value> {
    let conditions = status?["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == type_)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: &'static str, since: Option<i64>) -> Verdict {
        Verdict {
            status,
            reason: "Because",
            message: "of this".to_owned(),
            since: since.map(|second| Timestamp::from_second(second).unwrap()),
        }
    }

    fn facts(ready: Verdict) -> Facts {
        Facts {
            kubernetes: Some("v1.36.0".to_owned()),
            endpoints: vec![Advertised {
                name: "direct",
                url: "https://h".to_owned(),
            }],
            heartbeat: "helium-system/member-east".to_owned(),
            conditions: vec![(READY, ready)],
        }
    }

    #[test]
    fn the_same_facts_make_the_same_status() {
        let (first, later) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(60).unwrap());
        let status = with(None, &facts(verdict("True", None)), first);
        assert_eq!(status["versions"]["kubernetes"], "v1.36.0");
        assert_eq!(
            with(Some(&status), &facts(verdict("True", None)), later),
            status
        );
        let turned = with(Some(&status), &facts(verdict("False", None)), later);
        let ready = condition(Some(&turned), READY).unwrap();
        assert_eq!(ready["lastTransitionTime"], "1970-01-01T00:01:00Z");
        // What happened before it could be written keeps its time.
        let told = with(Some(&status), &facts(verdict("False", Some(30))), later);
        let ready = condition(Some(&told), READY).unwrap();
        assert_eq!(ready["lastTransitionTime"], "1970-01-01T00:00:30Z");
    }

    #[test]
    fn what_others_wrote_stays_and_what_is_no_longer_so_goes() {
        let before = json!({"conditions": [{"type": "Other", "status": "True"}], "more": 1,
            "endpoints": [{"name": "kubernetes", "url": "https://old"}]});
        let none = Facts::default();
        let status = with(Some(&before), &none, Timestamp::UNIX_EPOCH);
        assert_eq!(
            (&status["more"], &status["conditions"]),
            (&before["more"], &before["conditions"])
        );
        assert_eq!(status.get("endpoints"), None);
    }

    #[test]
    fn a_message_has_an_end() {
        let mut status = json!({});
        let long = Verdict {
            message: "ä".repeat(MAX_MESSAGE),
            ..verdict("False", None)
        };
        put(&mut status, READY, &long, Timestamp::UNIX_EPOCH);
        let message = condition(Some(&status), READY).unwrap()["message"].as_str();
        assert_eq!(message.unwrap().len(), MAX_MESSAGE);
    }
}
