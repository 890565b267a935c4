//! One suite that every backend passes.
//!
//! It is test code that lives in the library so that each backend's tests, and those of the crates
//! above, run the same schedules: it panics where a law is broken.

use std::ops::RangeInclusive;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Appended, Entry, EntryId, Epoch, Journal, Listed, LogId, Result, Slot, WriterId, chain,
};

mod append;
mod checkpoint;
mod facts;
mod follow;
mod head;

/// A database under test: any number of handles on the same content.
#[async_trait]
pub trait Database: Send + Sync {
    /// A new handle, as another instance would have.
    async fn open(&self, log_id: LogId) -> Arc<dyn Journal>;

    /// Removes the rows in some slots behind the journal's back, as a failover to a database that
    /// lags, or a damaged restore, does.
    async fn entries_lose(&self, log_id: LogId, slots: RangeInclusive<i64>);

    /// Whether an entry that does not follow the one it names may be left in its slot, as on
    /// YugabyteDB. It counts for nothing there.
    fn leaves_orphans(&self) -> bool {
        false
    }
}

/// Runs every law, each on a journal of its own.
///
/// # Panics
/// When a law is broken.
pub async fn run(database: &dyn Database) {
    append::run(database).await;
    follow::run(database).await;
    head::run(database).await;
    checkpoint::run(database).await;
    facts::run(database).await;
}

/// The value, or a panic that shows the error with everything below it.
#[track_caller]
fn ok<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{}", chain(&error)),
    }
}

/// An entry for a slot behind another one.
#[must_use]
pub fn entry(slot: i64, prev: EntryId, payload: impl Into<Bytes>) -> Entry {
    Entry {
        slot: Slot(slot),
        id: EntryId::random(),
        prev,
        writer: WriterId::random(),
        epoch: Epoch(3),
        at_micros: 1_700_000_000_123_456,
        first_rev: slot * 10,
        last_rev: slot * 10 + 9,
        enc: 1,
        payload: payload.into(),
    }
}

/// Appends entries to slots `from..=to`, chained, and returns them.
///
/// # Panics
/// When one isn't committed.
pub async fn fill(journal: &dyn Journal, from: i64, to: i64, mut prev: EntryId) -> Vec<Entry> {
    let mut entries = Vec::new();
    for slot in from..=to {
        let next = entry(slot, prev, format!("payload {slot}"));
        assert_eq!(
            ok(journal.entry_append(&next).await),
            Appended::Committed,
            "slot {slot}"
        );
        prev = next.id;
        entries.push(next);
    }
    entries
}

/// All entries behind a slot.
async fn listed(journal: &dyn Journal, after: i64) -> Vec<Entry> {
    match ok(journal.entry_list(Slot(after), 1000, usize::MAX).await) {
        Listed::Entries(entries) => entries,
        Listed::BelowFloor { floor } => panic!("{after} is below the floor {floor}"),
    }
}
