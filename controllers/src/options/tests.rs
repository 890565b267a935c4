use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(arguments: &[&str]) -> Result<Options, clap::Error> {
    Options::try_parse_from([&["helium-agent"], arguments].concat())
}

fn refusal(arguments: &[&str]) -> (ErrorKind, String) {
    let error = parse(arguments).expect_err("refused");
    (error.kind(), error.to_string())
}

const KUBECONFIG: [&str; 2] = [
    "--cluster-name=east",
    "--control-plane-kubeconfig=fleet.kubeconfig",
];

#[test]
fn the_flags_are_consistent() {
    Options::command().debug_assert();
}

#[test]
fn defaults_fit_an_agent_in_its_cluster() {
    let options = parse(&KUBECONFIG).unwrap();
    assert_eq!(options.own(), Endpoint::InCluster);
    assert!(options.election.leader_elect);
    let service = &options.registrar.service;
    assert_eq!(
        (service.name.as_str(), service.port),
        ("helium-apiserver", 443)
    );
    let endpoint = options.control_plane.endpoint();
    assert_eq!(
        endpoint,
        Some(Endpoint::Kubeconfig("fleet.kubeconfig".into()))
    );
}

#[test]
fn leader_election_can_be_turned_off_and_named_alone() {
    let with = |flag| parse(&[&KUBECONFIG[..], &[flag]].concat()).unwrap();
    assert!(!with("--leader-elect=false").election.leader_elect);
    assert!(with("--leader-elect").election.leader_elect);
}

#[test]
fn the_control_plane_must_be_named_in_one_way_and_completely() {
    let name = "--cluster-name=east";
    let url = "--control-plane=https://localhost:6443";
    let (kind, _) = refusal(&[name]);
    assert_eq!(kind, ErrorKind::MissingRequiredArgument);
    let (kind, _) = refusal(&[name, url, KUBECONFIG[1]]);
    assert_eq!(kind, ErrorKind::ArgumentConflict);
    let (kind, text) = refusal(&[name, url]);
    assert_eq!(kind, ErrorKind::MissingRequiredArgument);
    assert!(text.contains("--control-plane-ca"), "{text}");
    let (kind, text) = refusal(&[name, url, "--control-plane-ca=a", "--control-plane-cert=b"]);
    assert_eq!(kind, ErrorKind::MissingRequiredArgument);
    assert!(text.contains("--control-plane-key"), "{text}");
}

#[test]
fn bad_values_say_what_to_write() {
    let (_, text) = refusal(&["--cluster-name=East", KUBECONFIG[1]]);
    assert!(text.contains("lower-case letters"), "{text}");
    let (_, text) = refusal(&[
        "--cluster-name=a",
        "--control-plane=http://h",
        "--control-plane-ca=a",
    ]);
    assert!(text.contains("write https://host:port"), "{text}");
    for service in ["a", "a/b:0", "a/b:x", "a/b/c:1", "A/b:1", "/b:1"] {
        let (_, text) = refusal(&[&KUBECONFIG[..], &["--service", service]].concat());
        assert!(text.contains("namespace/name:port"), "{service}: {text}");
    }
}
