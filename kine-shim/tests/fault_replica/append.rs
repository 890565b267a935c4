//! Appends: undecided in all forms, racing, refused, and paused over a trim (I1, I4).

use std::sync::Arc;
use std::time::Duration;

use helium_mvcc::{Response, Revision};
use helium_testkit::wait_for;
use kine_shim::replica::{Error, Options};

use super::harness::{BOUND, Instance, World, compact, create, options, put, quiet, swap, txn};
use super::staged::{Act, Call, Gate};

#[tokio::test(start_paused = true)]
async fn an_empty_store_is_at_revision_one_and_the_first_write_makes_two() {
    let one = World::default().start_with(quiet("one")).await;
    assert_eq!(one.revision(), Revision(1));
    assert_eq!(one.put("a", "1").await, Revision(2));
    assert_eq!(one.get("a").await, Some(("1".into(), 1)));
}

#[tokio::test(start_paused = true)]
async fn an_insert_that_happened_but_failed_is_acknowledged_once() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    for act in [Act::FailAfter, Act::FailBefore, Act::FailAfter] {
        one.journal.stage(Call::Append, act);
    }
    assert_eq!(one.put("a", "1").await, Revision(2));
    assert_eq!(one.get("a").await, Some(("1".into(), 1)));
    assert_eq!(world.entries(helium_journal::Slot::ZERO).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_insert_that_did_not_happen_keeps_its_slot_and_is_tried_again() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    for _ in 0..5 {
        one.journal.stage(Call::Append, Act::FailBefore);
    }
    assert_eq!(one.put("a", "1").await, Revision(2));
    assert_eq!(world.entries(helium_journal::Slot::ZERO).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_undecided_insert_that_lost_its_slot_is_evaluated_again() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let two = world.start_with(quiet("two")).await;
    let gate = Gate::new();
    one.journal.stage(Call::Append, Act::FailBefore);
    one.journal
        .stage(Call::Append, Act::HoldBefore(gate.clone()));
    let replica = one.replica.clone();
    let create = tokio::spawn(async move { replica.propose(create("a", "one")).await });
    gate.reached().await;
    assert!(two.create("a", "two").await.expect("answered"));
    gate.open();
    let answer = txn(create.await.expect("no panic").expect("answered"));
    assert!(!answer.succeeded, "the other instance was first");
    assert_eq!(one.get("a").await, Some(("two".into(), 1)));
}

#[tokio::test(start_paused = true)]
async fn an_undecided_insert_that_the_poll_finds_is_acknowledged() {
    let world = World::default();
    let one = world.start("one").await;
    let gate = Gate::new();
    one.journal.stage(Call::Append, Act::FailAfter);
    // The second try never returns; the follower sees the row all the same.
    one.journal.stage(Call::Append, Act::FailBefore);
    one.journal.stage(Call::Append, Act::FailBefore);
    one.journal.stage(Call::Append, Act::FailBefore);
    one.journal
        .stage(Call::Append, Act::HoldAfter(gate.clone()));
    let revision = one.put("a", "1").await;
    assert!(revision >= Revision(2));
    gate.open();
    assert_eq!(one.get("a").await, Some(("1".into(), 1)));
}

/// A writer sleeps before its insert, while others write, compact and trim its slot. Its row then
/// goes in, below the floor, where nobody reads it: acknowledged, it would be a lost write.
#[tokio::test(start_paused = true)]
async fn a_writer_paused_over_a_trim_does_not_acknowledge_into_a_trimmed_slot() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let two = world.start("two").await;
    two.wait_owner(&two).await;
    one.replica.read_barrier().await.expect("caught up");
    let gate = Gate::new();
    one.journal
        .stage(Call::Append, Act::HoldBefore(gate.clone()));
    let replica = one.replica.clone();
    let slept = tokio::spawn(async move { replica.propose(create("slept", "1")).await });
    gate.reached().await;
    let slot = one.applied().next();
    trim_beyond(&world, &two, slot).await;
    gate.open();
    let answer = txn(slept.await.expect("no panic").expect("evaluated again"));
    assert!(answer.succeeded);
    assert_eq!(one.get("slept").await, Some(("1".into(), 1)));
    assert_eq!(two.get("slept").await, Some(("1".into(), 1)));
    assert_eq!(one.replica.status().revision, two.replica.status().revision);
}

