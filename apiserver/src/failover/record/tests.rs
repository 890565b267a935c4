use super::*;

fn lease(holder: &str, transitions: i64, annotations: Value) -> Object {
    Object::try_from(json!({
        "metadata": {"name": "failover-web", "annotations": annotations},
        "spec": {"holderIdentity": holder, "leaseTransitions": transitions, "acquireTime": "2026-01-01T00:00:00.000000Z"},
    }))
    .unwrap()
}

fn held(holder: &str, transitions: i64, token: i64) -> Object {
    lease(
        holder,
        transitions,
        json!({TOKEN: token.to_string(), ADDRESS: format!("{holder}.example")}),
    )
}

/// Writes a lease, and reads the group as of a revision.
fn after(group: &mut Object, old: Option<&Object>, new: Option<&Object>, revision: i64) -> Value {
    let at = format!("2026-01-01T00:00:{revision:02}Z");
    write(group, LeaseWrite { old, new }, &at);
    complete(group, revision);
    group.get("status").cloned().unwrap()
}

#[test]
fn a_term_is_written_with_its_token_and_ended_with_its_reason() {
    let mut group = Object::default();
    let mut first = lease("c1", 1, json!({ADDRESS: "192.0.2.1", REASON: "Free"}));
    let status = after(&mut group, None, Some(&first), 5);
    let began = json!({
        "token": 5, "cluster": "c1", "address": "192.0.2.1", "began": "2026-01-01T00:00:05Z", "reason": "Free",
    });
    assert_eq!(
        status,
        json!({
            "leader": "c1", "leaderAddress": "192.0.2.1", "token": 5, "since": "2026-01-01T00:00:05Z", "reason": "Free",
            "history": [began],
        })
    );
    first.set_meta(
        "annotations",
        json!({ADDRESS: "192.0.2.1", REASON: "Free", TOKEN: "5"}),
    );
    assert!(agrees(&group, Some(&first)));

    let freed = lease("", 1, json!({REASON: "HigherRank"}));
    let status = after(&mut group, Some(&first), Some(&freed), 9);
    let mut ended = began;
    ended["ended"] = "2026-01-01T00:00:09Z".into();
    ended["endReason"] = "HigherRank".into();
    assert_eq!(
        status,
        json!({"since": "2026-01-01T00:00:09Z", "reason": "HigherRank", "history": [ended]})
    );
    assert!(agrees(&group, Some(&freed)) && agrees(&group, None) && !agrees(&group, Some(&first)));
}

#[test]
fn a_takeover_ends_one_term_and_begins_another() {
    let mut group = Object::default();
    after(&mut group, None, Some(&held("c1", 1, 5)), 5);
    let new = lease("c2", 2, json!({REASON: "Expired"}));
    let status = after(&mut group, Some(&held("c1", 1, 5)), Some(&new), 8);
    assert_eq!(
        (&status["leader"], &status["token"]),
        (&json!("c2"), &json!(8))
    );
    assert_eq!(status["leaderAddress"], Value::Null);
    assert_eq!(status["history"][0]["token"], 8);
    assert_eq!(status["history"][1]["token"], 5);
    assert_eq!(status["history"][1]["endReason"], "Expired");
    assert_eq!(status["history"].as_array().unwrap().len(), 2);
}

#[test]
fn a_renewal_changes_nothing_but_the_address() {
    let mut group = Object::default();
    let first = held("c1", 1, 5);
    after(&mut group, None, Some(&first), 5);
    let before = group.clone();
    let mut renewed = first.clone();
    renewed
        .with_value_mut(|lease| lease["spec"]["renewTime"] = "2026-01-01T00:00:10.000000Z".into());
    let renewal = LeaseWrite {
        old: Some(&first),
        new: Some(&renewed),
    };
    assert!(!renewal.is_news());
    after(&mut group, Some(&first), Some(&renewed), 7);
    assert_eq!(group, before);
    let moved = lease("c1", 1, json!({TOKEN: "5", ADDRESS: "elsewhere"}));
    let moves = LeaseWrite {
        old: Some(&first),
        new: Some(&moved),
    };
    assert!(moves.is_news() && !moves.begins_term());
    let status = after(&mut group, Some(&first), Some(&moved), 9);
    assert_eq!(status["leaderAddress"], "elsewhere");
    assert_eq!(status["history"][0]["address"], "elsewhere");
    assert_eq!(
        (&status["token"], &status["since"]),
        (&json!(5), &json!("2026-01-01T00:00:05Z"))
    );
}

#[test]
fn a_group_that_was_lost_is_right_again_with_the_next_write() {
    let first = held("c1", 1, 5);
    let mut group = Object::default();
    assert!(!agrees(&group, Some(&first)));
    let status = after(&mut group, Some(&first), Some(&first), 20);
    assert_eq!(
        (&status["leader"], &status["token"]),
        (&json!("c1"), &json!(5))
    );
    assert_eq!(status["history"][0]["token"], 5);
    assert_eq!(status["since"], "2026-01-01T00:00:00.000000Z");

    // One that tells of a term that nobody remembers: the store was restored, or somebody was faster than its record.
    let mut stale = Object::default();
    after(&mut stale, None, Some(&held("c9", 1, 3)), 3);
    let status = after(&mut stale, Some(&first), Some(&first), 21);
    assert_eq!(
        (&status["leader"], &status["token"]),
        (&json!("c1"), &json!(5))
    );
    assert_eq!(status["history"][1]["endReason"], "Forgotten");
    let mut stale = Object::default();
    after(&mut stale, None, Some(&held("c9", 1, 3)), 3);
    let status = after(
        &mut stale,
        Some(&lease("", 1, json!({}))),
        Some(&lease("c2", 2, json!({}))),
        22,
    );
    assert_eq!(
        (&status["leader"], &status["token"]),
        (&json!("c2"), &json!(22))
    );
    assert_eq!(status["history"][1]["endReason"], "Forgotten");
}

#[test]
fn a_deleted_lease_ends_its_term() {
    let mut group = Object::default();
    let first = held("c1", 1, 5);
    after(&mut group, None, Some(&first), 5);
    let status = after(&mut group, Some(&first), None, 6);
    assert_eq!(
        (&status["leader"], &status["reason"]),
        (&Value::Null, &json!("Deleted"))
    );
    assert_eq!(status["history"][0]["endReason"], "Deleted");
}

#[test]
fn history_is_bounded_and_what_others_write_stays() {
    let mut group = Object::default();
    let members = json!([{"cluster": "c1", "rank": 5, "state": "Leading"}]);
    group.set("status", json!({"members": members, "conditions": []}));
    let mut old = None;
    for term in 1..=40 {
        let new = held(&format!("c{}", term % 3), term, term);
        after(&mut group, old.as_ref(), Some(&new), term);
        old = Some(new);
    }
    let status = group.get("status").unwrap();
    assert_eq!(status["members"], members);
    let history = status["history"].as_array().unwrap();
    assert_eq!(history.len(), HISTORY);
    let tokens: Vec<_> = history
        .iter()
        .map(|term| term["token"].as_i64().unwrap())
        .collect();
    assert_eq!(tokens, (9..=40).rev().collect::<Vec<_>>());
    assert!(history[1..].iter().all(|term| term["ended"].is_string()));
}
