//! The command, relays, and fleets of programs that do nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) use helium_testkit::Ended;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs `helium drill`.
pub(crate) fn drill(arguments: &[&str]) -> Ended {
    Ended::of(
        Command::new(env!("CARGO_BIN_EXE_helium"))
            .arg("drill")
            .args(arguments)
            .env_remove("HELIUM_FLEET"),
    )
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn becomes(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < until, "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A state directory as `setup.sh --processes` leaves it, whose parts do nothing. Everything ends with it.
pub(crate) struct Fleet {
    pub(crate) dir: TempDir,
    owned: Vec<Child>,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        for folder in ["run", "parts", "logs", "links", "kubeconfig"] {
            fs::create_dir(dir.path().join(folder)).expect("a folder");
        }
        fs::write(dir.path().join("profile"), "processes\n").expect("written");
        Self {
            dir,
            owned: Vec::new(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs `helium drill <command> --fleet …`.
    pub(crate) fn drill(&self, command: &str, arguments: &[&str]) -> Ended {
        let dir = self.path().display().to_string();
        drill(&[&[command, "--fleet", &dir], arguments].concat())
    }

    /// Records how a part is started, and starts it, as setup.sh does.
    pub(crate) fn add(&mut self, name: &str, command: &[&str], environment: &str) {
        let recipe = json!({
            "name": name, "directory": self.path(), "environment": environment,
            "log": self.path().join("logs").join(format!("{name}.log")), "command": command,
        });
        let parts = self.path().join("parts");
        fs::write(parts.join(format!("{name}.json")), recipe.to_string()).expect("written");
        let owned = self.path().join("owned");
        let before = fs::read_to_string(&owned).unwrap_or_default();
        fs::write(owned, format!("{before}process {name}\n")).expect("written");
        let child = Command::new(command[0])
            .args(&command[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let birth = birth(child.id()).expect("it runs");
        fs::write(self.run(name), format!("{} {birth}\n", child.id())).expect("written");
        self.owned.push(child);
    }

    /// Adds something that sleeps.
    pub(crate) fn sleeper(&mut self, name: &str) {
        self.add(name, &["sleep", "600"], "");
    }

    /// Adds a relay with a link named store; returns where that is reached.
    pub(crate) fn relay(&mut self, cluster: &str, target: u16) -> u16 {
        let port = helium_testkit::free_port();
        let socket = self.path().join(format!("links/{cluster}.sock"));
        let socket_text = socket.display().to_string();
        let link = format!("store=127.0.0.1:{port}->127.0.0.1:{target}");
        self.add(
            &format!("{cluster}-links"),
            &[
                env!("CARGO_BIN_EXE_helium"),
                "drill",
                "relay",
                "--control",
                &socket_text,
                "--link",
                &link,
            ],
            "",
        );
        becomes("the relay listens", || socket.exists());
        port
    }

    pub(crate) fn run(&self, name: &str) -> PathBuf {
        self.path().join("run").join(name)
    }

    /// Number of the process that is recorded.
    pub(crate) fn pid(&self, name: &str) -> u32 {
        let record = fs::read_to_string(self.run(name)).expect("a record");
        let pid = record.split(' ').next().expect("a number");
        pid.parse().expect("a number")
    }

    /// What `helium drill parts` says of a part.
    pub(crate) fn state(&self, name: &str) -> String {
        let found = self.list()["parts"]
            .as_array()
            .expect("parts")
            .iter()
            .find(|part| part["name"] == name)
            .cloned();
        let part = found.unwrap_or_else(|| panic!("no part {name}"));
        part["state"].as_str().expect("a state").to_owned()
    }

    pub(crate) fn list(&self) -> Value {
        let text = self.drill("parts", &["-o", "json"]).good();
        serde_json::from_str(&text).expect("JSON")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for child in &mut self.owned {
            let _gone = child.kill();
            let _gone = child.wait();
        }
        // And those that were started again.
        let runs = fs::read_dir(self.path().join("run")).into_iter().flatten();
        for record in runs.flatten() {
            let text = fs::read_to_string(record.path()).unwrap_or_default();
            if let Some((pid, recorded)) = text.trim().split_once(' ')
                && pid.parse().ok().and_then(birth).as_deref() == Some(recorded)
            {
                let _ended = Command::new("kill").args(["-KILL", pid]).status();
            }
        }
    }
}

/// When a process was started, unless it has ended.
pub(crate) fn birth(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    (fields[0] != "Z").then(|| fields[19].to_owned())
}
