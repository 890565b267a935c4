//! What a cluster should hold: a pure function of what the fleet shares and of what the cluster serves itself.

use std::collections::{BTreeMap, BTreeSet};

use helium_apimachinery::gvk::version_priority;
use k8s_openapi::ByteString;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{
    APIService, APIServiceSpec, ServiceReference,
};
use kube::core::ObjectMeta;
use sha2::{Digest, Sha256};

use super::kind::Kind;
use super::local::LocalGroups;
use super::roles;
use super::{MANAGED_BY, MANAGER, SCHEMA_HASH};
use crate::ServiceAddress;

/// Priority of our groups among all: that of custom resources, so that no short name of Kubernetes is taken.
const GROUP_PRIORITY: i32 = 1000;
/// Priority of a group's preferred version; the others follow in Kubernetes' order of versions.
const FIRST_VERSION_PRIORITY: i32 = 100;

/// Where the cluster's API server finds the fleet's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its Service.
    pub service: ServiceAddress,
    /// PEM bundle that vouches for the certificate of the Service's DNS name, `<name>.<namespace>.svc`; without it the roots that the
    /// cluster's API server trusts anyway.
    pub ca_bundle: Option<Vec<u8>>,
}

/// What a cluster should hold, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    /// One for each served group and version.
    pub api_services: BTreeMap<String, APIService>,
    /// Three for each group.
    pub cluster_roles: BTreeMap<String, ClusterRole>,
    /// Groups for which nothing is written, because the cluster serves them itself, and why.
    pub refused: BTreeMap<String, String>,
}

/// Computes what a cluster should hold.
#[must_use]
pub fn desired(kinds: &[Kind], local: &LocalGroups, target: &Target) -> Desired {
    let mut groups: BTreeMap<&str, Vec<&Kind>> = BTreeMap::new();
    for kind in kinds.iter().filter(|kind| !kind.versions.is_empty()) {
        groups.entry(&kind.group).or_default().push(kind);
    }
    let mut desired = Desired::default();
    for (group, mut kinds) in groups {
        if let Some(why) = local.why(group) {
            desired.refused.insert(group.to_owned(), why);
            continue;
        }
        kinds.sort_by(|a, b| a.plural.cmp(&b.plural));
        for service in api_services(group, &kinds, target) {
            let name = service.metadata.name.clone().unwrap_or_default();
            desired.api_services.insert(name, service);
        }
        for role in roles::roles(group, &kinds) {
            let name = role.metadata.name.clone().unwrap_or_default();
            desired.cluster_roles.insert(name, role);
        }
    }
    desired
}

/// Name of the APIService of a group and version, as the API server demands it.
#[must_use]
pub fn api_service_name(group: &str, version: &str) -> String {
    format!("{version}.{group}")
}

fn api_services<'a>(
    group: &'a str,
    kinds: &'a [&Kind],
    target: &'a Target,
) -> impl Iterator<Item = APIService> + 'a {
    let versions: BTreeSet<&str> = kinds
        .iter()
        .flat_map(|kind| &kind.versions)
        .map(|version| version.name.as_str())
        .collect();
    let mut versions: Vec<&str> = versions.into_iter().collect();
    versions.sort_by(|a, b| version_priority(b, a));
    (0..).zip(versions).map(move |(place, version)| APIService {
        metadata: ObjectMeta {
            name: Some(api_service_name(group, version)),
            labels: Some(managed_label()),
            annotations: Some([(SCHEMA_HASH.to_owned(), hash(kinds, version))].into()),
            ..ObjectMeta::default()
        },
        spec: Some(APIServiceSpec {
            group: Some(group.to_owned()),
            version: Some(version.to_owned()),
            group_priority_minimum: GROUP_PRIORITY,
            // Equal priorities are ordered by name in the same way, so the floor does no harm.
            version_priority: (FIRST_VERSION_PRIORITY - place).max(1),
            service: Some(ServiceReference {
                namespace: Some(target.service.namespace.clone()),
                name: Some(target.service.name.clone()),
                port: Some(target.service.port.into()),
            }),
            ca_bundle: target.ca_bundle.clone().map(ByteString),
            // Named, so that applying it takes a `true` back.
            insecure_skip_tls_verify: Some(false),
        }),
        status: None,
    })
}

/// The label that makes an object ours.
pub(crate) fn managed_label() -> BTreeMap<String, String> {
    [(MANAGED_BY.to_owned(), MANAGER.to_owned())].into()
}

/// Changes with everything that discovery or OpenAPI tell of a version. A change of the APIService makes the
/// aggregator read both again at once, instead of within a minute.
fn hash(kinds: &[&Kind], version: &str) -> String {
    let mut digest = Sha256::new();
    for kind in kinds {
        let served = kind.versions.iter().find(|served| served.name == version);
        if let Some(served) = served {
            digest.update(&kind.plural);
            digest.update([0]);
            digest.update(served.content.to_string());
            digest.update([0]);
        }
    }
    let digest = digest.finalize();
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
