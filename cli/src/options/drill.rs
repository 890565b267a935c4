//! Arguments of `helium drill`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::OutputFormat;

/// Break parts of a fleet of processes on purpose, and see whether its promises hold.
#[derive(Debug, Subcommand)]
pub enum DrillCommand {
    /// Break one part after the other while a payload fails over, judge what was seen, and report. Heals everything at the end.
    Run(DrillRunOptions),
    /// Judge a history again that `helium drill run --history` has written.
    Judge(DrillJudgeOptions),
    /// Let everything that setup.sh started run again, and everything through: after a drill that was killed, or by hand.
    Heal(DrillFleet),
    /// Show the fleet's parts, and the links between them.
    Parts(DrillPartsOptions),
    /// Kill a part as a crash would, until it is healed.
    Kill(DrillPart),
    /// Stop a part where it is (SIGSTOP), until it is healed.
    Pause(DrillPart),
    /// Cut a link, until it is healed.
    Cut(DrillCutOptions),
    /// Carry a cluster's connections, for drills to cut. setup.sh --processes --drill runs it.
    Relay(DrillRelayOptions),
}

/// Which fleet is meant.
#[derive(Debug, Clone, Args)]
pub struct DrillFleet {
    /// State directory of setup.sh --processes.
    #[arg(long, env = "HELIUM_FLEET", default_value = ".helium")]
    pub fleet: PathBuf,
}

/// Arguments of `helium drill parts`.
#[derive(Debug, Clone, Args)]
pub struct DrillPartsOptions {
    /// Which fleet.
    #[command(flatten)]
    pub fleet: DrillFleet,
    /// How to print them.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// A part of a fleet.
#[derive(Debug, Clone, Args)]
pub struct DrillPart {
    /// Which fleet.
    #[command(flatten)]
    pub fleet: DrillFleet,
    /// Which part, as `helium drill parts` shows it, such as cluster1-helium-agent.
    pub part: String,
}

/// Arguments of `helium drill cut`.
#[derive(Debug, Clone, Args)]
pub struct DrillCutOptions {
    /// Which fleet.
    #[command(flatten)]
    pub fleet: DrillFleet,
    /// Which link, as `helium drill parts` shows it, such as cluster1/database.
    pub link: LinkName,
    /// What doesn't come through.
    #[arg(long, value_enum, default_value_t = LinkMode::Drop)]
    pub mode: LinkMode,
}

/// Arguments of `helium drill run`.
#[derive(Debug, Clone, Args)]
pub struct DrillRunOptions {
    /// Which fleet.
    #[command(flatten)]
    pub fleet: DrillFleet,
    /// A failover group that is there, as <namespace>/<callsign>. Default: one of the drill's own, in namespace helium-drill, which is
    /// removed afterwards.
    #[arg(long, value_parser = parse_group)]
    pub group: Option<(String, String)>,
    /// What to break, in turn, separated by commas; `random` chooses each time.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "random")]
    pub scenario: Vec<Scenario>,
    /// How many times.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,
    /// Seed of everything that is chosen. Default: a new one, which the report names.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Mode of the drill's own group.
    #[arg(long, value_enum, default_value_t, conflicts_with = "group")]
    pub mode: DrillMode,
    /// Lease of the drill's own group, in seconds.
    #[arg(long, default_value_t = 5, conflicts_with = "group", value_parser = clap::value_parser!(u32).range(3..=60))]
    pub lease_seconds: u32,
    /// How many seconds more than the lease a takeover may last; 1 is what is promised, on a machine that isn't busy otherwise.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub takeover_margin: u32,
    /// How to print the report.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OutputFormat,
    /// Draw who led when into this file.
    #[arg(long)]
    pub svg: Option<PathBuf>,
    /// Write everything that was seen into this file, as JSON.
    #[arg(long)]
    pub history: Option<PathBuf>,
}

/// Arguments of `helium drill judge`.
#[derive(Debug, Clone, Args)]
pub struct DrillJudgeOptions {
    /// The history.
    pub history: PathBuf,
    /// How to print the report.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OutputFormat,
    /// Draw who led when into this file.
    #[arg(long)]
    pub svg: Option<PathBuf>,
}

/// Arguments of `helium drill relay`.
#[derive(Debug, Clone, Args)]
pub struct DrillRelayOptions {
    /// The socket by which it is told what to let through.
    #[arg(long)]
    pub control: PathBuf,
    /// A link, as <name>=<address to listen on>-><address to carry to>; as often as there are links.
    #[arg(long = "link", required = true)]
    pub links: Vec<LinkOption>,
}

/// What is broken in a round.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// The agent of a cluster is killed, and started again later.
    KillAgent,
    /// The agent of a cluster is stopped where it is, and goes on later.
    PauseAgent,
    /// A cluster is cut off from the store and from the others.
    CutCluster,
    /// One link of a cluster carries only one way.
    CutOneWay,
    /// The helium-apiserver of a cluster is killed, and started again later.
    KillApiserver,
    /// The kine-shim of a cluster is killed, and started again later.
    KillShim,
    /// All servers of a cluster are killed, its kube-apiserver too, and started again later.
    KillCluster,
    /// PostgreSQL ends at once, without a checkpoint, and is started again.
    RestartStore,
    /// Any of these.
    Random,
}

