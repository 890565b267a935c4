//! A place to count and time statements.

use std::fmt::Debug;
use std::time::Duration;

/// Told about every statement that a backend has run.
///
/// Called on the path of appends: it must neither block nor allocate much.
pub trait StatementObserver: Send + Sync + Debug {
    /// `name` is the journal's method, `error_code` the database's code or the error's kind, empty
    /// on success.
    fn statement_done(&self, name: &'static str, elapsed: Duration, error_code: &str);
}

/// Looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl StatementObserver for NoObserver {
    fn statement_done(&self, _name: &'static str, _elapsed: Duration, _error_code: &str) {}
}
