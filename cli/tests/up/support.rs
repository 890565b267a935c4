//! `helium up` as a process.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) fn helium(data: &Path, arguments: &[&str]) -> Command {
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
pub(crate) struct Up {
    child: Child,
    pub(crate) report: serde_json::Value,
}

impl Up {
    pub(crate) fn start(data: &Path, arguments: &[&str]) -> Self {
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

    pub(crate) fn etcd(&self) -> String {
        self.report["etcd"].as_str().expect("a URL").to_owned()
    }

    /// Ctrl-C, and the exit code.
    pub(crate) fn interrupt(self) -> Option<i32> {
        self.end("-INT")
    }

    /// Sends a signal, and waits for the exit code.
    pub(crate) fn end(mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([signal, &pid])
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
        panic!("helium is still there 20 s after {signal}");
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

pub(crate) fn refused(mut command: Command) -> (Option<i32>, String) {
    let Output {
        status,
        stderr,
        stdout,
    } = command.output().expect("helium runs");
    assert!(stdout.is_empty(), "nothing that failed prints a report");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}
