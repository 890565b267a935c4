//! Times of a term, and the rule that keeps terms apart (F2).

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment on the boot clock of one machine (`CLOCK_BOOTTIME`: it counts while the machine is suspended, and nobody sets
/// it). Moments of two machines can't be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Boot(pub Duration);

impl Boot {
    /// Time since an earlier moment; zero if that one is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Boot {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }
}

impl Sub<Duration> for Boot {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by))
    }
}

/// By how much two clocks' rates may differ together, in parts of a thousand (ρ).
pub const DRIFT_PER_MILLE: u32 = 10;

/// How long the parts of a term take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long a record of the lease holds (T); whole seconds, since a Lease has no smaller ones.
    pub lease: Duration,
    /// How long stopping may take.
    pub stop_budget: Duration,
}

/// Why times don't fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// The lease is too short or too long.
    #[error("the lease duration must be between 1 and 3600 seconds, not {0:?}")]
    Lease(Duration),
    /// Not even one renewal could be missed.
    #[error(
        "a stop budget of {budget:?} leaves no time to renew a lease of {lease:?}: it must be less than {most:?}"
    )]
    Budget {
        /// The budget.
        budget: Duration,
        /// The lease's duration.
        lease: Duration,
        /// What the budget must be below.
        most: Duration,
    },
}

impl Timing {
    /// Times that fit together.
    ///
    /// # Errors
    /// [`TimingError`] says what must be changed.
    pub fn new(lease: Duration, stop_budget: Duration) -> Result<Self, TimingError> {
        let whole = lease.as_secs() * 1000 == lease.as_millis() as u64;
        if !whole || !(1..=3600).contains(&lease.as_secs()) {
            return Err(TimingError::Lease(lease));
        }
        let timing = Self { lease, stop_budget };
        // A renewal that is lost, and one more.
        let most = timing.usable().saturating_sub(timing.renewal() * 2);
        if stop_budget >= most {
            return Err(TimingError::Budget {
                budget: stop_budget,
                lease,
                most,
            });
        }
        Ok(timing)
    }

    /// T(1−ρ): for how long a holder may believe, by its own clock.
    #[must_use]
    pub fn usable(&self) -> Duration {
        self.lease - self.lease * DRIFT_PER_MILLE / 1000
    }

    /// Pause between two renewals, counted from sending to sending: T/4.
    #[must_use]
    pub fn renewal(&self) -> Duration {
        self.lease / 4
    }

    /// When a holder whose last acknowledged renewal was sent then must begin to stop.
    #[must_use]
    pub fn stop_begins(&self, sent: Boot) -> Boot {
        sent + self.usable().saturating_sub(self.stop_budget)
    }

    /// When it must have stopped.
    #[must_use]
    pub fn stop_ends(&self, sent: Boot) -> Boot {
        sent + self.usable()
    }
}
