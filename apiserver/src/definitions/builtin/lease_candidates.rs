//! `LeaseCandidate`, beside the leases: shared by all clusters in `coordination.helium.dev`, and as unmodified clients know it.

use std::sync::Arc;

use helium_apimachinery::lease_candidate::definition;

use super::{KUBERNETES_LEASE_GROUP, LEASE_GROUP, builtin};
use crate::definitions::catalog::{Exposure, Resource, Special};

/// Both views.
pub(super) fn lease_candidates() -> [Arc<Resource>; 2] {
    let view =
        |definition, exposure| builtin(definition, exposure, LEASE_GROUP, Special::LeaseCandidate);
    [
        view(definition(LEASE_GROUP, &["v1"]), Exposure::Shared),
        view(
            definition(KUBERNETES_LEASE_GROUP, &["v1beta1", "v1alpha2"]),
            Exposure::Direct,
        ),
    ]
}
