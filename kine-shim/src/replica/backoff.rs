//! Pauses between tries: growing, capped, with jitter.

use std::time::Duration;

use rand::Rng as _;

/// Doubles from a first pause up to a longest one; each pause is shortened at random by up to
/// half, so that instances that failed together don't come back together.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    first: Duration,
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            next: first,
            longest,
        }
    }

    /// How long to wait now.
    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (self.next * 2).min(self.longest);
        pause.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Something worked: start again from the first pause.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(50));
        for cap in [10, 20, 40, 50, 50] {
            let pause = backoff.next_pause();
            assert!(pause <= Duration::from_millis(cap), "{pause:?}");
            assert!(pause * 2 >= Duration::from_millis(cap), "{pause:?}");
        }
        backoff.reset();
        assert!(backoff.next_pause() <= Duration::from_millis(10));
    }
}
