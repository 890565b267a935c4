//! Histories that are made up, with and without what must be found.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Ended, drill};

const SECOND: u64 = 1_000_000;

/// Microseconds of a moment in seconds.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn at(seconds: f64) -> u64 {
    (seconds * 1e6) as u64
}

fn lease(view: &str, seconds: f64, version: u64, holder: &str, token: i64) -> Value {
    json!({"view": view, "at": at(seconds), "version": version, "holder": holder, "token": token})
}

fn group(view: &str, seconds: f64, version: u64, leader: &str, token: i64) -> Value {
    json!({
        "view": view, "at": at(seconds), "version": version, "leader": leader,
        "address": format!("192.0.2.{token}"), "token": token, "reason": "Expired",
    })
}

/// A payload that was certainly there from one moment to another.
fn stay(cluster: &str, token: i64, from: f64, to: f64) -> Value {
    json!({
        "cluster": cluster, "object": "ConfigMap shop/web", "uid": format!("{cluster}-{token}"), "token": token,
        "after": at(from) - SECOND / 20, "first": at(from), "last": at(to), "gone": at(to) + SECOND / 20,
    })
}

fn write(cluster: &str, token: i64, seconds: f64, count: u64) -> Value {
    json!({
        "cluster": cluster, "token": token, "sent": at(seconds), "answered": at(seconds) + SECOND / 100, "count": count,
    })
}

fn view(cluster: &str, leads: bool) -> Value {
    json!({
        "cluster": cluster, "trouble": [], "holder": "b", "leaseToken": 20, "leader": "b", "groupToken": 20,
        "address": "192.0.2.20",
        "member": {
            "state": if leads { "Leading" } else { "Candidate" }, "leading": leads,
            "token": if leads { json!(20) } else { Value::Null }, "address": if leads { "192.0.2.20" } else { "192.0.2.1" },
        },
        "payload": if leads { json!([["ConfigMap shop/web", 20]]) } else { json!([]) },
    })
}

/// The leader's agent is killed at 5 s; b takes over at 10.4 s; a's agent is back at 13 s and removes the payload by 14 s.
fn history() -> Value {
    json!({
        "version": 1, "group": "shop/web", "seed": 7, "strict": false, "leaseSeconds": 5.0, "stopBudgetSeconds": 1.0, "takeoverMarginSeconds": 1.0,
        "wall": "2026-01-01T00:00:00Z", "ended": at(20.0), "clusters": ["a", "b", "c"], "lookEverySeconds": 0.05,
        "faults": [{
            "round": 1, "scenario": "kill-agent", "cluster": "a", "link": null, "leader": "a", "token": 10,
            "began": at(5.0), "ended": at(13.0),
        }],
        "settled": [
            {"round": 0, "healed": 0, "at": at(0.5), "wrong": []},
            {"round": 1, "healed": at(13.0), "at": at(14.5), "wrong": []},
        ],
        "presences": [stay("a", 10, 0.1, 14.0), stay("b", 20, 10.4, 19.9)],
        "blind": [],
        "leases": [
            lease("a", 0.1, 10, "a", 10), lease("b", 0.1, 10, "a", 10), lease("c", 0.2, 10, "a", 10),
            lease("b", 10.2, 20, "b", 20), lease("c", 10.2, 20, "b", 20), lease("a", 10.3, 20, "b", 20),
        ],
        "groups": [group("a", 0.1, 11, "a", 10), group("b", 0.1, 11, "a", 10), group("b", 10.2, 20, "b", 20), group("a", 10.2, 20, "b", 20)],
        "states": [],
        "writes": [write("a", 10, 1.0, 1), write("a", 10, 9.0, 2), write("b", 20, 11.0, 3), write("b", 20, 12.0, 4)],
        "unanswered": {"fenced": 3, "overtaken": 1, "unknown": 1},
        "written": 5,
        "finals": [view("a", false), view("b", true), view("c", false)],
        "interrupted": false,
    })
}

struct Judged {
    folder: TempDir,
    ended: Ended,
}

