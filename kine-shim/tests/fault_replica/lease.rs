//! Epochs and leases: never early, whoever was paused (I7).

use std::time::Duration;

use helium_mvcc::{LeaseId, PutRequest, Request};
use helium_testkit::wait_for;
use kine_shim::replica::Options;

use super::harness::{BOUND, Instance, NEVER, World, grant, options, quiet};
use super::staged::{Act, Call, Gate};

const LEASE: LeaseId = LeaseId(7);

/// An instance that beats and may own the epoch, but expires nothing by itself.
fn patient(name: &str) -> Options {
    Options {
        expiry_interval: NEVER,
        checkpoint_interval: NEVER,
        ..options(name)
    }
}

async fn leased_key(instance: &Instance, ttl: i64) {
    instance
        .propose(grant(LEASE.0, ttl))
        .await
        .expect("granted");
    let put = PutRequest {
        lease: LEASE,
        ..PutRequest::new("leased", "1")
    };
    instance.propose(Request::Put(put)).await.expect("put");
}

#[tokio::test(start_paused = true)]
async fn a_lease_expires_at_its_owner_after_its_ttl_and_not_before() {
    let world = World::default();
    let one = world.start("one").await;
    one.wait_owner(&one).await;
    let begun = tokio::time::Instant::now();
    leased_key(&one, 5).await;
    wait_for("the lease to expire", BOUND, || {
        std::future::ready(one.memory("leased").is_none())
    })
    .await;
    let lived = begun.elapsed();
    assert!(lived >= Duration::from_secs(5), "{lived:?}");
    assert!(lived < Duration::from_secs(7), "{lived:?}");
    let answer = one.replica.lease_keep_alive(LEASE).await.expect("answered");
    assert_eq!(answer.ttl, 0);
}

#[tokio::test(start_paused = true)]
async fn keep_alives_keep_a_lease() {
    let world = World::default();
    let one = world.start("one").await;
    let two = world.start("two").await;
    one.wait_owner(&one).await;
    leased_key(&one, 5).await;
    two.replica.read_barrier().await.expect("caught up");
    for n in 0..10 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        // In turns at the owner, in memory, and elsewhere, through the journal.
        let at = if n % 2 == 0 { &one } else { &two };
        let answer = at.replica.lease_keep_alive(LEASE).await.expect("answered");
        assert_eq!(answer.ttl, 5);
    }
    assert!(one.get("leased").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_past_the_deadline_waits_for_the_revocation() {
    let world = World::default();
    let one = world.start_with(patient("one")).await;
    one.wait_owner(&one).await;
    leased_key(&one, 5).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(one.memory("leased").is_some(), "nobody has looked yet");
    let answer = one.replica.lease_keep_alive(LEASE).await.expect("answered");
    assert_eq!(answer.ttl, 0);
    assert_eq!(one.memory("leased"), None, "revoked before the answer");
    assert!(answer.revision < one.revision());
}

/// The owner finds a lease due and sleeps before its insert. Another instance takes the epoch and
/// a client renews there. When the sleeper's insert goes out, the lease is somebody else's.
#[tokio::test(start_paused = true)]
async fn a_paused_expirer_does_not_revoke_what_was_renewed_elsewhere() {
    let world = World::default();
    let one = world.start("one").await;
    one.wait_owner(&one).await;
    leased_key(&one, 60).await;
    let insert = Gate::new();
    one.journal
        .stage(Call::Append, Act::HoldBefore(insert.clone()));
    // Its heart stops with it.
    let heart = Gate::new();
    tokio::time::sleep(Duration::from_secs(58)).await;
    one.journal
        .stage(Call::Member, Act::HoldBefore(heart.clone()));
    insert.reached().await;

    let two = world.start_with(patient("two")).await;
    two.wait_owner(&two).await;
    let answer = two.replica.lease_keep_alive(LEASE).await.expect("answered");
    assert_eq!(answer.ttl, 60);
    insert.open();
    heart.open();
    one.put("after", "1").await;
    assert!(two.get("leased").await.is_some());
    assert!(one.get("leased").await.is_some());
    assert_eq!(
        two.replica
            .lease_remaining(LEASE)
            .expect("served")
            .map(|left| left > 50),
        Some(true)
    );
}

/// A keep-alive arrives at the owner, whose head query is slow; meanwhile the epoch moves on. It
/// must count at the new owner, or not be acknowledged.
#[tokio::test(start_paused = true)]
async fn a_keep_alive_racing_an_epoch_change_counts_at_the_new_owner() {
    let world = World::default();
    let silent = Options {
        poll_min: NEVER,
        poll_max: NEVER,
        ..patient("one")
    };
    let one = world.start_with(silent).await;
    one.wait_owner(&one).await;
    leased_key(&one, 60).await;
    let heart = Gate::new();
    one.journal
        .stage(Call::Member, Act::HoldBefore(heart.clone()));
    heart.reached().await;
    let query = Gate::new();
    one.journal
        .stage(Call::Head, Act::HoldBefore(query.clone()));
    let replica = one.replica.clone();
    let renewal = tokio::spawn(async move { replica.lease_keep_alive(LEASE).await });
    query.reached().await;

    let two = world.start_with(patient("two")).await;
    two.wait_owner(&two).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let left = |instance: &Instance| {
        instance
            .replica
            .lease_remaining(LEASE)
            .expect("served")
            .expect("a lease")
    };
    assert!(left(&two) <= 31);
    query.open();
    let answer = renewal.await.expect("no panic").expect("answered");
    assert_eq!(answer.ttl, 60);
    two.replica.read_barrier().await.expect("served");
    assert!(
        left(&two) >= 59,
        "renewed where it is judged, {} s are left",
        left(&two)
    );
    heart.open();
}

#[tokio::test(start_paused = true)]
async fn a_new_epoch_restarts_leases_at_their_full_ttl() {
    let world = World::default();
    let one = world.start_with(patient("one")).await;
    one.wait_owner(&one).await;
    leased_key(&one, 60).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    one.replica.stop().await;
    let two = world.start("two").await;
    two.wait_owner(&two).await;
    assert!(
        two.replica
            .lease_remaining(LEASE)
            .expect("served")
            .expect("a lease")
            >= 58
    );
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert!(two.memory("leased").is_some());
    wait_for("the lease to expire", BOUND, || {
        std::future::ready(two.memory("leased").is_none())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_beats_is_not_replaced_and_a_silent_one_is() {
    let world = World::default();
    let one = world.start_with(patient("one")).await;
    one.wait_owner(&one).await;
    let two = world.start_with(patient("two")).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(two.replica.status().epoch.0, 1, "the owner beats");
    let heart = Gate::new();
    one.journal
        .stage(Call::Member, Act::HoldBefore(heart.clone()));
    heart.reached().await;
    let begun = tokio::time::Instant::now();
    two.wait_owner(&two).await;
    let elapsed = begun.elapsed();
    assert!(elapsed >= Duration::from_secs(1), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
    heart.open();
    one.put("a", "1").await;
    assert_eq!(one.replica.status().epoch.0, 2);
}

#[tokio::test(start_paused = true)]
async fn writes_need_no_owner() {
    let world = World::default();
    let one = world.start_with(quiet("one")).await;
    one.put("a", "1").await;
    assert_eq!(one.get("a").await, Some(("1".into(), 1)));
    assert_eq!(one.replica.status().epoch.0, 0);
}
