//! What definitions are told of a cluster.

use super::*;
use crate::registrar::report::{entry, holds, put};

fn of(observed: &Observed, desired: &Desired, failures: &[(&str, &str)]) -> Value {
    let cluster: ClusterName = "east".parse().unwrap();
    let definition = definition("widgets", "example.com", &[("v1", true)]);
    let failures = failures
        .iter()
        .map(|(name, error)| ((*name).to_owned(), (*error).to_owned()))
        .collect();
    entry(&cluster, &definition, desired, observed, &failures)
}

fn available(observed: &mut Observed, status: &str, reason: &str) {
    let service = observed.api_services.get_mut("v1.example.com").unwrap();
    let conditions = &mut Arc::make_mut(service)
        .status
        .get_or_insert_default()
        .conditions;
    *conditions = Some(vec![APIServiceCondition {
        type_: "Available".to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        ..APIServiceCondition::default()
    }]);
}

#[test]
fn an_entry_follows_the_way_from_pending_to_available() {
    let desired = desired(&two_kinds(), &LocalGroups::default(), &target());
    let waiting = of(&Observed::default(), &desired, &[]);
    let text = "APIService v1.example.com waits for the first one to be available: \
        APIService v1.helium.dev: not there";
    assert_eq!(waiting["message"], text);
    let pending = of(&empty(), &desired, &[]);
    assert_eq!(pending["registered"], false);
    assert_eq!(pending["reason"], "Pending");
    let failed = of(
        &Observed::default(),
        &desired,
        &[("v1.example.com", "forbidden")],
    );
    assert_eq!(failed["reason"], "WriteFailed");
    assert_eq!(failed["message"], "APIService v1.example.com: forbidden");

    let mut observed = carried_out(&desired);
    let unchecked = of(&observed, &desired, &[]);
    assert_eq!(unchecked["registered"], true);
    assert_eq!(
        unchecked["message"],
        "APIService v1.example.com: not checked yet"
    );
    available(&mut observed, "False", "FailedDiscoveryCheck");
    let unavailable = of(&observed, &desired, &[]);
    assert_eq!(unavailable["available"], false);
    assert_eq!(
        unavailable["message"],
        "APIService v1.example.com: FailedDiscoveryCheck"
    );
    available(&mut observed, "True", "Passed");
    let good =
        json!({"name": "east", "registered": true, "available": true, "observedGeneration": 3});
    assert_eq!(of(&observed, &desired, &[]), good);
}

#[test]
fn a_refused_group_is_told_with_its_reason() {
    let local = LocalGroups::new(
        [],
        [
            "a.example.com",
            "b.example.com",
            "c.example.com",
            "d.example.com",
        ],
    );
    let desired = desired(&two_kinds(), &local, &target());
    insta::assert_json_snapshot!("refused_entry", of(&Observed::default(), &desired, &[]));
}

#[test]
fn the_condition_is_the_same_whoever_writes_last() {
    let good = |name: &str| json!({"name": name, "registered": true, "available": true});
    let bad = json!({"name": "west", "registered": false, "available": false,
        "reason": "GroupConflict", "message": "a CRD serves the group here already"});
    let now = Timestamp::UNIX_EPOCH;
    let established = json!({"conditions": [{"type": "Established", "status": "True"}]});
    let (mut one, mut other) = (established.clone(), established);
    for entry in [good("east"), bad.clone(), good("north")] {
        put(&mut one, entry, now);
    }
    for entry in [bad.clone(), good("north"), good("east")] {
        put(&mut other, entry, now);
    }
    assert_eq!(one, other);
    assert!(holds(Some(&one), &bad));
    assert!(!holds(Some(&one), &good("west")));
    insta::assert_json_snapshot!("conflicting_status", one);

    // Settled: the condition turns, and from then on its time stays.
    let later = Timestamp::from_second(60).unwrap();
    put(&mut one, good("west"), later);
    let turned = one["conditions"][1].clone();
    assert_eq!(turned["status"], "True");
    assert_eq!(turned["lastTransitionTime"], "1970-01-01T00:01:00Z");
    put(
        &mut one,
        good("south"),
        Timestamp::from_second(120).unwrap(),
    );
    assert_eq!(one["conditions"][1], turned);
}

#[test]
fn a_status_that_is_no_object_is_replaced() {
    let mut status = Value::Null;
    put(
        &mut status,
        json!({"name": "east", "registered": true}),
        Timestamp::UNIX_EPOCH,
    );
    assert_eq!(status["clusters"][0]["name"], "east");
}
