//! The command line of `helium-agent`. Every flag can be given by an environment variable `HELIUM_AGENT_<FLAG>`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, CommandFactory, FromArgMatches, Parser};
use helium_apimachinery::names;
use helium_telemetry::logging::Format;
use http::Uri;

use crate::cluster_name::ClusterName;
use crate::endpoint::{Direct, Endpoint};
use crate::failover::OnShutdown;
use crate::failover::switch::DEFAULT_PORT;
use crate::failover::switch::watchdog::Watchdog;
use crate::service::Backend;
use crate::service_address::ServiceAddress;
use crate::uninstall::Uninstall;

/// The client library calls every refused request an error for a person; we judge that ourselves.
const DEFAULT_LOG: &str = "info,kube_client=off,kube_runtime=off";

/// What the program is asked to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// Work.
    Run(Box<Options>),
    /// Remove what an agent has written.
    Uninstall(Uninstall),
    /// Say whether the containers of a pod may go on.
    Watchdog(Watchdog),
}

impl Task {
    /// Reads a command line.
    ///
    /// # Errors
    /// What is wrong with it, or the help that it asks for, to be printed.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        const UNINSTALL: &str = "uninstall";
        const WATCHDOG: &str = "watchdog";
        let mut command = Options::command()
            .subcommand(Uninstall::augment_args(clap::Command::new(UNINSTALL)))
            .subcommand(Watchdog::augment_args(clap::Command::new(WATCHDOG)))
            .subcommand_negates_reqs(true)
            .args_conflicts_with_subcommands(true);
        let matches = command.try_get_matches_from_mut(arguments)?;
        let task = match matches.subcommand() {
            Some((WATCHDOG, matches)) => Watchdog::from_arg_matches(matches).map(Self::Watchdog),
            Some((_, matches)) => Uninstall::from_arg_matches(matches).map(Self::Uninstall),
            None => Options::from_arg_matches(&matches).map(|options| Self::Run(Box::new(options))),
        };
        task.map_err(|error| error.format(&mut command))
    }
}

/// Makes one cluster serve what the fleet shares.
#[derive(Debug, Parser)]
#[command(name = "helium-agent", version, max_term_width = 100)]
pub(crate) struct Options {
    /// Name of the cluster that the agent works in; a lower-case DNS label.
    #[arg(long, env = "HELIUM_AGENT_CLUSTER_NAME")]
    pub(crate) cluster_name: ClusterName,
    /// Kubeconfig of that cluster; the pod's service account by default.
    #[arg(long, env = "HELIUM_AGENT_KUBECONFIG")]
    pub(crate) kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) control_plane: ControlPlane,
    #[command(flatten)]
    pub(crate) registrar: RegistrarFlags,
    #[command(flatten)]
    pub(crate) service: ServiceFlags,
    #[command(flatten)]
    pub(crate) membership: MembershipFlags,
    #[command(flatten)]
    pub(crate) election: ElectionFlags,
    #[command(flatten)]
    pub(crate) failover: FailoverFlags,
    #[command(flatten)]
    pub(crate) observability: Observability,
}

/// Where the fleet's definitions are read: at this cluster's own helium-apiserver, without the aggregator.
#[derive(Debug, Args)]
#[command(next_help_heading = "Control plane")]
#[command(group(ArgGroup::new("where").required(true).args(["control_plane", "control_plane_kubeconfig"])))]
pub(crate) struct ControlPlane {
    /// Kubeconfig whose current context is this cluster's helium-apiserver.
    #[arg(long, env = "HELIUM_AGENT_CONTROL_PLANE_KUBECONFIG")]
    control_plane_kubeconfig: Option<PathBuf>,
    /// URL of this cluster's helium-apiserver, such as https://helium-apiserver.helium-system.svc.
    #[arg(long, value_name = "URL", value_parser = https, requires = "control_plane_ca",
          env = "HELIUM_AGENT_CONTROL_PLANE")]
    control_plane: Option<Uri>,
    /// Authorities of its certificate (PEM), read again when they change.
    #[arg(long, value_name = "FILE", env = "HELIUM_AGENT_CONTROL_PLANE_CA")]
    control_plane_ca: Option<PathBuf>,
    /// Certificate to show to it (PEM).
    #[arg(
        long,
        value_name = "FILE",
        requires = "control_plane_key",
        env = "HELIUM_AGENT_CONTROL_PLANE_CERT"
    )]
    control_plane_cert: Option<PathBuf>,
    /// Key of that certificate (PEM).
    #[arg(
        long,
        value_name = "FILE",
        requires = "control_plane_cert",
        env = "HELIUM_AGENT_CONTROL_PLANE_KEY"
    )]
    control_plane_key: Option<PathBuf>,
    /// File with a bearer token for it, such as the service account's; read again when it changes.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "control_plane_cert",
        env = "HELIUM_AGENT_CONTROL_PLANE_TOKEN_FILE"
    )]
    control_plane_token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Registration")]
