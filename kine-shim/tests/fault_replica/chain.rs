//! The chain: lost tails, orphans, unreadable entries, and entries pushed in any order (I2, I3).

use std::time::Duration;

use bytes::Bytes;
use helium_journal::{Appended, Entry, EntryId, Slot};
use helium_mvcc::{
    Compare, CompareResult, CompareTarget, Error as Refusal, KeyRange, PutRequest, Request,
    Revision, TxnOp, TxnRequest, WatchBody, WatchRequest,
};
use helium_testkit::wait_for;
use kine_shim::replica::{Error, INCARNATION_TTL, Options, Phase};

use super::harness::{BOUND, Instance, LOG, World, options, put, quiet, txn};
use super::staged::{Act, Call, Gate};

async fn ten_writes(instance: &Instance) {
    for n in 0..10 {
        instance.put("key", &n.to_string()).await;
    }
}

/// An asynchronous failover loses the newest entries. What clients have seen of them must not be
/// seen again with another content: watches end, and revisions go on far above.
#[tokio::test(start_paused = true)]
async fn a_lost_tail_ends_watches_and_never_uses_a_revision_twice() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    ten_writes(&one).await;
    let exposed = one.revision();
    let stream = one.replica.watch_stream().expect("served");
    stream.create(WatchRequest::new(KeyRange::all()));
    let created = stream.next().await.expect("open");
    assert_eq!(created.messages[0].body, WatchBody::Created);
    assert_eq!(world.database.lose_tail(LOG, Slot(6)), Some(4));

    assert_eq!(one.get("key").await, Some(("5".into(), 6)), "what is left");
    let ended = loop {
        let poll = stream.next().await.expect("not stopped");
        if poll.closed {
            break poll;
        }
    };
    assert!(
        ended
            .messages
            .iter()
            .all(|message| !matches!(message.body, WatchBody::Events(_)))
    );
    assert!(one.revision() > exposed, "{:?}", one.revision());
    let old = one.replica.read(|state| {
        let mut request = helium_mvcc::RangeRequest::new(KeyRange::single("key"));
        request.revision = exposed;
        state.range(&request).map(drop)
    });
    assert!(matches!(old, Ok(Err(Refusal::Compacted { .. }))), "{old:?}");
    let next = one.put("key", "after").await;
    assert!(next.0 > exposed.0 + 1000);
    let fresh = world.start_with(quiet("fresh")).await;
    assert_eq!(fresh.digest(), one.digest());
}

