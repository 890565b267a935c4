//! Identity, size, members and closing.

use super::{Database, fill, ok};
use crate::{EntryId, ErrorKind, LogId, Member, Slot, WriterId};

pub(super) async fn run(database: &dyn Database) {
    the_cluster_id_is_fixed_once_per_log(database).await;
    members_come_change_and_go(database).await;
    the_size_grows(database).await;
    a_closed_handle_says_so(database).await;
}

async fn the_cluster_id_is_fixed_once_per_log(database: &dyn Database) {
    let (one, other) = (
        database.open(LogId(401)).await,
        database.open(LogId(401)).await,
    );
    let (first, second) = tokio::join!(one.log_meta(), other.log_meta());
    let meta = ok(first);
    assert_eq!(meta, ok(second));
    assert_ne!(meta.cluster_id, 0);
    let elsewhere = ok(database.open(LogId(402)).await.log_meta().await);
    assert_ne!(meta.cluster_id, elsewhere.cluster_id);
    let identity = ok(one.identity_read().await);
    assert_eq!(identity, ok(other.identity_read().await));
    assert!(
        !identity.in_recovery && !identity.system.is_empty(),
        "{identity:?}"
    );
}

async fn members_come_change_and_go(database: &dyn Database) {
    let (one, other) = (
        database.open(LogId(403)).await,
        database.open(LogId(403)).await,
    );
    assert_eq!(ok(one.member_list().await), []);
    let mut a = Member {
        id: WriterId(7),
        name: "a".to_owned(),
        addresses: "[\"https://a:2379\"]".to_owned(),
        formats: vec![1, 2],
        heartbeat: 1,
    };
    let b = Member {
        id: WriterId(u64::MAX),
        name: "b'\"".to_owned(),
        formats: vec![],
        ..a.clone()
    };
    ok(one.member_upsert(&a).await);
    ok(other.member_upsert(&b).await);
    assert_eq!(ok(one.member_list().await), [a.clone(), b.clone()]);
    a.heartbeat = 2;
    a.addresses.clear();
    ok(one.member_upsert(&a).await);
    assert_eq!(ok(other.member_list().await), [a.clone(), b.clone()]);
    ok(other.member_delete(a.id).await);
    ok(other.member_delete(a.id).await);
    assert_eq!(ok(one.member_list().await), [b]);
}

async fn the_size_grows(database: &dyn Database) {
    let journal = database.open(LogId(404)).await;
    let before = ok(journal.size_read().await);
    let big = super::entry(1, EntryId::NIL, vec![1; 1 << 20]);
    ok(journal.entry_append(&big).await);
    let after = ok(journal.size_read().await);
    assert!(
        after.total_bytes >= before.total_bytes,
        "{before:?} {after:?}"
    );
    assert!(
        after.used_bytes >= 1 << 20 && after.used_bytes <= after.total_bytes,
        "{after:?}"
    );
}

async fn a_closed_handle_says_so(database: &dyn Database) {
    let journal = database.open(LogId(405)).await;
    let entries = fill(&*journal, 1, 1, EntryId::NIL).await;
    journal.close().await;
    journal.close().await;
    let next = super::entry(2, entries[0].id, "late");
    let errors = [
        journal.entry_append(&next).await.err(),
        journal.head_read(Slot(1)).await.err(),
        journal.entry_read(Slot(1)).await.err(),
        journal.member_list().await.err(),
    ];
    for error in errors {
        let error = error.map(|error| (error.kind(), error.is_determinate()));
        assert_eq!(error, Some((ErrorKind::Closed, true)));
    }
}
