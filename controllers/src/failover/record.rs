//! The group's Lease as this member writes it: values only.
//!
//! Every text is made from the record that it replaces, so that labels and annotations of others stay, and carries that
//! record's resourceVersion: the store refuses it if there is another one by now.

use std::time::Duration;

use helium_failover::kind::{GROUP_LABEL, Mode};
use helium_failover::lease::{self, Term};
use helium_failover::machine::Reason;
use helium_failover::{ClusterName, GroupName, Timing, Token};
use jiff::Timestamp;
use serde_json::{Value, json};

/// API version of the fleet's leases.
pub(super) const API_VERSION: &str = "coordination.helium.dev/v1";

/// A term that is begun.
#[derive(Debug)]
pub(super) struct Begin<'a> {
    /// Who begins it.
    pub(super) cluster: &'a ClusterName,
    /// Where its payload will be reached.
    pub(super) address: Option<&'a str>,
    /// Why.
    pub(super) reason: Reason,
    /// How exclusive its payload will be.
    pub(super) mode: Mode,
    /// Its times.
    pub(super) timing: Timing,
    /// How long its dead-man's switch takes, if it has one.
    pub(super) dead_man: Option<Duration>,
    /// Earlier terms that may not be over.
    pub(super) unconfirmed: &'a [Term],
}

/// A record that begins a term.
pub(super) fn begun(
    base: Option<&Value>,
    group: &GroupName,
    term: &Begin<'_>,
    now: Timestamp,
) -> Value {
    let mut record = prepared(base, group);
    let transitions = record["spec"]["leaseTransitions"].as_i64().unwrap_or(-1);
    record["spec"] = json!({
        "holderIdentity": term.cluster.0,
        "leaseDurationSeconds": term.timing.lease.as_secs(),
        "acquireTime": micro(now),
        "renewTime": micro(now),
        "leaseTransitions": transitions.saturating_add(1),
        "strategy": lease::STRATEGY,
    });
    let mode = match term.mode {
        Mode::Fast => "Fast",
        Mode::Strict => "Strict",
    };
    let millis = |time: Duration| time.as_millis().to_string();
    annotate(&mut record, lease::MODE, Some(mode));
    annotate(
        &mut record,
        lease::STOP_BUDGET,
        Some(&millis(term.timing.stop_budget)),
    );
    annotate(
        &mut record,
        lease::DEAD_MAN,
        term.dead_man.map(millis).as_deref(),
    );
    annotate(&mut record, lease::ADDRESS, term.address);
    annotate(&mut record, lease::STOPPED, None);
    annotate(&mut record, lease::REASON, Some(term.reason.as_str()));
    unconfirmed(&mut record, term.unconfirmed);
    record
}

/// The same term, renewed.
pub(super) fn renewed(
    base: &Value,
    group: &GroupName,
    preferred: Option<&ClusterName>,
    address: Option<&str>,
    terms: &[Term],
    now: Timestamp,
) -> Value {
    let mut record = prepared(Some(base), group);
    record["spec"]["renewTime"] = micro(now).into();
    prefer(&mut record, preferred);
    annotate(&mut record, lease::ADDRESS, address);
    unconfirmed(&mut record, terms);
    record
}

/// The record of a term that is over, its payload gone.
pub(super) fn released(
    base: &Value,
    group: &GroupName,
    token: Token,
    preferred: Option<&ClusterName>,
    reason: Reason,
    terms: &[Term],
    now: Timestamp,
) -> Value {
    let mut record = prepared(Some(base), group);
    record["spec"]["holderIdentity"] = "".into();
    record["spec"]["renewTime"] = micro(now).into();
    prefer(&mut record, preferred);
    annotate(&mut record, lease::STOPPED, Some(&token.to_string()));
    annotate(&mut record, lease::REASON, Some(reason.as_str()));
    annotate(&mut record, lease::ADDRESS, None);
    unconfirmed(&mut record, terms);
    record
}

