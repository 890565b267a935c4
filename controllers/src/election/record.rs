//! Whose a lease is, judged from its record and the time that it hasn't changed: values only.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::core::ObjectMeta;
use tokio::time::Instant;

/// What to do with a lease.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// It isn't there: make it.
    Create,
    /// It is free or has run out: take it.
    Take(Box<Lease>),
    /// It is ours: renew it.
    Renew(Box<Lease>),
    /// It is another's.
    Wait,
}

/// One candidate's view of a lease.
#[derive(Debug)]
pub(super) struct Judge {
    identity: String,
    /// The record that was seen last, and when it was first seen.
    seen: Option<(LeaseSpec, Instant)>,
    /// The lease as we wrote it last.
    held: Option<Lease>,
}

impl Judge {
    pub(super) fn new(identity: String) -> Self {
        Self {
            identity,
            seen: None,
            held: None,
        }
    }

    /// What to do with the lease that was found. `default` is the duration of a record that names none.
    pub(super) fn judge(&mut self, found: Option<Lease>, now: Instant, default: Duration) -> Step {
        let Some(lease) = found else {
            return Step::Create;
        };
        self.saw(&lease, now);
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if holder == self.identity {
            return Step::Renew(Box::new(lease));
        }
        let duration = spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(default, Duration::from_secs);
        let unchanged = self
            .seen
            .as_ref()
            .map_or(Duration::ZERO, |(_, since)| now.duration_since(*since));
        if holder.is_empty() || unchanged >= duration {
            Step::Take(Box::new(lease))
        } else {
            Step::Wait
        }
    }

    /// Notes a record; its time begins anew when it is another one.
    pub(super) fn saw(&mut self, lease: &Lease, now: Instant) {
        let spec = lease.spec.clone().unwrap_or_default();
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != spec) {
            self.seen = Some((spec, now));
        }
    }

    /// Notes the lease as written by us.
    pub(super) fn holds(&mut self, lease: Lease) {
        self.held = Some(lease);
    }

    /// A lease that is ours from the beginning.
    pub(super) fn first(&self, name: &str, now: Timestamp, duration: Duration) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(self.record(now, duration, 0)),
        }
    }

    /// The found lease as ours.
    pub(super) fn taken(&self, mut found: Lease, now: Timestamp, duration: Duration) -> Lease {
        let before = found.spec.as_ref();
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        found.spec = Some(self.record(now, duration, transitions.saturating_add(1)));
        found
    }

    /// The found lease, renewed.
    pub(super) fn renewed(&self, mut found: Lease, now: Timestamp) -> Lease {
        let spec = found.spec.get_or_insert_default();
        spec.renew_time = Some(MicroTime(now));
        found
    }

    /// The lease as given back, if it was ours when we wrote it last.
    pub(super) fn released(&mut self) -> Option<Lease> {
        let mut lease = self.held.take()?;
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        Some(lease)
    }

    fn record(&self, now: Timestamp, duration: Duration, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(duration.as_secs()).ok(),
            acquire_time: Some(MicroTime(now)),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(15);

    fn judge(name: &str) -> Judge {
        Judge::new(name.to_owned())
    }

    fn lease_of(holder: &str) -> Lease {
        judge(holder).first("lease", Timestamp::UNIX_EPOCH, DURATION)
    }

    #[test]
    fn a_lease_that_is_not_there_is_made_and_a_free_one_taken() {
        let now = Instant::now();
        let mut me = judge("me");
        assert_eq!(me.judge(None, now, DURATION), Step::Create);
        let step = me.judge(Some(lease_of("")), now, DURATION);
        let Step::Take(found) = step else {
            panic!("{step:?}");
        };
        let taken = me.taken(*found, Timestamp::UNIX_EPOCH, DURATION).spec;
        let taken = taken.unwrap();
        assert_eq!(taken.holder_identity.as_deref(), Some("me"));
        assert_eq!(taken.lease_transitions, Some(1));
    }

    #[test]
    fn anothers_lease_is_taken_only_after_its_record_stood_still_for_its_duration() {
        let start = Instant::now();
        let mut me = judge("me");
        let lease = lease_of("other");
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(me.judge(Some(lease.clone()), start, DURATION), Step::Wait);
        assert_eq!(me.judge(Some(lease.clone()), at(14), DURATION), Step::Wait);
        // Renewed: the time begins anew, however old the renewal says it is.
        let renewed = judge("other").renewed(lease, Timestamp::MIN);
        assert_eq!(
            me.judge(Some(renewed.clone()), at(15), DURATION),
            Step::Wait
        );
        assert_eq!(
            me.judge(Some(renewed.clone()), at(29), DURATION),
            Step::Wait
        );
        let taken = me.judge(Some(renewed.clone()), at(30), DURATION);
        assert_eq!(taken, Step::Take(Box::new(renewed)));
    }

    #[test]
    fn ones_own_lease_is_renewed_and_given_back_once() {
        let mut me = judge("me");
        let lease = lease_of("me");
        let step = me.judge(Some(lease.clone()), Instant::now(), DURATION);
        assert_eq!(step, Step::Renew(Box::new(lease.clone())));
        assert_eq!(me.released(), None);
        me.holds(lease);
        let released = me.released().unwrap().spec.unwrap();
        assert_eq!(released.holder_identity.as_deref(), Some(""));
        assert_eq!(me.released(), None);
    }
}
