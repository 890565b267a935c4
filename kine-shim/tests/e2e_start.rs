//! Starts of the program. One that can't succeed ends soon, with one line that names what is wrong
//! and what to do about it, and an exit code for scripts. One that succeeds is healthy from the
//! moment its port opens.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use helium_testkit::Postgres;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

/// No start that can't succeed may take longer.
const BOUND: Duration = Duration::from_secs(20);

/// How a start ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stderr: String,
}

/// Runs the program, which is to end by itself.
async fn start(arguments: &[&str]) -> Ended {
    let program = Command::new(env!("CARGO_BIN_EXE_kine-shim"))
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ended = tokio::time::timeout(BOUND, program).await;
    let output = ended
        .unwrap_or_else(|_| panic!("{arguments:?} has not ended within {BOUND:?}"))
        .expect("the program runs");
    let ended = Ended {
        code: output.status.code(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    assert!(output.stdout.is_empty(), "{ended:?}");
    ended
}

/// Runs it on an endpoint, on a free port, without its second port.
async fn start_on(endpoint: &str, more: &[&str]) -> Ended {
    let mut arguments = vec!["--endpoint", endpoint, "--metrics-bind-address", "0"];
    if !more.contains(&"--listen-address") {
        arguments.extend(["--listen-address", "127.0.0.1:0"]);
    }
    arguments.extend(more);
    start(&arguments).await
}

impl Ended {
    /// It ended with `code`, and its only error line has all of `parts`.
    #[track_caller]
    fn says(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let errors = self
            .stderr
            .lines()
            .filter(|line| line.starts_with("error:"));
        let errors: Vec<&str> = errors.collect();
        assert_eq!(errors.len(), 1, "{self:?}");
        for part in parts {
            assert!(errors[0].contains(part), "{part:?} is missing: {self:?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:?}");
    }
}

fn sqlite(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

/// The port used to open before the first look at the database, and `etcdctl endpoint health` failed
/// for a moment.
#[tokio::test]
async fn server_is_healthy_from_the_moment_its_port_opens() {
    let folder = tempfile::tempdir().expect("a folder");
    let endpoint = sqlite(&folder.path().join("state.db"));
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address").to_string();
    drop(free);
    let mut program = Command::new(env!("CARGO_BIN_EXE_kine-shim"))
        .args(["--endpoint", &endpoint, "--listen-address", &address])
        .args(["--metrics-bind-address", "0"])
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the program runs");
    let health = async {
        let mut socket = loop {
            match TcpStream::connect(&address).await {
                Ok(socket) => break socket,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let request = "GET /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        socket
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        let mut answer = String::new();
        socket
            .read_to_string(&mut answer)
            .await
            .expect("it answers");
        answer
    };
    let answer = tokio::time::timeout(BOUND, health).await.expect("in time");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.ends_with(r#"{"health":"true","reason":""}"#),
        "{answer}"
    );
    let id = program.id().expect("it runs").to_string();
    let asked = Command::new("kill").args(["-TERM", &id]).status().await;
    assert!(asked.expect("kill runs").success());
    let ended = tokio::time::timeout(BOUND, program.wait()).await;
    let code = ended.expect("it ends in time").expect("a child").code();
    assert_eq!(code, Some(0), "a signal ends it in order");
}

#[tokio::test]
async fn unknown_flag_is_refused_with_the_one_that_was_meant() {
    let ended = start(&["--listen-addres", "127.0.0.1:0"]).await;
    ended.says(2, &["--listen-addres"]);
    let tip = "a similar argument exists: '--listen-address'";
    assert!(ended.stderr.contains(tip), "{ended:?}");
    let nothing_like_it = start(&["--bogus"]).await;
    nothing_like_it.says(2, &["--bogus"]);
    assert!(nothing_like_it.stderr.contains("--help"), "{ended:?}");
}

#[tokio::test]
async fn values_that_make_no_sense_are_refused_with_an_example() {
    let ended = start(&["--request-timeout", "soon"]).await;
    ended.says(2, &["soon", "--request-timeout", "5s"]);
    let ended = start(&["--listen-address", "nowhere"]).await;
    ended.says(2, &["nowhere", "--listen-address", "host:port"]);
    let ended = start_on("mysql://root:secret@127.0.0.1/db", &[]).await;
    ended.says(1, &["mysql", "sqlite://", "postgres://"]);
    assert!(!ended.stderr.contains("secret"), "{ended:?}");
}

#[tokio::test]
async fn database_out_of_reach_is_waited_for_with_progress_and_then_given_up() {
    // Bound and closed again: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address").to_string();
    drop(free);
    let endpoint = format!("postgres://user:secret@{address}/db");
    let ended = start_on(&endpoint, &["--startup-timeout", "500ms"]).await;
    ended.says(1, &[&address, "refused", "--endpoint", "--startup-timeout"]);
    assert!(ended.stderr.contains("trying again"), "{ended:?}");
    assert!(!ended.stderr.contains("secret"), "{ended:?}");
}

#[tokio::test]
async fn database_that_denies_access_is_not_asked_again() {
    let postgres = Postgres::start().await;
    let address = format!("127.0.0.1:{}", postgres.port());
    let endpoint = format!("postgres://postgres:secret@{address}/db");
    let ended = start_on(&endpoint, &[]).await;
    ended.says(1, &[&address, "password", "--endpoint"]);
    assert!(!ended.stderr.contains("trying again"), "{ended:?}");
    assert!(!ended.stderr.contains("secret"), "{ended:?}");
    let role = "CREATE ROLE weak LOGIN PASSWORD 'weak'";
    postgres.sql("postgres", role).await;
    let endpoint = format!("postgres://weak:weak@{address}/missing");
    let ended = start_on(&endpoint, &[]).await;
    ended.says(1, &["missing", "does not exist", "create"]);
}

#[tokio::test]
async fn port_in_use_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let endpoint = sqlite(&folder.path().join("state.db"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = start_on(&endpoint, &["--listen-address", &address]).await;
    ended.says(1, &[&address, "in use", "another port"]);
    let metrics = ["--endpoint", &endpoint, "--listen-address", "127.0.0.1:0"];
    let ended = start(&[&metrics[..], &["--metrics-bind-address", &address]].concat()).await;
    ended.says(1, &[&address, "in use", "another port"]);
}

#[tokio::test]
async fn sqlite_paths_that_cannot_hold_a_database_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "not a database, but long enough to be looked at").expect("a file");
    let below = file.join("state.db");
    let ended = start_on(&sqlite(&below), &[]).await;
    ended.says(1, &[&below.display().to_string(), "--endpoint"]);
    let ended = start_on(&sqlite(folder.path()), &[]).await;
    ended.says(1, &[&folder.path().display().to_string(), "--endpoint"]);
    let ended = start_on(&sqlite(&file), &[]).await;
    let name = file.display().to_string();
    ended.says(1, &[&name, "not a database", "--endpoint"]);
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let endpoint = sqlite(&folder.path().join("state.db"));
    let missing = folder.path().join("missing.pem").display().to_string();
    let ended = start_on(&endpoint, &["--server-cert-file", &missing]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("--server-key-file"), "{ended:?}");
    let both = [
        "--server-cert-file",
        &missing,
        "--server-key-file",
        &missing,
    ];
    let ended = start_on(&endpoint, &both).await;
    ended.says(1, &[&missing, "No such file", "--server-cert-file"]);
    let ca = ["--trusted-ca-file", missing.as_str()];
    let ended = start_on(&endpoint, &ca).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("--server-cert-file"), "{ended:?}");
    let database = ["--cert-file", missing.as_str(), "--startup-timeout", "1s"];
    let ended = start_on("postgres://user:secret@127.0.0.1:1/db", &database).await;
    assert_ne!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("--key-file"), "{ended:?}");
}
