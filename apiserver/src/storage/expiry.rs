//! Leases of the store, for objects that go by themselves after a while.
//!
//! A lease costs the store more than an object does, so objects that are written at about the same time share one: a lease
//! is used for a twentieth of the objects' life (at most a minute), and for so many objects. It lasts that much
//! longer than they are to live, so that none goes early. Two writers that need a new one at the same moment may
//! both make one; the one that isn't kept ends by itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::lease_client::LeaseClient;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Store;
use super::error::Result;

/// Longest use of one lease.
const REUSE_MAX: Duration = Duration::from_secs(60);
/// Most objects of one lease: when it ends they are deleted in one go.
const OBJECTS_MAX: u32 = 1000;

/// Objects that live about equally long. Clones are one and the same.
#[derive(Clone)]
pub struct Expiry(Arc<Inner>);

struct Inner {
    life: Duration,
    current: Mutex<Option<Current>>,
}

struct Current {
    lease: i64,
    until: Instant,
    objects: u32,
}

impl fmt::Debug for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expiry")
            .field("life", &self.0.life)
            .finish_non_exhaustive()
    }
}

impl Expiry {
    /// Objects that live at least this long after their last write; less than a second counts as one.
    #[must_use]
    pub fn after(life: Duration) -> Self {
        Self(Arc::new(Inner {
            life: life.max(Duration::from_secs(1)),
            current: Mutex::new(None),
        }))
    }

    fn reuse(&self) -> Duration {
        (self.0.life / 20).clamp(Duration::from_secs(1), REUSE_MAX)
    }

    /// The lease to write an object with.
    pub(super) async fn lease(&self, store: &Store) -> Result<i64> {
        if let Some(lease) = self.known(Instant::now()) {
            return Ok(lease);
        }
        let life = self.0.life + self.reuse();
        let granted = store.lease_grant(life).await?;
        self.keep(granted, Instant::now());
        Ok(granted)
    }

    /// The present lease, if it may be used once more.
    fn known(&self, now: Instant) -> Option<i64> {
        let mut current = self.0.current.lock();
        let current = current.as_mut()?;
        if current.objects >= OBJECTS_MAX || now >= current.until {
            return None;
        }
        current.objects += 1;
        Some(current.lease)
    }

    fn keep(&self, lease: i64, now: Instant) {
        *self.0.current.lock() = Some(Current {
            lease,
            until: now + self.reuse(),
            objects: 1,
        });
    }

    /// Forgets a lease that the store doesn't know.
    pub(super) fn forget(&self, lease: i64) {
        let mut current = self.0.current.lock();
        if current.as_ref().is_some_and(|known| known.lease == lease) {
            *current = None;
        }
    }
}

impl Store {
    /// Makes a lease that ends after `life`, in whole seconds, unless somebody keeps it alive.
    async fn lease_grant(&self, life: Duration) -> Result<i64> {
        let seconds = life.as_secs() + u64::from(life.subsec_nanos() > 0);
        let request = pb::LeaseGrantRequest {
            ttl: i64::try_from(seconds).unwrap_or(i64::MAX),
            id: 0,
        };
        // Sent again, it may leave behind a lease that nobody uses: it ends by itself.
        let response = self
            .call("grant a lease", false, &mut false, |channel| async move {
                LeaseClient::new(channel).lease_grant(request).await
            })
            .await?;
        Ok(response.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_a_while_share_a_lease() {
        let expiry = Expiry::after(Duration::from_secs(3600));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(expiry.known(start), None);
        expiry.keep(7, start);
        assert_eq!(expiry.known(at(59)), Some(7));
        assert_eq!(expiry.known(at(60)), None);
        expiry.keep(8, at(60));
        for _ in 1..OBJECTS_MAX {
            assert_eq!(expiry.known(at(60)), Some(8));
        }
        assert_eq!(expiry.known(at(60)), None, "and no more than so many");
        expiry.keep(9, at(60));
        expiry.forget(8);
        assert_eq!(expiry.known(at(60)), Some(9));
        expiry.forget(9);
        assert_eq!(expiry.known(at(60)), None);
    }
}
