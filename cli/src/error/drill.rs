//! Errors of drills.

use std::path::PathBuf;

use crate::options::{LinkMode, LinkName};

/// What can go wrong with a drill itself. A promise that doesn't hold is no error: it is what a drill is for.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// There is no fleet of processes.
    #[error("{} isn't the state directory of setup.sh --processes: {reason}", path.display())]
    NoFleet {
        /// The directory.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// Another setup.sh or drill works on the fleet.
    #[error("process {holder} works on {}", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
        /// Whose process.
        holder: String,
    },
    /// A part of that name doesn't exist.
    #[error("the fleet has no part {part}; it has {}", parts.join(", "))]
    NoPart {
        /// Who was named.
        part: String,
        /// Who is there.
        parts: Vec<String>,
    },
    /// A part isn't running, or its process isn't the one that was started.
    #[error("{part} doesn't run: {reason}")]
    NotRunning {
        /// Which.
        part: String,
        /// What was found.
        reason: String,
    },
    /// A part can't be signalled or started.
    #[error("{doing} {part}")]
    Process {
        /// What was tried.
        doing: &'static str,
        /// With whom.
        part: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A cluster has no links that can be cut.
    #[error("the links of {cluster} can't be cut: there is no {}", socket.display())]
    NoLinks {
        /// Whose.
        cluster: String,
        /// Where its relay would be told.
        socket: PathBuf,
    },
    /// A relay doesn't do what it is told.
    #[error("setting link {link} to {}: {reason}", mode.as_str())]
    Link {
        /// Which link.
        link: LinkName,
        /// What was wanted.
        mode: LinkMode,
        /// What happened.
        reason: String,
    },
    /// A relay can't be asked.
    #[error("asking the relay of {cluster}: {reason}")]
    Relay {
        /// Whose.
        cluster: String,
        /// What happened.
        reason: String,
    },
    /// Something is broken before the drill begins.
    #[error("the fleet isn't whole: {}", what.join("; "))]
    NotWhole {
        /// What is broken.
        what: Vec<String>,
    },
    /// Something is broken after healing.
    #[error("the fleet couldn't be healed: {}", what.join("; "))]
    NotHealed {
        /// What is still broken.
        what: Vec<String>,
    },
    /// Nobody knows MultiClusters in a cluster.
    #[error("{cluster} doesn't serve multiclusters.kube-vip.io")]
    NoKind {
        /// Which.
        cluster: String,
    },
    /// The group isn't well before anything was broken.
    #[error("group {group} isn't well after {seconds} s, before anything was broken: {}", what.join("; "))]
    GroupUnwell {
        /// Which.
        group: String,
        /// How long was waited.
        seconds: u64,
        /// What is wrong.
        what: Vec<String>,
    },
    /// A file can't be read or written.
    #[error("{doing} {}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With which.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A file isn't a history.
    #[error("{} isn't the history of a drill: {reason}", path.display())]
    NoHistory {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// This machine can't tell processes apart.
    #[error("drills need Linux: processes are told apart by /proc")]
    NotLinux,
}

impl DrillError {
    /// The code under which it is explained.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NoFleet { .. } | Self::NotLinux => "H060",
            Self::Busy { .. } => "H061",
            Self::NoPart { .. } | Self::NotRunning { .. } | Self::Process { .. } => "H062",
            Self::NoLinks { .. } | Self::Link { .. } | Self::Relay { .. } => "H063",
            Self::NotWhole { .. } | Self::NotHealed { .. } => "H064",
            Self::NoKind { .. } | Self::GroupUnwell { .. } => "H065",
            Self::File { .. } | Self::NoHistory { .. } => "H066",
        }
    }

    /// What to do.
    pub(super) fn remedy(&self) -> String {
        match self {
            Self::NoFleet { .. } => {
                "Start a fleet with ./setup.sh --processes --drill, and name its --state-dir with --fleet.".to_owned()
            }
            Self::NotLinux => "Run it on Linux, or in a container of it.".to_owned(),
            Self::Busy { .. } => "Wait until it is done, or end it.".to_owned(),
            Self::NoPart { .. } | Self::NotRunning { .. } => {
                "helium drill parts shows what runs; helium drill heal starts what doesn't.".to_owned()
            }
            Self::Process { .. } => {
                "The part's log in the fleet's logs folder says more. Were the parts started by another user?".to_owned()
            }
            Self::NoLinks { .. } => {
                "Only setup.sh --processes --drill puts relays between the parts: setup.sh --processes --down, then again with --drill. \
                 Scenarios without cuts work without them."
                    .to_owned()
            }
            Self::Link { .. } | Self::Relay { .. } => {
                "helium drill parts shows the links; helium drill heal starts relays that have ended.".to_owned()
            }
            Self::NotWhole { .. } => "helium drill heal makes it whole.".to_owned(),
            Self::NotHealed { .. } => {
                "Look at the parts' logs in the fleet's logs folder, then run helium drill heal again.".to_owned()
            }
            Self::NoKind { cluster } => format!(
                "Declare the kind, once for the fleet: kubectl --kubeconfig <fleet>/kubeconfig/{cluster} apply -f manifests/failover/."
            ),
            Self::GroupUnwell { .. } => {
                "helium failover status, and the Events of its MultiClusters, say why. A drill begins with a group in which one leads.".to_owned()
            }
            Self::File { .. } => "Check the path and its rights.".to_owned(),
            Self::NoHistory { .. } => {
                "Use a file that helium drill run --history has written, with the same version of helium.".to_owned()
            }
        }
    }
}
