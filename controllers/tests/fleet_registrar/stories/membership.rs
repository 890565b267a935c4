//! Who is in the fleet, as everybody in it sees it.

use std::time::Instant;

use jiff::Timestamp;
use kube::Api;

use super::*;
use crate::agent::Credential;

/// A silent cluster is noticed by the others within that time.
const NOTICED: Duration = Duration::from_secs(20);

/// Whether a member has all its conditions.
fn is_well(member: &Value) -> bool {
    ["Ready", "StoreReachable", "Registered"]
        .iter()
        .all(|type_| condition(member, type_)["status"] == "True")
}

fn heartbeats(cluster: &Cluster) -> Api<DynamicObject> {
    cluster.system("coordination.helium.dev/v1", "Lease", "leases")
}

pub(crate) async fn every_cluster_is_seen_from_every_cluster(world: &World) {
    for from in world.clusters() {
        for cluster in world.clusters() {
            let member = from
                .sees("is well", AVAILABLE, &from.members(), cluster.name, is_well)
                .await;
            let status = &member["status"];
            let version = status["versions"]["kubernetes"].as_str();
            assert!(
                version.is_some_and(|version| version.starts_with("v1.")),
                "{member}"
            );
            assert_eq!(status["versions"]["helium"], env!("CARGO_PKG_VERSION"));
            let direct = format!("https://localhost:{}", cluster.helium_port);
            assert_eq!(
                status["endpoints"],
                json!([{"name": "direct", "url": direct}])
            );
            assert_eq!(member["metadata"]["labels"]["region"], cluster.name);
            let heartbeat = format!("member-{}", cluster.name);
            assert_eq!(status["heartbeat"], format!("helium-system/{heartbeat}"));
            let lease = heartbeats(from).get(&heartbeat).await.expect("a heartbeat");
            assert_eq!(lease.data["spec"]["holderIdentity"], cluster.name);
            assert_eq!(lease.data["spec"]["leaseDurationSeconds"], 15);
        }
        let table = from.kubectl(&["get", "members"]);
        for cluster in world.clusters() {
            let row = table.lines().find(|line| line.starts_with(cluster.name));
            let columns: Vec<_> = row.unwrap_or_default().split_whitespace().collect();
            assert_eq!(
                columns.get(1..4),
                Some(&["True", "True", "True"][..]),
                "{table}"
            );
        }
    }
    // Nothing new, nothing written: the status stands still while the heartbeat is renewed.
    let east = &world.east;
    let before = east.members().get("west").await.expect("a member");
    let lease = heartbeats(east)
        .get("member-west")
        .await
        .expect("a heartbeat");
    let beat = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
    let first = beat(&serde_json::to_value(&lease).expect("JSON"));
    let leases = heartbeats(east);
    east.sees("is renewed", NOTICED, &leases, "member-west", |lease| {
        beat(lease) != first
    })
    .await;
    let after = east.members().get("west").await.expect("a member");
    assert_eq!(
        before.metadata.resource_version,
        after.metadata.resource_version
    );
}

pub(crate) async fn a_silent_cluster_is_not_known_to_be_ready(world: &mut World) {
    let east = &world.east;
    east.sees("is well", AVAILABLE, &east.members(), "west", is_well)
        .await;
    let said = |world: &World| -> usize {
        let logs = [&world.east_agent, &world.north_agent].map(|agent| agent.process.log());
        let lines = logs.iter().flat_map(|log| log.lines());
        lines
            .filter(|line| line.contains("its heartbeat is missed"))
            .count()
    };
    let before = said(world);
    world.west_agent.process.kill();
    let killed = Instant::now();
    for from in [&world.east, &world.north] {
        let left = NOTICED.saturating_sub(killed.elapsed());
        let member = from
            .sees(
                "is not known to be ready",
                left,
                &from.members(),
                "west",
                |member| condition(member, "Ready")["status"] == "Unknown",
            )
            .await;
        assert_eq!(condition(&member, "Ready")["reason"], "HeartbeatMissed");
        assert_eq!(condition(&member, "StoreReachable")["status"], "True");
        let other = from.members().get("east").await.expect("a member");
        assert!(is_well(&serde_json::to_value(other).expect("JSON")));
    }
    // It was said once.
    assert_eq!(said(world), before + 1);

    world.west_agent = agent::start(&world.west, Credential::Token, "3").await;
    let east = &world.east;
    east.sees("is back", TAKEOVER, &east.members(), "west", is_well)
        .await;
}

/// A time, in seconds.
fn second(time: &Value) -> Option<i64> {
    let time: Timestamp = time.as_str()?.parse().ok()?;
    Some(time.as_second())
}

/// The beginning and the end of the outage that a condition tells, in seconds.
fn outage(store: &Value) -> Option<(i64, i64)> {
    let text = store["message"].as_str()?;
    let rest = text.strip_prefix("out of reach last from ")?;
    let mut words = rest.split(' ').step_by(2);
    let mut next = || second(&words.next()?.into());
    Some((next()?, next()?))
}