/// The first try happened without an answer; everybody else has applied, compacted and trimmed it
/// when the writer wakes. Evaluating again would do it twice.
#[tokio::test(start_paused = true)]
async fn an_undecided_insert_that_was_trimmed_meanwhile_is_not_done_twice() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let two = world.start("two").await;
    two.wait_owner(&two).await;
    one.replica.read_barrier().await.expect("caught up");
    let gate = Gate::new();
    one.journal.stage(Call::Append, Act::FailAfter);
    one.journal
        .stage(Call::Append, Act::HoldBefore(gate.clone()));
    let replica = one.replica.clone();
    let slept = tokio::spawn(async move { replica.propose(put("slept", "1")).await });
    gate.reached().await;
    let slot = one.applied().next();
    trim_beyond(&world, &two, slot).await;
    assert_eq!(
        two.get("slept").await,
        Some(("1".into(), 1)),
        "it did happen"
    );
    gate.open();
    let answer = slept.await.expect("no panic");
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    assert_eq!(
        one.get("slept").await,
        Some(("1".into(), 1)),
        "once, not twice"
    );
}

async fn trim_beyond(world: &World, other: &Instance, slot: helium_journal::Slot) {
    for n in 0..5 {
        other.put("filler", &n.to_string()).await;
    }
    let revision = other.revision();
    other.propose(compact(revision)).await.expect("compacted");
    other.put("filler", "last").await;
    let journal = world.journal();
    wait_for("the checkpoint to pass the slot", BOUND, || async {
        let head = journal.head_read(slot).await.expect("memory");
        let rows = journal.entry_read(slot).await.expect("memory");
        head.floor > slot && rows.is_none()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_database_refuses_does_not_take_its_batch_along() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let gate = Gate::new();
    one.journal
        .stage(Call::Append, Act::HoldBefore(gate.clone()));
    let replica = one.replica.clone();
    let first = tokio::spawn(async move { replica.propose(put("first", "")).await });
    gate.reached().await;
    let mut others = Vec::new();
    for n in 0..9 {
        let replica = one.replica.clone();
        let value = if n == 4 {
            "x".repeat(4096)
        } else {
            String::new()
        };
        others.push(tokio::spawn(async move {
            replica.propose(put(&format!("key-{n}"), &value)).await
        }));
    }
    wait_for("the others to queue up", BOUND, || {
        std::future::ready(others.iter().all(|task| !task.is_finished()))
    })
    .await;
    tokio::task::yield_now().await;
    one.journal.refuse_payloads_above(2048);
    gate.open();
    first.await.expect("no panic").expect("small");
    for (n, task) in others.into_iter().enumerate() {
        let answer = task.await.expect("no panic");
        if n == 4 {
            assert!(matches!(answer, Err(Error::Determinate(_))), "{answer:?}");
        } else {
            answer.expect("small");
        }
    }
    assert_eq!(one.memory("key-4"), None);
    assert_eq!(one.revision(), Revision(10), "nine puts, no gap");
}

/// The database takes the entry without saying so, then refuses it: only an entry of somebody else
/// in that slot, an empty one, can decide.
#[tokio::test(start_paused = true)]
async fn an_undecided_entry_that_is_refused_later_is_decided_by_competing() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    let gate = Gate::new();
    one.journal
        .stage(Call::Append, Act::HoldThenFail(gate.clone()));
    let replica = one.replica.clone();
    let second =
        tokio::spawn(async move { replica.propose(put("large", &"x".repeat(4096))).await });
    gate.reached().await;
    one.journal.refuse_payloads_above(2048);
    gate.open();
    let answer = second.await.expect("no panic");
    assert!(matches!(answer, Err(Error::Determinate(_))), "{answer:?}");
    assert_eq!(one.memory("large"), None);
    assert_eq!(one.put("after", "").await, Revision(2));
    let entries = world.entries(helium_journal::Slot::ZERO).await;
    assert_eq!(entries.len(), 2, "the empty entry and the last one");
}

#[tokio::test(start_paused = true)]
async fn callers_time_out_while_the_slot_is_still_decided() {
    let world = World::default();
    let one = world
        .start_with(Options {
            request_timeout: Duration::from_secs(2),
            ..quiet("one")
        })
        .await;
    let gate = Gate::new();
    one.journal
        .stage(Call::Append, Act::HoldBefore(gate.clone()));
    let replica = one.replica.clone();
    let held = tokio::spawn(async move { replica.propose(put("held", "1")).await });
    gate.reached().await;
    let queued = one.propose(put("queued", "1")).await;
    assert!(matches!(queued, Err(Error::TimedOut)), "{queued:?}");
    assert!(matches!(
        held.await.expect("no panic"),
        Err(Error::TimedOut)
    ));
    gate.open();
    wait_for("the held write to land", BOUND, || {
        std::future::ready(one.memory("held").is_some())
    })
    .await;
    one.put("after", "1").await;
    assert_eq!(
        one.memory("queued"),
        None,
        "it was dropped from the queue, not written"
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses() {
    let world = World::default();
    let one = world
        .start_with(Options {
            queue_requests: 4,
            ..quiet("one")
        })
        .await;
    let gate = Gate::new();
    one.journal
        .stage(Call::Append, Act::HoldBefore(gate.clone()));
    let spawn = |n: usize| {
        let replica = one.replica.clone();
        tokio::spawn(async move { replica.propose(put(&format!("{n}"), "")).await })
    };
    let first = spawn(100);
    gate.reached().await;
    let tasks: Vec<_> = (0..8).map(spawn).collect();
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    gate.open();
    first.await.expect("no panic").expect("answered");
    let mut refused = 0;
    for task in tasks {
        match task.await.expect("no panic") {
            Ok(_) => {}
            Err(Error::TooManyRequests) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(refused, 4);
}

/// Three instances increment one counter by compare and swap, none going through another.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_racing_appenders_lose_no_increment() {
    const EACH: usize = 20;
    let world = World::default();
    let instances = [
        Arc::new(world.start("one").await),
        Arc::new(world.start("two").await),
        Arc::new(world.start("three").await),
    ];
    let mut tasks = Vec::new();
    for instance in &instances {
        for _ in 0..4 {
            let instance = Arc::clone(instance);
            tasks.push(tokio::spawn(async move {
                for _ in 0..EACH {
                    increment(&instance).await;
                }
            }));
        }
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    let expected = (3 * 4 * EACH).to_string();
    for instance in &instances {
        let (value, version) = instance.get("counter").await.expect("written");
        assert_eq!(value, expected);
        assert_eq!(version, i64::try_from(3 * 4 * EACH).expect("small"));
    }
    for instance in &instances {
        instance.replica.stop().await;
    }
}

async fn increment(instance: &Instance) {
    loop {
        let (value, revision) = instance
            .replica
            .read(|state| match state.get(b"counter") {
                Some(kv) => (
                    String::from_utf8_lossy(&kv.value).into_owned(),
                    kv.mod_revision,
                ),
                None => ("0".to_owned(), Revision::UNSET),
            })
            .expect("served");
        let next = value.parse::<u64>().expect("a number") + 1;
        let answer = instance
            .propose(swap("counter", revision, &next.to_string()))
            .await;
        match answer.expect("answered") {
            Response::Txn(txn) if txn.succeeded => return,
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_replica_answers_everybody() {
    let world = World::default();
    let one = world.start_with(options("one")).await;
    let gate = Gate::new();
    one.journal
        .stage(Call::Append, Act::HoldBefore(gate.clone()));
    let replica = one.replica.clone();
    let held = tokio::spawn(async move { replica.propose(put("held", "1")).await });
    gate.reached().await;
    one.replica.stop().await;
    assert!(matches!(held.await.expect("no panic"), Err(Error::Stopped)));
    assert!(matches!(
        one.propose(put("late", "")).await,
        Err(Error::Stopped)
    ));
    assert!(matches!(
        one.replica.read_barrier().await,
        Err(Error::Stopped)
    ));
}
