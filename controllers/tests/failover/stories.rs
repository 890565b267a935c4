//! What is shown with the two clusters.

use std::time::Duration;

use helium_testkit::wait_for;
use serde_json::{Value, json};

use crate::cluster::{PROMPT, START};
use crate::world::{
    World, edit, found, groups, is_in, leads, member, members, payload, payloads, says, timed,
};

/// The bound of what must happen without a lease running out.
const HAND_OVER: Duration = START;

pub(crate) async fn the_highest_rank_leads_until_it_is_not_ready_or_gone(world: &World) {
    let (east, west, name) = (&world.east, &world.west, "ranks");
    member(west, name, name, 5, &payload(name, "1")).await;
    let first = leads(west, name).await;
    member(east, name, name, 10, &payload(name, "1")).await;
    let second = timed("a higher rank takes over", leads(east, name)).await;
    assert!(second > first, "tokens grow: {first}, {second}");
    west.misses(HAND_OVER, &payloads(west), name).await;
    let followed = is_in(west, name, "Candidate").await;
    assert_eq!(followed["status"]["leader"], "east");
    assert_eq!(followed["status"]["leaderAddress"], "east.example.com");

    edit(east, name, json!({"ready": false})).await;
    let third = timed("ready: false hands over", leads(west, name)).await;
    assert!(third > second);
    east.misses(HAND_OVER, &payloads(east), name).await;
    let resting = is_in(east, name, "Standby").await;
    assert_eq!(resting["status"]["lastTransition"]["to"], "Standby");

    edit(east, name, json!({"ready": true})).await;
    leads(east, name).await;
    // Of the group everybody sees the same.
    let told = |group: &Value| group["status"]["leader"] == "east";
    let here = east.sees("is led", PROMPT, &groups(east), name, told).await;
    let there = west.sees("is led", PROMPT, &groups(west), name, told).await;
    assert_eq!(here["status"]["token"], there["status"]["token"]);

    edit(west, name, json!({"rank": 20})).await;
    timed("a higher number takes over", leads(west, name)).await;
    west.delete(&members(west), name).await;
    timed("the other follows one that is deleted", leads(east, name)).await;
    west.misses(HAND_OVER, &members(west), name).await;
    west.misses(HAND_OVER, &payloads(west), name).await;
    let alone = |group: &Value| {
        group["status"]["members"]
            .as_array()
            .is_some_and(|members| members.len() == 1)
    };
    east.sees("has one member", PROMPT, &groups(east), name, alone)
        .await;
    east.delete(&members(east), name).await;
    east.misses(HAND_OVER, &members(east), name).await;
    east.misses(HAND_OVER, &payloads(east), name).await;
}

pub(crate) async fn what_can_not_be_followed_is_told(world: &World) {
    let (east, name) = (&world.east, "wrong");
    member(east, name, "Not a name!", 5, &payload(name, "1")).await;
    let text = says(east, name, "Accepted", "False", "InvalidCallsign").await;
    assert!(text.contains("\"Not a name!\""), "{text}");
    edit(east, name, json!({"callsign": name, "rank": -1})).await;
    let text = says(east, name, "Accepted", "False", "InvalidRank").await;
    assert!(text.contains("-1"), "{text}");
    edit(east, name, json!({"rank": 5, "payload": "kind: ["})).await;
    let text = says(east, name, "Accepted", "False", "InvalidPayload").await;
    assert!(text.contains("document 1"), "{text}");
    let unheard = "apiVersion: nowhere.example.com/v1\nkind: Unheard\nmetadata: {name: x}\n";
    edit(east, name, json!({"payload": unheard})).await;
    let text = says(east, name, "PayloadApplied", "False", "UnknownKind").await;
    assert!(text.contains("Unheard"), "{text}");
    let object = members(east).get(name).await.expect("the member");
    assert_eq!(object.data["status"]["leading"], false);

    // A second one of the group is told, and takes no part.
    member(east, "wrong-again", name, 5, &payload("again", "1")).await;
    let text = says(
        east,
        "wrong-again",
        "Accepted",
        "False",
        "DuplicateCallsign",
    )
    .await;
    assert!(text.contains("MultiCluster wrong "), "{text}");

    edit(east, name, json!({"payload": payload(name, "2")})).await;
    leads(east, name).await;
    says(east, name, "PayloadApplied", "True", "Applied").await;
    for name in ["wrong-again", name] {
        east.delete(&members(east), name).await;
        east.misses(HAND_OVER, &members(east), name).await;
    }
    assert!(
        payloads(east)
            .get_opt("again")
            .await
            .expect("an answer")
            .is_none()
    );
}

pub(crate) async fn an_edited_payload_and_another_callsign_are_followed(world: &World) {
    let (east, name) = (&world.east, "edited");
    member(east, name, name, 5, &payload(name, "1")).await;
    let token = leads(east, name).await;
    edit(east, name, json!({"payload": payload(name, "2")})).await;
    let edited = |object: &Value| object["data"]["content"] == "2";
    east.sees("is edited", HAND_OVER, &payloads(east), name, edited)
        .await;
    assert_eq!(leads(east, name).await, token, "the same term");

    edit(east, name, json!({"callsign": "renamed"})).await;
    let api = members(east);
    let renamed = |object: &Value| {
        object["status"]["group"] == "default/renamed" && object["status"]["leading"] == true
    };
    east.sees("leads elsewhere", HAND_OVER, &api, name, renamed)
        .await;
    let left = |group: &Value| {
        group["status"]["leader"].is_null()
            && group["status"]["members"]
                .as_array()
                .is_none_or(Vec::is_empty)
    };
    east.sees("is left", HAND_OVER, &groups(east), name, left)
        .await;
    east.delete(&api, name).await;
    east.misses(HAND_OVER, &api, name).await;
    east.misses(HAND_OVER, &payloads(east), name).await;
}

