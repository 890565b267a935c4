//! What is shown: `status`, `--watch` and `history`.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::stand_in::{GROUP, PROMPT, World};
use crate::support::has;

#[tokio::test(flavor = "multi_thread")]
async fn a_group_looks_the_same_from_every_cluster() {
    let world = World::start().await;
    for cluster in ["eu-1", "eu-2", "eu-3"] {
        let table = world.failover(cluster, &["status"]).await.good();
        let row = table.lines().nth(1).expect("a row");
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(
            cells[..4],
            ["default", GROUP, "eu-2", "192.0.2.2"],
            "{table}"
        );
        assert_eq!(cells[6..], ["Fast", "no", "2/3", "ready", "Led"], "{table}");
    }
    let status = world.status().await;
    assert_eq!(status["leaderAddress"], "192.0.2.2");
    assert!(
        status["token"].as_i64().is_some_and(|token| token > 0),
        "{status}"
    );
    let clusters: Vec<&Value> = status["members"]
        .as_array()
        .expect("members")
        .iter()
        .map(|one| &one["cluster"])
        .collect();
    assert_eq!(clusters, ["eu-3", "eu-2", "eu-1"], "by rank");

    let details = world
        .failover("eu-1", &["status", "default/webfront"])
        .await
        .good();
    has(
        &details,
        "default/webfront: eu-2 leads at 192.0.2.2 with token",
    );
    has(&details, "mode Fast, lease 15 s, stop budget 5 s");
    has(&details, "eu-3      3      no      Standby");
    let empty = world.failover("eu-1", &["status", "-n", "elsewhere"]).await;
    has(&empty.stderr, "no failover groups");
    let error = world
        .failover("eu-1", &["status", "-n", "elsewhere", GROUP])
        .await;
    has(
        &error.refused("H041"),
        "no failover group elsewhere/webfront",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_are_remembered_and_changes_are_told_as_they_happen() {
    let world = World::start().await;
    let mut watch = Command::new(env!("CARGO_BIN_EXE_helium"))
        .args(["failover", "status", "--watch", "--kubeconfig"])
        .arg(world.fleet.kubeconfig("eu-3"))
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("helium runs");
    let stdout = watch.stdout.take().expect("a pipe");
    let (tell, mut told) = tokio::sync::mpsc::channel(64);
    let reader = tokio::task::spawn_blocking(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if tell.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let first = tokio::time::timeout(PROMPT, told.recv()).await;
    has(
        &first.expect("in time").expect("a line"),
        "default/webfront: eu-2 leads",
    );
    world
        .failover("eu-1", &["handover", GROUP, "--to", "eu-1"])
        .await
        .good();
    let rest = async {
        let mut lines = Vec::new();
        while let Some(line) = told.recv().await {
            let end = line.contains("eu-1 Candidate → Leading");
            lines.push(line);
            if end {
                break;
            }
        }
        lines.join("\n")
    };
    let lines = tokio::time::timeout(PROMPT, rest).await.expect("in time");
    let ended = Command::new("kill")
        .args(["-INT", &watch.id().to_string()])
        .status();
    assert!(ended.expect("kill runs").success());
    assert_eq!(watch.wait().expect("it ends").code(), Some(0));
    reader.await.expect("it reads to the end");
    for part in [
        "default/webfront: eu-1 is preferred",
        "default/webfront: nobody leads",
        "default/webfront: eu-1 leads with token",
    ] {
        has(&lines, part);
    }

    let text = world
        .failover("eu-2", &["history", GROUP, "-o", "json"])
        .await
        .good();
    let terms: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let clusters: Vec<&Value> = terms.iter().map(|term| &term["cluster"]).collect();
    // Whoever was there first led until eu-2 came.
    assert_eq!(clusters[..2], ["eu-1", "eu-2"], "{text}");
    assert_eq!(terms[1]["endReason"], "HigherRank");
    assert!(
        terms[0]["ended"].is_null() && terms[0]["lastedMillis"].is_i64(),
        "{text}"
    );
    assert!(
        terms[0]["gapMillis"].as_i64().is_some_and(|gap| gap >= 0),
        "{text}"
    );
    let token = |index: usize| terms[index]["token"].as_i64().expect("a token");
    assert!(token(0) > token(1), "{text}");
    let table = world.failover("eu-2", &["history", GROUP]).await.good();
    has(table.lines().nth(1).expect("a row"), "leads");
}
