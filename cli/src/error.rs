//! What can go wrong with a command, with a code, and what to do about it.

mod drill;
mod fleet;

use std::net::SocketAddr;
use std::path::PathBuf;

use helium_telemetry::logging;
use jiff::Timestamp;

use crate::connection::Refusal;
pub use drill::DrillError;
pub use fleet::JoinRefusal;

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
    /// A cluster refused something, or didn't answer.
    #[error("{doing}")]
    Refused {
        /// What was asked for.
        doing: String,
        /// What it said.
        #[source]
        source: Refusal,
    },
    /// A member doesn't let a cluster in.
    #[error("{cluster} can't join: {kind} ({message})")]
    JoinRefused {
        /// Why.
        kind: JoinRefusal,
        /// Who wanted to join.
        cluster: String,
        /// What the server said.
        message: String,
    },
    /// The server isn't the one that is meant.
    #[error("{server} isn't the server that is meant: {reason}; it shows {}", shown.join(", "))]
    WrongServer {
        /// Its URL.
        server: String,
        /// What doesn't fit.
        reason: String,
        /// The hashes of the keys that it shows.
        shown: Vec<String>,
    },
    /// Two clocks disagree too much.
    #[error("the clocks differ by {}: {server} shows {theirs:.0}, this machine {ours:.0}",
        crate::table::span(theirs.duration_since(*ours).as_secs().abs()))]
    ClockSkew {
        /// The server.
        server: String,
        /// Its clock.
        theirs: Timestamp,
        /// This machine's clock at that moment.
        ours: Timestamp,
    },
    /// A server isn't reached.
    #[error("{server} isn't reached: {reason}")]
    Unreachable {
        /// Its URL.
        server: String,
        /// What happened.
        reason: String,
    },
    /// Something else answers.
    #[error("{server} isn't a helium-apiserver: {reason}")]
    NotHelium {
        /// Its URL.
        server: String,
        /// What it said.
        reason: String,
    },
    /// A folder belongs to another cluster.
    #[error("{} is the folder of {owner}, not of {cluster}", path.display())]
    OtherClustersFolder {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: String,
        /// Who was named.
        cluster: String,
    },
    /// The kubeconfig leads to another cluster than was named.
    #[error("the kubeconfig leads to {own}, not to {asked}")]
    OtherCluster {
        /// Who was named.
        asked: String,
        /// Whose it is.
        own: String,
    },
    /// A cluster can't do to itself what another one must.
    #[error("the kubeconfig leads to {cluster} itself")]
    OwnCluster {
        /// The cluster.
        cluster: String,
    },
    /// The cluster doesn't say what it is called in the fleet.
    #[error("{server} doesn't say which cluster it is")]
    NoName {
        /// Its URL.
        server: String,
    },
    /// There is no such member.
    #[error("there is no member {cluster}")]
    NoMember {
        /// Who was named.
        cluster: String,
    },
    /// The name is a member's.
    #[error("there is a member {cluster} already")]
    Taken {
        /// The name.
        cluster: String,
    },
    /// Others are members: a cluster doesn't become one by itself.
    #[error("the fleet has members: {}", members.join(", "))]
    NotFirst {
        /// Who they are.
        members: Vec<String>,
    },
    /// The first member would shut out others that take part in an open fleet.
    #[error("the first member would shut out {}, which take part without an authority", members.join(", "))]
    WouldShutOut {
        /// Who they are.
        members: Vec<String>,
    },
    /// It isn't known where another cluster reaches this one.
    #[error("{cluster} has published no endpoint named direct")]
    NoServer {
        /// This cluster.
        cluster: String,
    },
    /// It isn't known by which authority the server is believed.
    #[error(
        "there is neither a caBundle in APIService v1.helium.dev nor an authority in the kubeconfig"
    )]
    NoAuthority,
    /// A password can't be part of a command.
    #[error("the role's password can't be part of a command that is printed")]
    DatabaseNeedsFile,
    /// The database refused something.
    #[error("{doing} in the database")]
    Database {
        /// What was to be done.
        doing: String,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A join file can't be used.
    #[error("reading {}: {reason}", path.display())]
    JoinFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither a file nor arguments say what to join.
    #[error("neither a join file nor --server, --token and --ca-hash are given")]
    NothingToJoin,
    /// A cluster that is said to be dead was heard of.
    #[error("{cluster} was heard of at {heard:.0}")]
    Alive {
        /// Who.
        cluster: String,
        /// When.
        heard: Timestamp,
    },
    /// An agent goes on putting back what is removed.
    #[error("helium-agent still runs in {cluster}")]
    AgentRuns {
        /// Where.
        cluster: String,
    },
    /// Something that was asked for hasn't happened yet.
    #[error("{what} isn't settled after {seconds} s")]
    NotSettled {
        /// What.
        what: String,
        /// How long was waited.
        seconds: u64,
    },
    /// A cluster that was shut out goes on being heard.
    #[error("{cluster} still renews its heartbeat")]
    StillHeard {
        /// Who.
        cluster: String,
    },
    /// There is no such failover group.
    #[error("there is no failover group {group}")]
    NoGroup {
        /// Which.
        group: String,
    },
    /// A cluster has no MultiCluster in a group.
    #[error("{cluster} is no member of failover group {group}: {}", match members.as_slice() {
        [] => "nobody is".to_owned(),
        members => format!("its members: {}", members.join(", ")),
    })]
    NoGroupMember {
        /// Which group.
        group: String,
        /// Who.
        cluster: String,
        /// Who is.
        members: Vec<String>,
    },
    /// A member can't lead.
    #[error("{cluster} can't lead failover group {group}: {}", if why.is_empty() { "it isn't ready" } else { why })]
    MemberNotReady {
        /// Which group.
        group: String,
        /// Who.
        cluster: String,
        /// What it says of that.
        why: String,
    },
    /// In a group that is paused nobody begins.
    #[error("failover group {group} is paused")]
    GroupPaused {
        /// Which.
        group: String,
    },
    /// A cluster that was to lead doesn't.
    #[error("{cluster} doesn't lead failover group {group} after {seconds} s: {standing}")]
    NotLeading {
        /// Which group.
        group: String,
        /// Who.
        cluster: String,
        /// How long was waited.
        seconds: u64,
        /// How it stands.
        standing: String,
    },
    /// What may make two clusters lead needs a person's word.
    #[error("nothing was done to failover group {group}")]
    ForceNeeded {
        /// Which.
        group: String,
    },
    /// A drill can't be carried out.
    #[error(transparent)]
    Drill(#[from] DrillError),
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
            Self::Refused { .. } => "H014",
            Self::JoinRefused { kind, .. } => kind.code(),
            Self::WrongServer { .. } => "H025",
            Self::ClockSkew { .. } => "H026",
            Self::Unreachable { .. } => "H027",
            Self::NotHelium { .. } => "H028",
            Self::OtherClustersFolder { .. } => "H029",
            Self::OtherCluster { .. } | Self::OwnCluster { .. } | Self::NoName { .. } => "H030",
            Self::Database { .. } | Self::DatabaseNeedsFile => "H031",
            Self::JoinFile { .. } | Self::NothingToJoin => "H032",
            Self::NotFirst { .. } | Self::WouldShutOut { .. } => "H033",
            Self::Alive { .. } => "H034",
            Self::NotSettled { .. } | Self::StillHeard { .. } => "H035",
            Self::AgentRuns { .. } => "H036",
            Self::Taken { .. } => "H024",
            Self::NoMember { .. } => "H039",
            Self::NoServer { .. } | Self::NoAuthority => "H040",
            Self::NoGroup { .. } => "H041",
            Self::NoGroupMember { .. } => "H042",
            Self::MemberNotReady { .. } => "H043",
            Self::GroupPaused { .. } => "H044",
            Self::NotLeading { .. } => "H045",
            Self::ForceNeeded { .. } => "H046",
            Self::Drill(error) => error.code(),
        }
    }

    /// One sentence that says what to do.
    pub fn remedy(&self) -> String {
        match self {
            Self::DataDir { .. } => {
                "Choose a directory that you may write to, with --data-dir or --dir.".to_owned()
            }
            Self::DataDirInUse { .. } => {
                "Stop the other process, or choose another directory with --data-dir or --dir.".to_owned()
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
                "If certificates or keys in the directory were edited, remove them (helium up: its folder pki/): new \
                 ones are made next time."
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
            Self::Refused { .. } => {
                "Check the rights of the kubeconfig's user, and run helium doctor with the same kubeconfig.".to_owned()
            }
            Self::JoinRefused { kind, cluster, .. } => kind.remedy(cluster),
            Self::WrongServer { .. } => {
                "Check the URL. If it is right, the hash is of another server or authority, or somebody sits between: get a new command from \
                 helium token create, and don't take the hash from what is shown here. Nothing was sent."
                    .to_owned()
            }
            Self::ClockSkew { .. } => {
                "Set the clock that is wrong (timedatectl, chronyc tracking). Nothing was sent, and the token is still what it was.".to_owned()
            }
            Self::Unreachable { .. } => {
                "Check the URL, and that this machine may connect there: it is the helium-apiserver of a member, past its kube-apiserver.".to_owned()
            }
            Self::NotHelium { .. } => {
                "--server is the URL of a member's helium-apiserver itself, not of its kube-apiserver; helium token create prints it. It must be of a version \
                 that knows joining."
                    .to_owned()
            }
            Self::OtherClustersFolder { .. } => {
                "Name a folder of its own with --dir: a cluster's keys are nobody else's.".to_owned()
            }
            Self::OtherCluster { .. } => {
                "Name the right kubeconfig or context, or the right --cluster-name: it is what that cluster's helium-apiserver was started with.".to_owned()
            }
            Self::OwnCluster { .. } => {
                "Use the kubeconfig of another member: a cluster neither revokes nor buries itself (to take it out: helium leave, without --dead).".to_owned()
            }
            Self::NoName { .. } => {
                "Is this a cluster of a fleet, and its helium-apiserver up to date? helium doctor says more.".to_owned()
            }
            Self::NoMember { .. } => "helium members shows who they are.".to_owned(),
            Self::Taken { cluster } => format!(
                "Choose another name; if {cluster} is to join anew, remove its former life first: helium leave --dead {cluster}."
            ),
            Self::NotFirst { .. } => {
                "Join instead: helium token create in one of them, helium join here.".to_owned()
            }
            Self::WouldShutOut { .. } => {
                "Stop Helium there, delete their Members (kubectl delete member …), make this cluster the first, and let them join with tokens.".to_owned()
            }
            Self::NoServer { .. } => {
                "Give --server: the URL of this cluster's helium-apiserver as the other cluster reaches it (its agent publishes it with --advertise-direct-url)."
                    .to_owned()
            }
            Self::NoAuthority => {
                "Give --ca-file: the authority (PEM) of helium-apiserver's serving certificate.".to_owned()
            }
            Self::DatabaseNeedsFile => "Name a file for it: --join-file.".to_owned(),
            Self::Database { .. } => {
                "Check the administrator's URL (HELIUM_DATABASE_URL): its user must be allowed to make roles. What the fleet itself was told holds."
                    .to_owned()
            }
            Self::JoinFile { .. } | Self::NothingToJoin => {
                "Use the file as helium token create --join-file has written it, or its command.".to_owned()
            }
            Self::Alive { cluster, .. } => format!(
                "Take it out from there: helium leave. To shut it out: helium revoke {cluster}. If it is dead all the same: --force."
            ),
            Self::AgentRuns { .. } => {
                "It puts back what is removed: end that process (as a Deployment it is stopped by itself), and run this again.".to_owned()
            }
            Self::NotSettled { .. } => {
                "Run this again: it goes on. A store that is down, or a finalizer, holds it up: kubectl describe it, and helium doctor.".to_owned()
            }
            Self::StillHeard { cluster } => format!(
                "Its servers may run without --members-prefix on kine-shim, or on another store: helium doctor there, and close its way to the database \
                 (--database-url). The Member of {cluster} stays revoked."
            ),
            Self::NoGroup { .. } => {
                "helium failover status shows all groups; a group is named by its callsign in its namespace (-n). The first MultiCluster of a callsign makes it."
                    .to_owned()
            }
            Self::NoGroupMember { cluster, .. } => format!(
                "Apply a MultiCluster of this callsign in {cluster}, in the same namespace; if there is one, its agent isn't running: kubectl describe multicluster there."
            ),
            Self::MemberNotReady { cluster, .. } => {
                format!("Set ready: true on the MultiCluster in {cluster}, and look at its conditions there: kubectl describe multicluster.")
            }
            Self::GroupPaused { group } => format!("First: helium failover resume {group}."),
            Self::NotLeading { group, .. } => format!(
                "helium failover status {group} shows where it stands. A hand-over that took too long was called off: nothing is left of it; --wait gives it more time."
            ),
            Self::ForceNeeded { .. } => {
                "Where the above is made sure, run it again with --force.".to_owned()
            }
            Self::Drill(error) => error.remedy(),
            Self::Log(_) => "Correct --log-filter or RUST_LOG.".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_code_has_a_page() {
        let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let pages = here.join("../docs/errors");
        let mut codes: Vec<String> = ["src/error.rs", "src/error/fleet.rs", "src/error/drill.rs"]
            .iter()
            .flat_map(|source| {
                let text = std::fs::read_to_string(here.join(source)).expect("a source");
                let quoted = text.split('"').map(str::to_owned).collect::<Vec<_>>();
                quoted.into_iter().filter(|part| {
                    part.len() == 4
                        && part.starts_with('H')
                        && part[1..].bytes().all(|byte| byte.is_ascii_digit())
                })
            })
            .collect();
        codes.sort();
        codes.dedup();
        assert!(codes.len() > 30, "{codes:?}");
        for code in codes {
            let page = pages.join(format!("{code}.md"));
            let text = std::fs::read_to_string(&page)
                .unwrap_or_else(|error| panic!("{}: {error}", page.display()));
            assert!(
                text.starts_with(&format!("# {code}: ")) && text.contains("## What to do"),
                "{} doesn't say what to do",
                page.display()
            );
        }
    }
}
