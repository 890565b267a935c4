//! The program with its flags, as manifests start it.

use std::net::SocketAddr;
use std::process::Stdio;

use helium_testkit::{free_port, wait_for};
use helium_tls::Component;
use helium_tls::pki::Authority;
use tokio::process::{Child, Command};

use super::client::BOUND;
use super::fleet::{Cluster, PREFIX, bundle, dial, tls};

fn free() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

async fn stop(program: Child) -> String {
    let id = program.id().expect("it runs").to_string();
    let asked = Command::new("kill").args(["-TERM", &id]).status().await;
    assert!(asked.expect("kill runs").success());
    let ended = tokio::time::timeout(BOUND, program.wait_with_output());
    let output = ended.await.expect("it ends in time").expect("an end");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_says_who_decides_and_when_that_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = Cluster::new("a");
    let company = Authority::new("the company").expect("an authority");
    let trusted = bundle(folder.path(), &[&a.authority, &company]);
    let (certificate, key) = a.serving();
    let address = free();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kine-shim"));
    command.env_clear().env("KINE_MEMBERS_PREFIX", PREFIX);
    command.args(["--listen-address", &address.to_string()]);
    command.args(["--metrics-bind-address", "0", "--endpoint"]);
    command.arg(format!("sqlite://{}/state.db", folder.path().display()));
    for (flag, path) in [
        ("--server-cert-file", &certificate),
        ("--server-key-file", &key),
        ("--peer-cert-file", &certificate),
        ("--peer-key-file", &key),
        ("--peer-ca-file", &trusted),
        ("--trusted-ca-file", &trusted),
    ] {
        command.arg(flag).arg(path);
    }
    command.stderr(Stdio::piped()).stdin(Stdio::null());
    let program = command.kill_on_drop(true).spawn().expect("it runs");
    let member = tls(&a.ca(), Some(&a.identity(Component::ApiServer)));
    let guest = company.issue_client("guest", &[]).expect("issued");
    let guest = tls(&a.ca(), Some(&guest));
    wait_for("the program answers", BOUND, || async {
        dial(address, &guest).await.is_ok()
    })
    .await;
    let client = dial(address, &member).await.expect("let in");
    let (key, value) = a.object(&a.member(&[&a.authority]));
    client.put(key.clone(), value).await;
    dial(address, &guest).await.expect_err("not a member");
    client.delete(key).await;
    wait_for("the fleet is open again", BOUND, || async {
        dial(address, &guest).await.is_ok()
    })
    .await;
    let log = stop(program).await;
    let said = |text: &str| log.matches(text).count();
    assert_eq!(
        said("clients are accepted by --trusted-ca-file"),
        2,
        "{log}"
    );
    assert_eq!(
        said("clients are accepted as members of the fleet"),
        1,
        "{log}"
    );
    assert_eq!(said("ERROR"), 0, "{log}");
}

#[tokio::test]
async fn members_need_certificates_and_a_place() {
    for (arguments, parts) in [
        (
            &["--members-prefix", PREFIX][..],
            &["--server-cert-file"][..],
        ),
        (
            &["--members-prefix", "/"],
            &["/registry/helium.dev/members/"],
        ),
        (&["--peer-cert-file", "x.crt"], &["--peer-key-file"]),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_kine-shim"))
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(BOUND, output).await.expect("in time");
        let output = output.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        for part in parts {
            assert!(said.contains(part), "{part} is missing: {said}");
        }
    }
}
