//! Kinds that are there without being declared, one file for each.

mod control_planes;
mod custom_resource_definitions;
mod definitions;
mod events;
mod failover_groups;
mod join_tokens;
mod lease_candidates;
mod members;
mod namespaces;

use std::sync::Arc;

use helium_apimachinery::crd::Definition;
use helium_apimachinery::field::ErrorList;
use helium_apimachinery::lease;
use helium_apimachinery::resource::ServedSubresource;

use super::catalog::{Exposure, Resource, Special};
use super::sharing::Sharing;
use super::writers::Writers;

pub(crate) use custom_resource_definitions::{hide, restore};

/// Group of the fleet's own kinds.
pub const HELIUM_GROUP: &str = "helium.dev";
/// Group of the shared leases.
pub const LEASE_GROUP: &str = "coordination.helium.dev";
/// Group of leases as unmodified clients know it.
pub const KUBERNETES_LEASE_GROUP: &str = "coordination.k8s.io";
/// Plural name of the leases.
pub const LEASES: &str = "leases";
/// Plural name of those who stand for them.
pub const LEASE_CANDIDATES: &str = "leasecandidates";
/// Plural name of the definitions.
pub const DEFINITIONS: &str = "sharedresourcedefinitions";
/// Kind of the definitions.
pub const DEFINITION_KIND: &str = "SharedResourceDefinition";

/// The verb on members that decides who belongs to the fleet: asked beside `create`, `update` and `patch` when a cluster is
/// admitted by hand or shut out.
pub const ADMINISTER: &str = "administer";
/// Plural name of the clusters of the fleet.
pub const MEMBERS: &str = "members";
/// Plural name of the tokens that clusters join with.
pub const JOIN_TOKENS: &str = "jointokens";
/// Plural name of the control planes.
pub const CONTROL_PLANES: &str = "controlplanes";
/// The control plane that all clusters share.
pub const FLEET: &str = "fleet";
/// The subresource that leads into a control plane. Kubernetes treats this name as long-running: watches through
/// an aggregator last only under it (API-server contract, section 5).
pub const PROXY: &str = "proxy";

/// All of them; namespaces only if they are to be served.
pub fn resources(serve_namespaces: bool) -> Result<Vec<Arc<Resource>>, ErrorList> {
    let mut resources = vec![
        builtin(
            definitions::definitions()?,
            Exposure::Shared,
            HELIUM_GROUP,
            Special::Definition,
        ),
        viewed(
            builtin(
                custom_resource_definitions::custom_resource_definitions()?,
                Exposure::Direct,
                HELIUM_GROUP,
                Special::CustomResourceDefinition,
            ),
            DEFINITIONS,
            DEFINITION_KIND,
        ),
        builtin(
            control_planes::control_planes()?,
            Exposure::Shared,
            HELIUM_GROUP,
            Special::ControlPlane,
        ),
        builtin(
            members::members()?,
            Exposure::Shared,
            HELIUM_GROUP,
            Special::Member,
        ),
        builtin(
            join_tokens::join_tokens()?,
            Exposure::Shared,
            HELIUM_GROUP,
            Special::JoinToken,
        ),
        builtin(
            failover_groups::failover_groups()?,
            Exposure::Shared,
            HELIUM_GROUP,
            Special::FailoverGroup,
        ),
        builtin(
            lease::definition(LEASE_GROUP),
            Exposure::Shared,
            LEASE_GROUP,
            Special::Lease,
        ),
        builtin(
            lease::definition(KUBERNETES_LEASE_GROUP),
            Exposure::Direct,
            LEASE_GROUP,
            Special::Lease,
        ),
    ];
    resources.extend(lease_candidates::lease_candidates());
    resources.extend(events::events());
    if serve_namespaces {
        resources.push(builtin(
            namespaces::namespaces()?,
            Exposure::Direct,
            "",
            Special::Namespace,
        ));
    }
    Ok(resources)
}

/// A resource whose objects are stored as those of another one.
fn viewed(mut resource: Arc<Resource>, plural: &str, kind: &str) -> Arc<Resource> {
    let home = Arc::make_mut(&mut resource);
    home.home_plural = plural.to_owned();
    home.home_kind = kind.to_owned();
    resource
}

fn builtin(
    definition: Definition,
    exposure: Exposure,
    home: &str,
    special: Special,
) -> Arc<Resource> {
    let mut served = definition.served();
    if special == Special::ControlPlane {
        for served in &mut served {
            served.verbs = ["get", "list", "watch"].map(str::to_owned).to_vec();
            served.subresources.push(ServedSubresource {
                name: PROXY.to_owned(),
                kind: served.gvk.clone(),
                verbs: ["create", "delete", "get", "patch", "update"]
                    .map(str::to_owned)
                    .to_vec(),
            });
        }
    }
    Arc::new(Resource {
        served,
        fingerprint: format!("built-in {}/{}", definition.group, definition.names.plural),
        home_plural: definition.names.plural.clone(),
        home_kind: definition.names.kind.clone(),
        definition: Arc::new(definition),
        exposure,
        sharing: Sharing::FLEET,
        writers: Writers::default(),
        home_group: home.to_owned(),
        special,
        terminating: false,
    })
}
