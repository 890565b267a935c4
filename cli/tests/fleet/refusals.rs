//! Wrong input: a clear error with what to do, and nothing half-done.

use serde_json::Value;

use crate::support::{Fleet, has, helium, pairs};

/// The fleet is as it was, and a good token still lets the cluster in from the same folder.
fn nothing_is_half_done(fleet: &Fleet, cluster: &str, folder: &str) {
    assert_eq!(fleet.states("eu-1"), pairs(&[("eu-1", "member")]));
    let token = fleet.token(cluster, &[]);
    fleet.join(&token, cluster, folder).good();
}

#[test]
fn a_token_that_has_expired() {
    let fleet = Fleet::with_a_member();
    let token = fleet.token("eu-2", &["--ttl", "1s"]);
    let expires: jiff::Timestamp = token["expires"]
        .as_str()
        .and_then(|time| time.parse().ok())
        .expect("a time");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    // It is over when this clock, which is the server's too, has passed it by a second.
    while jiff::Timestamp::now().as_second() <= expires.as_second() + 1 {
        assert!(std::time::Instant::now() < deadline, "time stands still");
        std::thread::yield_now();
    }
    let text = fleet.join(&token, "eu-2", "second").refused("H021");
    has(&text, "the token expired at ");
    has(&text, "this server's clock says ");
    has(&text, "helium token create --cluster eu-2");
    nothing_is_half_done(&fleet, "eu-2", "second");
}

#[test]
fn a_token_that_is_not_known_is_wrong_or_for_another_cluster() {
    let fleet = Fleet::with_a_member();
    let mut token = fleet.token("eu-2", &[]);
    has(
        &fleet.join(&token, "eu-3", "third").refused("H023"),
        "the token is for cluster \"eu-2\"",
    );
    let secret = token["token"].as_str().expect("a token").to_owned();
    token["token"] = format!("{}.{}", &secret[..6], "x".repeat(24)).into();
    has(
        &fleet.join(&token, "eu-2", "second").refused("H020"),
        "unknown or its secret wrong",
    );
    token["token"] = format!("zzzzzz.{}", &secret[7..]).into();
    has(
        &fleet.join(&token, "eu-2", "second").refused("H020"),
        "unknown or its secret wrong",
    );
    // The real one is still good.
    token["token"] = secret.into();
    fleet.join(&token, "eu-2", "second").good();
}

#[test]
fn a_token_that_was_used_and_a_name_that_is_taken() {
    let fleet = Fleet::with_a_member();
    let (token, second) = (fleet.token("eu-2", &[]), fleet.token("eu-2", &[]));
    fleet.join(&token, "eu-2", "second").good();
    let text = fleet.join(&token, "eu-2", "thief").refused("H022");
    has(&text, "the token was used at ");
    has(&text, "helium revoke");
    has(
        &fleet.join(&second, "eu-2", "thief").refused("H024"),
        "there is a member of that name",
    );
    let server = fleet.server("eu-1");
    let again = ["token", "create", "--cluster", "eu-2", "--server", &server];
    has(
        &fleet.helium("eu-1", &again).refused("H024"),
        "there is a member eu-2 already",
    );
    assert_eq!(fleet.states("eu-1").len(), 2);
}

#[test]
fn an_authority_that_is_another_members() {
    let fleet = Fleet::with_a_member();
    let token = fleet.token("eu-2", &[]);
    // Somebody copies a folder to save time.
    std::fs::create_dir(fleet.dir.path().join("second")).expect("a folder");
    for file in ["store-ca.crt", "store-ca.key"] {
        let (from, to) = (format!("eu-1/{file}"), format!("second/{file}"));
        std::fs::copy(fleet.dir.path().join(from), fleet.dir.path().join(to)).expect("copied");
    }
    has(
        &fleet.join(&token, "eu-2", "second").refused("H024"),
        "is member eu-1's already",
    );
    // The folder itself is another cluster's.
    has(
        &fleet.join(&token, "eu-2", "eu-1").refused("H029"),
        "is the folder of eu-1, not of eu-2",
    );
    nothing_is_half_done(&fleet, "eu-2", "clean");
}

#[test]
fn a_hash_that_is_not_the_servers() {
    let fleet = Fleet::with_a_member();
    let mut token = fleet.token("eu-2", &[]);
    let real = token["caHashes"][0].clone();
    token["caHashes"][0] = format!("sha256:{}", "0".repeat(64)).into();
    let text = fleet.join(&token, "eu-2", "second").refused("H025");
    has(&text, real.as_str().expect("a hash"));
    has(&text, "don't take the hash from what is shown here");
    nothing_is_half_done(&fleet, "eu-2", "second");
}

#[test]
fn a_server_that_is_not_there() {
    let fleet = Fleet::with_a_member();
    let token = fleet.token("eu-2", &[]);
    let text = fleet
        .join_at("https://127.0.0.1:1", &token, "eu-2", "second")
        .refused("H027");
    has(&text, "refused");
    nothing_is_half_done(&fleet, "eu-2", "second");
}

#[test]
fn nobody_joins_an_open_fleet() {
    let fleet = Fleet::start();
    let token = fleet.token("eu-2", &[]);
    let text = fleet.join(&token, "eu-2", "second").refused("H033");
    has(&text, "helium init");
    fleet.init("eu-1").good();
    fleet.join(&token, "eu-2", "second").good();
}

#[test]
fn the_wrong_kubeconfig() {
    let fleet = Fleet::start();
    let dir = fleet.path("eu-1");
    let arguments = ["init", "--cluster-name", "eu-1", "--dir", &dir];
    has(
        &fleet.helium("eu-2", &arguments).refused("H030"),
        "the kubeconfig leads to eu-2, not to eu-1",
    );
    assert!(fleet.members("eu-1").is_empty());
    let nowhere = fleet.path("nowhere");
    helium(&["members", "--kubeconfig", &nowhere]).refused("H015");
}

#[test]
fn the_first_member_shuts_nobody_out_without_a_word() {
    let fleet = Fleet::start();
    // eu-2's agent has made its Member in the open fleet.
    fleet.post_member("eu-2");
    let text = fleet.init("eu-1").refused("H033");
    has(&text, "would shut out eu-2");
    let states: Vec<Value> = fleet.members("eu-1");
    assert_eq!(states.len(), 1, "{states:?}");
}

#[test]
fn arguments_that_cannot_be_right_end_with_two() {
    for arguments in [
        &["join", "--dir", "x"][..],
        &[
            "join",
            "--dir",
            "x",
            "--cluster-name",
            "a",
            "--server",
            "http://a",
            "--token",
            "a",
            "--ca-hash",
            "b",
        ],
        &["token", "create", "--cluster", "EU"],
        &["token", "create", "--cluster", "a", "--ttl", "25h"],
        &["revoke", "a"],
        &["leave", "--force"],
    ] {
        let ended = helium(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
    }
}
