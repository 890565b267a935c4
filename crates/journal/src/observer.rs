//! A place to count and time statements.

use std::fmt::Debug;
use std::time::{Duration, Instant};

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

/// Runs one call and tells the observer how it went.
pub(crate) async fn observed<T>(
    observer: &dyn StatementObserver,
    name: &'static str,
    call: impl Future<Output = crate::Result<T>>,
) -> crate::Result<T> {
    let begun = Instant::now();
    let result = call.await;
    let code = result.as_ref().err().map_or("", |error| error.code());
    observer.statement_done(name, begun.elapsed(), code);
    result
}
