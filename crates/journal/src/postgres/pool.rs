//! The pool for everything that is neither an append nor a head query.

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool as Deadpool, PoolError, RecyclingMethod,
    Runtime, Timeouts,
};
use rand::Rng as _;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::connect::Connector;
use super::errors::{connect_error, is_fatal, statement_error};
use crate::{Error, ErrorKind, Result};

/// Connections are retired at an age around this, so that load finds its way back to a node that
/// was away.
const AGE: Duration = Duration::from_secs(600);

/// Pooled connections.
#[derive(Debug)]
pub(super) struct Pool {
    inner: Deadpool,
}

/// A connection on loan. After a fatal error it doesn't go back.
#[derive(Debug)]
pub(super) struct Loan {
    object: Option<Object>,
}

pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Pool {
    pub(super) fn new(connector: &Connector, size: usize, timeout: Duration) -> Result<Self> {
        let manager = Manager::from_connect(
            connector.config.clone(),
            connector.clone(),
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let oldest = AGE.mul_f64(rand::rng().random_range(0.8..1.2));
        let inner = Deadpool::builder(manager)
            .max_size(size.max(1))
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: None,
                create: Some(timeout),
                recycle: Some(timeout),
            })
            .pre_recycle(Hook::sync_fn(move |client, metrics| {
                if client.is_closed() || metrics.age() > oldest {
                    return Err(HookError::message("connection closed or too old"));
                }
                Ok(())
            }))
            .build()
            .map_err(|error| {
                Error::new("preparing the pool", ErrorKind::Endpoint)
                    .determinate()
                    .with_source(error)
            })?;
        Ok(Self { inner })
    }

    /// Borrows a connection. Errors are determinate: nothing was sent.
    pub(super) async fn borrow(&self, action: &'static str) -> Result<Loan> {
        match self.inner.get().await {
            Ok(object) => Ok(Loan {
                object: Some(object),
            }),
            Err(PoolError::Backend(error)) => Err(connect_error(action, error)),
            Err(PoolError::Closed) => Err(Error::new(action, ErrorKind::Closed).determinate()),
            Err(error) => Err(Error::new(action, ErrorKind::Unreachable)
                .determinate()
                .with_source(error)),
        }
    }

    /// Runs one statement and returns all its rows.
    pub(super) async fn query(
        &self,
        action: &'static str,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>> {
        let mut loan = self.borrow(action).await?;
        let result = async {
            let client = loan.client()?;
            let prepared = client.prepare_cached(statement).await?;
            client
                .query(&prepared, parameters)
                .await
                .map_err(Failure::from)
        }
        .await;
        result.map_err(|error| loan.fail(action, error))
    }

    /// Runs one statement and returns how many rows it touched.
    pub(super) async fn execute(
        &self,
        action: &'static str,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> Result<u64> {
        let mut loan = self.borrow(action).await?;
        let result = async {
            let client = loan.client()?;
            let prepared = client.prepare_cached(statement).await?;
            client
                .execute(&prepared, parameters)
                .await
                .map_err(Failure::from)
        }
        .await;
        result.map_err(|error| loan.fail(action, error))
    }

    pub(super) fn close(&self) {
        self.inner.close();
    }
}

/// Why work on a loan ended.
#[derive(Debug)]
pub(super) enum Failure {
    /// The connection is gone already.
    Gone,
    /// The driver's error.
    Sql(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error)
    }
}

impl Loan {
    pub(super) fn client(&mut self) -> std::result::Result<&mut Object, Failure> {
        self.object.as_mut().ok_or(Failure::Gone)
    }

    /// Describes an error, and keeps a connection that is of no more use out of the pool.
    pub(super) fn fail(&mut self, action: &'static str, failure: Failure) -> Error {
        match failure {
            Failure::Gone => Error::new(action, ErrorKind::Unreachable),
            Failure::Sql(error) => {
                if is_fatal(&error) {
                    self.object.take().map(Object::take);
                }
                statement_error(action, error)
            }
        }
    }
}