/// What a client holds by an acknowledgement that was lost it may hold for a while: whoever could give it to another compares with a
/// key in the transaction, so it must be there before anything is served, for all alike, and go by itself.
#[tokio::test(start_paused = true)]
async fn an_incarnation_is_told_by_a_key_in_the_very_entry_that_begins_it() {
    const KEY: &str = "helium.dev/incarnation";
    let telling = |name: &str| Options {
        incarnation_key: Some(Bytes::from_static(KEY.as_bytes())),
        ..quiet(name)
    };
    let world = World::default();
    let one = world.start_with(telling("one")).await;
    let two = world.start_with(telling("two")).await;
    ten_writes(&one).await;
    two.replica.read_barrier().await.expect("caught up");
    assert_eq!(one.memory(KEY), None, "nothing has happened");
    // Judged by what was there before: it must not pass behind the setback.
    let judged = Request::Txn(TxnRequest {
        compare: vec![Compare {
            range: KeyRange::single(KEY),
            target: CompareTarget::Mod(Revision::UNSET),
            result: CompareResult::Equal,
        }],
        success: vec![TxnOp::Put(PutRequest::new("term", "mine"))],
        failure: Vec::new(),
    });
    assert_eq!(world.database.lose_tail(LOG, Slot(6)), Some(4));
    // Whether it is refused undecided by whoever noticed, or evaluated behind it: it isn't done.
    match two.propose(judged).await {
        Ok(answer) => assert!(!txn(answer).succeeded),
        Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error:?}"),
    }
    let (first, second) = tokio::join!(one.replica.read_barrier(), two.replica.read_barrier());
    first.or(second).expect("recovered");
    one.replica.wait_ready().await.expect("recovered");
    two.replica.wait_ready().await.expect("recovered");
    assert_eq!(one.get(KEY).await, Some(("1".into(), 1)));
    assert_eq!(two.get(KEY).await, Some(("1".into(), 1)));
    assert_eq!(one.memory("term"), None);
    let fresh = world.start_with(quiet("fresh")).await;
    assert_eq!(fresh.digest(), one.digest());
    assert_eq!(two.digest(), one.digest());
    let told = fresh.replica.read(|state| {
        let kv = state.get(KEY.as_bytes()).expect("there");
        let ttl = state.leases().find(|lease| lease.id == kv.lease);
        (kv.mod_revision, ttl.map(|lease| lease.ttl))
    });
    let (revision, ttl) = told.expect("served");
    assert_eq!(ttl, Some(INCARNATION_TTL), "it goes by itself");
    assert_eq!(revision, one.revision(), "and nothing came between");

    // Once more: another number, at another revision.
    ten_writes(&one).await;
    let entries = world.entries(Slot::ZERO).await.len();
    let slot = Slot(i64::try_from(entries).expect("few") - 5);
    assert_eq!(world.database.lose_tail(LOG, slot), Some(5));
    assert_eq!(one.get(KEY).await, Some(("2".into(), 2)));
    // Who isn't asked for it tells nothing.
    let plain = World::default();
    let silent = plain.start_with(quiet("silent")).await;
    ten_writes(&silent).await;
    plain
        .database
        .lose_tail(LOG, Slot(6))
        .expect("no checkpoint");
    assert_eq!(silent.get(KEY).await, None);
    let keys = silent
        .replica
        .read(|state| (state.key_count(), state.leases().count()));
    assert_eq!(keys.ok(), Some((1, 0)));
    assert_eq!(silent.replica.status().incarnation.0, 1);
}

#[tokio::test(start_paused = true)]
async fn two_instances_that_both_notice_a_lost_tail_converge_on_one_incarnation() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let two = world.start_with(quiet("two")).await;
    ten_writes(&one).await;
    two.replica.read_barrier().await.expect("caught up");
    world
        .database
        .lose_tail(LOG, Slot(3))
        .expect("no checkpoint");
    let (first, second) = tokio::join!(one.replica.read_barrier(), two.replica.read_barrier());
    first.expect("recovered");
    second.expect("recovered");
    one.replica.read_barrier().await.expect("served");
    two.replica.read_barrier().await.expect("served");
    assert_eq!(one.digest(), two.digest());
    assert_eq!(one.replica.status().incarnation.0, 1, "one is enough");
    assert_eq!(world.entries(Slot::ZERO).await.len(), 4);
    two.put("key", "two").await;
    assert_eq!(
        one.get("key").await.map(|(value, _)| value),
        Some("two".into())
    );
}

/// The instance that lags has not seen what was lost, and goes on: the revisions of the lost
/// entries appear again with another content. The instance that showed them must still lift the
/// revision, although the journal is longer than ever.
#[tokio::test(start_paused = true)]
async fn a_tail_that_was_lost_and_overwritten_is_noticed_by_who_showed_it() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let two = world.start_with(quiet("two")).await;
    one.put("key", "common").await;
    two.replica.read_barrier().await.expect("caught up");
    ten_writes(&one).await;
    let exposed = one.revision();
    world
        .database
        .lose_tail(LOG, Slot(1))
        .expect("no checkpoint");
    for n in 0..20 {
        two.put("other", &n.to_string()).await;
    }
    one.replica.read_barrier().await.expect("recovered");
    assert!(one.revision().0 > exposed.0 + 1000);
    two.replica.read_barrier().await.expect("served");
    assert_eq!(one.digest(), two.digest());
}

