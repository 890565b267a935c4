//! Arguments of `helium failover`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use jiff::SignedDuration;

use super::{Cluster, OutputFormat};
use crate::connection::Access;

/// Which payload runs where, and moving it.
#[derive(Debug, Clone, Subcommand)]
pub enum FailoverCommand {
    /// Show groups, or one with its members: who leads, at which address and token, since when.
    Status(FailoverStatusOptions),
    /// Let another cluster lead, in order: the payload stops here before it starts there.
    Handover(HandoverOptions),
    /// Let another cluster lead although nobody confirms that the payload has stopped elsewhere.
    Take(TakeOptions),
    /// Let whoever leads go on, and nobody else begin: no hand-over, no failover.
    Pause(FailoverGroupOptions),
    /// The opposite of pause.
    Resume(FailoverGroupOptions),
    /// Show who led when, why it began and ended, and the gaps between.
    History(FailoverHistoryOptions),
}

/// Which group, and which cluster is asked.
#[derive(Debug, Clone, Args)]
pub struct FailoverGroupOptions {
    /// The group: its callsign, or namespace/callsign.
    #[arg(value_name = "GROUP")]
    pub group: GroupArgument,
    /// Its namespace. Default: the context's, or default.
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// Which cluster is asked: any of the fleet.
    #[command(flatten)]
    pub access: Access,
}

/// Arguments of `helium failover status`.
#[derive(Debug, Clone, Args)]
pub struct FailoverStatusOptions {
    /// Show the members of this group: its callsign, or namespace/callsign. Default: all groups.
    #[arg(value_name = "GROUP")]
    pub group: Option<GroupArgument>,
    /// Only groups of this namespace. Default: all; for a GROUP the context's, or default.
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// How to print it.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OutputFormat,
    /// Go on: a terminal is redrawn, anything else gets a line for each change (with -o json: a document).
    #[arg(long, short)]
    pub watch: bool,
    /// Which cluster is asked: any of the fleet.
    #[command(flatten)]
    pub access: Access,
}

/// Arguments of `helium failover handover`.
#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("whither").required(true).args(["to", "undo"])))]
pub struct HandoverOptions {
    /// Which group.
    #[command(flatten)]
    pub group: FailoverGroupOptions,
    /// The cluster that is to lead.
    #[arg(long, value_name = "CLUSTER")]
    pub to: Option<Cluster>,
    /// Forget an earlier wish: who leads is decided by rank again.
    #[arg(long, conflicts_with_all = ["keep", "and_back"])]
    pub undo: bool,
    /// How long to wait for it, such as 30s; a hand-over that isn't done by then is called off.
    #[arg(long, default_value = "30s", value_parser = parse_wait)]
    pub wait: Duration,
    /// Keep the wish (spec.preferredCluster) in any case. Default: only where a member of higher rank would take the payload back at once.
    #[arg(long, conflicts_with = "and_back")]
    pub keep: bool,
    /// Forget the wish in any case: a member of higher rank takes the payload back.
    #[arg(long)]
    pub and_back: bool,
}

/// Arguments of `helium failover take`.
#[derive(Debug, Clone, Args)]
pub struct TakeOptions {
    /// Which group.
    #[command(flatten)]
    pub group: FailoverGroupOptions,
    /// The cluster that is to lead.
    #[arg(long, value_name = "CLUSTER")]
    pub to: Cluster,
    /// You have made sure that the payload has stopped elsewhere. Without this it is only explained what that risks.
    #[arg(long)]
    pub force: bool,
    /// How long to wait for it.
    #[arg(long, default_value = "30s", value_parser = parse_wait)]
    pub wait: Duration,
}

/// Arguments of `helium failover history`.
#[derive(Debug, Clone, Args)]
pub struct FailoverHistoryOptions {
    /// Which group.
    #[command(flatten)]
    pub group: FailoverGroupOptions,
    /// How to print it.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// A group as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupArgument {
    /// Where, if that is said.
    pub(crate) namespace: Option<String>,
    /// Its callsign.
    pub(crate) callsign: String,
}

impl fmt::Display for GroupArgument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(formatter, "{namespace}/{}", self.callsign),
            None => formatter.write_str(&self.callsign),
        }
    }
}

impl FromStr for GroupArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, callsign) = match text.split_once('/') {
            Some((namespace, callsign)) => (Some(namespace), callsign),
            None => (None, text),
        };
        // Names become part of a path.
        let is_name = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte)
                })
                && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        };
        if is_name(callsign) && namespace.is_none_or(is_name) {
            Ok(Self {
                namespace: namespace.map(str::to_owned),
                callsign: callsign.to_owned(),
            })
        } else {
            Err(format!(
                "{text:?} can't be a group: write its callsign, or namespace/callsign, in lower-case letters, digits and '-'"
            ))
        }
    }
}

fn parse_wait(text: &str) -> Result<Duration, String> {
    let wait: SignedDuration = text
        .parse()
        .map_err(|_error| format!("{text:?} is no duration: write 30s or 2m"))?;
    match Duration::try_from(wait) {
        Ok(wait) if (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&wait) => {
            Ok(wait)
        }
        _ => Err("wait for 1s to 1h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_a_callsign_in_a_namespace_or_not() {
        let group: GroupArgument = "shop/fleet-one".parse().expect("a group");
        assert_eq!(group.namespace.as_deref(), Some("shop"));
        assert_eq!(group.callsign, "fleet-one");
        assert_eq!(
            "fleet-one"
                .parse::<GroupArgument>()
                .expect("a group")
                .namespace,
            None
        );
        for text in [
            "", "/", "a/", "/b", "a/b/c", "a b", "..", "A", "a/../b", "?x",
        ] {
            let error = text.parse::<GroupArgument>().expect_err(text);
            assert!(error.contains("namespace/callsign"), "{error}");
        }
    }

    #[test]
    fn one_waits_for_a_second_to_an_hour() {
        assert_eq!(parse_wait("30s"), Ok(Duration::from_secs(30)));
        for text in ["0s", "2h", "-1s", "soon"] {
            assert!(parse_wait(text).is_err(), "{text}");
        }
    }
}
