//! The command line of `helium-apiserver`.
//!
//! Flags are those of every aggregated API server built on the Kubernetes library, with the same
//! names and defaults, so that manifests written for others work; those of ours are `--cluster-name`,
//! `--state-dir`, `--serve-namespaces`, `--require-member` and the guards' user lists. Flags of that library which mean nothing here are accepted with a
//! warning; unknown ones are refused. Every flag can be given by an environment variable
//! `HELIUM_APISERVER_<FLAG>`.

mod ignored;
mod rules;
mod values;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser};
use helium_telemetry::logging::Format;
use helium_tls::pki::Authority;
use url::Url;

use crate::config::{
    Authentication, Authorization, Config, Kubeconfig, Limits, RequestHeader, ServingTls,
    StoreConfig,
};
pub use ignored::Ignored;
use rules::RuleFlags;

/// Directory for a generated serving certificate.
const CERT_DIR: &str = "apiserver.local.config/certificates";
/// Base name of the generated serving certificate.
const CERT_STEM: &str = "apiserver";
/// Environment variable that every pod has.
const IN_CLUSTER: &str = "KUBERNETES_SERVICE_HOST";

/// Serves shared Kubernetes APIs to one cluster, from a store that all clusters share.
#[derive(Debug, Parser)]
#[command(name = "helium-apiserver", version, max_term_width = 100)]
pub struct Options {
    /// Name of the cluster that this instance serves; a lower-case DNS label.
    #[arg(long, env = "HELIUM_APISERVER_CLUSTER_NAME", value_parser = values::cluster_name)]
    cluster_name: String,
    #[command(flatten)]
    serving: Serving,
    #[command(flatten)]
    authentication: AuthenticationFlags,
    #[command(flatten)]
    authorization: AuthorizationFlags,
    #[command(flatten)]
    store: StoreFlags,
    #[command(flatten)]
    behaviour: Behaviour,
    #[command(flatten)]
    logging: Logging,
    #[command(flatten)]
    ignored: Ignored,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Serving")]
struct Serving {
    /// Port to serve HTTPS on; 0 takes a free one.
    #[arg(long, default_value_t = 443, env = "HELIUM_APISERVER_SECURE_PORT")]
    secure_port: u16,
    /// Address to listen on.
    #[arg(long, default_value = "0.0.0.0", env = "HELIUM_APISERVER_BIND_ADDRESS")]
    bind_address: IpAddr,
    /// Serving certificate chain (PEM), read again when it changes.
    #[arg(
        long,
        requires = "tls_private_key_file",
        env = "HELIUM_APISERVER_TLS_CERT_FILE"
    )]
    tls_cert_file: Option<PathBuf>,
    /// Key of the serving certificate (PEM).
    #[arg(
        long,
        requires = "tls_cert_file",
        env = "HELIUM_APISERVER_TLS_PRIVATE_KEY_FILE"
    )]
    tls_private_key_file: Option<PathBuf>,
    /// Directory for a self-signed serving certificate when none is given.
    #[arg(long, default_value = CERT_DIR, env = "HELIUM_APISERVER_CERT_DIR")]
    cert_dir: PathBuf,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Authentication")]
