//! A request in the queue, with the way back to its caller.

use std::time::Duration;

use helium_mvcc::{Request, Response};
use tokio::sync::oneshot;

use crate::replica::error::{Error, Result};

/// What is to be sequenced.
#[derive(Debug)]
pub(in crate::replica) enum Work {
    /// A request to the state machine.
    Request(Request),
    /// Nothing but a place in the journal: confirms that no other primary is writing.
    Barrier,
}

/// Where the answer goes.
#[derive(Debug)]
pub(in crate::replica) enum Answer {
    /// The state machine's response.
    Response(oneshot::Sender<Result<Response>>),
    /// A barrier's confirmation.
    Barrier(oneshot::Sender<Result<()>>),
    /// Nobody is waiting any more.
    Nowhere,
}

/// Queued work.
#[derive(Debug)]
pub(in crate::replica) struct Proposal {
    work: Work,
    answer: Answer,
    since: Duration,
}

impl Proposal {
    /// Work that arrived at `since` of the replica's clock.
    pub(in crate::replica) fn new(work: Work, answer: Answer, since: Duration) -> Self {
        Self {
            work,
            answer,
            since,
        }
    }

    pub(super) fn work(&self) -> &Work {
        &self.work
    }

    pub(super) fn size(&self) -> usize {
        match &self.work {
            Work::Request(request) => request.size(),
            Work::Barrier => 0,
        }
    }

    pub(super) fn waited(&self, now: Duration) -> Duration {
        now.saturating_sub(self.since)
    }

    /// Tells the caller that there is no answer, or that it is an error.
    pub(super) fn refuse(mut self, error: Error) {
        self.answer_early(error);
    }

    /// As [`Proposal::refuse`], while the work itself goes on.
    pub(super) fn answer_early(&mut self, error: Error) {
        match std::mem::replace(&mut self.answer, Answer::Nowhere) {
            // A caller that has gone away needs no answer.
            Answer::Response(caller) => drop(caller.send(Err(error))),
            Answer::Barrier(caller) => drop(caller.send(Err(error))),
            Answer::Nowhere => {}
        }
    }

    pub(super) fn answer(self, outcome: super::draft::Outcome) {
        match (self.answer, outcome) {
            (Answer::Response(caller), Some(result)) => {
                drop(caller.send(result.map_err(Error::Refused)));
            }
            (Answer::Barrier(caller), _) => drop(caller.send(Ok(()))),
            (Answer::Response(_) | Answer::Nowhere, _) => {}
        }
    }
}
