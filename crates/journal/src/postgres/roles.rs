//! The roles of a fleet's clusters in the database.
//!
//! Each cluster's kine-shim logs in as a role of its own, `helium_<cluster>`, so that one cluster can
//! be shut out of the database without the others noticing. What such a role may do it has from the
//! group role `helium_member` alone: read and write the rows of the journal's tables, and nothing
//! else. It owns nothing, makes no table, and sees no other one.
//!
//! # What holds
//!
//! 1. Every step can be repeated: whoever was interrupted runs the same call again. Several at once
//!    don't get into each other's way.
//! 2. A revoked role has lost its rights *before* its sessions are ended: it can't log in, and it is no
//!    member of the group any more, so that even a session that nobody could end is refused its
//!    next statement. An append that was under way is decided by the database as always: the journal
//!    of whoever wrote it never heard that it was committed.
//! 3. Names are checked and quoted. A password leaves this process as a SCRAM verifier: it stands in no
//!    log of the server, and in no view of its activity.
//! 4. A role that is there already and may do more than ours is never touched.
//!
//! # YugabyteDB
//!
//! It speaks the same statements. A session belongs to the node that it is connected to, and only that
//! node lists and ends it: so all nodes that the cluster names are asked, and those that can't be
//! reached are told to the caller ([`Revoked::unreached`]). There the second half of 2 counts, once the
//! node has seen the catalog's change, with its next heartbeat. Statements about roles are not
//! transactions there, which nothing here relies on. Logins are checked with `ysql_enable_auth` only:
//! without it a role is only a word.
//!
//! # What it will not do
//!
//! Change what PUBLIC may do, or another program's roles: where PUBLIC may make tables (PostgreSQL
//! before 15), creating a member's role is refused, with the statement that helps. Which *keys* a
//! member writes is not the database's to say.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::connect::{Connector, Dialect, Opened};
use super::errors::{is_migration_race, statement_error};
use super::{PostgresParameters, schema};
use crate::endpoint::Endpoint;
use crate::{Error, ErrorKind, Result, TlsFiles};

pub(super) mod text;

pub use text::{GROUP, member_endpoint, role_name};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long sessions may take to end.
const SESSIONS: Duration = Duration::from_secs(10);
/// Pause between two looks whether a role's sessions have ended.
const LOOK: Duration = Duration::from_millis(20);
/// How often a statement is repeated that met another one in the catalog.
const ATTEMPTS: u32 = 20;

/// What a revocation found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Sessions that were ended.
    pub sessions: u64,
    /// Nodes of YugabyteDB that could not be asked to end theirs. What runs there has lost its rights
    /// all the same.
    pub unreached: Vec<String>,
}

/// Creates the role of a cluster, or gives it a new password and lets it in again. Creates the
/// database and its tables first where they are missing.
///
/// `admin` is an endpoint URL (`postgres://…`) of a role that may create roles and owns the tables.
/// The cluster's kine-shim then uses [`member_endpoint`].
///
/// # Errors
/// [`ErrorKind::Refused`] for a name or password that can't be used, for a role of that name that is
/// not ours, and where PUBLIC may make tables; [`ErrorKind::Denied`] when `admin` may not;
/// [`ErrorKind::Endpoint`] when it is no PostgreSQL; those of connecting.
pub async fn create_member_role(admin: &str, cluster: &str, password: &str) -> Result<()> {
    const ACTION: &str = "creating a member's role";
    let role = role_name(cluster)?;
    let verifier = text::verifier(password)?;
    let session = Session::open(admin).await?;
    schema::migrate(&session.server).await?;
    let created = async {
        session.ensure_group(ACTION).await?;
        session.ensure_role(ACTION, &role).await?;
        session.apply(ACTION, &text::join_group(&role)).await?;
        session.apply(ACTION, &text::let_in(&role, &verifier)).await
    };
    let outcome = created.await.map_err(|error| advised(error, ADMIN));
    session.close().await;
    outcome
}

/// Lets a revoked cluster in again, with the password that it had. A role that isn't there is an
/// error.
///
/// # Errors
/// As [`create_member_role`].
pub async fn restore_member_role(admin: &str, cluster: &str) -> Result<()> {
    const ACTION: &str = "restoring a member's role";
    let role = role_name(cluster)?;
    let session = Session::open(admin).await?;
    let restored = async {
        if !session.has_role(ACTION, &role).await? {
            return Err(missing(ACTION, &role));
        }
        session.ensure_role(ACTION, &role).await?;
        session.apply(ACTION, &text::join_group(&role)).await?;
        session.apply(ACTION, &text::may_login(&role, true)).await
    };
    let outcome = restored.await.map_err(|error| advised(error, ADMIN));
    session.close().await;
    outcome
}

