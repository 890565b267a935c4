//! From what a cluster holds to what it should hold: the writes, as values.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceSpec};
use kube::core::ObjectMeta;

use super::desired::Desired;
use super::{owned, roles};

/// What a cluster holds of the two kinds that the registrar writes, by name.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// All of them, also those of others.
    pub api_services: BTreeMap<String, Arc<APIService>>,
    /// Those with our label at least.
    pub cluster_roles: BTreeMap<String, Arc<ClusterRole>>,
}

/// A write.
#[derive(Debug, Clone, PartialEq)]
pub enum Change<K> {
    /// Make an object that isn't there; never overwrites.
    Create(K),
    /// Make an object of ours as it should be. Carries the uid and resourceVersion that were seen.
    Apply(K),
    /// Remove an object of ours.
    Delete(Seen),
}

/// Which object at which moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: Option<String>,
    /// Its resourceVersion.
    pub resource_version: Option<String>,
}

impl Seen {
    fn of(name: &str, metadata: &ObjectMeta) -> Self {
        Self {
            name: name.to_owned(),
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
        }
    }
}

/// The writes that a cluster needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Of APIServices.
    pub api_services: Vec<Change<APIService>>,
    /// Of ClusterRoles.
    pub cluster_roles: Vec<Change<ClusterRole>>,
}

/// A kind of object that the registrar keeps.
pub trait Managed: Clone {
    /// Its metadata.
    fn metadata(&self) -> &ObjectMeta;
    /// Its metadata, to be changed.
    fn metadata_mut(&mut self) -> &mut ObjectMeta;
    /// Whether an object of that name can be ours at all.
    fn may_be_ours(name: &str) -> bool;
    /// Whether everything but the metadata is as wanted.
    fn content_equals(&self, wanted: &Self) -> bool;
    /// Whether it holds a field that applying `wanted` can't take away: apply leaves alone what it doesn't name.
    fn needs_replacement(&self, wanted: &Self) -> bool;
}

impl Managed for APIService {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn may_be_ours(_name: &str) -> bool {
        true
    }

    fn content_equals(&self, wanted: &Self) -> bool {
        let (Some(held), Some(wanted)) = (&self.spec, &wanted.spec) else {
            return false;
        };
        // The server leaves `false` out.
        held.insecure_skip_tls_verify.unwrap_or_default()
            == wanted.insecure_skip_tls_verify.unwrap_or_default()
            && APIServiceSpec {
                insecure_skip_tls_verify: None,
                ..held.clone()
            } == APIServiceSpec {
                insecure_skip_tls_verify: None,
                ..wanted.clone()
            }
    }

    fn needs_replacement(&self, wanted: &Self) -> bool {
        let bundle = |service: &Self| {
            let spec = service.spec.as_ref();
            spec.is_some_and(|spec| spec.ca_bundle.is_some())
        };
        bundle(self) && !bundle(wanted)
    }
}

impl Managed for ClusterRole {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn may_be_ours(name: &str) -> bool {
        roles::is_role_name(name)
    }

    fn content_equals(&self, wanted: &Self) -> bool {
        self.rules == wanted.rules && self.aggregation_rule.is_none()
    }

    fn needs_replacement(&self, _wanted: &Self) -> bool {
        // The cluster would go on computing the rules, against us.
        self.aggregation_rule.is_some()
    }
}

/// The registration that is made first: the fleet's own group, which every control plane serves.
pub(super) const FIRST: &str = "v1.helium.dev";

/// Computes the writes. Nothing is written twice: with its outcome observed, the next plan is empty.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed) -> Plan {
    let mut api_services = changes(&desired.api_services, &observed.api_services);
    if held_back(observed).is_some() {
        api_services.retain(|change| match change {
            Change::Create(service) => service.metadata.name.as_deref() == Some(FIRST),
            Change::Apply(_) | Change::Delete(_) => true,
        });
    }
    Plan {
        api_services,
        cluster_roles: changes(&desired.cluster_roles, &observed.cluster_roles),
    }
}

/// Why no further registration is made: the first one isn't available (G4).
pub(super) fn held_back(observed: &Observed) -> Option<String> {
    let reason = match observed.api_services.get(FIRST) {
        Some(service) => unavailable(service)?,
        None => "not there".to_owned(),
    };
    Some(format!("APIService {FIRST}: {reason}"))
}

/// Why an APIService is not available, as the cluster's API server says; `None` if it is.
pub(super) fn unavailable(service: &APIService) -> Option<String> {
    let conditions = service
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let available = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "Available");
    match available {
        Some(condition) if condition.status == "True" => None,
        Some(condition) => Some(
            condition
                .reason
                .clone()
                .unwrap_or_else(|| "not available".to_owned()),
        ),
        None => Some("not checked yet".to_owned()),
    }
}

/// The writes of one kind.
pub(crate) fn changes<K: Managed>(
    desired: &BTreeMap<String, K>,
    observed: &BTreeMap<String, Arc<K>>,
) -> Vec<Change<K>> {
    let wanted = desired
        .iter()
        .filter_map(|(name, wanted)| match observed.get(name) {
            None => Some(Change::Create(wanted.clone())),
            Some(held) if !owned(held.metadata()) || is(wanted, held) => None,
            Some(held) if held.metadata().deletion_timestamp.is_some() => None,
            // It is made anew when it is seen to be gone.
            Some(held) if held.needs_replacement(wanted) => {
                Some(Change::Delete(Seen::of(name, held.metadata())))
            }
            Some(held) => {
                let mut wanted = wanted.clone();
                let seen = held.metadata();
                wanted.metadata_mut().uid = seen.uid.clone();
                wanted.metadata_mut().resource_version = seen.resource_version.clone();
                Some(Change::Apply(wanted))
            }
        });
    let unwanted = observed
        .iter()
        .filter(|(name, held)| {
            let metadata = held.metadata();
            owned(metadata)
                && K::may_be_ours(name)
                && !desired.contains_key(*name)
                && metadata.deletion_timestamp.is_none()
        })
        .map(|(name, held)| Change::Delete(Seen::of(name, held.metadata())));
    wanted.chain(unwanted).collect()
}

/// Whether an object is as wanted; labels and annotations that others added don't matter.
pub(super) fn is<K: Managed>(wanted: &K, held: &K) -> bool {
    let has = |held: &Option<BTreeMap<String, String>>,
               wanted: &Option<BTreeMap<String, String>>| {
        wanted
            .iter()
            .flatten()
            .all(|(key, value)| held.as_ref().and_then(|held| held.get(key)) == Some(value))
    };
    let (a, b) = (held.metadata(), wanted.metadata());
    has(&a.labels, &b.labels) && has(&a.annotations, &b.annotations) && held.content_equals(wanted)
}
