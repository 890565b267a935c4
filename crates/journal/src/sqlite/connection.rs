//! One connection and its queue.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{Mutex, MutexGuard};

use super::SqliteParameters;
use super::errors::{is_busy, sqlite_error};
use crate::{Error, ErrorKind, Result};

/// A connection that is opened on first use, and again after its thread died.
///
/// Users queue for it in the order in which they came. The queue is an async lock that is held
/// while a statement runs, because a statement needs the connection for itself: there is nothing
/// else behind that lock that anybody could wait for.
pub(super) struct Connection {
    options: SqliteConnectOptions,
    patience: Duration,
    state: Mutex<State>,
}

enum State {
    Idle,
    Open(SqliteConnection),
    Closed,
}

/// The connection, for as long as the caller needs it.
pub(super) struct Held<'a>(MutexGuard<'a, State>);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(parameters: &SqliteParameters, name: &'static str) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(&parameters.path)
            .create_if_missing(true)
            .busy_timeout(parameters.busy_timeout)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(false)
            .statement_cache_capacity(parameters.statement_cache)
            // 16 MiB between foldings of the write-ahead log: the commit that folds pays for it, and
            // with SQLite's 4 MiB every fortieth batch of 100 kB would.
            .pragma("wal_autocheckpoint", "4096")
            .thread_name(move |_| name.to_owned())
            .disable_statement_logging();
        Self {
            options,
            patience: parameters.busy_timeout,
            state: Mutex::new(State::Idle),
        }
    }

    /// Waits for the connection, and opens it if need be.
    pub(super) async fn hold(&self, action: &'static str) -> Result<Held<'_>> {
        let mut state = self.state.lock().await;
        match *state {
            State::Open(_) => {}
            State::Closed => return Err(Error::new(action, ErrorKind::Closed).determinate()),
            State::Idle => *state = State::Open(self.establish().await?),
        }
        Ok(Held(state))
    }

    /// Switching a new file to WAL needs an exclusive lock for which SQLite doesn't wait, so several
    /// processes that open it at once try again.
    async fn establish(&self) -> Result<SqliteConnection> {
        let begun = Instant::now();
        loop {
            match self.options.connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) if is_busy(&error) && begun.elapsed() < self.patience => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => {
                    let path = self.options.get_filename().display();
                    let error = sqlite_error("opening the SQLite database", error);
                    let detail = format!("{} ({path})", error.kind());
                    return Err(error.determinate().with_detail(detail));
                }
            }
        }
    }

    pub(super) async fn close(&self) {
        let mut state = self.state.lock().await;
        if let State::Open(connection) = std::mem::replace(&mut *state, State::Closed)
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "closing a sqlite connection failed");
        }
    }
}

impl Held<'_> {
    /// The connection itself.
    pub(super) fn get(&mut self, action: &'static str) -> Result<&mut SqliteConnection> {
        match &mut *self.0 {
            State::Open(connection) => Ok(connection),
            State::Idle | State::Closed => Err(Error::new(action, ErrorKind::Closed).determinate()),
        }
    }

    /// Describes an error of a statement, and drops the connection if its thread is gone.
    pub(super) fn fail(&mut self, action: &'static str, error: sqlx::Error) -> Error {
        if matches!(error, sqlx::Error::WorkerCrashed) {
            *self.0 = State::Idle;
        }
        sqlite_error(action, error)
    }
}

/// Creates the folder that the file is to be in.
pub(super) fn folder_create(path: &Path) -> Result<()> {
    let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    else {
        return Ok(());
    };
    std::fs::create_dir_all(folder).map_err(|error| {
        Error::new("creating the database's folder", ErrorKind::Endpoint)
            .determinate()
            .with_detail(format!("can't create {}", folder.display()))
            .with_source(error)
    })
}
