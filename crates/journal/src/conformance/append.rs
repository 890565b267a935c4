//! Slots, races, chains and listings.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;

use super::{Database, entry, fill, listed, ok};
use crate::{Appended, EntryId, Journal, Listed, LogId, Slot};

pub(super) async fn run(database: &dyn Database) {
    an_entry_comes_back_as_it_went(database).await;
    a_taken_slot_is_a_value_and_keeps_its_entry(database).await;
    of_racing_appenders_one_wins_each_slot(database).await;
    a_listing_stops_at_a_gap_and_at_its_bounds(database).await;
    a_big_payload_survives(database).await;
    logs_are_apart(database).await;
}

async fn an_entry_comes_back_as_it_went(database: &dyn Database) {
    let log = LogId(101);
    let journal = database.open(log).await;
    assert_eq!(journal.log_id(), log);
    let mut first = entry(1, EntryId::NIL, Vec::from_iter(0..=255_u8));
    first.writer = crate::WriterId(u64::MAX);
    first.last_rev = i64::MAX;
    first.first_rev = i64::MIN;
    first.at_micros = -1;
    first.enc = i16::MIN;
    let second = entry(2, first.id, "");
    assert_eq!(ok(journal.entry_append(&first).await), Appended::Committed);
    assert_eq!(ok(journal.entry_append(&second).await), Appended::Committed);
    assert_eq!(ok(journal.entry_read(Slot(1)).await), Some(first.clone()));
    assert_eq!(ok(journal.entry_read(Slot(3)).await), None);
    assert_eq!(ok(journal.entry_count().await), 2);
    journal.close().await;
    let again = database.open(log).await;
    assert_eq!(
        listed(&*again, 0).await,
        [first, second],
        "after opening it again"
    );
}

async fn a_taken_slot_is_a_value_and_keeps_its_entry(database: &dyn Database) {
    let (one, other) = (
        database.open(LogId(102)).await,
        database.open(LogId(102)).await,
    );
    let first = entry(1, EntryId::NIL, "first");
    let second = entry(1, EntryId::NIL, "second");
    assert_eq!(ok(one.entry_append(&first).await), Appended::Committed);
    assert_eq!(ok(other.entry_append(&second).await), Appended::SlotTaken);
    assert_eq!(
        ok(one.entry_append(&first).await),
        Appended::SlotTaken,
        "a retry of the same entry"
    );
    assert_eq!(ok(other.entry_read(Slot(1)).await), Some(first));
}

/// Four instances with four appenders each write 40 slots; whoever loses reads the winner and goes
/// on behind it. Every slot has one winner, and the chain holds.
async fn of_racing_appenders_one_wins_each_slot(database: &dyn Database) {
    const SLOTS: i64 = 40;
    let mut instances = Vec::new();
    for _ in 0..4 {
        instances.push(database.open(LogId(103)).await);
    }
    let racers = (0..16).map(|index| {
        let journal = Arc::clone(&instances[index % 4]);
        tokio::spawn(async move { race(&*journal, SLOTS).await })
    });
    let mut winners: BTreeMap<Slot, EntryId> = BTreeMap::new();
    for won in join_all(racers).await {
        for (slot, id) in won.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        {
            assert_eq!(winners.insert(slot, id), None, "slot {slot} was won twice");
        }
    }
    let entries = listed(&*instances[0], 0).await;
    assert_eq!(entries.len() as i64, SLOTS, "dense");
    let mut prev = EntryId::NIL;
    for entry in &entries {
        assert_eq!(entry.prev, prev, "the chain at slot {}", entry.slot);
        assert_eq!(
            winners.get(&entry.slot),
            Some(&entry.id),
            "slot {}",
            entry.slot
        );
        prev = entry.id;
    }
}

async fn race(journal: &dyn Journal, slots: i64) -> Vec<(Slot, EntryId)> {
    let mut won = Vec::new();
    let mut prev = EntryId::NIL;
    for slot in 1..=slots {
        let mine = entry(slot, prev, "race");
        match ok(journal.entry_append(&mine).await) {
            Appended::Committed => {
                won.push((mine.slot, mine.id));
                prev = mine.id;
            }
            Appended::SlotTaken => match ok(journal.entry_read(mine.slot).await) {
                Some(winner) => prev = winner.id,
                None => panic!("slot {slot} is taken, but empty"),
            },
            Appended::BelowFloor { floor } => panic!("there is no floor, and it is {floor}"),
            Appended::Diverged { found } => panic!("nothing was lost before {slot}: {found:?}"),
        }
    }
    won
}

async fn a_listing_stops_at_a_gap_and_at_its_bounds(database: &dyn Database) {
    let journal = database.open(LogId(104)).await;
    assert_eq!(listed(&*journal, 0).await, []);
    let mut entries = fill(&*journal, 1, 7, EntryId::NIL).await;
    database.entries_lose(LogId(104), 6..=6).await;
    let beyond = entries.split_off(5).remove(1);
    assert_eq!(listed(&*journal, 0).await, entries);
    assert_eq!(listed(&*journal, 2).await, entries[2..]);
    assert_eq!(listed(&*journal, 5).await, [], "the next slot is missing");
    assert_eq!(listed(&*journal, 6).await, [beyond]);
    assert_eq!(listed(&*journal, 99).await, []);
    let list = |most, bytes| journal.entry_list(Slot(0), most, bytes);
    assert_eq!(
        ok(list(3, usize::MAX).await),
        Listed::Entries(entries[..3].to_vec())
    );
    // Each payload has nine bytes.
    assert_eq!(
        ok(list(100, 18).await),
        Listed::Entries(entries[..2].to_vec())
    );
    assert_eq!(
        ok(list(100, 19).await),
        Listed::Entries(entries[..3].to_vec())
    );
    assert_eq!(
        ok(list(0, 0).await),
        Listed::Entries(entries[..1].to_vec()),
        "at least one"
    );
}

async fn a_big_payload_survives(database: &dyn Database) {
    let journal = database.open(LogId(105)).await;
    // Not compressible, so that it is stored at its full size.
    let mut state = 1_u32;
    let payload: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(9 << 20)
    .collect();
    let big = entry(1, EntryId::NIL, payload);
    assert_eq!(ok(journal.entry_append(&big).await), Appended::Committed);
    let small = entry(2, big.id, "small");
    assert_eq!(ok(journal.entry_append(&small).await), Appended::Committed);
    assert_eq!(ok(journal.entry_read(Slot(1)).await).as_ref(), Some(&big));
    let page = ok(journal.entry_list(Slot(0), 10, 1 << 20).await);
    assert_eq!(
        page,
        Listed::Entries(vec![big]),
        "one entry larger than the bound, and no more"
    );
}

async fn logs_are_apart(database: &dyn Database) {
    let (one, other) = (
        database.open(LogId(106)).await,
        database.open(LogId(107)).await,
    );
    let entries = fill(&*one, 1, 3, EntryId::NIL).await;
    assert_eq!(listed(&*other, 0).await, []);
    fill(&*other, 1, 1, EntryId::NIL).await;
    assert_eq!(listed(&*one, 0).await, entries);
}
