//! A dedicated connection that comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::Rng as _;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_postgres::{Client, Statement};

use super::connect::{Connector, Dialect};
use super::errors::{is_fatal, statement_error};
use crate::{Error, Result};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection of its own for one kind of work, with its statements prepared.
///
/// Statements of concurrent callers are pipelined. Whoever finds it broken connects again, the
/// others wait for that: the async lock is held while connecting so that one does it for all, and
/// never while a statement runs. Failed attempts are spaced by growing, jittered pauses.
#[derive(Debug)]
pub(super) struct Link {
    connector: Connector,
    statements: Statements,
    state: Mutex<State>,
}

/// What a connection prepares.
pub(super) type Statements = fn(Dialect) -> &'static [&'static str];

#[derive(Debug, Default)]
struct State {
    session: Option<Arc<Session>>,
    failures: u32,
    not_before: Option<Instant>,
}

/// One connection's life.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    warnings: Arc<AtomicU64>,
    statements: Vec<Statement>,
}

impl Session {
    /// The statement at this place of the link's list.
    pub(super) fn statement(&self, index: usize) -> &Statement {
        &self.statements[index]
    }

    /// Warnings received so far.
    pub(super) fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Acquire)
    }
}

impl Link {
    pub(super) fn new(connector: Connector, statements: Statements) -> Self {
        Self {
            connector,
            statements,
            state: Mutex::default(),
        }
    }

    /// The connection, opened if need be. Errors are determinate: nothing was sent.
    pub(super) async fn session(&self) -> Result<Arc<Session>> {
        let mut state = self.state.lock().await;
        if let Some(session) = &state.session {
            if !session.client.is_closed() {
                return Ok(Arc::clone(session));
            }
            state.session = None;
        }
        if let Some(instant) = state.not_before {
            tokio::time::sleep_until(instant).await;
        }
        match self.open().await {
            Ok(session) => {
                let session = Arc::new(session);
                *state = State {
                    session: Some(Arc::clone(&session)),
                    failures: 0,
                    not_before: None,
                };
                Ok(session)
            }
            Err(error) => {
                let pause = FIRST_PAUSE * 2_u32.saturating_pow(state.failures.min(16));
                let pause = pause
                    .min(LONGEST_PAUSE)
                    .mul_f64(rand::rng().random_range(0.5..1.0));
                state.failures = state.failures.saturating_add(1);
                state.not_before = Some(Instant::now() + pause);
                Err(error)
            }
        }
    }

    async fn open(&self) -> Result<Session> {
        let opened = self.connector.open().await?;
        let texts = (self.statements)(opened.dialect);
        let mut statements = Vec::with_capacity(texts.len());
        for text in texts {
            let prepared = opened.client.prepare(text).await;
            statements.push(
                prepared.map_err(|error| {
                    statement_error("preparing a statement", error).determinate()
                })?,
            );
        }
        Ok(Session {
            client: opened.client,
            warnings: opened.warnings,
            statements,
        })
    }

    /// Describes an error of a statement on a session, which is given up if it is of no more use.
    pub(super) async fn fail(
        &self,
        action: &'static str,
        session: &Arc<Session>,
        error: tokio_postgres::Error,
    ) -> Error {
        if is_fatal(&error) {
            self.discard(session).await;
        }
        statement_error(action, error)
    }

    /// Gives a session up; the next caller connects again.
    pub(super) async fn discard(&self, session: &Arc<Session>) {
        let mut state = self.state.lock().await;
        if state
            .session
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, session))
        {
            state.session = None;
        }
    }
}
