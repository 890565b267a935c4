//! The way out: revoke, its undoing, and a cluster that won't come back.

use crate::support::{Fleet, has, pairs};

fn two_members() -> Fleet {
    let fleet = Fleet::with_a_member();
    let token = fleet.token("eu-2", &[]);
    fleet.join(&token, "eu-2", "second").good();
    fleet
}

#[test]
fn a_revoked_cluster_is_refused_until_another_one_lets_it_in_again() {
    let fleet = two_members();
    let text = fleet
        .helium("eu-1", &["revoke", "eu-2", "--reason", "stolen laptop"])
        .good();
    has(&text, "✓ eu-2 is revoked");
    has(&text, "its database role was left as it is");
    has(&text, "it has never been heard of");
    assert_eq!(
        fleet.states("eu-1"),
        pairs(&[("eu-1", "member"), ("eu-2", "revoked")])
    );
    has(&fleet.helium("eu-1", &["members"]).good(), "stolen laptop");
    // Its own server refuses its own people.
    let refused = fleet.helium("eu-2", &["members"]).refused("H014");
    has(&refused, "cluster eu-2 was revoked: stolen laptop");

    fleet
        .helium("eu-2", &["revoke", "eu-2", "--undo"])
        .refused("H014");
    has(
        &fleet.helium("eu-1", &["revoke", "eu-2", "--undo"]).good(),
        "✓ eu-2 is a member again",
    );
    assert_eq!(
        fleet.states("eu-1"),
        pairs(&[("eu-1", "member"), ("eu-2", "member")])
    );
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while fleet.helium("eu-2", &["members"]).code != Some(0) {
        assert!(
            std::time::Instant::now() < deadline,
            "eu-2 is still refused"
        );
    }
}

#[test]
fn a_cluster_neither_revokes_nor_buries_itself_nor_somebody_unknown() {
    let fleet = two_members();
    let revoke = |cluster: &str| fleet.helium("eu-1", &["revoke", cluster, "--reason", "x"]);
    has(&revoke("eu-1").refused("H030"), "leads to eu-1 itself");
    has(&revoke("eu-9").refused("H039"), "there is no member eu-9");
    fleet
        .helium("eu-1", &["leave", "--dead", "eu-1"])
        .refused("H030");
    has(
        &fleet.helium("eu-1", &["leave", "--dead", "eu-9"]).good(),
        "there is no member eu-9",
    );
    assert_eq!(fleet.states("eu-1").len(), 2);
}

#[test]
fn a_dead_cluster_is_settled_unless_it_was_just_heard_of() {
    let fleet = two_members();
    fleet.post_heartbeat("eu-2");
    let text = fleet
        .helium("eu-1", &["leave", "--dead", "eu-2"])
        .refused("H034");
    has(&text, "eu-2 was heard of at ");
    let text = fleet
        .helium("eu-1", &["leave", "--dead", "eu-2", "--force"])
        .good();
    has(&text, "eu-2 is no member any more");
    assert_eq!(fleet.states("eu-1"), pairs(&[("eu-1", "member")]));
    // Its name is free: it can join anew, with a new authority.
    let token = fleet.token("eu-2", &[]);
    fleet.join(&token, "eu-2", "anew").good();
}
