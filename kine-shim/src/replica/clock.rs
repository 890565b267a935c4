//! Time, injected, so that tests can pause it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The two clocks that a replica reads.
///
/// Every decision about leases and liveness uses [`Clock::now`] of this process alone; the wall
/// clock only labels entries, so that people can ask for a state at a time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Time since some fixed point in the past of this process. Never goes back.
    fn now(&self) -> Duration;

    /// Wall time in microseconds since 1970. May jump; never used for safety.
    fn wall_micros(&self) -> i64;
}

/// The clock of the machine.
///
/// Monotonic time is tokio's, so a test with paused time moves leases and timers together. On
/// Linux it stands still while the machine is suspended: a lease then ends late, never early.
#[derive(Debug)]
pub struct SystemClock {
    origin: tokio::time::Instant,
}

impl SystemClock {
    /// A clock that starts at zero now.
    pub fn new() -> Self {
        Self {
            origin: tokio::time::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wall_micros(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|elapsed| i64::try_from(elapsed.as_micros()).ok())
            .unwrap_or(0)
    }
}