pub(crate) struct RegistrarFlags {
    /// Service of the cluster's helium-apiserver, to which APIServices point.
    #[arg(
        long,
        value_name = "NAMESPACE/NAME:PORT",
        default_value = "helium-system/helium-apiserver:443",
        env = "HELIUM_AGENT_SERVICE"
    )]
    pub(crate) service: ServiceAddress,
    /// Authorities of its certificate (PEM), put into each APIService and read again when they change. Without it
    /// the cluster's API server must trust them anyway.
    #[arg(long, value_name = "FILE", env = "HELIUM_AGENT_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Service")]
pub(crate) struct ServiceFlags {
    /// Keep the Service that APIServices point at; else the installation brings it.
    #[arg(long, env = "HELIUM_AGENT_MANAGE_SERVICE")]
    pub(crate) manage_service: bool,
    /// Labels of the pods that it leads to.
    #[arg(long, value_name = "KEY=VALUE,…", value_delimiter = ',', value_parser = label,
          default_value = "app.kubernetes.io/name=helium-apiserver", env = "HELIUM_AGENT_SERVICE_SELECTOR")]
    pub(crate) service_selector: Vec<(String, String)>,
    /// Port of those pods: its number, or the name that they give to it.
    #[arg(
        long,
        value_name = "PORT",
        default_value = "https",
        env = "HELIUM_AGENT_SERVICE_TARGET_PORT"
    )]
    pub(crate) service_target_port: String,
    /// Name that it leads to instead (ExternalName), for a helium-apiserver outside of the cluster.
    #[arg(
        long,
        value_name = "HOST",
        requires = "manage_service",
        value_parser = host,
        env = "HELIUM_AGENT_SERVICE_EXTERNAL_NAME"
    )]
    pub(crate) service_external_name: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Membership")]
pub(crate) struct MembershipFlags {
    /// Authorities (PEM) that sign the certificates of the cluster's own servers, published in its Member and read again
    /// when they change. Where the first member lists some, the fleet is closed: others must join.
    #[arg(
        long,
        value_name = "FILE",
        env = "HELIUM_AGENT_CERTIFICATE_AUTHORITY_FILE"
    )]
    pub(crate) certificate_authority_file: Option<PathBuf>,
    /// Labels of the cluster's Member, by which clusters are selected.
    #[arg(long, value_name = "KEY=VALUE,…", value_delimiter = ',', value_parser = label,
          env = "HELIUM_AGENT_MEMBER_LABELS")]
    pub(crate) member_labels: Vec<(String, String)>,
    /// URL at which other clusters reach this one's kube-apiserver, told in its Member.
    #[arg(long, value_name = "URL", value_parser = https, env = "HELIUM_AGENT_ADVERTISE_KUBERNETES_URL")]
    pub(crate) advertise_kubernetes_url: Option<Uri>,
    /// URL at which other clusters reach this one's helium-apiserver, told in its Member.
    #[arg(long, value_name = "URL", value_parser = https, env = "HELIUM_AGENT_ADVERTISE_DIRECT_URL")]
    pub(crate) advertise_direct_url: Option<Uri>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Leader election")]
pub(crate) struct ElectionFlags {
    /// Work only while holding a Lease in the cluster; for more than one replica.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true", env = "HELIUM_AGENT_LEADER_ELECT")]
    pub(crate) leader_elect: bool,
    /// Namespace of the Lease; the pod's own by default, or helium-system.
    #[arg(
        long,
        value_name = "NAMESPACE",
        env = "HELIUM_AGENT_LEADER_ELECT_NAMESPACE"
    )]
    pub(crate) leader_elect_namespace: Option<String>,
    /// Name of the Lease.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "helium-agent",
        env = "HELIUM_AGENT_LEADER_ELECT_NAME"
    )]
    pub(crate) leader_elect_name: String,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Failover")]