pub(crate) async fn an_agent_that_is_killed_and_back_in_time_leads_on(world: &mut World) {
    let name = "back";
    world.group(name, 60, 5).await;
    world.pair(name).await;
    let token = leads(&world.east, name).await;
    let before = found(&world.east, name).await;
    // It must have had the time to write down that it was renewed.
    wait_for("the memory is written", START, || async {
        let text = std::fs::read_to_string(world.east_memory()).unwrap_or_default();
        text.contains(&format!("\"token\":{token}"))
    })
    .await;
    world.kill_east_agent();
    world.start_east_agent(&[]).await;
    let resumed = |object: &Value| {
        let change = &object["status"]["lastTransition"];
        change["reason"] == "Resumed" && object["status"]["leading"] == true
    };
    let (east, api) = (&world.east, members(&world.east));
    let object = timed(
        "an agent is back",
        east.sees("leads on", START, &api, name, resumed),
    )
    .await;
    assert_eq!(object["status"]["token"], token, "the same term");
    assert_eq!(found(east, name).await, before, "the payload is untouched");
    world.dismiss(name).await;
}

pub(crate) async fn an_agent_without_its_memory_stops_before_it_leads_again(world: &mut World) {
    let name = "unsure";
    world.group(name, 30, 5).await;
    world.pair(name).await;
    let token = leads(&world.east, name).await;
    let (before, _) = found(&world.east, name).await;
    world.kill_east_agent();
    std::fs::remove_file(world.east_memory()).expect("a memory");
    world.start_east_agent(&[]).await;
    let (east, api) = (&world.east, members(&world.east));
    let again = |object: &Value| {
        let later = object["status"]["token"]
            .as_i64()
            .is_some_and(|now| now > token);
        object["status"]["leading"] == true && later
    };
    east.sees("leads again", START, &api, name, again).await;
    let (after, _) = found(east, name).await;
    assert_ne!(before, after, "the payload was stopped first");
    world.dismiss(name).await;
}

pub(crate) async fn an_agent_that_is_asked_to_end_may_give_its_lease_up(world: &mut World) {
    let name = "leaving";
    world.kill_east_agent();
    world
        .start_east_agent(&["--failover-on-shutdown=release"])
        .await;
    world.group(name, 60, 5).await;
    world.pair(name).await;
    world.east_agent.terminate();
    timed("a successor of one that ends", leads(&world.west, name)).await;
    let east = &world.east;
    east.misses(PROMPT, &payloads(east), name).await;
    world.start_east_agent(&[]).await;
    leads(&world.east, name).await;
    west_is_empty(world, name).await;
    world.dismiss(name).await;
}

async fn west_is_empty(world: &World, name: &str) {
    world
        .west
        .misses(HAND_OVER, &payloads(&world.west), name)
        .await;
}

pub(crate) async fn a_paused_agent_is_succeeded_and_stops_when_it_wakes_up(world: &World) {
    let name = "paused";
    world.group(name, 4, 1).await;
    world.pair(name).await;
    let token = leads(&world.east, name).await;
    world.signal_east_agent("-STOP");
    let next = timed("a successor of a paused agent", leads(&world.west, name)).await;
    assert!(next > token);
    says(
        &world.west,
        name,
        "PredecessorStopped",
        "False",
        "NotAcknowledged",
    )
    .await;
    // Nobody stops its payload while it sleeps; its writes with the old token are refused.
    assert!(!found(&world.east, name).await.0.is_empty());
    world.signal_east_agent("-CONT");
    let stopped = |group: &Value| {
        let members = group["status"]["members"].as_array();
        members.is_some_and(|members| {
            members.iter().any(|one| {
                one["cluster"] == "east" && one["stopped"].as_i64().is_some_and(|at| at >= token)
            })
        })
    };
    let east = &world.east;
    east.sees(
        "knows that it stopped",
        HAND_OVER,
        &groups(east),
        name,
        stopped,
    )
    .await;
    // And then the higher rank leads again.
    assert!(leads(east, name).await > next);
    west_is_empty(world, name).await;
    world.dismiss(name).await;
}

pub(crate) async fn without_the_store_nobody_leads_and_one_does_when_it_is_back(world: &mut World) {
    let name = "cut";
    world.group(name, 4, 1).await;
    world.pair(name).await;
    let token = leads(&world.east, name).await;
    world.store.kill();
    let east = &world.east;
    timed(
        "the payload stops without the store",
        east.misses(START, &payloads(east), name),
    )
    .await;
    west_is_empty(world, name).await;
    // An agent that starts now has nobody to ask, and begins nothing.
    world.kill_east_agent();
    world.start_east_agent(&[]).await;
    world.store.resume();
    // What its object says is of before, until its agent can write again.
    let (east, api) = (&world.east, members(&world.east));
    let again = |object: &Value| {
        let later = object["status"]["token"]
            .as_i64()
            .is_some_and(|now| now > token);
        object["status"]["leading"] == true && later
    };
    let led = east.sees("leads again", START, &api, name, again);
    timed("somebody leads when it is back", led).await;
    west_is_empty(world, name).await;
    world.dismiss(name).await;
}