fn judge(history: &Value, arguments: &[&str]) -> Judged {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("history.json");
    fs::write(&file, history.to_string()).expect("written");
    let file = file.display().to_string();
    let ended = drill(&[&["judge", &file], arguments].concat());
    Judged { folder, ended }
}

fn verdicts(history: &Value) -> (Option<i32>, Value) {
    let judged = judge(history, &["-o", "json"]).ended;
    let document = serde_json::from_str(&judged.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", judged.stdout, judged.stderr));
    (judged.code, document)
}

/// The findings of a promise that must be the only one that is broken.
#[track_caller]
fn broken(history: &Value, name: &str) -> String {
    let (code, document) = verdicts(history);
    assert_eq!(code, Some(1), "{document:#}");
    assert_eq!(document["holds"], false);
    let promises = document["promises"].as_array().expect("promises");
    let broken: Vec<&Value> = promises
        .iter()
        .filter(|promise| promise["outcome"] == "broken")
        .collect();
    let [only] = broken.as_slice() else {
        panic!("{broken:#?}")
    };
    assert_eq!(only["name"], name);
    let findings = only["findings"].as_array().expect("findings");
    findings
        .iter()
        .filter_map(Value::as_str)
        .collect::<Vec<_>>()
        .join("\n")
}

#[track_caller]
fn outcome<'a>(document: &'a Value, name: &str) -> &'a str {
    let mut promises = document["promises"].as_array().expect("promises").iter();
    let promise = promises.find(|promise| promise["name"] == name);
    promise.expect(name)["outcome"]
        .as_str()
        .expect("an outcome")
}

#[test]
fn a_history_that_keeps_every_promise_is_told_in_full() {
    let judged = judge(&history(), &[]);
    insta::assert_snapshot!(judged.ended.good());
    let (code, document) = verdicts(&history());
    assert_eq!(code, Some(0));
    insta::assert_json_snapshot!(document);
}

#[test]
fn a_picture_shows_bars_faults_and_terms() {
    let folder = tempfile::tempdir().expect("a folder");
    let svg = folder.path().join("drill.svg").display().to_string();
    judge(&history(), &["--svg", &svg]).ended.good();
    let picture = fs::read_to_string(&svg).expect("a picture");
    for part in [
        "payload in b, token 20",
        "round 1: the agent of a (the leader) is killed",
        "b holds the lease at token 20",
        "every promise kept",
    ] {
        assert!(picture.contains(part), "{part}");
    }
    insta::assert_snapshot!(picture);
    // What others choose (names) doesn't become markup.
    let mut forged = history();
    forged["group"] = json!("shop/<script>");
    judge(&forged, &["--svg", &svg]).ended.good();
    assert!(
        !fs::read_to_string(&svg)
            .expect("a picture")
            .contains("<script>")
    );
}

#[test]
fn two_payloads_at_once_are_found() {
    // b's comes while a, whose agent lives, still has its own: a cut isn't an excuse.
    let mut cut = history();
    cut["faults"][0]["scenario"] = json!("cut-cluster");
    let found = broken(&cut, "one-payload");
    assert!(
        found.contains(
            "from 10.400 s to 14.000 s a had the payload of token 10 and b that of token 20"
        ),
        "{found}"
    );
    // Another cluster's agent is no excuse either.
    let mut other = history();
    other["faults"][0]["cluster"] = json!("c");
    broken(&other, "one-payload");
    // An agent that is back must clear away.
    let mut late = history();
    late["ended"] = json!(at(60.0));
    late["presences"] = json!([stay("a", 10, 0.1, 45.0), stay("b", 20, 10.4, 59.0)]);
    broken(&late, "one-payload");
    // One whose own API server was away for long has as long as others behind that.
    late["blind"] = json!([{"cluster": "a", "from": at(6.0), "to": at(30.0)}]);
    assert_eq!(verdicts(&late).0, Some(0));
    // And in strict mode there is no excuse at all.
    let mut strict = history();
    strict["strict"] = json!(true);
    broken(&strict, "one-payload");
}

