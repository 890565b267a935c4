//! A cluster's role in the database: made with its token, shut out with it, removed with it.

use helium_testkit::Postgres;
use serde_json::Value;

use crate::support::{Fleet, has, helium};
use crate::up::{Up, helium as up, refused};

/// A fleet on a PostgreSQL, as its administrator.
fn fleet(postgres: &Postgres) -> (Fleet, String) {
    let url = postgres.url("helium");
    let dir = tempfile::tempdir().expect("a folder");
    let up = Up::start(
        &dir.path().join("up"),
        &["--clusters", "eu-1", "--endpoint", &url],
    );
    let fleet = Fleet { up, dir };
    fleet.init("eu-1").good();
    (fleet, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_comes_with_the_token_and_goes_with_the_cluster() {
    let postgres = Postgres::start().await;
    let (fleet, admin) = fleet(&postgres);
    let server = fleet.server("eu-1");
    let create = [
        "token",
        "create",
        "--cluster",
        "eu-2",
        "--server",
        &server,
        "--database-url",
        &admin,
    ];
    // A password isn't printed.
    has(
        &fleet.helium("eu-1", &create).refused("H031"),
        "--join-file",
    );
    let file = fleet.path("join.json");
    let told = fleet
        .helium("eu-1", &[&create[..], &["--join-file", &file]].concat())
        .good();
    let document: Value = serde_json::from_str(&fleet.file("join.json")).expect("JSON");
    let endpoint = document["databaseEndpoint"]
        .as_str()
        .expect("a URL")
        .to_owned();
    has(&endpoint, "helium_eu-2");
    assert!(!told.contains(&endpoint), "{told}");

    let dir = fleet.path("second");
    helium(&["join", "--join-file", &file, "--dir", &dir]).good();
    assert_eq!(fleet.file("second/endpoint"), endpoint);
    has(&fleet.file("second/objects.yaml"), "helium-database");

    // A server of the new cluster works with it.
    let second = fleet.dir.path().join("up2");
    let arguments = ["--clusters", "eu-2", "--endpoint", &endpoint];
    let running = Up::start(&second, &arguments);
    assert_eq!(running.interrupt(), Some(0));

    let revoke = ["revoke", "eu-2", "--database-url", &admin];
    let text = fleet
        .helium("eu-1", &[&revoke[..], &["--reason", "lost"]].concat())
        .good();
    has(&text, "its database role can't log in any more");
    let (code, text) = refused(up(&second, &arguments));
    assert_eq!(code, Some(1), "{text}");

    let undo = fleet
        .helium("eu-1", &[&revoke[..], &["--undo"]].concat())
        .good();
    has(&undo, "may log in again, with the password that it had");
    assert_eq!(Up::start(&second, &arguments).interrupt(), Some(0));

    let dead = [
        "leave",
        "--dead",
        "eu-2",
        "--force",
        "--database-url",
        &admin,
    ];
    has(
        &fleet.helium("eu-1", &dead).good(),
        "removed the database role of eu-2",
    );
    let (code, _) = refused(up(&second, &arguments));
    assert_eq!(code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_leaves_what_the_fleet_was_told() {
    let postgres = Postgres::start().await;
    let (fleet, _admin) = fleet(&postgres);
    let token = fleet.token("eu-2", &[]);
    fleet.join(&token, "eu-2", "second").good();
    let wrong = "postgres://nobody:wrong@127.0.0.1:1/helium";
    let revoke = [
        "revoke",
        "eu-2",
        "--reason",
        "lost",
        "--database-url",
        wrong,
    ];
    let ended = fleet.helium("eu-1", &revoke);
    has(&ended.stdout, "✓ eu-2 is revoked");
    let text = ended.refused("H031");
    assert!(!text.contains("wrong@"), "a password is shown: {text}");
    assert_eq!(fleet.states("eu-1")[1].1, "revoked");
}
