//! What the gate counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of one gate; clones share their values.
#[derive(Debug, Clone, Default)]
pub(crate) struct GateMetrics {
    /// Members whose certificates are accepted. Zero in an open fleet.
    pub(crate) trusted: Gauge,
    /// Members that are shut out.
    pub(crate) revoked: Gauge,
    /// Clients and instances that were refused when they connected.
    pub(crate) refused: Counter,
    /// Connections that were ended because they aren't accepted any more.
    pub(crate) ended: Counter,
}

impl GateMetrics {
    /// The counters under their names in `registry`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "kine_members_trusted",
            "members of the fleet whose certificates are accepted; zero: the fleet is open",
            metrics.trusted.clone(),
        );
        registry.register(
            "kine_members_revoked",
            "members of the fleet that are shut out",
            metrics.revoked.clone(),
        );
        registry.register(
            "kine_handshakes_refused",
            "clients that were refused when they connected",
            metrics.refused.clone(),
        );
        registry.register(
            "kine_connections_ended",
            "connections that were ended because their member was revoked or is gone",
            metrics.ended.clone(),
        );
        metrics
    }
}
