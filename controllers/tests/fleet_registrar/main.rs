//! The agent against real API servers: three clusters (kube-apiserver each), a helium-apiserver for each, one store.
//!
//! Starting the clusters takes longer than all that is shown with them, so the stories share them, one after the
//! other; each has a group of its own. The binaries are those of `tests/build.sh etcd kubernetes`, in `$HELIUM_BIN`
//! (default `.cache/bin`).

mod agent;
mod cluster;
mod stories;
mod world;

use stories::{failure, membership, ownership, serving};
use world::World;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_fleet_shares_is_registered_in_every_cluster() {
    let mut world = World::start().await;
    serving::a_service_that_is_not_there_is_found_out_by_one_registration(&mut world).await;
    serving::built_in_groups_are_registered(&world).await;
    serving::a_definition_is_served_everywhere_and_leaves_nothing_behind(&world).await;
    membership::every_cluster_is_seen_from_every_cluster(&world).await;
    ownership::drift_is_repaired(&world).await;
    ownership::the_service_of_an_agent_is_repaired(&world).await;
    serving::a_changed_kind_is_told_and_versions_come_and_go(&world).await;
    ownership::a_group_that_a_cluster_serves_itself_is_refused_there(&world).await;
    ownership::a_foreign_registration_is_left_alone(&world).await;
    ownership::a_changed_authority_is_handed_on(&world).await;
    ownership::the_agents_rights_end_at_what_is_ours(&world).await;
    failure::renewed_credentials_are_used(&world).await;
    failure::an_agent_that_loses_its_lease_stands_for_it_again(&world).await;
    failure::a_stopped_agent_hands_over_to_its_standby(&mut world).await;
    failure::a_killed_agent_catches_up(&mut world).await;
    failure::without_the_store_everything_stays(&mut world).await;
    membership::a_silent_cluster_is_not_known_to_be_ready(&mut world).await;
    membership::an_outage_of_the_store_is_recorded_with_its_time(&mut world).await;
    membership::a_revoked_cluster_is_silent_until_it_is_let_in_again(&world).await;
    membership::published_authorities_follow_their_file(&mut world).await;
    membership::a_cluster_that_has_left_stays_out(&mut world).await;
    serving::uninstalling_leaves_nothing_and_blocks_nothing(&mut world).await;
    world.stop().await;
}