struct AuthenticationFlags {
    /// Authorities of users' client certificates (PEM).
    #[arg(long, env = "HELIUM_APISERVER_CLIENT_CA_FILE")]
    client_ca_file: Option<PathBuf>,
    /// Authorities of the front proxy's client certificate (PEM).
    #[arg(long, env = "HELIUM_APISERVER_REQUESTHEADER_CLIENT_CA_FILE")]
    requestheader_client_ca_file: Option<PathBuf>,
    /// Common names that the front proxy's certificate may have; none given allows any.
    #[arg(
        long,
        value_delimiter = ',',
        env = "HELIUM_APISERVER_REQUESTHEADER_ALLOWED_NAMES"
    )]
    requestheader_allowed_names: Vec<String>,
    /// Headers with the user name.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "x-remote-user",
        env = "HELIUM_APISERVER_REQUESTHEADER_USERNAME_HEADERS"
    )]
    requestheader_username_headers: Vec<String>,
    /// Headers with the user's uid.
    #[arg(
        long,
        value_delimiter = ',',
        env = "HELIUM_APISERVER_REQUESTHEADER_UID_HEADERS"
    )]
    requestheader_uid_headers: Vec<String>,
    /// Headers with groups.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "x-remote-group",
        env = "HELIUM_APISERVER_REQUESTHEADER_GROUP_HEADERS"
    )]
    requestheader_group_headers: Vec<String>,
    /// Prefixes of headers with further attributes.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "x-remote-extra-",
        env = "HELIUM_APISERVER_REQUESTHEADER_EXTRA_HEADERS_PREFIX"
    )]
    requestheader_extra_headers_prefix: Vec<String>,
    /// Kubeconfig of the cluster, for all that isn't given a kubeconfig of its own.
    #[arg(long, env = "HELIUM_APISERVER_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Kubeconfig for TokenReviews and the lookup of the cluster's authentication settings.
    #[arg(long, env = "HELIUM_APISERVER_AUTHENTICATION_KUBECONFIG")]
    authentication_kubeconfig: Option<PathBuf>,
    /// Do not look up the cluster's authentication settings.
    #[arg(long, num_args = 0..=1, default_value_t, default_missing_value = "true",
        env = "HELIUM_APISERVER_AUTHENTICATION_SKIP_LOOKUP")]
    authentication_skip_lookup: bool,
    /// Start although that lookup fails.
    #[arg(long, num_args = 0..=1, default_value_t, default_missing_value = "true",
        env = "HELIUM_APISERVER_AUTHENTICATION_TOLERATE_LOOKUP_FAILURE")]
    authentication_tolerate_lookup_failure: bool,
    /// How long the outcome of a TokenReview is remembered.
    #[arg(long, default_value = "10s", value_parser = values::duration,
        env = "HELIUM_APISERVER_AUTHENTICATION_TOKEN_WEBHOOK_CACHE_TTL")]
    authentication_token_webhook_cache_ttl: Duration,
    /// Whether requests without a credential are the anonymous user; else they are refused.
    #[arg(long, num_args = 0..=1, default_value_t = true, default_missing_value = "true",
        action = clap::ArgAction::Set, env = "HELIUM_APISERVER_ANONYMOUS_AUTH")]
    anonymous_auth: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Authorization")]
struct AuthorizationFlags {
    /// Kubeconfig for SubjectAccessReviews.
    #[arg(long, env = "HELIUM_APISERVER_AUTHORIZATION_KUBECONFIG")]
    authorization_kubeconfig: Option<PathBuf>,
    /// Paths that need no authorization.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "/healthz,/readyz,/livez",
        env = "HELIUM_APISERVER_AUTHORIZATION_ALWAYS_ALLOW_PATHS"
    )]
    authorization_always_allow_paths: Vec<String>,
    /// How long "allowed" is remembered.
    #[arg(long, default_value = "10s", value_parser = values::duration,
        env = "HELIUM_APISERVER_AUTHORIZATION_WEBHOOK_CACHE_AUTHORIZED_TTL")]
    authorization_webhook_cache_authorized_ttl: Duration,
    /// How long "not allowed" is remembered.
    #[arg(long, default_value = "10s", value_parser = values::duration,
        env = "HELIUM_APISERVER_AUTHORIZATION_WEBHOOK_CACHE_UNAUTHORIZED_TTL")]
    authorization_webhook_cache_unauthorized_ttl: Duration,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Store")]
struct StoreFlags {
    /// Endpoints of the etcd v3 API that holds the state, separated by commas.
    #[arg(long, value_delimiter = ',', required = true, value_parser = values::endpoint,
        env = "HELIUM_APISERVER_ETCD_SERVERS")]
    etcd_servers: Vec<Url>,
    /// Prefix of every key.
    #[arg(
        long,
        default_value = "/registry",
        env = "HELIUM_APISERVER_ETCD_PREFIX"
    )]
    etcd_prefix: String,
    /// Authorities of the endpoints' certificates (PEM).
    #[arg(long, env = "HELIUM_APISERVER_ETCD_CAFILE")]
    etcd_cafile: Option<PathBuf>,
    /// Client certificate for the endpoints (PEM).
    #[arg(
        long,
        requires = "etcd_keyfile",
        env = "HELIUM_APISERVER_ETCD_CERTFILE"
    )]
    etcd_certfile: Option<PathBuf>,
    /// Key of that certificate (PEM).
    #[arg(
        long,
        requires = "etcd_certfile",
        env = "HELIUM_APISERVER_ETCD_KEYFILE"
    )]
    etcd_keyfile: Option<PathBuf>,
    /// Time between two compactions of the store; 0 leaves compacting to others.
    #[arg(long, default_value = "5m", value_parser = values::duration,
        env = "HELIUM_APISERVER_ETCD_COMPACTION_INTERVAL")]
    etcd_compaction_interval: Duration,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Behaviour")]
