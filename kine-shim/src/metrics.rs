//! What this server counts, under the names that dashboards for etcd and kine know.
//!
//! There is no global registry: each server has its own, so that several can run in one process.

mod sql;
mod store;

use std::sync::Arc;
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tonic::Code;

pub(crate) use sql::SqlMetrics;
pub(crate) use store::StoreCollector;

use crate::method::Method;

/// Counters of one server; clones share their values.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// gRPC calls.
    pub(crate) calls: Arc<CallMetrics>,
    /// Operations on keys that were asked for through this instance.
    pub(crate) puts: Counter,
    /// See [`Metrics::puts`].
    pub(crate) deletes: Counter,
    /// See [`Metrics::puts`].
    pub(crate) ranges: Counter,
    /// See [`Metrics::puts`].
    pub(crate) txns: Counter,
    /// Accepted compactions.
    pub(crate) compactions: Family<CompactLabels, Counter>,
    /// Open watch streams.
    pub(crate) watch_streams: Gauge,
    /// Watchers on them.
    pub(crate) watchers: Gauge,
    /// Events sent to watchers.
    pub(crate) watch_events: Counter,
    /// Granted leases.
    pub(crate) leases_granted: Counter,
    /// Leases revoked by clients.
    pub(crate) leases_revoked: Counter,
    /// Renewals.
    pub(crate) leases_renewed: Counter,
    /// Bytes received and sent in messages of the key-value service.
    pub(crate) client_received: Counter,
    /// See [`Metrics::client_received`].
    pub(crate) client_sent: Counter,
    /// Failures of the health checks.
    pub(crate) health_failures: Counter,
    /// Successes of the health checks.
    pub(crate) health_successes: Counter,
}

/// Outcome of a compaction, in kine's words.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CompactLabels {
    result: &'static str,
}

impl CompactLabels {
    /// Labels of an accepted or a failed compaction.
    pub(crate) const fn of(accepted: bool) -> Self {
        Self {
            result: if accepted { "success" } else { "error" },
        }
    }
}