/// After a failure another primary answers, which lacks the newest entries. The insert succeeds
/// there, behind a gap, and counts for nothing: nobody who starts later would ever read it.
#[tokio::test(start_paused = true)]
async fn an_append_behind_a_gap_is_not_acknowledged_and_everybody_converges() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    ten_writes(&one).await;
    let gate = Gate::new();
    one.journal.stage(Call::Append, Act::FailBefore);
    one.journal
        .stage(Call::Append, Act::HoldBefore(gate.clone()));
    let replica = one.replica.clone();
    let orphan = tokio::spawn(async move { replica.propose(put("orphan", "1")).await });
    gate.reached().await;
    world
        .database
        .lose_tail(LOG, Slot(7))
        .expect("no checkpoint");
    gate.open();
    let answer = orphan.await.expect("no panic");
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");

    one.replica.wait_ready().await.expect("recovered");
    // Slot 11 holds the orphan; the writes go up to it, over it, and beyond.
    for n in 0..10 {
        one.put("key", &format!("again-{n}")).await;
    }
    let fresh = world.start_with(quiet("fresh")).await;
    one.replica.read_barrier().await.expect("served");
    assert_eq!(fresh.digest(), one.digest());
    assert_eq!(fresh.memory("orphan"), None);
    assert_eq!(
        fresh.memory("key").map(|(value, _)| value),
        Some("again-9".into())
    );
}

/// The pool came back to another primary between two calls, so that no call has failed.
#[tokio::test(start_paused = true)]
async fn an_append_after_a_failover_that_nobody_noticed_is_fenced() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    ten_writes(&one).await;
    let exposed = one.revision();
    let stream = one.replica.watch_stream().expect("served");
    stream.create(WatchRequest::new(KeyRange::all()));
    assert_eq!(world.database.lose_tail(LOG, Slot(7)), Some(3));
    let answer = one.propose(put("late", "1")).await;
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");

    one.replica.wait_ready().await.expect("recovered");
    while !stream.next().await.expect("not stopped").closed {}
    assert_eq!(one.replica.status().incarnation.0, 1);
    assert!(one.revision() > exposed);
    let fresh = world.start_with(quiet("fresh")).await;
    assert_eq!(fresh.digest(), one.digest());
    assert_eq!(fresh.memory("late"), None);
    assert_eq!(fresh.memory("key"), Some(("6".into(), 7)));
    assert!(one.put("key", "after").await.0 > exposed.0 + 1000);
}

/// I5: a failed compare shares its batch's fate. Answered from the lost state, it would tell of a
/// key that is not there.
#[tokio::test(start_paused = true)]
async fn a_failed_compare_in_a_fenced_batch_is_not_answered() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    one.put("key", "lost").await;
    world
        .database
        .lose_tail(LOG, Slot::ZERO)
        .expect("no checkpoint");
    let (compared, written) =
        tokio::join!(one.create("key", "mine"), one.propose(put("other", "1")),);
    assert!(
        matches!(compared, Err(Error::Unavailable(_))),
        "{compared:?}"
    );
    assert!(matches!(written, Err(Error::Unavailable(_))), "{written:?}");
    one.replica.wait_ready().await.expect("recovered");
    assert_eq!(one.create("key", "mine").await.ok(), Some(true));
}

/// What is missing at the append may be there at the reload: another instance has repeated its
/// undecided entry meanwhile. Nothing is lost then, and no revision jumps.
#[tokio::test(start_paused = true)]
async fn a_fenced_instance_goes_on_where_the_missing_entry_came_back() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let two = world.start_with(quiet("two")).await;
    one.put("key", "common").await;
    two.replica.read_barrier().await.expect("caught up");
    let (retry, reload) = (Gate::new(), Gate::new());
    two.journal.stage(Call::Append, Act::FailAfter);
    two.journal
        .stage(Call::Append, Act::HoldBefore(retry.clone()));
    let replica = two.replica.clone();
    let undecided = tokio::spawn(async move { replica.propose(put("key", "two")).await });
    retry.reached().await;
    assert_eq!(one.get("key").await, Some(("two".into(), 2)));
    let stored = Slot(2)..=Slot(2);
    assert_eq!(world.database.lose_entries(LOG, stored), 1);

    one.journal
        .stage(Call::List, Act::HoldBefore(reload.clone()));
    let answer = tokio::spawn({
        let replica = one.replica.clone();
        async move { replica.propose(put("key", "one")).await }
    });
    reload.reached().await;
    retry.open();
    let repeated = undecided.await.expect("no panic").expect("committed");
    assert_eq!(repeated.revision(), Revision(3));
    reload.open();
    let answer = answer.await.expect("no panic");
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    assert_eq!(one.get("key").await, Some(("two".into(), 2)));
    assert_eq!(one.replica.status().incarnation.0, 0, "nothing is lost");
    assert_eq!(one.put("key", "three").await, Revision(4));
    two.replica.read_barrier().await.expect("served");
    assert_eq!(one.digest(), two.digest());
}