struct Behaviour {
    /// Reading requests served at once; 0 means no limit.
    #[arg(
        long,
        default_value_t = 400,
        env = "HELIUM_APISERVER_MAX_REQUESTS_INFLIGHT"
    )]
    max_requests_inflight: usize,
    /// Writing requests served at once; 0 means no limit.
    #[arg(
        long,
        default_value_t = 200,
        env = "HELIUM_APISERVER_MAX_MUTATING_REQUESTS_INFLIGHT"
    )]
    max_mutating_requests_inflight: usize,
    /// Time that a request may take, watches excepted.
    #[arg(long, default_value = "1m", value_parser = values::duration,
        env = "HELIUM_APISERVER_REQUEST_TIMEOUT")]
    request_timeout: Duration,
    /// Time to go on serving after the end of readiness, when asked to stop.
    #[arg(
        long,
        default_value = "0s",
        value_parser = values::duration,
        env = "HELIUM_APISERVER_SHUTDOWN_DELAY_DURATION"
    )]
    shutdown_delay_duration: Duration,
    /// Serve namespaces under /api/v1, for clients without a kube-apiserver in between.
    #[arg(long, num_args = 0..=1, default_value_t, default_missing_value = "true",
        env = "HELIUM_APISERVER_SERVE_NAMESPACES")]
    serve_namespaces: bool,
    /// Refuse this cluster's requests once it is no member of the fleet. A fleet without certificate authorities refuses nobody.
    #[arg(long, num_args = 0..=1, default_value_t, default_missing_value = "true",
        env = "HELIUM_APISERVER_REQUIRE_MEMBER")]
    require_member: bool,
    /// Directory for what outlives the process, so that it can start while the store is down.
    #[arg(long, env = "HELIUM_APISERVER_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Users whose deletion of a namespace's content must not touch the other clusters.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "system:serviceaccount:kube-system:namespace-controller,system:kube-controller-manager",
        env = "HELIUM_APISERVER_NAMESPACE_CONTROLLER_USERS"
    )]
    namespace_controller_users: Vec<String>,
    /// Users that delete objects whose owners are gone.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "system:serviceaccount:kube-system:generic-garbage-collector,system:kube-controller-manager",
        env = "HELIUM_APISERVER_GARBAGE_COLLECTOR_USERS"
    )]
    garbage_collector_users: Vec<String>,
    #[command(flatten)]
    rules: RuleFlags,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Logging")]
struct Logging {
    /// Verbosity: 0 to 3 life-cycle and warnings, 4 and 5 every request, more everything.
    #[arg(
        short = 'v',
        long = "v",
        default_value_t = 0,
        env = "HELIUM_APISERVER_V"
    )]
    verbosity: u8,
    /// Form of log lines: plain or json.
    #[arg(
        long,
        default_value_t,
        alias = "logging-format",
        env = "HELIUM_APISERVER_LOG_FORMAT"
    )]
    log_format: Format,
}

/// Why flags can't be turned into a configuration.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// No certificate was given and none can be made.
    #[error(
        "making a serving certificate in {directory}; give --tls-cert-file and --tls-private-key-file, or --cert-dir"
    )]
    Certificate {
        /// The directory.
        directory: String,
        /// What went wrong.
        #[source]
        source: Box<helium_tls::Error>,
    },
    /// No lease could have a duration that is allowed.
    #[error(
        "no whole number of seconds lies between --lease-duration-min {min:?} and --lease-duration-max {max:?}; \
         give a longer maximum or a shorter minimum"
    )]
    LeaseDurations {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
}

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Form of a line.
    pub format: Format,
    /// Filter directives.
    pub filter: &'static str,
}

impl Options {
    /// How to log.
    #[must_use]
    pub fn log_settings(&self) -> LogSettings {
        let filter = match self.logging.verbosity {
            0..=3 => "info",
            4..=5 => "info,helium_apiserver=debug",
            6..=8 => "debug",
            _ => "trace",
        };
        LogSettings {
            format: self.logging.log_format,
            filter,
        }
    }

