//! The program as a person meets it when something is wrong.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

fn agent(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_helium-agent"))
        .args(arguments)
        .env_remove("KUBERNETES_SERVICE_HOST")
        .output()
        .expect("it runs")
}

fn refusal(arguments: &[&str], code: i32) -> String {
    let output = agent(arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    text
}

fn kubeconfig(dir: &Path) -> String {
    let path = dir.join("kubeconfig");
    let text =
        "{apiVersion: v1, kind: Config, current-context: c, users: [{name: u, user: {token: t}}],
        contexts: [{name: c, context: {cluster: c, user: u}}],
        clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]}";
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

#[test]
fn bad_flags_end_with_2_and_a_hint() {
    let text = refusal(&["--cluster-nam=east"], 2);
    assert!(text.contains("--cluster-name"), "{text}");
    let text = refusal(&["--cluster-name=east"], 2);
    assert!(text.contains("--control-plane"), "{text}");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let good = kubeconfig(dir.path());
    let own = format!("--kubeconfig={good}");
    let fleet = format!("--control-plane-kubeconfig={good}");
    let name = "--cluster-name=east";
    let missing = dir.path().join("missing").display().to_string();
    for arguments in [
        vec![name, &fleet, &format!("--kubeconfig={missing}")],
        vec![name, &own, &format!("--control-plane-kubeconfig={missing}")],
        vec![name, &own, &fleet, &format!("--ca-file={missing}")],
        vec![
            name,
            &own,
            "--control-plane=https://localhost",
            &format!("--control-plane-ca={missing}"),
        ],
    ] {
        let text = refusal(&arguments, 1);
        assert!(text.starts_with("error: reading "), "{text}");
        assert!(text.contains(&missing), "{text}");
    }
    let text = refusal(&[name, &own, &fleet, &format!("--ca-file={good}")], 1);
    assert!(text.contains("holds no valid PEM certificate"), "{text}");
    let text = refusal(&[name, &fleet], 1);
    assert!(text.contains("--kubeconfig"), "{text}");
}

#[test]
fn a_taken_port_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let good = kubeconfig(dir.path());
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let text = refusal(
        &[
            "--cluster-name=east",
            &format!("--kubeconfig={good}"),
            &format!("--control-plane-kubeconfig={good}"),
            &format!("--probe-address={address}"),
        ],
        1,
    );
    assert!(text.contains(&address), "{text}");
}
