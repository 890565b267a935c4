//! Arguments, with their environment variables.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

mod drill;
mod failover;
mod fleet;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use helium_telemetry::logging::Format;

use crate::connection::Access;
pub use drill::{
    DrillCommand, DrillCutOptions, DrillFleet, DrillJudgeOptions, DrillMode, DrillPart,
    DrillPartsOptions, DrillRelayOptions, DrillRunOptions, LinkMode, LinkName, LinkOption,
    Scenario,
};
pub use failover::{
    FailoverCommand, FailoverGroupOptions, FailoverHistoryOptions, FailoverStatusOptions,
    GroupArgument, HandoverOptions, TakeOptions,
};
pub use fleet::{
    DoctorOptions, InitOptions, JoinOptions, LeaveOptions, MembersOptions, Names, RevokeOptions,
    ServiceAccountUser, Token, TokenCommand, TokenCreateOptions, TokenDeleteOptions,
    TokenListOptions,
};
pub(crate) use fleet::{TOKEN_ID_CHARACTERS, TOKEN_SECRET_CHARACTERS};

/// A control plane that many Kubernetes clusters share.
#[derive(Debug, Parser)]
#[command(name = "helium", version, arg_required_else_help = true)]
pub struct Options {
    /// Which log lines to show on standard error, such as "info" or "warn,kine_shim=debug".
    #[arg(
        long,
        env = "HELIUM_LOG",
        default_value = "warn,kube_client=off",
        global = true
    )]
    pub log_filter: String,
    /// How log lines look: plain or json.
    #[arg(long, env = "HELIUM_LOG_FORMAT", default_value_t, global = true)]
    pub log_format: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole fleet in this process: the store, and one API server for each cluster.
    Up(UpOptions),
    /// Show who holds the fleet's leases: who leads what, since when, from which cluster.
    Leases(LeasesOptions),
    /// Make a cluster the first member of a fleet: its authorities, certificates, and its Member.
    Init(InitOptions),
    /// Tokens that let clusters join.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Make a cluster a member of a fleet, with a token from one that is.
    Join(JoinOptions),
    /// Show the fleet's members.
    Members(MembersOptions),
    /// Take a cluster out of the fleet, and out of it only what is Helium's.
    Leave(LeaveOptions),
    /// Shut a cluster out of the fleet at once.
    Revoke(RevokeOptions),
    /// Examine Helium in one cluster: what is wrong, why, and what to do.
    Doctor(DoctorOptions),
    /// Which payload runs where, and moving it.
    #[command(subcommand)]
    Failover(FailoverCommand),
    /// Break parts of a fleet of processes on purpose, and see whether its promises hold.
    #[command(subcommand)]
    Drill(DrillCommand),
}

/// Arguments of `helium leases`.
#[derive(Debug, Clone, Args)]
pub struct LeasesOptions {
    /// Which cluster is asked.
    #[command(flatten)]
    pub access: Access,
    /// Only leases of this namespace. Default: all.
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// How to print them.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// Arguments of `helium up`.
#[derive(Debug, Clone, Args)]
pub struct UpOptions {
    /// The clusters: a number (cluster1, cluster2, …) or their names, separated by commas.
    #[arg(long, env = "HELIUM_CLUSTERS", default_value = "3", value_parser = parse_clusters)]
    pub clusters: Clusters,
    /// Where certificates, kubeconfigs and the embedded database are kept.
    #[arg(long, env = "HELIUM_DATA_DIR", default_value = "helium-data")]
    pub data_dir: PathBuf,
    /// The database, as kine-shim's --endpoint takes it, such as
    /// postgres://user:password@host/database. Default: SQLite in the data directory.
    #[arg(long, env = "HELIUM_ENDPOINT", hide_env_values = true)]
    pub endpoint: Option<String>,
    /// The address to listen on.
    #[arg(long, env = "HELIUM_BIND_ADDRESS", default_value = "127.0.0.1")]
    pub bind_address: IpAddr,
    /// The port of the etcd v3 endpoint; 0 takes a free one.
    #[arg(long, env = "HELIUM_ETCD_PORT", default_value_t = 2379)]
    pub etcd_port: u16,
    /// The port of the first cluster's API server; the others follow. 0 takes free ones.
    #[arg(long, env = "HELIUM_PORT", default_value_t = 7443)]
    pub port: u16,
    /// How to print where everything is.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OutputFormat,
}

impl Options {
    /// Reads the process's arguments; wrong ones end it with exit code 2.
    pub(crate) fn read() -> Self {
        let options = Self::parse();
        if let Command::Up(up) = &options.command
            && let Err(reason) = up.check()
        {
            Self::command()
                .error(ErrorKind::ValueValidation, reason)
                .exit();
        }
        options
    }
}

impl UpOptions {
    /// Whether the arguments fit each other: there must be a port for each cluster.
    fn check(&self) -> Result<(), String> {
        let last = usize::from(self.port) + self.clusters.len() - 1;
        if self.port != 0 && last > usize::from(u16::MAX) {
            return Err(format!(
                "--port {} leaves no port for the last of {} clusters: use {} or less",
                self.port,
                self.clusters.len(),
                usize::from(u16::MAX) + 1 - self.clusters.len(),
            ));
        }
        Ok(())
    }
}

/// How to print the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document.
    Json,
}