    /// Flags that were given and mean nothing here.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        self.ignored.given()
    }

    /// The configuration that the flags describe. Makes a serving certificate if none is given and
    /// none was made before.
    ///
    /// # Errors
    /// [`OptionsError`] when that certificate can't be made.
    pub fn into_config(self) -> Result<Config, OptionsError> {
        let Self {
            cluster_name,
            serving,
            authentication,
            authorization,
            store,
            behaviour,
            logging: _,
            ignored: _,
        } = self;
        let Serving {
            secure_port,
            bind_address,
            tls_cert_file,
            tls_private_key_file,
            cert_dir,
        } = serving;
        let tls = match (tls_cert_file, tls_private_key_file) {
            (Some(cert_file), Some(key_file)) => ServingTls {
                cert_file,
                key_file,
            },
            _ => own_certificate(&cert_dir)?,
        };
        let general = authentication.kubeconfig.clone();
        let AuthorizationFlags {
            authorization_kubeconfig,
            authorization_always_allow_paths,
            authorization_webhook_cache_authorized_ttl,
            authorization_webhook_cache_unauthorized_ttl,
        } = authorization;
        let StoreFlags {
            etcd_servers,
            etcd_prefix,
            etcd_cafile,
            etcd_certfile,
            etcd_keyfile,
            etcd_compaction_interval,
        } = store;
        let Behaviour {
            max_requests_inflight,
            max_mutating_requests_inflight,
            request_timeout,
            shutdown_delay_duration,
            serve_namespaces,
            require_member,
            state_dir,
            namespace_controller_users,
            garbage_collector_users,
            rules,
        } = behaviour;
        Ok(Config {
            cluster_name,
            listen: SocketAddr::new(bind_address, secure_port),
            tls,
            authentication: authentication.into_config(),
            authorization: Authorization::Delegated {
                kubeconfig: kubeconfig(authorization_kubeconfig, general.as_deref()),
                always_allow_paths: authorization_always_allow_paths,
                allowed_ttl: authorization_webhook_cache_authorized_ttl,
                denied_ttl: authorization_webhook_cache_unauthorized_ttl,
            },
            store: StoreConfig {
                servers: etcd_servers,
                prefix: etcd_prefix,
                ca_file: etcd_cafile,
                cert_file: etcd_certfile,
                key_file: etcd_keyfile,
                compaction_interval: etcd_compaction_interval,
            },
            limits: Limits {
                max_requests_inflight,
                max_mutating_requests_inflight,
                request_timeout,
                shutdown_delay: shutdown_delay_duration,
                ..Limits::default()
            },
            serve_namespaces,
            require_member,
            state_dir,
            namespace_controllers: namespace_controller_users,
            garbage_collectors: garbage_collector_users,
            rules: rules.into_rules()?,
        })
    }
}

impl AuthenticationFlags {
    fn into_config(self) -> Authentication {
        let Self {
            client_ca_file,
            requestheader_client_ca_file,
            requestheader_allowed_names,
            requestheader_username_headers,
            requestheader_uid_headers,
            requestheader_group_headers,
            requestheader_extra_headers_prefix,
            kubeconfig: general,
            authentication_kubeconfig,
            authentication_skip_lookup,
            authentication_tolerate_lookup_failure,
            authentication_token_webhook_cache_ttl,
            anonymous_auth,
        } = self;
        Authentication {
            client_ca_file,
            request_header: requestheader_client_ca_file.map(|ca_file| RequestHeader {
                ca_file,
                allowed_names: requestheader_allowed_names,
                username_headers: requestheader_username_headers,
                uid_headers: requestheader_uid_headers,
                group_headers: requestheader_group_headers,
                extra_header_prefixes: requestheader_extra_headers_prefix,
            }),
            kubeconfig: kubeconfig(authentication_kubeconfig, general.as_deref()),
            skip_lookup: authentication_skip_lookup,
            tolerate_lookup_failure: authentication_tolerate_lookup_failure,
            token_cache_ttl: authentication_token_webhook_cache_ttl,
            anonymous: anonymous_auth,
        }
    }
}

/// The special file, else the general one, else the pod's service account, else none.
fn kubeconfig(special: Option<PathBuf>, general: Option<&Path>) -> Kubeconfig {
    match special.or_else(|| general.map(Path::to_owned)) {
        Some(path) => Kubeconfig::File(path),
        None if std::env::var_os(IN_CLUSTER).is_some() => Kubeconfig::InCluster,
        None => Kubeconfig::None,
    }
}

/// The certificate in `directory`, made and signed by ourselves if there is none.
fn own_certificate(directory: &Path) -> Result<ServingTls, OptionsError> {
    let tls = ServingTls {
        cert_file: directory.join(format!("{CERT_STEM}.crt")),
        key_file: directory.join(format!("{CERT_STEM}.key")),
    };
    if tls.cert_file.exists() && tls.key_file.exists() {
        return Ok(tls);
    }
    let made = Authority::new("helium-apiserver-self-signed").and_then(|authority| {
        let mut issued =
            authority.issue_server("helium-apiserver", &["localhost", "127.0.0.1", "::1"])?;
        // The authority goes with the chain, so that a client can be told to trust it.
        issued.certificate_pem.push_str(authority.certificate_pem());
        issued.save(directory, CERT_STEM)
    });
    made.map(|_paths| tls)
        .map_err(|source| OptionsError::Certificate {
            directory: directory.display().to_string(),
            source: Box::new(source),
        })
}

#[cfg(test)]
mod tests;
