//! Reads and answers without a write: nothing older than what was acknowledged before (I5, I6).

use helium_mvcc::{DeleteRangeRequest, KeyRange, Request, Response};
use kine_shim::replica::{Error, Options, ReadBarrier};

use super::harness::{World, create, put, quiet, txn};
use super::staged::{Act, Call, Gate};

/// A read that arrives while a head query is in flight must not join it: what it answers may be
/// older than a write that was acknowledged before the read began.
#[tokio::test(start_paused = true)]
async fn a_read_joins_the_next_head_query_and_not_the_one_in_flight() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let two = world.start_with(quiet("two")).await;
    let gate = Gate::new();
    one.journal.stage(Call::Head, Act::HoldAfter(gate.clone()));
    let replica = one.replica.clone();
    let early = tokio::spawn(async move { replica.read_barrier().await });
    gate.reached().await;
    // The query has its answer already, and this write is not in it.
    two.put("a", "1").await;
    let replica = one.replica.clone();
    let late = tokio::spawn(async move { replica.read_barrier().await });
    tokio::task::yield_now().await;
    gate.open();
    early.await.expect("no panic").expect("answered");
    late.await.expect("no panic").expect("answered");
    assert_eq!(one.memory("a"), Some(("1".into(), 1)));
}

#[tokio::test(start_paused = true)]
async fn waiting_reads_share_one_head_query() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let gate = Gate::new();
    one.journal.stage(Call::Head, Act::HoldBefore(gate.clone()));
    let read = || {
        let replica = one.replica.clone();
        tokio::spawn(async move { replica.read_barrier().await })
    };
    let first = read();
    gate.reached().await;
    // If each sent its own query, this second gate would hold all but one of them for ever.
    let second = Gate::new();
    one.journal
        .stage(Call::Head, Act::HoldAfter(second.clone()));
    one.journal.stage(Call::Head, Act::HoldAfter(Gate::new()));
    let rest: Vec<_> = (0..50).map(|_| read()).collect();
    for _ in 0..5 {
        tokio::task::yield_now().await;
    }
    gate.open();
    first.await.expect("no panic").expect("answered");
    second.reached().await;
    second.open();
    for read in rest {
        read.await.expect("no panic").expect("answered");
    }
}

/// In this instance's memory the key still exists. Another instance has deleted it, so the compare
/// must not fail: a failed compare is a read.
#[tokio::test(start_paused = true)]
async fn a_failed_compare_is_not_answered_from_a_stale_prefix() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let two = world.start_with(quiet("two")).await;
    one.put("a", "old").await;
    two.replica.read_barrier().await.expect("caught up");
    let delete = DeleteRangeRequest::new(KeyRange::single("a"));
    two.propose(Request::DeleteRange(delete))
        .await
        .expect("deleted");
    assert!(one.memory("a").is_some(), "stale on purpose");
    assert!(one.create("a", "new").await.expect("answered"));
    assert_eq!(two.get("a").await, Some(("new".into(), 1)));
}

#[tokio::test(start_paused = true)]
async fn an_empty_delete_is_not_answered_from_a_stale_prefix() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let two = world.start_with(quiet("two")).await;
    two.put("a", "1").await;
    assert_eq!(one.memory("a"), None, "stale on purpose");
    let delete = DeleteRangeRequest::new(KeyRange::single("a"));
    match one
        .propose(Request::DeleteRange(delete))
        .await
        .expect("answered")
    {
        Response::DeleteRange(answer) => assert_eq!(answer.deleted, 1),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_depends_on_the_state_is_not_answered_from_a_stale_prefix() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let two = world.start_with(quiet("two")).await;
    two.propose(super::harness::grant(7, 60))
        .await
        .expect("granted");
    let leased = helium_mvcc::PutRequest {
        lease: helium_mvcc::LeaseId(7),
        ..helium_mvcc::PutRequest::new("a", "1")
    };
    one.propose(Request::Put(leased))
        .await
        .expect("the lease exists");
}

/// A failed compare in a batch that loses its slot is evaluated again with the batch.
#[tokio::test(start_paused = true)]
async fn a_failed_compare_in_a_batch_that_lost_is_evaluated_again() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let two = world.start_with(quiet("two")).await;
    one.put("a", "old").await;
    two.replica.read_barrier().await.expect("caught up");
    let gate = Gate::new();
    one.journal
        .stage(Call::Append, Act::HoldBefore(gate.clone()));
    let (first, second) = (one.replica.clone(), one.replica.clone());
    let first = tokio::spawn(async move { first.propose(put("b", "1")).await });
    let second = tokio::spawn(async move { second.propose(create("a", "new")).await });
    gate.reached().await;
    let delete = DeleteRangeRequest::new(KeyRange::single("a"));
    two.propose(Request::DeleteRange(delete))
        .await
        .expect("deleted");
    gate.open();
    first.await.expect("no panic").expect("answered");
    let second = txn(second.await.expect("no panic").expect("answered"));
    assert!(
        second.succeeded,
        "the key was gone before the batch was written"
    );
}

#[tokio::test(start_paused = true)]
async fn reads_fail_rather_than_go_stale_while_the_database_is_away() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    one.journal.stage(Call::Head, Act::FailBefore);
    let answer = one.replica.read_barrier().await;
    assert!(matches!(answer, Err(Error::Journal(_))), "{answer:?}");
    one.replica.read_barrier().await.expect("it is back");
}

#[tokio::test(start_paused = true)]
async fn with_the_append_barrier_a_read_is_a_row() {
    let world = World::default();
    let options = Options {
        read_barrier: ReadBarrier::Append,
        ..quiet("one")
    };
    let one = world.start_with(options).await;
    let two = world.start_with(quiet("two")).await;
    two.put("a", "1").await;
    assert_eq!(one.get("a").await, Some(("1".into(), 1)));
    assert_eq!(world.entries(helium_journal::Slot::ZERO).await.len(), 2);
    assert_eq!(one.revision(), two.revision(), "the row makes no revision");
}
