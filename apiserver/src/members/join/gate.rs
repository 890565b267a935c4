//! How many may try to join at once, and how often one address may be wrong.
//!
//! Everybody who reaches the endpoint may ask, so whoever asks is bounded: few at once, and of each address only a
//! handful of wrong tokens, which come back slowly. Right tokens cost nothing, so that many clusters can join one
//! after the other from behind one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Requests that are looked at at once.
const PLACES: usize = 4;
/// Wrong tokens that an address may show one after the other.
const WRONG_MAX: u32 = 10;
/// After this a wrong token is forgiven.
const FORGIVEN_AFTER: Duration = Duration::from_secs(6);
/// Addresses that are remembered; what doesn't fit shares one count.
const ADDRESSES_MAX: usize = 4096;

/// Bounds those who ask.
#[derive(Debug)]
pub(crate) struct Gate {
    places: Semaphore,
    wrong: Mutex<Wrong>,
}

/// Why somebody must wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// All places are taken.
    Full,
    /// The address was wrong too often; seconds until it may try again.
    TooOften(u32),
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            places: Semaphore::new(PLACES),
            wrong: Mutex::default(),
        }
    }
}

impl Gate {
    /// Lets somebody in until the permit is dropped, or says why not.
    pub(crate) fn enter(&self, address: Option<IpAddr>) -> Result<SemaphorePermit<'_>, Closed> {
        self.wrong.lock().check(address, Instant::now())?;
        self.places.try_acquire().map_err(|_| Closed::Full)
    }

    /// Counts a wrong token.
    pub(crate) fn was_wrong(&self, address: Option<IpAddr>) {
        self.wrong.lock().count(address, Instant::now());
    }
}

/// Wrong tokens by address. `None` is everybody who isn't remembered apart.
#[derive(Debug, Default)]
struct Wrong {
    counts: HashMap<Option<IpAddr>, Count>,
}

/// When the last wrong token of an address will be forgiven, if each takes its time.
#[derive(Debug, Clone, Copy)]
struct Count {
    clean_at: Instant,
}

impl Count {
    fn wrong(self, now: Instant) -> u32 {
        let left = self.clean_at.saturating_duration_since(now);
        let each = FORGIVEN_AFTER.as_millis();
        u32::try_from(left.as_millis().div_ceil(each)).unwrap_or(u32::MAX)
    }
}

impl Wrong {
    fn check(&self, address: Option<IpAddr>, now: Instant) -> Result<(), Closed> {
        let address = network(address);
        let known = self.counts.get(&address).or_else(|| {
            // Somebody new shares the count of the others once there is no room.
            (self.counts.len() >= ADDRESSES_MAX)
                .then(|| self.counts.get(&None))
                .flatten()
        });
        let Some(count) = known else {
            return Ok(());
        };
        if count.wrong(now) < WRONG_MAX {
            return Ok(());
        }
        let allowed = FORGIVEN_AFTER * (WRONG_MAX - 1);
        let wait = count.clean_at.saturating_duration_since(now) - allowed;
        Err(Closed::TooOften(
            u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(1),
        ))
    }

    fn count(&mut self, address: Option<IpAddr>, now: Instant) {
        let mut address = network(address);
        if !self.counts.contains_key(&address) && self.counts.len() >= ADDRESSES_MAX {
            self.counts.retain(|_, count| count.wrong(now) > 0);
            if self.counts.len() >= ADDRESSES_MAX {
                address = None;
            }
        }
        let count = self
            .counts
            .entry(address)
            .or_insert(Count { clean_at: now });
        count.clean_at = count.clean_at.max(now) + FORGIVEN_AFTER;
    }
}

/// Who has one IPv6 address has all of its network.
fn network(address: Option<IpAddr>) -> Option<IpAddr> {
    address.map(|address| match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn an_address_that_is_wrong_too_often_waits_and_others_dont() {
        let (mut wrong, now) = (Wrong::default(), Instant::now());
        for _ in 0..WRONG_MAX {
            assert_eq!(wrong.check(address(1), now), Ok(()));
            wrong.count(address(1), now);
        }
        assert_eq!(wrong.check(address(1), now), Err(Closed::TooOften(6)));
        assert_eq!(wrong.check(address(2), now), Ok(()));
        let later = now + FORGIVEN_AFTER;
        assert_eq!(wrong.check(address(1), later), Ok(()));
        wrong.count(address(1), later);
        assert!(wrong.check(address(1), later).is_err());
        let clean = later + FORGIVEN_AFTER * WRONG_MAX;
        for _ in 0..WRONG_MAX {
            assert_eq!(wrong.check(address(1), clean), Ok(()));
            wrong.count(address(1), clean);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut wrong, now) = (Wrong::default(), Instant::now());
        for at in 0..ADDRESSES_MAX as u32 + 100 {
            wrong.count(Some(IpAddr::from(at.to_be_bytes())), now);
        }
        assert_eq!(wrong.counts.len(), ADDRESSES_MAX + 1, "and the others' one");
        assert!(wrong.check(address(9), now).is_err(), "they share a count");
        let later = now + FORGIVEN_AFTER * 200;
        wrong.count(address(9), later);
        assert_eq!(wrong.counts.len(), 1);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let parse = |text: &str| network(Some(text.parse().unwrap()));
        assert_eq!(parse("2001:db8:1:2::1"), parse("2001:db8:1:2:ffff::2"));
        assert_ne!(parse("2001:db8:1:2::1"), parse("2001:db8:1:3::1"));
        assert_eq!(parse("::ffff:10.0.0.1"), parse("10.0.0.1"));
    }

    #[test]
    fn only_a_few_are_looked_at_at_once() {
        let gate = Gate::default();
        let mut inside: Vec<_> = (0..PLACES)
            .map(|at| gate.enter(address(at as u8)))
            .collect();
        assert!(inside.iter().all(Result::is_ok));
        assert_eq!(gate.enter(None).map(drop), Err(Closed::Full));
        inside.pop();
        assert!(gate.enter(None).is_ok());
    }
}