/// West's agent, which has seen an outage from its beginning, records it when it is over.
pub(crate) async fn an_outage_of_the_store_is_recorded_with_its_time(world: &mut World) {
    let before = Timestamp::now();
    world.store.kill();
    let agent = &world.west_agent;
    wait_for("the outage is noticed", AVAILABLE, || async {
        agent.process.log().contains("the store is out of reach")
    })
    .await;
    let down = Timestamp::now();
    world.store.resume();
    let west = &world.west;
    let member = west
        .sees(
            "tells the outage",
            AVAILABLE,
            &west.members(),
            "west",
            |member| {
                // Not the one of a story before.
                let told = outage(condition(member, "StoreReachable"));
                told.is_some_and(|(from, _)| from >= before.as_second() - 1)
            },
        )
        .await;
    let store = condition(&member, "StoreReachable");
    assert_eq!(store["status"], "True");
    let (from, to) = outage(store).expect("an outage");
    // It began with the first renewal that failed, at most one interval after the store went.
    assert!(from <= before.as_second() + 12, "{store}");
    assert!(to >= down.as_second() - 1, "{store}");
    let turned = second(&store["lastTransitionTime"]).expect("a time");
    assert!((to - 1..=to + 1).contains(&turned), "{store}");
    for cluster in world.clusters() {
        let members = west.members();
        west.sees("is well", TAKEOVER, &members, cluster.name, is_well)
            .await;
    }
}

pub(crate) async fn a_revoked_cluster_is_silent_until_it_is_let_in_again(world: &World) {
    let east = &world.east;
    let lease = heartbeats(east);
    let revoke = json!({"spec": {"revoked": true, "revokedReason": "a drill"}});
    merge(&east.members(), "north", revoke).await;
    let agent = &world.north_agent;
    wait_for("the agent is refused", AVAILABLE, || async {
        let told = agent.process.log().contains("was revoked: a drill");
        told || agent.stands("revoked").await
    })
    .await;
    let version = |lease: DynamicObject| lease.metadata.resource_version;
    let before = lease
        .get("member-north")
        .await
        .map(version)
        .expect("a heartbeat");
    // Its heartbeat would come every five seconds; others renew theirs meanwhile.
    let east_before = lease
        .get("member-east")
        .await
        .map(version)
        .expect("a heartbeat");
    for _ in 0..2 {
        east.sees("is renewed", NOTICED, &lease, "member-east", |lease| {
            lease["metadata"]["resourceVersion"].as_str() != east_before.as_deref()
        })
        .await;
    }
    let after = lease
        .get("member-north")
        .await
        .map(version)
        .expect("a heartbeat");
    assert_eq!(before, after);

    merge(
        &east.members(),
        "north",
        json!({"spec": {"revoked": false, "revokedReason": null}}),
    )
    .await;
    east.sees(
        "is renewed again",
        AVAILABLE,
        &lease,
        "member-north",
        |lease| lease["metadata"]["resourceVersion"].as_str() != before.as_deref(),
    )
    .await;
    east.sees(
        "is well again",
        AVAILABLE,
        &east.members(),
        "north",
        is_well,
    )
    .await;
}

/// The first member that lists authorities closes the fleet; the file's content is what is published.
pub(crate) async fn published_authorities_follow_their_file(world: &mut World) {
    let first = Authority::new("east's own").expect("an authority");
    let file = world.east.dir.join("identity-ca.crt");
    std::fs::write(&file, first.certificate_pem()).expect("written");
    world.east_agent.terminate();
    let flag = [format!("--certificate-authority-file={}", file.display())];
    let east = &world.east;
    let (credential, service) = (Credential::Certificate, "helium-apiserver");
    world.east_agent = agent::start_for(east, credential, "9", service, &flag).await;
    let lists = |pem: &str| {
        let pem = pem.to_owned();
        move |member: &Value| member["spec"]["certificateAuthorities"] == pem.as_str()
    };
    let members = world.west.members();
    let seen = lists(first.certificate_pem());
    world
        .west
        .sees("is published", TAKEOVER, &members, "east", seen)
        .await;
    let next = Authority::new("east's next").expect("an authority");
    let both = format!("{}{}", first.certificate_pem(), next.certificate_pem());
    std::fs::write(&file, &both).expect("written");
    world
        .west
        .sees("is rotated", PROMPT, &members, "east", lists(&both))
        .await;
}

/// The fleet is closed by now. A cluster whose Member was removed doesn't come back by itself, nor by a restart.
pub(crate) async fn a_cluster_that_has_left_stays_out(world: &mut World) {
    let (east, north) = (&world.east, &world.north);
    east.delete(&east.members(), "north").await;
    wait_for("the agent knows", AVAILABLE, || {
        world.north_agent.stands("left")
    })
    .await;
    east.misses(PROMPT, &east.members(), "north").await;
    let lease = heartbeats(east);
    east.misses(PROMPT, &lease, "member-north").await;
    // Its reports are removed by the servers, and it reports nothing any more.
    let definitions = east.definitions();
    east.sees(
        "is told without north",
        AVAILABLE,
        &definitions,
        "widgets.after.example.com",
        |told| entry(told, "north").is_null() && entry(told, "east")["available"] == true,
    )
    .await;
    define(east, "later.example.com", &["v1"]).await;
    let later = "v1.later.example.com";
    north
        .sees(
            "is registered all the same",
            AVAILABLE,
            &north.api_services(),
            later,
            is_available,
        )
        .await;
    let told = east
        .sees(
            "is told",
            AVAILABLE,
            &definitions,
            "widgets.later.example.com",
            |told| entry(told, "west")["available"] == true,
        )
        .await;
    assert!(entry(&told, "north").is_null(), "{told}");

    world.north_agent.terminate();
    world.north_agent = agent::start_managing(north, "2").await;
    wait_for("the new agent knows", TAKEOVER, || {
        world.north_agent.stands("not_joined")
    })
    .await;
    // What is registered stays: the cluster is no worse off.
    let services = north.api_services();
    north
        .sees("is there", PROMPT, &services, "v1.helium.dev", |_| true)
        .await;
    for gone in [
        east.members().get_opt("north").await,
        lease.get_opt("member-north").await,
    ] {
        assert!(gone.expect("an answer").is_none());
    }
}
