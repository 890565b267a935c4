//! Whether the fleet's store can be reached from here, judged by our own renewals: values only.
//!
//! While it can't be, nothing can be written to it, this judgement included. So an outage is remembered with its times,
//! and recorded when it is over: first that it began, then that it ended.

use jiff::{Timestamp, Unit};
use std::time::Duration;
use tokio::time::Instant;

use super::status::Verdict;

/// A renewal that fails alone is no outage.
pub(super) const TOLERANCE: Duration = Duration::from_secs(10);

/// A time without a successful renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outage {
    /// When the first renewal failed.
    from: Timestamp,
    /// When one succeeded again.
    to: Option<Timestamp>,
    /// One word.
    reason: &'static str,
    /// What went wrong last.
    error: String,
}

/// What the renewals say.
#[derive(Debug, Default)]
pub(super) struct Reachability {
    /// The failures at present, and when they began by the monotonic clock.
    failing: Option<(Outage, Instant)>,
    /// The last outage that is over, and whether its beginning is recorded.
    last: Option<(Outage, bool)>,
    renewed: bool,
}

impl Reachability {
    /// A renewal succeeded. Returns whether that ended an outage.
    pub(super) fn succeeded(&mut self, now: Timestamp, at: Instant) -> bool {
        self.renewed = true;
        let Some((mut outage, since)) = self.failing.take() else {
            return false;
        };
        if at.duration_since(since) < TOLERANCE {
            return false;
        }
        outage.to = Some(now);
        self.last = Some((outage, false));
        true
    }

    /// A renewal that was begun at `asked` (by both clocks) failed.
    pub(super) fn failed(
        &mut self,
        asked: Timestamp,
        at: Instant,
        reason: &'static str,
        error: String,
    ) {
        let (outage, _) = self.failing.get_or_insert_with(|| {
            let outage = Outage {
                from: asked,
                to: None,
                reason,
                error: String::new(),
            };
            (outage, at)
        });
        outage.reason = reason;
        outage.error = error;
    }

    /// What is to be written about an outage that is over and whose beginning isn't recorded yet.
    pub(super) fn unrecorded(&self) -> Option<Verdict> {
        match &self.last {
            Some((outage, false)) => Some(outage.verdict()),
            _ => None,
        }
    }

    /// The beginning of the last outage is recorded.
    pub(super) fn recorded(&mut self) {
        if let Some((_, recorded)) = &mut self.last {
            *recorded = true;
        }
    }

    /// What is true now; `None` before the first renewal.
    pub(super) fn verdict(&self, now: Instant) -> Option<Verdict> {
        if let Some((outage, since)) = &self.failing
            && now.duration_since(*since) >= TOLERANCE
        {
            return Some(outage.verdict());
        }
        if !self.renewed {
            return None;
        }
        let message = match &self.last {
            Some((outage, _)) => outage.to_string(),
            None => "the cluster's heartbeat is renewed in the store".to_owned(),
        };
        Some(Verdict {
            status: "True",
            reason: "HeartbeatRenewed",
            message,
            since: self.last.as_ref().and_then(|(outage, _)| outage.to),
        })
    }
}

impl Outage {
    fn verdict(&self) -> Verdict {
        Verdict {
            status: "False",
            reason: self.reason,
            message: format!("the heartbeat can't be renewed: {}", self.error),
            since: Some(self.from),
        }
    }
}

impl std::fmt::Display for Outage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let second = |time: Timestamp| time.round(Unit::Second).unwrap_or(time);
        let (from, reason, error) = (second(self.from), self.reason, &self.error);
        write!(f, "out of reach last from {from} to ")?;
        match self.to {
            Some(to) => write!(f, "{}", second(to))?,
            None => f.write_str("now")?,
        }
        write!(f, " ({reason}: {error})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_outage_is_remembered_with_the_times_of_its_beginning_and_end() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut reach = Reachability::default();
        assert_eq!(reach.verdict(start), None);
        reach.succeeded(at(100), start);
        assert_eq!(reach.verdict(start).unwrap().status, "True");

        reach.failed(
            at(105),
            later(5),
            "StoreUnavailable",
            "no answer".to_owned(),
        );
        reach.failed(at(110), later(10), "StoreUnavailable", "503".to_owned());
        assert_eq!(reach.verdict(later(14)).unwrap().status, "True");
        let down = reach.verdict(later(15)).unwrap();
        assert_eq!((down.status, down.since), ("False", Some(at(105))));
        assert!(down.message.ends_with("503"));
        assert_eq!(reach.unrecorded(), None);

        assert!(reach.succeeded(at(120), later(20)));
        assert_eq!(reach.unrecorded(), Some(down));
        let up = reach.verdict(later(20)).unwrap();
        assert_eq!((up.status, up.since), ("True", Some(at(120))));
        assert_eq!(
            up.message,
            "out of reach last from 1970-01-01T00:01:45Z to 1970-01-01T00:02:00Z (StoreUnavailable: 503)"
        );
        reach.recorded();
        assert_eq!(reach.unrecorded(), None);
        assert_eq!(reach.verdict(later(21)).unwrap(), up);
    }

    #[test]
    fn a_single_failure_is_no_outage() {
        let start = Instant::now();
        let mut reach = Reachability::default();
        reach.succeeded(at(0), start);
        reach.failed(
            at(5),
            start + Duration::from_secs(5),
            "StoreUnavailable",
            "x".to_owned(),
        );
        assert!(!reach.succeeded(at(9), start + Duration::from_secs(9)));
        assert_eq!(reach.unrecorded(), None);
        assert_eq!(
            reach
                .verdict(start + Duration::from_secs(60))
                .unwrap()
                .since,
            None
        );
    }
}