pub(crate) struct FailoverFlags {
    /// Run this cluster's MultiClusters. One agent of a cluster must, or none.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true", env = "HELIUM_AGENT_FAILOVER")]
    pub(crate) failover: bool,
    /// Folder for what lets an agent that restarts keep its payloads: when its leases were renewed last. Without it they
    /// are stopped and started anew.
    #[arg(long, value_name = "FOLDER", env = "HELIUM_AGENT_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// What becomes of payloads when the agent is asked to end: they go on for the next one until their lease has run
    /// out, or they are deleted and the lease is given up.
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "WHAT",
        env = "HELIUM_AGENT_FAILOVER_ON_SHUTDOWN"
    )]
    pub(crate) failover_on_shutdown: OnShutdown,
    /// Service account in a MultiCluster's namespace whose rights count for its payload; the agent's own by default.
    #[arg(long, value_name = "NAME", value_parser = host, env = "HELIUM_AGENT_FAILOVER_SERVICE_ACCOUNT")]
    pub(crate) failover_service_account: Option<String>,
    /// Namespace of the ConfigMaps that say which payloads are here; that of the agents' lease by default.
    #[arg(
        long,
        value_name = "NAMESPACE",
        env = "HELIUM_AGENT_FAILOVER_NAMESPACE"
    )]
    pub(crate) failover_namespace: Option<String>,
    /// Image with helium-agent, for the watchdog in the pods of payloads whose group wants a dead-man's switch; without it
    /// such payloads are refused.
    #[arg(
        long,
        value_name = "IMAGE",
        env = "HELIUM_AGENT_FAILOVER_WATCHDOG_IMAGE"
    )]
    pub(crate) failover_watchdog_image: Option<String>,
    /// Port of the watchdog in those pods.
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_PORT, env = "HELIUM_AGENT_FAILOVER_WATCHDOG_PORT")]
    pub(crate) failover_watchdog_port: u16,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Logs and probes")]
pub(crate) struct Observability {
    /// Address of /healthz, /readyz and /metrics (no TLS).
    #[arg(
        long,
        default_value = "0.0.0.0:8085",
        env = "HELIUM_AGENT_PROBE_ADDRESS"
    )]
    pub(crate) probe_address: SocketAddr,
    /// Format of the log: plain or json.
    #[arg(long, default_value_t = Format::Plain, env = "HELIUM_AGENT_LOG_FORMAT")]
    pub(crate) log_format: Format,
    /// What is logged, as level or target=level,…; RUST_LOG has precedence.
    #[arg(long, default_value = DEFAULT_LOG, env = "HELIUM_AGENT_LOG")]
    pub(crate) log: String,
}

fn https(text: &str) -> Result<Uri, String> {
    let uri: Uri = text
        .parse()
        .map_err(|error| format!("{error}; write https://host:port"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) if !host.is_empty() => Ok(uri),
        _ => Err("write https://host:port: rights don't travel unencrypted".to_owned()),
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write key=value")?;
    let wrong = [names::qualified_name(key), names::label_value(value)].concat();
    if wrong.is_empty() {
        Ok((key.to_owned(), value.to_owned()))
    } else {
        Err(wrong.join("; "))
    }
}

fn host(text: &str) -> Result<String, String> {
    let wrong = names::dns1123_subdomain(text);
    if wrong.is_empty() {
        Ok(text.to_owned())
    } else {
        Err(format!("write a DNS name: {}", wrong.join("; ")))
    }
}

impl ServiceFlags {
    /// What the Service leads to, if the agent is to keep it.
    pub(crate) fn backend(self) -> Option<Backend> {
        let Self {
            manage_service,
            service_selector,
            service_target_port,
            service_external_name,
        } = self;
        manage_service.then(|| match service_external_name {
            Some(name) => Backend::Name(name),
            None => Backend::Pods {
                selector: service_selector.into_iter().collect(),
                port: service_target_port,
            },
        })
    }
}

impl Options {
    /// How the agent's own cluster is reached.
    pub(crate) fn own(&self) -> Endpoint {
        match &self.kubeconfig {
            Some(path) => Endpoint::Kubeconfig(path.clone()),
            None => Endpoint::InCluster,
        }
    }
}

impl ControlPlane {
    /// How the control plane is reached.
    pub(crate) fn endpoint(self) -> Option<Endpoint> {
        let Self {
            control_plane_kubeconfig,
            control_plane,
            control_plane_ca,
            control_plane_cert,
            control_plane_key,
            control_plane_token_file,
        } = self;
        if let Some(path) = control_plane_kubeconfig {
            return Some(Endpoint::Kubeconfig(path));
        }
        Some(Endpoint::Direct(Direct {
            url: control_plane?,
            ca_file: control_plane_ca?,
            certificate: control_plane_cert.zip(control_plane_key),
            token_file: control_plane_token_file,
        }))
    }
}

#[cfg(test)]
mod tests;