/// The name of a cluster: a DNS label, so that it can be part of keys and certificates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cluster(String);

/// The clusters of a fleet: at least one, all different.
pub type Clusters = Vec<Cluster>;

/// More than this on one machine is a typing error.
const MAX_CLUSTERS: usize = 64;
/// Longest DNS label.
const MAX_NAME_BYTES: usize = 63;

impl Cluster {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Cluster {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let valid = !name.is_empty()
            && name.len() <= MAX_NAME_BYTES
            && name.bytes().all(|byte| inner(byte) || byte == b'-')
            && !name.starts_with('-')
            && !name.ends_with('-');
        if valid {
            Ok(Self(name.to_owned()))
        } else {
            Err(format!(
                "{name:?} can't be a cluster's name: use at most {MAX_NAME_BYTES} lower-case \
                 letters, digits and '-', starting and ending with a letter or digit"
            ))
        }
    }
}

fn parse_clusters(text: &str) -> Result<Clusters, String> {
    let clusters: Clusters = match text.parse::<usize>() {
        Ok(count) if (1..=MAX_CLUSTERS).contains(&count) => (1..=count)
            .map(|number| Cluster(format!("cluster{number}")))
            .collect(),
        Ok(count) => return Err(format!("{count} clusters: use 1 to {MAX_CLUSTERS}")),
        Err(_names) => text
            .split(',')
            .map(|name| name.trim().parse())
            .collect::<Result<_, _>>()?,
    };
    for (index, cluster) in clusters.iter().enumerate() {
        if clusters[..index].contains(cluster) {
            return Err(format!("{cluster} is named twice"));
        }
    }
    Ok(clusters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, String> {
        parse_clusters(text).map(|clusters| clusters.iter().map(Cluster::to_string).collect())
    }

    #[test]
    fn clusters_are_a_number_or_names() {
        assert_eq!(
            names("2"),
            Ok(vec!["cluster1".to_owned(), "cluster2".to_owned()])
        );
        assert_eq!(
            names("berlin, tokyo"),
            Ok(vec!["berlin".to_owned(), "tokyo".to_owned()])
        );
    }

    #[test]
    fn wrong_clusters_are_refused_with_the_rule() {
        for (text, part) in [
            ("0", "use 1 to 64"),
            ("65", "use 1 to 64"),
            ("a,a", "a is named twice"),
            ("Berlin", "lower-case"),
            ("a,,b", "can't be a cluster's name"),
            ("-a", "starting and ending"),
        ] {
            let error = names(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_last_cluster_must_have_a_port_too() {
        // It once got any free one, without a word.
        let check = |port: &str| {
            let options = Options::parse_from(["helium", "up", "--clusters", "3", "--port", port]);
            match options.command {
                Command::Up(up) => up.check(),
                other => panic!("{other:?}"),
            }
        };
        for good in ["0", "7443", "65533"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let error = check("65534").expect_err("refused");
        assert!(error.contains("use 65533 or less"), "{error}");
    }

    #[test]
    fn arguments_are_well_formed() {
        Options::command().debug_assert();
    }
}
