//! `/livez`, `/readyz`, `/healthz`: named checks, in the form that Kubernetes' probes and people expect.
//!
//! Readiness never asks the store: an instance without its store still answers discovery, and one that
//! were taken out of its Service would take the cluster's namespace deletion down with it. The
//! store's own state is at `/readyz/etcd`, outside the sum.

use std::fmt::Write as _;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{Response, StatusCode};

use crate::backend::Body;
use crate::handler::respond;
use crate::request_info::query_values;

/// The outcome of a check; the text is for the log and for the single check's own path.
pub type Outcome = Result<(), String>;

type Probe = Arc<dyn Fn() -> BoxFuture<'static, Outcome> + Send + Sync>;

/// Which sums a check counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// In all of them.
    Always,
    /// In readiness only.
    Ready,
    /// In none: shown under its own path.
    Alone,
}

/// The checks of one server.
#[derive(Clone, Default)]
pub struct Health {
    checks: Vec<(&'static str, Counts, Probe)>,
}

impl Health {
    /// Checks that always hold while the process answers at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default().with("ping", Counts::Always, || Box::pin(async { Ok(()) }))
    }

    /// Adds a check.
    #[must_use]
    pub fn with(
        mut self,
        name: &'static str,
        counts: Counts,
        probe: impl Fn() -> BoxFuture<'static, Outcome> + Send + Sync + 'static,
    ) -> Self {
        self.checks.push((name, counts, Arc::new(probe)));
        self
    }

    /// Answers a health path, or `None` if the path is no health path.
    pub async fn answer(&self, path: &str, query: &str) -> Option<Response<Body>> {
        let path = path.trim_matches('/');
        let (sum, single) = match path.split_once('/') {
            Some((sum, single)) => (sum, Some(single)),
            None => (path, None),
        };
        if !matches!(sum, "livez" | "readyz" | "healthz") {
            return None;
        }
        Some(match single {
            Some(name) => self.answer_single(name).await,
            None => self.answer_sum(sum, query).await,
        })
    }

    async fn answer_single(&self, name: &str) -> Response<Body> {
        let Some((name, _, probe)) = self.checks.iter().find(|(known, ..)| *known == name) else {
            return respond::page_not_found();
        };
        match probe().await {
            Ok(()) => respond::text(StatusCode::OK, "ok"),
            Err(reason) => {
                tracing::debug!(check = name, reason, "health check failed");
                let text = format!("internal server error: {reason}\n");
                respond::text(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }

    async fn answer_sum(&self, sum: &str, query: &str) -> Response<Body> {
        let mut excluded: Vec<String> = query_values(query, "exclude").collect();
        let verbose = query_values(query, "verbose").next().is_some();
        let mut report = String::new();
        let mut failed = false;
        for (name, counts, probe) in &self.checks {
            let counted = match counts {
                Counts::Always => true,
                Counts::Ready => sum == "readyz",
                Counts::Alone => false,
            };
            if !counted {
                continue;
            }
            if let Some(position) = excluded.iter().position(|excluded| excluded == name) {
                excluded.swap_remove(position);
                let _infallible = writeln!(report, "[+]{name} excluded: ok");
                continue;
            }
            let _infallible = match probe().await {
                Ok(()) => writeln!(report, "[+]{name} ok"),
                Err(reason) => {
                    tracing::debug!(check = name, reason, "health check failed");
                    failed = true;
                    writeln!(report, "[-]{name} failed: reason withheld")
                }
            };
        }
        if !excluded.is_empty() {
            let names: Vec<String> = excluded.iter().map(|name| format!("{name:?}")).collect();
            let _infallible = writeln!(
                report,
                "warn: some health checks cannot be excluded: no matches for {}",
                names.join(",")
            );
        }
        if failed {
            report.push_str(sum);
            report.push_str(" check failed\n");
            return respond::text(StatusCode::INTERNAL_SERVER_ERROR, report);
        }
        if verbose {
            report.push_str(sum);
            report.push_str(" check passed\n");
            return respond::text(StatusCode::OK, report);
        }
        respond::text(StatusCode::OK, "ok")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        let bad = || -> BoxFuture<'static, Outcome> { Box::pin(async { Err("no".into()) }) };
        Health::new()
            .with("definitions", Counts::Ready, bad)
            .with("etcd", Counts::Alone, bad)
    }

    async fn get(path: &str, query: &str) -> (u16, String) {
        let response = health().answer(path, query).await.expect("a health path");
        let code = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .expect("whole");
        (code, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn only_readiness_counts_what_makes_ready() {
        assert_eq!(get("/livez", "").await, (200, "ok".into()));
        let (code, text) = get("/readyz", "").await;
        assert_eq!(code, 500);
        assert_eq!(
            text,
            "[+]ping ok\n[-]definitions failed: reason withheld\nreadyz check failed\n"
        );
    }

    #[tokio::test]
    async fn excluded_checks_do_not_count_and_unknown_ones_are_named() {
        let (code, text) = get("/readyz", "verbose&exclude=definitions&exclude=x").await;
        assert_eq!(code, 200);
        assert_eq!(
            text,
            "[+]ping ok\n[+]definitions excluded: ok\n\
             warn: some health checks cannot be excluded: no matches for \"x\"\n\
             readyz check passed\n"
        );
    }

    #[tokio::test]
    async fn the_store_has_its_own_path_and_is_in_no_sum() {
        assert_eq!(get("/readyz/etcd", "").await.0, 500);
        assert_eq!(get("/readyz/ping", "").await, (200, "ok".into()));
        assert_eq!(get("/readyz/nonsense", "").await.0, 404);
        assert!(!get("/readyz", "verbose").await.1.contains("etcd"));
    }

    #[tokio::test]
    async fn other_paths_are_somebody_elses() {
        assert!(health().answer("/livezz", "").await.is_none());
    }
}
