//! A private PostgreSQL server for one test.
//!
//! It runs from the server binaries of the machine, on a free port of 127.0.0.1 and a Unix socket in
//! its own temporary folder, as user `postgres` when the test runs as root (the server refuses
//! root). The superuser is `postgres` with password `postgres`; passwords are checked on TCP.
//! `fsync` is on unless a setting says otherwise. Dropping it stops the server and removes the
//! folder. The first server of a machine's user runs `initdb` and keeps the result in the temporary
//! folder of the system as a template; later ones copy it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::free_port;

const START_BOUND: Duration = Duration::from_secs(60);
const BINARIES: &str = "/usr/lib/postgresql";

/// A running, or stopped, server.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    port: u16,
    settings: Vec<(String, String)>,
    running: bool,
}

impl Postgres {
    /// Starts a server with default settings.
    ///
    /// # Panics
    /// When there are no server binaries, or the server doesn't start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a server with settings such as `("max_connections", "20")`.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let settings = owned(settings);
        blocking(move || {
            let folder = folder_create();
            let template = template();
            run(
                "cp",
                [
                    OsStr::new("-a"),
                    template.as_os_str(),
                    data(&folder).as_os_str(),
                ],
            );
            Self::boot(folder, settings)
        })
        .await
    }

    /// Starts a streaming standby of this server, with a copy of its data.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub async fn start_standby(&self, settings: &[(&str, &str)]) -> Self {
        let settings = owned(settings);
        let primary = self.url("");
        blocking(move || {
            let folder = folder_create();
            let target = data(&folder);
            let arguments = ["-R", "-X", "stream", "-c", "fast", "-d", &primary, "-D"];
            let arguments = arguments
                .map(OsStr::new)
                .into_iter()
                .chain([target.as_os_str()]);
            run(binary("pg_basebackup"), arguments);
            Self::boot(folder, settings)
        })
        .await
    }

    /// The endpoint URL of one database; an empty name leaves the choice to the client.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres:postgres@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// The TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the Unix socket.
    #[must_use]
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Stops it in order; sessions are ended.
    ///
    /// # Panics
    /// When it doesn't stop.
    pub async fn stop(&mut self) {
        self.halt("fast").await;
    }

    /// Stops it as a crash does: nothing is flushed, the next start recovers from the log.
    ///
    /// # Panics
    /// When it doesn't stop.
    pub async fn crash(&mut self) {
        self.halt("immediate").await;
    }

    /// Starts it again on the same port.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn restart(&mut self) {
        if self.running {
            self.stop().await;
        }
        let (folder, port) = (self.folder.path().to_owned(), self.port);
        let settings = self.settings.clone();
        let started = blocking(move || launch(&folder, port, &settings)).await;
        assert!(started, "PostgreSQL did not start again:\n{}", self.log());
        self.running = true;
    }

    /// Makes a primary of a standby.
    ///
    /// # Panics
    /// When it isn't promoted within a minute.
    pub async fn promote(&mut self) {
        let data = data(&self.folder);
        blocking(move || control(&data, &["promote", "-w", "-t", "60"])).await;
    }

    /// Runs SQL in one database, as the superuser.
    ///
    /// # Panics
    /// When it fails.
    pub async fn sql(&self, database: &str, sql: &str) -> String {
        let arguments = [
            "-X",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            &self.url(database),
            "-c",
            sql,
        ]
        .map(str::to_owned);
        let output = blocking(move || run(binary("psql"), arguments.iter().map(OsStr::new))).await;
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    async fn halt(&mut self, mode: &'static str) {
        let data = data(&self.folder);
        blocking(move || control(&data, &["stop", "-w", "-t", "60", "-m", mode])).await;
        self.running = false;
    }

    fn boot(folder: TempDir, settings: Vec<(String, String)>) -> Self {
        for _ in 0..20 {
            let port = free_port();
            if launch(folder.path(), port, &settings) {
                return Self {
                    folder,
                    port,
                    settings,
                    running: true,
                };
            }
        }
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        panic!("PostgreSQL did not start:\n{log}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.running {
            let data = data(&self.folder);
            let arguments = [
                OsStr::new("stop"),
                OsStr::new("-m"),
                OsStr::new("immediate"),
            ];
            let arguments = arguments
                .into_iter()
                .chain([OsStr::new("-D"), data.as_os_str()]);
            // Nothing is left to do about a failure: the folder goes either way.
            let _ = command(binary("pg_ctl"), arguments).output();
        }
    }
}

fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

/// The newest installed version's binary.
fn binary(name: &str) -> PathBuf {
    let versions = std::fs::read_dir(BINARIES).into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let path = entry.path().join("bin").join(name);
            path.exists().then_some((version, path))
        })
        .max();
    match newest {
        Some((_, path)) => path,
        None => panic!(
            "no {name} under {BINARIES}: install PostgreSQL's server (apt-get install postgresql)"
        ),
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// A command as the user that the server runs as.
fn command<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
            "--",
        ]);
        command.arg(program);
        command
    } else {
        Command::new(program)
    };
    command
        .args(arguments)
        .stdin(Stdio::null())
        .current_dir("/")
        .env("LC_ALL", "C.UTF-8");
    command
}

