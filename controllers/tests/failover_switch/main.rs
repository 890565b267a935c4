//! The dead-man's switch against a real kube-apiserver: what is injected is taken by it, and a watchdog as it is injected says no when it must.
//! (W1 to W3 of `failover::switch`.)

#[path = "../fleet_registrar/cluster.rs"]
#[allow(dead_code, reason = "the registrar's stories ask for more")]
mod cluster;
mod pods;
mod watchdog;
mod world;

use world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_switch_is_taken_by_a_real_cluster_and_ends_a_term_that_nobody_renews() {
    let world = World::start().await;
    pods::injected_workloads_are_accepted_as_they_are(&world).await;
    watchdog::it_says_no_until_it_has_seen_the_term_being_renewed(&world).await;
    watchdog::it_says_no_in_time_when_the_agent_falls_silent(&world).await;
    watchdog::a_late_write_of_the_agent_revives_nothing(&world).await;
    watchdog::another_term_or_the_end_of_this_one_is_a_no_at_once(&world).await;
    watchdog::one_that_starts_beside_a_dead_agent_never_says_yes(&world).await;
    watchdog::a_paused_or_powerless_one_is_a_failed_probe(&world).await;
    watchdog::a_lost_term_is_not_written_over(&world).await;
}
