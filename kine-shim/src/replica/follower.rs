//! The follower: the one task that reads the journal while the replica serves.
//!
//! It sends head queries one after the other. Whoever waits for one joins the next that *begins*
//! (I6). Each query also compares the id stored at our applied slot with ours (I2). What others
//! wrote is fetched and applied; what does not fit ends in a reload.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use helium_journal::{Entry, Head, Listed, Slot};

use super::backoff::Backoff;
use super::core::{Placement, Position, decode};
use super::error::{Error, Halt, Result};
use super::identity;
use super::reload::{Cause, reload};
use super::shared::{Shared, Via};

/// Longest pause between head queries while the database fails and nobody waits.
const FAILED_POLL_MAX: Duration = Duration::from_secs(1);

/// Why a pass over the journal ended early.
pub(super) enum Broken {
    /// The database could not be asked.
    Journal(helium_journal::Error),
    /// What is applied and what is stored are on different chains, or the slots that follow are
    /// gone.
    Moved(Cause),
    /// An entry can't be read.
    Halted(Arc<Halt>),
}

impl From<helium_journal::Error> for Broken {
    fn from(error: helium_journal::Error) -> Self {
        Self::Journal(error)
    }
}

impl From<Arc<Halt>> for Broken {
    fn from(halt: Arc<Halt>) -> Self {
        Self::Halted(halt)
    }
}

/// Runs until the replica stops or halts.
pub(super) async fn run(shared: Arc<Shared>) {
    let stopped = shared.cancel.clone();
    tokio::select! {
        () = stopped.cancelled() => {}
        () = follow(&shared) => {}
    }
    // Readers that came too late are told by the dropped sender.
    shared.waiting.lock().take();
}

async fn follow(shared: &Arc<Shared>) {
    if reload(shared, Cause::Start).await.is_err() {
        return;
    }
    let mut pace = Pace::new(shared);
    loop {
        tokio::select! {
            () = shared.follower.notified() => {}
            () = tokio::time::sleep(pace.pause()) => {}
        }
        let Some(readers) = shared.waiting.lock().as_mut().map(std::mem::take) else {
            return;
        };
        let answer = match pass(shared).await {
            Ok(fetched) => {
                pace.succeeded(fetched);
                Ok(())
            }
            Err(Broken::Journal(error)) => {
                pace.failed(shared, &error);
                Err(Error::from(error))
            }
            Err(Broken::Halted(halt)) => Err(Error::Halted(halt)),
            Err(Broken::Moved(cause)) => match reload(shared, cause).await {
                // What was loaded is newer than the readers' calls.
                Ok(()) => Ok(()),
                Err(halted) => Err(halted),
            },
        };
        let is_over = matches!(answer, Err(Error::Halted(_)));
        for reader in readers {
            // A reader that has gone away needs no answer.
            drop(reader.send(answer.clone()));
        }
        if is_over {
            return;
        }
    }
}

/// How often to poll.
struct Pace {
    shortest: Duration,
    longest: Duration,
    next: Duration,
    failures: u32,
    backoff: Backoff,
}

impl Pace {
    fn new(shared: &Shared) -> Self {
        let shortest = shared.options.poll_min;
        let longest = shared.options.poll_max.max(shortest);
        Self {
            shortest,
            longest,
            next: shortest,
            failures: 0,
            backoff: Backoff::new(longest, FAILED_POLL_MAX.max(longest)),
        }
    }

    fn pause(&self) -> Duration {
        self.next
    }

    fn succeeded(&mut self, fetched: usize) {
        if self.failures > 0 {
            tracing::info!(
                failures = self.failures,
                "database answers head queries again"
            );
        }
        self.failures = 0;
        self.backoff.reset();
        self.next = if fetched > 0 {
            self.shortest
        } else {
            self.next.max(self.shortest).mul_f64(1.5).min(self.longest)
        };
    }

    fn failed(&mut self, shared: &Shared, error: &helium_journal::Error) {
        shared.trust.fault();
        shared.metrics.head_read_failures.inc();
        if self.failures == 0 {
            tracing::warn!(
                error = helium_journal::chain(error),
                "head query failed, linearizable requests are unavailable until one succeeds"
            );
        }
        self.failures = self.failures.saturating_add(1);
        self.next = self.backoff.next_pause();
    }
}