/// What a link carries. What it doesn't is kept: connections stay, and bytes on their way arrive when it carries again, as TCP
/// sends again what was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LinkMode {
    /// Everything.
    Pass,
    /// Answers only.
    DropUp,
    /// Requests only.
    DropDown,
    /// Nothing.
    Drop,
    /// Nothing; connections are reset, and new ones too.
    Refuse,
}

impl LinkMode {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::DropUp => "drop-up",
            Self::DropDown => "drop-down",
            Self::Drop => "drop",
            Self::Refuse => "refuse",
        }
    }
}

/// Mode of a drill's own group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DrillMode {
    /// The role and fenced writes are exclusive.
    #[default]
    Fast,
    /// Pods too.
    Strict,
}

/// A link of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkName {
    /// The cluster whose relay carries it.
    pub cluster: String,
    /// Its name there.
    pub link: String,
}

impl fmt::Display for LinkName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.cluster, self.link)
    }
}

impl FromStr for LinkName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((cluster, link)) if !cluster.is_empty() && is_word(link) => Ok(Self {
                cluster: cluster.to_owned(),
                link: link.to_owned(),
            }),
            _ => Err(format!("{text:?} isn't <cluster>/<link>")),
        }
    }
}

/// A link that a relay carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkOption {
    /// What it is called.
    pub name: String,
    /// Where it is listened on.
    pub listen: SocketAddr,
    /// Where its connections go.
    pub target: SocketAddr,
}

impl FromStr for LinkOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text
            .split_once('=')
            .and_then(|(name, ways)| Some((name, ways.split_once("->")?)));
        let Some((name, (listen, target))) = parts else {
            return Err(format!("{text:?} isn't <name>=<address>-><address>"));
        };
        if !is_word(name) {
            return Err(format!(
                "{name:?} can't be a link's name: use lower-case letters, digits and '-'"
            ));
        }
        let address = |text: &str| {
            text.parse()
                .map_err(|_error| format!("{text:?} isn't an address such as 127.0.0.1:5432"))
        };
        Ok(Self {
            name: name.to_owned(),
            listen: address(listen)?,
            target: address(target)?,
        })
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn parse_group(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, callsign)) if !namespace.is_empty() && !callsign.is_empty() => {
            Ok((namespace.to_owned(), callsign.to_owned()))
        }
        _ => Err(format!("{text:?} isn't <namespace>/<callsign>")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_a_name_and_two_addresses() {
        let link: LinkOption = "store=127.0.0.1:1->127.0.0.1:2".parse().expect("a link");
        assert_eq!(
            (link.name.as_str(), link.listen.port(), link.target.port()),
            ("store", 1, 2)
        );
        for (text, part) in [
            ("store", "isn't <name>="),
            ("store=127.0.0.1:1", "isn't <name>="),
            ("a b=127.0.0.1:1->127.0.0.1:2", "can't be a link's name"),
            ("store=here->127.0.0.1:2", "\"here\" isn't an address"),
        ] {
            let error = text.parse::<LinkOption>().expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn groups_and_links_have_two_names() {
        assert_eq!(parse_group("a/b"), Ok(("a".to_owned(), "b".to_owned())));
        for wrong in ["a", "/b", "a/", ""] {
            parse_group(wrong).expect_err(wrong);
            wrong.parse::<LinkName>().expect_err(wrong);
        }
    }
}
