//! Failover between two real clusters: a kube-apiserver and a helium-apiserver each, one store, and an agent each as a process that
//! is killed, paused and cut off. What the payload's objects are doing is read from the clusters themselves.
//!
//! Starting the clusters takes longer than all that is shown with them, so the stories share them, one after the other; each has a
//! group of its own.

#[path = "../fleet_registrar/agent.rs"]
#[allow(dead_code, reason = "the registrar's stories ask for more")]
mod agent;
#[path = "../fleet_registrar/cluster.rs"]
#[allow(dead_code, reason = "the registrar's stories ask for more")]
mod cluster;
mod stories;
mod world;

use world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_runs_in_the_cluster_that_leads_and_in_no_other() {
    let mut world = World::start().await;
    stories::the_highest_rank_leads_until_it_is_not_ready_or_gone(&world).await;
    stories::what_can_not_be_followed_is_told(&world).await;
    stories::an_edited_payload_and_another_callsign_are_followed(&world).await;
    stories::an_agent_that_is_killed_and_back_in_time_leads_on(&mut world).await;
    stories::an_agent_without_its_memory_stops_before_it_leads_again(&mut world).await;
    stories::an_agent_that_is_asked_to_end_may_give_its_lease_up(&mut world).await;
    stories::a_paused_agent_is_succeeded_and_stops_when_it_wakes_up(&world).await;
    stories::without_the_store_nobody_leads_and_one_does_when_it_is_back(&mut world).await;
    world.stop().await;
}
