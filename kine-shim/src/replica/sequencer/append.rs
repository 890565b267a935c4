//! One entry's way into its slot, whatever the journal answers.

use std::sync::Arc;

use helium_journal::{Appended, Entry, ErrorKind};
use helium_mvcc::BatchBody;

use super::{Proposal, Sequencer};
use crate::replica::backoff::Backoff;
use crate::replica::core::{Placement, Position};
use crate::replica::error::Halt;
use crate::replica::reload::Cause;
use crate::replica::shared::{Shared, Via, journal_epoch};

/// What became of an entry.
pub(super) enum Fate {
    /// It is in the journal and applied: answer.
    Committed,
    /// It will never be in the journal: evaluate again.
    Lost,
    /// It is not in the journal, because the database can't take it.
    Refused(helium_journal::Error),
    /// The chain moved away while the outcome was open: it may have counted or not.
    Unknown,
    /// The journal can't be read any more.
    Halted(Arc<Halt>),
    /// The replica stops.
    Stopped,
}

/// What the follower has seen of the slot meanwhile.
enum Seen {
    /// Nothing yet.
    Open,
    /// The slot holds the batch's entry.
    Ours,
    /// The slot holds another one.
    Theirs,
    /// The state was reloaded, or the slot is long past.
    Gone,
}

impl Sequencer {
    /// Inserts one entry behind `position` and, once it is committed, applies it.
    ///
    /// The slot is kept until it is decided: an attempt without a known outcome is repeated with
    /// the same id, because it may still land (I1, and the module's essay).
    pub(super) async fn append(
        &mut self,
        batch: &mut [Proposal],
        position: Position,
        body: BatchBody,
    ) -> Fate {
        let started = self.shared.clock.now();
        let epoch = self.shared.core.read().state().epoch();
        let entry = Arc::new(self.shared.entry(position, journal_epoch(epoch), &body));
        let mut attempt = Attempt {
            entry,
            body,
            position,
            is_open: false,
            rival: None,
        };
        self.shared
            .metrics
            .batch_requests
            .observe(batch.len() as f64);
        let fate = self.decide(batch, &mut attempt).await;
        if attempt.is_open {
            self.shared.sight.lock().undecided_since = None;
        }
        let elapsed = self.shared.clock.now().saturating_sub(started);
        self.shared
            .metrics
            .append_seconds
            .observe(elapsed.as_secs_f64());
        fate
    }

    async fn decide(&mut self, batch: &mut [Proposal], attempt: &mut Attempt) -> Fate {
        let shared = Arc::clone(&self.shared);
        let mut backoff = Backoff::new(shared.options.retry_min, shared.options.retry_max);
        loop {
            let entry = attempt.to_insert();
            let Some(result) = self
                .waiting(batch, shared.journal.entry_append(&entry))
                .await
            else {
                return Fate::Stopped;
            };
            let step = match result {
                Ok(Appended::Committed) => Some(attempt.committed(&shared, &entry)),
                Ok(Appended::SlotTaken) => self.taken(batch, attempt).await,
                Ok(Appended::BelowFloor { floor }) => {
                    tracing::warn!(slot = entry.slot.0, floor = floor.0, "slot was trimmed");
                    self.displaced(batch, attempt, Cause::BelowFloor).await
                }
                Ok(Appended::Diverged { found }) => {
                    tracing::error!(
                        slot = entry.slot.0,
                        prev = %entry.prev,
                        found = found.map(tracing::field::display),
                        "H013: the database does not hold our newest entry, loading it anew"
                    );
                    shared.trust.fault();
                    // The row may be there, and counts if whoever wrote the entry before it
                    // repeats that.
                    attempt.is_open = true;
                    let cause = Cause::BackInTime("the entry that ours follows is gone");
                    self.displaced(batch, attempt, cause).await
                }
                Err(error) => attempt.failed(&shared, error),
            };
            if let Some(fate) = step {
                return fate;
            }
            // The follower may have found the entry in the journal before the append said so.
            match attempt.seen(&shared) {
                Seen::Open => {}
                seen => return attempt.fate(&seen),
            }
            let pause = tokio::time::sleep(backoff.next_pause());
            if self.waiting(batch, pause).await.is_none() {
                return Fate::Stopped;
            }
        }
    }