/// The instance that showed the lost revisions is gone, and the one that is left never saw them. It
/// learns of the failover only from the database's timeline, before it uses them again.
#[tokio::test(start_paused = true)]
async fn a_failover_lifts_the_revision_also_where_nothing_is_missed() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let lagging = world.start_with(quiet("lagging")).await;
    one.put("key", "common").await;
    lagging.replica.read_barrier().await.expect("caught up");
    ten_writes(&one).await;
    let exposed = one.revision();
    one.replica.stop().await;
    world
        .database
        .lose_tail(LOG, Slot(1))
        .expect("no checkpoint");
    // The failover breaks the connection.
    lagging.journal.stage(Call::Head, Act::FailBefore);
    lagging
        .replica
        .read_barrier()
        .await
        .expect_err("the connection is lost");
    lagging.replica.read_barrier().await.expect("recovered");
    assert!(lagging.revision() > exposed);
    assert_eq!(lagging.replica.status().incarnation.0, 1);
    lagging.journal.stage(Call::Head, Act::FailBefore);
    lagging
        .replica
        .read_barrier()
        .await
        .expect_err("lost again");
    lagging
        .replica
        .read_barrier()
        .await
        .expect("the same database");
    assert_eq!(lagging.replica.status().incarnation.0, 1, "once is enough");
}

