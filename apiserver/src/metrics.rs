//! What the server tells Prometheus, under the names that dashboards for Kubernetes know.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::definitions::Catalog;
use crate::request_info::{RequestInfo, Verb};

/// Upper bounds of the duration buckets, in seconds.
const DURATIONS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
];

/// Labels of a request. Values come from closed sets only: verbs that exist, resources that are
/// served; so nobody can grow them by asking for nonsense.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: &'static str,
    scope: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: u16,
    verb: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: &'static str,
    scope: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    request_kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// Counters of the HTTP side. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<CodeLabels, Counter>,
    durations: Family<RequestLabels, Histogram, fn() -> Histogram>,
    inflight: Family<KindLabels, Gauge>,
    authentications: Family<ResultLabels, Counter>,
    authorizations: Family<ResultLabels, Counter>,
    handshake_errors: Counter,
    panics: Counter,
    connections: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            inflight: Family::default(),
            authentications: Family::default(),
            authorizations: Family::default(),
            handshake_errors: Counter::default(),
            panics: Counter::default(),
            connections: Gauge::default(),
        }
    }
}

/// Counts one request as current until it is dropped.
#[derive(Debug)]
pub(crate) struct Current(Gauge);

impl Drop for Current {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Adds everything to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "apiserver_request",
            "Requests answered",
            self.requests.clone(),
        );
        registry.register(
            "apiserver_request_duration_seconds",
            "Time to the answer's head, watches excluded",
            self.durations.clone(),
        );
        registry.register(
            "apiserver_current_inflight_requests",
            "Requests being served",
            self.inflight.clone(),
        );
        registry.register(
            "authentication_attempts",
            "Requests by outcome of authentication",
            self.authentications.clone(),
        );
        registry.register(
            "authorization_attempts",
            "Requests by outcome of authorization",
            self.authorizations.clone(),
        );
        registry.register(
            "apiserver_tls_handshake_errors",
            "Connections that ended before a request",
            self.handshake_errors.clone(),
        );
        registry.register(
            "apiserver_request_panics",
            "Requests that ended in a panic",
            self.panics.clone(),
        );
        registry.register(
            "apiserver_connections",
            "Connections that are open",
            self.connections.clone(),
        );
    }

    /// Counts an answered request; `elapsed` is the time to the head of the answer.
    pub(crate) fn answered(
        &self,
        info: &RequestInfo,
        catalog: &Catalog,
        code: u16,
        elapsed: Duration,
    ) {
        let labels = labels(info, catalog);
        if !info.is_long_running() {
            self.durations
                .get_or_create(&labels)
                .observe(elapsed.as_secs_f64());
        }
        let RequestLabels {
            verb,
            group,
            version,
            resource,
            subresource,
            scope,
        } = labels;
        let labels = CodeLabels {
            code,
            verb,
            group,
            version,
            resource,
            subresource,
            scope,
        };
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts a request as current.
    pub(crate) fn current(&self, info: &RequestInfo) -> Current {
        let request_kind = match info {
            info if info.is_long_running() => "longRunning",
            info if info.verb.is_mutating() => "mutating",
            _ => "readOnly",
        };
        let gauge = self
            .inflight
            .get_or_create(&KindLabels { request_kind })
            .clone();
        gauge.inc();
        Current(gauge)
    }

    pub(crate) fn authenticated(&self, accepted: bool) {
        let result = if accepted { "success" } else { "failure" };
        self.authentications
            .get_or_create(&ResultLabels { result })
            .inc();
    }

    pub(crate) fn authorized(&self, result: &'static str) {
        self.authorizations
            .get_or_create(&ResultLabels { result })
            .inc();
    }

    pub(crate) fn handshake_failed(&self) {
        self.handshake_errors.inc();
    }

    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    pub(crate) fn connection_opened(&self) {
        self.connections.inc();
    }

    pub(crate) fn connection_closed(&self) {
        self.connections.dec();
    }
}

fn labels(info: &RequestInfo, catalog: &Catalog) -> RequestLabels {
    let verb = match &info.verb {
        Verb::Get => "GET",
        Verb::List => "LIST",
        Verb::Watch => "WATCH",
        Verb::Create => "POST",
        Verb::Update => "PUT",
        Verb::Patch => "PATCH",
        Verb::Delete => "DELETE",
        Verb::DeleteCollection => "DELETECOLLECTION",
        Verb::Other(verb) if verb == "get" || verb == "head" => "GET",
        Verb::Other(_) => "other",
    };
    let known = info.target.as_ref().and_then(|target| {
        let resource = catalog.find(&target.group, &target.resource)?;
        resource.served_version(&target.version)?;
        Some(target)
    });
    let Some(target) = known else {
        return RequestLabels {
            verb,
            group: String::new(),
            version: String::new(),
            resource: String::new(),
            subresource: "",
            scope: "",
        };
    };
    RequestLabels {
        verb,
        group: target.group.clone(),
        version: target.version.clone(),
        resource: target.resource.clone(),
        subresource: match target.subresource.as_deref() {
            None => "",
            Some("status") => "status",
            Some("scale") => "scale",
            Some(_) => "other",
        },
        scope: match (&target.name, &target.namespace) {
            (Some(_), _) if target.name_in_path => "resource",
            (_, Some(_)) => "namespace",
            _ => "cluster",
        },
    }
}
