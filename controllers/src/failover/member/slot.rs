//! A kind of work of which one piece is open at a time, and which is tried again in growing pauses.

use std::time::Duration;

use tokio::time::Instant;

/// Pause after the first failure.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause: when the store is back this is how late what waits is written.
const LONGEST: Duration = Duration::from_secs(2);

/// The place of one kind of work.
#[derive(Debug, Default)]
pub(super) struct Slot {
    open: bool,
    not_before: Option<Instant>,
    pause: Option<Duration>,
}

impl Slot {
    /// Whether work may begin now.
    pub(super) fn is_free(&self, now: Instant) -> bool {
        !self.open && self.not_before.is_none_or(|at| now >= at)
    }

    /// Whether work is going on.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// When work that waits may begin, if it has to wait.
    pub(super) fn wakes(&self) -> Option<Instant> {
        self.not_before.filter(|_| !self.open)
    }

    /// Work begins.
    pub(super) fn begin(&mut self) {
        self.open = true;
        self.not_before = None;
    }

    /// It ended; another try follows only after a while if it failed.
    pub(super) fn end(&mut self, succeeded: bool, now: Instant) {
        self.open = false;
        if succeeded {
            self.pause = None;
            self.not_before = None;
        } else {
            let pause = self.pause.map_or(FIRST, |last| (last * 2).min(LONGEST));
            self.pause = Some(pause);
            self.not_before = Some(now + pause);
        }
    }

    /// It ended, and the next one follows after this long.
    pub(super) fn rest(&mut self, pause: Duration, now: Instant) {
        self.open = false;
        self.not_before = Some(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_a_success_ends_them() {
        let mut slot = Slot::default();
        let now = Instant::now();
        assert!(slot.is_free(now));
        slot.begin();
        assert!(slot.is_open() && !slot.is_free(now) && slot.wakes().is_none());
        slot.end(false, now);
        assert!(!slot.is_free(now) && slot.is_free(now + FIRST));
        for _ in 0..8 {
            slot.begin();
            slot.end(false, now);
        }
        assert_eq!(slot.wakes(), Some(now + LONGEST));
        slot.begin();
        slot.end(true, now);
        assert!(slot.is_free(now));
        slot.begin();
        slot.rest(FIRST, now);
        assert_eq!(slot.wakes(), Some(now + FIRST));
    }
}