#[track_caller]
fn run<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = A>,
) -> Output {
    let program = program.as_ref();
    match command(program, arguments).output() {
        Ok(output) if output.status.success() => output,
        Ok(output) => panic!(
            "{} failed: {}\n{}",
            program.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("can't run {} (setpriv as root): {error}", program.display()),
    }
}

#[track_caller]
fn control(data: &Path, arguments: &[&str]) {
    let arguments = arguments.iter().map(OsStr::new);
    run(
        binary("pg_ctl"),
        arguments.chain([OsStr::new("-D"), data.as_os_str()]),
    );
}

/// A folder that the server's user owns.
fn folder_create() -> TempDir {
    let folder = tempfile::Builder::new().prefix("helium-pg-").tempdir();
    let folder = folder.unwrap_or_else(|error| panic!("can't create a temporary folder: {error}"));
    if is_root() {
        let status = Command::new("chown")
            .arg("postgres:")
            .arg(folder.path())
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "can't give a folder to user postgres: install PostgreSQL's server"
        );
    }
    folder
}

/// The data folder that servers start from. Built aside and renamed, so that of several processes
/// one wins and none sees half of it.
fn template() -> PathBuf {
    let initdb = binary("initdb");
    let version = initdb
        .components()
        .rev()
        .nth(2)
        .map(|part| part.as_os_str().to_owned());
    let version = version.unwrap_or_default();
    let user = if is_root() {
        "root".into()
    } else {
        std::env::var("USER").unwrap_or_default()
    };
    let name = format!("helium-pg-template-{}-password-{user}", version.display());
    let path = std::env::temp_dir().join(name);
    if path.join("data/PG_VERSION").exists() {
        return path.join("data");
    }
    let folder = folder_create();
    let password = folder.path().join("password");
    if let Err(error) = std::fs::write(&password, "postgres\n") {
        panic!("can't write {}: {error}", password.display());
    }
    let options = [
        "-U",
        "postgres",
        "-E",
        "UTF8",
        "--locale=C",
        "--auth-local=trust",
    ];
    let options = options
        .into_iter()
        .chain(["--auth-host=password", "--no-sync", "-D"]);
    let (target, file) = (data(&folder), format!("--pwfile={}", password.display()));
    // The server's user must be able to read the password file, whatever the umask is.
    run_plain("chmod", &["a+r".as_ref(), password.as_os_str()]);
    run(
        initdb,
        options
            .map(OsStr::new)
            .chain([target.as_os_str(), OsStr::new(&file)]),
    );
    if std::fs::rename(folder.path(), &path).is_ok() {
        let _ = folder.keep();
    }
    path.join("data")
}

fn run_plain(program: &str, arguments: &[&OsStr]) {
    let status = Command::new(program).args(arguments).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{program} failed"
    );
}

/// Starts the server and waits until it answers; false when it ended instead.
fn launch(folder: &Path, port: u16, settings: &[(String, String)]) -> bool {
    let mut options = format!(
        "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={}",
        folder.display()
    );
    for (name, value) in settings {
        options.push_str(&format!(" -c '{name}={value}'"));
    }
    let (data, log) = (folder.join("data"), folder.join("log"));
    let bound = START_BOUND.as_secs().to_string();
    let begun = Instant::now();
    let arguments = [
        "start".as_ref(),
        "-w".as_ref(),
        "-t".as_ref(),
        bound.as_ref(),
        "-s".as_ref(),
    ];
    let arguments = arguments.into_iter().chain([
        "-D".as_ref(),
        data.as_os_str(),
        "-l".as_ref(),
        log.as_os_str(),
        "-o".as_ref(),
        options.as_ref(),
    ]);
    let status = command(
        binary("pg_ctl"),
        arguments.map(|argument: &OsStr| argument.to_owned()),
    )
    .stdout(Stdio::null())
    .stderr(Stdio::null())
    .status();
    tracing::debug!(port, elapsed = ?begun.elapsed(), "started postgres");
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_survives_a_crash_with_its_data_and_its_port() {
        let mut server = Postgres::start().await;
        let url = server.url("postgres");
        server
            .sql(
                "postgres",
                "CREATE TABLE t (x int); INSERT INTO t VALUES (7)",
            )
            .await;
        server.crash().await;
        server.restart().await;
        assert_eq!(server.url("postgres"), url);
        assert_eq!(server.sql("postgres", "SELECT x FROM t").await, "7");
        assert_eq!(server.sql("postgres", "SHOW fsync").await, "on");
    }

    #[tokio::test]
    async fn a_standby_follows_and_is_promoted() {
        let primary = Postgres::start().await;
        primary
            .sql(
                "postgres",
                "CREATE TABLE t (x int); INSERT INTO t VALUES (7)",
            )
            .await;
        let mut standby = primary.start_standby(&[]).await;
        assert_eq!(
            standby.sql("postgres", "SELECT pg_is_in_recovery()").await,
            "t"
        );
        standby.promote().await;
        assert_eq!(standby.sql("postgres", "SELECT x FROM t").await, "7");
        assert_eq!(
            standby.sql("postgres", "SELECT pg_is_in_recovery()").await,
            "f"
        );
    }
}
