//! Payloads in a real cluster (P1 to P5 of `failover::payload`): a kube-apiserver with the controllers that make pods of Deployments and
//! collect what is left over. There is no kubelet: pods are bound to a node by the stories, which also end them.
//!
//! The stories share the cluster; each has a namespace of its own.

#[path = "../fleet_registrar/cluster.rs"]
#[allow(dead_code, reason = "the registrar's stories ask for more")]
mod cluster;
mod relay;
mod stories;
mod world;

use stories::{applying, exclusion, outage, refusal, stopping};
use world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_is_there_as_it_is_written_and_gone_when_it_is_said_to_be() {
    let mut world = World::start().await;
    applying::a_payload_is_applied_edited_and_pruned(&world).await;
    applying::pods_are_handed_the_token(&world).await;
    applying::a_kind_and_an_object_of_it_come_together(&world).await;
    applying::nothing_is_sent_after_the_end(&world).await;
    applying::a_payload_says_how_far_it_is(&world).await;
    refusal::somebody_elses_object_is_left_alone(&world).await;
    refusal::an_object_that_appears_in_between_is_left_alone(&world).await;
    refusal::two_groups_cannot_have_the_same_object(&world).await;
    refusal::what_the_cluster_does_not_know_is_named(&world).await;
    refusal::what_the_server_refuses_is_told_and_goes_with_the_stop(&world).await;
    refusal::rights_that_are_missing_are_named(&world).await;
    stopping::strict_waits_for_pods_and_fast_does_not(&world).await;
    stopping::pods_of_what_was_dropped_are_waited_for(&world).await;
    stopping::a_pod_without_controller_ends_in_its_own_time_in_fast_mode(&world).await;
    stopping::a_write_in_flight_is_waited_for(&world).await;
    stopping::a_write_that_lands_late_is_swept(&world).await;
    stopping::what_lost_its_marks_is_stopped_all_the_same(&world).await;
    stopping::others_keep_what_holds_their_objects(&world).await;
    exclusion::a_replaced_agent_touches_nothing(&world).await;
    exclusion::a_restarted_agent_knows_what_to_stop(&world).await;
    outage::a_stop_goes_on_after_the_api_server_died(&mut world).await;
}
