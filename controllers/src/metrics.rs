//! What the agent counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::failover::FailoverMetrics;
use crate::membership::STANDINGS;

/// Labels of a write.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    kind: String,
    verb: String,
}

/// Labels of a round.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Round {
    outcome: &'static str,
}

/// Labels of a standing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stands {
    standing: &'static str,
}

/// Counters of one agent; clones share their values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    /// 1 while this agent is the active one of its cluster.
    pub(crate) leader: Gauge,
    /// 1 while the control plane answers.
    pub(crate) control_plane_connected: Gauge,
    /// Definitions whose kinds are served.
    pub(crate) definitions: Gauge,
    /// APIServices that should be there.
    pub(crate) api_services: Gauge,
    /// Groups that the cluster serves itself.
    pub(crate) refused_groups: Gauge,
    writes: Family<Write, Counter>,
    rounds: Family<Round, Counter>,
    /// Heartbeats of other clusters that this agent has missed first.
    pub(crate) missed_heartbeats: Counter,
    standings: Family<Stands, Gauge>,
    heartbeats: Family<Round, Counter>,
    /// Of failover.
    pub(crate) failover: FailoverMetrics,
}

impl Metrics {
    /// Registers everything.
    pub(crate) fn register(&self, registry: &mut Registry) {
        self.failover.register(registry);
        let registry = registry.sub_registry_with_prefix("helium_agent");
        registry.register(
            "leader",
            "whether this agent is its cluster's active one",
            self.leader.clone(),
        );
        registry.register(
            "control_plane_connected",
            "whether the control plane answers",
            self.control_plane_connected.clone(),
        );
        registry.register(
            "definitions",
            "shared definitions whose kinds are served",
            self.definitions.clone(),
        );
        registry.register(
            "api_services",
            "APIServices that the cluster should hold",
            self.api_services.clone(),
        );
        registry.register(
            "refused_groups",
            "shared groups that the cluster serves itself",
            self.refused_groups.clone(),
        );
        registry.register("writes", "writes to the cluster", self.writes.clone());
        registry.register("rounds", "looks at everything", self.rounds.clone());
        registry.register(
            "missed_heartbeats",
            "heartbeats of other clusters that this agent was the first to miss",
            self.missed_heartbeats.clone(),
        );
        registry.register(
            "standing",
            "how the cluster stands to the fleet: 1 for what is so",
            self.standings.clone(),
        );
        registry.register(
            "heartbeats",
            "renewals of the cluster's heartbeat",
            self.heartbeats.clone(),
        );
    }

    /// Counts a write that succeeded.
    pub(crate) fn written(&self, kind: &str, verb: &str) {
        let labels = Write {
            kind: kind.to_owned(),
            verb: verb.to_owned(),
        };
        self.writes.get_or_create(&labels).inc();
    }

    /// Counts a round.
    pub(crate) fn round(&self, clean: bool) {
        let outcome = if clean { "clean" } else { "failed" };
        self.rounds.get_or_create(&Round { outcome }).inc();
    }

    /// Says how the cluster stands to the fleet.
    pub(crate) fn stands(&self, now: &'static str) {
        for standing in STANDINGS {
            let gauge = self.standings.get_or_create(&Stands { standing });
            gauge.set((standing == now).into());
        }
    }

    /// Counts a renewal of the heartbeat.
    pub(crate) fn heartbeat(&self, renewed: bool) {
        let outcome = if renewed { "renewed" } else { "failed" };
        self.heartbeats.get_or_create(&Round { outcome }).inc();
    }
}