/// The time as Leases have it.
pub(super) fn micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn prepared(base: Option<&Value>, group: &GroupName) -> Value {
    let mut record = base.cloned().unwrap_or_else(
        || json!({"metadata": {"name": group.lease(), "namespace": group.namespace}}),
    );
    record["apiVersion"] = API_VERSION.into();
    record["kind"] = "Lease".into();
    if !record["spec"].is_object() {
        record["spec"] = json!({});
    }
    record["spec"]["strategy"] = lease::STRATEGY.into();
    if let Some(metadata) = record["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    for part in ["labels", "annotations"] {
        if !record["metadata"][part].is_object() {
            record["metadata"][part] = json!({});
        }
    }
    record["metadata"]["labels"][GROUP_LABEL] = group.callsign.as_str().into();
    record
}

fn prefer(record: &mut Value, preferred: Option<&ClusterName>) {
    match preferred {
        Some(name) => record["spec"]["preferredHolder"] = name.0.as_str().into(),
        None => {
            record["spec"]
                .as_object_mut()
                .map(|spec| spec.remove("preferredHolder"));
        }
    }
}

fn annotate(record: &mut Value, name: &str, value: Option<&str>) {
    let annotations = &mut record["metadata"]["annotations"];
    match value {
        Some(value) => annotations[name] = value.into(),
        None => {
            annotations.as_object_mut().map(|all| all.remove(name));
        }
    }
}

fn unconfirmed(record: &mut Value, terms: &[Term]) {
    let text = lease::terms_text(terms);
    annotate(record, lease::UNCONFIRMED, text.as_deref());
}

#[cfg(test)]
mod tests {
    use helium_failover::lease::LeaseView;

    use super::*;

    fn group() -> GroupName {
        GroupName {
            namespace: "default".to_owned(),
            callsign: "city".to_owned(),
        }
    }

    fn begin(base: Option<&Value>, unconfirmed: &[Term]) -> Value {
        let term = Begin {
            cluster: &ClusterName("east".to_owned()),
            address: Some("10.0.0.1"),
            reason: Reason::Free,
            mode: Mode::Strict,
            timing: Timing::new(Duration::from_secs(15), Duration::from_secs(5)).unwrap(),
            dead_man: Some(Duration::from_millis(2500)),
            unconfirmed,
        };
        begun(base, &group(), &term, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_first_term_of_a_group() {
        insta::assert_json_snapshot!("begun", begin(None, &lease::terms("west=7")));
    }

    #[test]
    fn a_renewal_is_the_same_term_and_keeps_what_others_wrote() {
        let mut held = begin(None, &lease::terms("west=7"));
        held["metadata"]["resourceVersion"] = "12".into();
        held["metadata"]["labels"]["team"] = "a".into();
        held["metadata"]["managedFields"] = json!([]);
        let west = ClusterName("west".to_owned());
        let now = Timestamp::from_second(60).unwrap();
        let renewed = renewed(&held, &group(), Some(&west), None, &[], now);
        insta::assert_json_snapshot!("renewed", renewed);
        let view = LeaseView::of(&renewed);
        assert_eq!((view.version.as_str(), view.preferred), ("12", Some(west)));
        assert!(view.unconfirmed.is_empty());
        let object = |value: &Value| value.clone().try_into().unwrap();
        assert!(!helium_apimachinery::lease::begins_term(
            Some(&object(&held)),
            &object(&renewed)
        ));
    }

    #[test]
    fn a_lease_that_is_given_up_says_what_is_over_and_a_new_claim_is_a_new_term() {
        let held = begin(None, &[]);
        let now = Timestamp::from_second(60).unwrap();
        let free = released(&held, &group(), Token(9), None, Reason::NotReady, &[], now);
        insta::assert_json_snapshot!("released", free);
        assert_eq!(LeaseView::of(&free).holder, None);
        let again = begin(Some(&free), &[]);
        assert_eq!(again["spec"]["leaseTransitions"], 1);
        assert_eq!(
            again["metadata"]["annotations"][lease::STOPPED],
            Value::Null
        );
        let object = |value: &Value| value.clone().try_into().unwrap();
        assert!(helium_apimachinery::lease::begins_term(
            Some(&object(&held)),
            &object(&begin(Some(&held), &[]))
        ));
    }
}
