//! Statements of the journal, under kine's names.

use std::time::Duration;

use helium_journal::StatementObserver;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tracing::{info, warn};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatementLabels {
    name: &'static str,
    error_code: String,
}

/// Counts and times statements, and names the slow ones in the log.
#[derive(Debug, Clone)]
pub(crate) struct SqlMetrics {
    total: Family<StatementLabels, Counter>,
    seconds: Family<StatementLabels, Histogram, fn() -> Histogram>,
    slow: Duration,
    slow_warning: Duration,
}

impl SqlMetrics {
    /// Counters in `registry`; statements slower than the two bounds are logged. Zero means never.
    pub(crate) fn register(
        registry: &mut Registry,
        slow: Duration,
        slow_warning: Duration,
    ) -> Self {
        let metrics = Self {
            total: Family::default(),
            // kine's buckets: 1 ms doubling, 14 of them.
            seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 14))
            }),
            slow,
            slow_warning,
        };
        registry.register(
            "kine_sql",
            "statements by name and error",
            metrics.total.clone(),
        );
        registry.register(
            "kine_sql_time_seconds",
            "time of statements by name and error",
            metrics.seconds.clone(),
        );
        metrics
    }
}

impl StatementObserver for SqlMetrics {
    fn statement_done(&self, name: &'static str, elapsed: Duration, error_code: &str) {
        let labels = StatementLabels {
            name,
            error_code: error_code.to_owned(),
        };
        self.total.get_or_create(&labels).inc();
        self.seconds
            .get_or_create(&labels)
            .observe(elapsed.as_secs_f64());
        if !self.slow_warning.is_zero() && elapsed >= self.slow_warning {
            warn!(statement = name, ?elapsed, "slow statement");
        } else if !self.slow.is_zero() && elapsed >= self.slow {
            info!(statement = name, ?elapsed, "slow statement");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_counted_under_the_names_of_kine() {
        let mut registry = Registry::default();
        let metrics = SqlMetrics::register(&mut registry, Duration::ZERO, Duration::ZERO);
        metrics.statement_done("entry_append", Duration::from_millis(3), "");
        metrics.statement_done("entry_append", Duration::from_millis(3), "40001");
        let text = helium_telemetry::metrics::encode(&registry).expect("metrics encode");
        for line in [
            r#"kine_sql_total{name="entry_append",error_code=""} 1"#,
            r#"kine_sql_total{name="entry_append",error_code="40001"} 1"#,
            r#"kine_sql_time_seconds_count{name="entry_append",error_code=""} 1"#,
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
