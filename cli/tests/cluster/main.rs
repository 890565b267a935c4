//! `helium doctor` and `helium leave` on a real kube-apiserver: things are broken one by one, and exactly that is named; then
//! the cluster leaves, and takes nothing along that isn't Helium's.
//!
//! Starting a cluster takes longer than each story, so the stories share one; each repairs what it has broken. Needs
//! kube-apiserver from `tests/build.sh kubernetes`, in `$HELIUM_BIN` (default `.cache/bin`).

mod breaks;
mod departure;
mod world;

use world::World;

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_exactly_what_is_broken_and_leaving_removes_exactly_what_is_ours() {
    let mut world = World::start().await;
    breaks::a_cluster_that_is_well_has_no_complaints(&world).await;
    breaks::a_bundle_of_another_authority(&world).await;
    breaks::a_bundle_that_differs_in_one_registration(&world).await;
    breaks::rights_that_were_taken(&world).await;
    breaks::controllers_without_identities(&world).await;
    breaks::a_registration_that_is_missing(&world).await;
    breaks::a_group_that_the_cluster_serves_itself(&world).await;
    breaks::a_namespace_that_is_held(&world).await;
    breaks::a_heartbeat_that_is_late(&world).await;
    breaks::a_cluster_that_was_revoked(&world).await;
    breaks::a_service_that_is_gone(&world).await;
    breaks::a_certificate_that_has_expired(&world).await;
    breaks::a_store_that_is_down(&mut world).await;
    breaks::a_server_that_is_down(&mut world).await;
    departure::an_agent_that_runs_is_told(&world).await;
    departure::only_what_is_ours_is_removed(&world).await;
    departure::leaving_again_changes_nothing(&world).await;
    breaks::a_kube_apiserver_that_is_down(&mut world).await;
    world.stop().await;
}