/// Shuts a cluster out of the database: its role can't log in, has no rights, and its sessions are
/// ended. Returns when they are. A role that isn't there is shut out already.
///
/// # Errors
/// [`ErrorKind::Denied`] when `admin` may not, in which case the text says what was not done;
/// [`ErrorKind::Conflict`] when sessions don't end in time; those of connecting.
pub async fn revoke_member_role(admin: &str, cluster: &str) -> Result<Revoked> {
    let role = role_name(cluster)?;
    let session = Session::open(admin).await?;
    let outcome = session.revoke(&role).await;
    session.close().await;
    outcome
}

/// Removes the role of a cluster that has left; shuts it out first. A role that isn't there is fine.
///
/// # Errors
/// As [`revoke_member_role`].
pub async fn drop_member_role(admin: &str, cluster: &str) -> Result<()> {
    const ACTION: &str = "dropping a member's role";
    let role = role_name(cluster)?;
    let session = Session::open(admin).await?;
    let dropped = async {
        session.revoke(&role).await?;
        session.apply(ACTION, &text::drop_role(&role)).await
    };
    let outcome = dropped.await.map_err(|error| advised(error, ADMIN));
    session.close().await;
    outcome
}

/// What an administrator's endpoint needs.
const ADMIN: &str = "the admin endpoint's role needs CREATEROLE, and must own Helium's tables or be \
a superuser";

/// The same error, with what to do if it is about rights.
fn advised(error: Error, advice: &str) -> Error {
    if error.kind() != ErrorKind::Denied {
        return error;
    }
    let detail = format!("access denied: {advice}");
    error.with_detail(detail)
}

fn refused(action: &'static str, detail: String) -> Error {
    Error::new(action, ErrorKind::Refused)
        .determinate()
        .with_detail(detail)
}

fn missing(action: &'static str, role: &str) -> Error {
    refused(
        action,
        format!("there is no role {role}: create it with a password"),
    )
}

/// An administrator's connection.
struct Session {
    connector: Connector,
    parameters: PostgresParameters,
    server: Opened,
}

impl Session {
    async fn open(admin: &str) -> Result<Self> {
        let Endpoint::Postgres(parameters) = Endpoint::parse(admin, &TlsFiles::default())? else {
            return Err(Error::new("opening the database", ErrorKind::Endpoint)
                .determinate()
                .with_detail(
                    "SQLite has no roles: a fleet needs PostgreSQL or YugabyteDB (postgres://…)",
                ));
        };
        let connector = Connector::new(&parameters, CONNECT)?;
        match schema::database_ensure(&connector, parameters.database()).await {
            Ok(server) => Ok(Self {
                connector,
                parameters: *parameters,
                server,
            }),
            Err(error) => {
                connector.close().await;
                Err(error)
            }
        }
    }

    async fn close(self) {
        drop(self.server);
        self.connector.close().await;
    }

