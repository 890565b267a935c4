//! What `setup.sh --processes` has recorded of a fleet: its parts, how each is started, and which process it is.
//!
//! In the state directory: `run/<part>` has a process's number and birth; `parts/<part>.json` how it was started; `owned` which
//! parts there are to be; `links/<cluster>.sock` tells a cluster's relay. The record is setup.sh's: what is started here is
//! written down the same way, so that its `--status` and `--down` know it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::process::{Life, Process, Signal};
use crate::error::{DrillError, Result};

/// How setup.sh starts a process, word for word: with the names in a file as its environment, and deaf for the terminal's end.
const START: &str = r#"if [ -n "$1" ]; then set -a; . "$1"; fi; shift; exec nohup "$@""#;
/// How long a process that was killed may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// How a part is started.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Recipe {
    /// The part's name.
    pub(crate) name: String,
    /// Where it runs.
    directory: PathBuf,
    /// A file of NAME=VALUE lines for it alone; empty for none.
    environment: String,
    /// Where its output goes.
    log: PathBuf,
    /// Program and arguments.
    command: Vec<String>,
}

/// A fleet of processes, which nobody else works on while this lives.
#[derive(Debug)]
pub(crate) struct Fleet {
    dir: PathBuf,
    recipes: BTreeMap<String, Recipe>,
    lock: Option<Lock>,
}

/// A part, and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its name.
    pub(crate) name: String,
    /// Its process, if it was ever started.
    pub(crate) process: Option<Process>,
    /// What that does.
    pub(crate) life: Life,
}