#[test]
fn what_may_have_been_is_not_held_against_anybody() {
    let mut close = history();
    close["faults"][0]["scenario"] = json!("cut-cluster");
    // Gone between two looks, and there between the next two of another observer: perhaps at once, perhaps not.
    close["presences"] = json!([stay("a", 10, 0.1, 10.38), stay("b", 20, 10.4, 19.9)]);
    let (code, document) = verdicts(&close);
    assert_eq!(code, Some(0), "{document:#}");
    // One look later it is certain.
    close["presences"][0]["last"] = json!(at(10.41));
    broken(&close, "one-payload");
}

#[test]
fn a_token_that_does_not_grow_is_found() {
    let mut back = history();
    back["leases"] = json!([lease("a", 0.1, 10, "a", 10), lease("b", 10.2, 30, "b", 9)]);
    back["groups"] = json!([group("a", 0.1, 11, "a", 10)]);
    back["presences"][1]["token"] = json!(9);
    back["writes"] = json!([write("a", 10, 1.0, 1)]);
    back["faults"] = json!([]);
    back["presences"][0]["last"] = json!(at(9.0));
    back["presences"][0]["gone"] = json!(at(9.1));
    let found = broken(&back, "tokens-grow");
    assert!(found.contains("has token 9, behind 10"), "{found}");

    let mut shared = history();
    shared["leases"] = json!([
        lease("a", 0.1, 10, "a", 10),
        lease("b", 10.2, 20, "b", 20),
        lease("c", 11.0, 21, "c", 20)
    ]);
    let found = broken(&shared, "tokens-grow");
    assert!(found.contains("token 20 is b's and c's"), "{found}");

    let mut forged = history();
    forged["presences"][1]["token"] = json!(99);
    let found = broken(&forged, "tokens-grow");
    assert!(
        found.contains("with token 99, which the lease never had"),
        "{found}"
    );
}

#[test]
fn a_group_that_says_something_else_than_the_lease_is_found() {
    let mut wrong = history();
    wrong["groups"] = json!([group("a", 0.1, 11, "a", 10), group("c", 10.2, 20, "c", 20)]);
    let found = broken(&wrong, "one-record");
    assert!(
        found.contains("c shows the group with c at token 20, which is b's"),
        "{found}"
    );
    let mut split = history();
    split["groups"][3]["address"] = json!("192.0.2.99");
    let found = broken(&split, "one-record");
    assert!(
        found.contains("at resourceVersion 20 b and a show different groups"),
        "{found}"
    );
}

#[test]
fn a_lost_or_stale_write_is_found() {
    let mut twice = history();
    twice["writes"][2]["count"] = json!(2);
    let found = broken(&twice, "writes");
    assert!(found.contains("write 2 was acknowledged twice"), "{found}");
    let mut stale = history();
    stale["writes"] = json!([write("b", 20, 11.0, 3), write("a", 10, 12.0, 4)]);
    let found = broken(&stale, "writes");
    assert!(
        found.contains("write 4 of a with token 10 was accepted behind write 3 with token 20"),
        "{found}"
    );
    let mut forgotten = history();
    forgotten["written"] = json!(3);
    let found = broken(&forgotten, "writes");
    assert!(
        found.contains("has counted to 3, but 4 was acknowledged"),
        "{found}"
    );
    let mut back = history();
    back["writes"] = json!([write("a", 10, 8.0, 2), write("a", 10, 1.0, 3)]);
    let found = broken(&back, "writes");
    assert!(found.contains("before write 2 was sent"), "{found}");
}

#[test]
fn a_takeover_that_is_late_or_does_not_come_is_found() {
    let mut late = history();
    late["presences"] = json!([stay("a", 10, 0.1, 14.0), stay("b", 20, 11.3, 19.9)]);
    let found = broken(&late, "takeover");
    assert!(
        found.contains("the payload was in b only after 6.30 s"),
        "{found}"
    );
    let mut never = history();
    never["presences"] = json!([stay("a", 10, 0.1, 14.0)]);
    let found = broken(&never, "takeover");
    assert!(found.contains("nobody took over"), "{found}");
    // Strict mode promises no time; a fault that was over soon shows nothing.
    let mut strict = late.clone();
    strict["strict"] = json!(true);
    strict["presences"][0] = stay("a", 10, 0.1, 11.0);
    assert_eq!(outcome(&verdicts(&strict).1, "takeover"), "notShown");
    let mut short = never;
    short["faults"][0]["ended"] = json!(at(6.0));
    assert_eq!(outcome(&verdicts(&short).1, "takeover"), "notShown");
}

