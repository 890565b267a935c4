//! The command line: kine's flags and environment names, and our own.
//!
//! Flags that concern kine's way of storing are accepted so that a unit file or a manifest works
//! unchanged; using one is told once, at the start.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use helium_telemetry::logging;

use crate::duration::{parse_duration, parse_percent};
use crate::listener::ListenAddress;

/// An etcd v3 server over a SQL database: PostgreSQL, YugabyteDB, or SQLite.
#[derive(Debug, Clone, Parser)]
#[command(name = "kine-shim", version = VERSION_TEXT, max_term_width = 100)]
pub struct Options {
    /// Where clients connect: host:port, or unix:///path.
    #[arg(long, env = "KINE_LISTEN_ADDRESS", default_value = "0.0.0.0:2379")]
    pub listen_address: ListenAddress,
    #[command(flatten)]
    pub(crate) storage: Storage,
    #[command(flatten)]
    pub(crate) server: ServerFlags,
    #[command(flatten)]
    pub(crate) metrics: MetricsFlags,
    #[command(flatten)]
    pub(crate) tuning: Tuning,
    #[command(flatten)]
    pub(crate) logging: Logging,
    #[command(flatten)]
    pub(crate) legacy: Legacy,
    #[command(flatten)]
    pub(crate) refused: Refused,
}

/// What `--version` prints after the program's name.
const VERSION_TEXT: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (serves the etcd v3 API, version 3.7)"
);

/// The database.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub(crate) struct Storage {
    /// Database URL: postgres://user:password@host:port/database, sqlite:///path/file.db, or
    /// memory://. Empty: the SQLite file ./db/state.db.
    #[arg(
        long,
        env = "KINE_ENDPOINT",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) endpoint: String,
    /// Authorities that the database's certificate is verified against.
    #[arg(long, env = "KINE_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Our certificate for the database.
    #[arg(long, env = "KINE_CERT_FILE", requires = "key_file")]
    pub(crate) cert_file: Option<PathBuf>,
    /// Private key of --cert-file.
    #[arg(long, env = "KINE_KEY_FILE", requires = "cert_file")]
    pub(crate) key_file: Option<PathBuf>,
    /// Which of the database's logs to serve: one log is one etcd.
    #[arg(long, env = "KINE_LOG_ID", default_value_t = 0)]
    pub(crate) log_id: i32,
    /// How long to keep trying to reach the database at the start.
    #[arg(long, env = "KINE_STARTUP_TIMEOUT", default_value = "300s", value_parser = parse_duration)]
    pub(crate) startup_timeout: Duration,
    /// Statements that take longer are logged.
    #[arg(long, env = "KINE_SLOW_SQL_THRESHOLD", default_value = "1s", value_parser = parse_duration)]
    pub(crate) slow_sql_threshold: Duration,
    /// Statements that take longer are logged as warnings.
    #[arg(
        long,
        env = "KINE_SLOW_SQL_WARNING_THRESHOLD",
        default_value = "5s",
        value_parser = parse_duration
    )]
    pub(crate) slow_sql_warning_threshold: Duration,
}

