//! How many requests may be served at once: reading and writing ones are counted apart, so that a
//! storm of lists can't keep a lease from being renewed.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;

/// The two counters. Long-running requests aren't counted: each has its own bounds.
#[derive(Debug)]
pub(crate) struct InFlight {
    reading: Option<Arc<Semaphore>>,
    writing: Option<Arc<Semaphore>>,
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
        }
    }

    /// Takes a place, or says at once that there is none.
    pub(crate) fn enter(&self, mutating: bool) -> Result<Permit, Full> {
        let places = if mutating {
            &self.writing
        } else {
            &self.reading
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
    fn reading_and_writing_are_counted_apart() {
        let limits = Limits {
            max_requests_inflight: 1,
            max_mutating_requests_inflight: 1,
            ..Limits::default()
        };
        let inflight = InFlight::new(&limits);
        let reading = inflight.enter(false).expect("free");
        assert_eq!(inflight.enter(false).map(drop), Err(Full));
        inflight.enter(true).expect("the other counter is free");
        drop(reading);
        inflight.enter(false).expect("free again");
    }

    #[test]
    fn zero_means_no_limit() {
        let limits = Limits {
            max_requests_inflight: 0,
            ..Limits::default()
        };
        let inflight = InFlight::new(&limits);
        let held: Vec<_> = (0..1000)
            .map(|_| inflight.enter(false).expect("free"))
            .collect();
        assert_eq!(held.len(), 1000);
    }
}
