//! What a replica counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Counters of one replica. Clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Entries that this instance appended and that were committed.
    pub entries_appended: Counter,
    /// Requests answered by those entries.
    pub requests_committed: Counter,
    /// Requests in each committed entry.
    pub batch_requests: Histogram,
    /// Seconds from the start of an append until it was decided.
    pub append_seconds: Histogram,
    /// Appends that lost their slot to another instance.
    pub slots_lost: Counter,
    /// Tries of an append whose outcome stayed unknown.
    pub appends_undecided: Counter,
    /// Entries of other instances that were applied.
    pub entries_followed: Counter,
    /// Of those, entries that a peer had pushed before the poll saw them.
    pub entries_pushed: Counter,
    /// Head queries sent.
    pub head_reads: Counter,
    /// Head queries that failed.
    pub head_read_failures: Counter,
    /// Linearizable reads that joined a head query.
    pub barriers: Counter,
    /// Times the state was loaded again because the journal had moved away under this instance.
    pub reloads: Counter,
    /// Times the database was found to have gone back in time.
    pub incarnations: Counter,
    /// Epochs that this instance took over.
    pub epochs_taken: Counter,
    /// Leases that this instance revoked because they were due.
    pub leases_expired: Counter,
    /// The newest slot that this instance has applied.
    pub applied_slot: Gauge,
    /// Requests that wait for the sequencer.
    pub queue_length: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            entries_appended: Counter::default(),
            requests_committed: Counter::default(),
            batch_requests: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
            append_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 18)),
            slots_lost: Counter::default(),
            appends_undecided: Counter::default(),
            entries_followed: Counter::default(),
            entries_pushed: Counter::default(),
            head_reads: Counter::default(),
            head_read_failures: Counter::default(),
            barriers: Counter::default(),
            reloads: Counter::default(),
            incarnations: Counter::default(),
            epochs_taken: Counter::default(),
            leases_expired: Counter::default(),
            applied_slot: Gauge::default(),
            queue_length: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Names the counters in a registry, all beginning with `kine_replica_`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("kine_replica");
        let counters: [(&str, &str, &Counter); 13] = [
            (
                "entries_appended",
                "Committed entries of this instance",
                &self.entries_appended,
            ),
            (
                "requests_committed",
                "Requests in those entries",
                &self.requests_committed,
            ),
            (
                "slots_lost",
                "Appends that lost their slot to another instance",
                &self.slots_lost,
            ),
            (
                "appends_undecided",
                "Append tries without a known outcome",
                &self.appends_undecided,
            ),
            (
                "entries_followed",
                "Applied entries of other instances",
                &self.entries_followed,
            ),
            (
                "entries_pushed",
                "Entries that a peer pushed first",
                &self.entries_pushed,
            ),
            ("head_reads", "Head queries", &self.head_reads),
            (
                "head_read_failures",
                "Failed head queries",
                &self.head_read_failures,
            ),
            (
                "barriers",
                "Linearizable reads that joined a head query",
                &self.barriers,
            ),
            ("reloads", "Reloads of the whole state", &self.reloads),
            (
                "incarnations",
                "Times the database went back in time",
                &self.incarnations,
            ),
            ("epochs_taken", "Epochs taken over", &self.epochs_taken),
            (
                "leases_expired",
                "Leases revoked when due",
                &self.leases_expired,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "batch_requests",
            "Requests in one entry",
            self.batch_requests.clone(),
        );
        registry.register(
            "append_seconds",
            "Time from the start of an append to its outcome",
            self.append_seconds.clone(),
        );
        registry.register(
            "applied_slot",
            "Newest applied slot",
            self.applied_slot.clone(),
        );
        registry.register(
            "queue_length",
            "Requests that wait for the sequencer",
            self.queue_length.clone(),
        );
    }
}
