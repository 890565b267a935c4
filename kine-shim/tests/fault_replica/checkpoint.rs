//! Checkpoints: starting from one, falling behind one, and writing one while asleep.

use helium_journal::Slot;
use helium_mvcc::{KeyRange, WatchBody, WatchId, WatchRequest};
use helium_testkit::wait_for;

use super::harness::{BOUND, Instance, World, compact, grant, options, quiet};
use super::staged::{Act, Call, Gate};

async fn fill(instance: &Instance, round: usize) {
    for n in 0..30 {
        instance
            .put(&format!("key-{:02}", n * 7 % 20), &format!("{round}-{n}"))
            .await;
    }
    instance
        .propose(helium_mvcc::Request::DeleteRange(
            helium_mvcc::DeleteRangeRequest::new(KeyRange::single(format!(
                "key-{:02}",
                round % 20
            ))),
        ))
        .await
        .expect("answered");
}

async fn checkpointed(world: &World, beyond: Slot) -> Slot {
    let journal = world.journal();
    wait_for(
        "the checkpoint to move and the journal to be trimmed",
        BOUND,
        || async {
            let floor = journal.head_read(Slot::ZERO).await.expect("memory").floor;
            let below = Slot(floor.0 - 1);
            floor > beyond && journal.entry_read(below).await.expect("memory").is_none()
        },
    )
    .await;
    journal.head_read(Slot::ZERO).await.expect("memory").floor
}

#[tokio::test(start_paused = true)]
async fn a_start_from_a_checkpoint_equals_a_replay() {
    let world = World::default();
    let one = world.start("one").await;
    one.wait_owner(&one).await;
    one.propose(grant(5, 1000)).await.expect("granted");
    let mut floor = Slot::ZERO;
    for round in 0..3 {
        fill(&one, round).await;
        one.propose(compact(one.revision()))
            .await
            .expect("compacted");
        one.replica.compaction_finished().await.expect("finished");
        fill(&one, round + 10).await;
        floor = checkpointed(&world, floor).await;
        let two = world.start_with(quiet("two")).await;
        assert_eq!(two.digest(), one.digest(), "round {round}");
        assert_eq!(
            two.replica.status().compact_revision,
            one.replica.status().compact_revision,
            "round {round}"
        );
    }
    assert!(world.journal().entry_count().await.expect("memory") < 100);
}

/// Watches may start at the compact revision itself, also on an instance that has just loaded.
#[tokio::test(start_paused = true)]
async fn a_watch_from_the_compact_revision_works_after_a_start_from_a_checkpoint() {
    let world = World::default();
    let one = world.start("one").await;
    one.wait_owner(&one).await;
    fill(&one, 0).await;
    let floor = one.put("seen", "1").await;
    one.put("seen", "2").await;
    one.propose(compact(floor)).await.expect("compacted");
    checkpointed(&world, Slot::ZERO).await;
    let two = world.start_with(quiet("two")).await;
    let stream = two.replica.watch_stream().expect("served");
    stream.create(WatchRequest {
        start_revision: floor,
        ..WatchRequest::new(KeyRange::single("seen"))
    });
    let mut seen = Vec::new();
    while seen.len() < 2 {
        for message in stream.next().await.expect("open").messages {
            assert_eq!(message.id, WatchId(0));
            match message.body {
                WatchBody::Events(events) => seen.extend(events),
                WatchBody::Created => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(seen[0].revision(), floor);
}

#[tokio::test(start_paused = true)]
async fn an_instance_below_the_floor_reloads_and_goes_on() {
    let world = World::default();
    let one = world.start("one").await;
    one.wait_owner(&one).await;
    let asleep = world.start_with(quiet("asleep")).await;
    let slept_at = asleep.applied();
    fill(&one, 0).await;
    one.propose(compact(one.revision()))
        .await
        .expect("compacted");
    fill(&one, 1).await;
    checkpointed(&world, slept_at).await;
    assert_eq!(
        asleep.get("key-01").await,
        None,
        "deleted in the second round"
    );
    assert_eq!(asleep.digest(), one.digest());
    assert_eq!(asleep.replica.status().incarnation.0, 0, "nothing was lost");
    asleep.put("awake", "1").await;
    assert!(one.get("awake").await.is_some());
}

/// A checkpointer sleeps in the middle of its chunks; another finishes the work; then it wakes, and
/// must not bring a deleted key back.
#[tokio::test(start_paused = true)]
async fn a_paused_checkpointer_brings_no_deleted_key_back() {
    let world = World::default();
    let one = world.start("one").await;
    one.wait_owner(&one).await;
    let gate = Gate::new();
    one.journal
        .stage(Call::Chunk, Act::HoldBefore(gate.clone()));
    one.put("doomed", "1").await;
    let floor = one.put("filler", "1").await;
    one.propose(compact(floor)).await.expect("compacted");
    gate.reached().await;

    let two = world
        .start_with(kine_shim::replica::Options {
            checkpoint_claim_timeout: std::time::Duration::ZERO,
            ..options("two")
        })
        .await;
    let delete = helium_mvcc::DeleteRangeRequest::new(KeyRange::single("doomed"));
    two.propose(helium_mvcc::Request::DeleteRange(delete))
        .await
        .expect("deleted");
    let last = two.put("filler", "2").await;
    let slot = two.applied();
    two.propose(compact(two.put("filler", "3").await))
        .await
        .expect("compacted");
    checkpointed(&world, Slot(slot.0 - 1)).await;
    gate.open();
    for n in 0..20 {
        two.put("later", &n.to_string()).await;
    }
    one.replica.read_barrier().await.expect("served");
    let fresh = world.start_with(quiet("fresh")).await;
    assert_eq!(fresh.memory("doomed"), None);
    assert!(fresh.revision() > last);
    assert_eq!(fresh.digest(), one.digest());
}