/// As above, where the connections came back between two calls: none has failed, and the entry that
/// the next one follows is there.
#[tokio::test(start_paused = true)]
async fn a_failover_that_breaks_no_call_is_noticed_within_heartbeats() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let lagging = world.start_with(quiet("lagging")).await;
    one.put("key", "common").await;
    lagging.replica.read_barrier().await.expect("caught up");
    ten_writes(&one).await;
    let exposed = one.revision();
    one.replica.stop().await;
    world
        .database
        .lose_tail(LOG, Slot(1))
        .expect("no checkpoint");
    let noticed = async {
        while lagging.replica.status().incarnation.0 == 0 {
            lagging.replica.read_barrier().await.expect("served");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    // Of paused time: a few heartbeats.
    let noticed = tokio::time::timeout(Duration::from_secs(2), noticed).await;
    noticed.expect("the failover is noticed");
    assert!(lagging.revision() > exposed);
}

#[tokio::test(start_paused = true)]
async fn a_trusted_failover_costs_nobody_a_watch() {
    let world = World::default();
    let options = Options {
        trust_failovers: true,
        ..quiet("one")
    };
    let one = world.start_with(options).await;
    ten_writes(&one).await;
    let revision = one.revision();
    assert_eq!(world.database.lose_tail(LOG, one.applied()), Some(0));
    one.journal.stage(Call::Head, Act::FailBefore);
    one.replica
        .read_barrier()
        .await
        .expect_err("the connection is lost");
    one.replica.read_barrier().await.expect("served");
    assert_eq!(one.put("key", "next").await, revision.next());
}

fn rogue(enc: i16, payload: Bytes) -> Entry {
    Entry {
        slot: Slot(1),
        id: EntryId::random(),
        prev: EntryId::NIL,
        writer: helium_journal::WriterId(9),
        epoch: helium_journal::Epoch(0),
        at_micros: 0,
        first_rev: 2,
        last_rev: 2,
        enc,
        payload,
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_format_stops_serving_and_says_which_slot() {
    let world = World::default();
    let one = world.start("one").await;
    // Taken away from the epoch, if it was faster.
    world.database.lose_tail(LOG, Slot::ZERO);
    let other = World::default();
    let entry = rogue(77, Bytes::from_static(b"?"));
    assert_eq!(
        other.journal().entry_append(&entry).await.expect("memory"),
        Appended::Committed
    );
    let two = other.open(options("two")).await;
    two.wait_phase(Phase::Halted).await;
    let answer = two.propose(put("a", "1")).await;
    assert!(matches!(answer, Err(Error::Halted(_))), "{answer:?}");
    let reason = two.replica.health().halted.expect("a reason");
    assert!(
        reason.contains("slot 1") && reason.contains("format 77"),
        "{reason}"
    );
    drop(one);
}

#[tokio::test(start_paused = true)]
async fn a_format_that_turns_up_while_serving_stops_serving() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let entry = rogue(77, Bytes::from_static(b"?"));
    world.journal().entry_append(&entry).await.expect("memory");
    let answer = one.replica.read_barrier().await;
    assert!(matches!(answer, Err(Error::Halted(_))), "{answer:?}");
    assert!(one.replica.read(|_| ()).is_err());
    assert_eq!(one.replica.status().phase, Phase::Halted);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_payload_stops_serving_and_says_which_slot() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    one.put("a", "some value").await;
    let mut entry = world.entries(Slot::ZERO).await.remove(0);
    let mut payload = entry.payload.to_vec();
    let middle = payload.len() / 2;
    payload[middle] ^= 1;
    entry.payload = payload.into();
    let other = World::default();
    other.journal().entry_append(&entry).await.expect("memory");
    let two = other.open(quiet("two")).await;
    two.wait_phase(Phase::Halted).await;
    let reason = two.replica.health().halted.expect("a reason");
    assert!(
        reason.contains("slot 1") && reason.contains("damaged"),
        "{reason}"
    );
}

#[tokio::test(start_paused = true)]
async fn entries_pushed_late_twice_and_out_of_order_are_applied_once_in_order() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let two = world.start_with(quiet("two")).await;
    ten_writes(&one).await;
    let entries = world.entries(Slot::ZERO).await;
    for index in [0, 0, 1, 5, 9, 2, 1, 3, 3, 4] {
        two.replica.offer(&entries[index]);
    }
    two.wait_applied(Slot(10)).await;
    assert_eq!(two.digest(), one.digest());
    for entry in &entries {
        two.replica.offer(entry);
    }
    assert_eq!(two.digest(), one.digest());
}

#[tokio::test(start_paused = true)]
async fn pushed_entries_are_applied_without_asking_the_database() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let two = world.start_with(quiet("two")).await;
    let mut commits = one.replica.committed();
    let gate = Gate::new();
    two.journal.stage(Call::Head, Act::HoldBefore(gate.clone()));
    two.journal.stage(Call::List, Act::HoldBefore(gate));
    one.put("a", "1").await;
    two.replica.offer(&commits.recv().await.expect("a commit"));
    assert_eq!(two.memory("a"), Some(("1".into(), 1)));
}

/// A peer on another chain, or one that lies, can't make us apply anything.
#[tokio::test(start_paused = true)]
async fn a_pushed_entry_that_does_not_fit_is_checked_against_the_database() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    one.put("a", "1").await;
    let other = World::default();
    let stranger = other.start_with(quiet("stranger")).await;
    stranger.put("b", "1").await;
    stranger.put("b", "2").await;
    for entry in other.entries(Slot::ZERO).await {
        one.replica.offer(&entry);
    }
    assert_eq!(one.get("b").await, None);
    assert_eq!(one.get("a").await, Some(("1".into(), 1)));
    assert_eq!(one.replica.status().incarnation.0, 0, "nothing was lost");
    assert_eq!(one.revision(), Revision(2));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_push_is_read_from_the_database_instead() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let two = world.start_with(quiet("two")).await;
    one.put("a", "1").await;
    let mut entry = world.entries(Slot::ZERO).await.remove(0);
    entry.payload = Bytes::from_static(b"damaged");
    two.replica.offer(&entry);
    wait_for("the entry to be applied", BOUND, || {
        std::future::ready(two.memory("a").is_some())
    })
    .await;
}
