//! What it prints, what it refuses, and that it ends and comes back with its state.

use std::net::TcpListener;
use std::process::Command;

use helium_etcd_proto::etcdserverpb::kv_client::KvClient;
use helium_etcd_proto::etcdserverpb::{PutRequest, RangeRequest};

use crate::support::{Up, helium, refused};

#[tokio::test]
async fn fleet_reports_where_it_is_ends_on_interrupt_and_keeps_its_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let up = Up::start(&data, &["--clusters", "berlin,tokyo"]);
    let names: Vec<_> = up.report["clusters"]
        .as_array()
        .expect("clusters")
        .iter()
        .map(|c| &c["name"])
        .collect();
    assert_eq!(names, ["berlin", "tokyo"]);
    for file in [
        "kubeconfig",
        "berlin.kubeconfig",
        "tokyo.kubeconfig",
        "pki/tokyo/ca.crt",
    ] {
        assert!(data.join(file).is_file(), "{file} is missing");
    }
    let authority = std::fs::read(data.join("pki/berlin/ca.crt")).expect("an authority");

    let mut client = KvClient::connect(up.etcd()).await.expect("connected");
    let put = PutRequest {
        key: "k".into(),
        value: "v".into(),
        ..Default::default()
    };
    let written = client
        .put(put)
        .await
        .expect("written")
        .into_inner()
        .header
        .expect("a header");
    assert_eq!(up.interrupt(), Some(0));

    let up = Up::start(&data, &["--clusters", "berlin,tokyo"]);
    let mut client = KvClient::connect(up.etcd()).await.expect("connected");
    let range = RangeRequest {
        key: "k".into(),
        ..Default::default()
    };
    let read = client.range(range).await.expect("read").into_inner();
    assert_eq!(read.kvs.len(), 1);
    assert_eq!(read.kvs[0].mod_revision, written.revision);
    assert_eq!(&read.kvs[0].value[..], b"v");
    assert_eq!(
        std::fs::read(data.join("pki/berlin/ca.crt")).expect("an authority"),
        authority
    );
    assert_eq!(up.interrupt(), Some(0));
}

#[test]
fn second_fleet_on_the_same_data_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = Up::start(folder.path(), &["--clusters", "1"]);
    let (code, text) = refused(helium(folder.path(), &[]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("in use by another helium process"), "{text}");
    assert!(text.contains("docs/errors/H002.md"), "{text}");
}

#[test]
fn taken_ports_are_named_with_the_flag_that_changes_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    for flag in ["--etcd-port", "--port"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_helium"));
        let other = if flag == "--port" {
            "--etcd-port"
        } else {
            "--port"
        };
        command
            .args(["up", flag, &port, other, "0", "--data-dir"])
            .arg(folder.path());
        let (code, text) = refused(command);
        assert_eq!(code, Some(1), "{text}");
        assert!(
            text.contains(&format!("127.0.0.1:{port} is in use")),
            "{text}"
        );
        assert!(
            text.contains(&format!("choose another with {flag}")),
            "{text}"
        );
    }
}

#[test]
fn unusable_endpoints_are_refused_without_showing_the_password() {
    let folder = tempfile::tempdir().expect("a folder");
    for (endpoint, part) in [
        ("mysql://root:secret@localhost/x", "mysql"),
        ("postgres://helium:secret@127.0.0.1:1/x", "127.0.0.1"),
        ("not a url", "endpoint"),
    ] {
        let (code, text) = refused(helium(folder.path(), &["--endpoint", endpoint]));
        assert_eq!(code, Some(1), "{endpoint}: {text}");
        assert!(text.contains(part), "{endpoint}: {text}");
        assert!(text.contains("H003"), "{endpoint}: {text}");
        assert!(!text.contains("secret"), "{endpoint}: {text}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [
        ["--clusters", "Berlin"],
        ["--clusters", "0"],
        ["--no-such-flag", "x"],
    ] {
        let (code, text) = refused(helium(folder.path(), &arguments));
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
        assert!(text.contains("--help"), "{arguments:?}: {text}");
    }
}
