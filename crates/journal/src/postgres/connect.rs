//! Connections to the primary, and the tasks that drive them.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_postgres::error::Severity;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::errors::{connect_error, statement_error};
use super::parameters::PostgresParameters;
use super::tls;
use crate::{Error, ErrorKind, Result};

/// Settings that the journal's statements rely on. Unknown ones are skipped, because the variants
/// of PostgreSQL don't know all of them.
///
/// No timeout may cancel an append, whose outcome would be unknown. The tables grow from nothing and
/// are trimmed to nothing, so that their statistics are always wrong: an index is always right. A
/// durability that a role's defaults have weakened is restored.
pub(super) const SESSION: &str = "\
SET statement_timeout = 0; \
SELECT set_config(s.name, w.value, false) FROM (VALUES \
('lock_timeout', '0'), ('idle_session_timeout', '0'), \
('enable_seqscan', 'off'), ('jit', 'off'), \
('default_transaction_isolation', 'read committed'), \
('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') \
THEN 'on' ELSE current_setting('synchronous_commit') END)) AS w (name, value) \
JOIN pg_settings s ON s.name = w.name";

/// Whose PostgreSQL it is, where that makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// PostgreSQL itself, and what behaves like it.
    Postgres,
    /// YugabyteDB.
    Yugabyte,
}

impl Dialect {
    /// From the `server_version` that a server announces, such as `15.12-YB-2025.1.0.0-b168`.
    pub(super) fn of(server_version: &str) -> Self {
        if server_version.contains("-YB-") {
            Self::Yugabyte
        } else {
            Self::Postgres
        }
    }
}

/// Opens connections of one endpoint.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) config: Config,
    tls: MakeRustlsConnect,
    timeout: Duration,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) client: Client,
    pub(super) dialect: Dialect,
    /// Warnings that the server has sent so far. The driver counts one before it hands over the
    /// answer behind it.
    pub(super) warnings: Arc<AtomicU64>,
    pub(super) driver: JoinHandle<()>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Connector {
    pub(super) fn new(parameters: &PostgresParameters, timeout: Duration) -> Result<Self> {
        let mut config = parameters.config.clone();
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(timeout);
        }
        Ok(Self {
            config,
            tls: tls::connector(parameters)?,
            timeout,
            tasks: TaskTracker::new(),
            cancel: CancellationToken::new(),
        })
    }

    /// Connects to the first host that is a primary, and prepares the session.
    pub(super) async fn open(&self) -> Result<Opened> {
        const ACTION: &str = "connecting to the database";
        if self.cancel.is_cancelled() {
            return Err(Error::new(ACTION, ErrorKind::Closed).determinate());
        }
        let hosts = self
            .config
            .get_hosts()
            .len()
            .max(self.config.get_hostaddrs().len())
            .max(1);
        // The driver bounds the TCP connect only; a host that accepts and says nothing is as dead.
        let bound = self.timeout * u32::try_from(hosts).unwrap_or(u32::MAX);
        let opened = tokio::time::timeout(bound, self.dial(&self.config)).await;
        let opened = opened.map_err(|_| {
            Error::new(ACTION, ErrorKind::Unreachable)
                .determinate()
                .with_detail(format!("no answer within {bound:?}"))
        })?;
        let opened = opened.map_err(|error| connect_error(ACTION, error))?;
        let session = opened.client.batch_execute(SESSION).await;
        session.map_err(|error| statement_error("preparing a session", error).determinate())?;
        Ok(opened)
    }

    /// Connects as a configuration says, and starts the task that drives the connection.
    pub(super) async fn dial(
        &self,
        config: &Config,
    ) -> std::result::Result<Opened, tokio_postgres::Error> {
        let (client, connection) = config.connect(self.tls.clone()).await?;
        let dialect = Dialect::of(connection.parameter("server_version").unwrap_or_default());
        let warnings = Arc::new(AtomicU64::new(0));
        let driving = drive(connection, Arc::clone(&warnings));
        let cancel = self.cancel.clone();
        let driver = self.tasks.spawn(async move {
            cancel.run_until_cancelled(driving).await;
        });
        Ok(Opened {
            client,
            dialect,
            warnings,
            driver,
        })
    }

    /// Connects to another database of the same server, for what must be done before ours exists.
    pub(super) async fn open_other(&self, database: &str) -> Result<Opened> {
        const ACTION: &str = "connecting to the server's own database";
        let mut config = self.config.clone();
        config.dbname(database);
        let opened = tokio::time::timeout(self.timeout, self.dial(&config)).await;
        let opened =
            opened.map_err(|_| Error::new(ACTION, ErrorKind::Unreachable).determinate())?;
        let opened = opened.map_err(|error| connect_error(ACTION, error))?;
        let session = opened.client.batch_execute(SESSION).await;
        session.map_err(|error| statement_error("preparing a session", error).determinate())?;
        Ok(opened)
    }

    /// Connects to one host alone, as the same user of the same database.
    pub(super) async fn open_host(&self, host: &str, port: u16) -> Result<Opened> {
        const ACTION: &str = "connecting to a node of the database";
        let mut config = Config::new();
        config.host(host).port(port);
        if let Some(user) = self.config.get_user() {
            config.user(user);
        }
        if let Some(password) = self.config.get_password() {
            config.password(password);
        }
        if let Some(database) = self.config.get_dbname() {
            config.dbname(database);
        }
        config.ssl_mode(self.config.get_ssl_mode());
        config.connect_timeout(self.timeout);
        let opened = tokio::time::timeout(self.timeout, self.dial(&config)).await;
        let opened =
            opened.map_err(|_| Error::new(ACTION, ErrorKind::Unreachable).determinate())?;
        opened.map_err(|error| connect_error(ACTION, error))
    }

    /// Ends all connections and waits for their tasks.
    pub(super) async fn close(&self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl deadpool_postgres::Connect for Connector {
    fn connect(
        &self,
        config: &Config,
    ) -> BoxFuture<'_, std::result::Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let config = config.clone();
        Box::pin(async move {
            let opened = self.dial(&config).await?;
            opened.client.batch_execute(SESSION).await?;
            Ok((opened.client, opened.driver))
        })
    }
}

/// Polls a connection until it ends. Errors reach whoever waits for an answer; the ones that come
/// between requests (a server that shuts down) are of interest to nobody.
async fn drive<T>(mut connection: Connection<Socket, T>, warnings: Arc<AtomicU64>)
where
    Connection<Socket, T>: Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notice(notice)) => {
                if notice.parsed_severity() == Some(Severity::Warning) {
                    warnings.fetch_add(1, Ordering::Release);
                    let code = notice.code().code();
                    tracing::warn!(code, message = notice.message(), "the database warns");
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "a database connection ended");
                return;
            }
        }
    }
}