    /// The slot holds an entry: whose, the follower will know.
    async fn taken(&mut self, batch: &mut [Proposal], attempt: &mut Attempt) -> Option<Fate> {
        let shared = Arc::clone(&self.shared);
        if let Seen::Open = attempt.seen(&shared) {
            let Some(result) = self.waiting(batch, shared.catch_up()).await else {
                return Some(Fate::Stopped);
            };
            if let Err(error) = result {
                tracing::debug!(
                    error = helium_journal::chain(&error),
                    "could not read the entry in a taken slot"
                );
            }
        }
        match attempt.seen(&shared) {
            Seen::Open => None,
            seen => Some(attempt.fate(&seen)),
        }
    }

    /// The slot does not exist, or not behind what we know: wait for the reload.
    async fn displaced(
        &mut self,
        batch: &mut [Proposal],
        attempt: &Attempt,
        cause: Cause,
    ) -> Option<Fate> {
        let shared = Arc::clone(&self.shared);
        *shared.displaced.lock() = Some((attempt.position.generation, cause));
        shared.follower.notify_one();
        let reloaded = shared.wait_reloaded(attempt.position.generation);
        match self.waiting(batch, reloaded).await {
            None => Some(Fate::Stopped),
            Some(_) => Some(attempt.fate(&Seen::Gone)),
        }
    }
}

/// An entry on its way.
struct Attempt {
    entry: Arc<Entry>,
    body: BatchBody,
    position: Position,
    /// Whether a try may have landed, or may still land, without anybody having said so.
    is_open: bool,
    /// An empty entry that competes for the slot: the database may have taken the batch's entry
    /// and refuses it now, so that only somebody else's entry can decide.
    rival: Option<(Arc<Entry>, BatchBody)>,
}

impl Attempt {
    fn to_insert(&self) -> Arc<Entry> {
        let rival = self.rival.as_ref().map(|(entry, _)| entry);
        Arc::clone(rival.unwrap_or(&self.entry))
    }

    fn seen(&self, shared: &Shared) -> Seen {
        let core = shared.core.read();
        if core.generation() != self.position.generation {
            return Seen::Gone;
        }
        if core.slot() < self.entry.slot {
            return Seen::Open;
        }
        match core.id_at(self.entry.slot) {
            Some(id) if id == self.entry.id => Seen::Ours,
            Some(_) => Seen::Theirs,
            None => Seen::Gone,
        }
    }

    fn fate(&self, seen: &Seen) -> Fate {
        match seen {
            Seen::Ours => Fate::Committed,
            Seen::Theirs => Fate::Lost,
            Seen::Gone if !self.is_open => Fate::Lost,
            Seen::Gone | Seen::Open => Fate::Unknown,
        }
    }

    /// `entry`, this attempt's or its rival, is in the journal.
    fn committed(&self, shared: &Shared, entry: &Arc<Entry>) -> Fate {
        let body = self.rival.as_ref().map_or(&self.body, |(_, empty)| empty);
        match shared.apply(entry, body, Via::Append) {
            Ok(Placement::Next) => {
                shared.metrics.entries_appended.inc();
                if shared.commits.receiver_count() > 0 {
                    // Fails only when the last receiver has just gone.
                    drop(shared.commits.send(Arc::clone(entry)));
                }
            }
            // The poll was faster.
            Ok(Placement::Duplicate) => {}
            // The state is being reloaded.
            Ok(Placement::Ahead | Placement::Differs) => return Fate::Unknown,
            Err(halt) => return Fate::Halted(halt),
        }
        if self.rival.is_some() {
            Fate::Lost
        } else {
            Fate::Committed
        }
    }

    /// A try ended without an answer. `None`: try again.
    fn failed(&mut self, shared: &Shared, error: helium_journal::Error) -> Option<Fate> {
        use ErrorKind::{DiskFull, Refused, TooLarge};
        shared.trust.fault();
        if error.is_determinate() {
            let cannot_be_taken = matches!(error.kind(), TooLarge | Refused | DiskFull);
            if cannot_be_taken && !self.is_open {
                return Some(Fate::Refused(error));
            }
            if cannot_be_taken && self.rival.is_none() {
                let empty = BatchBody::empty(self.body.first_revision().previous());
                let entry = shared.entry(self.position, self.entry.epoch, &empty);
                self.rival = Some((Arc::new(entry), empty));
            }
            return None;
        }
        if !self.is_open {
            tracing::warn!(
                slot = self.entry.slot.0,
                error = helium_journal::chain(&error),
                "outcome of an append is unknown, trying the same slot again"
            );
        }
        self.is_open = true;
        shared.metrics.appends_undecided.inc();
        shared
            .sight
            .lock()
            .undecided_since
            .get_or_insert(shared.clock.now());
        None
    }
}
