//! `helium up` as a person meets it: what it prints, what it refuses, and that it ends and comes
//! back with its state. What kubectl sees is tested in `tests/kubernetes`.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use helium_etcd_proto::etcdserverpb::kv_client::KvClient;
use helium_etcd_proto::etcdserverpb::{PutRequest, RangeRequest};

fn helium(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_helium"));
    command
        .args(["up", "--port", "0", "--etcd-port", "0", "--data-dir"])
        .arg(data)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A running fleet, killed when dropped.
struct Up {
    child: Child,
    report: serde_json::Value,
}

impl Up {
    fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut child = helium(data, &[arguments, &["-o", "json"]].concat())
            .spawn()
            .expect("helium runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let report = serde_json::from_str(&line).unwrap_or_else(|error| {
            let _killed = child.kill();
            panic!("{error}: {line:?}, {:?}", child.wait())
        });
        Self { child, report }
    }

    fn etcd(&self) -> String {
        self.report["etcd"].as_str().expect("a URL").to_owned()
    }

    /// Ctrl-C, and the exit code.
    fn interrupt(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .expect("kill runs");
        assert!(sent.success());
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("helium is still there 20 s after Ctrl-C");
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn refused(mut command: Command) -> (Option<i32>, String) {
    let Output {
        status,
        stderr,
        stdout,
    } = command.output().expect("helium runs");
    assert!(stdout.is_empty(), "nothing that failed prints a report");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

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