    /// Runs a statement that may meet another one in the catalog.
    async fn apply(&self, action: &'static str, statement: &str) -> Result<()> {
        let mut attempt = 0;
        loop {
            match self.server.client.batch_execute(statement).await {
                Ok(()) => return Ok(()),
                Err(error) if is_migration_race(&error) && attempt < ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) => return Err(statement_error(action, error)),
            }
        }
    }

    async fn asks(&self, action: &'static str, question: &str, role: &str) -> Result<bool> {
        let row = self.server.client.query_one(question, &[&role]).await;
        row.and_then(|row| row.try_get(0))
            .map_err(|error| statement_error(action, error))
    }

    async fn has_role(&self, action: &'static str, role: &str) -> Result<bool> {
        self.asks(action, text::ROLE_EXISTS, role).await
    }

    /// Creates a role that can do nothing. Another one that creates it at the same time is as good.
    async fn create(&self, action: &'static str, role: &str) -> Result<()> {
        match self.server.client.batch_execute(&text::create(role)).await {
            Err(error) if !is_migration_race(&error) => Err(statement_error(action, error)),
            _ => Ok(()),
        }
    }

    /// Makes the group, with exactly what a member needs.
    async fn ensure_group(&self, action: &'static str) -> Result<()> {
        self.ensure_role(action, GROUP).await?;
        for grant in text::GRANTS {
            self.apply(action, grant).await?;
        }
        let row = self.server.client.query_one(text::REACH, &[&GROUP]).await;
        let (schema, connect, usage, create) = row
            .and_then(|row| {
                Ok::<(String, bool, bool, bool), _>((
                    row.try_get(0)?,
                    row.try_get(1)?,
                    row.try_get(2)?,
                    row.try_get(3)?,
                ))
            })
            .map_err(|error| statement_error(action, error))?;
        if create {
            return Err(refused(
                action,
                format!(
                    "everybody may make tables in schema {schema} of this database, members of the \
                     fleet too: run REVOKE CREATE ON SCHEMA {} FROM PUBLIC, and try again",
                    text::identifier(&schema)
                ),
            ));
        }
        if !connect {
            let database = text::identifier(self.parameters.database());
            let grant = format!("GRANT CONNECT ON DATABASE {database} TO {GROUP}");
            self.apply(action, &grant).await?;
        }
        if !usage {
            let schema = text::identifier(&schema);
            let grant = format!("GRANT USAGE ON SCHEMA {schema} TO {GROUP}");
            self.apply(action, &grant).await?;
        }
        Ok(())
    }

    /// Makes a role, or checks that the one that is there is no more than that.
    async fn ensure_role(&self, action: &'static str, role: &str) -> Result<()> {
        if !self.has_role(action, role).await? {
            return self.create(action, role).await;
        }
        if self.asks(action, text::ROLE_IS_STRONG, role).await? {
            return Err(refused(
                action,
                format!(
                    "there is a role {role} that has more rights than a member of the fleet: rename \
                     it, or choose another name for the cluster"
                ),
            ));
        }
        Ok(())
    }

    async fn revoke(&self, role: &str) -> Result<Revoked> {
        const ACTION: &str = "revoking a member's role";
        if !self.has_role(ACTION, role).await? {
            return Ok(Revoked {
                sessions: 0,
                unreached: Vec::new(),
            });
        }
        let shut_out = async {
            self.apply(ACTION, &text::may_login(role, false)).await?;
            self.apply(ACTION, &text::leave_group(role)).await
        };
        shut_out.await.map_err(|error| advised(error, ADMIN))?;
        let mut sessions = end_sessions(&self.server.client, role).await?;
        let mut unreached = Vec::new();
        if self.server.dialect == Dialect::Yugabyte {
            for (host, port) in self.nodes(ACTION).await? {
                match self.connector.open_host(&host, port).await {
                    Ok(node) => sessions += end_sessions(&node.client, role).await?,
                    Err(error) => {
                        tracing::warn!(
                            host,
                            port,
                            error = crate::chain(&error),
                            "a node can't be asked to end a revoked member's sessions"
                        );
                        unreached.push(format!("{host}:{port}"));
                    }
                }
            }
        }
        Ok(Revoked {
            sessions,
            unreached,
        })
    }

    async fn nodes(&self, action: &'static str) -> Result<Vec<(String, u16)>> {
        let rows = self.server.client.query(text::YUGABYTE_NODES, &[]).await;
        let rows = rows.map_err(|error| statement_error(action, error))?;
        rows.iter()
            .map(|row| {
                let port: i32 = row.try_get(1)?;
                Ok((row.try_get(0)?, u16::try_from(port).unwrap_or(5433)))
            })
            .collect::<std::result::Result<_, tokio_postgres::Error>>()
            .map_err(|error| statement_error(action, error))
    }
}

/// Ends all sessions of a role, and waits until they have. One that was logging in when the role lost
/// that right shows up a moment later: so it looks until there is none.
async fn end_sessions(client: &Client, role: &str) -> Result<u64> {
    const ACTION: &str = "ending a member's sessions";
    const SIGNAL: &str = "the role can't log in any more and has lost its rights, but its sessions \
go on until they end by themselves: let the admin endpoint's role end them (GRANT pg_signal_backend \
TO it), and revoke again";
    let begun = Instant::now();
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let rows = client.query(text::END_SESSIONS, &[&role]).await;
        let rows = rows.map_err(|error| advised(statement_error(ACTION, error), SIGNAL))?;
        if rows.is_empty() {
            return Ok(seen.len() as u64);
        }
        for row in &rows {
            let pid: i32 = row
                .try_get(0)
                .map_err(|error| statement_error(ACTION, error))?;
            seen.insert(pid);
        }
        if begun.elapsed() > SESSIONS {
            return Err(Error::new(ACTION, ErrorKind::Conflict).with_detail(format!(
                "{} sessions of {role} have not ended within {SESSIONS:?}: the role can't log in \
                 any more and has lost its rights; revoke again to look once more",
                rows.len()
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}