/// One head query, and everything that it shows applied. Returns how many entries were fetched.
async fn pass(shared: &Shared) -> Result<usize, Broken> {
    let start = shared.position();
    let displaced = shared.displaced.lock().take();
    if let Some((generation, cause)) = displaced
        && generation == start.generation
    {
        return Err(Broken::Moved(cause));
    }
    let mut fetched = 0;
    let mut listed = Vec::new();
    if shared.behind.swap(false, Ordering::AcqRel) {
        // Most probably one query less: the head comes after, and confirms both.
        listed = list(shared, start.slot).await?;
    }
    let is_due = shared.identity_due.swap(false, Ordering::AcqRel) || shared.trust.is_lost();
    let head = head(shared, start).await?;
    if is_due {
        identity::check(shared).await?;
    }
    loop {
        fetched += apply_all(shared, &listed)?;
        let applied = shared.position().slot;
        let newest = head.newest.map_or(Slot::ZERO, |(slot, _)| slot);
        if applied >= newest {
            return Ok(fetched);
        }
        listed = list(shared, applied).await?;
        if listed.is_empty() && shared.position().slot == applied {
            return gap(shared, newest).await.map(|()| fetched);
        }
    }
}

async fn list(shared: &Shared, after: Slot) -> Result<Vec<Entry>, Broken> {
    let options = &shared.options;
    let listed = shared
        .journal
        .entry_list(after, options.fetch_entries, options.fetch_bytes)
        .await?;
    match listed {
        Listed::Entries(entries) => Ok(entries),
        Listed::BelowFloor { .. } => Err(Broken::Moved(Cause::BelowFloor)),
    }
}

/// A head query that confirms `position` (I2).
async fn head(shared: &Shared, position: Position) -> Result<Head, Broken> {
    shared.metrics.head_reads.inc();
    let begun = shared.trust.begin();
    let head = shared.journal.head_read(position.slot).await?;
    if head.floor > position.slot {
        return Err(Broken::Moved(Cause::BelowFloor));
    }
    if position.slot > Slot::ZERO && head.at_applied != Some(position.id) {
        return Err(Broken::Moved(Cause::BackInTime(
            "our newest entry is not in the journal",
        )));
    }
    shared.head_confirmed(begun, &head);
    Ok(head)
}

fn apply_all(shared: &Shared, entries: &[Entry]) -> Result<usize, Broken> {
    let mut applied = 0;
    for entry in entries {
        match shared.apply_foreign(entry, Via::Journal)? {
            Placement::Next => applied += 1,
            Placement::Duplicate => {}
            // Stopped or halted meanwhile.
            Placement::Ahead => break,
            Placement::Differs => {
                return Err(Broken::Moved(Cause::BackInTime(
                    "the next entry does not follow ours",
                )));
            }
        }
    }
    Ok(applied)
}

/// Slots are missing before `newest`. No writer leaves a gap: the database lost what was there,
/// and the rows behind it belong to nobody. Harmless once our revisions are beyond theirs.
async fn gap(shared: &Shared, newest: Slot) -> Result<(), Broken> {
    let behind = shared
        .journal
        .entry_read(newest)
        .await?
        .map_or(0, |entry| entry.last_rev);
    if shared.core.read().state().revision().0 >= behind {
        return Ok(());
    }
    Err(Broken::Moved(Cause::BackInTime(
        "slots are missing before the newest entry",
    )))
}

/// An entry that another instance says is committed.
pub(super) fn offer(shared: &Shared, entry: &Entry) {
    let mut placement = shared.core.read().place(entry);
    if placement == Placement::Next {
        placement = match decode(entry) {
            // A halt has been logged, and everybody is told.
            Ok(body) => shared
                .apply(entry, &body, Via::Peer)
                .unwrap_or(Placement::Duplicate),
            // Damaged on its way, perhaps. The journal's own copy decides.
            Err(_) => Placement::Ahead,
        };
    }
    match placement {
        Placement::Next | Placement::Duplicate => {}
        Placement::Ahead => {
            shared.behind.store(true, Ordering::Release);
            shared.follower.notify_one();
        }
        // It is on another chain than we are. Which one is the database's, a head query tells.
        Placement::Differs => shared.follower.notify_one(),
    }
}