/// The etcd API.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "etcd API")]
pub(crate) struct ServerFlags {
    /// Name of this instance in the member list.
    #[arg(long, env = "KINE_NAME", default_value = "")]
    pub(crate) name: String,
    /// Where clients reach this instance. Default: made from --listen-address.
    #[arg(
        long = "advertise-client-url",
        visible_alias = "advertise-client-urls",
        env = "KINE_ADVERTISE_CLIENT_URL",
        value_delimiter = ','
    )]
    pub(crate) advertise_client_urls: Vec<url::Url>,
    /// Certificate for clients; turns TLS on.
    #[arg(long, env = "KINE_SERVER_CERT_FILE", requires = "server_key_file")]
    pub(crate) server_cert_file: Option<PathBuf>,
    /// Private key of --server-cert-file.
    #[arg(long, env = "KINE_SERVER_KEY_FILE", requires = "server_cert_file")]
    pub(crate) server_key_file: Option<PathBuf>,
    /// Authorities of client certificates; clients then need one.
    #[arg(long, env = "KINE_TRUSTED_CA_FILE", requires = "server_cert_file")]
    pub(crate) trusted_ca_file: Option<PathBuf>,
    /// Accept the members of the fleet alone, by the authorities that their objects in the store list:
    /// helium-apiserver keeps them at <its --etcd-prefix>/helium.dev/members/. While none lists any,
    /// --trusted-ca-file decides.
    #[arg(
        long,
        env = "KINE_MEMBERS_PREFIX",
        requires = "server_cert_file",
        value_parser = parse_members_prefix
    )]
    pub(crate) members_prefix: Option<String>,
    /// A key that is put, for two hours, when the database was found to have gone back in time: helium-apiserver
    /// looks for it at <its --etcd-prefix>/helium.dev/incarnations/store, and begins no term of a failover
    /// group that an earlier one may overlap. The same for all instances on a log.
    #[arg(long, env = "KINE_INCARNATION_KEY", value_parser = parse_incarnation_key)]
    pub(crate) incarnation_key: Option<String>,
    /// Certificate that other instances are shown. Default: --server-cert-file.
    #[arg(long, env = "KINE_PEER_CERT_FILE", requires_all = ["peer_key_file", "server_cert_file"])]
    pub(crate) peer_cert_file: Option<PathBuf>,
    /// Private key of --peer-cert-file.
    #[arg(long, env = "KINE_PEER_KEY_FILE", requires = "peer_cert_file")]
    pub(crate) peer_key_file: Option<PathBuf>,
    /// Authorities of other instances, which are linked to over TLS then. With --members-prefix:
    /// while no member lists an authority.
    #[arg(long, env = "KINE_PEER_CA_FILE", requires = "server_cert_file")]
    pub(crate) peer_ca_file: Option<PathBuf>,
    /// The etcd version that clients are told.
    #[arg(
        long,
        env = "KINE_EMULATED_ETCD_VERSION",
        default_value = "3.7.1",
        value_parser = parse_version
    )]
    pub(crate) emulated_etcd_version: String,
    /// Pause between progress notifications of a watcher that asked for them.
    #[arg(
        long,
        env = "KINE_WATCH_PROGRESS_NOTIFY_INTERVAL",
        default_value = "5s",
        value_parser = parse_duration
    )]
    pub(crate) watch_progress_notify_interval: Duration,
    /// Largest write request, in bytes.
    #[arg(long, env = "KINE_MAX_REQUEST_BYTES", default_value_t = 1_572_864)]
    pub(crate) max_request_bytes: usize,
    /// Pause without a sign of life after which a connection is probed.
    #[arg(
        long,
        env = "KINE_GRPC_KEEPALIVE_INTERVAL",
        default_value = "2h",
        value_parser = parse_duration
    )]
    pub(crate) grpc_keepalive_interval: Duration,
    /// How long the answer to a probe may take.
    #[arg(
        long,
        env = "KINE_GRPC_KEEPALIVE_TIMEOUT",
        default_value = "20s",
        value_parser = parse_duration
    )]
    pub(crate) grpc_keepalive_timeout: Duration,
}

/// Metrics.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Metrics")]
pub(crate) struct MetricsFlags {
    /// Another address for /metrics, which the client port has too; 0 turns it off.
    #[arg(
        long,
        env = "KINE_METRICS_BIND_ADDRESS",
        default_value = ":8080",
        value_parser = parse_metrics_address
    )]
    pub(crate) metrics_bind_address: MetricsAddress,
    /// Serve that address without TLS even if clients use TLS.
    #[arg(long, env = "KINE_METRICS_IGNORE_TLS_CONFIG")]
    pub(crate) metrics_ignore_tls_config: bool,
}

/// Where metrics are served beside the client port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MetricsAddress {
    Off,
    At(ListenAddress),
}

