//! Claims, chunks, advances and loading.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;

use super::{Database, fill, ok};
use crate::{
    Advanced, CheckpointMeta, Chunked, ClaimId, Claimed, Entry, EntryId, Journal, KvPage, KvRow,
    LogId, Slot,
};

pub(super) async fn run(database: &dyn Database) {
    a_checkpoint_is_invisible_until_it_advances(database).await;
    of_racing_claims_the_last_one_has_the_turn(database).await;
    a_paused_checkpointer_changes_nothing(database).await;
    an_abandoned_turn_is_undone(database).await;
    an_advance_needs_its_entry_and_never_goes_back(database).await;
    keys_may_be_any_bytes_of_any_length(database).await;
    a_load_begun_before_an_advance_is_told(database).await;
}

fn row(key: impl Into<Bytes>, value: impl Into<Bytes>, revision: i64) -> KvRow {
    KvRow {
        key: key.into(),
        value: value.into(),
        create_revision: revision - 1,
        mod_revision: revision,
        version: 2,
        lease: -revision,
    }
}

fn meta(entry: &Entry) -> CheckpointMeta {
    CheckpointMeta {
        slot: entry.slot,
        id: entry.id,
        revision: entry.last_rev,
        state: format!("state {}", entry.slot).into(),
    }
}

/// All rows at a checkpoint, in pages of a size.
async fn loaded(journal: &dyn Journal, at: i64, page: usize) -> Vec<KvRow> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        match ok(journal.kv_list(Slot(at), after, page).await) {
            KvPage::Rows { rows, next } => {
                assert!(rows.len() <= page);
                all.extend(rows);
                match next {
                    Some(next) => after = Some(next),
                    None => return all,
                }
            }
            KvPage::Moved { slot } => panic!("the checkpoint is at {slot}, not at {at}"),
        }
    }
}

async fn claimed(journal: &dyn Journal, at: i64) -> ClaimId {
    let claim = ClaimId::random();
    assert_eq!(
        ok(journal.checkpoint_claim(Slot(at), claim).await),
        Claimed::Won
    );
    claim
}

