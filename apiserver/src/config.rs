//! Everything that an instance is told, independent of how (flags, or a caller in the same process).

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use helium_apimachinery::lease::DurationLimits;
use url::Url;

/// Configuration of one API server instance.
#[derive(Debug, Clone)]
pub struct Config {
    /// The cluster that this instance serves; a lower-case DNS label.
    pub cluster_name: String,
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Serving certificate.
    pub tls: ServingTls,
    /// Where identities come from.
    pub authentication: Authentication,
    /// Who decides what they may do.
    pub authorization: Authorization,
    /// The etcd endpoints that hold the state.
    pub store: StoreConfig,
    /// Limits on what one client or all of them may ask at once.
    pub limits: Limits,
    /// Serve a virtual `namespaces` resource under `/api/v1` (for use without a kube-apiserver in front).
    pub serve_namespaces: bool,
    /// Refuse the cluster as soon as it is no member of a fleet that has members.
    pub require_member: bool,
    /// Directory for what outlives the process: the last known definitions, and what is to be settled when the store is
    /// back. Without it a start needs the store.
    pub state_dir: Option<PathBuf>,
    /// User names of the cluster's namespace controller, for the namespace guard.
    pub namespace_controllers: Vec<String>,
    /// User names of the cluster's garbage collector, for the owner guard.
    pub garbage_collectors: Vec<String>,
    /// Rules for objects of built-in kinds.
    pub rules: Rules,
}

/// Rules for objects of built-in kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// How long an event is kept after its last change.
    pub event_ttl: Duration,
    /// How long leases may last.
    pub lease_durations: DurationLimits,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            event_ttl: Duration::from_secs(3600),
            lease_durations: DurationLimits::default(),
        }
    }
}

/// PEM files of a certificate chain and its key. Read again when they change.
#[derive(Debug, Clone)]
pub struct ServingTls {
    /// Certificate chain, leaf first.
    pub cert_file: PathBuf,
    /// Private key.
    pub key_file: PathBuf,
}

/// Where identities come from.
#[derive(Debug, Clone, Default)]
pub struct Authentication {
    /// Authorities whose certificates are users (CN) and groups (O).
    pub client_ca_file: Option<PathBuf>,
    /// The front proxy's authority and headers, if told by flags.
    pub request_header: Option<RequestHeader>,
    /// Kubeconfig for TokenReview and the `extension-apiserver-authentication` lookup.
    pub kubeconfig: Kubeconfig,
    /// Do not look up `kube-system/extension-apiserver-authentication`.
    pub skip_lookup: bool,
    /// Go on without it if the lookup fails at start.
    pub tolerate_lookup_failure: bool,
    /// How long the outcome of a TokenReview is remembered.
    pub token_cache_ttl: Duration,
    /// Whether a request without a credential is the anonymous user (else 401).
    pub anonymous: bool,
}

/// How a front proxy hands identities on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// Authorities of the proxy's client certificate.
    pub ca_file: PathBuf,
    /// Common names that the proxy's certificate may have; empty allows any.
    pub allowed_names: Vec<String>,
    /// Headers with the user name, first match wins.
    pub username_headers: Vec<String>,
    /// Headers with the user's uid; none are trusted unless named here.
    pub uid_headers: Vec<String>,
    /// Headers with groups.
    pub group_headers: Vec<String>,
    /// Prefixes of headers with extra attributes.
    pub extra_header_prefixes: Vec<String>,
}

/// How the host cluster's kube-apiserver is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Kubeconfig {
    /// Not at all.
    #[default]
    None,
    /// With the pod's service account.
    InCluster,
    /// With the current context of this file.
    File(PathBuf),
}

/// Who decides what an identity may do.
#[derive(Debug, Clone)]
pub enum Authorization {
    /// SubjectAccessReviews at the host cluster.
    Delegated {
        /// How it is reached.
        kubeconfig: Kubeconfig,
        /// Paths that are always allowed, such as `/healthz`; a trailing `*` matches any rest.
        always_allow_paths: Vec<String>,
        /// How long "allowed" is remembered.
        allowed_ttl: Duration,
        /// How long "not allowed" is remembered.
        denied_ttl: Duration,
    },
    /// Members of `system:masters` may do everything, the others only read the always-allowed paths.
    MastersOnly {
        /// Paths that are always allowed.
        always_allow_paths: Vec<String>,
    },
    /// Everybody may do everything. For embedding behind something that decides.
    AlwaysAllow,
}

/// The etcd v3 endpoints that hold the state.
#[derive(Clone)]
pub struct StoreConfig {
    /// Endpoint URLs; any may answer.
    pub servers: Vec<Url>,
    /// Prefix of every key, such as `/registry`.
    pub prefix: String,
    /// Authority of the endpoints' certificates.
    pub ca_file: Option<PathBuf>,
    /// Client certificate.
    pub cert_file: Option<PathBuf>,
    /// Key of the client certificate.
    pub key_file: Option<PathBuf>,
    /// Time between two compactions; zero turns them off.
    pub compaction_interval: Duration,
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.servers.iter().map(Url::host_str).collect();
        f.debug_struct("StoreConfig")
            .field("hosts", &hosts)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Limits on what may be asked at once.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Reading requests in flight; zero means no limit.
    pub max_requests_inflight: usize,
    /// Writing requests in flight; zero means no limit.
    pub max_mutating_requests_inflight: usize,
    /// Largest request body in bytes.
    pub max_body_bytes: usize,
    /// Time for a request that isn't long-running.
    pub request_timeout: Duration,
    /// Time between the end of readiness and the close of the listener, so that whoever sends
    /// requests here can learn not to.
    pub shutdown_delay: Duration,
    /// Time that shutdown waits for requests in flight.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_requests_inflight: 400,
            max_mutating_requests_inflight: 200,
            max_body_bytes: 3 * 1024 * 1024,
            request_timeout: Duration::from_secs(60),
            shutdown_delay: Duration::ZERO,
            shutdown_grace: Duration::from_secs(10),
        }
    }
}
