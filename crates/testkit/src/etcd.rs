//! A real etcd of one member.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Process, component, free_port};

/// A real etcd that can be killed and started again on its data; killed when dropped.
#[derive(Debug)]
pub struct Etcd {
    process: Process,
    dir: PathBuf,
    name: String,
    port: u16,
    peer_port: u16,
}

impl Etcd {
    /// Starts one with its data and log in a folder, under a name that is its own there. It may take a moment to answer.
    #[must_use]
    pub fn start(dir: &Path, name: &str) -> Self {
        let (port, peer_port) = (free_port(), free_port());
        Self {
            process: run(dir, name, port, peer_port),
            dir: dir.to_owned(),
            name: name.to_owned(),
            port,
            peer_port,
        }
    }

    /// Where clients reach it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again.
    pub fn resume(&mut self) {
        self.process = run(&self.dir, &self.name, self.port, self.peer_port);
    }
}

fn run(dir: &Path, name: &str, port: u16, peer_port: u16) -> Process {
    let client = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    let mut command = Command::new(component("etcd"));
    command
        .arg("--data-dir")
        .arg(dir.join(name))
        .args(["--listen-client-urls", &client])
        .args(["--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer])
        .args(["--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .args(["--unsafe-no-fsync", "--log-level", "error"]);
    Process::start(command, dir.join(format!("{name}.log")))
}