async fn chunk(journal: &dyn Journal, claim: ClaimId, upserts: &[KvRow], deletes: &[&'static str]) {
    let deletes = deletes.iter().map(|key| Bytes::from(*key)).collect();
    let written = journal
        .checkpoint_chunk(claim, upserts.to_vec(), deletes)
        .await;
    assert_eq!(ok(written), Chunked::Written);
}

async fn advanced(journal: &dyn Journal, claim: ClaimId, entry: &Entry) {
    assert_eq!(
        ok(journal.checkpoint_advance(claim, meta(entry)).await),
        Advanced::Moved
    );
}

async fn a_checkpoint_is_invisible_until_it_advances(database: &dyn Database) {
    let (writer, reader) = (
        database.open(LogId(301)).await,
        database.open(LogId(301)).await,
    );
    let entries = fill(&*writer, 1, 6, EntryId::NIL).await;
    assert_eq!(ok(reader.checkpoint_read().await), None);
    let first = [row("a", "1", 11), row("b", "1", 12), row("c", "", 13)];
    let claim = claimed(&*writer, 0).await;
    chunk(&*writer, claim, &first, &["not there"]).await;
    assert_eq!(ok(reader.checkpoint_read().await), None);
    assert_eq!(loaded(&*reader, 0, 10).await, []);
    advanced(&*writer, claim, &entries[1]).await;
    assert_eq!(ok(reader.checkpoint_read().await), Some(meta(&entries[1])));
    for page in [1, 2, 3, 10] {
        assert_eq!(loaded(&*reader, 2, page).await, first, "in pages of {page}");
    }
    // The next one changes, creates and deletes; the old state stays loadable, page by page.
    let claim = claimed(&*writer, 2).await;
    chunk(
        &*writer,
        claim,
        &[row("b", "2", 22), row("bb", "2", 23)],
        &["a"],
    )
    .await;
    chunk(&*writer, claim, &[row("b", "3", 24)], &["c", "bb"]).await;
    for page in [1, 2, 3, 10] {
        assert_eq!(loaded(&*reader, 2, page).await, first, "in pages of {page}");
    }
    advanced(&*writer, claim, &entries[4]).await;
    for page in [1, 2, 10] {
        assert_eq!(
            loaded(&*reader, 5, page).await,
            [row("b", "3", 24)],
            "in pages of {page}"
        );
    }
    assert_eq!(ok(writer.entry_trim(Slot(100), 100).await), 4);
    assert_eq!(
        loaded(&*reader, 5, 10).await,
        [row("b", "3", 24)],
        "after a trim"
    );
}

async fn of_racing_claims_the_last_one_has_the_turn(database: &dyn Database) {
    let journal = database.open(LogId(302)).await;
    let entries = fill(&*journal, 1, 2, EntryId::NIL).await;
    let claims: Vec<ClaimId> = (0..8).map(|_| ClaimId::random()).collect();
    let racing = claims.iter().map(|claim| {
        let (journal, claim) = (Arc::clone(&journal), *claim);
        async move {
            assert_eq!(
                ok(journal.checkpoint_claim(Slot::ZERO, claim).await),
                Claimed::Won
            );
            ok(journal
                .checkpoint_advance(claim, meta_of(1, EntryId::NIL))
                .await)
        }
    });
    for outcome in join_all(racing).await {
        assert_eq!(
            outcome,
            Advanced::ClaimLost,
            "the journal has no such entry"
        );
    }
    let mut holders = 0;
    for claim in &claims {
        let written = journal
            .checkpoint_chunk(*claim, vec![row("k", "v", 3)], vec![])
            .await;
        holders += i32::from(ok(written) == Chunked::Written);
    }
    assert_eq!(holders, 1, "exactly one claim is left");
    for claim in claims {
        ok(journal.checkpoint_advance(claim, meta(&entries[1])).await);
    }
    let late = ok(journal
        .checkpoint_claim(Slot::ZERO, ClaimId::random())
        .await);
    assert_eq!(late, Claimed::Moved { slot: Slot(2) });
}

fn meta_of(slot: i64, id: EntryId) -> CheckpointMeta {
    CheckpointMeta {
        slot: Slot(slot),
        id,
        revision: 1,
        state: Bytes::new(),
    }
}

/// A checkpointer claims, sleeps, and wakes when another has deleted a key and advanced: its chunk
/// would bring the key back.
async fn a_paused_checkpointer_changes_nothing(database: &dyn Database) {
    let (paused, other) = (
        database.open(LogId(303)).await,
        database.open(LogId(303)).await,
    );
    let entries = fill(&*other, 1, 9, EntryId::NIL).await;
    let old = claimed(&*paused, 0).await;
    chunk(
        &*paused,
        old,
        &[row("gone", "1", 11), row("kept", "1", 12)],
        &[],
    )
    .await;
    let new = claimed(&*other, 0).await;
    let late = |upserts: Vec<KvRow>| paused.checkpoint_chunk(old, upserts, vec!["kept".into()]);
    assert_eq!(
        ok(late(vec![row("gone", "2", 13)]).await),
        Chunked::ClaimLost
    );
    chunk(&*other, new, &[row("kept", "2", 14)], &["gone"]).await;
    advanced(&*other, new, &entries[5]).await;
    assert_eq!(
        ok(late(vec![row("gone", "3", 15)]).await),
        Chunked::ClaimLost
    );
    let advance = paused.checkpoint_advance(old, meta(&entries[8])).await;
    assert_eq!(ok(advance), Advanced::ClaimLost);
    let after_the_turn = other
        .checkpoint_chunk(new, vec![row("x", "", 16)], vec![])
        .await;
    assert_eq!(
        ok(after_the_turn),
        Chunked::ClaimLost,
        "an advance ends the claim"
    );
    assert_eq!(loaded(&*other, 6, 10).await, [row("kept", "2", 14)]);
}

/// A checkpointer dies half-way, or wrote what a database that lost its tail no longer knows. The
/// next one covers less than the dead one did.
async fn an_abandoned_turn_is_undone(database: &dyn Database) {
    let (dead, next) = (
        database.open(LogId(304)).await,
        database.open(LogId(304)).await,
    );
    let entries = fill(&*next, 1, 9, EntryId::NIL).await;
    let base = [row("a", "1", 11), row("b", "1", 12), row("c", "1", 13)];
    let claim = claimed(&*next, 0).await;
    chunk(&*next, claim, &base, &[]).await;
    advanced(&*next, claim, &entries[0]).await;
    let claim = claimed(&*dead, 1).await;
    chunk(
        &*dead,
        claim,
        &[row("a", "9", 91), row("new", "9", 92)],
        &["b"],
    )
    .await;
    chunk(&*dead, claim, &[row("a", "10", 93)], &["new"]).await;
    assert_eq!(loaded(&*next, 1, 2).await, base);
    let claim = claimed(&*next, 1).await;
    assert_eq!(loaded(&*next, 1, 2).await, base);
    chunk(&*next, claim, &[row("c", "2", 21)], &[]).await;
    advanced(&*next, claim, &entries[2]).await;
    let expected = [row("a", "1", 11), row("b", "1", 12), row("c", "2", 21)];
    assert_eq!(loaded(&*next, 3, 2).await, expected);
}

async fn an_advance_needs_its_entry_and_never_goes_back(database: &dyn Database) {
    let journal = database.open(LogId(305)).await;
    let entries = fill(&*journal, 1, 5, EntryId::NIL).await;
    let claim = claimed(&*journal, 0).await;
    let refused = journal
        .checkpoint_advance(claim, meta_of(3, EntryId::random()))
        .await;
    assert_eq!(
        ok(refused),
        Advanced::ClaimLost,
        "another entry is in that slot"
    );
    let refused = journal
        .checkpoint_advance(claim, meta_of(6, EntryId::NIL))
        .await;
    assert_eq!(ok(refused), Advanced::ClaimLost, "no entry is in that slot");
    advanced(&*journal, claim, &entries[3]).await;
    advanced(&*journal, claim, &entries[3]).await; // Sent again, because the answer was lost.
    let claim = claimed(&*journal, 4).await;
    let back = journal.checkpoint_advance(claim, meta(&entries[2])).await;
    assert_eq!(ok(back), Advanced::ClaimLost);
    assert_eq!(ok(journal.checkpoint_read().await), Some(meta(&entries[3])));
}

async fn keys_may_be_any_bytes_of_any_length(database: &dyn Database) {
    let journal = database.open(LogId(306)).await;
    let entries = fill(&*journal, 1, 2, EntryId::NIL).await;
    // Not compressible: an index would otherwise take a long key after all.
    let long: Vec<u8> = (0..6000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let mut longer = long.clone();
    longer.push(0);
    let keys: [&[u8]; 9] = [
        b"",
        b"\0",
        b"\0\0",
        b"\0\x01",
        b"a",
        b"a\0",
        b"\xff",
        b"\xff\xff",
        "ключ".as_bytes(),
    ];
    let mut wanted: BTreeMap<Bytes, KvRow> = BTreeMap::new();
    for key in keys.into_iter().chain([&long[..], &longer[..]]) {
        let key = Bytes::copy_from_slice(key);
        wanted.insert(key.clone(), row(key.clone(), key, 9));
    }
    let claim = claimed(&*journal, 0).await;
    chunk(
        &*journal,
        claim,
        &wanted.values().cloned().collect::<Vec<_>>(),
        &[],
    )
    .await;
    advanced(&*journal, claim, &entries[0]).await;
    for page in [1, 3, 100] {
        let found = loaded(&*journal, 1, page).await;
        assert_eq!(found.len(), wanted.len(), "in pages of {page}");
        let short = |row: &&KvRow| row.key.len() < 1024;
        assert!(
            found.iter().filter(short).is_sorted_by_key(|row| &row.key),
            "byte order"
        );
        let found: BTreeMap<Bytes, KvRow> = found
            .into_iter()
            .map(|row| (row.key.clone(), row))
            .collect();
        assert_eq!(found, wanted, "in pages of {page}");
    }
    let claim = claimed(&*journal, 1).await;
    let deletes = vec![Bytes::from(long), Bytes::new()];
    assert_eq!(
        ok(journal.checkpoint_chunk(claim, vec![], deletes).await),
        Chunked::Written
    );
    advanced(&*journal, claim, &entries[1]).await;
    assert_eq!(loaded(&*journal, 2, 3).await.len(), wanted.len() - 2);
}

async fn a_load_begun_before_an_advance_is_told(database: &dyn Database) {
    let journal = database.open(LogId(307)).await;
    let entries = fill(&*journal, 1, 3, EntryId::NIL).await;
    let claim = claimed(&*journal, 0).await;
    chunk(
        &*journal,
        claim,
        &[row("a", "1", 11), row("b", "1", 12)],
        &[],
    )
    .await;
    advanced(&*journal, claim, &entries[0]).await;
    let page = ok(journal.kv_list(Slot(1), None, 1).await);
    let next = Some(Bytes::from("a"));
    assert_eq!(
        page,
        KvPage::Rows {
            rows: vec![row("a", "1", 11)],
            next: next.clone()
        }
    );
    let claim = claimed(&*journal, 1).await;
    advanced(&*journal, claim, &entries[1]).await;
    let page = ok(journal.kv_list(Slot(1), next, 1).await);
    assert_eq!(page, KvPage::Moved { slot: Slot(2) });
}
