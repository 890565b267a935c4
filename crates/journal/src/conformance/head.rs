//! Head queries and the floor.

use super::{Database, entry, fill, listed, ok};
use crate::{
    Advanced, Appended, CheckpointMeta, ClaimId, Claimed, Entry, EntryId, Head, Journal, Listed,
    LogId, Slot,
};

pub(super) async fn run(database: &dyn Database) {
    a_head_query_tells_newest_applied_and_floor(database).await;
    a_head_query_sees_every_append_acknowledged_before_it(database).await;
    a_writer_paused_over_a_trim_is_told(database).await;
    a_trim_keeps_the_floors_own_row(database).await;
}

/// Moves the floor to an entry without writing any key.
pub(super) async fn floor_move(journal: &dyn Journal, from: i64, to: &Entry) {
    let claim = ClaimId::random();
    assert_eq!(
        ok(journal.checkpoint_claim(Slot(from), claim).await),
        Claimed::Won
    );
    let meta = CheckpointMeta {
        slot: to.slot,
        id: to.id,
        revision: to.last_rev,
        state: "state".into(),
    };
    assert_eq!(
        ok(journal.checkpoint_advance(claim, meta).await),
        Advanced::Moved
    );
}

async fn a_head_query_tells_newest_applied_and_floor(database: &dyn Database) {
    let journal = database.open(LogId(201)).await;
    let empty = Head {
        newest: None,
        at_applied: None,
        floor: Slot::ZERO,
    };
    assert_eq!(ok(journal.head_read(Slot::ZERO).await), empty);
    assert_eq!(ok(journal.head_read(Slot(4)).await), empty);
    let entries = fill(&*journal, 1, 6, EntryId::NIL).await;
    let newest = Some((Slot(6), entries[5].id));
    let at = |slot: i64, floor: i64| Head {
        newest,
        at_applied: Some(entries[slot as usize - 1].id),
        floor: Slot(floor),
    };
    assert_eq!(ok(journal.head_read(Slot(4)).await), at(4, 0));
    assert_eq!(ok(journal.head_read(Slot(6)).await), at(6, 0));
    let ahead = Head {
        newest,
        at_applied: None,
        floor: Slot::ZERO,
    };
    assert_eq!(
        ok(journal.head_read(Slot(9)).await),
        ahead,
        "the asker knows more than the database"
    );
    floor_move(&*journal, 0, &entries[3]).await;
    let below = Head {
        newest,
        at_applied: None,
        floor: Slot(4),
    };
    assert_eq!(ok(journal.head_read(Slot(3)).await), below);
    assert_eq!(ok(journal.head_read(Slot(4)).await), at(4, 4));
    assert_eq!(ok(journal.head_read(Slot(5)).await), at(5, 4));
}

async fn a_head_query_sees_every_append_acknowledged_before_it(database: &dyn Database) {
    let (writer, reader) = (
        database.open(LogId(202)).await,
        database.open(LogId(202)).await,
    );
    let mut prev = EntryId::NIL;
    for slot in 1..=50 {
        let next = entry(slot, prev, "seen");
        assert_eq!(ok(writer.entry_append(&next).await), Appended::Committed);
        let head = ok(reader.head_read(Slot(slot - 1)).await);
        assert_eq!(head.newest, Some((next.slot, next.id)));
        prev = next.id;
    }
}

/// A writer that knows slots 1 and 2 sleeps. The others go on, checkpoint and trim. Its insert into
/// slot 3 then succeeds, because the row is gone: acknowledging it would lose a write.
async fn a_writer_paused_over_a_trim_is_told(database: &dyn Database) {
    let (paused, other) = (
        database.open(LogId(203)).await,
        database.open(LogId(203)).await,
    );
    let entries = fill(&*other, 1, 10, EntryId::NIL).await;
    let late = entry(3, entries[1].id, "late");
    floor_move(&*other, 0, &entries[7]).await;
    let floor = Slot(8);
    assert_eq!(
        ok(paused.entry_append(&late).await),
        Appended::BelowFloor { floor },
        "not yet trimmed: the slot is taken and does not exist"
    );
    while ok(other.entry_trim(Slot(8), 3).await) > 0 {}
    assert_eq!(
        ok(paused.entry_append(&late).await),
        Appended::BelowFloor { floor }
    );
    let at_floor = entry(8, entries[6].id, "late");
    assert_eq!(
        ok(paused.entry_append(&at_floor).await),
        Appended::BelowFloor { floor }
    );
    // If a row was left behind, nobody ever sees it, though its chain fits.
    assert_eq!(ok(paused.entry_read(Slot(3)).await), None);
    for after in [0, 2, 7] {
        let found = ok(paused.entry_list(Slot(after), 10, usize::MAX).await);
        assert_eq!(found, Listed::BelowFloor { floor }, "after {after}");
    }
    assert_eq!(ok(paused.head_read(Slot(3)).await).at_applied, None);
    assert_eq!(listed(&*paused, 8).await, entries[8..]);
    while ok(other.entry_trim(Slot(8), 100).await) > 0 {}
    assert_eq!(
        ok(other.entry_count().await),
        3,
        "and it is trimmed like any other"
    );
}

async fn a_trim_keeps_the_floors_own_row(database: &dyn Database) {
    let journal = database.open(LogId(204)).await;
    let entries = fill(&*journal, 1, 9, EntryId::NIL).await;
    assert_eq!(
        ok(journal.entry_trim(Slot(100), 100).await),
        0,
        "no floor, nothing to trim"
    );
    floor_move(&*journal, 0, &entries[5]).await;
    assert_eq!(
        ok(journal.entry_trim(Slot(3), 100).await),
        2,
        "slots 1 and 2"
    );
    assert_eq!(
        ok(journal.entry_trim(Slot(100), 2).await),
        2,
        "slots 3 and 4"
    );
    assert_eq!(ok(journal.entry_trim(Slot(100), 100).await), 1, "slot 5");
    assert_eq!(ok(journal.entry_trim(Slot(100), 100).await), 0);
    assert_eq!(
        ok(journal.entry_read(Slot(6)).await).as_ref(),
        Some(&entries[5])
    );
    assert_eq!(listed(&*journal, 6).await, entries[6..]);
    let head = ok(journal.head_read(Slot(6)).await);
    assert_eq!(
        (head.at_applied, head.floor),
        (Some(entries[5].id), Slot(6))
    );
    // With everything else trimmed the newest slot is still known.
    floor_move(&*journal, 6, &entries[8]).await;
    while ok(journal.entry_trim(Slot(100), 100).await) > 0 {}
    assert_eq!(
        ok(journal.head_read(Slot(9)).await).newest,
        Some((Slot(9), entries[8].id))
    );
    assert_eq!(ok(journal.entry_count().await), 1);
}
