//! Flags of the Kubernetes API server library that mean nothing here: accepted, so that manifests
//! written for other servers work, and named in a warning, so that nobody relies on them.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, parser::ValueSource};

/// Names without the dashes. Each takes a value, or none, as Go's flags do.
const NAMES: &[&str] = &[
    "admission-control-config-file",
    "alsologtostderr",
    "audit-log-batch-buffer-size",
    "audit-log-batch-max-size",
    "audit-log-batch-max-wait",
    "audit-log-batch-throttle-burst",
    "audit-log-batch-throttle-enable",
    "audit-log-batch-throttle-qps",
    "audit-log-compress",
    "audit-log-format",
    "audit-log-maxage",
    "audit-log-maxbackup",
    "audit-log-maxsize",
    "audit-log-mode",
    "audit-log-path",
    "audit-log-truncate-enabled",
    "audit-log-truncate-max-batch-size",
    "audit-log-truncate-max-event-size",
    "audit-log-version",
    "audit-policy-file",
    "audit-webhook-config-file",
    "audit-webhook-initial-backoff",
    "audit-webhook-mode",
    "audit-webhook-version",
    "contention-profiling",
    "debug-socket-path",
    "default-watch-cache-size",
    "delete-collection-workers",
    "disable-admission-plugins",
    "disable-http2-serving",
    "egress-selector-config-file",
    "emulated-version",
    "emulation-forward-compatible",
    "enable-admission-plugins",
    "enable-garbage-collector",
    "enable-priority-and-fairness",
    "encryption-provider-config",
    "encryption-provider-config-automatic-reload",
    "etcd-count-metric-poll-period",
    "etcd-db-metric-poll-interval",
    "etcd-healthcheck-timeout",
    "etcd-readycheck-timeout",
    "etcd-servers-overrides",
    "feature-gates",
    "goaway-chance",
    "http2-max-streams-per-connection",
    "lease-reuse-duration-seconds",
    "livez-grace-period",
    "log-flush-frequency",
    "log-json-info-buffer-size",
    "log-json-split-stream",
    "log-text-info-buffer-size",
    "log-text-split-stream",
    "log_backtrace_at",
    "log_dir",
    "log_file",
    "log_file_max_size",
    "logtostderr",
    "min-request-timeout",
    "one_output",
    "permit-address-sharing",
    "permit-port-sharing",
    "profiling",
    "runtime-config-emulation-forward-compatible",
    "shutdown-send-retry-after",
    "skip_headers",
    "skip_log_headers",
    "stderrthreshold",
    "storage-backend",
    "storage-initialization-timeout",
    "storage-media-type",
    "tls-cipher-suites",
    "tls-min-version",
    "tls-sni-cert-key",
    "tracing-config-file",
    "vmodule",
    "watch-cache",
    "watch-cache-sizes",
];

/// The flags that were given although they mean nothing.
#[derive(Debug, Clone, Default)]
pub struct Ignored {
    given: Vec<String>,
}

impl Ignored {
    /// Their names, without the dashes.
    #[must_use]
    pub fn given(&self) -> &[String] {
        &self.given
    }
}

impl FromArgMatches for Ignored {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut ignored = Self::default();
        ignored.update_from_arg_matches(matches)?;
        Ok(ignored)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        let given = |name: &&&str| matches.value_source(name) == Some(ValueSource::CommandLine);
        self.given = NAMES
            .iter()
            .filter(given)
            .map(|name| (*name).to_owned())
            .collect();
        Ok(())
    }
}

impl Args for Ignored {
    fn augment_args(command: Command) -> Command {
        command.args(NAMES.iter().map(|name| {
            Arg::new(*name)
                .long(*name)
                .hide(true)
                .num_args(0..=1)
                .allow_hyphen_values(false)
                .action(ArgAction::Append)
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
