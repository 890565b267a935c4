//! Time for every cluster's garbage collector to give up the dependents of an owner that is deleted with `--cascade=orphan`.
//!
//! Each collector takes the references out of the dependents that it knows, which are its own cluster's and the shared ones, and then
//! removes the finalizer `orphan` from the owner. The first to do so lets the owner go; a collector that comes later finds
//! dependents of its cluster whose owner is gone, and deletes them. So the first is refused for a while, during which the
//! others, who are told of the deletion at the same moment, do their part. Collectors try again by themselves.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a collector's first word on an owner doesn't count.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long an owner is remembered.
const MEMORY: Duration = Duration::from_secs(600);
/// Most owners that are remembered; beyond that there is no patience.
const LIMIT: usize = 10_000;

/// Owners that a collector wants to let go, by uid, and since when. By this process's clock: creation and deletion times
/// are other machines' words.
#[derive(Debug, Default)]
pub(super) struct Orphaning {
    since: Mutex<HashMap<String, Instant>>,
}

impl Orphaning {
    /// Whether the collector has waited long enough with this owner, as of a moment.
    pub(super) fn is_due(&self, uid: &str, now: Instant) -> bool {
        let mut since = self.since.lock();
        if let Some(first) = since.get(uid) {
            return now.duration_since(*first) >= PATIENCE;
        }
        since.retain(|_, first| now.duration_since(*first) < MEMORY);
        if since.len() >= LIMIT {
            return true;
        }
        since.insert(uid.to_owned(), now);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_starts_the_time_and_owners_are_forgotten() {
        let orphaning = Orphaning::default();
        let start = Instant::now();
        assert!(!orphaning.is_due("a", start));
        assert!(!orphaning.is_due("a", start + PATIENCE / 2));
        assert!(!orphaning.is_due("b", start + PATIENCE / 2));
        let later = start + PATIENCE;
        assert!(orphaning.is_due("a", later) && orphaning.is_due("a", later));
        assert!(!orphaning.is_due("b", later));
        assert!(!orphaning.is_due("c", start + PATIENCE + MEMORY));
        assert_eq!(orphaning.since.lock().len(), 1);
    }
}
