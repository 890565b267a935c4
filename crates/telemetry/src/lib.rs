//! Logs and metrics, set up the same way in every process.
//!
//! * [`logging`]: one subscriber, plain text or JSON, to standard error, so that standard output
//!   stays free for data.
//! * [`Chain`]: prints an error with all its sources on one line. An error is logged where it is
//!   handled, once, as a chain.
//! * [`metrics`]: the text exposition of a registry, and facts about the process itself.
//!
//! Meaning of the levels: ERROR = a person must act, WARN = degraded but served, INFO = life-cycle,
//! DEBUG = per request.

mod chain;
pub mod logging;
pub mod metrics;

pub use chain::Chain;
