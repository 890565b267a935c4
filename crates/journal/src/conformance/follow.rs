//! An entry follows the one that it names (J8).

use super::head::floor_move;
use super::{Database, entry, fill, listed, ok};
use crate::{Appended, Entry, EntryId, Journal, LogId, Slot};

pub(super) async fn run(database: &dyn Database) {
    an_append_behind_lost_entries_is_told(database).await;
    an_append_behind_another_entry_is_told(database).await;
    an_append_to_an_emptied_journal_is_told(database).await;
    the_floors_own_row_is_the_one_to_follow(database).await;
    a_first_entry_follows_nothing(database).await;
}

async fn diverged(journal: &dyn Journal, late: &Entry, found: Option<EntryId>) {
    let outcome = ok(journal.entry_append(late).await);
    assert_eq!(
        outcome,
        Appended::Diverged { found },
        "slot {} naming {}",
        late.slot,
        late.prev
    );
}

/// The database failed over to a replica that lacks slots 4 and 5, and the writer's connection came
/// back there. Its row in slot 6 would be acknowledged, and no listing would ever reach it.
async fn an_append_behind_lost_entries_is_told(database: &dyn Database) {
    let log = LogId(501);
    let journal = database.open(log).await;
    let entries = fill(&*journal, 1, 5, EntryId::NIL).await;
    database.entries_lose(log, 4..=5).await;
    let late = entry(6, entries[4].id, "behind a gap");
    diverged(&*journal, &late, None).await;
    diverged(&*journal, &late, None).await;
    assert_eq!(listed(&*journal, 3).await, []);
    let head = ok(journal.head_read(Slot(3)).await);
    let orphan = database.leaves_orphans().then_some((late.slot, late.id));
    let newest = orphan.or(Some((Slot(3), entries[2].id)));
    assert_eq!(head.newest, newest, "nothing is left behind");

    // Others fill the gap with entries of their own. The retry is still on the lost chain.
    let others = fill(&*journal, 4, 5, entries[2].id).await;
    diverged(&*journal, &late, Some(others[1].id)).await;
    let next = entry(6, others[1].id, "on the chain");
    let expected = match orphan {
        Some(_) => Appended::SlotTaken,
        None => Appended::Committed,
    };
    assert_eq!(ok(journal.entry_append(&next).await), expected);
}

async fn an_append_behind_another_entry_is_told(database: &dyn Database) {
    let journal = database.open(LogId(502)).await;
    let entries = fill(&*journal, 1, 3, EntryId::NIL).await;
    let newest = Some(entries[2].id);
    let skipping = entry(5, entries[2].id, "two slots on");
    diverged(&*journal, &skipping, None).await;
    let taken = entry(2, EntryId::random(), "in a taken slot");
    diverged(&*journal, &taken, Some(entries[0].id)).await;
    diverged(&*journal, &entry(4, EntryId::NIL, "x"), newest).await;
    diverged(&*journal, &entry(4, EntryId::random(), "x"), newest).await;
    let mut found = listed(&*journal, 0).await;
    if database.leaves_orphans() {
        found.truncate(3);
    }
    assert_eq!(found, entries);
}

/// A database that was created anew answers under the same address.
async fn an_append_to_an_emptied_journal_is_told(database: &dyn Database) {
    let log = LogId(503);
    let journal = database.open(log).await;
    let entries = fill(&*journal, 1, 3, EntryId::NIL).await;
    database.entries_lose(log, 1..=3).await;
    diverged(&*journal, &entry(4, entries[2].id, "x"), None).await;
    diverged(&*journal, &entry(4, EntryId::NIL, "x"), None).await;
    fill(&*journal, 1, 3, EntryId::NIL).await;
}

async fn the_floors_own_row_is_the_one_to_follow(database: &dyn Database) {
    let log = LogId(504);
    let journal = database.open(log).await;
    let entries = fill(&*journal, 1, 5, EntryId::NIL).await;
    floor_move(&*journal, 0, &entries[4]).await;
    while ok(journal.entry_trim(Slot(100), 100).await) > 0 {}
    assert_eq!(ok(journal.entry_count().await), 1);
    let stranger = entry(6, EntryId::random(), "x");
    diverged(&*journal, &stranger, Some(entries[4].id)).await;
    if !database.leaves_orphans() {
        fill(&*journal, 6, 7, entries[4].id).await;
    }
    let late = entry(5, entries[3].id, "at the floor");
    let floor = Slot(5);
    assert_eq!(
        ok(journal.entry_append(&late).await),
        Appended::BelowFloor { floor },
        "what was trimmed away is no gap"
    );
}

async fn a_first_entry_follows_nothing(database: &dyn Database) {
    let journal = database.open(LogId(505)).await;
    diverged(&*journal, &entry(1, EntryId::random(), "x"), None).await;
    assert_eq!(ok(journal.entry_count().await), 0);
    fill(&*journal, 1, 1, EntryId::NIL).await;
}
