//! The sequencer: group commit of queued requests into one entry at a time.
//!
//! While an insert is in flight the next requests gather in the queue; they are evaluated together,
//! in arrival order, when the slot before theirs is decided. One task does all of it, and a batch is
//! answered in one go.

mod append;
mod draft;
mod proposal;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::error::Error;
use super::shared::Shared;
use append::Fate;
use draft::Draft;

pub(super) use proposal::{Answer, Proposal, Work};

/// Turns given to other tasks so that the clients just answered can ask again before the next
/// batch closes. A turn without a newcomer ends the wait, so a lone client hardly waits.
const GATHER_TURNS: usize = 12;
/// How often waiting callers are looked at for timeouts while the journal is slow.
const WAITING_TICK: Duration = Duration::from_millis(100);

/// Runs until the replica stops.
pub(super) async fn run(shared: Arc<Shared>, queue: mpsc::Receiver<Proposal>) {
    let mut sequencer = Sequencer {
        shared,
        queue,
        held: VecDeque::new(),
    };
    while let Some(batch) = sequencer.gather().await {
        sequencer.commit(batch).await;
    }
    sequencer.queue.close();
    while let Ok(proposal) = sequencer.queue.try_recv() {
        proposal.refuse(Error::Stopped);
    }
    for proposal in sequencer.held.drain(..) {
        proposal.refuse(Error::Stopped);
    }
}

struct Sequencer {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Proposal>,
    /// Requests taken from the queue that are in no batch yet.
    held: VecDeque<Proposal>,
}

impl Sequencer {
    /// The next batch; `None` when the replica stops.
    async fn gather(&mut self) -> Option<Vec<Proposal>> {
        if self.held.is_empty() {
            tokio::select! {
                biased;
                () = self.shared.cancel.cancelled() => return None,
                first = self.queue.recv() => self.held.push_back(first?),
            }
        }
        let mut known = self.held.len() + self.queue.len();
        for _ in 0..GATHER_TURNS {
            if known >= self.shared.options.batch_requests {
                break;
            }
            tokio::task::yield_now().await;
            let now = self.held.len() + self.queue.len();
            if now == known {
                break;
            }
            known = now;
        }
        Some(self.fill())
    }

    fn fill(&mut self) -> Vec<Proposal> {
        let options = &self.shared.options;
        let mut batch = Vec::with_capacity(
            (self.held.len() + self.queue.len()).clamp(1, options.batch_requests.max(1)),
        );
        let mut bytes = 0;
        while batch.len() < options.batch_requests.max(1) {
            let Some(next) = self.held.pop_front().or_else(|| self.queue.try_recv().ok()) else {
                break;
            };
            bytes += next.size();
            if !batch.is_empty() && bytes > options.batch_bytes {
                self.held.push_front(next);
                break;
            }
            batch.push(next);
        }
        let left = self.held.len() + self.queue.len();
        self.shared
            .metrics
            .queue_length
            .set(i64::try_from(left).unwrap_or(i64::MAX));
        batch
    }

    /// Sees a batch through to its answers, splitting it where the database refuses a part.
    async fn commit(&mut self, batch: Vec<Proposal>) {
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            let Some((mut refused, error)) = self.settle(part).await else {
                continue;
            };
            if refused.len() > 1 && is_about_the_entry(&error) {
                let tail = refused.split_off(refused.len() / 2);
                parts.push(tail);
                parts.push(refused);
                continue;
            }
            let error = Error::Determinate(Arc::new(error));
            tracing::warn!(
                requests = refused.len(),
                error = helium_journal::chain(&error),
                "database refused an entry"
            );
            for proposal in refused {
                proposal.refuse(error.clone());
            }
        }
    }

    /// Evaluates and appends a batch until it is answered; or gives it back with the error that
    /// proves that its entry was not written.
    async fn settle(
        &mut self,
        mut batch: Vec<Proposal>,
    ) -> Option<(Vec<Proposal>, helium_journal::Error)> {
        let mut prefix_confirmed = false;
        loop {
            let draft = match Draft::evaluate(&self.shared, &batch) {
                Ok(draft) => draft,
                Err(error) => {
                    refuse_all(&mut batch, &error);
                    return None;
                }
            };
            let Some(body) = draft.body else {
                // I5: nothing was written, so these answers are reads.
                if draft.depends_on_state && !prefix_confirmed {
                    let shared = Arc::clone(&self.shared);
                    match self.waiting(&mut batch, shared.head_barrier()).await {
                        Some(Ok(())) => prefix_confirmed = true,
                        Some(Err(error)) => {
                            refuse_all(&mut batch, &error);
                            return None;
                        }
                        None => {
                            refuse_all(&mut batch, &Error::Stopped);
                            return None;
                        }
                    }
                    continue;
                }
                answer_all(batch, draft.outcomes);
                return None;
            };
            match self.append(&mut batch, draft.position, body).await {
                Fate::Committed => {
                    self.shared
                        .metrics
                        .requests_committed
                        .inc_by(batch.len() as u64);
                    answer_all(batch, draft.outcomes);
                    return None;
                }
                Fate::Lost => {
                    self.shared.metrics.slots_lost.inc();
                    prefix_confirmed = false;
                }
                Fate::Refused(error) => return Some((batch, error)),
                Fate::Unknown => {
                    refuse_all(
                        &mut batch,
                        &Error::Unavailable("the outcome of a write is unknown"),
                    );
                    return None;
                }
                Fate::Halted(halt) => {
                    refuse_all(&mut batch, &Error::Halted(halt));
                    return None;
                }
                Fate::Stopped => {
                    refuse_all(&mut batch, &Error::Stopped);
                    return None;
                }
            }
        }
    }

    /// Waits for something that may take long, answering callers whose time is up meanwhile.
    /// `None` when the replica stops.
    async fn waiting<T>(
        &mut self,
        batch: &mut [Proposal],
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = pin!(future);
        let cancel = self.shared.cancel.clone();
        loop {
            tokio::select! {
                biased;
                output = &mut future => return Some(output),
                () = cancel.cancelled() => return None,
                () = tokio::time::sleep(WAITING_TICK) => self.time_out(batch),
            }
        }
    }

    /// Answers callers that have waited for too long. Those whose request is in the batch may find
    /// later that it happened; the others' requests are dropped, and never happen.
    fn time_out(&mut self, batch: &mut [Proposal]) {
        let timeout = self.shared.options.request_timeout;
        let now = self.shared.clock.now();
        for proposal in batch.iter_mut().filter(|one| one.waited(now) >= timeout) {
            proposal.answer_early(Error::TimedOut);
        }
        while let Ok(proposal) = self.queue.try_recv() {
            self.held.push_back(proposal);
            if self.held.len() >= self.shared.options.queue_requests {
                break;
            }
        }
        while self
            .held
            .front()
            .is_some_and(|one| one.waited(now) >= timeout)
        {
            if let Some(proposal) = self.held.pop_front() {
                proposal.refuse(Error::TimedOut);
            }
        }
    }
}

/// Whether a smaller entry might be taken.
fn is_about_the_entry(error: &helium_journal::Error) -> bool {
    use helium_journal::ErrorKind::{Refused, TooLarge};
    matches!(error.kind(), TooLarge | Refused)
}

fn answer_all(batch: Vec<Proposal>, outcomes: Vec<draft::Outcome>) {
    for (proposal, outcome) in batch.into_iter().zip(outcomes) {
        proposal.answer(outcome);
    }
}

fn refuse_all(batch: &mut Vec<Proposal>, error: &Error) {
    for proposal in batch.drain(..) {
        proposal.refuse(error.clone());
    }
}
