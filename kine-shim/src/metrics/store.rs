//! What the store holds, read when somebody asks.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};

use crate::replica::{Phase, Replica};

/// Facts of a replica as gauges.
#[derive(Debug)]
pub(crate) struct StoreCollector {
    replica: Replica,
    server_version: String,
    cluster_version: String,
}

impl StoreCollector {
    /// Reads `replica`; the versions appear as labels, as etcd has it.
    pub(crate) fn new(replica: Replica, server_version: String, cluster_version: String) -> Self {
        Self {
            replica,
            server_version,
            cluster_version,
        }
    }
}

/// What one look at the state tells.
#[derive(Default)]
struct Held {
    keys: u64,
    bytes: u64,
    versions: u64,
    leases: usize,
    alarms: usize,
}

fn signed(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let status = self.replica.status();
        let health = self.replica.health();
        // A state that is being loaded has nothing to tell.
        let held = self
            .replica
            .read(|state| Held {
                keys: state.key_count(),
                bytes: state.bytes_in_use(),
                versions: state.version_count(),
                leases: state.leases().len(),
                alarms: state.alarms().len(),
            })
            .unwrap_or_default();
        let leads = status.owner.0 == status.member_id.0 && status.owner.0 != 0;
        let lag = status.newest.0.saturating_sub(status.applied.0);
        let total = signed(status.size.total_bytes);
        let used = signed(status.size.used_bytes);
        for (name, help, value) in [
            (
                "etcd_server_has_leader",
                "whether the log has an owner",
                i64::from(health.has_owner),
            ),
            (
                "etcd_server_is_leader",
                "whether this member owns the log",
                i64::from(leads),
            ),
            (
                "etcd_server_is_learner",
                "whether this member can't be asked yet",
                i64::from(status.phase != Phase::Serving),
            ),
            (
                "etcd_server_proposals_applied_total",
                "newest applied slot",
                status.applied.0,
            ),
            (
                "etcd_server_proposals_committed_total",
                "newest known slot",
                status.newest.0,
            ),
            ("kine_replica_lag_slots", "slots known and not applied", lag),
            (
                "etcd_mvcc_db_total_size_in_bytes",
                "size of the database",
                total,
            ),
            (
                "etcd_mvcc_db_total_size_in_use_in_bytes",
                "used size of the database",
                used,
            ),
            ("etcd_debugging_mvcc_keys_total", "keys", signed(held.keys)),
            (
                "etcd_debugging_mvcc_versions_total",
                "versions in memory",
                signed(held.versions),
            ),
            (
                "etcd_debugging_mvcc_memory_bytes",
                "versions in memory",
                signed(held.bytes),
            ),
            (
                "etcd_debugging_mvcc_current_revision",
                "current revision",
                status.revision.0,
            ),
            (
                "etcd_debugging_mvcc_compact_revision",
                "oldest readable revision",
                status.compact_revision.0,
            ),
            (
                "etcd_debugging_lease_leases_total",
                "leases",
                signed(held.leases),
            ),
            (
                "etcd_server_alarms_total",
                "raised alarms",
                signed(held.alarms),
            ),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        for (name, help, label, version) in [
            (
                "etcd_server_version",
                "emulated version",
                "server_version",
                &self.server_version,
            ),
            (
                "etcd_cluster_version",
                "emulated version",
                "cluster_version",
                &self.cluster_version,
            ),
        ] {
            let family = Family::<Vec<(&'static str, String)>, Gauge>::default();
            family.get_or_create(&vec![(label, version.clone())]).set(1);
            family.encode(encoder.encode_descriptor(name, help, None, family.metric_type())?)?;
        }
        Ok(())
    }
}
