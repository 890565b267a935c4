//! One job of a group at a time, and what its jobs have in flight.
//!
//! Applying and stopping one group exclude each other. A stop doesn't wait for its place behind applications: it *supersedes* them; the one that
//! runs ends with the write that is open, those that wait never begin. A write is registered before it is sent, with the
//! moment at which it can't land any more, and struck off when it is answered; a job that is dropped in the middle leaves it
//! registered. So a stop knows until when its empty list proves nothing (F3).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use helium_failover::Boot;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::footprint::Stored;
use super::trouble::{Failure, FailureReason};

/// A server that was told a request's bound may be that much later with it.
const SLACK: Duration = Duration::from_millis(250);

/// A group's place in a [`Site`](super::Site).
#[derive(Debug)]
pub(super) struct Turn {
    gate: Arc<Semaphore>,
    /// Cancelled when a stop supersedes the applications that were asked for before it.
    era: Mutex<CancellationToken>,
    flights: Mutex<Flights>,
    /// The footprint as it was last read or written.
    memory: Mutex<Option<Stored>>,
}

#[derive(Debug, Default)]
struct Flights {
    next: u64,
    open: BTreeMap<u64, Boot>,
}

/// The right to work on a group; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// A write that is on its way.
#[derive(Debug)]
pub(super) struct Flight<'a> {
    turn: &'a Turn,
    number: u64,
}

impl Turn {
    pub(super) fn new() -> Self {
        Self {
            gate: Arc::new(Semaphore::new(1)),
            era: Mutex::default(),
            flights: Mutex::default(),
            memory: Mutex::default(),
        }
    }

    /// For an application: cancelled as soon as it is superseded. To be taken before waiting for the place.
    pub(super) fn era(&self) -> CancellationToken {
        self.era.lock().clone()
    }

    /// Ends every application that was asked for so far.
    pub(super) fn supersede(&self) {
        let ended = std::mem::take(&mut *self.era.lock());
        ended.cancel();
    }

    /// Waits for the group's place. `None` if `stop` was cancelled first.
    pub(super) async fn take(&self, stop: &CancellationToken) -> Option<Place> {
        let permit = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            permit = Arc::clone(&self.gate).acquire_owned() => permit,
        };
        // The semaphore is never closed.
        let permit = permit.ok()?;
        (!stop.is_cancelled()).then_some(Place { _permit: permit })
    }

    /// Registers a write that can't land after `sent + bound` and a little.
    pub(super) fn depart(&self, sent: Boot, bound: Duration) -> Flight<'_> {
        let mut flights = self.flights.lock();
        // What can't land any more needn't be remembered.
        flights.open.retain(|_, lands| *lands >= sent);
        let number = flights.next;
        flights.next += 1;
        flights.open.insert(number, sent + bound + SLACK);
        Flight { turn: self, number }
    }

    /// From when on no write of this process can land, as far as any is open; `None` when all are answered.
    pub(super) fn landed(&self) -> Option<Boot> {
        self.flights.lock().open.values().max().copied()
    }

    /// The footprint as it was last read or written.
    pub(super) fn memory(&self) -> Option<Stored> {
        self.memory.lock().clone()
    }

    /// Remembers the footprint.
    pub(super) fn remember(&self, stored: Option<Stored>) {
        *self.memory.lock() = stored;
    }
}

impl Flight<'_> {
    /// It was answered, or never sent.
    pub(super) fn landed(self) {
        self.turn.flights.lock().open.remove(&self.number);
    }
}

/// Until when a job may write.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Nothing is sent from this moment on.
    pub(super) until: Boot,
    /// Every write's bound ends by then.
    pub(super) lands: Boot,
    /// The longest bound of a request.
    pub(super) request: Duration,
    pub(super) clock: fn() -> Boot,
    /// Any of them ends the job.
    pub(super) stops: [CancellationToken; 2],
}

impl Limits {
    /// The bound of a request that is sent now; an error when nothing may be sent any more (P3).
    pub(super) fn bound(&self) -> Result<Duration, Failure> {
        if self.stops.iter().any(CancellationToken::is_cancelled) {
            return Err(Failure::new(
                FailureReason::Ended,
                "the application was ended by a later decision",
            ));
        }
        let now = (self.clock)();
        if now >= self.until {
            return Err(Failure::new(
                FailureReason::TimeOver,
                "the time to apply the payload in this term is over: the lease wasn't renewed, or the cluster is too slow",
            ));
        }
        Ok(self.request.min(self.lands.since(now)))
    }

    /// Waits; shorter when the job is ended.
    pub(super) async fn pause(&self, length: Duration) {
        let left = self.until.since((self.clock)());
        tokio::select! {
            () = self.stops[0].cancelled() => {}
            () = self.stops[1].cancelled() => {}
            () = tokio::time::sleep(length.min(left)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Boot {
        Boot(Duration::from_secs(seconds))
    }

    #[tokio::test]
    async fn a_stop_supersedes_who_runs_and_who_waits() {
        let turn = Turn::new();
        let running = turn.era();
        let place = turn.take(&running).await;
        assert!(place.is_some());
        let waiting = turn.era();
        turn.supersede();
        assert!(running.is_cancelled() && waiting.is_cancelled());
        assert!(turn.take(&waiting).await.is_none());
        drop(place);
        // Even when its turn has come.
        assert!(turn.take(&waiting).await.is_none());
        let later = turn.era();
        assert!(turn.take(&later).await.is_some());
    }

    #[test]
    fn a_write_without_answer_is_remembered_until_it_cannot_land() {
        let turn = Turn::new();
        let answered = turn.depart(at(10), Duration::from_secs(5));
        let _dropped = turn.depart(at(10), Duration::from_secs(2));
        answered.landed();
        assert_eq!(turn.landed(), Some(at(12) + SLACK));
        let next = turn.depart(at(20), Duration::from_secs(1));
        assert_eq!(turn.landed(), Some(at(21) + SLACK));
        next.landed();
        assert_eq!(turn.landed(), None);
    }

    #[test]
    fn a_bound_shrinks_towards_the_end_and_nothing_is_sent_after_it() {
        fn clock() -> Boot {
            Boot(Duration::from_secs(100))
        }
        let mut limits = Limits {
            until: at(103),
            lands: at(104),
            request: Duration::from_secs(10),
            clock,
            stops: [CancellationToken::new(), CancellationToken::new()],
        };
        assert_eq!(limits.bound(), Ok(Duration::from_secs(4)));
        limits.request = Duration::from_secs(2);
        assert_eq!(limits.bound(), Ok(Duration::from_secs(2)));
        limits.until = at(100);
        assert_eq!(
            limits.bound().map_err(|failure| failure.reason),
            Err(FailureReason::TimeOver)
        );
        limits.until = at(103);
        limits.stops[1].cancel();
        assert_eq!(
            limits.bound().map_err(|failure| failure.reason),
            Err(FailureReason::Ended)
        );
    }
}
