//! What an opener may choose beside the endpoint.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::{LogId, NoObserver, StatementObserver};

/// How to open a journal.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which journal of the database.
    pub log_id: LogId,
    /// Told about every statement.
    pub observer: Arc<dyn StatementObserver>,
    /// How long opening keeps trying while the database can't be reached, is starting, or has no
    /// primary. Other errors end it at once. Zero: one attempt.
    pub start_patience: Duration,
    /// PostgreSQL: connections for everything but appends and head queries, which have their own.
    pub pool_size: usize,
    /// PostgreSQL: the bound of one attempt to connect to one host.
    pub connect_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log_id: LogId::default(),
            observer: Arc::new(NoObserver),
            start_patience: Duration::ZERO,
            pool_size: 4,
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// TLS towards the database, as kine's flags give it. What the endpoint's URL says goes first.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// `--ca-file`: the roots that the server's certificate is verified against.
    pub ca_file: Option<PathBuf>,
    /// `--cert-file`: our certificate.
    pub cert_file: Option<PathBuf>,
    /// `--key-file`: its key.
    pub key_file: Option<PathBuf>,
}