impl Fleet {
    /// Reads the record.
    ///
    /// # Errors
    /// There is none, or not a whole one.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let nothing = |reason: String| DrillError::NoFleet {
            path: dir.to_owned(),
            reason,
        };
        if !Path::new("/proc/self/stat").exists() {
            return Err(DrillError::NotLinux.into());
        }
        let dir = dir
            .canonicalize()
            .map_err(|error| nothing(error.to_string()))?;
        let profile = fs::read_to_string(dir.join("profile"))
            .map_err(|error| nothing(format!("profile: {error}")))?;
        if profile.trim() != "processes" {
            return Err(nothing(format!("its profile is {:?}", profile.trim())).into());
        }
        let owned = fs::read_to_string(dir.join("owned")).unwrap_or_default();
        let mut recipes = BTreeMap::new();
        for name in owned
            .lines()
            .filter_map(|line| line.strip_prefix("process "))
        {
            let file = dir.join("parts").join(format!("{name}.json"));
            let text =
                fs::read(&file).map_err(|error| nothing(format!("{}: {error}", file.display())))?;
            let recipe: Recipe = serde_json::from_slice(&text)
                .map_err(|error| nothing(format!("{}: {error}", file.display())))?;
            if recipe.command.is_empty() || recipe.name != name {
                return Err(nothing(format!("{}: it isn't of {name}", file.display())).into());
            }
            recipes.insert(name.to_owned(), recipe);
        }
        if recipes.is_empty() {
            return Err(nothing("it records no processes".to_owned()).into());
        }
        Ok(Self {
            dir,
            recipes,
            lock: None,
        })
    }

    /// Keeps setup.sh and other drills from working on it.
    ///
    /// # Errors
    /// Somebody does.
    pub(crate) fn take(mut self) -> Result<Self> {
        self.lock = Some(Lock::take(&self.dir)?);
        Ok(self)
    }

    /// The clusters: each has an agent.
    pub(crate) fn clusters(&self) -> Vec<String> {
        let parts = self.recipes.keys();
        let names = parts.filter_map(|part| part.strip_suffix("-helium-agent"));
        names.map(str::to_owned).collect()
    }

    /// The kubeconfig of a cluster's own kube-apiserver.
    pub(crate) fn kubeconfig(&self, cluster: &str) -> PathBuf {
        self.dir.join("kubeconfig").join(cluster)
    }

    /// Where a cluster's relay is told, and whether it has one.
    pub(crate) fn relay(&self, cluster: &str) -> Option<PathBuf> {
        let part = format!("{cluster}-links");
        self.recipes
            .contains_key(&part)
            .then(|| self.relay_socket(cluster))
    }

    /// Where it would be told.
    pub(crate) fn relay_socket(&self, cluster: &str) -> PathBuf {
        self.dir.join("links").join(format!("{cluster}.sock"))
    }

    /// The clusters that have a relay.
    pub(crate) fn linked(&self) -> BTreeSet<String> {
        let parts = self.recipes.keys();
        let names = parts.filter_map(|part| part.strip_suffix("-links"));
        names.map(str::to_owned).collect()
    }

    /// All parts, in the order in which they need each other.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let mut names: Vec<&str> = self.recipes.keys().map(String::as_str).collect();
        names.sort_by_key(|name| (rank(name), *name));
        names.into_iter().map(|name| self.look(name)).collect()
    }

    /// One part.
    ///
    /// # Errors
    /// It doesn't exist.
    pub(crate) fn part(&self, name: &str) -> Result<Part> {
        if self.recipes.contains_key(name) {
            return Ok(self.look(name));
        }
        let parts = self.recipes.keys().cloned().collect();
        Err(DrillError::NoPart {
            part: name.to_owned(),
            parts,
        }
        .into())
    }

    fn look(&self, name: &str) -> Part {
        let record = fs::read_to_string(self.dir.join("run").join(name));
        let process = record.ok().and_then(|text| Process::parse(&text));
        let life = process.as_ref().map_or(Life::Ended, Process::life);
        Part {
            name: name.to_owned(),
            process,
            life,
        }
    }

    /// Tells a part something.
    ///
    /// # Errors
    /// It doesn't run, or may not be told.
    pub(crate) fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        let part = self.part(name)?;
        let gone = |reason: &str| DrillError::NotRunning {
            part: name.to_owned(),
            reason: reason.to_owned(),
        };
        let Some(process) = part.process else {
            return Err(gone("it was never started").into());
        };
        let told = process
            .signal(signal)
            .map_err(|source| DrillError::Process {
                doing: "signalling",
                part: name.to_owned(),
                source,
            })?;
        if !told {
            return Err(gone("its process has ended").into());
        }
        Ok(())
    }

    /// Ends a part as a crash would, and waits until it is gone.
    ///
    /// # Errors
    /// As [`Self::signal`], or it doesn't end.
    pub(crate) async fn kill(&self, name: &str) -> Result<()> {
        // A PostgreSQL whose first process alone is killed leaves others, which keep the next from starting.
        let signal = if name == "postgres" {
            Signal::Quit
        } else {
            Signal::Kill
        };
        self.signal(name, signal)?;
        let until = tokio::time::Instant::now() + GONE_WITHIN;
        while self.look(name).life != Life::Ended {
            if tokio::time::Instant::now() >= until {
                return Err(DrillError::Process {
                    doing: "ending",
                    part: name.to_owned(),
                    source: io::ErrorKind::TimedOut.into(),
                }
                .into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Starts a part, unless it runs, and records it.
    ///
    /// # Errors
    /// It can't be started.
    pub(crate) fn start(&self, name: &str) -> Result<()> {
        if self.part(name)?.life != Life::Ended {
            return Ok(());
        }
        let Some(recipe) = self.recipes.get(name) else {
            return Ok(()); // part() has looked
        };
        let process = spawn(recipe).and_then(|process| {
            write_whole(&self.dir.join("run").join(name), &format!("{process}\n"))?;
            Ok(())
        });
        process.map_err(|source| {
            DrillError::Process {
                doing: "starting",
                part: name.to_owned(),
                source,
            }
            .into()
        })
    }
}

/// What starts first: what others need.
fn rank(part: &str) -> usize {
    const ORDER: [&str; 8] = [
        "postgres",
        "-links",
        "-host-store",
        "-kube-apiserver",
        "-controllers",
        "-kine-shim",
        "-helium-apiserver",
        "-helium-agent",
    ];
    let place = ORDER.iter().position(|end| part.ends_with(end));
    place.unwrap_or(ORDER.len())
}

fn spawn(recipe: &Recipe) -> io::Result<Process> {
    let mut log = File::options()
        .create(true)
        .append(true)
        .open(&recipe.log)?;
    writeln!(
        log,
        "==== {:.0} started again by helium drill",
        jiff::Timestamp::now()
    )?;
    let mut command = Command::new("bash");
    command
        .args(["-c", START, "helium-drill", &recipe.environment])
        .args(&recipe.command)
        .current_dir(&recipe.directory)
        .env_remove("KUBECONFIG") // a person's own, or an administrator's secret
        .env_remove("HELIUM_DATABASE_URL")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0); // Ctrl-C in this terminal is not for it
    let child = command.spawn()?;
    // bash becomes the program, so number and birth stay what they are now.
    Process::with(child.id()).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Writes a file so that nobody ever reads half of it.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let partial = path.with_extension("new");
    fs::write(&partial, text)?;
    fs::rename(&partial, path)
}

/// The folder that setup.sh makes, too, with the number of whose process it is.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
}

impl Lock {
    fn take(dir: &Path) -> Result<Self> {
        let path = dir.join("lock");
        let error = |source| DrillError::File {
            doing: "making",
            path: path.clone(),
            source,
        };
        for _attempt in 0..2 {
            match fs::create_dir(&path) {
                Ok(()) => {
                    let mut file = OpenOptions::new()
                        .write(true)
                        .create_new(true)
                        .open(path.join("pid"))
                        .map_err(error)?;
                    writeln!(file, "{}", std::process::id()).map_err(error)?;
                    return Ok(Self { path });
                }
                Err(failed) if failed.kind() == io::ErrorKind::AlreadyExists => {}
                Err(failed) => return Err(error(failed).into()),
            }
            let holder = fs::read_to_string(path.join("pid")).unwrap_or_default();
            let holder = holder.trim();
            if holder.parse().is_ok_and(|pid| Process::with(pid).is_some()) {
                return Err(DrillError::Busy {
                    path: dir.to_owned(),
                    holder: holder.to_owned(),
                }
                .into());
            }
            fs::remove_dir_all(&path).map_err(error)?;
        }
        Err(error(io::ErrorKind::AlreadyExists.into()).into())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.path);
    }
}