/// Intervals and bounds of the replica.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Replication")]
pub(crate) struct Tuning {
    /// How a linearizable read makes sure that nothing newer exists: query asks the database,
    /// append writes to it (for databases whose cut-off primaries still answer).
    #[arg(long, env = "KINE_READ_BARRIER", value_enum, default_value_t = Barrier::Query)]
    pub(crate) read_barrier: Barrier,
    /// Shortest pause between two looks for what other instances wrote.
    #[arg(long, env = "KINE_POLL_INTERVAL_MIN", default_value = "10ms", value_parser = parse_duration)]
    pub(crate) poll_interval_min: Duration,
    /// Longest pause between two looks for what other instances wrote.
    #[arg(long, env = "KINE_POLL_INTERVAL_MAX", default_value = "100ms", value_parser = parse_duration)]
    pub(crate) poll_interval_max: Duration,
    /// Pause between two looks for leases that have expired.
    #[arg(
        long,
        env = "KINE_LEASE_EXPIRY_INTERVAL",
        default_value = "250ms",
        value_parser = parse_duration
    )]
    pub(crate) lease_expiry_interval: Duration,
    /// An instance that expires leases and stays silent for this long is replaced.
    #[arg(
        long,
        env = "KINE_LEASE_OWNER_TIMEOUT",
        default_value = "2s",
        value_parser = parse_duration
    )]
    pub(crate) lease_owner_timeout: Duration,
    /// How long a request waits for the database.
    #[arg(long, env = "KINE_REQUEST_TIMEOUT", default_value = "7s", value_parser = parse_duration)]
    pub(crate) request_timeout: Duration,
    /// Don't connect to the other instances: find their writes by looking in the database.
    #[arg(long, env = "KINE_NO_PEERS")]
    pub(crate) no_peers: bool,
    /// Compact this often, keeping --compact-min-retain revisions; 0 leaves it to clients, as
    /// Kubernetes API servers do it themselves.
    #[arg(long, env = "KINE_COMPACT_INTERVAL", default_value = "0s", value_parser = parse_duration)]
    pub(crate) compact_interval: Duration,
    /// Percentage by which the pause between compactions varies.
    #[arg(
        long,
        env = "KINE_COMPACT_INTERVAL_JITTER",
        default_value = "0",
        value_parser = parse_percent
    )]
    pub(crate) compact_interval_jitter: u8,
    /// Revisions that --compact-interval keeps.
    #[arg(long, env = "KINE_COMPACT_MIN_RETAIN", default_value_t = 1000)]
    pub(crate) compact_min_retain: i64,
}

/// How a linearizable read is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Barrier {
    Query,
    Append,
}

/// Logs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logging")]
pub(crate) struct Logging {
    /// plain or json.
    #[arg(long, env = "KINE_LOG_FORMAT", default_value_t = logging::Format::Plain)]
    pub(crate) log_format: logging::Format,
    /// Log every request.
    #[arg(long, env = "KINE_DEBUG")]
    pub(crate) debug: bool,
}

