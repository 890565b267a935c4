//! What is moved: `handover`, `take`, `pause` and `resume`.

use crate::stand_in::{GROUP, World};
use crate::support::has;

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_to_a_lower_rank_lasts_until_it_is_undone() {
    let world = World::start().await;
    let done = world
        .failover("eu-3", &["handover", GROUP, "--to", "eu-1"])
        .await;
    has(&done.stderr, "eu-2 hands over to eu-1");
    has(
        &done.stderr,
        "eu-2 has a prior claim (rank 2), so this wish stays until you undo it",
    );
    let text = done.good();
    has(&text, "✓ eu-1 leads default/webfront with token");
    has(&text, "helium failover handover default/webfront --undo");
    let status = world.status().await;
    assert_eq!(
        (&status["leader"], &status["preferredCluster"]),
        (&"eu-1".into(), &"eu-1".into())
    );
    // Said again, nothing changes.
    let again = world
        .failover("eu-3", &["handover", GROUP, "--to", "eu-1"])
        .await;
    has(&again.stderr, "eu-1 leads already");
    assert_eq!(world.status().await["token"], status["token"]);

    let undone = world
        .failover("eu-1", &["handover", GROUP, "--undo"])
        .await
        .good();
    has(&undone, "eu-1 isn't preferred in default/webfront any more");
    world.led_by("eu-2").await;
    assert!(world.status().await["preferredCluster"].is_null());
    let undone = world
        .failover("eu-1", &["handover", GROUP, "--undo"])
        .await
        .good();
    has(&undone, "nobody was preferred");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_there_and_back_leaves_nothing() {
    let world = World::start().await;
    let done = world
        .failover("eu-1", &["handover", GROUP, "--to", "eu-1", "--and-back"])
        .await;
    has(&done.stderr, "and takes it back afterwards");
    has(&done.good(), "! eu-2 has rank 2 and takes it back now");
    world.led_by("eu-2").await;
    assert!(world.status().await["preferredCluster"].is_null());
    // To the highest rank nothing needs to stay; --keep does it all the same.
    let text = world
        .failover("eu-1", &["handover", GROUP, "--to", "eu-2", "--keep"])
        .await
        .good();
    has(&text, "it is preferred from now on");
    assert_eq!(world.status().await["preferredCluster"], "eu-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_that_cannot_work_is_refused_and_one_that_does_not_is_called_off() {
    let world = World::start().await;
    let to = async |cluster: &str| {
        world
            .failover(
                "eu-1",
                &["handover", GROUP, "--to", cluster, "--wait", "1s"],
            )
            .await
    };
    has(&to("mars").await.refused("H042"), "eu-3");
    has(&to("eu-3").await.refused("H043"), "ready: true");
    world.kill(1);
    let text = to("eu-1").await.refused("H045");
    has(
        &text,
        "eu-1 doesn't lead failover group default/webfront after 1 s",
    );
    assert!(
        world.status().await["preferredCluster"].is_null(),
        "called off"
    );
    world.led_by("eu-2").await;

    let text = world.failover("eu-1", &["pause", GROUP]).await.good();
    has(&text, "✓ default/webfront is paused: eu-2 leads on");
    has(&text, "helium failover resume default/webfront");
    assert_eq!(world.status().await["paused"], true);
    has(
        &to("eu-2").await.refused("H044"),
        "First: helium failover resume",
    );
    let text = world.failover("eu-2", &["resume", GROUP]).await.good();
    has(&text, "✓ default/webfront isn't paused: eu-2 leads");
    has(
        &world.failover("eu-2", &["resume", GROUP]).await.good(),
        "isn't paused already",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_the_lead_needs_a_persons_word_and_says_what_it_declares() {
    let world = World::start().await;
    let before = world.status().await["token"].as_i64().expect("a token");
    world.kill(2);
    let take = ["take", GROUP, "--to", "eu-1"];
    let text = world.failover("eu-3", &take).await.refused("H046");
    has(
        &text,
        &format!("has stopped in eu-2 (term {before}; last heard of as Leading)"),
    );
    has(&text, "two clusters run the payload");
    assert_eq!(world.status().await["leader"], "eu-2", "nothing was done");

    let text = world
        .failover("eu-3", &[&take[..], &["--force"]].concat())
        .await
        .good();
    has(
        &text,
        &format!("declared to be over: term {before} of eu-2"),
    );
    has(&text, "✓ eu-1 leads default/webfront with token");
    let status = world.status().await;
    let token = status["token"].as_i64();
    assert!(token.is_some_and(|token| token > before), "{text}{status}");
    world
        .failover("eu-3", &["take", GROUP, "--to", "eu-3"])
        .await
        .refused("H043");
}
