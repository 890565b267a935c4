//! When leases are due, by the clock of the instance that owns the epoch.
//!
//! Deadlines aren't part of the state: only the owner of the epoch judges them, by its own
//! monotonic clock, which the caller passes in as the time since some fixed start. A new owner
//! starts every lease at its full time to live. So a lease may live longer than it should, and
//! never shorter.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use crate::{Applied, LeaseChange, LeaseId, LeaseInfo};

/// The deadlines of all leases.
#[derive(Debug, Clone, Default)]
pub struct Expiry {
    leases: HashMap<LeaseId, Deadline>,
    /// Soonest first.
    order: BTreeSet<(Duration, LeaseId)>,
}

#[derive(Debug, Clone, Copy)]
struct Deadline {
    at: Duration,
    ttl: Duration,
}

impl Expiry {
    /// No lease.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything and starts all leases of a state at their full time to live. To be done
    /// when an epoch begins and after loading.
    pub fn restart_all(&mut self, now: Duration, leases: impl IntoIterator<Item = LeaseInfo>) {
        self.leases.clear();
        self.order.clear();
        leases
            .into_iter()
            .for_each(|lease| self.start(now, lease.id, lease.ttl));
    }

    /// Follows the changes of an entry. If it began an epoch or an incarnation, every lease starts
    /// again.
    pub fn apply(&mut self, now: Duration, applied: &Applied) {
        for change in &applied.leases {
            match *change {
                LeaseChange::Granted { id, ttl } => self.start(now, id, ttl),
                LeaseChange::Renewed { id } => {
                    self.renew(now, id);
                }
                LeaseChange::Revoked { id } => self.stop(id),
            }
        }
        if applied.epoch.is_some() || applied.incarnation.is_some() {
            let all: Vec<LeaseId> = self.leases.keys().copied().collect();
            all.into_iter().for_each(|id| {
                self.renew(now, id);
            });
        }
    }

    /// Restarts a lease at its full time to live, which is answered; `None` if there is none such.
    pub fn renew(&mut self, now: Duration, id: LeaseId) -> Option<Duration> {
        let deadline = self.leases.get_mut(&id)?;
        self.order.remove(&(deadline.at, id));
        deadline.at = now.saturating_add(deadline.ttl);
        self.order.insert((deadline.at, id));
        Some(deadline.ttl)
    }

    /// Up to `max` leases that are due, the longest overdue first. They stay until the entry that
    /// ends them is applied.
    #[must_use]
    pub fn due(&self, now: Duration, max: usize) -> Vec<LeaseId> {
        let due = self.order.iter().take_while(|(at, _)| *at <= now);
        due.take(max).map(|(_, id)| *id).collect()
    }

    /// Whether a lease is due.
    #[must_use]
    pub fn is_due(&self, now: Duration, id: LeaseId) -> bool {
        self.leases
            .get(&id)
            .is_some_and(|deadline| deadline.at <= now)
    }

    /// When the next lease is due, if there is any.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.order.first().map(|(at, _)| *at)
    }

    /// How long a lease has left; zero if it is due, `None` if there is none such.
    #[must_use]
    pub fn remaining(&self, now: Duration, id: LeaseId) -> Option<Duration> {
        self.leases
            .get(&id)
            .map(|deadline| deadline.at.saturating_sub(now))
    }

    /// All leases, the soonest due first.
    pub fn iter(&self) -> impl Iterator<Item = LeaseId> {
        self.order.iter().map(|(_, id)| *id)
    }

    /// How many leases there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether there is no lease.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    fn start(&mut self, now: Duration, id: LeaseId, ttl: i64) {
        self.stop(id);
        let ttl = Duration::from_secs(u64::try_from(ttl).unwrap_or(0));
        let at = now.saturating_add(ttl);
        self.leases.insert(id, Deadline { at, ttl });
        self.order.insert((at, id));
    }

    fn stop(&mut self, id: LeaseId) {
        if let Some(deadline) = self.leases.remove(&id) {
            self.order.remove(&(deadline.at, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Epoch, MemberId, Revision};

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn applied(leases: Vec<LeaseChange>, epoch: Option<(Epoch, MemberId)>) -> Applied {
        Applied {
            first_revision: Revision(2),
            last_revision: Revision(1),
            leases,
            epoch,
            compacted: None,
            incarnation: None,
        }
    }

    fn granted(id: i64, ttl: i64) -> LeaseChange {
        LeaseChange::Granted {
            id: LeaseId(id),
            ttl,
        }
    }

    #[test]
    fn leases_are_due_at_their_deadline_and_never_before() {
        let mut expiry = Expiry::new();
        expiry.apply(
            secs(100),
            &applied(vec![granted(1, 10), granted(2, 5)], None),
        );
        assert_eq!(expiry.due(secs(105) - Duration::from_nanos(1), 9), []);
        assert_eq!(expiry.due(secs(105), 9), [LeaseId(2)]);
        assert_eq!(expiry.due(secs(200), 9), [LeaseId(2), LeaseId(1)]);
        assert_eq!(expiry.due(secs(200), 1), [LeaseId(2)]);
        assert_eq!(expiry.next_due(), Some(secs(105)));
        assert_eq!(expiry.remaining(secs(101), LeaseId(1)), Some(secs(9)));
    }

    #[test]
    fn a_renewal_restarts_one_lease_at_its_full_time() {
        let mut expiry = Expiry::new();
        expiry.apply(
            secs(0),
            &applied(vec![granted(1, 10), granted(2, 10)], None),
        );
        expiry.apply(
            secs(9),
            &applied(vec![LeaseChange::Renewed { id: LeaseId(1) }], None),
        );
        assert_eq!(expiry.due(secs(18), 9), [LeaseId(2)]);
        assert_eq!(expiry.renew(secs(18), LeaseId(1)), Some(secs(10)));
        assert!(!expiry.is_due(secs(27), LeaseId(1)));
        assert!(expiry.is_due(secs(28), LeaseId(1)));
        assert_eq!(expiry.renew(secs(18), LeaseId(7)), None);
    }

    #[test]
    fn a_new_epoch_restarts_every_lease_at_its_full_time() {
        let mut expiry = Expiry::new();
        expiry.apply(
            secs(0),
            &applied(vec![granted(1, 10), granted(2, 20)], None),
        );
        expiry.apply(
            secs(15),
            &applied(Vec::new(), Some((Epoch(2), MemberId(7)))),
        );
        assert_eq!(expiry.due(secs(24), 9), []);
        assert_eq!(expiry.due(secs(35), 9), [LeaseId(1), LeaseId(2)]);
    }

    #[test]
    fn a_revoked_lease_is_never_due() {
        let mut expiry = Expiry::new();
        expiry.apply(secs(0), &applied(vec![granted(1, 10)], None));
        expiry.apply(
            secs(1),
            &applied(vec![LeaseChange::Revoked { id: LeaseId(1) }], None),
        );
        assert_eq!(expiry.due(secs(99), 9), []);
        assert!(expiry.is_empty());
        assert_eq!(expiry.remaining(secs(2), LeaseId(1)), None);
    }

    #[test]
    fn the_largest_time_to_live_does_not_overflow() {
        let mut expiry = Expiry::new();
        expiry.apply(
            Duration::MAX,
            &applied(vec![granted(1, crate::MAX_LEASE_TTL)], None),
        );
        assert_eq!(expiry.len(), 1);
    }
}
