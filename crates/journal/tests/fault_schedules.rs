//! The schedules that break a journal without its invariants, on the fault-injecting wrapper.

#![allow(
    clippy::unwrap_used,
    reason = "a test panics rather than return an error"
)]

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use helium_journal::conformance::{self, Database, entry, fill};
use helium_journal::faulty::{Call, Control, Fault, Faulty, Point, Rates, seed};
use helium_journal::memory::MemoryDatabase;
use helium_journal::{
    Advanced, Appended, CheckpointMeta, Chunked, ClaimId, Claimed, Entry, EntryId, Journal, KvRow,
    Listed, LogId, Slot,
};

const LOG: LogId = LogId(1);

struct FaultsOff(MemoryDatabase);

#[async_trait]
impl Database for FaultsOff {
    async fn open(&self, log_id: LogId) -> Arc<dyn Journal> {
        Arc::new(Faulty::new(Arc::new(self.0.journal(log_id)), 1))
    }

    async fn entries_lose(&self, log_id: LogId, slots: RangeInclusive<i64>) {
        let slots = Slot(*slots.start())..=Slot(*slots.end());
        self.0.lose_entries(log_id, slots);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_faults_the_wrapper_keeps_the_laws() {
    conformance::run(&FaultsOff(MemoryDatabase::new())).await;
}

fn faulty(database: &MemoryDatabase, seed: u64) -> (Arc<Faulty>, Control) {
    let journal = Arc::new(Faulty::new(Arc::new(database.journal(LOG)), seed));
    let control = journal.control();
    (journal, control)
}

async fn floor_move(journal: &dyn Journal, from: i64, to: &Entry) {
    let claim = ClaimId::random();
    assert_eq!(
        journal.checkpoint_claim(Slot(from), claim).await.unwrap(),
        Claimed::Won
    );
    let meta = CheckpointMeta {
        slot: to.slot,
        id: to.id,
        revision: 1,
        state: "".into(),
    };
    assert_eq!(
        journal.checkpoint_advance(claim, meta).await.unwrap(),
        Advanced::Moved
    );
}

/// Appends until it is known which entry has the slot, as a writer has to.
async fn decide(journal: &dyn Journal, mine: &Entry) -> EntryId {
    loop {
        match journal.entry_append(mine).await {
            Ok(Appended::Committed) => return mine.id,
            Ok(Appended::SlotTaken) => loop {
                match journal.entry_read(mine.slot).await {
                    Ok(Some(winner)) => return winner.id,
                    Ok(None) => panic!("slot {} is taken, but empty", mine.slot),
                    Err(_) => {}
                }
            },
            Ok(other) => panic!("nothing was trimmed or lost: {other:?}"),
            Err(_) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retrying_the_same_entry_decides_every_slot_under_random_faults() {
    let seed = seed();
    println!("HELIUM_SEED={seed}");
    let database = MemoryDatabase::new();
    let writers = (0..6).map(|writer| {
        let (journal, control) = faulty(&database, seed.wrapping_add(writer));
        control.rates(Rates {
            refused: 0.1,
            lost: 0.15,
            unanswered: 0.2,
            slow: 0.1,
            slow_up_to: Duration::from_millis(2),
        });
        tokio::spawn(async move {
            let (mut won, mut prev) = (Vec::new(), EntryId::NIL);
            for slot in 1..=60 {
                let mine = entry(slot, prev, "x");
                prev = decide(&*journal, &mine).await;
                if prev == mine.id {
                    won.push((slot, prev));
                }
            }
            won
        })
    });
    let mut acknowledged = BTreeMap::new();
    for won in futures_util::future::join_all(writers).await {
        for (slot, id) in won.unwrap() {
            assert_eq!(
                acknowledged.insert(slot, id),
                None,
                "slot {slot} was acknowledged twice"
            );
        }
    }
    let Listed::Entries(entries) = database
        .journal(LOG)
        .entry_list(Slot(0), 1000, usize::MAX)
        .await
        .unwrap()
    else {
        panic!("there is no floor")
    };
    let stored: BTreeMap<i64, EntryId> = entries.iter().map(|e| (e.slot.0, e.id)).collect();
    assert_eq!(
        stored, acknowledged,
        "every slot is somebody's, and nobody else's"
    );
    assert!(
        entries.windows(2).all(|pair| pair[1].prev == pair[0].id),
        "the chain"
    );
}

#[tokio::test]
async fn an_append_that_happened_without_an_answer_is_found_by_its_retry() {
    let (journal, control) = faulty(&MemoryDatabase::new(), 1);
    control.next(Call::EntryAppend, Fault::Unanswered);
    let mine = entry(1, EntryId::NIL, "x");
    let error = journal.entry_append(&mine).await.unwrap_err();
    assert!(!error.is_determinate());
    assert_eq!(
        journal.entry_append(&mine).await.unwrap(),
        Appended::SlotTaken
    );
    assert_eq!(
        journal.entry_read(Slot(1)).await.unwrap().map(|e| e.id),
        Some(mine.id)
    );
}

/// The first attempt is stuck in the network, the retry wins the slot, and then the first lands.
#[tokio::test]
async fn a_first_attempt_that_lands_late_is_the_same_entry_or_a_loser() {
    let (journal, control) = faulty(&MemoryDatabase::new(), 1);
    let late = control.late();
    let mine = entry(1, EntryId::NIL, "x");
    assert!(
        !journal
            .entry_append(&mine)
            .await
            .unwrap_err()
            .is_determinate()
    );
    assert_eq!(
        journal.entry_append(&mine).await.unwrap(),
        Appended::Committed
    );
    let (landed, outcome) = late.land().await.unwrap();
    assert_eq!((landed.id, outcome), (mine.id, Appended::SlotTaken));
    assert_eq!(journal.entry_count().await.unwrap(), 1);
}

/// An append stands still before it reaches the database; meanwhile its slot is decided by another,
/// checkpointed and trimmed.
#[tokio::test]
async fn a_writer_held_over_a_trim_is_told_that_its_slot_is_gone() {
    let database = MemoryDatabase::new();
    let (paused, control) = faulty(&database, 1);
    let other = database.journal(LOG);
    let entries = fill(&other, 1, 2, EntryId::NIL).await;
    let late = entry(3, entries[1].id, "late");
    let mut hold = control.hold(Call::EntryAppend, Point::Before);
    let append = tokio::spawn(async move { paused.entry_append(&late).await });
    hold.arrived().await;
    let more = fill(&other, 3, 9, entries[1].id).await;
    floor_move(&other, 0, &more[4]).await;
    assert_eq!(other.entry_trim(Slot(7), 100).await.unwrap(), 6);
    hold.release();
    let outcome = append.await.unwrap().unwrap();
    assert_eq!(outcome, Appended::BelowFloor { floor: Slot(7) });
}

/// An append stands still before it reaches the database, which meanwhile loses the entry that it
/// follows. Its row would be behind a gap that no listing crosses.
#[tokio::test]
async fn a_writer_held_over_a_lost_tail_is_told_that_the_chain_is_gone() {
    let database = MemoryDatabase::new();
    let (paused, control) = faulty(&database, 1);
    let other = database.journal(LOG);
    let entries = fill(&other, 1, 5, EntryId::NIL).await;
    let late = entry(6, entries[4].id, "late");
    let mut hold = control.hold(Call::EntryAppend, Point::Before);
    let append = tokio::spawn(async move { paused.entry_append(&late).await });
    hold.arrived().await;
    assert_eq!(database.lose_tail(LOG, Slot(3)), Some(2));
    let refilled = fill(&other, 4, 5, entries[2].id).await;
    hold.release();
    let found = Some(refilled[1].id);
    assert_eq!(
        append.await.unwrap().unwrap(),
        Appended::Diverged { found },
        "the slots are filled again, with other entries"
    );
    assert_eq!(other.entry_count().await.unwrap(), 5);
}

/// A checkpointer sleeps between two chunks; another deletes a key and advances.
#[tokio::test]
async fn a_checkpointer_held_before_a_chunk_brings_no_deleted_key_back() {
    let database = MemoryDatabase::new();
    let (paused, control) = faulty(&database, 1);
    let other = database.journal(LOG);
    let entries = fill(&other, 1, 5, EntryId::NIL).await;
    let row = |revision: i64| KvRow {
        key: "k".into(),
        value: "v".into(),
        create_revision: revision,
        mod_revision: revision,
        version: 1,
        lease: 0,
    };
    let claim = ClaimId::random();
    assert_eq!(
        paused.checkpoint_claim(Slot(0), claim).await.unwrap(),
        Claimed::Won
    );
    let mut hold = control.hold(Call::CheckpointChunk, Point::Before);
    let chunk =
        tokio::spawn(async move { paused.checkpoint_chunk(claim, vec![row(1)], vec![]).await });
    hold.arrived().await;
    floor_move(&other, 0, &entries[3]).await;
    hold.release();
    assert_eq!(chunk.await.unwrap().unwrap(), Chunked::ClaimLost);
    let page = other.kv_list(Slot(4), None, 10).await.unwrap();
    let empty = helium_journal::KvPage::Rows {
        rows: vec![],
        next: None,
    };
    assert_eq!(page, empty);
}

/// A head query has read the database and its answer is on the way when a write is acknowledged. A
/// read that begins now and joins that query would miss the write; the next query has it.
#[tokio::test]
async fn a_head_query_in_flight_does_not_know_what_was_acknowledged_since() {
    let database = MemoryDatabase::new();
    let (reader, control) = faulty(&database, 1);
    let writer = database.journal(LOG);
    let entries = fill(&writer, 1, 1, EntryId::NIL).await;
    let mut hold = control.hold(Call::HeadRead, Point::After);
    let in_flight = {
        let reader = Arc::clone(&reader);
        tokio::spawn(async move { reader.head_read(Slot(1)).await })
    };
    hold.arrived().await;
    let written = fill(&writer, 2, 2, entries[0].id).await;
    let next = reader.head_read(Slot(1)).await.unwrap();
    hold.release();
    let stale = in_flight.await.unwrap().unwrap();
    assert_eq!(stale.newest, Some((Slot(1), entries[0].id)));
    assert_eq!(next.newest, Some((Slot(2), written[0].id)));
    assert_eq!(control.calls(Call::HeadRead), 2);
}

/// An asynchronous failover loses the last entries, and another writer fills their slots.
#[tokio::test]
async fn a_lost_tail_shows_in_the_head_query_and_in_the_chain() {
    let database = MemoryDatabase::new();
    let journal = database.journal(LOG);
    let entries = fill(&journal, 1, 6, EntryId::NIL).await;
    let before = journal.identity_read().await.unwrap();
    assert_eq!(database.lose_tail(LOG, Slot(4)), Some(2));
    let head = journal.head_read(Slot(6)).await.unwrap();
    assert_eq!(
        (head.newest, head.at_applied),
        (Some((Slot(4), entries[3].id)), None)
    );
    assert_ne!(
        journal.identity_read().await.unwrap(),
        before,
        "the timeline tells"
    );
    let others = fill(&journal, 5, 8, entries[3].id).await;
    let head = journal.head_read(Slot(6)).await.unwrap();
    assert_eq!(
        head.at_applied,
        Some(others[1].id),
        "not the id that the asker applied"
    );
    floor_move(&journal, 0, &others[3]).await;
    assert_eq!(
        database.lose_tail(LOG, Slot(7)),
        None,
        "the checkpoint would be lost too"
    );
}

/// A restore takes everything back, the checkpoint too.
#[tokio::test]
async fn a_restore_goes_back_in_every_table() {
    let database = MemoryDatabase::new();
    let journal = database.journal(LOG);
    let entries = fill(&journal, 1, 3, EntryId::NIL).await;
    let snapshot = database.snapshot();
    fill(&journal, 4, 5, entries[2].id).await;
    floor_move(&journal, 0, &entries[2]).await;
    database.restore(snapshot);
    let head = journal.head_read(Slot(5)).await.unwrap();
    assert_eq!(
        (head.newest, head.floor),
        (Some((Slot(3), entries[2].id)), Slot::ZERO)
    );
    assert_eq!(journal.checkpoint_read().await.unwrap(), None);
}
