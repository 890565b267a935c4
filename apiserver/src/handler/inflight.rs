//! How many requests may be served at once. Reading and writing ones are counted apart, and those of one lease apart
//! from both: neither a storm of lists nor one of writes can keep a lease from being renewed.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::definitions::builtin::{KUBERNETES_LEASE_GROUP, LEASE_GROUP};
use crate::request_info::{RequestInfo, Verb};

/// What a request is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// It reads.
    Reading,
    /// It may change something.
    Writing,
    /// It reads, makes or renews one lease, as candidates of an election do. As many places as for writing.
    Lease,
}

impl Lane {
    pub(crate) fn of(info: &RequestInfo) -> Self {
        let lease = info.target.as_ref().is_some_and(|target| {
            target.resource == "leases"
                && [LEASE_GROUP, KUBERNETES_LEASE_GROUP].contains(&target.group.as_str())
        });
        let one = matches!(
            info.verb,
            Verb::Get | Verb::Create | Verb::Update | Verb::Patch
        );
        match info.verb.is_mutating() {
            _ if lease && one => Self::Lease,
            true => Self::Writing,
            false => Self::Reading,
        }
    }
}

/// The counters. Long-running requests aren't counted: each has its own bounds.
#[derive(Debug)]
pub(crate) struct InFlight {
    reading: Option<Arc<Semaphore>>,
    writing: Option<Arc<Semaphore>>,
    leases: Option<Arc<Semaphore>>,
}

/// Held while a request is served.
#[derive(Debug)]
pub(crate) struct Permit {
    _permit: Option<OwnedSemaphorePermit>,
}

/// All places are taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl InFlight {
    pub(crate) fn new(limits: &Limits) -> Self {
        let places = |count: usize| {
            let count = count.min(Semaphore::MAX_PERMITS);
            (count > 0).then(|| Arc::new(Semaphore::new(count)))
        };
        Self {
            reading: places(limits.max_requests_inflight),
            writing: places(limits.max_mutating_requests_inflight),
            leases: places(limits.max_mutating_requests_inflight),
        }
    }

    /// Takes a place, or says at once that there is none.
    pub(crate) fn enter(&self, lane: Lane) -> Result<Permit, Full> {
        let places = match lane {
            Lane::Reading => &self.reading,
            Lane::Writing => &self.writing,
            Lane::Lease => &self.leases,
        };
        match places {
            None => Ok(Permit { _permit: None }),
            Some(places) => match Arc::clone(places).try_acquire_owned() {
                Ok(permit) => Ok(Permit {
                    _permit: Some(permit),
                }),
                Err(_) => Err(Full),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_counted_apart() {
        let limits = Limits {
            max_requests_inflight: 1,
            max_mutating_requests_inflight: 1,
            ..Limits::default()
        };
        let inflight = InFlight::new(&limits);
        let reading = inflight.enter(Lane::Reading).expect("free");
        let _writing = inflight.enter(Lane::Writing).expect("not counted there");
        for lane in [Lane::Reading, Lane::Writing] {
            assert_eq!(inflight.enter(lane).map(drop), Err(Full));
        }
        inflight
            .enter(Lane::Lease)
            .expect("not counted there either");
        drop(reading);
        inflight.enter(Lane::Reading).expect("free again");
    }

    #[test]
    fn candidates_have_a_lane_of_their_own() {
        let lane =
            |method: http::Method, path: &str| Lane::of(&RequestInfo::parse(&method, path, ""));
        let lease = "/apis/coordination.k8s.io/v1/namespaces/n/leases/l";
        let leases = "/apis/coordination.helium.dev/v1/namespaces/n/leases";
        assert_eq!(lane(http::Method::GET, lease), Lane::Lease);
        assert_eq!(lane(http::Method::PUT, lease), Lane::Lease);
        assert_eq!(lane(http::Method::POST, leases), Lane::Lease);
        assert_eq!(lane(http::Method::GET, leases), Lane::Reading);
        assert_eq!(lane(http::Method::DELETE, leases), Lane::Writing);
        assert_eq!(
            lane(
                http::Method::GET,
                "/apis/g.example/v1/namespaces/n/leases/l"
            ),
            Lane::Reading
        );
    }

    #[test]
    fn zero_means_no_limit() {
        let limits = Limits {
            max_requests_inflight: 0,
            ..Limits::default()
        };
        let inflight = InFlight::new(&limits);
        let held: Vec<_> = (0..1000)
            .map(|_| inflight.enter(Lane::Reading).expect("free"))
            .collect();
        assert_eq!(held.len(), 1000);
    }
}
