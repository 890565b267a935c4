//! No term of a group begins shortly after the store went back in time (G3).
//!
//! What was acknowledged and then lost may have been a term: its holder leads on until its own clock ends that, and the store
//! knows nothing of it. kine-shim writes a key whenever that happened, before it serves again (`--incarnation-key`); an acquisition
//! is a compare on that key's revision as this server knows it. So one that was computed before can't happen behind it, and whoever
//! learns of it counts from there: for as long as a forgotten term may last, acquisitions are refused.
//!
//! It is counted from when this server first saw the key, by its own monotonic clock, which is later than the setback. Releases and
//! renewals go on: what they compare with is what the store has. A real etcd has no such key, and nothing changes.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What is known of setbacks of the store.
#[derive(Debug, Default)]
pub(crate) struct Setback(Mutex<Option<Seen>>);

#[derive(Debug, Clone, Copy)]
struct Seen {
    revision: i64,
    first: Instant,
}

impl Setback {
    /// The revision of the key as it is known; 0 if it isn't there.
    pub(crate) fn known(&self) -> i64 {
        self.0.lock().map_or(0, |seen| seen.revision)
    }

    /// Notes the revision that the key has; 0 if it isn't there (any more).
    pub(crate) fn note(&self, revision: i64, now: Instant) {
        let mut seen = self.0.lock();
        let news = seen.is_none_or(|seen| seen.revision != revision);
        if revision <= 0 {
            *seen = None;
        } else if news {
            *seen = Some(Seen {
                revision,
                first: now,
            });
        }
    }

    /// For how long no term may begin yet, if a forgotten one may last `term`.
    pub(crate) fn left(&self, term: Duration, now: Instant) -> Option<Duration> {
        let seen = (*self.0.lock())?;
        let left = (seen.first + term).saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setback_counts_from_its_first_sight_and_the_next_one_anew() {
        let setback = Setback::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let term = Duration::from_secs(20);
        assert_eq!((setback.known(), setback.left(term, start)), (0, None));
        setback.note(7, start);
        setback.note(7, at(15));
        assert_eq!(setback.known(), 7);
        assert_eq!(setback.left(term, at(15)), Some(Duration::from_secs(5)));
        assert_eq!(setback.left(term, at(20)), None);
        assert_eq!(setback.left(term * 2, at(20)), Some(term));
        setback.note(9, at(30));
        assert_eq!(setback.left(term, at(30)), Some(term));
        // It goes by itself when everything is long over.
        setback.note(0, at(31));
        assert_eq!((setback.known(), setback.left(term, at(31))), (0, None));
    }
}
