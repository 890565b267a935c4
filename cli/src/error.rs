//! What can go wrong with a command, with a code, and what to do about it.

use std::net::SocketAddr;
use std::path::PathBuf;

use helium_telemetry::logging;

/// A [`std::result::Result`] with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of the command line. Each has a [code](Error::code) with a page in `docs/errors/`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory can't be made or written to.
    #[error("using {} as data directory", path.display())]
    DataDir {
        /// The file or directory in question.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// Another process has the data directory.
    #[error("{} is in use by another helium process", path.display())]
    DataDirInUse {
        /// The directory.
        path: PathBuf,
    },
    /// The endpoint's text isn't usable.
    #[error("starting the store on {endpoint}")]
    Store {
        /// The endpoint, without its password.
        endpoint: String,
        /// What kine-shim said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A port is taken.
    #[error("{address} is in use by another program")]
    PortInUse {
        /// The address.
        address: SocketAddr,
        /// What the port is for.
        purpose: String,
    },
    /// An address can't be listened on, for another reason.
    #[error("listening on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A certificate couldn't be made or loaded.
    #[error("preparing certificates")]
    Certificates(#[from] helium_tls::Error),
    /// A kubeconfig couldn't be written.
    #[error("writing a kubeconfig")]
    Kubeconfig(#[source] serde_yaml_ng::Error),
    /// An API server didn't start.
    #[error("starting the API server of {cluster}")]
    ApiServer {
        /// The cluster.
        cluster: String,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The parts were started, but the fleet didn't become ready.
    #[error("the API server of {cluster} wasn't ready within {seconds} s")]
    NotReady {
        /// The first cluster that isn't ready.
        cluster: String,
        /// How long was waited.
        seconds: u64,
    },
    /// A part that should go on ended.
    #[error("{part} stopped by itself")]
    Stopped {
        /// Which part.
        part: String,
    },
    /// A cluster's API server doesn't answer as it should.
    #[error("asking the cluster")]
    Cluster {
        /// What it said, or what happened on the way.
        #[source]
        source: Box<kube::Error>,
    },
    /// A kubeconfig isn't usable.
    #[error("reading {what}: {reason}")]
    ReadKubeconfig {
        /// Which.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The log couldn't be set up.
    #[error("setting up the log")]
    Log(#[from] logging::Error),
    /// Threads couldn't be started.
    #[error("starting the runtime")]
    Runtime(#[source] std::io::Error),
}

impl Error {
    /// The error of listening on `address`, for `purpose`.
    pub(crate) fn listen(address: SocketAddr, purpose: &str, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::AddrInUse {
            Self::PortInUse {
                address,
                purpose: purpose.to_owned(),
            }
        } else {
            Self::Listen { address, source }
        }
    }

    /// The code under which the error is explained.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DataDir { .. } => "H001",
            Self::DataDirInUse { .. } => "H002",
            Self::Store { .. } => "H003",
            Self::PortInUse { .. } => "H004",
            Self::Listen { .. } => "H005",
            Self::Certificates(_) => "H006",
            Self::Kubeconfig(_) => "H007",
            Self::ApiServer { .. } => "H008",
            Self::NotReady { .. } => "H009",
            Self::Stopped { .. } => "H010",
            Self::Log(_) => "H011",
            Self::Runtime(_) => "H012",
            Self::Cluster { .. } => "H014",
            Self::ReadKubeconfig { .. } => "H015",
        }
    }

    /// One sentence that says what to do.
    pub fn remedy(&self) -> String {
        match self {
            Self::DataDir { .. } => {
                "Choose a directory that you may write to, with --data-dir.".to_owned()
            }
            Self::DataDirInUse { .. } => {
                "Stop the other process, or choose another directory with --data-dir.".to_owned()
            }
            Self::Store { .. } => {
                "Check the endpoint (host, port, user, password, database), and that the database \
                 is running."
                    .to_owned()
            }
            Self::PortInUse { address, purpose } => {
                let flag = if purpose == "etcd" {
                    "--etcd-port"
                } else {
                    "--port"
                };
                format!(
                    "Stop what listens on port {}, or choose another with {flag}.",
                    address.port()
                )
            }
            Self::Listen { .. } => {
                "Choose an address of this machine with --bind-address.".to_owned()
            }
            Self::Certificates(_) => {
                "If files under pki/ in the data directory were edited, remove that folder: new \
                 certificates are made at the next start."
                    .to_owned()
            }
            Self::Kubeconfig(_) | Self::Runtime(_) => {
                "Check the machine's limits (memory, threads, open files).".to_owned()
            }
            Self::ApiServer { .. } | Self::NotReady { .. } | Self::Stopped { .. } => {
                "Run again with --log-filter=info to see what happened before.".to_owned()
            }
            Self::Cluster { .. } => {
                "Check the server in the kubeconfig, and that the cluster serves the fleet's groups: \
                 kubectl get apiservices."
                    .to_owned()
            }
            Self::ReadKubeconfig { .. } => {
                "Name a kubeconfig with --kubeconfig, and one of its contexts with --context."
                    .to_owned()
            }
            Self::Log(_) => "Correct --log-filter or RUST_LOG.".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_code_has_a_page() {
        let pages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
        for number in 1..=15 {
            let page = pages.join(format!("H{number:03}.md"));
            let text = std::fs::read_to_string(&page)
                .unwrap_or_else(|error| panic!("{}: {error}", page.display()));
            assert!(
                text.contains("## What to do"),
                "{} doesn't say what to do",
                page.display()
            );
        }
    }
}
