//! Conditions, terms and changes.

use helium_failover::GroupName;
use helium_failover::kind::{GroupSpec, GroupStatus};
use helium_failover::lease::LeaseView;
use serde_json::json;

use super::*;

fn named(name: &str) -> ClusterName {
    ClusterName(name.to_owned())
}

fn entry(name: &str, rank: i64, state: &str) -> MemberEntry {
    MemberEntry {
        cluster: named(name),
        rank,
        ready: state != "Standby",
        state: state.to_owned(),
        joined: Some("2026-01-01T00:00:00Z".to_owned()),
        ..MemberEntry::default()
    }
}

fn group(leader: Option<&str>, members: &[MemberEntry]) -> Group {
    Group {
        name: GroupName {
            namespace: "shop".to_owned(),
            callsign: "one".to_owned(),
        },
        version: String::new(),
        spec: GroupSpec::default(),
        status: GroupStatus {
            leader: leader.map(named),
            token: leader.map(|_| Token(7)),
            members: members.to_vec(),
            ..GroupStatus::default()
        },
    }
}

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().expect("a time")
}

fn row(group: &Group) -> GroupRow {
    GroupRow::of(group, None, now())
}

#[test]
fn a_group_has_one_condition() {
    let of = |leader, members: &[MemberEntry]| row(&group(leader, members)).condition;
    let idle = entry("b", 1, "Candidate");
    let with = |state| [entry("a", 2, state), idle.clone()];
    assert_eq!(of(None, &[]), Condition::NoCandidate);
    assert_eq!(
        of(None, &[entry("a", 1, "Standby")]),
        Condition::NoCandidate
    );
    assert_eq!(of(None, &with("Candidate")), Condition::Electing);
    assert_eq!(of(Some("a"), &with("Candidate")), Condition::Starting);
    assert_eq!(of(Some("a"), &with("Starting")), Condition::Starting);
    assert_eq!(of(Some("a"), &with("Elected")), Condition::Waiting);
    assert_eq!(of(Some("a"), &with("Draining")), Condition::Stopping);
    assert_eq!(of(Some("a"), &with("Isolated")), Condition::Stopping);
    assert_eq!(of(Some("a"), &with("Leading")), Condition::Led);
    let mut other = with("Leading");
    other[0].payload_hash = Some("1".to_owned());
    assert_eq!(of(Some("a"), &other), Condition::Led);
    other[1].payload_hash = Some("2".to_owned());
    assert_eq!(of(Some("a"), &other), Condition::PayloadConflict);
}

#[test]
fn a_record_that_has_run_out_shows() {
    let group = group(Some("a"), &[entry("a", 2, "Leading")]);
    let record = |end: &str| Record {
        view: LeaseView::of(&json!({})),
        runs_out: Some(end.parse().expect("a time")),
    };
    let of = |end| GroupRow::of(&group, Some(&record(end)), now()).condition;
    assert_eq!(of("2026-01-01T00:59:59Z"), Condition::Expired);
    assert_eq!(of("2026-01-01T01:00:01Z"), Condition::Led);
}

#[test]
fn members_come_in_the_order_in_which_they_should_lead() {
    let mut old = entry("z", 5, "Candidate");
    old.joined = Some("2025-01-01T00:00:00Z".to_owned());
    let mut unknown = entry("a", 5, "Candidate");
    unknown.joined = None;
    let members = [
        unknown,
        entry("c", 5, "Candidate"),
        entry("b", 5, "Candidate"),
        old,
        entry("top", 9, "Standby"),
    ];
    let group = group(None, &members);
    let order: Vec<String> = row(&group)
        .members
        .iter()
        .map(|one| one.cluster.to_string())
        .collect();
    assert_eq!(order, ["top", "z", "b", "c", "a"]);
    // Who isn't ready takes nothing back.
    assert_eq!(before(&group, &named("z")), None);
    let better = before(&group, &named("c")).map(|one| one.cluster.to_string());
    assert_eq!(better.as_deref(), Some("z"));
}

#[test]
fn each_change_is_a_line() {
    let start = row(&group(
        Some("a"),
        &[entry("a", 2, "Leading"), entry("b", 1, "Candidate")],
    ));
    assert_eq!(
        changes(None, Some(&start)),
        ["shop/one: a leads with token 7"]
    );
    assert_eq!(changes(Some(&start), Some(&start)), Vec::<String>::new());
    assert_eq!(changes(Some(&start), None), ["shop/one: removed"]);
    let mut next = row(&group(
        Some("b"),
        &[entry("b", 3, "Leading"), entry("c", 1, "Standby")],
    ));
    next.token = Some(Token(9));
    next.leader_address = Some("192.0.2.1".to_owned());
    next.reason = Some("HandedOver".to_owned());
    next.paused = true;
    next.preferred_cluster = Some(named("b"));
    assert_eq!(
        changes(Some(&start), Some(&next)),
        [
            "shop/one: b leads with token 9 at 192.0.2.1 (HandedOver)",
            "shop/one: paused",
            "shop/one: b is preferred",
            "shop/one: b has rank 3, not 1",
            "shop/one: b Candidate → Leading",
            "shop/one: c joined with rank 1",
            "shop/one: a left",
        ]
    );
}
