//! Moments to wake at, and pauses between tries.

use std::time::Duration;

use crate::timing::Boot;

/// Collects the moments at which something will have to be decided anew.
#[derive(Debug)]
pub(super) struct Alarm {
    now: Boot,
    wake: Option<Boot>,
}

impl Alarm {
    pub(super) fn new(now: Boot) -> Self {
        Self { now, wake: None }
    }

    pub(super) fn now(&self) -> Boot {
        self.now
    }

    /// Whether a moment has come. If not, it is one to wake at.
    pub(super) fn reached(&mut self, moment: Boot) -> bool {
        if moment <= self.now {
            return true;
        }
        self.wake = Some(self.wake.map_or(moment, |earlier| earlier.min(moment)));
        false
    }

    pub(super) fn wake(&self) -> Option<Boot> {
        self.wake
    }
}

/// Pauses that double.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Backoff {
    failures: u32,
    /// No try before this moment.
    until: Option<Boot>,
}

impl Backoff {
    /// A try has failed: the next one after `first`, then twice as long, at most `most`.
    pub(super) fn failed(&mut self, now: Boot, first: Duration, most: Duration) {
        let doubled = first.saturating_mul(1 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + doubled.min(most));
    }

    /// The first failure costs nothing.
    pub(super) fn failed_after_one_at_once(&mut self, now: Boot, first: Duration, most: Duration) {
        if self.failures == 0 {
            self.failures = 1;
            self.until = Some(now);
        } else {
            // The second failure is the first that costs something.
            let doubled = first.saturating_mul(1 << (self.failures - 1).min(20));
            self.failures = self.failures.saturating_add(1);
            self.until = Some(now + doubled.min(most));
        }
    }

    pub(super) fn is_over(&self, alarm: &mut Alarm) -> bool {
        self.until.is_none_or(|until| alarm.reached(until))
    }

    /// Things changed: try at once, and forget.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}
