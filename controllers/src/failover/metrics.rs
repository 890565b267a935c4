//! What failover counts and measures.

use std::time::Duration;

use helium_failover::GroupName;
use helium_failover::machine::{State, Transition};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Group {
    namespace: String,
    group: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    namespace: String,
    group: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    to: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

const STATES: [State; 7] = [
    State::Standby,
    State::Candidate,
    State::Elected,
    State::Starting,
    State::Leading,
    State::Draining,
    State::Isolated,
];

/// Measures of failover; clones share their values.
#[derive(Debug, Clone)]
pub(crate) struct FailoverMetrics {
    states: Family<InState, Gauge>,
    deadlines: Family<Group, Gauge<f64, AtomicU64>>,
    transitions: Family<Why, Counter>,
    terms: Counter,
    renewals: Family<Outcome, Histogram, fn() -> Histogram>,
    stops: Histogram,
    applies: Histogram,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl Default for FailoverMetrics {
    fn default() -> Self {
        Self {
            states: Family::default(),
            deadlines: Family::default(),
            transitions: Family::default(),
            terms: Counter::default(),
            renewals: Family::new_with_constructor(seconds),
            stops: seconds(),
            applies: seconds(),
        }
    }
}

impl FailoverMetrics {
    /// Registers everything.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("helium_failover");
        registry.register(
            "state",
            "state of this cluster's member of a group: 1 for the one that it is in",
            self.states.clone(),
        );
        registry.register_with_unit(
            "deadline",
            "time until a member that leads begins to stop unless it renews; negative when it is over",
            Unit::Seconds,
            self.deadlines.clone(),
        );
        registry.register(
            "transitions",
            "changes of state of this cluster's members",
            self.transitions.clone(),
        );
        registry.register("terms", "terms begun by this cluster", self.terms.clone());
        registry.register_with_unit(
            "lease_write_duration",
            "time from sending a claim or a renewal to its answer",
            Unit::Seconds,
            self.renewals.clone(),
        );
        registry.register_with_unit(
            "stop_duration",
            "time from the decision to stop to the payload being gone",
            Unit::Seconds,
            self.stops.clone(),
        );
        registry.register_with_unit(
            "apply_duration",
            "time to apply a payload",
            Unit::Seconds,
            self.applies.clone(),
        );
    }

    /// A member is in a state.
    pub(super) fn state(&self, group: &GroupName, now: State) {
        for state in STATES {
            let labels = in_state(group, state);
            self.states
                .get_or_create(&labels)
                .set((state == now).into());
        }
    }

    /// A member has changed its state.
    pub(super) fn transition(&self, group: &GroupName, change: &Transition) {
        self.state(group, change.to);
        let labels = Why {
            to: change.to.as_str(),
            reason: change.reason.as_str(),
        };
        self.transitions.get_or_create(&labels).inc();
        if change.to == State::Elected {
            self.terms.inc();
        }
    }

    /// How long a member has until it begins to stop; `None` without a term.
    pub(super) fn deadline(&self, group: &GroupName, left: Option<f64>) {
        let labels = labels(group);
        match left {
            Some(left) => {
                self.deadlines.get_or_create(&labels).set(left);
            }
            None => {
                self.deadlines.remove(&labels);
            }
        }
    }

    /// A claim or a renewal was answered, or not.
    pub(super) fn renewal(&self, took: Duration, written: bool) {
        let outcome = if written { "written" } else { "failed" };
        self.renewals
            .get_or_create(&Outcome { outcome })
            .observe(took.as_secs_f64());
    }

    /// A payload is gone.
    pub(super) fn stopped(&self, took: Duration) {
        self.stops.observe(took.as_secs_f64());
    }

    /// A payload is applied.
    pub(super) fn applied(&self, took: Duration) {
        self.applies.observe(took.as_secs_f64());
    }

    /// A member is gone.
    pub(super) fn forget(&self, group: &GroupName) {
        for state in STATES {
            self.states.remove(&in_state(group, state));
        }
        self.deadlines.remove(&labels(group));
    }
}

fn labels(group: &GroupName) -> Group {
    Group {
        namespace: group.namespace.clone(),
        group: group.callsign.clone(),
    }
}

fn in_state(group: &GroupName, state: State) -> InState {
    InState {
        namespace: group.namespace.clone(),
        group: group.callsign.clone(),
        state: state.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use helium_failover::Boot;
    use helium_failover::machine::Reason;

    use super::*;

    #[test]
    fn a_member_is_in_one_state_and_leaves_nothing_behind() {
        let group = GroupName {
            namespace: "default".to_owned(),
            callsign: "city".to_owned(),
        };
        let mut registry = Registry::default();
        let metrics = FailoverMetrics::default();
        metrics.register(&mut registry);
        let change = Transition {
            from: State::Candidate,
            to: State::Elected,
            reason: Reason::Free,
            token: None,
            at: Boot::default(),
        };
        metrics.transition(&group, &change);
        metrics.deadline(&group, Some(4.5));
        metrics.renewal(Duration::from_millis(3), true);
        let text = || helium_telemetry::metrics::encode(&registry).unwrap();
        let told = text();
        for line in [
            "helium_failover_state{namespace=\"default\",group=\"city\",state=\"Elected\"} 1",
            "helium_failover_state{namespace=\"default\",group=\"city\",state=\"Candidate\"} 0",
            "helium_failover_transitions_total{to=\"Elected\",reason=\"Free\"} 1",
            "helium_failover_terms_total 1",
            "helium_failover_deadline_seconds{namespace=\"default\",group=\"city\"} 4.5",
            "helium_failover_lease_write_duration_seconds_count{outcome=\"written\"} 1",
        ] {
            assert!(told.contains(line), "{line}\n{told}");
        }
        metrics.forget(&group);
        assert!(!text().contains("group=\"city\""));
    }
}
