//! What is served over plain HTTP on the client port: health, version, metrics. GET only.

use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use prometheus_client::registry::Registry;
use serde_json::json;

use crate::body::Body;
use crate::kv;
use crate::node::Node;
use crate::replica::Phase;

/// Answers a request that isn't gRPC.
pub(crate) async fn answer<B>(
    node: &Arc<Node>,
    registry: &Registry,
    request: &Request<B>,
) -> Response<Body> {
    let path = request.uri().path();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let known = matches!(path, "/health" | "/version" | "/metrics")
        || check_path("/livez", path).is_some()
        || check_path("/readyz", path).is_some();
    if !known {
        return text(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    if request.method() != Method::GET {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET"));
        return response;
    }
    match path {
        "/health" => health(node, &query).await,
        "/version" => version(node),
        "/metrics" => metrics(registry),
        path => {
            let (checks, only): (&[Check], _) = match check_path("/livez", path) {
                Some(only) => (&[Check::SerializableRead], only),
                None => (
                    &Check::READY,
                    check_path("/readyz", path).unwrap_or_default(),
                ),
            };
            probe(node, path, checks, only, &query).await
        }
    }
}

/// What follows `prefix` and a slash, empty for the prefix itself.
fn check_path<'a>(prefix: &str, path: &'a str) -> Option<&'a str> {
    match path.strip_prefix(prefix)? {
        "" => Some(""),
        rest => rest.strip_prefix('/'),
    }
}

#[derive(Debug, Default)]
struct Query {
    verbose: bool,
    serializable: bool,
    exclude: Vec<String>,
}

impl Query {
    fn parse(query: &str) -> Self {
        let mut parsed = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "verbose" => parsed.verbose = true,
                "serializable" => parsed.serializable = value == "true",
                "exclude" => parsed.exclude.push(value.into_owned()),
                _ => {}
            }
        }
        parsed
    }

    fn excludes(&self, name: &str) -> bool {
        self.exclude.iter().any(|excluded| excluded == name)
    }
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::http(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// The answer on a connection that isn't accepted any more.
pub(crate) fn refuse(why: &str) -> Response<Body> {
    text(StatusCode::FORBIDDEN, format!("{why}\n"))
}

fn text(status: StatusCode, body: impl Into<String>) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", body.into())
}

/// One thing that makes an instance fit for requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    DataCorruption,
    SerializableRead,
    LinearizableRead,
    NonLearner,
}

impl Check {
    const READY: [Self; 4] = [
        Self::DataCorruption,
        Self::SerializableRead,
        Self::LinearizableRead,
        Self::NonLearner,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::DataCorruption => "data_corruption",
            Self::SerializableRead => "serializable_read",
            Self::LinearizableRead => "linearizable_read",
            Self::NonLearner => "non_learner",
        }
    }

    /// Why the check fails.
    async fn run(self, node: &Arc<Node>) -> Result<(), String> {
        match self {
            Self::DataCorruption => {
                if let Some(reason) = node.replica.health().halted {
                    return Err(reason);
                }
                let corrupt = node.replica.read(|state| {
                    let kinds = state.alarms().iter().map(|alarm| alarm.kind);
                    kinds
                        .into_iter()
                        .any(|kind| kind == helium_mvcc::AlarmKind::Corrupt)
                });
                match corrupt {
                    Ok(true) => Err("alarm activated: CORRUPT".to_owned()),
                    _ => Ok(()),
                }
            }
            Self::SerializableRead => node
                .revision()
                .map(|_revision| ())
                .map_err(|status| status.message().to_owned()),
            Self::LinearizableRead => kv::barrier(node)
                .await
                .map_err(|status| status.message().to_owned()),
            Self::NonLearner => match node.replica.health().phase {
                Phase::Serving => Ok(()),
                _ => Err("still loading".to_owned()),
            },
        }
    }
}

/// `/livez`, `/readyz`, and each check by its name below them.
async fn probe(
    node: &Arc<Node>,
    path: &str,
    checks: &[Check],
    only: &str,
    query: &Query,
) -> Response<Body> {
    let chosen: Vec<Check> = checks
        .iter()
        .copied()
        .filter(|check| only.is_empty() || check.name() == only)
        .collect();
    if chosen.is_empty() {
        return text(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    let mut lines = String::new();
    let mut failed = false;
    for check in chosen {
        let name = check.name();
        if query.excludes(name) {
            lines.push_str(&format!("[+]{name} excluded: ok\n"));
            continue;
        }
        match check.run(node).await {
            Ok(()) => lines.push_str(&format!("[+]{name} ok\n")),
            Err(reason) => {
                failed = true;
                lines.push_str(&format!("[-]{name} failed: {reason}\n"));
            }
        }
    }
    count(node, !failed);
    if failed {
        return text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{lines}{path} check failed\n"),
        );
    }
    if query.verbose {
        return text(StatusCode::OK, format!("{lines}{path} check passed\n"));
    }
    text(StatusCode::OK, "ok\n")
}

fn count(node: &Node, healthy: bool) {
    if healthy {
        node.metrics.health_successes.inc();
    } else {
        node.metrics.health_failures.inc();
    }
}

/// `/health`, as load balancers in front of etcd ask for it.
async fn health(node: &Arc<Node>, query: &Query) -> Response<Body> {
    let reason = health_reason(node, query).await;
    count(node, reason.is_none());
    let status = match reason {
        None => StatusCode::OK,
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let healthy = if reason.is_none() { "true" } else { "false" };
    // Written out so that the order of the members is etcd's.
    let body = format!(
        r#"{{"health":"{healthy}","reason":{}}}"#,
        serde_json::Value::String(reason.unwrap_or_default())
    );
    respond(status, "application/json", body)
}

async fn health_reason(node: &Arc<Node>, query: &Query) -> Option<String> {
    let alarms = node
        .replica
        .read(|state| state.alarms().clone())
        .unwrap_or_default();
    for alarm in alarms {
        let name = match alarm.kind {
            helium_mvcc::AlarmKind::NoSpace => "NOSPACE",
            helium_mvcc::AlarmKind::Corrupt => "CORRUPT",
        };
        if !query.excludes(name) {
            return Some(format!("ALARM {name}"));
        }
    }
    if !query.serializable && node.require_leader().is_err() {
        return Some("RAFT NO LEADER".to_owned());
    }
    let read = if query.serializable {
        node.revision().map(|_revision| ())
    } else {
        kv::barrier(node).await
    };
    read.err()
        .map(|status| format!("RANGE ERROR:{}", status.message()))
}

fn version(node: &Node) -> Response<Body> {
    let cluster = node.settings.cluster_version();
    let body = json!({
        "etcdserver": node.settings.version,
        "etcdcluster": cluster,
        "storage": cluster,
    });
    respond(StatusCode::OK, "application/json", body.to_string())
}

fn metrics(registry: &Registry) -> Response<Body> {
    match helium_telemetry::metrics::encode(registry) {
        Ok(body) => respond(
            StatusCode::OK,
            helium_telemetry::metrics::CONTENT_TYPE,
            body,
        ),
        Err(error) => {
            tracing::error!(%error, "metrics can't be written");
            text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "metrics can't be written\n",
            )
        }
    }
}