impl Metrics {
    /// Counters under their names in `registry`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            calls: Arc::new(CallMetrics::register(registry)),
            puts: Counter::default(),
            deletes: Counter::default(),
            ranges: Counter::default(),
            txns: Counter::default(),
            compactions: Family::default(),
            watch_streams: Gauge::default(),
            watchers: Gauge::default(),
            watch_events: Counter::default(),
            leases_granted: Counter::default(),
            leases_revoked: Counter::default(),
            leases_renewed: Counter::default(),
            client_received: Counter::default(),
            client_sent: Counter::default(),
            health_failures: Counter::default(),
            health_successes: Counter::default(),
        };
        for (name, help, counter) in [
            ("etcd_mvcc_put", "puts seen by this member", &metrics.puts),
            (
                "etcd_mvcc_delete",
                "deletes seen by this member",
                &metrics.deletes,
            ),
            (
                "etcd_mvcc_range",
                "ranges seen by this member",
                &metrics.ranges,
            ),
            (
                "etcd_mvcc_txn",
                "transactions seen by this member",
                &metrics.txns,
            ),
            (
                "etcd_debugging_mvcc_events",
                "events sent by this member",
                &metrics.watch_events,
            ),
            (
                "etcd_debugging_lease_granted",
                "granted leases",
                &metrics.leases_granted,
            ),
            (
                "etcd_debugging_lease_revoked",
                "revoked leases",
                &metrics.leases_revoked,
            ),
            (
                "etcd_debugging_lease_renewed",
                "renewals of leases",
                &metrics.leases_renewed,
            ),
            (
                "etcd_network_client_grpc_received_bytes",
                "bytes received from clients",
                &metrics.client_received,
            ),
            (
                "etcd_network_client_grpc_sent_bytes",
                "bytes sent to clients",
                &metrics.client_sent,
            ),
            (
                "etcd_server_health_failures",
                "failed health checks",
                &metrics.health_failures,
            ),
            (
                "etcd_server_health_success",
                "passed health checks",
                &metrics.health_successes,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "kine_compact",
            "compactions by result",
            metrics.compactions.clone(),
        );
        for (name, help, gauge) in [
            (
                "etcd_debugging_mvcc_watch_stream_total",
                "watch streams",
                &metrics.watch_streams,
            ),
            (
                "etcd_debugging_mvcc_watcher_total",
                "watchers",
                &metrics.watchers,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        metrics
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    grpc_type: &'static str,
    grpc_service: &'static str,
    grpc_method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    grpc_type: &'static str,
    grpc_service: &'static str,
    grpc_method: &'static str,
    grpc_code: &'static str,
}

/// Counts of gRPC calls. What an ordinary call needs is looked up once, at the start.
#[derive(Debug)]
pub(crate) struct CallMetrics {
    methods: Vec<MethodMetrics>,
    handled: Family<CodeLabels, Counter>,
}

#[derive(Debug)]
struct MethodMetrics {
    started: Counter,
    ok: Counter,
    seconds: Histogram,
}

impl CallMetrics {
    fn register(registry: &mut Registry) -> Self {
        let started = Family::<MethodLabels, Counter>::default();
        let handled = Family::<CodeLabels, Counter>::default();
        let seconds =
            Family::<MethodLabels, Histogram, fn() -> Histogram>::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.000_1, 2.0, 17))
            });
        registry.register("grpc_server_started", "calls started", started.clone());
        registry.register(
            "grpc_server_handled",
            "calls ended, by code",
            handled.clone(),
        );
        registry.register(
            "grpc_server_handling_seconds",
            "time from the start to the end of a call",
            seconds.clone(),
        );
        let methods = Method::ALL
            .iter()
            .map(|&method| {
                let labels = MethodLabels {
                    grpc_type: method.shape().label(),
                    grpc_service: method.service(),
                    grpc_method: method.name(),
                };
                MethodMetrics {
                    started: started.get_or_create(&labels).clone(),
                    ok: handled
                        .get_or_create(&code_labels(method, Code::Ok))
                        .clone(),
                    seconds: seconds.get_or_create(&labels).clone(),
                }
            })
            .collect();
        Self { methods, handled }
    }

    /// Counts a call that starts now.
    pub(crate) fn start(self: &Arc<Self>, method: Method) -> CallGuard {
        self.methods[method as usize].started.inc();
        CallGuard {
            call: Some((Arc::clone(self), method, Instant::now())),
        }
    }

    fn end(&self, method: Method, code: Code, began: Instant) {
        let metrics = &self.methods[method as usize];
        metrics.seconds.observe(began.elapsed().as_secs_f64());
        if code == Code::Ok {
            metrics.ok.inc();
        } else {
            self.handled.get_or_create(&code_labels(method, code)).inc();
        }
    }
}

fn code_labels(method: Method, code: Code) -> CodeLabels {
    CodeLabels {
        grpc_type: method.shape().label(),
        grpc_service: method.service(),
        grpc_method: method.name(),
        grpc_code: code_name(code),
    }
}

/// The name of a code as grpc-go writes it, which dashboards expect.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

/// A call that is under way. Dropped without a code, it was cancelled by its client.
#[derive(Debug)]
pub(crate) struct CallGuard {
    call: Option<(Arc<CallMetrics>, Method, Instant)>,
}

impl CallGuard {
    /// Counts the end of the call.
    pub(crate) fn finish(mut self, code: Code) {
        if let Some((metrics, method, began)) = self.call.take() {
            metrics.end(method, code, began);
        }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        if let Some((metrics, method, began)) = self.call.take() {
            metrics.end(method, Code::Cancelled, began);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(registry: &Registry) -> String {
        helium_telemetry::metrics::encode(registry).expect("metrics encode")
    }

    #[test]
    fn calls_are_counted_by_method_and_code() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.calls.start(Method::Put).finish(Code::Ok);
        drop(metrics.calls.start(Method::Put));
        let text = text(&registry);
        for line in [
            r#"grpc_server_started_total{grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put"} 2"#,
            r#"grpc_server_handled_total{grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put",grpc_code="OK"} 1"#,
            r#"grpc_server_handled_total{grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put",grpc_code="Canceled"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
