//! `helium-apiserver` as whoever starts it meets it: what it refuses, with which words and exit code, and that it serves
//! what it can while its store is away.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use helium_tls::pki::Authority;
use tempfile::TempDir;

/// The longest that a start or a stop may take.
const BOUND: Duration = Duration::from_secs(20);
/// Nobody listens here.
const NO_STORE: &str = "--etcd-servers=http://127.0.0.1:1";

/// A server's process, killed when dropped.
struct Process {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Process {
    fn start(folder: &Path, flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_helium-apiserver"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HELIUM_APISERVER_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .current_dir(folder)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .args(["--authentication-skip-lookup", "--bind-address=127.0.0.1"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        Self { child, log }
    }

    /// Its exit code, once it has ended.
    fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + BOUND;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it is still there after {BOUND:?}");
    }

    /// Reads its log up to a line that contains a text.
    fn logged(&mut self, text: &str) -> String {
        let mut line = String::new();
        while self.log.read_line(&mut line).expect("text") > 0 {
            if line.contains(text) {
                return line;
            }
            line.clear();
        }
        panic!("the log ended without {text:?}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A start that must fail: its exit code and what it says.
fn refused(folder: &Path, flags: &[&str]) -> (Option<i32>, String) {
    let mut process = Process::start(folder, flags);
    let code = process.ended();
    let mut text = String::new();
    process.log.read_to_string(&mut text).expect("text");
    assert!(!text.contains("panicked"), "{flags:?}: {text}");
    (code, text)
}

#[test]
fn wrong_flags_are_exit_code_2_with_a_hint() {
    let folder = TempDir::new().expect("a folder");
    let cases: [(&[&str], &str); 8] = [
        (&[NO_STORE], "--cluster-name"),
        (&[NO_STORE, "--cluster-name=Berlin"], "lower-case letters"),
        (&[NO_STORE, "--cluster-name="], "lower-case letters"),
        (&["--cluster-name=berlin"], "--etcd-servers"),
        (
            &["--cluster-name=berlin", "--etcd-server=http://x"],
            "a similar argument exists: '--etcd-servers'",
        ),
        (
            &["--cluster-name=berlin", "--etcd-servers=ftp://x"],
            "isn't http or https",
        ),
        (
            &[NO_STORE, "--cluster-name=berlin", "--secure-port=99999"],
            "99999 is not in 0..=65535",
        ),
        (
            &[NO_STORE, "--cluster-name=berlin", "--tls-cert-file=a.crt"],
            "--tls-private-key-file",
        ),
    ];
    for (flags, part) in cases {
        let (code, text) = refused(folder.path(), flags);
        assert_eq!(code, Some(2), "{flags:?}: {text}");
        assert!(text.contains(part), "{flags:?}: {text}");
        assert!(text.contains("--help"), "{flags:?}: {text}");
    }
}

#[test]
fn unusable_files_and_ports_are_exit_code_1_and_say_which_flag_to_look_at() {
    let folder = TempDir::new().expect("a folder");
    let authority = Authority::new("test").expect("an authority");
    for name in ["one", "two"] {
        authority
            .issue_server(name, &["localhost"])
            .and_then(|issued| issued.save(folder.path(), name))
            .expect("a certificate");
    }
    authority
        .issue_client("helium:apiserver:paris", &["helium:cluster:paris"])
        .and_then(|issued| issued.save(folder.path(), "paris"))
        .expect("a certificate");
    std::fs::write(folder.path().join("bad.pem"), "rubbish").expect("written");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let in_use = format!("--secure-port={port}");

    let secure = "--etcd-servers=https://127.0.0.1:1";
    let cases: [(&[&str], &str, &str); 13] = [
        (
            &[NO_STORE, &in_use],
            "Address already in use",
            "--secure-port",
        ),
        (
            &[
                NO_STORE,
                "--tls-cert-file=none.crt",
                "--tls-private-key-file=one.key",
            ],
            "none.crt",
            "--tls-cert-file",
        ),
        (
            &[
                NO_STORE,
                "--tls-cert-file=one.crt",
                "--tls-private-key-file=none.key",
            ],
            "none.key",
            "--tls-private-key-file",
        ),
        (
            &[
                NO_STORE,
                "--tls-cert-file=one.crt",
                "--tls-private-key-file=two.key",
            ],
            "doesn't match the private key",
            "--tls-private-key-file",
        ),
        (
            &[NO_STORE, "--client-ca-file=none.crt"],
            "none.crt",
            "--client-ca-file",
        ),
        (
            &[NO_STORE, "--client-ca-file=bad.pem"],
            "bad.pem",
            "--client-ca-file",
        ),
        (
            &[NO_STORE, "--requestheader-client-ca-file=none.crt"],
            "none.crt",
            "--requestheader-client-ca-file",
        ),
        (&[NO_STORE, "--kubeconfig=none"], "none", "--kubeconfig"),
        (
            &[NO_STORE, "--authorization-kubeconfig=bad.pem"],
            "bad.pem",
            "--authorization-kubeconfig",
        ),
        (
            &[secure, "--etcd-cafile=none.crt"],
            "none.crt",
            "--etcd-cafile",
        ),
        (
            &[
                secure,
                "--etcd-certfile=paris.crt",
                "--etcd-keyfile=paris.key",
            ],
            "paris.crt is cluster \"paris\"'s, but this server's cluster is \"berlin\"",
            "--cluster-name",
        ),
        (
            &[secure, "--etcd-cafile=bad.pem"],
            "bad.pem",
            "--etcd-cafile",
        ),
        (
            &[
                secure,
                "--etcd-cafile=one.crt",
                "--etcd-certfile=one.crt",
                "--etcd-keyfile=none.key",
            ],
            "none.key",
            "--etcd-keyfile",
        ),
    ];
    for (flags, what, flag) in cases {
        let any_port: &[&str] = if flags.contains(&in_use.as_str()) {
            &[]
        } else {
            &["--secure-port=0"]
        };
        let all = [&["--cluster-name=berlin"], any_port, flags].concat();
        let (code, text) = refused(folder.path(), &all);
        assert_eq!(code, Some(1), "{flags:?}: {text}");
        assert!(text.contains(what), "{flags:?}: {text}");
        let remedy = text.lines().last().unwrap_or_default();
        assert!(remedy.contains(flag), "{flags:?}: {text}");
    }
}

#[test]
fn a_store_that_is_away_or_not_trusted_is_told_once_and_stops_nothing() {
    let folder = TempDir::new().expect("a folder");
    let stranger = Authority::new("stranger").expect("an authority");
    std::fs::write(
        folder.path().join("stranger.crt"),
        stranger.certificate_pem(),
    )
    .expect("written");
    // A server that speaks TLS, with a certificate that the other's authority didn't sign.
    let mut other = Process::start(
        folder.path(),
        &[
            "--cluster-name=other",
            "--secure-port=0",
            "--cert-dir=other",
            NO_STORE,
        ],
    );
    let line = other.logged("serving address=");
    let address = line.split("serving address=").nth(1).expect("an address");
    let address = address.split_whitespace().next().expect("an address");
    let strange = format!("--etcd-servers=https://{address}");
    let flags = ["--cluster-name=berlin", "--secure-port=0"];
    let cases: [(&[&str], &str); 2] = [
        (&[NO_STORE], "Connection refused"),
        (
            &[&strange, "--etcd-cafile=stranger.crt"],
            "invalid peer certificate",
        ),
    ];
    for (store, why) in cases {
        let mut process = Process::start(folder.path(), &[&flags, store].concat());
        let told = process.logged("the shared store doesn't answer");
        assert!(told.contains(why), "{told}");
        let pid = process.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.expect("kill runs").success());
        assert_eq!(process.ended(), Some(0));
        let mut rest = String::new();
        process.log.read_to_string(&mut rest).expect("text");
        assert!(
            !rest.contains("WARN") && !rest.contains("panicked"),
            "{rest}"
        );
    }
}