/// Flags of kine that have nothing to act on here.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Accepted for compatibility with kine, without effect")]
pub(crate) struct Legacy {
    /// kine: don't verify the database's certificate. Here sslmode in the URL decides.
    #[arg(long, env = "KINE_SKIP_VERIFY")]
    pub(crate) skip_verify: bool,
    /// kine: size of its connection pool.
    #[arg(
        long,
        env = "KINE_DATASTORE_MAX_IDLE_CONNECTIONS",
        allow_negative_numbers = true
    )]
    pub(crate) datastore_max_idle_connections: Option<i64>,
    /// kine: size of its connection pool.
    #[arg(
        long,
        env = "KINE_DATASTORE_MAX_OPEN_CONNECTIONS",
        allow_negative_numbers = true
    )]
    pub(crate) datastore_max_open_connections: Option<i64>,
    /// kine: age at which a connection is replaced.
    #[arg(long, env = "KINE_DATASTORE_CONNECTION_MAX_LIFETIME", value_parser = parse_duration)]
    pub(crate) datastore_connection_max_lifetime: Option<Duration>,
    /// kine: idle time after which a connection is closed.
    #[arg(long, env = "KINE_DATASTORE_CONNECTION_MAX_IDLE_TIME", value_parser = parse_duration)]
    pub(crate) datastore_connection_max_idle_time: Option<Duration>,
    /// kine: bound of one step of a compaction.
    #[arg(long, env = "KINE_COMPACT_TIMEOUT", value_parser = parse_duration)]
    pub(crate) compact_timeout: Option<Duration>,
    /// kine: revisions in one step of a compaction.
    #[arg(long, env = "KINE_COMPACT_BATCH_SIZE")]
    pub(crate) compact_batch_size: Option<i64>,
    /// kine: rows in one poll.
    #[arg(long, env = "KINE_POLL_BATCH_SIZE")]
    pub(crate) poll_batch_size: Option<i64>,
    /// kine: serve /debug/pprof.
    #[arg(long, env = "KINE_METRICS_ENABLE_PROFILING")]
    pub(crate) metrics_enable_profiling: bool,
}

impl Legacy {
    /// The flags that were given.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        let Self {
            skip_verify,
            datastore_max_idle_connections,
            datastore_max_open_connections,
            datastore_connection_max_lifetime,
            datastore_connection_max_idle_time,
            compact_timeout,
            compact_batch_size,
            poll_batch_size,
            metrics_enable_profiling,
        } = self;
        [
            ("--skip-verify", *skip_verify),
            (
                "--datastore-max-idle-connections",
                datastore_max_idle_connections.is_some(),
            ),
            (
                "--datastore-max-open-connections",
                datastore_max_open_connections.is_some(),
            ),
            (
                "--datastore-connection-max-lifetime",
                datastore_connection_max_lifetime.is_some(),
            ),
            (
                "--datastore-connection-max-idle-time",
                datastore_connection_max_idle_time.is_some(),
            ),
            ("--compact-timeout", compact_timeout.is_some()),
            ("--compact-batch-size", compact_batch_size.is_some()),
            ("--poll-batch-size", poll_batch_size.is_some()),
            ("--metrics-enable-profiling", *metrics_enable_profiling),
        ]
        .into_iter()
        .filter_map(|(flag, given)| given.then_some(flag))
        .collect()
    }
}

/// Flags of kine's T4 driver, which stores in S3: refused, because ignoring one would look like
/// data in a place where there is none.
#[derive(Debug, Clone, Args)]
pub(crate) struct Refused {
    #[arg(long, hide = true, env = "KINE_PEER_LISTEN_ADDRESS")]
    pub(crate) peer_listen_address: Option<String>,
    #[arg(long, hide = true, env = "KINE_PEER_ADVERTISE_ADDRESS")]
    pub(crate) peer_advertise_address: Option<String>,
    #[arg(long, hide = true, env = "KINE_S3_ENDPOINT")]
    pub(crate) s3_endpoint: Option<String>,
    #[arg(long, hide = true, env = "KINE_S3_REGION")]
    pub(crate) s3_region: Option<String>,
    #[arg(long, hide = true, env = "KINE_S3_BUCKET")]
    pub(crate) s3_bucket: Option<String>,
    #[arg(long, hide = true, env = "KINE_S3_PREFIX")]
    pub(crate) s3_prefix: Option<String>,
    #[arg(long, hide = true, env = "KINE_S3_ACCESS_KEY")]
    pub(crate) s3_access_key: Option<String>,
    #[arg(long, hide = true, env = "KINE_S3_SECRET_KEY")]
    pub(crate) s3_secret_key: Option<String>,
}

