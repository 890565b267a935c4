//! The way in: a first member, tokens, and others that join.

use std::os::unix::fs::PermissionsExt as _;

use helium_tls::{CertificateIdentity, certificates_from_file};

use crate::support::{Fleet, has, helium, pairs};

#[test]
fn the_first_member_makes_itself_and_the_others_join_with_tokens() {
    let fleet = Fleet::start();
    assert!(fleet.members("eu-1").is_empty());
    has(&fleet.init("eu-1").good(), "eu-1 is the first member");
    has(
        &fleet.init("eu-1").good(),
        "everything is there\neu-1 is a member",
    );
    // Nobody else becomes one that way.
    has(
        &fleet.init("eu-2").refused("H033"),
        "the fleet has members: eu-1",
    );

    let token = fleet.token("eu-2", &[]);
    let text = fleet.join(&token, "eu-2", "second").good();
    has(&text, "eu-2 is a member of the fleet (eu-1, eu-2)");
    let states = pairs(&[("eu-1", "member"), ("eu-2", "member")]);
    // Any cluster shows the same.
    assert_eq!(fleet.states("eu-3"), states);
    let table = fleet.helium("eu-2", &["members"]).good();
    has(&table, "NAME   STATE");

    // The folder has what the manifests expect, and the fleet's trust.
    let trust = fleet.file("second/trust.pem");
    assert_eq!(trust.matches("BEGIN CERTIFICATE").count(), 2);
    has(&trust, fleet.file("second/store-ca.crt").trim());
    let objects = fleet.file("second/objects.yaml");
    for part in [
        "kind: Namespace",
        "helium-cluster",
        "kine-shim-tls",
        "helium-store-client-tls",
        "name: eu-2",
    ] {
        has(&objects, part);
    }
    assert!(!objects.contains("helium-database"), "{objects}");
    let chain = certificates_from_file(&fleet.dir.path().join("second/store-client.crt"));
    let identity = CertificateIdentity::from_certificate(&chain.expect("a chain")[0]);
    let identity = identity.expect("an identity");
    assert_eq!(identity.common_name, "helium:apiserver:eu-2");
    assert_eq!(identity.organizations, ["helium:cluster:eu-2"]);

    // Run again, as after a crash before the answer was written down: the same, and nobody new.
    std::fs::remove_file(fleet.dir.path().join("second/trust.pem")).expect("removed");
    fleet.join(&token, "eu-2", "second").good();
    assert_eq!(fleet.file("second/trust.pem"), trust);
    assert_eq!(fleet.states("eu-1"), states);
}

#[test]
fn a_join_file_has_all_that_is_needed_and_is_for_its_owners_eyes() {
    let fleet = Fleet::with_a_member();
    let file = fleet.path("join.json");
    let server = fleet.server("eu-1");
    let arguments = [
        "token",
        "create",
        "--cluster",
        "eu-2",
        "--server",
        &server,
        "--join-file",
        &file,
    ];
    let told = fleet.helium("eu-1", &arguments).good();
    has(&told, "helium join --join-file");
    let mode = std::fs::metadata(&file)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let document: serde_json::Value = serde_json::from_str(&fleet.file("join.json")).expect("JSON");
    let secret = document["token"].as_str().expect("a token");
    assert!(!told.contains(secret), "the secret is printed too");

    let dir = fleet.path("second");
    has(
        &helium(&[
            "join",
            "--join-file",
            &file,
            "--dir",
            &dir,
            "--cluster-name",
            "eu-3",
        ])
        .refused("H032"),
        "it is for eu-2, not for eu-3",
    );
    helium(&["join", "--join-file", &file, "--dir", &dir]).good();
    assert_eq!(
        fleet.states("eu-1"),
        pairs(&[("eu-1", "member"), ("eu-2", "member")])
    );
}

#[test]
fn the_printed_command_joins() {
    let fleet = Fleet::with_a_member();
    let server = fleet.server("eu-1");
    let arguments = ["token", "create", "--cluster", "eu-2", "--server", &server];
    let ended = fleet.helium("eu-1", &arguments);
    has(&ended.stderr, "it holds a secret");
    let command = ended.good().replace("\\\n", " ");
    let dir = fleet.path("second");
    let mut words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let place = words
        .iter()
        .position(|word| *word == "--dir")
        .expect("--dir")
        + 1;
    words[place] = &dir;
    helium(&words).good();
    assert_eq!(fleet.states("eu-2").len(), 2);
}

#[test]
fn tokens_are_listed_without_their_secrets_and_can_be_taken_back() {
    let fleet = Fleet::with_a_member();
    let token = fleet.token("eu-2", &[]);
    let secret = token["token"].as_str().expect("a token").to_owned();
    let (id, hidden) = secret.split_once('.').expect("two halves");
    let table = fleet.helium("eu-3", &["token", "list"]).good();
    has(&table, id);
    has(&table, "good");
    assert!(!table.contains(hidden), "{table}");
    // Somebody may paste all of it.
    fleet.helium("eu-3", &["token", "delete", &secret]).good();
    fleet.join(&token, "eu-2", "second").refused("H020");
    assert_eq!(
        fleet
            .helium("eu-1", &["token", "list", "-o", "json"])
            .good(),
        "[]\n"
    );
    has(
        &fleet.helium("eu-1", &["token", "delete", id]).good(),
        "there is no token",
    );
}

#[test]
fn files_can_be_made_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("eu-1").display().to_string();
    let init = || {
        helium(&[
            "init",
            "--cluster-name",
            "eu-1",
            "--dir",
            &dir,
            "--files-only",
        ])
    };
    let text = init().good();
    has(&text, "made helium-ca.crt, store-ca.crt");
    has(&text, "kubectl apply -f");
    has(&init().good(), "everything is there");
}