#[test]
fn clusters_that_do_not_agree_in_the_end_are_found() {
    for (place, value, says) in [
        (
            "/finals/0/payload",
            json!([["ConfigMap shop/web", 10]]),
            "a doesn't lead and has ConfigMap shop/web",
        ),
        (
            "/finals/1/payload",
            json!([]),
            "b leads, and nothing of its payload is there",
        ),
        (
            "/finals/1/payload",
            json!([["ConfigMap shop/web", 10]]),
            "with token 10, the lease has 20",
        ),
        (
            "/finals/2/holder",
            json!("c"),
            "c shows the lease with c at 20",
        ),
        (
            "/finals/2/leader",
            json!("a"),
            "c shows the group with a at 20",
        ),
        (
            "/finals/2/address",
            json!("192.0.2.1"),
            "c shows the leader's address as 192.0.2.1",
        ),
        (
            "/finals/0/member/leading",
            json!(true),
            "a says of itself that it leads",
        ),
        (
            "/finals/1/member/state",
            json!("Starting"),
            "in state \"Starting\"",
        ),
        ("/finals/1/member/token", json!(10), "b leads with token 10"),
        (
            "/finals/0/trouble",
            json!(["the lease can't be read: 503"]),
            "a: the lease can't be read",
        ),
    ] {
        let mut wrong = history();
        *wrong.pointer_mut(place).expect(place) = value;
        let found = broken(&wrong, "recovers");
        assert!(
            found.contains("in the end: ") && found.contains(says),
            "{place}: {found}"
        );
    }
    let mut unwell = history();
    unwell["settled"][1] =
        json!({"round": 1, "healed": at(13.0), "at": null, "wrong": ["b leads"]});
    let found = broken(&unwell, "recovers");
    assert!(
        found.contains("round 1: not well 7 s after everything was healed: b leads"),
        "{found}"
    );
}

#[test]
fn what_was_not_put_to_the_test_is_not_called_kept() {
    let mut quiet = history();
    for list in ["faults", "presences", "leases", "groups", "writes"] {
        quiet[list] = json!([]);
    }
    quiet["settled"] = json!([{"round": 0, "healed": 0, "at": at(0.5), "wrong": []}]);
    let (code, document) = verdicts(&quiet);
    assert_eq!(code, Some(0));
    for name in [
        "one-payload",
        "tokens-grow",
        "one-record",
        "writes",
        "takeover",
        "recovers",
    ] {
        assert_eq!(outcome(&document, name), "notShown", "{name}");
    }
    let said = judge(&quiet, &[]).ended.good();
    assert!(
        said.contains("not shown") && !said.contains("\nkept"),
        "{said}"
    );
}

#[test]
fn a_drill_that_was_ended_early_is_no_success() {
    let mut early = history();
    early["interrupted"] = json!(true);
    let judged = judge(&early, &[]).ended;
    assert_eq!(judged.code, Some(1));
    assert!(judged.stdout.contains("ended early"), "{}", judged.stdout);
}

#[test]
fn a_file_that_is_no_history_is_told_so() {
    let judged = judge(&json!({"version": 1}), &[]);
    let said = judged.ended.refused("H066");
    assert!(said.contains("isn't the history of a drill"), "{said}");
    let mut newer = history();
    newer["version"] = json!(2);
    let said = judge(&newer, &[]).ended.refused("H066");
    assert!(said.contains("it has version 2"), "{said}");
    let missing = judged.folder.path().join("none").display().to_string();
    drill(&["judge", &missing]).refused("H066");
}