impl Refused {
    /// The first flag that was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let Self {
            peer_listen_address,
            peer_advertise_address,
            s3_endpoint,
            s3_region,
            s3_bucket,
            s3_prefix,
            s3_access_key,
            s3_secret_key,
        } = self;
        [
            ("--peer-listen-address", peer_listen_address),
            ("--peer-advertise-address", peer_advertise_address),
            ("--s3-endpoint", s3_endpoint),
            ("--s3-region", s3_region),
            ("--s3-bucket", s3_bucket),
            ("--s3-prefix", s3_prefix),
            ("--s3-access-key", s3_access_key),
            ("--s3-secret-key", s3_secret_key),
        ]
        .into_iter()
        .find_map(|(flag, value)| value.is_some().then_some(flag))
    }
}

fn parse_incarnation_key(text: &str) -> Result<String, String> {
    if text.is_empty() || text.ends_with('/') {
        return Err("write a key, such as /registry/helium.dev/incarnations/store".to_owned());
    }
    Ok(text.to_owned())
}

/// A prefix of keys, with the slash at its end.
fn parse_members_prefix(text: &str) -> Result<String, String> {
    let prefix = text.trim_end_matches('/');
    if prefix.is_empty() {
        return Err("write a prefix of keys, such as /registry/helium.dev/members/".to_owned());
    }
    Ok(format!("{prefix}/"))
}

fn parse_metrics_address(text: &str) -> Result<MetricsAddress, crate::listener::AddressError> {
    match text {
        "0" | "" => Ok(MetricsAddress::Off),
        text => text.parse().map(MetricsAddress::At),
    }
}

/// Clients parse the version and switch features by it: a malformed one would switch them off.
fn parse_version(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('.').collect();
    let numbers = parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok());
    if numbers {
        Ok(text.to_owned())
    } else {
        Err("write three numbers with dots, such as 3.7.1".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from(std::iter::once(&"kine-shim").chain(arguments))
    }

    #[test]
    fn command_is_well_formed() {
        Options::command().debug_assert();
    }

    #[test]
    fn command_line_of_kine_is_understood() {
        let options = parse(&[
            "--listen-address=127.0.0.1:2379",
            "--endpoint=postgres://u:p@h/db",
            "--server-cert-file=a",
            "--server-key-file=b",
            "--trusted-ca-file=c",
            "--metrics-bind-address=0",
            "--datastore-max-idle-connections=-1",
            "--compact-interval=5m",
            "--watch-progress-notify-interval=1s",
            "--slow-sql-threshold=0",
        ])
        .expect("kine's flags");
        assert_eq!(options.metrics.metrics_bind_address, MetricsAddress::Off);
        assert_eq!(options.tuning.compact_interval, Duration::from_secs(300));
        assert_eq!(options.legacy.given(), ["--datastore-max-idle-connections"]);
        assert_eq!(options.refused.given(), None);
    }

    #[test]
    fn every_flag_has_the_environment_name_of_kine() {
        for argument in Options::command().get_arguments() {
            let Some(flag) = argument
                .get_long()
                .filter(|flag| !matches!(*flag, "help" | "version"))
            else {
                continue;
            };
            let expected = format!("KINE_{}", flag.to_uppercase().replace('-', "_"));
            let actual = argument
                .get_env()
                .map(|name| name.to_string_lossy().into_owned());
            assert_eq!(actual, Some(expected), "--{flag}");
        }
    }

    #[test]
    fn flags_of_the_s3_driver_are_found() {
        let options = parse(&["--s3-bucket=b"]).expect("parsed");
        assert_eq!(options.refused.given(), Some("--s3-bucket"));
    }

    #[test]
    fn malformed_values_are_usage_errors() {
        for arguments in [
            ["--listen-address", "nowhere"],
            ["--emulated-etcd-version", "3.7"],
            ["--startup-timeout", "soon"],
            ["--advertise-client-url", "not a url"],
            ["--server-cert-file", "without-a-key"],
            ["--incarnation-key", "/registry/"],
            ["--no-such-flag", "1"],
        ] {
            let error = parse(&arguments).expect_err("refused");
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
        }
    }
}
